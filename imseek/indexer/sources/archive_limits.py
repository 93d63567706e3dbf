"""Limits on unpacking an archive, far above archives of pictures and below decompression bombs.

Deflate expands one byte to at most 1,032; bzip2 and xz to a million. Photographs do not shrink at all; screenshots and
scans stored as BMP or TIFF shrink to a 20th or a 60th, and text to a 10th.
"""

from __future__ import annotations

from typing import Final

from imseek.errors import MediaError
from imseek.types.pictures import SkipReason

#: Largest expansion ratio: three times the ratio of plain text, a fifth of deflate's maximum.
MAX_RATIO: Final = 200
#: Bytes allowed whatever the ratio: five A4 pages in colour, which may be blank.
FREE_BYTES: Final = 128 * 2**20
#: Largest ratio for skipped members, which are not pictures. Log files, which shrink most, reach 15.
MAX_SKIPPED_RATIO: Final = 16
#: Skipped bytes allowed whatever the ratio: a sparse disk image between the pictures.
FREE_SKIPPED_BYTES: Final = 2**30

#: Most members of one archive: three times the pictures of ImageNet. Their list is held in memory, up to 1 kB per
#: member.
MAX_MEMBERS: Final = 2**22
#: Members of a tar allowed whatever its size, and the least packed bytes of each further one: name, size and time alone
#: take more unless they are all the same.
FREE_MEMBERS: Final = 100_000
MIN_PACKED_MEMBER: Final = 16
#: Most bytes of all names together, and of the list at the end of a zip.
MAX_LIST_BYTES: Final = 2**29
#: Rows of a table allowed whatever its size; each further one takes at least the byte that distinguishes it.
FREE_ROWS: Final = 100_000
#: Most bytes of one name; Linux opens none longer.
MAX_NAME: Final = 4096


def check_unpacked(unpacked: int, packed: int) -> None:
    """Raise MediaError where ``packed`` bytes of an archive have expanded too far."""
    if unpacked > FREE_BYTES + MAX_RATIO * packed:
        raise _refusal(
            f"{packed:,} bytes of it unpack to {unpacked:,}, "
            f"more than {MAX_RATIO} times as many (and {_size(FREE_BYTES)})"
        )


def check_skipped(skipped: int, packed: int) -> None:
    """Raise MediaError where ``packed`` bytes have expanded to too many bytes of members that are not pictures."""
    if skipped > FREE_SKIPPED_BYTES + MAX_SKIPPED_RATIO * packed:
        raise _refusal(
            f"{packed:,} bytes of it unpack to {skipped:,} that are not pictures, "
            f"more than {MAX_SKIPPED_RATIO} times as many (and {_size(FREE_SKIPPED_BYTES)})"
        )


def check_rows(rows: int, size: int) -> None:
    """Raise MediaError where a table of ``size`` bytes (0: unknown) has too many rows."""
    if size and rows > FREE_ROWS + size:
        raise _refusal(f"its {size:,} bytes hold more than {rows - 1:,} rows, less than a byte for each")


class MemberCount:
    """Counts the members of a tar. Raises MediaError where they would take too much time and memory."""

    def __init__(self) -> None:
        self._members = self._bytes = 0

    def add(self, name: bytes, packed: int) -> None:
        """Count a member found after ``packed`` bytes of the archive."""
        self._members += 1
        self._bytes += len(name)
        check_list(self._members, self._bytes)
        if self._members > FREE_MEMBERS + packed // MIN_PACKED_MEMBER:
            raise _refusal(
                f"{packed:,} bytes of it hold {self._members:,} members, "
                f"less than {MIN_PACKED_MEMBER} bytes for each (beyond the first {FREE_MEMBERS:,})"
            )


def check_list(members: int, size: int) -> None:
    """Raise MediaError where an archive has too many members, or too long a list of them."""
    if members > MAX_MEMBERS:
        raise _refusal(f"it has more than {MAX_MEMBERS:,} members")
    if size > MAX_LIST_BYTES:
        raise _refusal(f"the list of its members is larger than {_size(MAX_LIST_BYTES)}")


def _refusal(message: str) -> MediaError:
    return MediaError(SkipReason.TOO_MANY_BYTES, f"refused as a packing bomb: {message}")


def _size(count: int) -> str:
    return f"{count >> 20:,} MiB"
