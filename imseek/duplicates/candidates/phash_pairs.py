"""Find contents with near perceptual hashes, optionally in any of the eight orientations."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np

from imseek.data.files.array_cache import Arrays
from imseek.duplicates.candidates.block_pairs import Block, concatenate_parts, process_blocks
from imseek.duplicates.candidates.hamming import Bits, HammingMatches, MultiIndex, expand_runs, select_nearest
from imseek.duplicates.part_cache import PartCache
from imseek.duplicates.unique_contents import Hashes, Ids, UniqueContents
from imseek.encoders.input_checks import available_cpus
from imseek.progress import Task
from imseek.search.near_duplicates import hamming
from imseek.unique_numbers import unique_numbers

PHASE: Final = "comparing hashes"

#: Takes hashes (n,) and a code, and returns the hashes of the turned pictures; code 0 changes nothing.
Turn: TypeAlias = Callable[[Hashes, int], Hashes]

_KINDS: Final = (np.uint64, np.uint64)
#: Distance of a pair if one hash is unknown.
UNKNOWN: Final = 255
_PAIR_BATCH: Final = 1 << 18
#: Each thread takes 60 MB.
_THREADS: Final = 4


@dataclass(frozen=True, slots=True, eq=False)
class PhashPairs:
    """Distinct pairs of int64 positions ``a`` (m,) and ``b`` (m,); within one side ``a`` < ``b``.

    ``cut``: number of contents with more near hashes than were kept; ``crowd``: size of the largest group of contents
    with the same hash.
    """

    a: Ids
    b: Ids
    cut: int
    crowd: int


class _HashGroups:
    """Contents grouped by hash; contents without a hash are in no group.

    ``hashes`` (u,) are in the order of ``firsts`` (u,), the positions of the first contents that have them; the
    contents of the n-th group are ``members[starts[n] : starts[n] + sizes[n]]``, ascending.
    """

    def __init__(self, phashes: Hashes) -> None:
        hashed = np.flatnonzero(phashes)
        order = hashed[np.argsort(phashes[hashed], kind="stable")]
        sorted_hashes = phashes[order]
        starts = np.flatnonzero(np.concatenate([[True], sorted_hashes[1:] != sorted_hashes[:-1]])[: len(sorted_hashes)])
        sizes = np.diff(starts, append=len(order))
        by_first = np.argsort(order[starts])
        self.members, self.starts, self.sizes = order, starts[by_first], sizes[by_first]
        self.firsts = order[self.starts]
        self.hashes = phashes[self.firsts]
        self._order = np.argsort(self.hashes)

    def numbers(self, hashes: Hashes) -> Ids:
        """Return the group (m,) of each of ``hashes``; -1 if no content has it any more."""
        if not len(self.hashes):
            return np.full(len(hashes), -1, np.int64)
        at = np.minimum(np.searchsorted(self.hashes, hashes, sorter=self._order), len(self.hashes) - 1)
        at = self._order[at]
        return np.where(self.hashes[at] == hashes, at, -1)


def find_phash_pairs(
    contents: UniqueContents,
    other: tuple[UniqueContents, str] | None,
    radius: int,
    most: int,
    turn: Turn,
    turns: int,
    cache: PartCache,
    task: Task,
) -> PhashPairs:
    """Find pairs of contents whose hashes differ in at most ``radius`` bits, the first turned by any of ``turns``
    codes.

    Equal hashes are grouped first. A content is paired with at most ``most`` later contents with the same hash, and
    with at most ``most`` contents with near hashes (nearest first, then in order). Exact except for these limits, and
    for hashes that share 16 bits with thousands of others (:data:`imseek.duplicates.candidates.hamming.MAX_BUCKET`).
    Memory: 190 bytes per content, 40 per pair. Raises Cancelled.
    """
    others, name = other or (contents, "")
    groups = _HashGroups(contents.phashes)
    theirs = groups if not name else _HashGroups(others.phashes)

    def work(block: Block) -> Arrays:
        hashes = groups.hashes[block.start : block.stop]
        table = MultiIndex(theirs.hashes[: block.upto])
        cut = np.zeros(len(hashes), np.bool_)
        pairs = [np.empty(0, np.int64)]
        for matches in _search_in_threads(table, [turn(hashes, code) for code in range(turns)], radius, most + 1):
            task.step(PHASE, block.start, len(groups.hashes))
            is_other = (hashes[matches.query] != table.hashes[matches.entry]) | bool(name)
            pairs.append(matches.query[is_other] * len(table.hashes) + matches.entry[is_other])
            cut |= matches.cut
        query, at = np.divmod(unique_numbers(*pairs), max(1, len(table.hashes)))
        apart = distances(hashes[query], table.hashes[at], turn, turns)[0]
        best = select_nearest(query, at, apart, most, cut)
        return (
            np.concatenate([hashes[query[best]], hashes[cut]]),
            np.concatenate([table.hashes[at[best]], np.zeros(np.count_nonzero(cut), np.uint64)]),
        )

    blocks = process_blocks(
        "hashes",
        PHASE,
        contents.ids[groups.firsts],
        [groups.hashes],
        name,
        work,
        _KINDS,
        cache,
        task,
    )
    hash_a, hash_b = concatenate_parts(list(blocks), _KINDS)
    a, b, left_out = _expand_to_contents(
        groups, theirs, hash_a[hash_b != 0], hash_b[hash_b != 0], most, turn, turns, not name
    )
    cut = np.zeros(len(contents), np.bool_)
    crowded = groups.numbers(unique_numbers(hash_a[hash_b == 0]))
    cut[groups.firsts[crowded[crowded >= 0]]] = True
    cut[left_out] = True
    if not name:
        c, d, limited = _pair_equal_hashes(groups, most)
        cut[limited] = True
        a, b = np.concatenate([a, c]), np.concatenate([b, d])
        a, b = np.minimum(a, b), np.maximum(a, b)
    a, b = np.divmod(unique_numbers(a * max(1, len(others)) + b), max(1, len(others)))
    return PhashPairs(a, b, int(np.count_nonzero(cut)), int(max(groups.sizes, default=0)))


def _search_in_threads(table: MultiIndex, hashes: Sequence[Hashes], radius: int, most: int) -> Iterator[HammingMatches]:
    """Search several arrays of queries in a few threads, as NumPy releases the GIL."""
    with ThreadPoolExecutor(min(_THREADS, available_cpus(), len(hashes))) as pool:
        try:
            yield from pool.map(lambda queries: table.near(queries, radius, most), hashes)
        finally:
            pool.shutdown(cancel_futures=True)


def _pair_equal_hashes(groups: _HashGroups, most: int) -> tuple[Ids, Ids, Ids]:
    """Pair each content with the next ``most`` that have its hash; also return the contents with pairs left out."""
    size = np.repeat(groups.sizes, groups.sizes)
    of, at = expand_runs(groups.starts, groups.sizes)
    members, place = groups.members[at], at - groups.starts[of]
    after = np.minimum(size - place - 1, most)
    of, behind = expand_runs(np.zeros(len(after), np.int64), after)
    return members[of], members[of + behind + 1], members[size - 1 > most]


def _expand_to_contents(
    groups: _HashGroups,
    theirs: _HashGroups,
    hash_a: Hashes,
    hash_b: Hashes,
    most: int,
    turn: Turn,
    turns: int,
    alone: bool,
) -> tuple[Ids, Ids, Ids]:
    """Expand pairs of hashes to pairs of contents, at most ``most`` per content, nearest hashes first.

    All contents with one hash are paired with the same contents. Also returns the contents with pairs left out.
    """
    u, w = groups.numbers(hash_a), theirs.numbers(hash_b)
    is_present = (u >= 0) & (w >= 0)
    u, w = u[is_present], w[is_present]
    if alone:
        # Put the later one first, as in queries, so that a pair found from both sides occurs once.
        u, w = np.maximum(u, w), np.minimum(u, w)
    key = unique_numbers(u * max(1, len(theirs.hashes)) + w)
    u, w = np.divmod(key, max(1, len(theirs.hashes)))
    apart = distances(groups.hashes[u], theirs.hashes[w], turn, turns)[0]
    order = np.lexsort((w, apart, u))
    u, w = u[order], w[order]
    sizes = theirs.sizes[w]
    before = np.cumsum(sizes) - sizes
    is_first = np.concatenate([[True], u[1:] != u[:-1]])[: len(u)]
    before -= np.repeat(before[is_first], np.diff(np.flatnonzero(is_first), append=len(u)))
    counts = np.clip(most - before, 0, sizes)
    short = unique_numbers(u[counts < sizes])
    left_out = groups.members[expand_runs(groups.starts[short], groups.sizes[short])[1]]
    of, at = expand_runs(theirs.starts[w], counts)
    b, u = theirs.members[at], u[of]
    of, at = expand_runs(groups.starts[u], groups.sizes[u])
    return groups.members[at], b[of], left_out


def distances(a: Hashes, b: Hashes, turn: Turn, turns: int) -> tuple[Bits, Bits]:
    """Return for pairs of hashes (m,) the least number of differing bits over all turns of ``a``, and the code of that
    turn.

    Both are (m,) uint8; ties go to the lowest code. 255 and 0 if a hash is unknown.
    """
    least, codes = np.full(len(a), UNKNOWN, np.uint8), np.zeros(len(a), np.uint8)
    for start in range(0, len(a), _PAIR_BATCH):
        part = slice(start, start + _PAIR_BATCH)
        part_a, part_b = a[part], b[part]
        for code in range(turns):
            apart = hamming(turn(part_a, code), part_b)
            nearer = apart < least[part]
            least[part][nearer], codes[part][nearer] = apart[nearer], code
        is_unknown = (part_a == 0) | (part_b == 0)
        least[part][is_unknown], codes[part][is_unknown] = UNKNOWN, 0
    return least, codes


def keep_orientation(hashes: Hashes, code: int) -> Hashes:
    """Leave hashes as they are: the :data:`Turn` for comparing without orientations."""
    del code
    return hashes


def describe_cuts(pairs: PhashPairs, most: int) -> Sequence[str]:
    """Describe what the limits left out."""
    if not pairs.cut:
        return ()
    crowd = f"; {pairs.crowd:,} have one and the same" if pairs.crowd > most else ""
    return (
        f"{pairs.cut:,} pictures have a perceptual hash like those of more than {most} others{crowd}: "
        f"of these pairs only the nearest were looked at",
    )
