"""The state of a collection: sources, spaces, indexes."""

from __future__ import annotations

from dataclasses import dataclass

from imseek.types.runs import Failure


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """A source of a collection, with its counts of images and failures."""

    source_id: int
    kind: str
    path: bytes
    images: int
    failures: int
    present: bool


@dataclass(frozen=True, slots=True)
class SpaceInfo:
    """A set of vectors: its encoder, and the fingerprint of the encoder's weights."""

    space_id: int
    encoder: str
    fingerprint: str
    dim: int
    modality: str
    quality: str
    note: str | None = None


@dataclass(frozen=True, slots=True)
class SpaceSummary:
    """A space with its entries in the catalog.

    ``modalities`` are those the encoder accepts, None where they are not recorded (old collections, rebuilt catalogs).
    ``precisions`` are those of the vectors, in the order of the runs; early versions did not record them.
    """

    space: SpaceInfo
    modalities: tuple[str, ...] | None
    precisions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class IndexPolicy:
    """A collection's policy for vector indexes.

    ``kind`` is ``"auto"`` (scan small collections, else choose an index that fits into ``memory`` bytes, None: a
    quarter of the machine's), ``"none"`` (always scan), or a FAISS factory string. ``recall`` is the target recall@10
    for image and text queries. With ``renew``, indexing runs rebuild the index when too much has been added since.
    """

    kind: str = "auto"
    memory: int | None = None
    recall: float = 0.99
    renew: bool = True


@dataclass(frozen=True, slots=True)
class IndexInfo:
    """The approximate index of a space.

    ``kind`` is its FAISS factory string. ``tail`` counts live images added since, which are scanned; ``dead`` counts
    removed images still in it. It is searched as one, whatever the number of ``parts``. Recall@10 was measured at build
    time on ``queries`` image vectors and as many text-like ones (``texts`` describes them), with ``image_probe`` and
    ``text_probe`` lists or graph nodes visited.
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
    """A space that is not in use.

    ``state`` is ``"building"`` (`maintain --reencode` resumes it) or ``"kept"`` (replaced at ``since``, ISO 8601).
    ``images`` counts images with a vector in it; ``bytes`` is the size of its files.
    """

    space: SpaceInfo
    state: str
    images: int
    bytes: int
    since: str | None = None


@dataclass(frozen=True, slots=True)
class CollectionInfo:
    """An overview of a collection.

    ``encoder`` is the first of ``spaces``, which text and vector queries search. ``other_spaces`` are not in use: under
    construction, or kept after a switch. ``indexes`` are the approximate ones; spaces without one are scanned.
    ``policy`` decides which are built. ``catalog`` is the URL of the catalog's database, None where the catalog is a
    file.
    """

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
