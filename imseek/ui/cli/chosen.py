"""The collection that a command means."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from imseek import library, upkeep
from imseek.showing.words import printable
from imseek.ui.cli.output import say, say_collection
from imseek.ui.cli.texts import current_folder


def resolved(given: str | None, option: str = library.GIVEN) -> library.Resolved:
    """The collection from what was ``given`` with ``option``, the environment and the current folder.

    One that was found in a folder above the current one, and that nobody has said to be trusted, is named on stderr,
    also to programs. Raises as :func:`imseek.library.resolve`, and UsageError where the current folder is gone.
    """
    chosen = library.resolve(given, cwd=current_folder(), environ=os.environ, option=option)
    if chosen.how == library.NEAREST and not upkeep.is_trusted(chosen.path):
        say(untrusted_line(chosen.path))
    return chosen


def untrusted_line(path: Path) -> str:
    """What people are told of a collection that was found and is not trusted."""
    owner = ""
    with suppress(OSError, KeyError):
        if (uid := path.stat().st_uid) != os.geteuid():
            import pwd

            owner = f" belongs to the user {pwd.getpwuid(uid).pw_name!r}, and"
    where = printable(str(path))
    return (
        f"imseek: {where}{owner} was not made here: it is searched and not written to "
        f"(`imseek collection trust {where}` if you know who made it)"
    )


def chosen_collection(given: str | None, *, quiet: bool = False) -> library.Resolved:
    """As :func:`resolved`; which one it is, and why, is said beside the result, but not to programs (``quiet``)."""
    chosen = resolved(given)
    if not quiet:
        say_collection(chosen)
    return chosen
