"""Zip files. Members can be read in any order, so workers read what they decode."""

from __future__ import annotations

import bz2
import copy
import lzma
import os
import struct
import weakref
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO, Final

import numpy as np

from imseek.errors import MediaError
from imseek.indexer.sources.archive_limits import check_list, check_unpacked
from imseek.indexer.sources.archive_members import (
    Member,
    NameFilter,
    is_valid_name,
    picture_members,
    too_large_error,
)
from imseek.media.decode import DEFAULT_LIMITS
from imseek.types.pictures import SkipReason

#: Errors of `zipfile` and the codecs for damage, besides OSError without a number.
_DAMAGE_ERRORS: Final = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, ValueError, OverflowError, RuntimeError,
)  # fmt: skip
#: Signature of each entry in the list of members.
_ENTRY_MAGIC: Final = b"PK\x01\x02"
#: Bytes of a member's local header, without its name.
_HEADER_BYTES: Final = 30
#: Memory to unpack an LZMA member, which could demand 4 GiB.
_LZMA_MEMORY: Final = 256 * 2**20
#: A read larger than this is of the list of members, which `zipfile` reads in one piece.
_LARGE_READ: Final = 2**20


class Zip:
    """An open zip file. ``zipfile`` serialises access to the file and decompresses in the reading thread."""

    def __init__(self, file: IO[bytes]) -> None:
        """Read the list of members from ``file``, which must be seekable.

        Raises OSError, and MediaError where it is no zip or its list does not fit into memory.
        """
        weakref.finalize(self, file.close)
        try:
            self._size = file.seek(0, os.SEEK_END)
            listing = _BoundedFile(file)
            self._zip = zipfile.ZipFile(listing)
            listing.is_read = True
            offsets = (info.header_offset for info in self._zip.infolist())
            self._offsets = np.sort(np.fromiter(offsets, np.int64))
        except (*_DAMAGE_ERRORS, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise MediaError(SkipReason.CORRUPT, f"broken zip: {error}") from error

    def members(self, takes: NameFilter) -> Iterator[Member]:
        """Yield the pictures. Of members with the same name the last counts, as for an unpacker."""
        # Includes folders, which end in a slash and so do not count as pictures.
        files = {_name(info): info for info in self._zip.infolist()}
        unpacked = 0
        for member in picture_members({name: info for name, info in files.items() if is_valid_name(name)}, takes):
            info: zipfile.ZipInfo = member.where
            if info.file_size <= DEFAULT_LIMITS.max_bytes and not _is_bomb(info):
                unpacked += info.file_size  # what is not unpacked costs nothing
                check_unpacked(unpacked, self._size)
            yield member

    def read(self, where: zipfile.ZipInfo, limit: int) -> bytes:
        if where.flag_bits & 1:
            raise MediaError(SkipReason.MISSING_CODEC, "it is encrypted")
        if where.file_size > limit:
            raise too_large_error(limit)
        check_unpacked(where.file_size, where.compress_size)
        self._check_room(where)
        try:
            data = self._unpacked(where, limit)
        except NotImplementedError as error:
            raise MediaError(SkipReason.MISSING_CODEC, f"this way of compression is unknown: {error}") from error
        except (*_DAMAGE_ERRORS, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise MediaError(SkipReason.CORRUPT, f"broken member of a zip: {error}") from error
        if len(data) > limit:  # it is larger than stated
            raise too_large_error(limit)
        return data

    def _check_room(self, where: zipfile.ZipInfo) -> None:
        """Raise MediaError where a member overlaps the next one, so that a bomb cannot reuse the same bytes.

        Fifield, A better zip bomb (2019). Python checks this itself since 3.11.8.
        """
        first, after = (np.searchsorted(self._offsets, where.header_offset, side) for side in ("left", "right"))
        end = self._offsets[after] if after < len(self._offsets) else self._zip.start_dir
        if after - first > 1 or where.header_offset + _HEADER_BYTES + where.compress_size > end:
            raise MediaError(SkipReason.CORRUPT, "broken member of a zip: it overlaps another one")

    def _unpacked(self, where: zipfile.ZipInfo, limit: int) -> bytes:
        """Decompress a member, up to one byte more than it states."""
        if where.compress_type not in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
            with self._zip.open(where) as member:
                return member.read(limit + 1)
        # `zipfile` unpacks these without a bound, whatever size they state.
        packed = copy.copy(where)
        packed.compress_type, packed.file_size = zipfile.ZIP_STORED, where.compress_size
        del packed.CRC
        with self._zip.open(packed) as member:
            stream = bz2.BZ2File(member) if where.compress_type == zipfile.ZIP_BZIP2 else _lzma_stream(member)
            data = stream.read(where.file_size)
        if zlib.crc32(data) != where.CRC:
            raise zipfile.BadZipFile("its checksum differs")
        return data


def _lzma_stream(member: IO[bytes]) -> lzma.LZMAFile:
    """Open an LZMA member after reading the properties that a zip puts before the data (APPNOTE 5.8.8)."""
    _, length = struct.unpack("<HH", member.read(4))
    packing, dictionary = struct.unpack("<BI", member.read(length))
    if dictionary > _LZMA_MEMORY:
        raise MediaError(SkipReason.TOO_MANY_BYTES, f"unpacking it takes {dictionary:,} bytes of memory")
    rest, literal_context = divmod(packing, 9)
    position, literal_position = divmod(rest, 5)
    properties = {
        "id": lzma.FILTER_LZMA1,
        "dict_size": dictionary,
        "lc": literal_context,
        "lp": literal_position,
        "pb": position,
    }
    return lzma.LZMAFile(member, format=lzma.FORMAT_RAW, filters=[properties])


class _BoundedFile:
    """A file that lets ``zipfile`` read a list of members only if it fits into memory."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.is_read = False
        self.seek, self.tell, self.close, self.seekable = file.seek, file.tell, file.close, file.seekable

    def read(self, size: int = -1) -> bytes:
        if self.is_read or size <= _LARGE_READ:
            return self._file.read(size)
        check_list(0, size)
        data = self._file.read(size)
        check_list(data.count(_ENTRY_MAGIC), size)
        return data


def _is_bomb(info: zipfile.ZipInfo) -> bool:
    try:
        check_unpacked(info.file_size, info.compress_size)
    except MediaError:
        return True
    return False


def _name(info: zipfile.ZipInfo) -> bytes:
    return os.fsencode(info.filename)
