"""Cache the verdicts on candidates, so that pictures are compared once.

Candidates are processed in runs whose first images have ids in the same range of 1024. The verdicts of a run are cached
with a key for each candidate, derived from its pictures and thresholds. So an interrupted call resumes, and after a few
new images only the new candidates are compared. Of a run with an unreadable picture, nothing new is cached. Where other
pairs of a call said how two pictures lie (:mod:`imseek.duplicates.pixels.placements`), the verdict that was made first
stays: the pair alone could have another one.

Verdicts on single pairs, which grouping asks for one at a time, are cached in one file, with keys of the same form.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from imseek.analysis.disjoint_sets import DisjointSets
from imseek.duplicates.candidates.candidate_limit import DEFAULT_LOOKS, select_most_promising
from imseek.duplicates.candidates.hamming import Bits
from imseek.duplicates.part_cache import CacheTable, ColumnKind, PartCache, digest
from imseek.duplicates.pixels.classify import (
    MOST_TOGETHER,
    PHASE,
    ClassifiedPairs,
    JudgePairs,
    LoadLuminance,
    classify,
    judging,
)
from imseek.duplicates.pixels.differences import PACKED_PLACES
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
#: Fields of :class:`ClassifiedPairs` copied from the candidates.
_CANDIDATE_FIELDS: Final[dict[str, ColumnKind]] = {
    "a": np.int64,
    "b": np.int64,
    "distance": np.uint8,
    "cosine": np.float32,
}
#: Fields of :class:`ClassifiedPairs` cached for each candidate, with its key; those that are no pair have kind 0.
_RESULT_FIELDS: Final[dict[str, ColumnKind]] = {
    "kind": np.uint8,
    "confidence": np.float32,
    "orientation": np.uint8,
    "correlation": np.float32,
    "agreement": np.float32,
    "overlap": np.float32,
    "places": PACKED_PLACES,
}
#: Columns of the key that stands for a candidate.
_KEYS: Final[tuple[type[np.generic], ...]] = (np.uint64, np.uint64)
_KINDS: Final[tuple[ColumnKind, ...]] = (*_KEYS, *_RESULT_FIELDS.values())
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
    return replace(_concatenate_pairs([classified, blind], len(a)), unread=classified.unread, unseen=blind.unread)


def load_nothing(position: int) -> None:
    """Return no picture, so that :func:`imseek.duplicates.pixels.classify.classify` judges by hash and vector only."""
    del position


class SingleVerdicts:
    """Classifies candidates one at a time, with a cache that :meth:`save` writes."""

    def __init__(self, cache: PartCache, thresholds: Thresholds) -> None:
        self._thresholds = thresholds
        name = f"{_SINGLE_STAGE}-{digest(_VERSION, thresholds)}"
        self._table = CacheTable(cache, name, _KEYS, tuple(_RESULT_FIELDS.values()), stage=_SINGLE_STAGE)

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
            for array, value in zip(verdict.fields.values(), cached_row, strict=True):
                array[0] = value
            return verdict.pairs(candidate)
        classified = classify(*candidate.candidates, load, thresholds=self._thresholds, judge=judge)
        if not classified.unread:  # It may be readable again.
            verdict.put(np.zeros(len(classified.a), np.int64), classified)
            self._table.put(*key, row=tuple(array[0].item() for array in verdict.fields.values()))
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
    total = len(candidates.a)
    cuts = [0, *(np.flatnonzero(np.diff(candidates.ids >> _RUN_BITS)) + 1).tolist(), total] if total else [0]
    parts = [candidates.of(slice(start, end)) for start, end in itertools.pairwise(cuts)]
    names = [f"{_STAGE}-{int(run.ids[0]) >> _RUN_BITS:09d}-{digest(_VERSION, thresholds)}" for run in parts]
    earlier = cache.only(_STAGE, set(names))
    runs = [
        _Run.of(part, name, cache.load(name, _KINDS) if name in earlier else None, thresholds)
        for part, name in zip(parts, names, strict=True)
    ]
    new_count = sum(len(run.new) for run in runs)
    classified: list[ClassifiedPairs] = []
    done_count = 0
    if on_pairs is not None:
        for run in runs:
            known_candidates = run.candidates.of(run.is_known)
            on_pairs(run.verdicts.pairs(run.candidates), known_candidates.a, known_candidates.b)
    with judging(new_count) as judge:
        for run in runs:
            new_pairs = run.classify(load, thresholds, judge, task, done_count, new_count, on_pairs)
            done_count += new_pairs.done
            if new_pairs.done and not new_pairs.unread:
                run.save(cache)
            classified.append(run.verdicts.pairs(run.candidates, new_pairs.looked, new_pairs.unread))
    task.report(PHASE, done_count, new_count)
    return replace(_concatenate_pairs(classified, total), interrupted=done_count < new_count)


@dataclass(slots=True, eq=False)
class _Run:
    """Candidates that are cached together, with the verdicts on those where ``is_known`` is true.

    The positions of the others are ``new``, in the order in which they are compared, and belong to ``groups``.
    """

    candidates: _CandidateArrays
    name: str
    keys: npt.NDArray[np.uint64]
    verdicts: _VerdictArrays
    is_known: npt.NDArray[np.bool_]
    new: Positions
    groups: Positions

    @classmethod
    def of(
        cls, candidates: _CandidateArrays, name: str, stored: Sequence[npt.NDArray[Any]] | None, thresholds: Thresholds
    ) -> _Run:
        """Make a run with the ``stored`` verdicts."""
        keys, verdicts = candidates.keys(), _VerdictArrays.empty(len(candidates.a))
        is_known = np.zeros(len(candidates.a), np.bool_) if stored is None else verdicts.restore(keys, stored)
        groups = _find_likely_groups(candidates, thresholds)
        order = np.lexsort((candidates.b, candidates.a, groups))
        new = order[~is_known[order]]
        return cls(candidates, name, keys, verdicts, is_known, new, groups[new])

    def classify(
        self,
        load: LoadLuminance,
        thresholds: Thresholds,
        judge: JudgePairs,
        task: Task,
        before: int,
        total: int,
        on_pairs: OnPairs | None,
    ) -> ClassifiedPairs:
        """Classify the new candidates, and return the pairs among them."""
        new_candidates = self.candidates.of(self.new)
        before_batch = 0

        def report_pairs(pairs: ClassifiedPairs) -> None:
            nonlocal before_batch
            assert on_pairs is not None
            batch = slice(before_batch, pairs.done)
            on_pairs(pairs, new_candidates.a[batch], new_candidates.b[batch])
            before_batch = pairs.done

        classified = classify(
            *new_candidates.candidates,
            load,
            thresholds=thresholds,
            judge=judge,
            groups=self.groups,
            task=task,
            before=before,
            total=total,
            on_batch=None if on_pairs is None else report_pairs,
        )
        self.verdicts.put(self.new[_positions_in_run(new_candidates, classified)], classified)
        self.is_known[self.new[: classified.done]] = True
        return classified

    def save(self, cache: PartCache) -> None:
        """Store the known verdicts."""
        parts = (*self.keys.T, *(self.verdicts.fields[name] for name in _RESULT_FIELDS))
        cache.save(self.name, tuple(np.ascontiguousarray(part[self.is_known]) for part in parts))


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
    """The verdicts on all candidates of a run: the arrays of ``_RESULT_FIELDS``."""

    fields: dict[str, npt.NDArray[Any]]

    @classmethod
    def empty(cls, count: int) -> _VerdictArrays:
        return cls({name: np.zeros(count, kind) for name, kind in _RESULT_FIELDS.items()})

    def restore(self, keys: npt.NDArray[np.uint64], stored: Sequence[npt.NDArray[Any]]) -> npt.NDArray[np.bool_]:
        """Fill in the stored verdicts on candidates with these ``keys`` (n, 2); return which of them there are."""
        first_keys, second_keys, *values = stored
        if not len(first_keys):
            return np.zeros(len(keys), np.bool_)
        order = np.argsort(first_keys, kind="stable")
        at = order[np.minimum(np.searchsorted(first_keys, keys[:, 0], sorter=order), len(order) - 1)]
        is_stored: npt.NDArray[np.bool_] = (first_keys[at] == keys[:, 0]) & (second_keys[at] == keys[:, 1])
        for (name, array), value in zip(self.fields.items(), values, strict=True):
            self.fields[name][is_stored] = value[at[is_stored]].astype(array.dtype, copy=False)
        return is_stored

    def put(self, positions: Positions, pairs: ClassifiedPairs) -> None:
        """Fill in the results of ``pairs``, which lie at these ``positions`` of the run."""
        for name, array in self.fields.items():
            array[positions] = getattr(pairs, name)

    def pairs(self, run: _CandidateArrays, looked: int = 0, unread: int = 0) -> ClassifiedPairs:
        """Return the pairs among the candidates; those that are not compared yet are none."""
        rows = np.flatnonzero(self.fields["kind"])
        arrays: dict[str, Any] = {name: getattr(run, name)[rows] for name in _CANDIDATE_FIELDS}
        arrays.update({name: array[rows] for name, array in self.fields.items()})
        return ClassifiedPairs(**arrays, looked=looked, unread=unread, done=len(run.a))


def _positions_in_run(run: _CandidateArrays, classified: ClassifiedPairs) -> Positions:
    """Return the positions of pairs in their run; no two candidates are the same pair."""
    at = {pair: n for n, pair in enumerate(zip(run.a.tolist(), run.b.tolist(), strict=True))}
    pairs = zip(classified.a.tolist(), classified.b.tolist(), strict=True)
    return np.array([at[pair] for pair in pairs], np.int64)


def _concatenate_pairs(parts: Sequence[ClassifiedPairs], total: int) -> ClassifiedPairs:
    arrays: dict[str, Any] = {
        name: np.concatenate([np.empty(0, kind), *(getattr(part, name) for part in parts)])
        for name, kind in (_CANDIDATE_FIELDS | _RESULT_FIELDS).items()
    }
    done = sum(part.done for part in parts)
    return ClassifiedPairs(
        **arrays,
        looked=sum(part.looked for part in parts),
        unread=sum(part.unread for part in parts),
        done=done,
        interrupted=done < total,
    )
