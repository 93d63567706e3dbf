"""What the answers to a query are judged by: a sample of the collection, and texts that have nothing to do with it."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Final

import numpy as np

from imseek.data.vectors import VectorIndex
from imseek.data.vectors.scores import row_norms
from imseek.search.asked import Asked
from imseek.search.compose import Composer
from imseek.search.cutoff import NEUTRAL_TEXTS, SAMPLE, background, cut, neutral_scores, sample_scores
from imseek.search.hubness import BANK_TEXTS, corrected, hub_bias
from imseek.search.shaping import Pool
from imseek.types import Float32, SpaceInfo

#: A sample is taken in runs of so many rows, since a collection that was not read yet is read in pieces.
_RUN: Final = 32
#: So many of the best are compared with neutral texts.
_COMPARED: Final = 100


class References:
    """Makes each once: texts for an encoder, a sample for a generation. Safe to use from several threads."""

    def __init__(self, composer: Composer) -> None:
        self._composer = composer
        self._lock = threading.Lock()
        self._texts: dict[tuple[str, tuple[str, ...]], Float32] = {}

    def judges(self, asked: Asked) -> Judging:
        return Judging(self, asked)

    def kept(self, asked: Asked, pool: Pool) -> Pool:
        """Those of the candidates, best first, that are relevant (:mod:`imseek.search.cutoff`)."""
        samples = self._samples(asked)
        scores = sample_scores(samples, asked.composed.units, asked.composed.shares)
        if not asked.text:
            return pool.take(range(cut(pool.scores, background(scores))))
        neutral = self._encoded(asked.spaces[0], NEUTRAL_TEXTS)
        best = asked.rows(pool.take(range(min(_COMPARED, len(pool)))).ids)[0]
        known = background(scores, neutral_scores(samples[0], neutral))
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
        """(t, dim) unit rows."""
        key = (space.fingerprint, texts)
        if key not in self._texts:
            encoded = self._composer.encoder(space, "text").encode_texts(list(texts))
            with self._lock:
                self._texts[key] = encoded
        return self._texts[key]

    def _samples(self, asked: Asked) -> list[Float32]:
        """Per space (s, dim) unit rows: the same live images in all, the same ones whenever a generation is asked."""
        found = []
        for space, index in zip(asked.spaces, asked.indexes, strict=True):
            held = asked.edition.samples
            if space.space_id not in held:
                held[space.space_id] = sample(index)
            found.append(held[space.space_id])
        return found


@dataclass(frozen=True, slots=True)
class Judging:
    """The stages of :class:`imseek.search.shaping.Judges` for one query."""

    references: References
    asked: Asked

    def kept(self, pool: Pool) -> Pool:
        return self.references.kept(self.asked, pool)

    def without_hubs(self, pool: Pool) -> Pool:
        return self.references.without_hubs(self.asked, pool)


def sample(index: VectorIndex, count: int = SAMPLE) -> Float32:
    """(s, dim) float32 unit rows of live images, s ≤ ``count``: all, or runs of rows from everywhere."""
    live = [np.flatnonzero(segment.searchable()) for segment in index.segments]
    total = sum(len(rows) for rows in live)
    if total <= count:
        chosen = np.arange(total)
    else:
        runs = np.random.default_rng(total).choice(total // _RUN, count // _RUN, replace=False)
        chosen = np.sort((runs[:, np.newaxis] * _RUN + np.arange(_RUN)).ravel())
    parts: list[Float32] = [np.empty((0, index.dim), np.float32)]
    start = 0
    for segment, rows in zip(index.segments, live, strict=True):
        mine = chosen[(chosen >= start) & (chosen < start + len(rows))] - start
        parts.append(segment.rows[rows[mine]].astype(np.float32))
        start += len(rows)
    found = np.concatenate(parts)
    norms = row_norms(found)[:, np.newaxis]
    return np.divide(found, norms, out=np.zeros_like(found), where=norms > 0)
