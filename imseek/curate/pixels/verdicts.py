"""What pixels said of candidates, kept in the cache, so that pictures are looked at once.

Candidates go through in runs of those whose first picture has an id of one thousand or the next. What a run has found
is kept under a name that holds all it depends on, so that a call that was stopped goes on, and after a few new images
only the runs that they have candidates in are looked at again. A run in which a picture could not be read is not kept.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from imseek.curate.contents import Digests, Ids
from imseek.curate.near.hamming import Bits
from imseek.curate.near.kept import Kept, digest
from imseek.curate.near.promising import LOOKS, most_promising
from imseek.curate.pixels.classify import Look, Pairs, Positions, Thresholds, classify
from imseek.types import Float32

_STAGE: Final = "looked"
_BITS: Final = 10
#: To be raised when classify, or how a picture is looked at, may judge otherwise: what was kept then counts no more.
_VERSION: Final = 1
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
    facts = a, b, distance, orientation, cosine
    shown = most_promising(distance, cosine, thresholds.near_bits, most)
    if shown.all():
        return _looked(*facts, look, thresholds, ids, hashes, kept, progress, stop)
    one, other = hashes
    found = _looked(
        a[shown], b[shown], distance[shown], orientation[shown], cosine[shown],
        look, thresholds, ids[shown], (one[shown], other[shown]), kept, progress, stop,
    )  # fmt: skip
    if found.interrupted:
        return found
    rest = ~shown
    blind = classify(
        a[rest], b[rest], distance[rest], orientation[rest], cosine[rest], unseen, thresholds=thresholds
    )
    return replace(_joined([found, blind], len(a)), unread=found.unread, unseen=blind.unread)


def unseen(position: int) -> None:
    """Looks at nothing: for :func:`imseek.curate.pixels.classify.classify`."""
    del position


def _looked(
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
    progress: Callable[[int, int], None] | None,
    stop: threading.Event | None,
) -> Pairs:
    cuts = [0, *(np.flatnonzero(np.diff(ids >> _BITS)) + 1).tolist(), len(a)] if len(a) else [0]
    runs = [slice(start, end) for start, end in itertools.pairwise(cuts)]
    marks = (*hashes, distance, orientation, cosine)
    names = [
        f"{_STAGE}-{int(ids[run.start]) >> _BITS:09d}-{digest(_VERSION, thresholds, *(mark[run] for mark in marks))}"
        for run in runs
    ]
    earlier = kept.only(_STAGE, set(names))
    found: list[Pairs] = []
    for run, name in zip(runs, names, strict=True):
        facts = (a[run], b[run], distance[run], orientation[run], cosine[run])
        stored = kept.load(name, _KINDS) if name in earlier else None
        if stored is not None:
            chosen, *rest = stored
            if len(chosen) and (chosen.min() < 0 or chosen.max() >= run.stop - run.start):
                stored = None
            else:
                found.append(_restored(facts, chosen, *rest))
        if stored is None:
            made = classify(
                *facts, look, thresholds=thresholds, progress=_moved(progress, run.start, len(a)), stop=stop
            )
            found.append(made)
            if made.interrupted:
                break
            if not made.unread:
                chosen = _places(a[run], b[run], made)
                kept.save(name, (chosen, *(getattr(made, part) for part in _MADE)))
    if progress is not None:
        progress(sum(one.done for one in found), len(a))
    return _joined(found, len(a))


def _moved(
    progress: Callable[[int, int], None] | None, start: int, total: int
) -> Callable[[int, int], None] | None:
    return None if progress is None else lambda done, _: progress(start + done, total)


def _places(a: Positions, b: Positions, made: Pairs) -> Positions:
    """Where in a run its pairs are: no two candidates are the same two pictures."""
    at = {pair: n for n, pair in enumerate(zip(a.tolist(), b.tolist(), strict=True))}
    return np.array(
        [at[pair] for pair in zip(made.a.tolist(), made.b.tolist(), strict=True)], np.int64
    ).reshape(-1)


def _restored(
    facts: tuple[Positions, Positions, Bits, Bits, Float32], chosen: Positions, *made: npt.NDArray[Any]
) -> Pairs:
    a, b, distance, _, cosine = facts
    kind, confidence, orientation, correlation, agreement, overlap = made
    return Pairs(
        a[chosen], b[chosen], kind, confidence, distance[chosen], orientation, cosine[chosen],
        correlation, agreement, overlap, looked=0, unread=0, done=len(a),
    )  # fmt: skip


def _joined(parts: Sequence[Pairs], total: int) -> Pairs:
    def joined(name: str, kind: type[np.generic]) -> npt.NDArray[Any]:
        return np.concatenate([np.empty(0, kind), *(getattr(part, name) for part in parts)])

    done = sum(part.done for part in parts)
    return Pairs(
        joined("a", np.int64),
        joined("b", np.int64),
        joined("kind", np.uint8),
        joined("confidence", np.float32),
        joined("distance", np.uint8),
        joined("orientation", np.uint8),
        joined("cosine", np.float32),
        joined("correlation", np.float32),
        joined("agreement", np.float32),
        joined("overlap", np.float32),
        looked=sum(part.looked for part in parts),
        unread=sum(part.unread for part in parts),
        done=done,
        interrupted=done < total,
    )
