"""Read the members of an untrusted tar one after the other.

The standard library parses the blocks; their sequence is read here. Its own reader takes a broken header for the end of
the archive, searches descriptions of a member in quadratic time (CVE-2024-6232), and keeps skipping what a header
claims long after the stream has ended.
"""

from __future__ import annotations

import os
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from lzma import LZMAError
from typing import Final, Protocol

from imseek.errors import MediaError
from imseek.indexer.sources.archive_limits import MemberCount
from imseek.progress import Cancelled
from imseek.types.pictures import SkipReason

_BLOCK: Final = tarfile.BLOCKSIZE
_END_BLOCK: Final = bytes(_BLOCK)
#: The largest header that only describes the next one (a long name, pax records), since it is held in memory.
_MAX_DESCRIPTION: Final = 2**20
#: Most such headers before one member. GNU tar writes at most two, pax one.
_MAX_DESCRIPTIONS: Final = 16
_LONG_NAMES: Final = frozenset((tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK))
_PAX: Final = frozenset((tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE))
#: Offsets of the bytes that tell whether a sparse file's map continues in the next block.
_SPARSE_IN_HEADER: Final = 482
_SPARSE_IN_BLOCK: Final = 504


class TarInput(Protocol):
    """The bytes of a tar, read strictly forwards."""

    @property
    def position(self) -> int: ...

    @property
    def packed(self) -> int:
        """Bytes of the archive itself read so far."""
        ...

    def read(self, size: int) -> bytes:
        """Read ``size`` bytes, fewer only at the end."""
        ...

    def skip(self, size: int) -> None:
        """Skip bytes. Raises EOFError where fewer are left."""
        ...


@dataclass(frozen=True, slots=True)
class TarMember:
    """A member, of ``size`` bytes at ``offset``, where the input now stands: ``is_file`` for a plain file.

    Links, devices and folders are not files, nor are files with holes, which no camera writes.
    """

    name: bytes
    offset: int
    size: int
    is_file: bool


@dataclass(slots=True)
class _Description:
    """Values that extension headers state about the next member; they override its own header."""

    name: bytes | None = None
    size: int | None = None
    is_sparse: bool = False
    headers: int = 0


def tar_members(file: TarInput) -> Iterator[TarMember]:
    """Yield every member; read its bytes before advancing, or they are skipped.

    Raises MediaError where there are too many, and the errors that :func:`translate_errors` translates.
    """
    description, count = _Description(), MemberCount()
    while (block := _header(file)) is not None:
        header = tarfile.TarInfo.frombuf(block, tarfile.ENCODING, "surrogateescape")
        if header.size < 0:
            raise tarfile.ReadError(f"a header of {header.size:,} bytes")
        if header.type in _LONG_NAMES or header.type in _PAX:
            _read_description(description, header, file)
            continue
        is_sparse = description.is_sparse or header.type == tarfile.GNUTYPE_SPARSE
        if header.type == tarfile.GNUTYPE_SPARSE:
            _skip_map(file, block)
        has_bytes = header.isreg() or header.type not in tarfile.SUPPORTED_TYPES
        size = (header.size if description.size is None else description.size) if has_bytes else 0
        name = os.fsencode(header.name) if description.name is None else description.name
        count.add(name, file.packed)
        start, description = file.position, _Description()
        yield TarMember(name, start, size, header.isreg() and not is_sparse)
        file.skip(start + size + -size % _BLOCK - file.position)


def _header(file: TarInput) -> bytes | None:
    """Read the next block; None at the end of the archive, which some writers do not mark."""
    block = file.read(_BLOCK)
    if not block and file.position == 0:
        raise tarfile.ReadError("empty file")
    if 0 < len(block) < _BLOCK:
        raise EOFError("it ends in a header")
    return block if block and block != _END_BLOCK else None


def _read_description(description: _Description, header: tarfile.TarInfo, file: TarInput) -> None:
    """Read a header that describes the next one. Global headers, for all that follow, say nothing of use."""
    if header.size > _MAX_DESCRIPTION:
        raise tarfile.ReadError(f"a header of {header.size:,} bytes")
    description.headers += 1
    if description.headers > _MAX_DESCRIPTIONS:
        raise tarfile.TarError(f"more than {_MAX_DESCRIPTIONS} headers describe one member")
    data = file.read(header.size)
    if len(data) < header.size:
        raise EOFError("it ends in a header")
    file.skip(-header.size % _BLOCK)
    if header.type == tarfile.GNUTYPE_LONGNAME:
        description.name = data.partition(b"\0")[0]
    elif header.type in _PAX and header.type != tarfile.XGLTYPE:
        for key, value in _pax_records(data):
            if key == b"path":
                description.name = value.rstrip(b"/")
            elif key == b"size":
                description.size = _number(value)
            elif key.startswith(b"GNU.sparse."):
                description.is_sparse = True


def _pax_records(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Parse records of the form ``length key=value``, each with a line feed."""
    at = 0
    while at < len(data) and data[at]:
        digits = data[at : at + 20].partition(b" ")[0]
        end = at + _number(digits)
        key, equals, value = data[at + len(digits) + 1 : end - 1].partition(b"=")
        if not equals or data[end - 1 : end] != b"\n":
            raise tarfile.TarError("a pax record is broken")
        yield key, value
        at = end


def _number(digits: bytes) -> int:
    """Parse digits as a number that fits into 63 bits."""
    if not digits.isdigit() or len(digits) > 18:
        raise tarfile.TarError(f"{digits[:20]!r} is not a size")
    return int(digits)


def _skip_map(file: TarInput, block: bytes) -> None:
    """Skip the rest of a sparse file's map."""
    goes_on = block[_SPARSE_IN_HEADER]
    while goes_on:
        block = file.read(_BLOCK)
        if len(block) < _BLOCK:
            raise EOFError("it ends in a header")
        goes_on = block[_SPARSE_IN_BLOCK]


@contextmanager
def translate_errors() -> Iterator[None]:
    """Translate errors of a damaged tar to MediaError; an OSError of the system passes."""
    try:
        yield
    except Cancelled:  # the reader was told to stop; this error has no number
        raise
    except (tarfile.ReadError, tarfile.HeaderError, EOFError) as error:
        raise MediaError(SkipReason.TRUNCATED, f"broken or cut tar: {error}") from error
    except (tarfile.TarError, zlib.error, LZMAError, ValueError, OverflowError, RecursionError) as error:
        raise MediaError(SkipReason.CORRUPT, f"broken tar: {error}") from error
    except OSError as error:
        if error.errno is not None:
            raise
        raise MediaError(SkipReason.CORRUPT, f"broken tar: {error}") from error
