"""Pictures that are there more than once: pairs, groups, and which one of a group is to stay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from imseek.types.pictures import Place

#: From the strictest to the loosest. *exact*: the same bytes. *same*: one picture, encoded again, resized, recoloured,
#: turned, or slightly cropped. *inside*: one is part of the other. *scene*: two pictures of one scene.
DuplicateKind: TypeAlias = Literal["exact", "same", "inside", "scene"]
#: What a person has said of two contents.
Verdict: TypeAlias = Literal["same", "different"]
#: Which image of a group is to stay.
KeepRule: TypeAlias = Literal["best", "largest", "oldest", "newest", "path-priority"]


@dataclass(frozen=True, slots=True)
class DuplicatePair:
    """Two images that are duplicates, ``a`` < ``b`` within one collection; against another one, ``b`` is of that.

    ``confidence`` is the share of such pairs that are of this ``kind``, as measured (docs/duplicates.md). ``cosine`` is
    that of their vectors; ``distance`` the bits (of 64) in which their perceptual hashes differ, the least over
    ``orientation``: how ``b`` is turned ("" if it is not); ``correlation`` that of their pixels once one is laid over
    the other. None: not known, or not looked at. ``judged`` tells that a person has said so.
    """

    a: int
    b: int
    kind: DuplicateKind
    confidence: float
    cosine: float | None = None
    distance: int | None = None
    correlation: float | None = None
    orientation: str = ""
    judged: bool = False


@dataclass(frozen=True, slots=True)
class Repeats:
    """Images that are there more than once: ``images`` of each content, by the lowest id of them, and pairs of contents
    by these, with their kind."""

    images: Mapping[int, Sequence[int]]
    pairs: Sequence[tuple[int, int, DuplicateKind]]


@dataclass(frozen=True, slots=True)
class Duplicate:
    """An image of a group. ``content_hash`` is hexadecimal sha256 of the file; ``bytes`` the size of the file;
    ``width`` and ``height`` are pixels, upright; ``pair`` is how it is related to the keeper, None for the keeper.
    ``protected``: it lies where everything is to stay."""

    collection: str
    image_id: int
    place: Place | None
    content_hash: str
    width: int
    height: int
    bytes: int
    format: str
    taken_at: str | None = None
    pair: DuplicatePair | None = None
    protected: bool = False


@dataclass(frozen=True, slots=True)
class DuplicateGroup:
    """Images of which each is a duplicate of each other, the keeper first. ``kind`` is the loosest of its pairs';
    ``reason`` says why the keeper is to stay."""

    kind: DuplicateKind
    members: tuple[Duplicate, ...]
    reason: str

    @property
    def keeper(self) -> Duplicate:
        return self.members[0]

    @property
    def others(self) -> tuple[Duplicate, ...]:
        return self.members[1:]

    @property
    def surplus(self) -> tuple[Duplicate, ...]:
        """The others that are not protected, but where one is only part of the other: neither takes the place of the
        other there."""
        return tuple(other for other in self.others if not self.keeps(other))

    def keeps(self, member: Duplicate) -> bool:
        """Whether this very member is to stay."""
        return member is self.keeper or member.protected or self.kind == "inside"


@dataclass(frozen=True, slots=True)
class DuplicateReport:
    """What was found: groups by kind, then by what removing would free, the most first.

    ``pairs`` counts pairs by kind, ``judged`` those that a person has called different and that are left out for it.
    ``against`` is the UUID of the other collection, where there is one. ``interrupted``: stopped before the end; the
    next call goes on there.
    """

    collection: str
    generation: int
    searched: int
    groups: tuple[DuplicateGroup, ...]
    pairs: Mapping[str, int] = field(default_factory=dict)
    judged: int = 0
    notes: tuple[str, ...] = ()
    against: str | None = None
    interrupted: bool = False

    @property
    def surplus(self) -> int:
        """How many images there are beside the keepers, but for those that are part of others."""
        return sum(len(group.surplus) for group in self.groups)

    @property
    def bytes(self) -> int:
        """What their files take."""
        return sum(member.bytes for group in self.groups for member in group.surplus)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a person has said of two contents: hexadecimal sha256, ``a`` < ``b``; ``decided_at`` is ISO 8601 in UTC."""

    a: str
    b: str
    verdict: Verdict
    provenance: str
    decided_at: str
