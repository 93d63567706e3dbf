"""Find members of an archive by name, in about the order in which they lie in it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from imseek.indexer.sources.archive_members import MAX_BUFFERED_BYTES, Archive, Member, buffered_bytes
from imseek.indexer.sources.filters import looks_like_picture


class Finder:
    """Finds members in one pass as long as each lies ahead, or was passed recently.

    Keeps the last ``window`` members (None: all), or fewer where they hold much memory, since threads ask slightly out
    of order and a member of a stream holds its bytes. Starts over for a member further back. For one thread at a time.
    """

    def __init__(self, open_archive: Callable[[], Archive], window: int | None) -> None:
        self._open = open_archive
        self._window = window
        self._start()

    def _start(self) -> None:
        self.archive = self._open()
        self._members = self.archive.members(looks_like_picture)
        self._recent: OrderedDict[bytes, Member] = OrderedDict()
        self._passed: set[bytes] = set()
        self._buffered = 0

    def find(self, name: bytes) -> Member | None:
        """Return the member called ``name``, or None.

        Raises OSError, and MediaError where the archive is broken before it.
        """
        if name in self._recent:
            return self._recent[name]
        if name in self._passed:
            self._start()
        for member in self._members:
            self._passed.add(member.name)
            self._recent[member.name] = member
            self._buffered += buffered_bytes(member)
            while self._window is not None and (
                len(self._recent) > self._window or self._buffered > MAX_BUFFERED_BYTES
            ):
                _, oldest = self._recent.popitem(last=False)
                self._buffered -= buffered_bytes(oldest)
            if member.name == name:
                return member
        return None
