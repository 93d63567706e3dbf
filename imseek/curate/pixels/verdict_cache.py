"""What pixels said of candidates, kept in the cache, so that pictures are looked at once.

Candidates go through in runs of those whose first picture has an id of one thousand or the next. What a run has found
is kept under a name that holds all it depends on, so that a call that was stopped goes on, and after a few new images
only the runs that they have candidates in are looked at again. A run in which a picture could not be read is not kept.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from imseek.curate.candidates.cache import Kept, digest
from imseek.curate.candidates.candidate_limit import LOOKS, most_promising
from imseek.curate.candidates.hamming import Bits
from imseek.curate.pixels.classify import Look, Pairs, Positions, Thresholds, classify
from imseek.curate.unique_contents import Digests, Ids
from imseek.types import Float32

_STAGE: Final = "looked"
_BITS: Final = 10
#: To be raised when classify, or how a picture is looked at, may judge otherwise: what was kept then counts no more.
_VERSION: Final = 1
#: What pairs have of the candidates that they were.
_GIVEN: Final[dict[str, type[np.generic]]] = {
    "a": np.int64,
    "b": np.int64,
    "distance": np.uint8,
    "cosine": np.float32,
}
#: What a run has found: which of its candidates, and these arrays of :class:`Pairs`.
_MADE: Final[dict[str, type[np.generic]]] = {
    "kind": np.uint8,
    "confidence": np.float32,
    "orientation": np.uint8,
    "correlation": np.float32,
    "agreement": np.float32,
    "overlap": np.float32,
}
_KINDS: Final[tuple[type[np.generic], ...]] = (np.int64, *_MADE.values())


def looked(
    a: Positions,
    b: Positions,
    distance: Bits,
    orientation: Bits,
    cosine: Float32,
    look: Look,
    thresholds: Thresholds,
    ids: Ids,
    hashes: tuple[Digests, Digests],
    kept: Kept,
    progress: Callable[[int, int], None] | None = None,
    stop: threading.Event | None = None,
    most: int = LOOKS,
) -> Pairs:
    """As :func:`imseek.curate.pixels.classify.classify`, of n candidates of which ``a`` ascends.

    ``ids`` (n,) are those of the first images, ``hashes`` two times (n, 32) the contents of both. Of more than ``most``
    candidates the most promising are looked at; of the others, hash and vector have to say.
    """
    asked = _Asked(a, b, distance, orientation, cosine, ids, *hashes)
    shown = most_promising(distance, cosine, thresholds.near_bits, most)
    found = _looked(asked if shown.all() else asked.of(shown), look, thresholds, kept, progress, stop)
    if found.interrupted or shown.all():
        return found
    blind = classify(*asked.of(~shown).candidates, unseen, thresholds=thresholds)
    return replace(_joined([found, blind], len(a)), unread=found.unread, unseen=blind.unread)


def unseen(position: int) -> None:
    """Looks at nothing: for :func:`imseek.curate.pixels.classify.classify`."""
    del position


@dataclass(frozen=True, slots=True, eq=False)
class _Asked:
    """Candidates as :func:`looked` takes them: arrays of one length."""

    a: Positions
    b: Positions
    distance: Bits
    orientation: Bits
    cosine: Float32
    ids: Ids
    one: Digests
    other: Digests

    def of(self, rows: slice | npt.NDArray[np.bool_]) -> _Asked:
        return _Asked(*(getattr(self, field.name)[rows] for field in fields(self)))

    @property
    def candidates(self) -> tuple[Positions, Positions, Bits, Bits, Float32]:
        return self.a, self.b, self.distance, self.orientation, self.cosine


def _looked(
    asked: _Asked,
    look: Look,
    thresholds: Thresholds,
    kept: Kept,
    progress: Callable[[int, int], None] | None,
    stop: threading.Event | None,
) -> Pairs:
    total = len(asked.a)
    cuts = [0, *(np.flatnonzero(np.diff(asked.ids >> _BITS)) + 1).tolist(), total] if total else [0]
    starts = cuts[:-1]
    runs = [asked.of(slice(start, end)) for start, end in itertools.pairwise(cuts)]
    names = [_name(run, thresholds) for run in runs]
    earlier = kept.only(_STAGE, set(names))
    found: list[Pairs] = []
    for start, run, name in zip(starts, runs, names, strict=True):
        stored = kept.load(name, _KINDS) if name in earlier else None
        made = None if stored is None else _restored(run, *stored)
        if made is None:
            told = _moved(progress, start, total)
            made = classify(*run.candidates, look, thresholds=thresholds, progress=told, stop=stop)
            if not made.unread and not made.interrupted:
                kept.save(name, (_places(run, made), *(getattr(made, part) for part in _MADE)))
        found.append(made)
        if made.interrupted:
            break
    if progress is not None:
        progress(sum(one.done for one in found), total)
    return _joined(found, total)


def _name(run: _Asked, thresholds: Thresholds) -> str:
    """It holds all that is judged by."""
    marks = (run.one, run.other, run.distance, run.orientation, run.cosine)
    return f"{_STAGE}-{int(run.ids[0]) >> _BITS:09d}-{digest(_VERSION, thresholds, *marks)}"


def _moved(
    progress: Callable[[int, int], None] | None, start: int, total: int
) -> Callable[[int, int], None] | None:
    return None if progress is None else lambda done, _: progress(start + done, total)


def _places(run: _Asked, made: Pairs) -> Positions:
    """Where in a run its pairs are: no two candidates are the same two pictures."""
    at = {pair: n for n, pair in enumerate(zip(run.a.tolist(), run.b.tolist(), strict=True))}
    pairs = zip(made.a.tolist(), made.b.tolist(), strict=True)
    return np.array([at[pair] for pair in pairs], np.int64)


def _restored(run: _Asked, chosen: Positions, *made: npt.NDArray[Any]) -> Pairs | None:
    """None where what is kept is of other candidates."""
    if len(chosen) and not 0 <= chosen.min() <= chosen.max() < len(run.a):
        return None
    arrays: dict[str, Any] = {name: getattr(run, name)[chosen] for name in _GIVEN}
    arrays.update(zip(_MADE, made, strict=True))
    return Pairs(**arrays, looked=0, unread=0, done=len(run.a))


def _joined(parts: Sequence[Pairs], total: int) -> Pairs:
    arrays: dict[str, Any] = {
        name: np.concatenate([np.empty(0, kind), *(getattr(part, name) for part in parts)])
        for name, kind in (_GIVEN | _MADE).items()
    }
    done = sum(part.done for part in parts)
    return Pairs(
        **arrays,
        looked=sum(part.looked for part in parts),
        unread=sum(part.unread for part in parts),
        done=done,
        interrupted=done < total,
    )
