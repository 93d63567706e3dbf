"""The journal of files beside pictures: what each held before, durable before it is changed.

``<collection>/undo/<id>.sidecars`` has one record per line, signed for this user like the journals of duplicates, so
that nobody else's file can have anything written.
"""

from __future__ import annotations

import base64
import json
import secrets
import time
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from imseek.data import layout
from imseek.data.collection_records import read_identity
from imseek.data.files import durable_files
from imseek.data.files.system_errors import translate_os_errors
from imseek.duplicates.actions.journal_signature import Signer, load_key
from imseek.errors import UsageError
from imseek.media.xmp import MAX_BYTES

#: Longest line in bytes: the content of a file, which base64 makes longer by a third, and a path.
_MAX_LINE: Final = 2 * MAX_BYTES
#: Maximum number of ids that an error lists.
_MAX_LISTED: Final = 3


@dataclass(frozen=True, slots=True)
class Edit:
    """A file with its content ``before`` (None: it does not exist) and ``after`` the change."""

    path: bytes
    before: bytes | None
    after: bytes


@dataclass(frozen=True, slots=True)
class Record:
    """A file with its former content, compressed (None: it did not exist), and the sha256 of its new content."""

    path: bytes
    packed: bytes | None
    sha256: str

    @property
    def before(self) -> bytes | None:
        """The former content of the file. Raises ValueError if it is damaged."""
        if self.packed is None:
            return None
        try:
            return zlib.decompressobj().decompress(self.packed, MAX_BYTES + 1)
        except zlib.error as error:
            raise ValueError("the journal is damaged") from error


class Journal:
    """One journal of a collection."""

    def __init__(self, root: Path, undo_id: str) -> None:
        self.undo_id = undo_id
        self._root = root
        self.path = root / layout.sidecar_journal(undo_id)
        self._signer = Signer(load_key(), read_identity(root).uuid, f"{undo_id} sidecars")

    @classmethod
    def begin(cls, root: Path, staging: Path) -> Journal:
        """Start a new journal. Raises StorageError."""
        undo_id = f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(3)}"
        journal = cls(root, undo_id)
        durable_files.write_file(journal.path, b"", staging=staging)
        return journal

    def record(self, edits: Iterable[tuple[Edit, str]]) -> None:
        """Record edits, each with the sha256 of its new content. They must be durable before any happens."""
        lines = []
        for edit, sha256 in edits:
            before = None if edit.before is None else _encode(zlib.compress(edit.before))
            document = {"path": _encode(edit.path), "before": before, "sha256": sha256}
            lines.append(json.dumps(self._signer.sign(document)).encode() + b"\n")
        durable_files.append(self.path, b"".join(lines))

    def records(self) -> list[Record]:
        """Read the records. An incomplete last line is skipped: its files had not been written yet.

        Raises UsageError where there is no such journal, or this user's imseek did not write it.
        """
        if not layout.UNDO_ID.fullmatch(self.undo_id) or not self.path.is_file() or self.path.is_symlink():
            names = [path.stem for path in self._root.glob(layout.sidecar_journal("*"))]
            newest = sorted(filter(layout.UNDO_ID.fullmatch, names), reverse=True)[:_MAX_LISTED]
            hint = f"the newest: {', '.join(newest)}" if newest else None  # an interrupted run has not printed its id
            raise UsageError(f"nothing written to sidecars has the id {self.undo_id!r}", hint=hint)
        with translate_os_errors(self.path):
            return list(self._read())

    def remove(self) -> None:
        """Remove the journal once everything in it is undone."""
        durable_files.remove_files([self.path])

    def _read(self) -> Iterator[Record]:
        with self.path.open("rb") as file:
            while line := file.readline(_MAX_LINE):
                try:
                    document: Any = json.loads(line)
                    if isinstance(document, dict) and self._signer.is_signed(document):
                        yield _parse(document)
                        continue
                except (ValueError, KeyError, TypeError, RecursionError):
                    if not line.endswith(b"\n"):
                        return
                raise UsageError(
                    f"{self.path} has a line that was not written by your imseek", hint="nothing was undone"
                )


def _parse(document: dict[str, Any]) -> Record:
    packed = None if document["before"] is None else base64.b64decode(document["before"])
    return Record(base64.b64decode(document["path"]), packed, str(document["sha256"]))


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
