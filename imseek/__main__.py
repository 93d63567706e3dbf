"""``python -P -m imseek``: the command line, without the current folder on the import path."""

import sys

from imseek.ui.cli import main

if __name__ == "__main__":
    sys.exit(main())
