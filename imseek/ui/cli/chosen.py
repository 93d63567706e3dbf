"""The collection that a command means."""

from __future__ import annotations

import os

from imseek import library
from imseek.ui.cli.output import say_collection
from imseek.ui.cli.texts import current_folder


def resolved(given: str | None, option: str = library.GIVEN) -> library.Resolved:
    """The collection from what was ``given`` with ``option``, the environment and the current folder.

    Raises as :func:`imseek.library.resolve`, and UsageError where the current folder is gone.
    """
    return library.resolve(given, cwd=current_folder(), environ=os.environ, option=option)


def chosen_collection(given: str | None, *, quiet: bool = False) -> library.Resolved:
    """As :func:`resolved`; which one it is, and why, is said beside the result, but not to programs (``quiet``)."""
    chosen = resolved(given)
    if not quiet:
        say_collection(chosen)
    return chosen
