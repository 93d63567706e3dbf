"""Duplicates in collections that are small enough to compare every content with every other one.

The first means of :mod:`imseek.duplicates`: copies by content hash at any size, the other kinds by vectors and
perceptual hashes, a block of rows at a time, up to ``MOST`` contents.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from imseek.data.facts import columns_of
from imseek.data.layout import metadata
from imseek.data.reader import Reader
from imseek.errors import UsageError
from imseek.search.collapse import hamming, same_picture
from imseek.search.facts import unit_rows
from imseek.types import Duplicate, DuplicateKind, DuplicatePair, KeepRule, Progress, ProgressCallback

Ids = npt.NDArray[np.int64]

#: So many contents are compared all with all.
MOST: Final = 50_000
#: Two pictures of one scene: at least this cosine.
SCENE: Final = 0.90
_BLOCK: Final = 512
_ORDER: Final[Mapping[DuplicateKind, int]] = {"exact": 0, "same": 1, "inside": 2, "scene": 3}


@dataclass(frozen=True, slots=True, eq=False)
class Contents:
    """``ids`` (n,) int64, ascending: the lowest image id of each content; ``phashes`` (n,) uint64; ``copies``: the
    ids of all images of a content that has several, ascending, by the lowest. ``images`` counts all."""

    ids: Ids
    phashes: npt.NDArray[np.uint64]
    copies: Mapping[int, Sequence[int]]
    images: int


def contents(reader: Reader, allowed: Ids | None = None) -> Contents:
    """Of the live images of a generation, or those of them that are ``allowed``. Raises StaleGenerationError."""
    ids, hashes, phashes = [np.empty(0, np.int64)], [np.empty(0, "V32")], [np.empty(0, np.uint64)]
    for shard in reader.current.shards:
        table = columns_of(reader, metadata(shard.shard_id), ["image_id", "content_hash", "phash"])
        live = np.ones(len(table), np.bool_)
        live[reader.dead_rows(shard)] = False
        found = table["image_id"].to_numpy()[live]
        stored = np.array(table["content_hash"].to_pylist(), "V32").reshape(-1)[live]
        chosen = np.ones(len(found), np.bool_) if allowed is None else np.isin(found, allowed)
        ids.append(found[chosen])
        hashes.append(stored[chosen])
        phashes.append(table["phash"].to_numpy()[live][chosen].astype(np.uint64))
    all_ids, all_hashes = np.concatenate(ids), np.concatenate(hashes)
    order = np.argsort(all_ids, kind="stable")
    all_ids, all_hashes = all_ids[order], all_hashes[order]
    _, first, inverse, counts = np.unique(
        all_hashes.view((np.uint8, 32)), axis=0, return_index=True, return_inverse=True, return_counts=True
    )
    together = np.split(np.argsort(inverse.reshape(-1), kind="stable"), np.cumsum(counts)[:-1])
    copies = {int(all_ids[together[n][0]]): all_ids[together[n]].tolist() for n in np.flatnonzero(counts > 1)}
    first = np.sort(first)
    return Contents(all_ids[first], np.concatenate(phashes)[order][first], copies, len(all_ids))


def pairs(
    reader: Reader,
    found: Contents,
    kinds: Iterable[DuplicateKind],
    progress: ProgressCallback | None = None,
    stop: threading.Event | None = None,
) -> Iterator[DuplicatePair]:
    """Of contents that differ, ``a`` < ``b``. Ends early where ``stop`` is set.

    Raises UsageError where there are too many to compare all with all.
    """
    wanted = set(kinds) & {"same", "scene"}
    if not wanted or len(found.ids) < 2:
        return
    if len(found.ids) > MOST:
        raise UsageError(
            f"{len(found.ids):,} different pictures are more than the {MOST:,} that can be compared now",
            hint="--kind exact, or a part of them with --where",
        )
    rows = np.concatenate([unit_rows(reader, found.ids, s) for s in reader.current.image_spaces], axis=1)
    rows /= np.sqrt(np.float32(len(reader.current.image_spaces)))
    began = time.monotonic()
    for start in range(0, len(rows), _BLOCK):
        if stop is not None and stop.is_set():
            return
        cosines = rows[start : start + _BLOCK] @ rows[start:].T
        for n, near in enumerate(cosines):
            a = start + n
            beside, hashes = near[n + 1 :], found.phashes[a + 1 :]
            alike = same_picture(beside, hashes, found.phashes[a]) & ("same" in wanted)
            scene = (beside >= SCENE) & ("scene" in wanted)
            for b in np.flatnonzero(alike | scene):
                apart = int(hamming(hashes[b : b + 1], found.phashes[a])[0])
                yield DuplicatePair(
                    int(found.ids[a]),
                    int(found.ids[a + 1 + b]),
                    "same" if alike[b] else "scene",
                    confidence=0.9 if alike[b] else 0.5,
                    cosine=min(float(beside[b]), 1.0),
                    distance=apart,
                )
        if progress is not None:
            done = min(start + _BLOCK, len(rows))
            progress(Progress("comparing", done, len(rows), 0, time.monotonic() - began))


def exact_pairs(found: Contents) -> Iterator[DuplicatePair]:
    """Of each content that several images have: its first image with each of the others."""
    for first, all_of_it in found.copies.items():
        for other in all_of_it:
            if other != first:
                yield exact(first, other)


def exact(a: int, b: int) -> DuplicatePair:
    return DuplicatePair(min(a, b), max(a, b), "exact", confidence=1.0, cosine=1.0, distance=0)


def grouped(found: Iterable[DuplicatePair]) -> list[list[int]]:
    """Sets of ids of which each two are a pair, the surest pairs first; each id is in one set at most."""
    known = {(pair.a, pair.b): pair for pair in found}
    groups: dict[int, list[int]] = {}
    surest = sorted(known.values(), key=lambda p: (_ORDER[p.kind], -p.confidence, -(p.cosine or 0), p.a, p.b))
    for pair in surest:
        one, other = groups.get(pair.a, [pair.a]), groups.get(pair.b, [pair.b])
        if one is not other and all((min(a, b), max(a, b)) in known for a in one for b in other):
            joined = sorted(one + other)
            groups.update(dict.fromkeys(joined, joined))
    return [group for i, group in sorted(groups.items()) if group[0] == i]


def richness(facts: Mapping[str, Any]) -> int:
    """How many of the facts that a re-encoding tends to lose are there."""
    return sum(facts.get(name) is not None for name in ("taken_at", "camera", "lens", "latitude", "caption"))


@dataclass(frozen=True, slots=True)
class Keeping:
    """How one of a group is chosen: ``rule``, and folders (absolute paths) that are preferred, in this order, or whose
    pictures are to stay in any case."""

    rule: KeepRule
    prefer: Sequence[bytes] = ()
    protect: Sequence[bytes] = ()

    def ordered(
        self, members: Sequence[Duplicate], facts: Mapping[int, Mapping[str, Any]]
    ) -> tuple[list[Duplicate], str]:
        """The members, the keeper first, and why it is that."""
        tests: list[
            tuple[str, dict[int, Any]]
        ] = []  # What is asked, and of each member a value: the higher, the better
        if self.protect:
            tests.append(
                (
                    "in a protected folder",
                    {m.image_id: _below(m, self.protect) < len(self.protect) for m in members},
                )
            )
        pixels = ("more pixels", {m.image_id: m.width * m.height for m in members})
        rich = ("more metadata", {m.image_id: richness(facts.get(m.image_id, {})) for m in members})
        larger = ("the larger file", {m.image_id: m.bytes for m in members})
        folder = ("in a preferred folder", {m.image_id: -_below(m, self.prefer) for m in members})
        times = [m.taken_at for m in members if m.taken_at is not None]
        rank = {moment: n for n, moment in enumerate(sorted(set(times)), start=1)}
        newest = {m.image_id: rank.get(m.taken_at or "", 0) for m in members}
        oldest = {i: len(rank) + 1 - n if n else 0 for i, n in newest.items()}
        tests += {
            "best": [pixels, rich, larger, folder],
            "largest": [larger, pixels, rich, folder],
            "oldest": [("taken first", oldest), pixels, rich, larger, folder],
            "newest": [("taken last", newest), pixels, rich, larger, folder],
            "path-priority": [folder, pixels, rich, larger],
        }[self.rule]
        best = sorted(members, key=lambda m: (*(-int(values[m.image_id]) for _, values in tests), m.image_id))
        keeper, others = best[0].image_id, [m.image_id for m in best[1:]]
        for reason, values in tests:
            if all(values[keeper] > values[other] for other in others):
                return best, reason
            if any(values[keeper] != values[other] for other in others):
                return best, f"{reason} (not alone in that)"
        return best, "the lowest id; all else is equal"


def _below(member: Duplicate, folders: Sequence[bytes]) -> int:
    """The number of the first of ``folders`` that a member lies in; how many there are, where it is in none."""
    path = b"" if member.place is None else member.place.path
    return next(
        (n for n, one in enumerate(folders) if path == one or path.startswith(one.rstrip(b"/") + b"/")),
        len(folders),
    )
