"""What is read of an archive: its pictures in order, their bytes, and the texts that lie beside them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeAlias

from imseek.errors import MediaError
from imseek.indexer.sources.archive_limits import MAX_NAME
from imseek.media.decode import DEFAULT_LIMITS
from imseek.media.sidecar import MAX_BYTES
from imseek.types import SkipReason

#: Endings of texts that lie beside a picture under its name.
BESIDE: Final = (b".txt", b".json")

#: Bytes of pictures of a stream that are in memory at once, read ahead or behind: eight of the largest.
MAX_HELD: Final = 512 * 2**20

Takes: TypeAlias = Callable[[bytes], bool]


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Member:
    """A picture in an archive: its name there, what its archive needs to read it, and texts beside it by ending."""

    name: bytes
    where: Any
    beside: dict[bytes, Any] = field(default_factory=dict)


class Archive(Protocol):
    """An open archive. It is closed when nobody holds it or a member of it any more."""

    def members(self, takes: Takes) -> Iterator[Member]:
        """The pictures whose names are taken, in the order of the archive, each name once.

        Where the archive is broken, those before the break come first. Raises MediaError, OSError.
        """
        ...

    def read(self, where: Any, limit: int) -> bytes:
        """The bytes of a picture or text, in several threads at once. Raises MediaError, also above ``limit``."""
        ...


def picture_of(archive: Archive, member: Member) -> bytes:
    return archive.read(member.where, DEFAULT_LIMITS.max_bytes)


def text_of(archive: Archive, member: Member, ending: bytes) -> bytes | None:
    """A text beside a picture; one that is broken or too large counts for none, as the picture is worth more."""
    where = member.beside.get(ending)
    if where is None:
        return None
    try:
        return archive.read(where, MAX_BYTES)
    except MediaError:
        return None


def bytes_held(member: Member) -> int:
    """Bytes of a member that are in memory already, as those of a stream are."""
    return sum(len(part) for part in (member.where, *member.beside.values()) if isinstance(part, bytes))


def pictures(files: Mapping[bytes, Any], takes: Takes) -> Iterator[Member]:
    """The pictures among the files of an archive, given by name, each with the texts beside it."""
    for name, where in files.items():
        if takes(name):
            yield Member(name, where, _beside(name, files))


def _beside(name: bytes, files: Mapping[bytes, Any]) -> dict[bytes, Any]:
    """For ``a.b.jpg`` the first of ``a.b.txt``, ``a.b.jpg.txt`` (as Takeout has it) and ``a.txt`` (WebDataset)."""
    found = {}
    for ending in BESIDE:
        for stem in (os.path.splitext(name)[0], name, key_of(name)):
            if stem + ending in files:
                found[ending] = files[stem + ending]
                break
    return found


def key_of(name: bytes) -> bytes:
    """What the files of one sample share in a WebDataset: the path up to the first dot of the file's name."""
    folder, slash, base = name.rpartition(b"/")
    # A dot at the very beginning hides a file, and ends no key.
    end = base.find(b".", 1)
    return folder + slash + (base if end < 0 else base[:end])


def is_text(name: bytes) -> bool:
    return name.endswith(BESIDE)


def can_be_named(name: bytes) -> bool:
    """Whether a member can have a place in the catalog, where NUL stands between container and member."""
    return 0 < len(name) <= MAX_NAME and b"\0" not in name


def too_large(limit: int) -> MediaError:
    return MediaError(SkipReason.TOO_MANY_BYTES, f"larger than {limit:,} bytes")
