"""What is read of an archive: its pictures in order, their bytes, and the texts that lie beside them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeAlias

from imseek.errors import MediaError
from imseek.media.decode import DEFAULT_LIMITS
from imseek.media.sidecar import MAX_BYTES
from imseek.types import SkipReason

#: Endings of texts that lie beside a picture under its name.
BESIDE: Final = (b".txt", b".json")

Takes: TypeAlias = Callable[[bytes], bool]


@dataclass(frozen=True, slots=True, eq=False)
class Member:
    """A picture in an archive: its name there, what its archive needs to read it, and texts beside it by ending."""

    name: bytes
    where: Any
    beside: dict[bytes, Any] = field(default_factory=dict)


class Archive(Protocol):
    """An open archive. It is closed when nobody holds it or a member of it any more."""

    def members(self, takes: Takes) -> Iterator[Member]:
        """The pictures whose names are taken, in the order of the archive, each name once. Raises MediaError."""
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


def stem_and_ending(name: bytes) -> tuple[bytes, bytes]:
    """What a picture and its texts share, and the ending in lower case."""
    stem, ending = os.path.splitext(name)
    return stem, ending.lower()


def too_large(limit: int) -> MediaError:
    return MediaError(SkipReason.TOO_MANY_BYTES, f"larger than {limit:,} bytes")
