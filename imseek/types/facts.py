"""What a collection says of itself."""

from __future__ import annotations

from dataclasses import dataclass

from imseek.types.runs import Failure


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
    since and are scanned, ``dead`` how many in it have gone; it is searched as one, in however many ``parts``.

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
    parts: int = 1


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
    scanned. ``policy`` says what is built. ``catalog`` is the URL of the database that has the catalog, None where that
    is a file."""

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
    catalog: str | None = None
