"""Compare many items with many in blocks that are computed, cached and recomputed independently.

A block is a range of ids (16,384 wide), so that a new image starts a new block or changes one. The results of a block
stay valid when others change: two blocks are compared when the second of them is processed. So a block is compared
with all earlier blocks, and with later ones too if some of them have cached results.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from imseek.data.files.array_cache import Arrays
from imseek.duplicates.part_cache import PartCache, digest
from imseek.duplicates.unique_contents import Ids
from imseek.progress import Task

_BLOCK_BITS: Final = 14


@dataclass(frozen=True, slots=True)
class Block:
    """Members ``start`` to before ``stop``, to be compared with the other side.

    Within one side, they are compared with the members below ``upto``; if ``upto`` is None, with all members.
    """

    start: int
    stop: int
    upto: int | None


def concatenate_parts(parts: Sequence[Arrays], kinds: Sequence[type[np.generic]]) -> Arrays:
    """Concatenate the arrays of all parts; ``kinds`` are their dtypes."""
    empty = tuple(np.empty(0, kind) for kind in kinds)
    return tuple(np.concatenate(part) for part in zip(empty, *parts, strict=True))


def process_blocks(
    stage: str,
    phase: str,
    ids: Ids,
    marks: Sequence[npt.NDArray[Any]],
    other: str,
    work: Callable[[Block], Arrays],
    kinds: Sequence[type[np.generic]],
    cache: PartCache,
    task: Task,
) -> Iterator[Arrays]:
    """Yield the result of ``work`` for each block of members, from the cache where possible; ``ids`` (n,) ascends.

    ``marks`` are arrays (n, …) that identify the content of members. ``other`` names what they are compared with, if
    not themselves; each block is then compared with all of it. Raises Cancelled.
    """
    cuts = np.concatenate([[0], np.flatnonzero(np.diff(ids >> _BLOCK_BITS)) + 1, [len(ids)]]).tolist()
    runs = list(itertools.pairwise(cuts)) if len(ids) else []
    names = [
        f"{stage}-{int(ids[a]) >> _BLOCK_BITS:06d}-{digest(ids[a:b], *(m[a:b] for m in marks), other)}" for a, b in runs
    ]
    earlier = cache.only(stage, set(names))
    task.step(phase, 0, len(ids))
    for n, ((start, stop), name) in enumerate(zip(runs, names, strict=True)):
        arrays = cache.load(name, kinds) if name in earlier else None
        if arrays is None:
            alone = not other and earlier.isdisjoint(names[n + 1 :])
            arrays = work(Block(start, stop, stop if alone else None))
            cache.save(name, arrays)
        yield arrays
        task.step(phase, stop, len(ids))
