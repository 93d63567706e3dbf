"""Decide which collection a command means."""

from __future__ import annotations

import os

from imseek import library
from imseek.errors import UsageError
from imseek.ui.cli.common_options import current_folder
from imseek.ui.cli.output import say_collection


def resolve_collection(name: str | None, option: str = library.COLLECTION_OPTION) -> library.ResolvedCollection:
    """Resolve the collection from ``name`` (the value of ``option``), the environment and the current folder.

    Raises as :func:`imseek.library.resolve`, and UsageError if the current folder has been deleted.
    """
    return library.resolve(name, cwd=current_folder(), environ=os.environ, option=option)


def choose_two(
    name: str | None, against: str | None, *, quiet: bool = False
) -> tuple[library.ResolvedCollection, library.ResolvedCollection | None]:
    """Resolve the collection, and the one that ``--against`` names, if any; tell as :func:`choose_collection`."""
    target = resolve_collection(name)
    other = None if against is None else resolve_collection(against, "--against")
    if not quiet:
        say_collection(target)
    return target, other


def choose_collection(name: str | None, *, quiet: bool = False) -> library.ResolvedCollection:
    """Resolve the collection as :func:`resolve_collection`, and unless ``quiet`` tell the user which it is and why."""
    return choose_two(name, None, quiet=quiet)[0]


def merge_names(argument: str | None, option: str | None) -> str | None:
    """Return the collection named by an argument or by ``-c``. Raises UsageError if both name one."""
    if argument is not None and option is not None:
        raise UsageError("the collection is named twice", hint="by the argument or by -c")
    return option if argument is None else argument
