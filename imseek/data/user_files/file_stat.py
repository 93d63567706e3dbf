"""The stat of a file that the catalog keeps, to detect later changes of its content."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

#: File systems stamp times as coarsely as this.
RACY_NS: Final = 2_000_000_000


@dataclass(frozen=True, slots=True)
class FileStat:
    """Stat fields of a file that indicate whether its content may have changed.

    ``checked_ns`` is the wall clock when the content was last hashed. A file modified less than RACY_NS before that
    may have changed again without a new time stamp ("racy", as in git's index).
    """

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    checked_ns: int

    def same_as(self, other: FileStat) -> bool:
        """Whether ``other``, seen later, proves the same content without opening the file."""
        is_racy = max(self.mtime_ns, self.ctime_ns) > self.checked_ns - RACY_NS
        return not is_racy and self.same_file(other)

    def same_file(self, other: FileStat) -> bool:
        """Whether size, times and inode are equal."""
        return self._key == other._key

    def has_bytes_of(self, other: FileStat) -> bool:
        """As :meth:`same_file`, but a rename in between is allowed: it changes the ctime."""
        return (self.size, self.mtime_ns, self.inode) == (other.size, other.mtime_ns, other.inode)

    @property
    def _key(self) -> tuple[int, int, int, int]:
        return (self.size, self.mtime_ns, self.ctime_ns, self.inode)


#: Stands for a state of the files beside a picture in which they must be read again in any case.
UNKNOWN_SIDECARS: Final = "?"
#: Stat of a file that must be read again in any case.
UNKNOWN_STAT: Final = FileStat(-1, 0, 0, 0, 0)
