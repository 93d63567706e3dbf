"""Cache the verdicts on candidates, so that pictures are compared once.

Candidates are processed in runs whose first images have ids in the same range of 1024. The result of a run is cached
under a name derived from everything it depends on, so that an interrupted call resumes, and after a few new images only
the runs with new candidates are compared again. A run with an unreadable picture is not cached.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from imseek.duplicates.candidates.cache import PartCache, digest
from imseek.duplicates.candidates.candidate_limit import DEFAULT_LOOKS, select_most_promising
from imseek.duplicates.candidates.hamming import Bits
from imseek.duplicates.pixels.classify import (
    PHASE,
    ClassifiedPairs,
    LoadLuminance,
    Positions,
    Thresholds,
    classify,
)
from imseek.duplicates.unique_contents import Digests, Ids
from imseek.progress import SILENT, Task
from imseek.types.arrays import Float32

_STAGE: Final = "looked"
_RUN_BITS: Final = 10
#: Increase when classification or decoding may give other results; this invalidates the cache.
_VERSION: Final = 1
#: Fields of :class:`ClassifiedPairs` copied from the candidates.
_CANDIDATE_FIELDS: Final[dict[str, type[np.generic]]] = {
    "a": np.int64,
    "b": np.int64,
    "distance": np.uint8,
    "cosine": np.float32,
}
#: Fields of :class:`ClassifiedPairs` cached with the positions of the pairs in their run.
_RESULT_FIELDS: Final[dict[str, type[np.generic]]] = {
    "kind": np.uint8,
    "confidence": np.float32,
    "orientation": np.uint8,
    "correlation": np.float32,
    "agreement": np.float32,
    "overlap": np.float32,
}
_KINDS: Final[tuple[type[np.generic], ...]] = (np.int64, *_RESULT_FIELDS.values())


def classify_cached(
    a: Positions,
    b: Positions,
    distance: Bits,
    orientation: Bits,
    cosine: Float32,
    look: LoadLuminance,
    thresholds: Thresholds,
    ids: Ids,
    hashes: tuple[Digests, Digests],
    cache: PartCache,
    task: Task = SILENT,
    most: int = DEFAULT_LOOKS,
) -> ClassifiedPairs:
    """As :func:`imseek.duplicates.pixels.classify.classify`, with a cache, for n candidates with ascending ``a``.

    ``ids`` (n,) are those of the first images, ``hashes`` the content hashes (n, 32) of the first and the second. If
    there are more than ``most`` candidates, the most promising are compared by pixels; the others are judged by hash
    and vector.
    """
    candidates = _CandidateArrays(a, b, distance, orientation, cosine, ids, *hashes)
    shown = select_most_promising(distance, cosine, thresholds.near_bits, most)
    found = _classify_runs(candidates if shown.all() else candidates.of(shown), look, thresholds, cache, task)
    if found.interrupted or shown.all():
        return found
    blind = classify(*candidates.of(~shown).candidates, load_nothing, thresholds=thresholds)
    return replace(_concatenate_pairs([found, blind], len(a)), unread=found.unread, unseen=blind.unread)


def load_nothing(position: int) -> None:
    """Return no picture, so that :func:`imseek.duplicates.pixels.classify.classify` judges by hash and vector only."""
    del position


@dataclass(frozen=True, slots=True, eq=False)
class _CandidateArrays:
    """The candidates of :func:`classify_cached`, as arrays of one length."""

    a: Positions
    b: Positions
    distance: Bits
    orientation: Bits
    cosine: Float32
    ids: Ids
    one: Digests
    other: Digests

    def of(self, rows: slice | npt.NDArray[np.bool_]) -> _CandidateArrays:
        return _CandidateArrays(*(getattr(self, field.name)[rows] for field in fields(self)))

    @property
    def candidates(self) -> tuple[Positions, Positions, Bits, Bits, Float32]:
        return self.a, self.b, self.distance, self.orientation, self.cosine


def _classify_runs(
    candidates: _CandidateArrays, look: LoadLuminance, thresholds: Thresholds, cache: PartCache, task: Task
) -> ClassifiedPairs:
    total = len(candidates.a)
    cuts = [0, *(np.flatnonzero(np.diff(candidates.ids >> _RUN_BITS)) + 1).tolist(), total] if total else [0]
    starts = cuts[:-1]
    runs = [candidates.of(slice(start, end)) for start, end in itertools.pairwise(cuts)]
    names = [_cache_name(run, thresholds) for run in runs]
    earlier = cache.only(_STAGE, set(names))
    found: list[ClassifiedPairs] = []
    for start, run, name in zip(starts, runs, names, strict=True):
        stored = cache.load(name, _KINDS) if name in earlier else None
        made = None if stored is None else _restore_pairs(run, *stored)
        if made is None:
            made = classify(*run.candidates, look, thresholds=thresholds, task=task, before=start, total=total)
            if not made.unread and not made.interrupted:
                cache.save(name, (_positions_in_run(run, made), *(getattr(made, part) for part in _RESULT_FIELDS)))
        found.append(made)
        if made.interrupted:
            break
    task.report(PHASE, sum(one.done for one in found), total)
    return _concatenate_pairs(found, total)


def _cache_name(run: _CandidateArrays, thresholds: Thresholds) -> str:
    """Return the cache name of a run, derived from everything that its result depends on."""
    marks = (run.one, run.other, run.distance, run.orientation, run.cosine)
    return f"{_STAGE}-{int(run.ids[0]) >> _RUN_BITS:09d}-{digest(_VERSION, thresholds, *marks)}"


def _positions_in_run(run: _CandidateArrays, made: ClassifiedPairs) -> Positions:
    """Return the positions of pairs in their run; no two candidates are the same pair."""
    at = {pair: n for n, pair in enumerate(zip(run.a.tolist(), run.b.tolist(), strict=True))}
    pairs = zip(made.a.tolist(), made.b.tolist(), strict=True)
    return np.array([at[pair] for pair in pairs], np.int64)


def _restore_pairs(run: _CandidateArrays, chosen: Positions, *made: npt.NDArray[Any]) -> ClassifiedPairs | None:
    """Rebuild pairs from cached arrays; None if these belong to other candidates."""
    if len(chosen) and not 0 <= chosen.min() <= chosen.max() < len(run.a):
        return None
    arrays: dict[str, Any] = {name: getattr(run, name)[chosen] for name in _CANDIDATE_FIELDS}
    arrays.update(zip(_RESULT_FIELDS, made, strict=True))
    return ClassifiedPairs(**arrays, looked=0, unread=0, done=len(run.a))


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
