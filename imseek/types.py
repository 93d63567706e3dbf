"""Values that cross the borders between packages: frozen dataclasses, no behaviour beyond derived facts."""

from __future__ import annotations

import base64
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Float32: TypeAlias = npt.NDArray[np.float32]
Pixels: TypeAlias = npt.NDArray[np.uint8]


class SkipReason(StrEnum):
    """Why a file was not indexed. Codes are stable: they are stored and printed in JSON."""

    EMPTY_FILE = "empty_file"
    NOT_AN_IMAGE = "not_an_image"
    TRUNCATED = "truncated"
    CORRUPT = "corrupt"
    TOO_MANY_PIXELS = "too_many_pixels"
    TOO_MANY_BYTES = "too_many_bytes"
    TIMEOUT = "timeout"
    UNREADABLE = "unreadable"
    BROKEN_LINK = "broken_link"
    LINK_LOOP = "link_loop"
    NOT_A_FILE = "not_a_file"
    VANISHED = "vanished"
    CHANGED = "changed_while_reading"
    MISSING_CODEC = "missing_codec"
    ENCODER_FAILED = "encoder_failed"
    FETCH_FAILED = "fetch_failed"
    FORBIDDEN_ADDRESS = "forbidden_address"
    BAD_VECTOR = "bad_vector"
    NO_PICTURES = "no_pictures"


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What the bytes of a picture say about it, independent of where it lies.

    ``width`` and ``height`` are pixels after EXIF orientation; ``phash`` is a 64-bit perceptual hash
    (unsigned); ``latitude`` and ``longitude`` are degrees (WGS 84); ``taken_at`` is ISO 8601 as the camera
    wrote it, with a zone only where EXIF states one.
    """

    width: int
    height: int
    format: str
    mode: str
    frames: int = 1
    phash: int = 0
    orientation: int = 1
    taken_at: str | None = None
    camera: str | None = None
    lens: str | None = None
    latitude: float | None = None
    longitude: float | None = None
    caption: str | None = None
    extra: Mapping[str, str | int | float | bool | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Place:
    """Where an image lies: a path of bytes, since file names need not be text, and a URI.

    Inside an archive the path is ``/a/b.zip!/c.jpg`` and the URI ``zip://c.jpg::file:///a/b.zip``; a row of a table is
    ``file:///a/b.parquet#row=7``; of a picture on the web both are its URL. :meth:`imseek.Collection.read` opens all.
    """

    source_id: int
    path: bytes
    uri: str = ""

    @property
    def display(self) -> str:
        """The path as printable text: undecodable and control characters are escaped."""
        return display_path(self.path)


def display_path(path: bytes) -> str:
    """``path`` as one printable line; bytes that are not UTF-8 and control characters appear as escapes."""
    text = path.decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def path_json(path: bytes) -> dict[str, str]:
    """``path`` for JSON: ``{"path": …}``, with ``path_b64`` beside it where the bytes are not UTF-8."""
    try:
        return {"path": path.decode("utf-8")}
    except UnicodeDecodeError:
        return {"path": display_path(path), "path_b64": base64.b64encode(path).decode("ascii")}


@dataclass(frozen=True, slots=True)
class Image:
    """One picture at one place, as a collection knows it.

    ``place`` is None for an image whose place was lost and not yet found again (after a repair).
    ``metadata`` holds the intrinsic facts, the typed ``extra`` columns and the derived columns by name.
    """

    image_id: int
    place: Place | None
    content_hash: str
    metadata: Mapping[str, Any]
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Hit:
    """One answer to a query: the image, and its score in [-1, 1]: its cosine to the query, or in several spaces
    their weighted mean (:class:`SpaceShare`).

    ``duplicates`` are the ids of the images that it stands for, where near-duplicates are collapsed, and ``group`` the
    name of its group, where hits are grouped. ``vector``, where it is asked for, is (dim,) float32 of norm 1: what the
    first space that answered has of the image, or of its caption.
    """

    collection: str
    image_id: int
    score: float
    place: Place | None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    duplicates: tuple[int, ...] = ()
    group: str | None = None
    vector: Float32 | None = field(default=None, compare=False, repr=False)

    @property
    def path(self) -> str | None:
        """The path for use with ``open()`` (surrogate escapes where the bytes are not UTF-8)."""
        return None if self.place is None else os.fsdecode(self.place.path)

    @property
    def uri(self) -> str | None:
        return None if self.place is None else self.place.uri


@dataclass(frozen=True, slots=True)
class HitGroup:
    """Hits of one folder (its path), day (``2024-05-31``) or source (its path); ``name`` is None where it is not known.

    ``hits`` are the first of them, ``size`` is how many there are among the candidates.
    """

    name: str | None
    size: int
    hits: tuple[Hit, ...]


@dataclass(frozen=True, slots=True)
class Searched:
    """A collection that answered a query: its UUID, of which generation, and how many images were compared."""

    collection: str
    generation: int
    images: int


@dataclass(frozen=True, slots=True)
class SpaceShare:
    """A space that answered a query. A score is the sum of the cosines in these, each times its ``weight``.

    Weights are positive and add up to 1.
    """

    space_id: int
    encoder: str
    weight: float


@dataclass(frozen=True, slots=True)
class SearchResult:
    """Hits in the order asked for (best first, unless that is another), all of one generation of a collection.

    ``searched`` counts the live images that the query was compared with; ``encoder`` is that of the first space;
    ``notes`` are lines that a user should see (a text cut into pieces, an encoder that is only basic); ``spaces`` are
    those that answered.

    ``next_page`` is the token that ``Query.page`` takes for the hits after these, None where there are none. ``cut``
    says how many images a cutoff has left out, None where none was asked for. ``approximate`` tells that an
    approximate index chose the candidates; scores are exact all the same. ``groups`` are the hits as they were
    grouped. ``collections`` are those that answered; where there are several, ``generation`` is that of the first, and
    ``searched`` counts the images of all.
    """

    hits: tuple[Hit, ...]
    generation: int
    searched: int
    encoder: str
    notes: tuple[str, ...] = ()
    spaces: tuple[SpaceShare, ...] = ()
    next_page: str | None = None
    cut: int | None = None
    approximate: bool = False
    groups: tuple[HitGroup, ...] = ()
    collections: tuple[Searched, ...] = ()

    def __len__(self) -> int:
        return len(self.hits)

    def __iter__(self) -> Any:
        return iter(self.hits)

    def __getitem__(self, i: int) -> Hit:
        return self.hits[i]


@dataclass(frozen=True, slots=True)
class Failure:
    """A file that could not be indexed, and why. Tried again only when the file changes."""

    source_id: int
    path: bytes
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Progress:
    """A moment of a run. ``total`` is None until the scan has ended, and while archives are yet to be opened; only
    committed images are ``done``. ``bytes`` were read of their files, and ``seconds`` have passed."""

    phase: str
    done: int
    total: int | None
    skipped: int
    seconds: float
    bytes: int = 0


ProgressCallback: TypeAlias = Callable[[Progress], None]


class StopRequest(threading.Event):
    """Set, it asks a run to end after a clean flush. ``exit_code`` is what its process will end with, for the record
    of the run: 130 (SIGINT) or 143 (SIGTERM)."""

    exit_code: int = 130


@dataclass(frozen=True, slots=True)
class SpaceRun:
    """What encoded the pictures of one run for a space, and in which precision."""

    space_id: int
    encoder: str
    precision: str


@dataclass(frozen=True, slots=True)
class IndexReport:
    """What one run did. Every count but ``seen`` is of commits that returned.

    ``encoder`` and ``precision`` are those of the first of ``spaces``.
    """

    seen: int
    unchanged: int
    added: int
    changed: int
    moved: int
    copied: int
    removed: int
    skipped: int
    live: int
    bytes_read: int
    files_opened: int
    seconds: float
    generation: int
    encoder: str
    precision: str = "fp32"
    interrupted: bool = False
    failures: tuple[Failure, ...] = ()
    notes: tuple[str, ...] = ()
    spaces: tuple[SpaceRun, ...] = ()


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """How a source is read. A collection remembers it, and a later run that names other options replaces it.

    ``kind`` is ``folder``, ``imagefolder``, ``archive``, ``table``, ``vectors`` or ``list``; None: told from the path.
    ``include`` and ``exclude`` are globs over paths within the source; a pattern without a slash is compared with each
    name of a path. ``hidden`` takes hidden files too, and folders of thumbnails and code (``@eaDir``,
    ``node_modules``). ``columns`` names the metadata columns to keep, or, with a minus before each, to drop.
    ``image_column`` and ``caption_column`` name those of a table where its usual names do not tell. ``allow_private``
    fetches pictures from addresses of the local network too. ``encoder`` says what made vectors that are taken over,
    and must be named.
    """

    kind: str | None = None
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    hidden: bool = False
    columns: tuple[str, ...] = ()
    image_column: str | None = None
    caption_column: str | None = None
    allow_private: bool = False
    encoder: str | None = None


@dataclass(frozen=True, slots=True)
class SourceInfo:
    source_id: int
    kind: str
    path: bytes
    images: int
    failures: int
    present: bool


@dataclass(frozen=True, slots=True)
class SpaceInfo:
    """One set of vectors: which encoder made it, and what identifies its weights."""

    space_id: int
    encoder: str
    fingerprint: str
    dim: int
    modality: str
    quality: str
    note: str | None = None


@dataclass(frozen=True, slots=True)
class SpaceSummary:
    """A space, with what the catalog knows of it.

    ``modalities`` are those that its encoder takes, None where that is not recorded (collections of early versions,
    and those whose catalog was made again). ``precisions`` are those that its vectors were computed in, in the order
    of the runs; runs of early versions have not recorded them.
    """

    space: SpaceInfo
    modalities: tuple[str, ...] | None
    precisions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class IndexPolicy:
    """How a collection wants its vectors to be indexed.

    ``kind`` is ``"auto"`` (a scan while they are few, else what fits into ``memory`` bytes, None: a quarter of the
    machine's), ``"none"`` (always a scan), or a FAISS factory string. ``recall`` is the recall@10 that searches are
    tuned to, for pictures and for words. With ``renew`` runs build the index anew when too much has come since.
    """

    kind: str = "auto"
    memory: int | None = None
    recall: float = 0.99
    renew: bool = True


@dataclass(frozen=True, slots=True)
class IndexInfo:
    """The approximate index of a space. ``kind`` is its FAISS factory string, ``tail`` how many live images have come
    since and are scanned, ``dead`` how many in it have gone.

    Recall@10 was measured at the build on ``queries`` vectors of pictures and as many text-like ones (``texts`` says
    what these were) with ``image_probe`` and ``text_probe`` lists or graph nodes looked at.
    """

    space_id: int
    kind: str
    rows: int
    tail: int
    dead: int
    bytes: int
    built: str
    seconds: float
    target: float
    image_recall: float
    text_recall: float
    image_probe: int
    text_probe: int
    queries: int
    texts: str


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
class OtherSpace:
    """A space that is not in use. ``state`` is ``"building"`` (`maintain --reencode` goes on with it) or ``"kept"``
    (another has taken its place, at ``since``, ISO 8601).

    ``images`` is how many images have a vector in it, ``bytes`` what its files take.
    """

    space: SpaceInfo
    state: str
    images: int
    bytes: int
    since: str | None = None


@dataclass(frozen=True, slots=True)
class CollectionInfo:
    """``encoder`` is the first of ``spaces``, which words and vectors are searched in. ``other_spaces`` are not in
    use: they are being built, or kept after a switch. ``indexes`` are the approximate ones; spaces without one are
    scanned. ``policy`` says what is built."""

    path: str
    uuid: str
    format: int
    created: str
    generation: int
    images: int
    dead_rows: int
    shards: int
    bytes_on_disk: int
    encoder: SpaceInfo
    sources: tuple[SourceInfo, ...]
    failures: tuple[Failure, ...]
    index: str
    writer: str | None = None
    spaces: tuple[SpaceSummary, ...] = ()
    other_spaces: tuple[OtherSpace, ...] = ()
    indexes: tuple[IndexInfo, ...] = ()
    policy: IndexPolicy = IndexPolicy()


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
class DropReport:
    """A space that was dropped, and the files that nobody uses any more; they go with time, or with a purge."""

    space_id: int
    encoder: str
    files: int
    bytes: int
    generation: int
