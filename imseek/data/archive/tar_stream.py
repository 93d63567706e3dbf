"""Read and write the members of a tar in sequence, allowing only headers that we write.

Headers come from the standard library (GNU format, so that sizes are unlimited). Its reader is not used, because it
accepts links, devices and headers of any size from untrusted archives. Memory is bounded by one chunk.
"""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Callable, Iterator
from typing import Any, Final, Protocol

from imseek.data.archive.manifest import FOLDER, MAX_BYTES, NAME, Entry, Manifest, parse
from imseek.errors import BackupError

CHUNK: Final = 2**20
_BLOCK: Final = tarfile.BLOCKSIZE
_END: Final = bytes(2 * _BLOCK)
#: Maximum bytes of zeros after the end: tar writers pad their last record.
_MAX_PADDING: Final = 2**20
#: Maximum bytes of a long name, which has a member of its own.
_MAX_NAME: Final = 1024

#: By magic number, the command that decompresses a file.
_UNPACK_COMMANDS: Final = {b"\x1f\x8b": "gzip -dc", b"\x28\xb5": "zstd -dc", b"\xfd7": "xz -dc"}

#: Receives the number of bytes just copied; may raise to cancel.
ByteCallback = Callable[[int], None]


class Sink(Protocol):
    def write(self, data: bytes, /) -> Any: ...


class Stream(Protocol):
    """Returns at most ``size`` bytes, and none only at its end."""

    def read(self, size: int, /) -> bytes: ...


def header(name: str, size: int, mtime: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.mtime, info.mode = size, mtime, 0o644
    return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "strict")


def copy(source: Stream, entry: Entry, out: Sink, report: ByteCallback) -> bool:
    """Copy exactly ``entry.size`` bytes; returns whether their sha256 matches.

    Raises EOFError where there are fewer.
    """
    digest, remaining = hashlib.sha256(), entry.size
    while remaining:
        chunk = source.read(min(remaining, CHUNK))
        if not chunk:
            raise EOFError(entry.path)
        digest.update(chunk)
        out.write(chunk)
        remaining -= len(chunk)
        report(len(chunk))
    return digest.hexdigest() == entry.sha256


def padding(size: int) -> bytes:
    return bytes(-size % _BLOCK)


def end() -> bytes:
    return _END


class ArchiveReader:
    """Reads an archive from beginning to end. ``name`` is used in messages.

    Raises BackupError where it is no archive or its manifest is damaged, FormatVersionError, and whatever ``stream``
    raises.
    """

    def __init__(self, stream: Stream, name: str) -> None:
        self._stream, self.name = stream, name
        first = self._header(first=True)
        if first is None or first.name != NAME:
            raise self._not_a_backup_error()
        if first.size > MAX_BYTES:
            raise BackupError(f"{name}: its manifest says that it has {first.size:,} bytes")
        self.manifest: Manifest = parse(self._exactly(first.size, NAME), name)
        self._skip(first.size, NAME)

    def members(self, report: ByteCallback) -> Iterator[tuple[Entry, Callable[[Sink], None]]]:
        """Yield every file of the manifest, and nothing else, with a function that copies and verifies its bytes.

        Call that before asking for the next file. Raises BackupError for a missing, unexpected or damaged file.
        """
        pending = {f"{FOLDER}/{entry.path}": entry for entry in self.manifest.entries}
        while (info := self._header()) is not None:
            entry = pending.pop(info.name, None)
            if entry is None:
                raise BackupError(f"{self.name}: {info.name!r} is not in its manifest, or occurs twice")
            if info.size != entry.size:
                raise BackupError(f"{self.name}: {entry.path} says {info.size:,} bytes instead of {entry.size:,}")
            copied: list[Entry] = []

            def copy_to(out: Sink, entry: Entry = entry, copied: list[Entry] = copied) -> None:
                try:
                    is_sound = copy(self._stream, entry, out, report)
                except EOFError:
                    raise self._cut(entry.path) from None
                if not is_sound:
                    raise BackupError(f"{self.name}: {entry.path} is damaged (its checksum differs)")
                copied.append(entry)

            yield entry, copy_to
            assert copied, "each member is copied before the next one"
            self._skip(entry.size, entry.path)
        if pending:
            raise BackupError(f"{self.name}: {next(iter(pending.values())).path} is not in it")
        self._finish()

    def _header(self, *, first: bool = False) -> tarfile.TarInfo | None:
        """Read the header of the next member, a regular file; None at the end."""
        long_name: str | None = None
        while True:
            block = self._first_block() if first else self._exactly(_BLOCK, "the head of a file")
            if not block.strip(b"\0"):
                return None
            try:
                info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
            except tarfile.HeaderError as error:
                hint = None
                if first and (unpack := _UNPACK_COMMANDS.get(block[:2])) is not None:
                    hint = f"it is compressed; decompress it: {unpack} ARCHIVE | imseek backup restore - NAME"
                raise BackupError(f"{self.name} is not a tar archive, or is damaged ({error})", hint=hint) from error
            if info.type == tarfile.GNUTYPE_LONGNAME and long_name is None and 0 < info.size <= _MAX_NAME:
                name = self._exactly(info.size, "a name")
                long_name = name.rstrip(b"\0").decode("utf-8", "surrogateescape")
                self._skip(info.size, "a name")
                continue
            if info.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or info.size < 0:
                raise (
                    self._not_a_backup_error()
                    if first
                    else BackupError(f"{self.name}: {info.name!r} is not a plain file")
                )
            info.name = info.name if long_name is None else long_name
            return info

    def _first_block(self) -> bytes:
        """Read the first block. A shorter file is reported as a truncated backup only if it begins like one."""
        block = b""
        while len(block) < _BLOCK and (part := self._stream.read(_BLOCK - len(block))):
            block += part
        if not block:
            raise BackupError(f"{self.name} is empty")
        if len(block) < _BLOCK:
            beginning = NAME.encode()
            raise (
                self._cut(NAME) if block[: len(beginning)] == beginning[: len(block)] else self._not_a_backup_error()
            )
        return block

    def _not_a_backup_error(self) -> BackupError:
        return BackupError(f"{self.name} is not an imseek backup", hint="`imseek backup create FILE` writes one")

    def _exactly(self, size: int, place: str) -> bytes:
        parts: list[bytes] = []
        while size:
            part = self._stream.read(min(size, CHUNK))
            if not part:
                raise self._cut(place)
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def _skip(self, size: int, place: str) -> None:
        self._exactly(len(padding(size)), place)

    def _cut(self, place: str) -> BackupError:
        return BackupError(f"{self.name} is cut short: it ends in {place}")

    def _finish(self) -> None:
        """Read to the end of the stream, so that a writer to a pipe gets no error."""
        count = 0
        while part := self._stream.read(CHUNK):
            count += len(part)
            if part.strip(b"\0") or count > _MAX_PADDING:
                raise BackupError(f"{self.name}: something follows its end")
