"""What the answers to a query are judged by: a sample of the collection, and texts that have nothing to do with it."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace

import numpy as np

from imseek.search.cutoff import (
    COMPARED,
    NEUTRAL_TEXTS,
    SAMPLE,
    background,
    cut,
    neutral_scores,
    sample_scores,
)
from imseek.search.feedback import refine
from imseek.search.hubness import BANK_TEXTS, corrected, hub_bias
from imseek.search.near_duplicates import SAME
from imseek.search.prepared import Asked
from imseek.search.query_vectors import Composed, Composer
from imseek.search.rerank import Pool
from imseek.types import Float32, SpaceInfo


class References:
    """Makes each once: texts for an encoder, a sample for a generation. Safe to use from several threads."""

    def __init__(self, composer: Composer) -> None:
        self._composer = composer
        self._lock = threading.Lock()
        self._texts: dict[tuple[str, tuple[str, ...]], Float32] = {}

    def judges(self, asked: Asked) -> Judging:
        return Judging(self, asked)

    def refined(self, asked: Asked) -> Composed:
        """The query after the marks that it has, in each space (:mod:`imseek.search.feedback`).

        Raises ImageNotFoundError for a marked image that is not there, QueryError where nothing of the query is left.
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

    def kept(self, asked: Asked, pool: Pool) -> Pool:
        """Those of the candidates, best first, that are relevant (:mod:`imseek.search.cutoff`)."""
        samples = self._samples(asked)
        scores = sample_scores(samples, asked.composed.units, asked.composed.shares)
        if not asked.text:
            same = int(np.count_nonzero(pool.scores >= SAME))  # A picture is never irrelevant to itself.
            return pool.take(range(max(same, cut(pool.scores, background(scores, searched=asked.total)))))
        neutral = self._encoded(asked.spaces[0], NEUTRAL_TEXTS)
        best = asked.rows(pool.take(range(min(COMPARED, len(pool)))).ids)[0]
        known = background(scores, neutral_scores(samples[0], neutral), searched=asked.total)
        return pool.take(range(cut(pool.scores, known, neutral_scores(best, neutral))))

    def without_hubs(self, asked: Asked, pool: Pool) -> Pool:
        """The candidates in the order of their corrected scores (:mod:`imseek.search.hubness`).

        The bank is words where words are asked for, and else a sample of the collection.
        """
        banks = [self._encoded(asked.spaces[0], BANK_TEXTS)] if asked.words else self._samples(asked)
        bias = np.zeros(len(pool), np.float32)
        if len(pool) and len(banks[0]):
            for rows, bank, share in zip(asked.rows(pool.ids), banks, asked.composed.shares, strict=True):
                bias += np.float32(share) * hub_bias(rows, bank)
        relevance = corrected(pool.scores, bias)
        return pool.ordered_by(relevance)

    def _encoded(self, space: SpaceInfo, texts: tuple[str, ...]) -> Float32:
        """(t, dim) float32 unit rows."""
        key = (space.fingerprint, texts)
        if key not in self._texts:
            encoded = self._composer.encoder(space, "text").encode_texts(list(texts))
            with self._lock:
                self._texts[key] = encoded
        return self._texts[key]

    def _samples(self, asked: Asked) -> list[Float32]:
        """Per space (s, dim) float32 rows, of the same live images in all."""
        return [asked.edition.sample(space, SAMPLE) for space in asked.spaces]


@dataclass(frozen=True, slots=True)
class Judging:
    """The stages of :class:`imseek.search.rerank.Judges` for one query."""

    references: References
    asked: Asked

    def kept(self, pool: Pool) -> Pool:
        return self.references.kept(self.asked, pool)

    def without_hubs(self, pool: Pool) -> Pool:
        return self.references.without_hubs(self.asked, pool)
