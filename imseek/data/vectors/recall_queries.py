"""The queries by which a snapshot is tuned and measured, stored with their neighbours while the snapshot grows.

Finding the true neighbours of some hundred queries requires reading every row. So the neighbours are stored beside a
snapshot of several parts (``truth.npz``), and when it grows, only new rows are read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from imseek.data.files.collection_files import read_arrays
from imseek.data.vectors import tuning
from imseek.data.vectors.base import Ids, IdSet
from imseek.data.vectors.build import LiveRows
from imseek.data.vectors.index_metadata import TRUTH_FILE, IndexFolder, damaged_index_error
from imseek.data.vectors.tuning import (
    QuerySet,
    find_neighbours,
    normalise,
    stored_row_queries,
    text_like_queries,
    with_neighbours,
)
from imseek.types.arrays import Float32

_KINDS: Final = ("image", "text")
_NAMES: Final = (
    "rows",
    "texts",
    *(f"{kind}_{part}" for kind in _KINDS for part in ("queries", "own", "lengths", "ids", "scores")),
)


@dataclass(frozen=True, slots=True, eq=False)
class RecallQueries:
    """Image queries and text-like queries with their neighbours among all live rows.

    ``rows`` is how many live rows there were when the queries were chosen; ``texts`` as in
    :class:`~imseek.data.vectors.index_metadata.IndexMetadata`.
    """

    image: QuerySet
    text: QuerySet
    texts: str
    rows: int

    @classmethod
    def of(cls, rows: LiveRows, numbers: Ids, words: Float32 | None, modality: str) -> RecallQueries:
        """Choose rows ``numbers`` as queries of the space's own kind, and ``words`` (n, dim) as the others (None: make
        them).

        Reads every row.
        """
        own = stored_row_queries(rows, numbers)
        across = text_like_queries(own.queries) if words is None else normalise(words).astype(np.float32)
        query_sets = find_neighbours([own, QuerySet(across, np.full(len(across), -1))], rows)
        image, text = query_sets if modality == "image" else query_sets[::-1]
        return cls(image, text, "made from pictures" if words is None else "captions", len(rows))

    def grown(self, fresh: LiveRows, live: IdSet) -> RecallQueries:
        """Return the same queries with their neighbours among the old and the ``fresh`` rows, if they are ``live``."""
        additions = find_neighbours([self.image, self.text], fresh)
        all_known = self.rows <= tuning.TRUTH_DEPTH
        image, text = (
            _merge_neighbours(stored, addition, live, all_known)
            for stored, addition in zip((self.image, self.text), additions, strict=True)
        )
        return replace(self, image=image, text=text)

    def write(self, out: Any) -> None:
        arrays: dict[str, Any] = {"rows": np.array(self.rows), "texts": np.array(self.texts)}
        for kind, queries in zip(_KINDS, (self.image, self.text), strict=True):
            lengths = np.array([len(ids) for ids in queries.truth], np.int64)
            arrays |= {
                f"{kind}_queries": queries.queries,
                f"{kind}_own": queries.own,
                f"{kind}_lengths": lengths,
                f"{kind}_ids": np.concatenate([np.empty(0, np.int64), *queries.truth]),
                f"{kind}_scores": np.concatenate([np.empty(0, np.float32), *queries.scores]).astype(np.float32),
            }
        np.savez(out, **arrays)

    @classmethod
    def read(cls, folder: IndexFolder) -> RecallQueries:
        """Read stored queries. Raises FileNotFoundError or CorruptCollectionError."""
        try:
            with folder.open(TRUTH_FILE) as file:
                arrays = dict(zip(_NAMES, read_arrays(file, _NAMES), strict=True))
            image, text = (_parse_queries(arrays, kind) for kind in _KINDS)
            return cls(image, text, str(arrays["texts"]), int(arrays["rows"]))
        except (ValueError, TypeError) as error:
            raise damaged_index_error(folder, error) from error


def _parse_queries(arrays: Any, kind: str) -> QuerySet:
    borders = np.cumsum(arrays[f"{kind}_lengths"])[:-1]
    truth: Sequence[Ids] = np.split(arrays[f"{kind}_ids"], borders)
    scores = np.split(arrays[f"{kind}_scores"], borders)
    queries, own = arrays[f"{kind}_queries"], arrays[f"{kind}_own"]
    if not len(queries):
        return QuerySet(queries, own)
    if not len(queries) == len(own) == len(truth):
        raise ValueError(f"{len(queries)} queries and the neighbours of {len(truth)}")
    return QuerySet(queries, own, tuple(truth), tuple(scores))


def _merge_neighbours(stored: QuerySet, addition: QuerySet, live: IdSet, all_known: bool) -> QuerySet:
    best = []
    for n in range(len(stored.own)):
        is_live = live.marks(stored.truth[n])
        # Neighbours worse than the last known one were not all stored; fewer are known where some have been removed.
        deep = len(stored.truth[n]) >= tuning.TRUTH_DEPTH - 1 or not all_known
        is_certain = addition.scores[n] >= (stored.scores[n][-1] if deep and len(stored.truth[n]) else -np.inf)
        ids = np.concatenate([stored.truth[n][is_live], addition.truth[n][is_certain]])
        scores = np.concatenate([stored.scores[n][is_live], addition.scores[n][is_certain]])
        ids, first = np.unique(ids, return_index=True)  # Rewritten rows are in both.
        best.append((ids, scores[first]))
    return with_neighbours(stored, best)
