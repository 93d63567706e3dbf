"""The ``imseek`` command.

Every command lives in a module of its own and imports what it needs when it runs: ``--help`` and a search
must not pay for the packages of other commands.
"""

from imseek.ui.cli.app import main

__all__ = ["main"]
