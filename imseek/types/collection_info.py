"""The state of a collection: sources, spaces, indexes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from imseek.types.index_policy import DEFAULT_POLICY
from imseek.types.index_policy import IndexPolicy as IndexPolicy
from imseek.types.indexing_runs import Failure
from imseek.types.json_form import Count, FilePath, Json, json_member
from imseek.types.spaces import SpaceInfo as SpaceInfo


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """A source of a collection, with its counts of images and failures."""

    source_id: Count
    kind: str
    path: FilePath
    images: Count
    failures: Count
    present: bool
    """False where the folder or file is not there now."""


@dataclass(frozen=True, slots=True)
class SpaceSummary:
    """A space with its entries in the catalog."""

    space: Annotated[SpaceInfo, Json(inline=True)]
    modalities: tuple[str, ...] | None
    """What its encoder accepts; null where that is not recorded (old collections, rebuilt catalogs)."""
    precisions: tuple[str, ...]
    """Those of the vectors, in the order of the runs; early versions did not record them."""

    @property
    @json_member()
    def space_id(self) -> Count:
        return self.space.space_id


@dataclass(frozen=True, slots=True)
class IndexInfo:
    """The approximate index of a space, and what was measured when it was built."""

    space_id: Count
    kind: str
    """FAISS factory string."""
    rows: Count
    tail: Count
    """Live images added since, which are scanned."""
    dead: Count
    """Removed images that are still in it."""
    bytes: Count
    built: str
    """ISO 8601."""
    seconds: float
    """How long the build took."""
    target: float
    """The recall@10 that it was tuned to."""
    image_recall: Annotated[float, Json(minimum=0, maximum=1)]
    """Recall@10 of held-out image vectors."""
    text_recall: Annotated[float, Json(minimum=0, maximum=1)]
    """Recall@10 of text-like queries."""
    image_probe: Count
    """Lists or graph nodes that a query by image visits."""
    text_probe: Count
    """Lists or graph nodes that a query by text visits."""
    queries: Count
    """Number of image vectors, and of text-like queries, that recall was measured on."""
    texts: str
    """Description of the text-like queries."""
    parts: Annotated[int, Json(minimum=1)] = 1
    """Number of FAISS indexes that are searched as one."""


@dataclass(frozen=True, slots=True)
class OtherSpace:
    """A space that is not in use."""

    space: Annotated[SpaceInfo, Json(inline=True)]
    state: Literal["building", "kept", "tokens"]
    """``building``: `maintain --reencode` resumes it; ``kept``: another has taken its place; ``tokens``: for
    `search --rerank tokens`, made by `maintain --tokens`."""
    images: Count
    """Images with a vector in it."""
    bytes: Count
    """Size of its files."""
    since: str | None = None
    """When another took its place (ISO 8601)."""

    @property
    @json_member()
    def space_id(self) -> Count:
        return self.space.space_id


@dataclass(frozen=True, slots=True)
class CollectionInfo:
    """An overview of a collection."""

    path: Annotated[str, Json(hidden=True)]
    uuid: str
    format: Count
    created: str
    """ISO 8601."""
    generation: Count
    images: Count
    dead_rows: Count
    shards: Count
    bytes_on_disk: Count
    encoder: SpaceInfo
    """The first of ``spaces``, which text and vector queries search."""
    sources: tuple[SourceInfo, ...]
    failures: Annotated[tuple[Failure, ...], Json(hidden=True)]
    index: str
    """Description of ``indexes``."""
    writer: str | None = None
    """The process that holds the writer lock."""
    spaces: tuple[SpaceSummary, ...] = ()
    """The spaces in use; pictures are compared in all of modality ``image``."""
    other_spaces: tuple[OtherSpace, ...] = ()
    """Spaces that are not searched: under construction, or kept after a switch."""
    indexes: tuple[IndexInfo, ...] = ()
    """The approximate indexes; spaces without one are scanned."""
    policy: Annotated[IndexPolicy, Json(name="index_policy")] = DEFAULT_POLICY
    """How indexes are built from now on."""
    catalog: Annotated[str | None, Json(omit_none=True)] = None
    """URL of the database that has the catalog; only where the catalog is not a file."""
