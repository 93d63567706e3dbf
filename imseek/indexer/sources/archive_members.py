"""The archive protocol, and reading an archive's pictures and their sidecar texts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeAlias

from imseek.errors import MediaError
from imseek.indexer.sources.archive_limits import MAX_NAME
from imseek.indexer.sources.sidecar_files import find_sidecars
from imseek.media.decode import DEFAULT_LIMITS
from imseek.media.sidecar import MAX_BYTES
from imseek.types.pictures import SkipReason

#: Bytes of a stream's pictures in memory at once, read ahead or behind: eight of the largest.
MAX_BUFFERED_BYTES: Final = 512 * 2**20

NameFilter: TypeAlias = Callable[[bytes], bool]


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Member:
    """A picture in an archive: its name, what the archive needs to read it, and the texts beside it by ending."""

    name: bytes
    where: Any
    beside: dict[bytes, Any] = field(default_factory=dict)


class Archive(Protocol):
    """An open archive. It is closed once neither it nor any of its members is referenced."""

    def members(self, takes: NameFilter) -> Iterator[Member]:
        """Yield the pictures whose names ``takes`` accepts, in the order of the archive, each name once.

        In a broken archive, the members before the damage come first. Raises MediaError, OSError.
        """
        ...

    def read(self, where: Any, limit: int) -> bytes:
        """Read a picture or text; safe in several threads at once. Raises MediaError, also above ``limit`` bytes."""
        ...


def read_picture(archive: Archive, member: Member) -> bytes:
    """Read the bytes of a picture."""
    return archive.read(member.where, DEFAULT_LIMITS.max_bytes)


def read_text(archive: Archive, member: Member, ending: bytes) -> bytes | None:
    """Read a text beside a picture; None where it is missing, broken or too large, since the picture matters more."""
    where = member.beside.get(ending)
    if where is None:
        return None
    try:
        return archive.read(where, MAX_BYTES)
    except MediaError:
        return None


def buffered_bytes(member: Member) -> int:
    """Count the bytes of a member already in memory, as for members of a stream."""
    return sum(len(part) for part in (member.where, *member.beside.values()) if isinstance(part, bytes))


def picture_members(files: Mapping[bytes, Any], takes: NameFilter) -> Iterator[Member]:
    """Yield the pictures among an archive's files, given by name, each with the texts beside it."""
    for name, where in files.items():
        if takes(name):
            beside = find_sidecars(name, files, sample_key(name))
            yield Member(name, where, {ending: files[sidecar] for ending, sidecar in beside.items()})


def sample_key(name: bytes) -> bytes:
    """Return the key shared by a WebDataset sample's files: the path up to the first dot of the file name."""
    folder, slash, base = name.rpartition(b"/")
    # A leading dot hides a file and does not end the key.
    end = base.find(b".", 1)
    return folder + slash + (base if end < 0 else base[:end])


def is_valid_name(name: bytes) -> bool:
    """Tell whether a member can have a place in the catalog, where NUL separates container and member."""
    return 0 < len(name) <= MAX_NAME and b"\0" not in name


def too_large_error(limit: int) -> MediaError:
    return MediaError(SkipReason.TOO_MANY_BYTES, f"larger than {limit:,} bytes")
