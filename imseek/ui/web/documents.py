"""Small JSON files of a user's home, such as saved searches: what somebody has decided must not get lost by reading it.

A file that is damaged is put aside, under another name. One that cannot be read just now, or that a later imseek has
written, stays as it is, and nothing is written over it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Generic, TypeVar

from imseek.encoders.cache import write_atomically
from imseek.errors import FormatVersionError, StorageError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Loaded(Generic[T]):
    """``found`` is None where there was no file, or a damaged one, which now lies ``aside``."""

    found: T | None = None
    aside: Path | None = None


def load(path: Path, member: str, version: int, parse: Callable[[Any], T]) -> Loaded[T]:
    """What ``parse`` makes of the document, whose ``member`` holds its version. ``parse`` raises ValueError, KeyError,
    TypeError or AttributeError for what was not written by us.

    Raises FormatVersionError (a later version), and StorageError where the file cannot be read, or not be put aside.
    """
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return Loaded()
    except OSError as error:
        raise StorageError(
            f"cannot read {path}: {error.strerror or error}", hint="make it readable, or set IMSEEK_HOME"
        ) from error
    try:
        document = json.loads(data)
        written = document[member]
        if type(written) is int and written > version:
            raise FormatVersionError(
                f"{path} was written by a later imseek", hint="update imseek, or set IMSEEK_HOME"
            )
        if written != version:
            raise ValueError(f"no version: {written!r}")
        return Loaded(parse(document))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return Loaded(aside=_put_aside(path))


def save(path: Path, document: Mapping[str, Any]) -> None:
    """Write it, complete or not at all. Raises StorageError."""
    try:
        write_atomically(path, json.dumps(document, indent=1).encode())
    except OSError as error:
        raise StorageError(
            f"cannot write {path}: {error.strerror or error}", hint="make room, or set IMSEEK_HOME"
        ) from error


def _put_aside(path: Path) -> Path:
    names = (path.with_suffix(f".damaged{f'-{n}' if n > 1 else ''}{path.suffix}") for n in count(1))
    aside = next(one for one in names if not one.exists())
    try:
        path.replace(aside)
    except OSError as error:
        raise StorageError(
            f"{path} is damaged, and cannot be put aside: {error.strerror or error}",
            hint="give it another name, or set IMSEEK_HOME",
        ) from error
    return aside
