"""Duplicates: pairs, groups, and the choice of a keeper."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Final, Literal, TypeAlias

from imseek.types.json_form import ContentHash, Count, Json, Score, Share, json_member
from imseek.types.pictures import ImagePlace

#: How two pictures are related; strictest first. `KIND_FACTS` says what each kind means.
DuplicateKind: TypeAlias = Literal["exact", "same", "edited", "inside", "scene"]
#: What becomes of the images of a kind that are not to be kept. *suggested*: they can go. *named*: they stay unless
#: the kind was asked for by name. *never*: they stay.
Removal: TypeAlias = Literal["suggested", "named", "never"]


@dataclass(frozen=True, slots=True)
class KindFacts:
    """What a kind of duplicates means, for all interfaces."""

    label: str
    """The relation of two pictures in a few words."""
    meaning: str
    """What pairs of this kind are."""
    removal: Removal
    colour: str
    """Colour of outlines and labels, readable on light and on dark ground."""


KIND_FACTS: Final[Mapping[DuplicateKind, KindFacts]] = {
    "exact": KindFacts("the same file", "the same file, byte for byte", "suggested", "#17693a"),
    "same": KindFacts(
        "the same picture",
        "one picture that was saved again, resized, recoloured, turned, or slightly cropped",
        "suggested",
        "#17693a",
    ),
    "edited": KindFacts(
        "the same picture, edited",
        "one picture in which something was added, covered or replaced: text, a sticker, an object, a symbol",
        "named",
        "#c2410c",
    ),
    "inside": KindFacts(
        "one inside the other",
        "one picture is part of the other: a strong crop, a screenshot of it, a tile of a collage",
        "never",
        "#2563eb",
    ),
    "scene": KindFacts(
        "the same scene",
        "two pictures of one scene: a burst, or the same view from a step aside",
        "suggested",
        "#7c3aed",
    ),
}
#: Strictest first.
KINDS: Final[tuple[DuplicateKind, ...]] = tuple(KIND_FACTS)
#: How an image is a further name of a file: a hard link to the file of another image, or a symbolic link.
LinkKind: TypeAlias = Literal["hard", "symbolic"]
#: Rule that chooses the keeper of a group.
KeepRule: TypeAlias = Literal["best", "largest", "oldest", "newest", "path-priority"]


def shown_kinds(kinds: Iterable[DuplicateKind]) -> tuple[DuplicateKind, ...]:
    """Return the kinds of pairs to report for those that were asked for: looking for the same pictures comes upon
    edited ones, which are shown."""
    kind_set = set(kinds)
    return tuple(kind for kind in KINDS if kind in kind_set or (kind == "edited" and "same" in kind_set))


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle, in shares of the sides of an upright picture."""

    left: Share
    top: Share
    width: Share
    height: Share


@dataclass(frozen=True, slots=True)
class Difference:
    """A place where two pictures differ, as it lies in each of them."""

    a: Box
    b: Box


@dataclass(frozen=True, slots=True)
class DuplicatePair:
    """Two images that are duplicates.

    Values that are unknown or were not computed are None.
    """

    a: Count
    """The lower id; of two collections, the id in the first."""
    b: Count
    kind: DuplicateKind
    confidence: Share
    """Share of such pairs that truly are of this kind, as measured or by a model of it (docs/duplicates.md)."""
    cosine: Score | None = None
    """Cosine of their vectors."""
    distance: Annotated[int | None, Json(minimum=0, maximum=64)] = None
    """Number of differing bits of their perceptual hashes, the least over all orientations."""
    correlation: Score | None = None
    """Correlation of their pixels after alignment."""
    orientation: str = ""
    """How b is turned; empty if it is not."""
    judged: bool = False
    """Whether a person has decided."""
    differences: tuple[Difference, ...] = ()
    """Where they differ, the largest place first, if the kind is edited; if it is inside, where something lies over one
    of them. Otherwise empty."""


@dataclass(frozen=True, slots=True)
class DuplicateContents:
    """Contents that are duplicates of each other."""

    images: Mapping[int, Sequence[int]]
    """The images of each content, by their lowest id."""
    pairs: Sequence[tuple[int, int, DuplicateKind]]
    """Pairs of contents, by that id, with their kind."""


@dataclass(frozen=True, slots=True)
class Duplicate:
    """An image of a duplicate group."""

    collection: str
    """UUID of its collection."""
    image_id: Count
    place: ImagePlace
    content_hash: ContentHash
    """Hexadecimal sha256 of the file."""
    width: Count
    """Pixels, upright."""
    height: Count
    bytes: Count
    """Size of the file."""
    format: str
    taken_at: str | None = None
    """ISO 8601 as the camera wrote it."""
    pair: DuplicatePair | None = None
    """Its relation to the keeper; null for the keeper itself."""
    protected: Annotated[bool, Json(hidden=True)] = False
    """Whether it lies in a protected folder."""
    link: LinkKind | None = None
    """hard: another name of the file of an image before it in the group; symbolic: a symbolic link. Removing it frees
    nothing. Null for a file of its own."""

    def is_sure(self, confidence: float) -> bool:
        """Tell whether its pair with the keeper has at least this confidence, 0 to 1, or was judged by a person."""
        return self.pair is None or self.pair.judged or self.pair.confidence >= confidence


@dataclass(frozen=True, slots=True)
class ProposedImage:
    """An image of a duplicate group, with what is proposed for it."""

    keep: bool
    """Whether it is to stay."""
    image: Annotated[Duplicate, Json(inline=True)]


@dataclass(frozen=True, slots=True)
class DuplicateGroup:
    """Images that are all duplicates of each other."""

    kind: DuplicateKind
    """The loosest kind of their pairs."""
    members: Annotated[tuple[Duplicate, ...], Json(hidden=True)]
    """The images, the keeper first."""
    reason: str
    """Why the keeper was chosen."""
    edited_stay: Annotated[bool, Json(hidden=True)] = False
    """Whether edited images stay, as nobody asked for that kind by name."""

    @property
    def keeper(self) -> Duplicate:
        """The image to keep."""
        return self.members[0]

    @property
    def others(self) -> tuple[Duplicate, ...]:
        """All images but the keeper."""
        return self.members[1:]

    @property
    def has_suggestion(self) -> bool:
        """Whether one image is suggested to replace the others; if not, all stay."""
        removal = KIND_FACTS[self.kind].removal
        return removal == "suggested" or (removal == "named" and not self.edited_stay)

    @property
    def surplus(self) -> tuple[Duplicate, ...]:
        """Images that may be removed: not protected, and not in a group whose images all stay."""
        return tuple(other for other in self.others if not self.keeps(other))

    @property
    def surplus_bytes(self) -> int:
        """Bytes on the disk that removing the surplus frees: those of links count nothing."""
        return sum(member.bytes for member in self.surplus if member.link is None)

    def keeps(self, member: Duplicate) -> bool:
        """Tell whether a member must be kept."""
        return member is self.keeper or member.protected or not self.has_suggestion

    def boxes_in(self, member: Duplicate) -> tuple[Box, ...]:
        """Return where a member differs from the keeper; in the keeper, where it differs from the others."""
        boxes: dict[Box, None] = {}
        for other in self.others if member is self.keeper else (member,):
            # A pair begins with the lower id, or with ours where the keeper is of another collection.
            is_first = self.keeper.collection == other.collection and self.keeper.image_id < other.image_id
            for difference in () if other.pair is None else other.pair.differences:
                boxes[difference.a if is_first == (member is self.keeper) else difference.b] = None
        return tuple(boxes)

    def at_least(self, confidence: float) -> DuplicateGroup | None:
        """Return a copy without the images whose pair with the keeper is less sure, 0 to 1; None if none are left.

        Pairs that a person has judged to be the same stay.
        """
        remaining = [
            (member, member.pair) for member in self.others if member.pair is not None and member.is_sure(confidence)
        ]
        if not remaining:
            return None
        kind = max((pair.kind for _, pair in remaining), key=KINDS.index)
        return replace(self, kind=kind, members=(self.keeper, *(member for member, _ in remaining)))

    @property
    @json_member(Json(name="members"))
    def _proposal(self) -> tuple[ProposedImage, ...]:
        """The images, the keeper first."""
        return tuple(ProposedImage(self.keeps(member), member) for member in self.members)


@dataclass(frozen=True, slots=True)
class ConfidenceCount:
    """Files that may be removed, of one range of confidence."""

    at_least: Share
    """Least confidence that they are duplicates of the images to keep; 1 is certain."""
    images: Count
    bytes: Count
    """Total size; links count nothing."""


#: Plans leave out images that are less sure to be duplicates of what is kept.
LEAST_CONFIDENCE: Final = 0.8
#: Least confidence of the ranges that are counted.
_RANGES: Final = (1.0, 0.99, 0.95, 0.9, 0.0)


def count_by_confidence(files: Iterable[tuple[float, int]]) -> tuple[ConfidenceCount, ...]:
    """Count files, given by confidence and bytes, by ranges of confidence: the surest first, none that is empty."""
    ranges: dict[float, list[int]] = {}
    for confidence, size in files:
        ranges.setdefault(next(least for least in _RANGES if confidence >= least), []).append(size)
    return tuple(ConfidenceCount(least, len(ranges[least]), sum(ranges[least])) for least in _RANGES if least in ranges)


@dataclass(frozen=True, slots=True)
class DuplicateTotals:
    """What a search for duplicates found, in numbers."""

    generation: Count
    searched: Count
    """Number of images that were compared."""
    groups: Mapping[DuplicateKind, Count]
    """Number of groups by kind."""
    pairs: Mapping[DuplicateKind, Count]
    """Number of pairs by kind."""
    surplus: Count
    """Number of images that may be removed. By default, plans leave out those that are less than 80 % sure."""
    bytes: Count
    """Total size of the files that may be removed; links count nothing."""
    sure: tuple[ConfidenceCount, ...]
    """The images that may be removed by how sure it is that they are duplicates, the surest first."""
    judged: Count
    """Number of pairs left out because a person called them different."""
    notes: tuple[str, ...]
    interrupted: bool
    """Whether it stopped before the end; the same call resumes."""


@dataclass(frozen=True, slots=True)
class DuplicateReport:
    """The duplicates in a collection, or those of its images that another collection has."""

    collection: Annotated[str, Json(hidden=True)]
    """UUID of the collection."""
    generation: Count
    searched: Count
    """Number of images that were compared."""
    groups: tuple[DuplicateGroup, ...]
    """By kind and then by reclaimable bytes, most first."""
    pairs: Mapping[DuplicateKind, Count] = field(default_factory=dict)
    """Number of pairs by kind."""
    judged: Count = 0
    """Number of pairs left out because a person called them different."""
    notes: tuple[str, ...] = ()
    against: Annotated[str | None, Json(hidden=True)] = None
    """UUID of the other collection, if any."""
    interrupted: bool = False
    """Whether it stopped before the end; the same call resumes."""

    @property
    @json_member()
    def surplus(self) -> Count:
        """Number of images that may be removed. By default, plans leave out those that are less than 80 % sure."""
        return len(self._surplus())

    @property
    @json_member()
    def bytes(self) -> Count:
        """Total size of the files that may be removed; links count nothing."""
        return sum(member.bytes for member in self._surplus() if member.link is None)

    @property
    @json_member()
    def sure(self) -> tuple[ConfidenceCount, ...]:
        """The images that may be removed by how sure it is that they are duplicates, the surest first."""
        return count_by_confidence(
            (1.0 if member.pair is None else member.pair.confidence, 0 if member.link else member.bytes)
            for member in self._surplus()
        )

    def count_unsure(self, confidence: float) -> int:
        """Count the images that may be removed, but in no group with at least this confidence, 0 to 1."""
        sure = {
            (member.collection, member.image_id)
            for group in self.groups
            for member in group.surplus
            if member.is_sure(confidence)
        }
        return len(self._surplus()) - len(sure)

    def _surplus(self) -> Collection[Duplicate]:
        """Return the images that may be removed, each once: one may be in several groups of edited images."""
        images: dict[tuple[str, int], Duplicate] = {}
        for group in self.groups:
            for member in group.surplus:
                images.setdefault((member.collection, member.image_id), member)
        return images.values()

    @property
    def totals(self) -> DuplicateTotals:
        """The numbers of the report."""
        kinds = [group.kind for group in self.groups]
        return DuplicateTotals(
            self.generation,
            self.searched,
            {kind: kinds.count(kind) for kind in KINDS if kind in kinds},
            self.pairs,
            self.surplus,
            self.bytes,
            self.sure,
            self.judged,
            self.notes,
            self.interrupted,
        )

    def at_least(self, confidence: float) -> DuplicateReport:
        """Return a copy with the groups that are left of :meth:`DuplicateGroup.at_least`.

        ``pairs`` and ``searched`` are as before.
        """
        groups = (group.at_least(confidence) for group in self.groups)
        return replace(self, groups=tuple(group for group in groups if group is not None))
