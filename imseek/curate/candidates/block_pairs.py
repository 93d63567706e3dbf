"""A comparison of many with many, cut into blocks that are done, kept and done again one by one.

A block is a run of ids (16,384 numbers wide), so that a new image belongs to a new block or changes one. What a block
has found stays valid when others change: whichever of two blocks is compared last is compared with the other. So a
block is compared with all that come before it; and with those after it too, where the results of some of them are from
an earlier time.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from imseek.curate.candidates.cache import Kept, digest
from imseek.curate.unique_contents import Ids
from imseek.data.array_cache import Arrays
from imseek.data.snapshot_progress import Telling

_BITS: Final = 14


@dataclass(frozen=True, slots=True)
class Block:
    """Members ``start`` to before ``stop``, to be compared with the members of the other side below ``upto`` (of one
    side) or with all of them (``upto`` None)."""

    start: int
    stop: int
    upto: int | None


def joined(parts: Sequence[Arrays], kinds: Sequence[type[np.generic]]) -> Arrays:
    """Arrays of these kinds, one after another."""
    empty = tuple(np.empty(0, kind) for kind in kinds)
    return tuple(np.concatenate(part) for part in zip(empty, *parts, strict=True))


def each_block(
    stage: str,
    phase: str,
    ids: Ids,
    marks: Sequence[npt.NDArray[Any]],
    other: str,
    work: Callable[[Block], Arrays],
    kinds: Sequence[type[np.generic]],
    kept: Kept,
    telling: Telling,
) -> Iterator[Arrays]:
    """The results of ``work`` on each block of members, of which ``ids`` (n,) ascends: kept ones as they are.

    ``marks`` are arrays (n, …) of what members are, by which one is known again; ``other`` names what they are compared
    with, where that is not themselves (then a block is compared with all of it). Raises InterruptedError.
    """
    cuts = np.concatenate([[0], np.flatnonzero(np.diff(ids >> _BITS)) + 1, [len(ids)]]).tolist()
    runs = list(itertools.pairwise(cuts)) if len(ids) else []
    names = [
        f"{stage}-{int(ids[a]) >> _BITS:06d}-{digest(ids[a:b], *(m[a:b] for m in marks), other)}"
        for a, b in runs
    ]
    earlier = kept.only(stage, set(names))
    telling.tell(phase, 0, len(ids))
    for n, ((start, stop), name) in enumerate(zip(runs, names, strict=True)):
        found = kept.load(name, kinds) if name in earlier else None
        if found is None:
            alone = not other and earlier.isdisjoint(names[n + 1 :])
            found = work(Block(start, stop, stop if alone else None))
            kept.save(name, found)
        yield found
        telling.tell(phase, stop, len(ids))
