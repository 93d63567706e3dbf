"""Paths as a user writes them, in which ``~`` and ``~name`` stand for home folders."""

from __future__ import annotations

import os
from pathlib import Path

from imseek.errors import UsageError


def expand_user(path: str | bytes | os.PathLike[str] | os.PathLike[bytes]) -> Path:
    """Replace ``~`` or ``~name`` at the beginning of a path by that user's home folder.

    A file whose own name begins with a tilde is left as it is. Raises UsageError if neither that file nor such a user
    exists.
    """
    text = os.fsdecode(path)
    try:
        expanded = os.path.expanduser(text)  # noqa: PTH111 - Path.expanduser raises RuntimeError
    except ValueError:  # A NUL byte in the name.
        expanded = text
    if expanded != text or not text.startswith("~") or os.path.lexists(text):
        return Path(expanded)
    name = text[1:].partition(os.sep)[0]
    if not name:
        raise UsageError(f"{text!r}: your home folder is not known", hint="set HOME, or give the full path")
    raise UsageError(f"{text!r}: there is no user {name!r}", hint="~ means a home folder here; give the full path")
