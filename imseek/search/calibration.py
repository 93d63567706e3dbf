"""Calibration data for the stages after retrieval: samples of the collection and texts unrelated to any query."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace

import numpy as np

from imseek.search.cutoff import (
    MAX_COMPARED,
    NEUTRAL_TEXTS,
    SAMPLE,
    background,
    count_relevant,
    neutral_scores,
    sample_scores,
)
from imseek.search.feedback import refine
from imseek.search.hubness import BANK_TEXTS, correct_scores, hub_bias
from imseek.search.near_duplicates import SAME_COSINE
from imseek.search.prepared import PreparedQuery
from imseek.search.query_vectors import QueryEncoder, QueryVectors
from imseek.search.rerank import CandidateSet
from imseek.types.arrays import Float32
from imseek.types.collection_info import SpaceInfo


class CalibrationSamples:
    """Encodes the reference texts once per encoder and samples each generation once. Thread-safe."""

    def __init__(self, composer: QueryEncoder) -> None:
        self._composer = composer
        self._lock = threading.Lock()
        self._texts: dict[tuple[str, tuple[str, ...]], Float32] = {}

    def for_query(self, asked: PreparedQuery) -> QueryCalibration:
        """Return the calibrated stages for one query."""
        return QueryCalibration(self, asked)

    def refine_query(self, asked: PreparedQuery) -> QueryVectors:
        """Return the query's vectors refined by its marks, in each space (:mod:`imseek.search.feedback`).

        Raises ImageNotFoundError if a marked image does not exist, QueryError if the refined query is zero.
        """
        more = asked.rows(np.array(asked.query.more, np.int64))
        less = asked.rows(np.array(asked.query.less, np.int64))
        units = []
        for unit, liked, disliked, rows in zip(
            asked.composed.units, more, less, self._samples(asked), strict=True
        ):
            mean = rows.mean(axis=0, dtype=np.float64) if len(rows) else None
            units.append(refine(unit, liked, disliked, mean).astype(np.float32))
        return replace(asked.composed, units=tuple(units))

    def kept(self, asked: PreparedQuery, pool: CandidateSet) -> CandidateSet:
        """Keep the relevant candidates; they must come best first. See :mod:`imseek.search.cutoff`."""
        samples = self._samples(asked)
        scores = sample_scores(samples, asked.composed.units, asked.composed.shares)
        if not asked.text:
            same = int(
                np.count_nonzero(pool.scores >= SAME_COSINE)
            )  # A picture is always relevant to itself.
            return pool.take(
                range(max(same, count_relevant(pool.scores, background(scores, searched=asked.total))))
            )
        neutral = self._encoded(asked.spaces[0], NEUTRAL_TEXTS)
        best = asked.rows(pool.take(range(min(MAX_COMPARED, len(pool)))).ids)[0]
        known = background(scores, neutral_scores(samples[0], neutral), searched=asked.total)
        return pool.take(range(count_relevant(pool.scores, known, neutral_scores(best, neutral))))

    def without_hubs(self, asked: PreparedQuery, pool: CandidateSet) -> CandidateSet:
        """Reorder the candidates by hub-corrected scores (:mod:`imseek.search.hubness`).

        The bank is a list of common words for a text query, otherwise a sample of the collection.
        """
        banks = [self._encoded(asked.spaces[0], BANK_TEXTS)] if asked.words else self._samples(asked)
        bias = np.zeros(len(pool), np.float32)
        if len(pool) and len(banks[0]):
            for rows, bank, share in zip(asked.rows(pool.ids), banks, asked.composed.shares, strict=True):
                bias += np.float32(share) * hub_bias(rows, bank)
        relevance = correct_scores(pool.scores, bias)
        return pool.sort_by(relevance)

    def _encoded(self, space: SpaceInfo, texts: tuple[str, ...]) -> Float32:
        """Encode ``texts`` once per encoder. Returns (t, dim) float32 unit rows."""
        key = (space.fingerprint, texts)
        if key not in self._texts:
            encoded = self._composer.encoder(space, "text").encode_texts(list(texts))
            with self._lock:
                self._texts[key] = encoded
        return self._texts[key]

    def _samples(self, asked: PreparedQuery) -> list[Float32]:
        """Return one sample (s, dim) float32 per space, of the same live images in each."""
        return [asked.edition.sample(space, SAMPLE) for space in asked.spaces]


@dataclass(frozen=True, slots=True)
class QueryCalibration:
    """Implements :class:`imseek.search.rerank.CalibratedStages` for one query."""

    references: CalibrationSamples
    asked: PreparedQuery

    def kept(self, pool: CandidateSet) -> CandidateSet:
        return self.references.kept(self.asked, pool)

    def without_hubs(self, pool: CandidateSet) -> CandidateSet:
        return self.references.without_hubs(self.asked, pool)
