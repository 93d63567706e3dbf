"""What a command says: results on stdout, everything else on stderr, nothing that a terminal would obey."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Protocol

from imseek import library
from imseek.errors import UsageError
from imseek.showing.words import printable
from imseek.ui.cli.jsonout import SCHEMA


def say(line: str) -> None:
    """One line for the user, beside the result."""
    print(line, file=sys.stderr)


class Meant(Protocol):
    """A collection that a command means, and how that was decided."""

    @property
    def path(self) -> Path | str: ...

    @property
    def name(self) -> str: ...

    @property
    def how(self) -> str: ...


def say_collection(chosen: Meant) -> None:
    """Which collection is meant, and why; one that was found on the way up and is not trusted is named as such."""
    say(f"collection: {printable(chosen.name)} ({chosen.how})")
    if chosen.how == library.NEAREST:
        from imseek import upkeep

        if not upkeep.is_trusted(chosen.path):
            say(_untrusted(Path(chosen.path)))


def _untrusted(path: Path) -> str:
    from imseek.data.trust import trust_command

    owner = ""
    with suppress(OSError):
        if (uid := path.stat().st_uid) != os.geteuid():
            owner = f" belongs to the user {_user_name(uid)}, and"
    where = printable(str(path))
    return (
        f"note: {where}{owner} was not made here: it is searched and not written to "
        f"(`{printable(trust_command(path))}` if you know who made it)"
    )


def _user_name(uid: int) -> str:
    """The name of a user, quoted; the number of one that this machine does not know."""
    import pwd

    try:
        return repr(pwd.getpwuid(uid).pw_name)
    except KeyError:
        return str(uid)


def stdout_bytes() -> BinaryIO:
    """For data. Raises UsageError where the shell has closed it: what says that it is written must be somewhere."""
    if getattr(sys.stdout, "name", None) == os.devnull:  # By ``main``.
        raise UsageError("- goes to stdout, and that is closed", hint="name a file, or | another command")
    return sys.stdout.buffer


def report_error(kind: str, message: str, hint: str | None, *, as_json: bool) -> None:
    """``imseek: message`` and a line with the hint; one JSON object where JSON was asked for."""
    if as_json:
        error = {"type": kind, "message": message, "hint": hint}
        say(json.dumps({"schema": SCHEMA, "error": error}))
        return
    say(f"imseek: {printable(message)}")
    if hint:
        say(f"hint: {printable(hint)}")


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[int] = ()) -> str:
    """Columns of text, those with an index in ``right`` aligned to the right.

    The last column is not padded: it is the place for file names, whose display width cannot be known.
    """
    lines = [tuple(head), *(tuple(row) for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head) - 1)]
    out = []
    for line in lines:
        cells = [
            c.rjust(w) if i in right else c.ljust(w)
            for i, (c, w) in enumerate(zip(line[:-1], widths, strict=True))
        ]
        out.append("  ".join([*cells, line[-1]]).rstrip())
    return "\n".join(out)
