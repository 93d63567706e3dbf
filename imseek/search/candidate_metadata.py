"""Metadata of candidates that the re-ranking stages need, read from one collection or from several."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from imseek.data.catalog.places import folder, locate
from imseek.data.vectors import scores
from imseek.search.backend import GenerationReader
from imseek.search.query_options import GroupBy
from imseek.search.rerank import CandidateMetadata, CandidateSet
from imseek.types.arrays import Float32
from imseek.types.collection_info import SpaceInfo
from imseek.types.pictures import display_path


@dataclass(frozen=True, slots=True)
class GroupKey:
    """Identifies a group of hits; ``name`` is the label shown to users."""

    key: Hashable
    name: str | None


@dataclass(frozen=True, slots=True, eq=False)
class StoredCandidateMetadata:
    """Reads candidate metadata from one collection.

    Images are compared by their vectors in ``spaces``, weighted by ``shares`` (sum 1).
    """

    reader: GenerationReader
    spaces: Sequence[SpaceInfo]
    shares: Sequence[float]

    def vectors(self, pool: CandidateSet) -> Float32:
        parts = [
            np.float32(share**0.5) * unit_rows(self.reader, pool.ids, space)
            for space, share in zip(self.spaces, self.shares, strict=True)
        ]
        return np.concatenate(parts, axis=1)

    def hashes(self, pool: CandidateSet) -> npt.NDArray[np.uint64]:
        stored = self.reader.intrinsics(pool.ids.tolist(), ["phash"])
        return np.array([stored.get(i, {}).get("phash", 0) for i in pool.ids.tolist()], np.uint64)

    def dates(self, pool: CandidateSet) -> list[str | None]:
        stored = self.reader.intrinsics(pool.ids.tolist(), ["taken_at"])
        taken = [stored.get(i, {}).get("taken_at") for i in pool.ids.tolist()]
        return [None if moment is None else moment.isoformat(timespec="milliseconds") for moment in taken]

    def keys(self, pool: CandidateSet, by: GroupBy) -> list[GroupKey]:
        if by == "day":
            days = [None if date is None else date[:10] for date in self.dates(pool)]
            return [GroupKey(day, day) for day in days]
        places, sources = self.reader.catalog_places(pool.ids.tolist()), self.reader.sources()
        found = []
        for image_id in pool.ids.tolist():
            if image_id not in places:
                found.append(GroupKey(None, None))
                continue
            source_id, path = places[image_id]
            source = sources[source_id]
            if by == "source":
                name = display_path(locate(source.root, b""))
                found.append(GroupKey((self.reader.identity.uuid, source_id), name))
            else:
                where = folder(source.kind, source.root, path)
                found.append(GroupKey(where, display_path(where)))
        return found


@dataclass(frozen=True, slots=True, eq=False)
class MergedCandidateMetadata:
    """Reads candidate metadata from several collections: each candidate's from the collection that owns it."""

    each: Sequence[CandidateMetadata]

    def vectors(self, pool: CandidateSet) -> Float32:
        return np.array(self._gather(pool, lambda facts, part: list(facts.vectors(part))), np.float32)

    def hashes(self, pool: CandidateSet) -> npt.NDArray[np.uint64]:
        return np.array(self._gather(pool, lambda facts, part: list(facts.hashes(part))), np.uint64)

    def dates(self, pool: CandidateSet) -> list[str | None]:
        return self._gather(pool, lambda facts, part: facts.dates(part))

    def keys(self, pool: CandidateSet, by: GroupBy) -> list[Hashable]:
        return self._gather(pool, lambda facts, part: list(facts.keys(part, by)))

    def _gather(
        self, pool: CandidateSet, ask: Callable[[CandidateMetadata, CandidateSet], list[Any]]
    ) -> list[Any]:
        found: list[Any] = [None] * len(pool)
        for owner, facts in enumerate(self.each):
            positions = np.flatnonzero(pool.owners == owner)
            if positions.size:
                for position, one in zip(positions.tolist(), ask(facts, pool.take(positions)), strict=True):
                    found[position] = one
        return found


Ids: TypeAlias = npt.NDArray[np.int64]


def unit_rows(reader: GenerationReader, ids: Ids, space: SpaceInfo) -> Float32:
    """Return the vectors of images as (m, dim) float32 with norm 1. Zero rows stay zero."""
    return scores.unit_rows(reader.vectors(ids.tolist(), space.space_id))
