"""Reports of maintenance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias

from imseek.types.collection_info import IndexInfo
from imseek.types.json_form import Count, Json, Seconds, json_member
from imseek.types.pictures import ImagePlace

BuildOutcome: TypeAlias = Literal["built", "extended", "current", "scan", "dropped", "interrupted"]
ReencodeOutcome: TypeAlias = Literal["switched", "already", "interrupted", "refused"]
TokenOutcome: TypeAlias = Literal["made", "already", "interrupted", "refused"]
CaptionOutcome: TypeAlias = Literal["switched", "already", "interrupted"]


@dataclass(frozen=True, slots=True)
class BuildReport:
    """The result of building the index of a space."""

    space_id: Count
    outcome: BuildOutcome
    """``built`` (from scratch), ``extended`` (the lists were kept and new rows added), ``current`` (nothing due),
    ``scan`` (too few vectors for an index), ``dropped`` (by policy), or ``interrupted`` (the previous index stays in
    use)."""
    seconds: float
    generation: Count
    index: IndexInfo | None = None
    """The index now in use."""


@dataclass(frozen=True, slots=True)
class DiskUse:
    """Disk usage of one ``kind`` of files.

    Kinds are ``vectors``, ``index``, ``metadata``, ``catalog``, ``backups``, ``judgements``, ``models``, ``undo``,
    ``logs``, ``cache``, ``unfinished`` and ``other``.
    """

    kind: str
    files: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Due:
    """Maintenance that is due for a collection.

    ``merge``: small shards can be merged. ``index`` lists, by space, the kind of vector index to build (``""``: drop
    it). ``dead`` images still take space until a purge; ``unmeasured`` images lack quality measures.
    """

    merge: bool
    index: tuple[tuple[int, str], ...]
    dead: int
    unmeasured: int


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem found by ``verify``."""

    kind: str
    """A stable code."""
    file: str
    """Relative to the collection."""
    message: str
    repairable: bool


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """The result of ``verify``: problems, and how much was checked."""

    problems: tuple[Problem, ...]
    files_checked: Count
    bytes_checked: Count

    @property
    @json_member()
    def ok(self) -> bool:
        """True where no problem was found."""
        return not self.problems


@dataclass(frozen=True, slots=True)
class RepairReport:
    """The result of ``repair``."""

    restored: tuple[str, ...]
    """A line for each restored fact, with its origin."""
    lost: tuple[str, ...]
    """A line for each lost fact."""
    after: VerifyReport


@dataclass(frozen=True, slots=True)
class MergeReport:
    """The result of ``merge``."""

    merges: Count
    """How many times shards were merged."""
    shards_before: Count
    shards: Count
    """Shards now."""
    removed: Count
    """Deleted files that nothing used any more; any writer deletes such files."""
    notes: tuple[str, ...] = ()
    """Effects on approximate indexes."""


@dataclass(frozen=True, slots=True)
class PurgeReport:
    """The result of ``purge``. Whatever the counts, nothing of the removed images remains when it returns.

    After an interrupted purge, the next one does not count its findings again.
    """

    images: Count
    """Fully erased images."""
    records: Count
    """Rows removed from the catalog."""
    shards: Count
    """Rewritten shards."""
    files: Count
    """Deleted files."""
    bytes: Count
    """Size of the deleted files."""
    notes: tuple[str, ...] = ()
    """Effects on approximate indexes."""


@dataclass(frozen=True, slots=True)
class MissingPicture:
    """An image that could not be re-encoded."""

    image_id: Count
    place: ImagePlace
    reason: str
    """A code of :class:`SkipReason`, ``content_changed`` or ``no_place``."""
    message: str
    settled: Annotated[bool, Json(hidden=True)]
    """True where the next ``index`` removes or replaces the image whatever the encoder, because its file is gone from a
    present source or holds another image."""


@dataclass(frozen=True, slots=True)
class ReencodeReport:
    """The result of ``reencode``."""

    outcome: ReencodeOutcome
    """``switched`` (the space is in use from ``generation`` on), ``already`` (it was before), ``interrupted`` (the same
    call resumes), or ``refused`` (too many images are ``missing``; what was built is kept)."""
    space_id: Count
    """The new space."""
    encoder: str
    replaced: Count | None
    """The old space, which is kept; null where the space was added."""
    images: Count
    before: Count
    """Images that had a vector already."""
    encoded: Count
    """Images encoded in this run."""
    copied: Count
    """Images that share the content of another."""
    missing: tuple[MissingPicture, ...]
    """Images that could not be read."""
    seconds: Seconds
    generation: Count
    precision: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CaptionReport:
    """The result of ``embed_captions``."""

    outcome: CaptionOutcome
    """``switched`` (captions are searched in this space from ``generation`` on), ``already`` (they were before), or
    ``interrupted`` (the same call resumes)."""
    space_id: Count
    encoder: str
    images: Count
    """Live images."""
    captions: Count
    """Those with an embedded caption."""
    encoded: Count
    """Distinct texts encoded in this run."""
    seconds: Seconds
    generation: Count
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TokenReport:
    """The result of ``make_tokens``."""

    outcome: TokenOutcome
    """``made``, ``already`` (all pictures had tokens), ``interrupted`` (the same call resumes), or ``refused`` (too
    many images are ``missing``; what was made is kept, and the same call tries them again)."""
    space_id: Count
    """The space that holds the tokens."""
    encoder: str
    images: Count
    before: Count
    """Images that had tokens already."""
    encoded: Count
    """Images whose tokens were made in this run."""
    copied: Count
    """Images that share the content of another."""
    missing: tuple[MissingPicture, ...]
    """Images that could not be read: they have no tokens, and the next call tries them again."""
    bytes_each: Count
    """Size of an image's tokens."""
    seconds: Seconds
    generation: Count


@dataclass(frozen=True, slots=True)
class CatalogReport:
    """The new location of a catalog."""

    catalog: str
    """``sqlite``, or the URL of a database."""
    rows: Count
    """Number of rows copied there."""


@dataclass(frozen=True, slots=True)
class DropReport:
    """A dropped space, and its files that are no longer used; they are deleted over time, or by a purge."""

    space_id: Count
    encoder: str
    files: Count
    bytes: Count
    generation: Count


@dataclass(frozen=True, slots=True)
class MeasureReport:
    """The result of measuring images."""

    images: Count
    """Number of live images."""
    missing: Count
    """Images that had no measures."""
    measured: Count
    """Those of them that have some now."""
    unreadable: Count
    """Those of them that could not be read, or have changed."""
    seconds: Seconds
    generation: Count
    interrupted: bool = False
