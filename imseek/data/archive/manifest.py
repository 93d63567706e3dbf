"""The first member of an archive: a list of its files with size and sha256.

It is known before the first byte is written, since files of a generation never change. So a reader knows from the start
what must follow, and whether there is room for it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from imseek.data import layout
from imseek.data.files import durable_files
from imseek.errors import BackupError, FormatVersionError
from imseek.progress import Task

FORMAT: Final = 1
#: Name of the manifest, and the folder of everything else: unpacked by hand, that folder is the collection.
NAME: Final = "imseek-backup.json"
FOLDER: Final = "collection"
#: Maximum bytes of a manifest. A million files need less than half of that.
MAX_BYTES: Final = 2**28

#: Files that every collection has.
REQUIRED: Final = (layout.COLLECTION, layout.CURRENT, layout.CHECKSUMS, layout.CATALOG)
_SHA256: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Entry:
    """A file: its path within the collection, size in bytes and hex sha256."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """Content and origin of an archive.

    ``committed`` is the time of the generation, ``created`` that of the archive (ISO 8601, UTC); ``imseek`` is the
    version that wrote it. ``images`` counts searchable images; without ``index`` approximate indexes were left out.
    """

    uuid: str
    generation: int
    committed: str
    created: str
    imseek: str
    images: int
    index: bool
    entries: tuple[Entry, ...]

    @property
    def journals(self) -> int:
        """Number of undo journals among the files."""
        return sum(layout.is_journal(entry.path) for entry in self.entries)

    @property
    def total(self) -> int:
        """Total bytes of all files."""
        return sum(entry.size for entry in self.entries)

    def seal(self) -> bytes:
        files = [[entry.path, entry.size, entry.sha256] for entry in self.entries]
        facts = {name: getattr(self, name) for name in _FIELDS}
        return durable_files.add_checksum(
            {"format": FORMAT, "collection_format": layout.FORMAT, "files": files, **facts}
        )


_FIELDS: Final = {
    "uuid": str,
    "generation": int,
    "committed": str,
    "created": str,
    "imseek": str,
    "images": int,
    "index": bool,
}


def parse(data: bytes, archive: str) -> Manifest:
    """Parse and check a manifest.

    Raises BackupError where it is damaged or lists a path outside the collection, FormatVersionError for a later
    format.
    """
    try:
        document = durable_files.strip_checksum(data)
    except ValueError as error:
        raise BackupError(f"{archive}: its manifest is damaged ({error})") from error
    for name, latest in (("format", FORMAT), ("collection_format", layout.FORMAT)):
        version = document.get(name)
        if not isinstance(version, int) or version < 1:
            raise BackupError(f"{archive}: its manifest states no {name}")
        if version > latest:
            raise FormatVersionError(
                f"{archive} has {name} {version}; this imseek reads up to {latest}", hint="update imseek"
            )
    facts: dict[str, Any] = {name: document.get(name) for name in _FIELDS}
    invalid = [name for name, kind in _FIELDS.items() if type(facts[name]) is not kind]
    files = document.get("files")
    if invalid or not isinstance(files, list):
        raise BackupError(f"{archive}: its manifest lacks {invalid[0] if invalid else 'files'}")
    entries = tuple(_entry(item, archive) for item in files)
    _check(entries, archive)
    return Manifest(**facts, entries=entries)


def _entry(item: Any, archive: str) -> Entry:
    match item:
        case [str(path), int(size), str(sha256)] if type(size) is int and size >= 0 and _SHA256.fullmatch(sha256):
            if _is_ours(path):
                return Entry(path, size, sha256)
            raise BackupError(f"{archive}: {path!r} is not a file of a collection")
    raise BackupError(f"{archive}: its manifest has an entry that is not a file")


def _is_ours(path: str) -> bool:
    return path in REQUIRED or layout.is_journal(path) or layout.parse(path) is not None


def _check(entries: Iterable[Entry], archive: str) -> None:
    paths = [entry.path for entry in entries]
    names = set(paths)
    if len(names) < len(paths):
        raise BackupError(f"{archive}: its manifest lists a file twice")
    if missing := [name for name in REQUIRED if name not in names]:
        raise BackupError(f"{archive}: its manifest lists no {missing[0]}")


def byte_counter(manifest: Manifest, task: Task, phase: str) -> Callable[[int], None]:
    """Return a function that counts bytes of files as they pass; ``task`` reports them in images, in proportion.

    It raises Cancelled, as this function does.
    """
    total = 0

    def count(size: int) -> None:
        nonlocal total
        total += size
        task.check()
        images = manifest.images * total // max(1, manifest.total)
        task.report(phase, images, manifest.images, bytes_read=total)

    count(0)
    return count
