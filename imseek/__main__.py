"""The ``imseek`` command; also ``python -P -m imseek``, without the current folder on the import path."""

import signal
import sys


def main() -> int:
    # Until a command that must flush takes it over, Ctrl-C ends the process at once, also while modules load.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from imseek.ui.cli import main as run

    return run()


if __name__ == "__main__":
    sys.exit(main())
