"""The ``imseek`` command; also ``python -P -m imseek``, without the current folder on the import path."""

import gc
import signal
import sys


def main() -> int:
    # Until a command that must flush takes it over, Ctrl-C ends the process at once, also while modules load.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from imseek.ui.cli import main as run

    code = run()
    # A process that ends need not look for cycles among its modules: that takes a sixth of a search's time.
    gc.freeze()
    return code


if __name__ == "__main__":
    sys.exit(main())
