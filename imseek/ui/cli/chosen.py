"""Decide which collection a command means."""

from __future__ import annotations

import os

from imseek import library
from imseek.ui.cli.output import say_collection
from imseek.ui.cli.texts import current_folder


def resolved(given: str | None, option: str = library.GIVEN) -> library.Resolved:
    """Resolve the collection from ``given`` (the value of ``option``), the environment and the current folder.

    Raises as :func:`imseek.library.resolve`, and UsageError if the current folder has been deleted.
    """
    return library.resolve(given, cwd=current_folder(), environ=os.environ, option=option)


def chosen_collection(given: str | None, *, quiet: bool = False) -> library.Resolved:
    """Resolve the collection as :func:`resolved`, and unless ``quiet`` tell the user which it is and why."""
    chosen = resolved(given)
    if not quiet:
        say_collection(chosen)
    return chosen
