"""Cache the verdicts on candidates, so that pictures are compared once.

Candidates whose first images have ids in the same range of 1024 form a run. Those of all runs are compared one after
the other, several runs in one batch where they are small, and the verdicts of a run are cached when it is complete,
with a key for each candidate, derived from its pictures and thresholds. So an interrupted call resumes, and after a few
new images only the new candidates are compared. Of a run with an unreadable picture, nothing new is cached. Where other
pairs of a call said how two pictures lie (:mod:`imseek.duplicates.pixels.placements`), the verdict that was made first
stays: the pair alone could have another one.

Verdicts on single pairs, which grouping asks for one at a time, are cached in one file, with keys of the same form.
"""

from __future__ import annotations

import itertools
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, fields, replace
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from imseek.analysis.disjoint_sets import DisjointSets
from imseek.duplicates.candidates.candidate_limit import DEFAULT_LOOKS, select_most_promising
from imseek.duplicates.candidates.hamming import Bits
from imseek.duplicates.part_cache import CacheTable, ColumnKind, PartCache, digest
from imseek.duplicates.pixels.classify import (
    CANDIDATE_COLUMNS,
    MOST_TOGETHER,
    PHASE,
    VERDICT_COLUMNS,
    ClassifiedBatch,
    ClassifiedPairs,
    JudgePairs,
    LoadLuminance,
    classify,
    classify_batches,
    join_columns,
    judging,
)
from imseek.duplicates.pixels.pair_judge import Positions
from imseek.duplicates.pixels.verdict import Thresholds
from imseek.duplicates.unique_contents import Digests, Ids
from imseek.progress import SILENT, Task
from imseek.types.arrays import Float32

#: Takes pairs as they are found, and the positions (n,) of the first and second images of all candidates decided since
#: the last call.
OnPairs: TypeAlias = Callable[[ClassifiedPairs, Positions, Positions], None]

_STAGE: Final = "looked"
_SINGLE_STAGE: Final = "single"
_RUN_BITS: Final = 10
#: Increase when classification or decoding may give other results; this invalidates the cache.
_VERSION: Final = 15
#: Columns of the key that stands for a candidate.
_KEYS: Final[tuple[type[np.generic], ...]] = (np.uint64, np.uint64)
_KINDS: Final[tuple[ColumnKind, ...]] = (*_KEYS, *VERDICT_COLUMNS.values())
#: Odd factors that mix the parts of a key.
_FACTORS: Final = np.random.default_rng(0).integers(1, 2**63, (2, 4), np.uint64) * np.uint64(2) + np.uint64(1)


def classify_cached(
    a: Positions,
    b: Positions,
    distance: Bits,
    orientation: Bits,
    cosine: Float32,
    load: LoadLuminance,
    thresholds: Thresholds,
    ids: Ids,
    hashes: tuple[Digests, Digests],
    cache: PartCache,
    task: Task = SILENT,
    most: int = DEFAULT_LOOKS,
    on_pairs: OnPairs | None = None,
) -> ClassifiedPairs:
    """As :func:`imseek.duplicates.pixels.classify.classify`, with a cache, for n candidates with ascending ``a``.

    ``ids`` (n,) are those of the first images, ``hashes`` the content hashes (n, 32) of the first and the second. If
    there are more than ``most`` candidates, the most promising are compared by pixels; the others are judged by hash
    and vector. Progress counts the candidates that are to be compared and are not cached.
    """
    candidates = _CandidateArrays(a, b, distance, orientation, cosine, ids, *hashes)
    is_promising = select_most_promising(distance, cosine, thresholds.near_bits, thresholds.near_cosine, most)
    if not most:
        blind = classify(*candidates.candidates, load_nothing, thresholds=thresholds)
        return replace(blind, unread=0, unseen=blind.unread, fast=True)
    if is_promising.all():
        return _classify_runs(candidates, load, thresholds, cache, task, on_pairs)
    # First, as it takes no time.
    blind = classify(*candidates.of(~is_promising).candidates, load_nothing, thresholds=thresholds)
    if on_pairs is not None:
        on_pairs(blind, a[~is_promising], b[~is_promising])
    classified = _classify_runs(candidates.of(is_promising), load, thresholds, cache, task, on_pairs)
    if classified.interrupted:
        return classified
    return replace(classified, **join_columns([classified, blind]), done=len(a), unseen=blind.unread)


def load_nothing(position: int) -> None:
    """Return no picture, so that :func:`imseek.duplicates.pixels.classify.classify` judges by hash and vector only."""
    del position


class SingleVerdicts:
    """Classifies candidates one at a time, with a cache that :meth:`save` writes."""

    def __init__(self, cache: PartCache, thresholds: Thresholds) -> None:
        self._thresholds = thresholds
        name = f"{_SINGLE_STAGE}-{digest(_VERSION, thresholds)}"
        self._table = CacheTable(cache, name, _KEYS, tuple(VERDICT_COLUMNS.values()), stage=_SINGLE_STAGE)

    def classify(
        self,
        a: Positions,
        b: Positions,
        distance: Bits,
        orientation: Bits,
        cosine: Float32,
        load: LoadLuminance,
        ids: Ids,
        hashes: tuple[Digests, Digests],
        judge: JudgePairs | None = None,
    ) -> ClassifiedPairs:
        """Classify one candidate, given as in :func:`classify_cached` by arrays of length 1. ``judge`` is as of
        :func:`imseek.duplicates.pixels.classify.classify`."""
        candidate = _CandidateArrays(a, b, distance, orientation, cosine, ids, *hashes)
        verdict = _VerdictArrays.empty(1)
        key = candidate.keys()[0].tolist()
        if (cached_row := self._table.get(*key)) is not None:
            for array, value in zip(verdict.columns.values(), cached_row, strict=True):
                array[0] = value
            return verdict.pairs(candidate)
        classified = classify(*candidate.candidates, load, thresholds=self._thresholds, judge=judge)
        if not classified.unread:  # It may be readable again.
            verdict.put(np.zeros(len(classified.a), np.int64), classified)
            self._table.put(*key, row=tuple(array[0].item() for array in verdict.columns.values()))
        return classified

    def save(self) -> None:
        """Store the verdicts, if there are new ones."""
        self._table.save()


@dataclass(frozen=True, slots=True, eq=False)
class _CandidateArrays:
    """The candidates of :func:`classify_cached`, as arrays of one length."""

    a: Positions
    b: Positions
    distance: Bits
    orientation: Bits
    cosine: Float32
    ids: Ids
    first_hashes: Digests
    second_hashes: Digests

    def of(self, rows: slice | npt.NDArray[np.bool_] | Positions) -> _CandidateArrays:
        return _CandidateArrays(*(getattr(self, field.name)[rows] for field in fields(self)))

    def keys(self) -> npt.NDArray[np.uint64]:
        """Return keys (n, 2) of the contents and of what else a verdict depends on."""
        bits = self.distance.astype(np.uint64) << np.uint64(8) | self.orientation
        cosine = np.ascontiguousarray(self.cosine, np.float32).view(np.uint32).astype(np.uint64)
        first_hashes, second_hashes = (
            np.ascontiguousarray(side).view(np.uint64) for side in (self.first_hashes, self.second_hashes)
        )
        mixed = [
            first_hashes[:, n] * factors[0] + second_hashes[:, n] * factors[1] + bits * factors[2] + cosine * factors[3]
            for n, factors in enumerate(_FACTORS)
        ]
        return np.stack(mixed, axis=1)

    @property
    def candidates(self) -> tuple[Positions, Positions, Bits, Bits, Float32]:
        return self.a, self.b, self.distance, self.orientation, self.cosine


def _classify_runs(
    candidates: _CandidateArrays,
    load: LoadLuminance,
    thresholds: Thresholds,
    cache: PartCache,
    task: Task,
    on_pairs: OnPairs | None,
) -> ClassifiedPairs:
    runs = _Runs(candidates, thresholds, cache)
    if on_pairs is not None:
        on_pairs(runs.pairs(), candidates.a[runs.is_known], candidates.b[runs.is_known])
    new_candidates = candidates.of(runs.new)
    looked = unread = done = 0
    with judging(len(runs.new)) as judge:
        # Of all runs together: of a million pictures, a run has but a few new candidates.
        batches = classify_batches(
            *new_candidates.candidates, load, thresholds=thresholds, judge=judge, groups=runs.groups, task=task
        )
        with closing(batches):
            for batch in batches:
                looked += batch.pairs.looked
                unread += batch.pairs.unread
                done = batch.rows.stop
                if on_pairs is not None:
                    on_pairs(batch.pairs, new_candidates.a[batch.rows], new_candidates.b[batch.rows])
                runs.add(batch)
    runs.save_begun()
    task.report(PHASE, done, len(runs.new))
    return replace(runs.pairs(), looked=looked, unread=unread, interrupted=done < len(runs.new))


@dataclass(frozen=True, slots=True)
class _Run:
    """Candidates that are cached together under a ``name``: their ``rows`` among all, and those of ``new`` ones among
    all that are new."""

    name: str
    rows: slice
    new: slice


class _Runs:
    """All candidates by runs, with the verdicts on those where ``is_known`` is true.

    The positions of the others are ``new``, in the order in which they are compared, and belong to ``groups``.
    """

    def __init__(self, candidates: _CandidateArrays, thresholds: Thresholds, cache: PartCache) -> None:
        """Restore the verdicts in the cache."""
        self._candidates, self._cache = candidates, cache
        count = len(candidates.a)
        self._keys, self._verdicts = candidates.keys(), _VerdictArrays.empty(count)
        self.is_known = np.zeros(count, np.bool_)
        self._is_unread = np.zeros(count, np.bool_)
        self._done = 0
        #: The runs with new candidates that are not all compared yet.
        self._unfinished: deque[_Run] = deque()
        numbers = candidates.ids >> _RUN_BITS
        cuts = [0, *(np.flatnonzero(np.diff(numbers)) + 1).tolist(), count] if count else [0]
        ending = digest(_VERSION, thresholds)
        names = {f"{_STAGE}-{int(numbers[cut[0]]):09d}-{ending}": slice(*cut) for cut in itertools.pairwise(cuts)}
        earlier = cache.only(_STAGE, names)
        new, groups = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        before = 0
        for name, rows in names.items():
            if name in earlier and (stored := cache.load(name, _KINDS)) is not None:
                self.is_known[rows] = self._verdicts.of(rows).restore(self._keys[rows], stored)
            if self.is_known[rows].all():
                continue
            run = candidates.of(rows)
            run_groups = _find_likely_groups(run, thresholds)
            order = np.lexsort((run.b, run.a, run_groups))
            order = order[~self.is_known[rows][order]]
            new.append(rows.start + order)
            # A candidate is of two groups at most, so groups of different runs have different numbers.
            groups.append(2 * rows.start + run_groups[order])
            self._unfinished.append(_Run(name, rows, slice(before, before + len(order))))
            before += len(order)
        self.new: Positions = np.concatenate(new)
        self.groups: Positions = np.concatenate(groups)

    def pairs(self) -> ClassifiedPairs:
        """Return the pairs among the candidates that are known."""
        return self._verdicts.pairs(self._candidates)

    def add(self, batch: ClassifiedBatch) -> None:
        """Take the verdicts on the next of the new candidates, and store those of runs that are complete with them."""
        self._verdicts.put(self.new[batch.pair_rows], batch.pairs)
        self.is_known[self.new[batch.rows]] = True
        self._is_unread[self.new[batch.unread_rows]] = True
        self._done = batch.rows.stop
        while self._unfinished and self._unfinished[0].new.stop <= self._done:
            self._save(self._unfinished.popleft())

    def save_begun(self) -> None:
        """Store the verdicts of a run that was begun and not finished."""
        if self._unfinished and self._unfinished[0].new.start < self._done:
            self._save(self._unfinished[0])

    def _save(self, run: _Run) -> None:
        if self._is_unread[run.rows].any():
            return
        parts = (*self._keys[run.rows].T, *self._verdicts.of(run.rows).columns.values())
        is_known = self.is_known[run.rows]
        self._cache.save(run.name, tuple(np.ascontiguousarray(part[is_known]) for part in parts))


def _find_likely_groups(candidates: _CandidateArrays, thresholds: Thresholds) -> Positions:
    """Return for each candidate (n,) the likely group it belongs to; those with the fewest candidates have the lowest
    numbers.

    Pictures near each other form a group; where that has too many candidates to compare together, only those very near
    each other do. A candidate between two groups belongs to the first of them. So in the order of groups the pictures
    of each are compared with all others early, after which the group is known.
    """
    is_likely = (candidates.distance <= thresholds.unread_bits) | (candidates.cosine >= thresholds.fine_cosine)
    is_near = is_likely | (candidates.cosine >= thresholds.near_cosine)
    likely, near = (_join_pairs(candidates, mask) for mask in (is_likely, is_near))
    ends = [side.tolist() for side in (candidates.a, candidates.b)]
    wide = [[near.root(position) for position in side] for side in ends]
    sizes = Counter(a for a, b in zip(*wide, strict=True) if a == b)
    roots = [
        [root if sizes[root] <= MOST_TOGETHER else likely.root(one) for root, one in zip(*side, strict=True)]
        for side in zip(wide, ends, strict=True)
    ]
    names, sides = np.unique(np.array(roots, np.int64), return_inverse=True)
    groups_a, groups_b = sides.reshape(2, -1)
    rank = np.argsort(
        np.argsort(np.bincount(np.concatenate([groups_a, groups_b]), minlength=len(names)), kind="stable")
    )
    return np.asarray(np.minimum(rank[groups_a], rank[groups_b]), np.int64)


def _join_pairs(candidates: _CandidateArrays, mask: npt.NDArray[np.bool_]) -> DisjointSets:
    sets = DisjointSets()
    for a, b in zip(candidates.a[mask].tolist(), candidates.b[mask].tolist(), strict=True):
        sets.join(a, b)
    return sets


@dataclass(frozen=True, slots=True, eq=False)
class _VerdictArrays:
    """The verdicts on candidates: the arrays of ``VERDICT_COLUMNS``, 0 for those that are not compared yet."""

    columns: dict[str, npt.NDArray[Any]]

    @classmethod
    def empty(cls, count: int) -> _VerdictArrays:
        return cls({name: np.zeros(count, kind) for name, kind in VERDICT_COLUMNS.items()})

    def of(self, rows: slice) -> _VerdictArrays:
        """Return the verdicts on some of the candidates, in the same memory."""
        return _VerdictArrays({name: array[rows] for name, array in self.columns.items()})

    def restore(self, keys: npt.NDArray[np.uint64], stored: Sequence[npt.NDArray[Any]]) -> npt.NDArray[np.bool_]:
        """Fill in the stored verdicts on candidates with these ``keys`` (n, 2); return which of them there are."""
        first_keys, second_keys, *values = stored
        if not len(first_keys):
            return np.zeros(len(keys), np.bool_)
        order = np.argsort(first_keys, kind="stable")
        at = order[np.minimum(np.searchsorted(first_keys, keys[:, 0], sorter=order), len(order) - 1)]
        is_stored: npt.NDArray[np.bool_] = (first_keys[at] == keys[:, 0]) & (second_keys[at] == keys[:, 1])
        for array, value in zip(self.columns.values(), values, strict=True):
            array[is_stored] = value[at[is_stored]].astype(array.dtype, copy=False)
        return is_stored

    def put(self, positions: Positions, pairs: ClassifiedPairs) -> None:
        """Fill in the results of ``pairs``, which lie at these ``positions`` of the candidates."""
        for name, array in self.columns.items():
            array[positions] = getattr(pairs, name)

    def pairs(self, candidates: _CandidateArrays) -> ClassifiedPairs:
        """Return the pairs among the candidates; those that are not compared yet are none."""
        rows = np.flatnonzero(self.columns["kind"])
        arrays: dict[str, Any] = {name: getattr(candidates, name)[rows] for name in CANDIDATE_COLUMNS}
        arrays.update({name: array[rows] for name, array in self.columns.items()})
        return ClassifiedPairs(**arrays, looked=0, unread=0, done=len(candidates.a))
