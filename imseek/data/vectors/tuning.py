"""Measure the recall of an approximate index, and find the least search effort that reaches the target.

There are two kinds of queries. Those of the space's own kind are stored rows that the index was not trained on; each
must find its neighbours, not itself. Those of the other kind lie across the gap between words and pictures (Liang et
al. 2022, *Mind the gap*), outside the distribution that the lists were trained on, and are harder: vectors of captions
where there are some, otherwise made from rows. The effort is chosen on one half of the queries, recall is measured on
the other.
"""

from __future__ import annotations

import bisect
import functools
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
_RESCORE_STEPS = (20, 40, 80, 160, 240, 320, 480, 640, 1280, 1920, 2560, 3840, 5120, 7680, 10240)
#: How far a candidate may score below the tenth by its codes. Larger errors are rare, and where many images are about
#: as good as the tenth, more must be rescored.
_SLACKS = (0.01, 0.015, 0.02, 0.025, 0.03, 0.04, 0.05, 0.06, 0.08, 0.1, 0.15, 0.2)
#: How far below the nearest list's cosine to a query others may be, each an eighth more.
_REACHES: Final = tuple(float(reach) for reach in np.round(0.01 * 1.125 ** np.arange(36), 4))
#: A reach must spare this share of the lists.
_LEAST_SPARED = 0.1
#: True neighbours per query: enough for filtered queries too.
TRUTH_DEPTH = 1000
#: Rescoring too few candidates, or probing too few lists for some queries, may each lose this share of the neighbours
#: that may be missed at all. Users' queries differ from these mostly in how many candidates score about the same: with
#: twice the share, 5,120 of ten million were enough for these queries of words, and other words found .974 of their
#: neighbours in place of .986.
_MOST_LOST = 0.05
#: The length of a text-like query's content, with that of the whole as 1, and of its share of the pictures' mean. The
#: rest is the gap. The shorter the content, the more the errors of codes weigh, and the more candidates are rescored.
_TEXT_CONTENT = 0.55
_TEXT_MEAN = 0.2
#: The cosine of that content to the deviation of the query's picture from the mean, apart from noise.
_TEXT_ABOUT = 0.25
#: Seconds to score a candidate by its stored row, weighed against the cost of probing more lists.
_SCORING = 7e-7
#: The least number of lists that is enough is looked for in strides of so many steps, then between two of them.
_STRIDE = 4
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
    snapshot: Snapshot,
    rows: LiveRows,
    image: QuerySet,
    text: QuerySet,
    report: ReportShare,
    previous: IndexMetadata | None = None,
) -> IndexMetadata:
    """Tune a snapshot of ``rows`` for each kind of query; return its metadata with parameters and measured recall.

    ``previous`` is the metadata of the snapshot that it has grown from, for the same recall: its parameters stay where
    they are still enough.
    """
    facts = snapshot.facts
    ids = rows.ids()
    image_before, text_before = (None, None) if previous is None else (previous.image, previous.text)
    image_tuned = tune_effort(snapshot, image, facts.target, ids, image_before)
    report(0.4)
    facts = replace(facts, image=image_tuned, text=tune_effort(snapshot, text, facts.target, ids, text_before))
    report(0.8)
    index = SnapshotIndex(rows.segments, facts.dim, snapshot.with_metadata(facts))
    facts = replace(
        facts,
        image=measure_recall(index, image, facts.image, text=False),
        text=measure_recall(index, text, facts.text, text=True),
    )
    report(1.0)
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
        is_allowed = np.zeros(1 + max(int(one.max(initial=-1)) for one in (ids, *self.truth)), np.bool_)
        is_allowed[ids] = True
        masks = [is_allowed[one] for one in self.truth]
        truth = tuple(one[k] for one, k in zip(self.truth, masks, strict=True))
        return replace(self, truth=truth, scores=tuple(s[k] for s, k in zip(self.scores, masks, strict=True)))


def stored_row_queries(rows: LiveRows, numbers: Ids) -> QuerySet:
    """Return stored rows as queries, except rows of zeros."""
    ids, vectors = rows.take(numbers)
    norms = row_norms(vectors)
    asking = norms > 0
    return QuerySet(vectors[asking] / norms[asking, np.newaxis], ids[asking])


def text_like_queries(vectors: Float32, seed: int = 0) -> Float32:
    """Make text-like queries (n, dim) from unit ``vectors`` (n, dim) of pictures.

    A query consists of what all texts have in common and of its content. The content resembles that of its picture
    only a little, because users look for pictures that they do not have, too; the rest is noise. Along the axes of the
    pictures the noise has the square root of their spread: noise that is even makes codes err, noise that is spread
    like the pictures leads into many lists, and texts of unknown encoders may do either.

    Among a million vectors like those of CLIP, the relative contrast of the 100th neighbour is 1.20, and 16 of 512
    lists have 0.78 of the 100 nearest: texts are a little easier for pictures of LAION (1.22, 0.86; Jääsaari et al.
    2025, *VIBE*).
    """
    if not len(vectors):
        return vectors
    mean = vectors.mean(axis=0)
    deviation = vectors - mean
    _, spread, axes = np.linalg.svd(deviation, full_matrices=False)
    # Pictures differ least along it, as across the gap between pictures and texts (Zhang et al. 2023).
    gap = axes[-1]
    draws = np.random.default_rng(seed).standard_normal((len(vectors), len(spread)))
    noise = normalise((draws * np.sqrt(spread)) @ axes)
    content = normalise(_TEXT_ABOUT * normalise(deviation) + np.sqrt(1 - _TEXT_ABOUT**2) * noise)
    across = np.sqrt(1 - _TEXT_MEAN**2 - _TEXT_CONTENT**2)
    return normalise(_TEXT_MEAN * normalise(mean) + across * gap + _TEXT_CONTENT * content).astype(np.float32)


def find_neighbours(query_sets: Sequence[QuerySet], rows: LiveRows) -> list[QuerySet]:
    """Return the same queries with true neighbours, enough for filters. Makes one pass over all rows."""
    queries = np.concatenate([query_set.queries for query_set in query_sets])
    best = [(np.empty(0, np.int64), np.empty(0, np.float32))] * len(queries)
    bars = np.full(len(queries), -np.inf, np.float32)
    memory = np.empty(0, np.float32)
    for ids, vectors in rows.blocks():
        vectors /= np.maximum(row_norms(vectors), 1e-12)[:, np.newaxis]
        if memory.size < len(queries) * len(ids):
            memory = np.empty(len(queries) * len(ids), np.float32)
        scores = memory[: len(queries) * len(ids)].reshape(len(queries), len(ids))
        np.matmul(queries, vectors.T, out=scores)
        for n, bar in enumerate(bars):
            better = np.flatnonzero(scores[n] > bar)
            neighbours = np.concatenate([best[n][0], ids[better]]), np.concatenate([best[n][1], scores[n, better]])
            if len(neighbours[0]) > 2 * TRUTH_DEPTH or np.isinf(bar):
                top = np.argpartition(-neighbours[1], min(TRUTH_DEPTH, len(neighbours[1]) - 1))[:TRUTH_DEPTH]
                neighbours = neighbours[0][top], neighbours[1][top]
                bars[n] = neighbours[1].min() if len(top) == TRUTH_DEPTH else -np.inf
            best[n] = neighbours
    lists = iter(best)
    return [with_neighbours(query_set, [next(lists) for _ in query_set.own]) for query_set in query_sets]


def with_neighbours(queries: QuerySet, best: Sequence[tuple[Ids, Floats]]) -> QuerySet:
    """Return ``queries`` with its neighbours in order, without the query's own row."""
    truth, scores = [], []
    for own_id, (ids, cosines) in zip(queries.own.tolist(), best, strict=True):
        order = np.lexsort((ids, -cosines))
        order = order[ids[order] != own_id]
        truth.append(ids[order[:TRUTH_DEPTH]])
        scores.append(cosines[order[:TRUTH_DEPTH]])
    return replace(queries, truth=tuple(truth), scores=tuple(scores))


def tune_effort(
    snapshot: Snapshot, queries: QuerySet, target: float, image_ids: Ids, previous: TuningResult | None = None
) -> TuningResult:
    """Return the least effort that reaches ``target`` on the first half of the queries, or the most if none does.

    Their mean recall must exceed the target by its standard error. ``recall`` is not measured yet. ``image_ids`` are
    those of all images in the snapshot. ``previous`` is returned if it reaches the target; otherwise no less is tried.
    """
    first = queries.half(second=False)
    if previous is not None and _reaches(snapshot, first, previous.effort, target):
        return replace(previous, recall=0.0, queries=0)
    least = 0 if previous is None else previous.effort.probe
    effort = _cheapest_effort(snapshot, first, target, [p for p in _probe_steps(snapshot.widest) if p >= least])
    filtered = []
    if snapshot.filters:
        for level in _FILTER_SHARES:
            filtered.append((level, _probe_within(snapshot, first, target, effort, image_ids, level)))
    return TuningResult(replace(effort, reach=_find_reach(snapshot, first, target, effort)), 0.0, 0, tuple(filtered))


def _reaches(snapshot: Snapshot, queries: QuerySet, effort: SearchEffort, target: float) -> bool:
    """Whether the mean recall of ``queries`` at this effort exceeds the target by its standard error; no if there are
    none."""
    if not len(queries.queries):
        return False
    return _is_enough(_shares(snapshot, queries, effort), target, 0.0)


def _shares(snapshot: Snapshot, queries: QuerySet, effort: SearchEffort) -> Floats:
    """Return the share of the neighbours of each query that this effort finds."""
    count = min(effort.rescore, snapshot.facts.rows)
    candidates = snapshot.candidates(queries.queries, count, effort.probe, None, reach=effort.reach)
    return _hits(candidates.near(RECALL_K, effort.slack), queries, RECALL_K).shares()


def _find_reach(snapshot: Snapshot, queries: QuerySet, target: float, effort: SearchEffort) -> float | None:
    """Return the least reach with which ``effort`` finds as much as without; None if none spares lists.

    The nearest neighbours of one query lie in a few lists, those of another in many. How much nearer the nearest lists
    are than others tells them apart (cf. Li et al. 2020, *Improving approximate nearest neighbor search through learned
    adaptive early termination*, which learn when to stop from such features).
    """
    if not snapshot.has_lists or not effort.probe or not len(queries.queries):
        return None
    least = float(_shares(snapshot, queries, effort).mean()) - _MOST_LOST * (1 - target)

    def is_enough(reach: float) -> bool:
        return _is_enough(_shares(snapshot, queries, replace(effort, reach=reach)), target, least)

    position = bisect.bisect_left(_REACHES, True, key=is_enough)
    if position == len(_REACHES):
        return None
    lists = snapshot.nearest_lists(queries.queries, effort.probe, _REACHES[position])
    assert lists is not None
    probed = np.count_nonzero(lists.numbers >= 0, axis=1).mean()
    return _REACHES[position] if probed <= (1 - _LEAST_SPARED) * effort.probe else None


def _cheapest_effort(snapshot: Snapshot, queries: QuerySet, target: float, probes: Sequence[int]) -> SearchEffort:
    """Return the effort of least cost that reaches the target with one of ``probes``, ascending; the most if none
    does."""
    most = SearchEffort(snapshot.widest, _RESCORE_STEPS[-1])
    if not len(queries.queries):
        return most

    @functools.cache
    def rescoring(probe: int) -> tuple[float, SearchEffort] | None:
        candidates = snapshot.candidates(queries.queries, min(_RESCORE_STEPS[-1], snapshot.facts.rows), probe, None)
        return _cheapest_rescoring(candidates, queries, target, probe)

    seconds_of = _time_probes(snapshot, queries.queries)
    best: tuple[float, SearchEffort] | None = None
    for probe in probes[_first_enough(probes, lambda probe: rescoring(probe) is not None) :]:
        seconds = seconds_of(probe)
        if best is not None and seconds > best[0]:
            break  # Probing more lists now costs more than rescoring less can save.
        cheapest = rescoring(probe)
        if cheapest is None:
            continue
        scored, effort = cheapest
        if best is None or seconds + scored * _SCORING < best[0]:
            best = (seconds + scored * _SCORING, effort)
        if scored <= _RESCORE_STEPS[0]:
            break
    return most if best is None else best[1]


def _first_enough(probes: Sequence[int], is_enough: Callable[[int], bool]) -> int:
    """Return the position of the first of ``probes``, ascending, that is enough, or their number if none is.

    Few are tried, large ones last: the time that a trial takes grows with the probe.
    """
    end = next((n for n in range(0, len(probes), _STRIDE) if is_enough(probes[n])), len(probes))
    return bisect.bisect_left(probes, True, max(0, end - _STRIDE + 1), end, key=is_enough)


def _time_probes(snapshot: Snapshot, queries: Float32) -> Callable[[int], float]:
    """Return a function from ``probe`` to the processor seconds of one query: a line through two timings.

    Queries are timed one by one, since many together share what they read, which makes lists look cheap. A timing is
    the best of some rounds, because other programs disturb them.
    """
    few, many = max(1, snapshot.widest // 64), max(1, snapshot.widest // 8)
    count = min(_RESCORE_STEPS[3], snapshot.facts.rows)

    def time_of(probe: int) -> float:
        timings = []
        for _ in range(_ROUNDS):
            start = time.process_time()
            for n in range(len(sample)):
                snapshot.candidates(sample[n : n + 1], count, probe, None)
            timings.append(time.process_time() - start)
        return min(timings) / max(1, len(sample))

    sample = queries[:_TIMED]
    with at_most_threads(1):
        few_seconds, many_seconds = time_of(few), time_of(many)
    slope = max(0.0, many_seconds - few_seconds) / max(1, many - few)
    return lambda probe: max(0.0, few_seconds + slope * (probe - few))


def _cheapest_rescoring(
    candidates: Candidates, queries: QuerySet, target: float, probe: int
) -> tuple[float, SearchEffort] | None:
    """Return the mean number of candidates to rescore for a recall of ``target``, and the effort.

    Returns None if rescoring all of them is not enough.
    """
    best: tuple[float, SearchEffort] | None = None
    hits = _hits(candidates.ids, queries, RECALL_K)
    least = float(hits.shares().mean()) - _MOST_LOST * (1 - target)
    for slack in (None, *reversed(_SLACKS)):
        counts = np.count_nonzero(candidates.near(RECALL_K, slack) >= 0, axis=1)
        rescore = next(
            (r for r in _RESCORE_STEPS if _is_enough(hits.shares(np.minimum(counts, r)), target, least)), None
        )
        if rescore is None:
            break
        scored = float(np.minimum(counts, rescore).mean())
        if best is None or scored < best[0]:
            best = (scored, SearchEffort(probe, rescore, slack))
    return best


def _is_enough(shares: Floats, target: float, least: float) -> bool:
    """Return whether the mean of ``shares``, one per query, is at least ``least``, and above the target by its standard
    error."""
    mean, error = shares.mean(), shares.std() / np.sqrt(len(shares))
    return bool(mean >= least and mean - error >= target)


def measure_recall(index: SnapshotIndex, queries: QuerySet, tuning: TuningResult, *, text: bool) -> TuningResult:
    """Measure recall on the second half of the queries, through the index as it will be searched."""
    half = queries.half(second=True)
    answers = index.search(half.queries, RECALL_K + 1, text=text)
    neighbours = [_without_own(m, own) for m, own in zip(answers, half.own, strict=True)]
    recall = float(_hits(neighbours, half, RECALL_K).shares().mean())
    return replace(tuning, recall=round(recall, 4), queries=len(half.queries))


def _probe_within(
    snapshot: Snapshot, queries: QuerySet, target: float, effort: SearchEffort, image_ids: Ids, level: float
) -> int:
    """Return the least ``probe`` that reaches the target where a filter lets a random ``level`` of the images
    through."""
    allowed_ids = image_ids[np.random.default_rng(1).random(len(image_ids)) < level]
    bitmap: Bits = pack_bits(allowed_ids, int(image_ids.max(initial=0)) + 1)
    filtered = queries.within(allowed_ids)
    count = min(effort.rescore, max(1, len(allowed_ids)))
    probes = [p for p in _probe_steps(snapshot.widest) if p >= effort.probe] or [effort.probe]
    for probe in probes:
        candidates = snapshot.candidates(queries.queries, count, probe, bitmap)
        if _hits(candidates.near(RECALL_K, effort.slack), filtered, RECALL_K).shares().mean() >= target:
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

    ``positions`` (q, m) are ascending, and past all candidates where there are fewer. ``totals`` (q,) are the
    numbers of neighbours that can be found: 0 for a query that has none.
    """

    positions: Ids
    totals: Ids

    def shares(self, depths: Ids | None = None) -> Floats:
        """Return the share of the neighbours that are among the first ``depths`` (q,) candidates (None: among all).

        Queries without neighbours have no share; where there is no other, all counts as found.
        """
        limits = np.full(len(self.totals), _PAST) if depths is None else depths
        hits = np.minimum(np.count_nonzero(self.positions < limits[:, np.newaxis], axis=1), self.totals)
        has_neighbours = self.totals > 0
        return hits[has_neighbours] / self.totals[has_neighbours] if has_neighbours.any() else np.ones(1)


def _hits(candidates: Sequence[Ids] | Ids, queries: QuerySet, k: int) -> _Hits:
    """Return where in ``candidates`` the nearest ``k`` of each query are.

    ``candidates`` has distinct ids, the nearest first, and -1 where there are no more. An id that scores like the last
    of the nearest is as good: copies of a picture can replace each other.
    """
    totals = np.array([min(k, len(truth)) for truth in queries.truth], np.int64)
    ragged = [
        np.flatnonzero(np.isin(ids, truth[scores >= scores[count - 1] - _SAME])) if count else np.empty(0, np.int64)
        for ids, truth, scores, count in zip(candidates, queries.truth, queries.scores, totals.tolist(), strict=True)
    ]
    positions = np.full((len(ragged), max(map(len, ragged), default=0)), _PAST)
    for row, hits in zip(positions, ragged, strict=True):
        row[: len(hits)] = hits
    return _Hits(positions, totals)


def _without_own(matches: Matches, own_id: int) -> Ids:
    neighbours: Ids = matches.ids[matches.ids != own_id]
    return neighbours[:RECALL_K]


def normalise(vectors: Any) -> Floats:
    unit: Floats = vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
    return unit
