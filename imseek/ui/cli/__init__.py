"""The ``imseek`` command.

Each command has its own module and imports what it needs when it runs, so that ``--help`` and searches do not load the
packages of other commands.
"""

from imseek.ui.cli.app import main

__all__ = ["main"]
