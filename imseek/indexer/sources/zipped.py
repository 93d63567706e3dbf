"""Zip files. Any member can be read at once, so workers read what they decode."""

from __future__ import annotations

import os
import struct
import weakref
import zipfile
import zlib
from collections.abc import Iterator
from lzma import LZMAError
from typing import IO, Final

from imseek.errors import MediaError
from imseek.indexer.sources.members import Member, Takes, can_be_named, pictures, too_large
from imseek.types import SkipReason

#: What `zipfile` and the codecs raise at damage, besides OSError without a number.
_DAMAGE: Final = (
    zipfile.BadZipFile, zlib.error, LZMAError, struct.error, EOFError, ValueError, OverflowError, RuntimeError,
)  # fmt: skip


class Zip:
    """An open zip file. ``zipfile`` takes turns at the file itself and inflates in the thread that reads."""

    def __init__(self, file: IO[bytes]) -> None:
        """``file`` can seek. Raises OSError, MediaError where it is no zip."""
        weakref.finalize(self, file.close)
        try:
            self._zip = zipfile.ZipFile(file)
        except (*_DAMAGE, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise MediaError(SkipReason.CORRUPT, f"broken zip: {error}") from error

    def members(self, takes: Takes) -> Iterator[Member]:
        """Of members with one name the last counts, as it does for whoever unpacks them."""
        files = {_name(info): info for info in self._zip.infolist() if not info.is_dir()}
        yield from pictures({name: info for name, info in files.items() if can_be_named(name)}, takes)

    def read(self, where: zipfile.ZipInfo, limit: int) -> bytes:
        if where.flag_bits & 1:
            raise MediaError(SkipReason.MISSING_CODEC, "it is encrypted")
        if where.file_size > limit:
            raise too_large(limit)
        try:
            with self._zip.open(where) as member:
                data = member.read(limit + 1)
        except NotImplementedError as error:
            raise MediaError(
                SkipReason.MISSING_CODEC, f"this way of compression is unknown: {error}"
            ) from error
        except (*_DAMAGE, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise MediaError(SkipReason.CORRUPT, f"broken member of a zip: {error}") from error
        if len(data) > limit:  # It is larger than it says.
            raise too_large(limit)
        return data


def _name(info: zipfile.ZipInfo) -> bytes:
    return os.fsencode(info.filename)
