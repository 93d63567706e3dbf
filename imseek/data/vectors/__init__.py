"""Nearest-neighbour search over the vectors of shards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from imseek.data.vectors.base import IdSet, Matches, Segment, VectorIndex
from imseek.errors import MissingExtraError, UsageError

if TYPE_CHECKING:
    from imseek.data.vectors.faiss_snapshot import Snapshot
    from imseek.data.vectors.gpu import Placement

__all__ = ["IdSet", "Matches", "Segment", "VectorIndex", "open_index", "placement_on", "require_faiss"]


def open_index(
    kind: str,
    segments: Sequence[Segment],
    dim: int,
    *,
    previous: VectorIndex | None = None,
    snapshot: Snapshot | None = None,
    placement: Placement | None = None,
) -> VectorIndex:
    """Open an index over ``segments`` of vectors of width ``dim``.

    ``kind`` is ``"memory"``, ``"faiss"``, or ``"auto"`` for FAISS unless the rows are few
    (:mod:`imseek.data.vectors.exact_index`).

    With a ``snapshot`` of the space, a FAISS index is approximate; rows that the snapshot lacks are scanned.

    With a ``placement``, candidates come from the GPUs that it names; answers stay the same.

    If ``previous`` is an index of the same kind, what it built for a segment is reused where ``rows`` is the very same
    array: only new shards cost a copy, changed dead rows cost nothing, and what only the old index needed is freed with
    it.

    Raises MissingExtraError where ``faiss`` is needed but not installed, UsageError for an unknown kind, and
    CorruptCollectionError for another width or a live row that is not finite.
    """
    if kind == "memory":
        from imseek.data.vectors.exact_index import MemoryIndex

        return MemoryIndex(segments, dim, previous=previous)
    if kind == "auto" and snapshot is None and placement is None:
        from imseek.data.vectors.exact_index import SmallIndex, is_small

        if is_small(segments, dim):
            return SmallIndex(segments, dim, lambda: open_index("faiss", segments, dim), previous=previous)
    if kind in ("auto", "faiss"):
        require_faiss()
        from imseek.data.vectors.faiss_index import FaissIndex

        if snapshot is not None:
            from imseek.data.vectors.snapshot_index import SnapshotIndex

            return SnapshotIndex(segments, dim, snapshot, previous=previous, placement=placement)
        return FaissIndex(segments, dim, previous=previous, placement=placement)
    raise UsageError(f"unknown kind of vector index: {kind}", hint="the kinds are auto, faiss and memory")


def placement_on(device: str) -> Placement | None:
    """Return the placement that computes candidates on a device named by the user; None unless it names CUDA GPUs.

    Raises MissingExtraError.
    """
    if device != "all" and not device.startswith("cuda"):
        return None
    require_faiss()
    from imseek.data.vectors.gpu import Placement

    return Placement(device)


def require_faiss() -> None:
    """Raise MissingExtraError where FAISS is not installed: few queries of small collections do without."""
    try:
        import faiss  # noqa: F401
    except ModuleNotFoundError as error:
        if error.name != "faiss":
            raise
        raise MissingExtraError("faiss", None) from error
