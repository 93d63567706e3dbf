"""Files that a command writes where the user says: never over another one unless that is asked for, and never half."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO, cast

from imseek.errors import ImseekError, UsageError


def check_new(path: Path, *, force: bool) -> None:
    """Before long work whose result goes there. Raises UsageError, and ImseekError where it cannot be written."""
    if path.is_dir():
        raise UsageError(f"{path} is a folder", hint="name a file")
    if path.exists() and not path.is_file():
        return  # A device, such as /dev/stdout.
    if os.path.lexists(path) and not force:
        raise UsageError(f"{path} is there already", hint="choose another name, or add --force")
    if not path.parent.is_dir():
        raise UsageError(f"no folder {path.parent}")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise ImseekError(f"cannot write {path}: the folder must not be written")


@contextmanager
def new_file(path: Path, *, force: bool) -> Iterator[TextIO]:
    """A file for text in UTF-8, which takes its name when the body has ended well. Raises as :func:`check_new`."""
    check_new(path, force=force)
    try:
        if path.exists() and not path.is_file():
            with _opened(path, "w") as file:
                yield file
            return
        made = path.with_name(f".imseek-{os.getpid()}.tmp")
        try:
            with _opened(made, "x") as file:
                yield file
            check_new(path, force=force)
            made.replace(path)
        finally:
            made.unlink(missing_ok=True)
    except OSError as error:
        raise ImseekError(f"cannot write {path}: {error.strerror or error}") from error


def _opened(path: Path, mode: str) -> TextIO:
    return cast(TextIO, path.open(mode, encoding="utf-8", errors="backslashreplace", newline=""))
