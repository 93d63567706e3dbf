"""Duplicates: pairs, groups, and the choice of a keeper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from imseek.types.pictures import Place

#: Strictest first. *exact*: the same bytes. *same*: one image re-encoded, resized, recoloured, rotated, or slightly
#: cropped. *inside*: one is a crop of the other. *scene*: two photos of one scene.
DuplicateKind: TypeAlias = Literal["exact", "same", "inside", "scene"]
#: A person's decision on two contents.
Verdict: TypeAlias = Literal["same", "different"]
#: Rule that chooses the keeper of a group.
KeepRule: TypeAlias = Literal["best", "largest", "oldest", "newest", "path-priority"]


@dataclass(frozen=True, slots=True)
class DuplicatePair:
    """Two images that are duplicates; ``a`` < ``b`` in one collection, or ``b`` belongs to the other collection.

    ``confidence`` is the measured share of such pairs that truly are of this ``kind`` (docs/duplicates.md). ``cosine``
    compares their vectors. ``distance`` is the number of differing bits (of 64) of their perceptual hashes, the least
    over all orientations; ``orientation`` says how ``b`` is turned ("" if it is not). ``correlation`` compares their
    pixels after alignment. None: unknown or not computed. ``judged`` is True where a person has decided.
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
class DuplicateContents:
    """Duplicate contents: ``images`` of each content by their lowest id, and pairs of contents, by that id, with their
    kind."""

    images: Mapping[int, Sequence[int]]
    pairs: Sequence[tuple[int, int, DuplicateKind]]


@dataclass(frozen=True, slots=True)
class Duplicate:
    """An image of a duplicate group.

    ``content_hash`` is the hexadecimal sha256 and ``bytes`` the size of the file; ``width`` and ``height`` are upright
    pixels. ``pair`` relates it to the keeper, None for the keeper itself. ``protected`` images lie in a protected
    folder.
    """

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
    """Images that are all duplicates of each other, the keeper first.

    ``kind`` is the loosest of their pairs; ``reason`` says why the keeper was chosen.
    """

    kind: DuplicateKind
    members: tuple[Duplicate, ...]
    reason: str

    @property
    def keeper(self) -> Duplicate:
        """The image to keep."""
        return self.members[0]

    @property
    def others(self) -> tuple[Duplicate, ...]:
        """All images but the keeper."""
        return self.members[1:]

    @property
    def surplus(self) -> tuple[Duplicate, ...]:
        """Images that may be removed: not protected, and not in a group of crops, where neither image replaces the
        other."""
        return tuple(other for other in self.others if not self.keeps(other))

    def keeps(self, member: Duplicate) -> bool:
        """Tell whether a member must be kept."""
        return member is self.keeper or member.protected or self.kind == "inside"


@dataclass(frozen=True, slots=True)
class DuplicateReport:
    """Duplicate groups, by kind and then by reclaimable bytes, most first.

    ``pairs`` counts pairs by kind; ``judged`` counts pairs left out because a person called them different. ``against``
    is the UUID of the other collection, if any. If ``interrupted``, the next call resumes.
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
        """Number of images that may be removed."""
        return sum(len(group.surplus) for group in self.groups)

    @property
    def bytes(self) -> int:
        """Total size of the files that may be removed."""
        return sum(member.bytes for group in self.groups for member in group.surplus)


@dataclass(frozen=True, slots=True)
class Judgement:
    """A person's decision on two contents: hexadecimal sha256, ``a`` < ``b``; ``decided_at`` is ISO 8601 in UTC."""

    a: str
    b: str
    verdict: Verdict
    provenance: str
    decided_at: str
