"""What maintenance found and did."""

from __future__ import annotations

from dataclasses import dataclass

from imseek.types.facts import IndexInfo
from imseek.types.pictures import Place


@dataclass(frozen=True, slots=True)
class BuildReport:
    """What building the index of a space did.

    ``outcome`` is ``"built"`` (from nothing), ``"extended"`` (the lists were kept, what came since was added),
    ``"current"`` (nothing was due), ``"scan"`` (so few vectors are scanned), ``"dropped"`` (by policy), or
    ``"interrupted"`` (what there was before is still in use). ``index`` is what is in use now.
    """

    space_id: int
    outcome: str
    seconds: float
    generation: int
    index: IndexInfo | None = None


@dataclass(frozen=True, slots=True)
class DiskUse:
    """What the files of one ``kind`` take: ``vectors``, ``index``, ``metadata``, ``catalog``, ``backups``,
    ``judgements``, ``models``, ``undo``, ``logs``, ``cache``, ``unfinished`` or ``other``."""

    kind: str
    files: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Due:
    """What maintenance would do for a collection now.

    ``merge``: small shards wait to be merged. ``index`` are the kinds of vector index that would be built (``""``:
    one would be dropped), by space. Of ``dead`` images bytes remain until a purge; ``unmeasured`` images lack measures
    of their quality.
    """

    merge: bool
    index: tuple[tuple[int, str], ...]
    dead: int
    unmeasured: int


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding of ``verify``. ``kind`` is a stable code; ``file`` is relative to the collection."""

    kind: str
    file: str
    message: str
    repairable: bool


@dataclass(frozen=True, slots=True)
class VerifyReport:
    problems: tuple[Problem, ...]
    files_checked: int
    bytes_checked: int

    @property
    def ok(self) -> bool:
        return not self.problems


@dataclass(frozen=True, slots=True)
class RepairReport:
    """What ``repair`` did: a line per restored fact with where it was taken from, and per lost one."""

    restored: tuple[str, ...]
    lost: tuple[str, ...]
    after: VerifyReport


@dataclass(frozen=True, slots=True)
class MergeReport:
    """What ``merge`` did. ``removed`` counts the files that nobody uses any more, which every writer clears away;
    ``notes`` say what became of approximate indexes."""

    merges: int
    shards_before: int
    shards: int
    removed: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PurgeReport:
    """What ``purge`` found and removed. Whatever the counts, nothing is left of what has gone when it returns.

    ``images`` counts those of which nothing is left, ``records`` all rows that left the catalog, ``shards`` those
    that were written anew, ``files`` and ``bytes`` the files that were removed. A purge that comes after one that was
    broken off does not count again what that had found.
    """

    images: int
    records: int
    shards: int
    files: int
    bytes: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MissingPicture:
    """An image that could not be encoded again, and why.

    ``place`` is None where it has none. ``reason`` is a code of :class:`SkipReason`, ``content_changed`` or
    ``no_place``. ``settled`` tells that the next ``index`` takes it out of the collection, or puts another picture in
    its place, whatever the encoder: its file is gone while its source is there, or holds another picture now.
    """

    image_id: int
    place: Place | None
    reason: str
    message: str
    settled: bool


@dataclass(frozen=True, slots=True)
class ReencodeReport:
    """What ``reencode`` did.

    ``outcome`` is ``"switched"`` (the space is in use from ``generation`` on), ``"already"`` (it was before),
    ``"interrupted"`` (the same call goes on), or ``"refused"`` (too many pictures are ``missing``; what was built is
    kept). ``space_id`` is that of the new space, ``replaced`` that of the one which is kept beside it, None where it
    was added.

    Of ``images`` images, ``encoded`` were encoded in this run, ``copied`` have the content of another one, and
    ``before`` had their vector already.
    """

    outcome: str
    space_id: int
    encoder: str
    replaced: int | None
    images: int
    before: int
    encoded: int
    copied: int
    missing: tuple[MissingPicture, ...]
    seconds: float
    generation: int
    precision: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CaptionReport:
    """What ``embed_captions`` did.

    ``outcome`` is ``"switched"`` (captions are searched in the space ``space_id`` from ``generation`` on),
    ``"already"`` (they were before), or ``"interrupted"`` (the same call goes on). Of ``images`` live images,
    ``captions`` have a caption that is embedded there; ``encoded`` different texts were encoded in this run.
    """

    outcome: str
    space_id: int
    encoder: str
    images: int
    captions: int
    encoded: int
    seconds: float
    generation: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CatalogReport:
    """Where the catalog of a collection is now (``sqlite``, or the URL of a database), and how many rows were copied
    there."""

    catalog: str
    rows: int


@dataclass(frozen=True, slots=True)
class DropReport:
    """A space that was dropped, and the files that nobody uses any more; they go with time, or with a purge."""

    space_id: int
    encoder: str
    files: int
    bytes: int
    generation: int
