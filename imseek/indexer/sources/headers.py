"""Headers of a tar that nobody vouches for. ``tarfile`` takes a broken one for the end of the archive."""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from lzma import LZMAError
from typing import Final, Self

from imseek.errors import MediaError
from imseek.types import SkipReason

#: The largest header that only describes the next one (a long name, pax records): it is held in memory.
_MAX_DESCRIPTION: Final = 2**20
_DESCRIPTIONS: Final = frozenset(
    (
        tarfile.GNUTYPE_LONGNAME,
        tarfile.GNUTYPE_LONGLINK,
        tarfile.XHDTYPE,
        tarfile.XGLTYPE,
        tarfile.SOLARIS_XHDTYPE,
    )
)


class Header(tarfile.TarInfo):
    """Refuses what would pass for the end of the tar, fill the memory, or lead backwards."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        info = super().frombuf(buf, encoding, errors)
        if info.size < 0 or (info.type in _DESCRIPTIONS and info.size > _MAX_DESCRIPTION):
            raise tarfile.ReadError(f"a header of {info.size:,} bytes")
        return info

    @classmethod
    def fromtarfile(cls, tarfile: tarfile.TarFile) -> Self:
        try:
            info = super().fromtarfile(tarfile)
        except (_tarfile.InvalidHeaderError, _tarfile.TruncatedHeaderError) as error:  # type: ignore[attr-defined]
            raise _tarfile.ReadError(str(error)) from error
        if info.size < 0:  # A pax record may say so.
            raise _tarfile.ReadError(f"a member of {info.size:,} bytes")
        return info


#: The name that the parameter above hides.
_tarfile = tarfile


@contextmanager
def explained() -> Iterator[None]:
    """Damage of a tar as MediaError; an OSError of the system passes."""
    try:
        yield
    except (tarfile.ReadError, EOFError) as error:
        raise MediaError(SkipReason.TRUNCATED, f"broken or cut tar: {error}") from error
    except (tarfile.TarError, zlib.error, LZMAError, ValueError, OverflowError, RecursionError) as error:
        raise MediaError(SkipReason.CORRUPT, f"broken tar: {error}") from error
    except OSError as error:
        if error.errno is not None:
            raise
        raise MediaError(SkipReason.CORRUPT, f"broken tar: {error}") from error
