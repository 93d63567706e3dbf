"""The ``imseek`` command. ``python -P -m imseek`` runs it without the current folder on the import path."""

import gc
import signal
import sys


def main() -> int:
    # Modules make objects by the ten thousand and no garbage: looking for it takes a twentieth of a short command.
    gc.set_threshold(100_000, 20, 100)
    # Ctrl-C ends the process at once, even while modules load, until a command that must flush handles it.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from imseek.ui.cli import main as run
    from imseek.ui.cli.pandas_refusal import PandasRefusal

    if sys.argv[1:2] != ["ui"]:  # Streamlit's pages draw tables with pandas
        sys.meta_path.insert(0, PandasRefusal())
    code = run()
    # The process is about to end: collecting cycles among its modules would take a sixth of a search's time.
    gc.freeze()
    return code


if __name__ == "__main__":
    sys.exit(main())
