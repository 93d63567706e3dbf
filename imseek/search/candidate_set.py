"""The candidates of a query, which re-ranking stages take and return, and what stages may look up about them."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

from imseek.data.vectors.base import Ids, Matches
from imseek.search.query_options import GroupBy
from imseek.types.arrays import Float32


@dataclass(frozen=True, slots=True, eq=False)
class CandidateSet:
    """Candidates in display order.

    ``ids`` (m,) int64; ``scores`` (m,) float32; ``relevance`` (m,) float32: the sort key, equal to the scores unless
    corrected for hubs, or fused with words (:mod:`imseek.search.score_fusion`); ``owners`` (m,): index of the
    collection each belongs to, 0 if there is one; ``others``: for each, the ids of the near-duplicates that it
    represents, best first; ``words`` (m,) float64: the evidence of words and captions that match, in nats before
    weighting, 0 if none does; ``shares`` (m,) float64: the share of the query's words that match; ``reranked`` (m,)
    float32: the scores of the query's reranker, NaN for candidates that it did not see. ``irrelevant`` is the number of
    candidates that the cutoff of their collection dropped, ``lost`` the share of relevant images that is estimated to
    be among them.
    """

    ids: Ids
    scores: Float32
    relevance: Float32
    owners: npt.NDArray[np.int64]
    others: tuple[tuple[int, ...], ...]
    words: npt.NDArray[np.float64]
    shares: npt.NDArray[np.float64]
    reranked: Float32
    irrelevant: int = 0
    lost: float | None = None

    @classmethod
    def of(
        cls,
        matches: Matches,
        *,
        relevance: Float32 | None = None,
        words: npt.NDArray[np.float64] | None = None,
        shares: npt.NDArray[np.float64] | None = None,
    ) -> CandidateSet:
        """Build a set from one collection. By default, the relevance is the scores, and no word matches."""
        count = len(matches.ids)
        return cls(
            matches.ids,
            matches.scores,
            matches.scores if relevance is None else relevance,
            np.zeros(count, np.int64),
            ((),) * count,
            np.zeros(count) if words is None else words,
            np.zeros(count) if shares is None else shares,
            np.full(count, np.nan, np.float32),
        )

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, positions: npt.ArrayLike | slice) -> CandidateSet:
        """Return the candidates at ``positions``, in that order; a slice copies nothing."""
        if isinstance(positions, slice):
            at: slice | Ids = positions
            others = self.others[positions]
        else:
            at = np.asarray(positions, np.int64)
            others = tuple(self.others[i] for i in at.tolist())
        return CandidateSet(
            self.ids[at],
            self.scores[at],
            self.relevance[at],
            self.owners[at],
            others,
            self.words[at],
            self.shares[at],
            self.reranked[at],
            self.irrelevant,
            self.lost,
        )

    def sort_by(self, relevance: Float32) -> CandidateSet:
        """Sort by another relevance (m,), highest first; ties keep their order."""
        return replace(self, relevance=relevance).take(np.argsort(-relevance, kind="stable"))


def concatenate(sets: Sequence[CandidateSet]) -> CandidateSet:
    """Concatenate sets of candidates."""
    if not sets:
        return CandidateSet.of(Matches(np.empty(0, np.int64), np.empty(0, np.float32)))
    return CandidateSet(
        np.concatenate([one.ids for one in sets]),
        np.concatenate([one.scores for one in sets]),
        np.concatenate([one.relevance for one in sets]),
        np.concatenate([one.owners for one in sets]),
        tuple(others for one in sets for others in one.others),
        np.concatenate([one.words for one in sets]),
        np.concatenate([one.shares for one in sets]),
        np.concatenate([one.reranked for one in sets]),
    )


class StageContext(Protocol):
    """What a stage may look up about candidates, of one collection or of several."""

    def vectors(self, candidates: CandidateSet) -> Float32:
        """Return (m, dim) float32 unit rows, whose dot products measure how similar two images are."""
        ...

    def hashes(self, candidates: CandidateSet) -> npt.NDArray[np.uint64]:
        """Return (m,) perceptual hashes, 0 if unknown."""
        ...

    def dates(self, candidates: CandidateSet) -> list[str | None]:
        """Return (m,) capture times by the camera's clock, as text that sorts by time."""
        ...

    def keys(self, candidates: CandidateSet, by: GroupBy) -> Sequence[Hashable]:
        """Return (m,) group keys."""
        ...
