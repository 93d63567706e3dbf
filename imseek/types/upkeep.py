"""Reports of maintenance."""

from __future__ import annotations

from dataclasses import dataclass

from imseek.types.facts import IndexInfo
from imseek.types.pictures import Place


@dataclass(frozen=True, slots=True)
class BuildReport:
    """The result of building the index of a space.

    ``outcome`` is ``"built"`` (from scratch), ``"extended"`` (the lists were kept and new rows added), ``"current"``
    (nothing due), ``"scan"`` (too few vectors for an index), ``"dropped"`` (by policy), or ``"interrupted"`` (the
    previous index stays in use). ``index`` is the one now in use.
    """

    space_id: int
    outcome: str
    seconds: float
    generation: int
    index: IndexInfo | None = None


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
    """A problem found by ``verify``. ``kind`` is a stable code; ``file`` is relative to the collection."""

    kind: str
    file: str
    message: str
    repairable: bool


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """The result of ``verify``: problems, and how much was checked."""

    problems: tuple[Problem, ...]
    files_checked: int
    bytes_checked: int

    @property
    def ok(self) -> bool:
        """True where no problem was found."""
        return not self.problems


@dataclass(frozen=True, slots=True)
class RepairReport:
    """The result of ``repair``: one line for each restored fact with its origin, and one for each lost fact."""

    restored: tuple[str, ...]
    lost: tuple[str, ...]
    after: VerifyReport


@dataclass(frozen=True, slots=True)
class MergeReport:
    """The result of ``merge``.

    ``removed`` counts files no longer used, which any writer deletes; ``notes`` describe effects on approximate
    indexes.
    """

    merges: int
    shards_before: int
    shards: int
    removed: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PurgeReport:
    """The result of ``purge``. Whatever the counts, nothing of the removed images remains when it returns.

    ``images`` counts fully erased images, ``records`` rows removed from the catalog, ``shards`` those rewritten,
    ``files`` and ``bytes`` the deleted files. After an interrupted purge, the next one does not count its findings
    again.
    """

    images: int
    records: int
    shards: int
    files: int
    bytes: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MissingPicture:
    """An image that could not be re-encoded.

    ``place`` is None where there is none. ``reason`` is a code of :class:`SkipReason`, ``content_changed`` or
    ``no_place``. ``settled`` is True where the next ``index`` removes or replaces the image whatever the encoder,
    because its file is gone from a present source or holds another image.
    """

    image_id: int
    place: Place | None
    reason: str
    message: str
    settled: bool


@dataclass(frozen=True, slots=True)
class ReencodeReport:
    """The result of ``reencode``.

    ``outcome`` is ``"switched"`` (the space is in use from ``generation`` on), ``"already"`` (it was before),
    ``"interrupted"`` (the same call resumes), or ``"refused"`` (too many images are ``missing``; what was built is
    kept). ``space_id`` is the new space, ``replaced`` the old one, which is kept; None where the space was added.

    Of ``images`` images, ``encoded`` were encoded in this run, ``copied`` share the content of another, and ``before``
    had a vector already.
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
    """The result of ``embed_captions``.

    ``outcome`` is ``"switched"`` (captions are searched in the space ``space_id`` from ``generation`` on),
    ``"already"`` (they were before), or ``"interrupted"`` (the same call resumes). Of ``images`` live images,
    ``captions`` have an embedded caption; ``encoded`` counts the distinct texts encoded in this run.
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
    """The new location of a catalog (``sqlite``, or the URL of a database), and the number of rows copied there."""

    catalog: str
    rows: int


@dataclass(frozen=True, slots=True)
class DropReport:
    """A dropped space, and its files that are no longer used; they are deleted over time, or by a purge."""

    space_id: int
    encoder: str
    files: int
    bytes: int
    generation: int
