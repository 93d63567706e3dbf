"""Measure the recall of an approximate index, and find the least search effort that reaches the target.

There are two kinds of queries. Those of the space's own kind are stored rows that the index was not trained on; each
must find its neighbours, not itself. Those of the other kind lie across the gap between words and pictures (Liang et
al. 2022, *Mind the gap*), outside the distribution that the lists were trained on, and are harder: vectors of captions
where there are some, otherwise made from rows. The effort is chosen on one half of the queries, recall is measured on
the other.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from imseek.data.vectors.base import Ids, Matches
from imseek.data.vectors.build import LiveRows, ReportShare
from imseek.data.vectors.faiss_snapshot import Candidates, Snapshot
from imseek.data.vectors.faiss_threads import at_most_threads
from imseek.data.vectors.index_metadata import (
    RECALL_K,
    Bits,
    IndexMetadata,
    SearchEffort,
    TuningResult,
    pack_bits,
)
from imseek.data.vectors.scores import row_norms
from imseek.data.vectors.snapshot_index import MAX_FILTER_SHARE, SCANNED_SHARE, SnapshotIndex
from imseek.types.arrays import Float32

Floats: TypeAlias = npt.NDArray[np.floating[Any]]

#: Queries of each kind: half to tune with, half to measure with.
QUERIES = 1000
_RESCORE_STEPS = (20, 40, 80, 160, 240, 320, 480, 640, 1280, 2560, 5120)
#: How far a candidate may score below the tenth by its codes. Larger errors are rare, and where many images are about
#: as good as the tenth, more must be rescored.
_SLACKS = (0.01, 0.015, 0.02, 0.025, 0.03, 0.04, 0.05, 0.06, 0.08, 0.1, 0.15, 0.2)
#: True neighbours per query: enough for filtered queries too.
TRUTH_DEPTH = 1000
#: Of the neighbours that may be missed, the share that may be lost by rescoring too few candidates. Rescoring is cheap,
#: and users' queries differ from these mostly in how many candidates score about the same, so little is risked here.
_RESCORING_LOSS = 0.05
#: Seconds to score a candidate by its stored row, weighed against the cost of probing more lists.
_SCORING = 7e-7
#: Queries of a round by which probing is timed, and rounds.
_TIMED = 16
_ROUNDS = 5
#: Scores that differ by less belong to equal rows, whose float32 products were summed in another order.
_SAME = 1e-6
#: A position behind all candidates.
_PAST: Final = np.iinfo(np.int64).max
#: Shares at which filters are tuned: more selective ones than the last are exact, none counts as larger than the first.
_FILTER_SHARES = (MAX_FILTER_SHARE, SCANNED_SHARE)

#: The parameters of an index before tuning.
UNTUNED = TuningResult(SearchEffort(1, _RESCORE_STEPS[0]), 0.0, 0)


def query_rows(rows: int) -> Ids:
    """Return the numbers of the rows, ascending, that serve as queries: at most a quarter of all."""
    return np.sort(np.random.default_rng(rows + 1).choice(rows, min(QUERIES, rows // 4), replace=False))


def tune_snapshot(
    snapshot: Snapshot, rows: LiveRows, image: QuerySet, text: QuerySet, tell: ReportShare
) -> IndexMetadata:
    """Tune a snapshot of ``rows`` for each kind of query; return its metadata with parameters and measured recall."""
    facts = snapshot.facts
    ids = rows.ids()
    image_tuned = tune_effort(snapshot, image, facts.target, ids)
    tell(0.4)
    facts = replace(facts, image=image_tuned, text=tune_effort(snapshot, text, facts.target, ids))
    tell(0.8)
    index = SnapshotIndex(rows.segments, facts.dim, snapshot.with_metadata(facts))
    facts = replace(
        facts,
        image=measure_recall(index, image, facts.image, text=False),
        text=measure_recall(index, text, facts.text, text=True),
    )
    tell(1.0)
    return facts


@dataclass(frozen=True, slots=True, eq=False)
class QuerySet:
    """Queries (n, dim) float32 of one kind with their neighbours, the nearest first, and the neighbours' scores.

    ``own`` has the ids of the rows that are the queries (-1: none).
    """

    queries: Float32
    own: Ids
    truth: tuple[Ids, ...] = ()
    scores: tuple[Floats, ...] = ()

    def half(self, second: bool) -> QuerySet:
        part = slice(int(second), None, 2)
        return QuerySet(self.queries[part], self.own[part], self.truth[part], self.scores[part])

    def within(self, ids: Ids) -> QuerySet:
        """Return the same queries where only ``ids`` may be found."""
        kept = [np.isin(one, ids, assume_unique=True) for one in self.truth]
        truth = tuple(one[k] for one, k in zip(self.truth, kept, strict=True))
        return replace(self, truth=truth, scores=tuple(s[k] for s, k in zip(self.scores, kept, strict=True)))


def stored_row_queries(rows: LiveRows, numbers: Ids) -> QuerySet:
    """Return stored rows as queries, except rows of zeros."""
    ids, vectors = rows.take(numbers)
    norms = row_norms(vectors)
    asking = norms > 0
    return QuerySet(vectors[asking] / norms[asking, np.newaxis], ids[asking])


def text_like_queries(vectors: Float32, seed: int = 0) -> Float32:
    """Make text-like queries (n, dim) from unit ``vectors`` (n, dim) of pictures.

    Each keeps a third of its picture's deviation from the mean, is moved along a direction of its own kind, and is
    otherwise noise: its cosine to its picture is about 0.3, to others about 0.1.
    """
    rng = np.random.default_rng(seed)
    count, dim = vectors.shape
    if not count:
        return vectors
    mean = vectors.mean(axis=0)
    apart = (vectors - mean) * (rng.permutation(dim) < (dim + 2) // 3)
    gap, noise = rng.standard_normal(dim), rng.standard_normal((count, dim))
    made: Floats = 0.15 * normalise(mean) + 0.45 * normalise(apart) + 0.5 * normalise(gap) + 0.75 * normalise(noise)
    return normalise(made).astype(np.float32)


def find_neighbours(query_sets: Sequence[QuerySet], rows: LiveRows) -> list[QuerySet]:
    """Return the same queries with true neighbours, enough for filters. Makes one pass over all rows."""
    queries = np.concatenate([one.queries for one in query_sets])
    best = [(np.empty(0, np.int64), np.empty(0, np.float32))] * len(queries)
    bars = np.full(len(queries), -np.inf, np.float32)
    for ids, block in rows.blocks():
        wide = block.astype(np.float32)
        scores = queries @ wide.T
        scores /= np.maximum(row_norms(wide), 1e-12)
        for n, bar in enumerate(bars):
            over = np.flatnonzero(scores[n] > bar)
            found = np.concatenate([best[n][0], ids[over]]), np.concatenate([best[n][1], scores[n, over]])
            if len(found[0]) > 2 * TRUTH_DEPTH or np.isinf(bar):
                kept = np.argpartition(-found[1], min(TRUTH_DEPTH, len(found[1]) - 1))[:TRUTH_DEPTH]
                found = found[0][kept], found[1][kept]
                bars[n] = found[1].min() if len(kept) == TRUTH_DEPTH else -np.inf
            best[n] = found
    each = iter(best)
    return [with_neighbours(one, [next(each) for _ in one.own]) for one in query_sets]


def with_neighbours(queries: QuerySet, best: Sequence[tuple[Ids, Floats]]) -> QuerySet:
    """Return ``queries`` with its neighbours in order, without the query's own row."""
    truth, scores = [], []
    for own, (ids, found) in zip(queries.own.tolist(), best, strict=True):
        order = np.lexsort((ids, -found))
        order = order[ids[order] != own]
        truth.append(ids[order[:TRUTH_DEPTH]])
        scores.append(found[order[:TRUTH_DEPTH]])
    return replace(queries, truth=tuple(truth), scores=tuple(scores))


def tune_effort(snapshot: Snapshot, queries: QuerySet, target: float, present: Ids) -> TuningResult:
    """Return the least effort that reaches ``target`` on the first half of the queries, or the most if none does.

    Their mean recall must exceed the target by its standard error. ``recall`` is not measured yet. ``present`` are the
    ids of all images in the snapshot.
    """
    first = queries.half(second=False)
    probes = _probe_steps(snapshot.widest)
    seconds_of = _time_probes(snapshot, first.queries)
    best: tuple[float, SearchEffort] | None = None
    for probe in probes if len(first.queries) else ():
        drawn = snapshot.candidates(first.queries, min(_RESCORE_STEPS[-1], snapshot.facts.rows), probe, None)
        seconds = seconds_of(probe)
        if best is not None and seconds > best[0]:
            break  # Probing more lists now costs more than rescoring less can save.
        found = _cheapest_rescoring(drawn, first, target, probe)
        if found is None:
            continue
        scored, effort = found
        if best is None or seconds + scored * _SCORING < best[0]:
            best = (seconds + scored * _SCORING, effort)
        if scored <= _RESCORE_STEPS[0]:
            break
    effort = SearchEffort(probes[-1], _RESCORE_STEPS[-1]) if best is None else best[1]
    filtered = []
    if snapshot.filters:
        for level in _FILTER_SHARES:
            filtered.append((level, _probe_within(snapshot, first, target, effort, present, level)))
    return TuningResult(effort, 0.0, 0, tuple(filtered))


def _time_probes(snapshot: Snapshot, queries: Float32) -> Callable[[int], float]:
    """Return a function from ``probe`` to the processor seconds of one query: a line through two timings.

    Queries are timed one by one, since many together share what they read, which makes lists look cheap. A timing is
    the best of some rounds, for other programs disturb them.
    """
    few, many = max(1, snapshot.widest // 64), max(1, snapshot.widest // 8)
    count = min(_RESCORE_STEPS[3], snapshot.facts.rows)

    def time_of(probe: int) -> float:
        spent = []
        for _ in range(_ROUNDS):
            began = time.process_time()
            for n in range(len(some)):
                snapshot.candidates(some[n : n + 1], count, probe, None)
            spent.append(time.process_time() - began)
        return min(spent) / max(1, len(some))

    some = queries[:_TIMED]
    with at_most_threads(1):
        least, most = time_of(few), time_of(many)
    each = max(0.0, most - least) / max(1, many - few)
    return lambda probe: max(0.0, least + each * (probe - few))


def _cheapest_rescoring(
    drawn: Candidates, queries: QuerySet, target: float, probe: int
) -> tuple[float, SearchEffort] | None:
    """Return the mean number of candidates to rescore for a recall of ``target``, and the effort.

    Returns None if rescoring all of them is not enough.
    """
    best: tuple[float, SearchEffort] | None = None
    hits = _hits(drawn.ids, queries, RECALL_K)
    least = float(hits.shares().mean()) - _RESCORING_LOSS * (1 - target)
    for slack in (None, *reversed(_SLACKS)):
        near = np.count_nonzero(drawn.near(RECALL_K, slack) >= 0, axis=1)
        rescore = next((r for r in _RESCORE_STEPS if _is_enough(hits.shares(np.minimum(near, r)), target, least)), None)
        if rescore is None:
            break
        scored = float(np.minimum(near, rescore).mean())
        if best is None or scored < best[0]:
            best = (scored, SearchEffort(probe, rescore, slack))
    return best


def _is_enough(shares: Floats, target: float, least: float) -> bool:
    """Return whether the mean of ``shares``, one per query, is at least ``least``, and above the target by its standard
    error."""
    mean, error = shares.mean(), shares.std() / np.sqrt(len(shares))
    return bool(mean >= least and mean - error >= target)


def measure_recall(index: SnapshotIndex, queries: QuerySet, tuned: TuningResult, *, text: bool) -> TuningResult:
    """Measure recall on the second half of the queries, through the index as it will be searched."""
    second = queries.half(second=True)
    answers = index.search(second.queries, RECALL_K + 1, text=text)
    others = [_without_own(m, own) for m, own in zip(answers, second.own, strict=True)]
    recall = float(_hits(others, second, RECALL_K).shares().mean())
    return replace(tuned, recall=round(recall, 4), queries=len(second.queries))


def _probe_within(
    snapshot: Snapshot, queries: QuerySet, target: float, effort: SearchEffort, present: Ids, level: float
) -> int:
    """Return the least ``probe`` that reaches the target where a filter lets a random ``level`` of the images
    through."""
    kept = present[np.random.default_rng(1).random(len(present)) < level]
    allowed: Bits = pack_bits(kept, int(present.max(initial=0)) + 1)
    within = queries.within(kept)
    count = min(effort.rescore, max(1, len(kept)))
    probes = [p for p in _probe_steps(snapshot.widest) if p >= effort.probe] or [effort.probe]
    for probe in probes:
        drawn = snapshot.candidates(queries.queries, count, probe, allowed)
        if _hits(drawn.near(RECALL_K, effort.slack), within, RECALL_K).shares().mean() >= target:
            return probe
    return probes[-1]


def _probe_steps(most: int) -> list[int]:
    """Return ascending numbers up to ``most``, each about a seventh larger, starting near ``most`` / 400 or 4."""
    steps = [most]
    while steps[-1] > max(4, most // 400):
        steps.append(int(steps[-1] * 0.87))
    return steps[::-1]


class _Hits(NamedTuple):
    """Where, among the candidates of each query, its nearest neighbours are.

    ``positions`` (q, m) are ascending, and past all candidates where there are fewer. ``wanted`` (q,) is how many
    neighbours can be found: 0 for a query that has none.
    """

    positions: Ids
    wanted: Ids

    def shares(self, depths: Ids | None = None) -> Floats:
        """Return the share of the wanted that are among the first ``depths`` (q,) candidates (None: among all).

        Queries without neighbours have no share; where there is no other, all counts as found.
        """
        limits = np.full(len(self.wanted), _PAST) if depths is None else depths
        found = np.minimum(np.count_nonzero(self.positions < limits[:, np.newaxis], axis=1), self.wanted)
        some = self.wanted > 0
        return found[some] / self.wanted[some] if some.any() else np.ones(1)


def _hits(drawn: Sequence[Ids] | Ids, queries: QuerySet, k: int) -> _Hits:
    """Return where in ``drawn`` the nearest ``k`` of each query are.

    ``drawn`` has distinct ids, the nearest first, and -1 where there are no more. An id that scores like the last of
    the nearest is as good: copies of a picture can replace each other.
    """
    wanted = np.array([min(k, len(truth)) for truth in queries.truth], np.int64)
    each = [
        np.flatnonzero(np.isin(ids, truth[scores >= scores[count - 1] - _SAME])) if count else np.empty(0, np.int64)
        for ids, truth, scores, count in zip(drawn, queries.truth, queries.scores, wanted.tolist(), strict=True)
    ]
    positions = np.full((len(each), max(map(len, each), default=0)), _PAST)
    for row, found in zip(positions, each, strict=True):
        row[: len(found)] = found
    return _Hits(positions, wanted)


def _without_own(matches: Matches, own: int) -> Ids:
    others: Ids = matches.ids[matches.ids != own]
    return others[:RECALL_K]


def normalise(vectors: Any) -> Floats:
    unit: Floats = vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
    return unit
