"""Print results on stdout and everything else on stderr, without terminal control characters."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Protocol

from imseek import library
from imseek.errors import UsageError
from imseek.ui.render.words import printable


def say(line: str) -> None:
    """Print one line for the user on stderr."""
    print(line, file=sys.stderr)


def say_waiting(line: str) -> None:
    """Print a line on stderr about work that now takes seconds, if stderr is a terminal."""
    if sys.stderr.isatty():
        say(line)


def has_colour() -> bool:
    """Whether stdout is a terminal that highlights text, and the user has nothing against that (no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def print_ids(image_ids: Iterable[int]) -> None:
    """Print ids of images, one a line, as other commands read them."""
    for image_id in image_ids:
        print(image_id)


class CollectionChoice(Protocol):
    """A collection that a command means, and how it was chosen."""

    @property
    def path(self) -> Path | str: ...

    @property
    def name(self) -> str: ...

    @property
    def how(self) -> str: ...


def say_collection(choice: CollectionChoice) -> None:
    """Tell the user which collection is meant, and why; warn of an untrusted one found in a parent folder.

    If there is only one collection, nothing is printed.
    """
    paths = [one.path for one in library.list_collections(os.environ)]
    if choice.how == library.ONLY_ONE or paths == [Path(choice.path)]:
        return
    say(f"collection: {printable(choice.name)} ({choice.how})")
    if choice.how == library.NEAREST:
        from imseek import maintenance

        if not maintenance.is_trusted(choice.path):
            say(_untrusted_note(Path(choice.path)))


def _untrusted_note(path: Path) -> str:
    from imseek.maintenance import trust_command

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
    """Return a user's quoted name, or the number if it is unknown here."""
    import pwd

    try:
        return repr(pwd.getpwuid(uid).pw_name)
    except KeyError:
        return str(uid)


def stdout_bytes() -> BinaryIO:
    """Return stdout for binary data. Raises UsageError if the shell closed it, because the data would be lost."""
    if getattr(sys.stdout, "name", None) == os.devnull:  # Set by ``main``.
        raise UsageError("- writes to stdout, which is closed", hint="name a file, or | another command")
    return sys.stdout.buffer


def report_error(kind: str, message: str, hint: str | None, *, as_json: bool) -> None:
    """Print ``imseek: message`` and a hint line, or one JSON object with ``as_json``."""
    if as_json:
        from imseek.ui.render.result_json import ErrorAnswer, ErrorText, print_json

        print_json(ErrorAnswer(ErrorText(kind, message, hint)), line=True, file=sys.stderr)
        return
    say(f"imseek: {printable(message)}")
    if hint:
        say(f"hint: {printable(hint)}")
