"""Small JSON files in the user's home, such as saved searches, which reading must never destroy.

A damaged file is renamed. A file that cannot be read at the moment, or that a later imseek wrote, is never overwritten.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Generic, TypeVar

from imseek.errors import FormatVersionError, StorageError
from imseek.home import write_atomically

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class LoadedDocument(Generic[T]):
    """A parsed document. ``content`` is None if the file is missing or was damaged; a damaged file now lies at
    ``aside``."""

    content: T | None = None
    aside: Path | None = None


def load(path: Path, member: str, version: int, parse: Callable[[Any], T]) -> LoadedDocument[T]:
    """Read a document whose ``member`` holds its version, and return what ``parse`` makes of it.

    ``parse`` raises ValueError, KeyError, TypeError or AttributeError for documents that imseek did not write. Raises
    FormatVersionError for a later version, StorageError if the file cannot be read, or not be renamed.
    """
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return LoadedDocument()
    except OSError as error:
        raise StorageError(
            f"cannot read {path}: {error.strerror or error}", hint="make it readable, or set IMSEEK_HOME"
        ) from error
    try:
        document = json.loads(data)
        stored_version = document[member]
        if type(stored_version) is int and stored_version > version:
            raise FormatVersionError(f"{path} was written by a later imseek", hint="update imseek, or set IMSEEK_HOME")
        if stored_version != version:
            raise ValueError(f"no version: {stored_version!r}")
        return LoadedDocument(parse(document))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return LoadedDocument(aside=_put_aside(path))


def save(path: Path, document: Mapping[str, Any]) -> None:
    """Write a document atomically. Raises StorageError."""
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
