"""What the catalog keeps of a file to tell later whether its content may have changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class FileStat:
    """What the file system says of a file, as far as it tells whether the content may have changed.

    ``checked_ns`` is the wall clock when the content was last hashed: a file modified within two seconds of
    that may have changed again without a new time stamp ("racy", as in git's index).
    """

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    checked_ns: int

    def same_as(self, other: FileStat) -> bool:
        """Whether ``other``, seen later, can be taken for the same content without opening the file."""
        racy = max(self.mtime_ns, self.ctime_ns) > self.checked_ns - 2_000_000_000
        return not racy and self.same_file(other)

    def same_file(self, other: FileStat) -> bool:
        """Whether both are of one file, as far as its size, times and inode tell."""
        return self._key == other._key

    def has_bytes_of(self, other: FileStat) -> bool:
        """The same as far as a new name leaves it: that is a change of its own (ctime)."""
        return (self.size, self.mtime_ns, self.inode) == (other.size, other.mtime_ns, other.inode)

    @property
    def _key(self) -> tuple[int, int, int, int]:
        return (self.size, self.mtime_ns, self.ctime_ns, self.inode)


#: The stat of a file that must be read again whatever it looks like.
UNKNOWN_STAT: Final = FileStat(-1, 0, 0, 0, 0)
