"""Complete linkage of :class:`~imseek.duplicates.grouping.content_nodes.Nodes`.

:mod:`imseek.duplicates.grouping.groups` states what it guarantees.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final, Literal, TypeAlias

import numpy as np

from imseek.duplicates.grouping.content_nodes import BESIDE, RANK, Nodes
from imseek.duplicates.results import DuplicateKind, DuplicatePair
from imseek.progress import SILENT, Task

#: Takes two image ids, the lower first; returns their pair, or None if they are not duplicates.
Confirm: TypeAlias = Callable[[int, int], DuplicatePair | None]
Reason: TypeAlias = Literal["different", "no pair", "too many", "shown"]
#: Two nodes, the lower first.
NodePair: TypeAlias = tuple[int, int]
#: Two contents that keep groups apart, and the reason.
Lack: TypeAlias = tuple[tuple[int, int], Reason]

#: Hashes of the same whole picture, turned or not, differ in at most this many bits.
_WHOLE_BITS: Final = 10
#: Largest number of contents of one node that are confirmed.
_MAX_CONFIRMED: Final = 4
_PROGRESS_EVERY: Final = 64
PHASE: Final = "grouping"


@dataclass(frozen=True, slots=True)
class Reach:
    """How near two images must be to a third for their own distance not to be checked.

    The limits are half of the largest ``distance`` (bits), half the angle of the least ``cosine``, and half that of the
    least ``correlation`` of a kind. None: the kind ignores it.
    """

    distance: int | None = None
    cosine: float | None = None
    correlation: float | None = None

    def holds(self, pair: DuplicatePair) -> bool:
        """Return whether a pair is within reach. Unknown values are not."""
        limits = (self.cosine, pair.cosine), (self.correlation, pair.correlation)
        if self.distance is not None and (pair.distance is None or 2 * pair.distance > self.distance):
            return False
        return all(least is None or (value is not None and value >= _half_angle(least)) for least, value in limits)


def _half_angle(cosine: float) -> float:
    return math.cos(math.acos(max(-1.0, min(1.0, cosine))) / 2)


class Linkage:
    """Groups of nodes, initially one per node, and what is known about pairs of nodes; None means no pair.

    A group is a number. The pairs of its leader with all other members are known.
    """

    def __init__(
        self,
        nodes: Nodes,
        confirm: Confirm,
        reach: Mapping[DuplicateKind, Reach],
        ask: int,
        task: Task = SILENT,
    ) -> None:
        count = len(nodes)
        self.known_pairs: dict[NodePair, DuplicatePair | None] = {}
        self.questions = 0
        #: By node.
        self.group = list(range(count))
        #: By group: its nodes, and the loosest kind of the pairs that joined them.
        self.members = {n: [n] for n in range(count)}
        self.kind: list[DuplicateKind] = ["same" if len(unit) > 1 else "exact" for unit in nodes.contents]
        self.failed: dict[NodePair, Lack] = {}
        #: By node: the leader that it was close to when it joined a large group.
        self.around: dict[int, int] = {}
        #: Whether the task was cancelled while there were still questions.
        self.interrupted = False
        self._nodes = nodes
        self._confirm = confirm
        self._reach = reach
        self._ask = ask
        self._task = task
        self._degree = [0] * count
        self._leader = list(range(count))
        self._nodes_apart = {n: [n] for n in nodes.apart}
        # For the kind being grouped now: groups that cannot be merged, and members of a group that are not within
        # reach of its leader.
        self._loose = False
        self._blocked: dict[int, dict[int, Lack]] = {}
        self._far: dict[int, list[int]] = {}

    def join(self, pairs: Iterable[DuplicatePair]) -> None:
        """Merge what the pairs allow: first pairs of kind *same*, then what is left with pairs of kind *scene*."""
        # Pairs of a picture and one inside it keep nothing apart: whether the two are the same is asked.
        inside: dict[NodePair, DuplicatePair] = {}
        for pair in pairs:
            key = self._nodes.nodes_of(pair)
            if key[0] == key[1]:
                continue
            if pair.kind == "inside":
                if key not in inside or preference(pair) < preference(inside[key]):
                    inside[key] = pair
                continue
            before = self.known_pairs.get(key)
            if before is None:
                for node in key:
                    self._degree[node] += 1
            if before is None or preference(pair) < preference(before):
                self.known_pairs[key] = pair
        remaining = [key for key in self._surest_first() if self._kind(key) not in BESIDE]
        loosest = {self._kind(key) for key in remaining}
        remaining = self._join(remaining)
        if "scene" in loosest:
            self._loose = True
            self._blocked, self._far = {}, {}
            self._join(remaining)
        for key, pair in inside.items():
            if self.known_pairs.get(key) is None:
                self.known_pairs[key] = pair

    def _join(self, keys: Sequence[NodePair]) -> list[NodePair]:
        """Merge groups along ``keys``, and return the keys that could not be merged."""
        unmerged: list[NodePair] = []
        for n, key in enumerate(keys):
            if n % _PROGRESS_EVERY == 0:
                self._task.report(PHASE, n, len(keys))
            if not self._fits(self.known_pairs[key]):
                unmerged.append(key)
                continue
            g, h = self.group[key[0]], self.group[key[1]]
            if g == h:
                continue
            lack = self._blocked.get(g, {}).get(h) or self._try(g, h)
            if lack is not None:
                self.failed[key] = lack
                unmerged.append(key)
        return unmerged

    def _kind(self, key: NodePair) -> DuplicateKind:
        pair = self.known_pairs[key]
        assert pair is not None, "given pairs are pairs"
        return pair.kind

    def _surest_first(self) -> Iterator[NodePair]:
        keys = np.array(sorted(self.known_pairs), np.int64).reshape(-1, 2)
        pairs = [self.known_pairs[u, v] for u, v in keys.tolist()]
        scores = np.array([preference(pair)[:3] for pair in pairs if pair is not None]).reshape(-1, 3)
        order = np.lexsort((*keys.T[::-1], *scores.T[::-1]))
        yield from map(tuple, keys[order].tolist())

    def _fits(self, pair: DuplicatePair | None) -> bool:
        return pair is not None and (self._loose or RANK[pair.kind] <= RANK["same"])

    def _try(self, g: int, h: int) -> Lack | None:
        """Merge two groups, or return what prevents it."""
        lack = self._called_different(g, h) or self._find_lack(g, h)
        if lack is None:
            self._merge(g, h)
        else:
            self._blocked.setdefault(g, {})[h] = self._blocked.setdefault(h, {})[g] = lack
        return lack

    def _called_different(self, g: int, h: int) -> Lack | None:
        judged_pairs = [
            self._nodes.called_different(u, v)
            for u in self._nodes_apart.get(g, ())
            for v in self._nodes.apart[u]
            if self.group[v] == h
        ]
        contents = min((pair for pair in judged_pairs if pair is not None), default=None)
        return None if contents is None else (contents, "different")

    def _find_lack(self, g: int, h: int) -> Lack | None:
        """Return the first pair of members that prevents two groups from being merged, or None."""
        unknown_keys = []
        for u, v in product(self.members[g], self.members[h]):
            key = (u, v) if u < v else (v, u)
            if key not in self.known_pairs:
                unknown_keys.append(key)
                if len(unknown_keys) > self._ask:
                    return self._find_lack_by_reach(g, h, unknown_keys[0])
            elif not self._fits(self.known_pairs[key]):
                return self._lack(key)
        return self._first_lack(sorted(unknown_keys))

    def _find_lack_by_reach(self, g: int, h: int, unknown_key: NodePair) -> Lack | None:
        """As :meth:`_find_lack`, if the smaller group lies around the leader of the larger one."""
        large, small = self._by_size(g, h)
        leader, reach = self._leader[large], self._within_reach()
        too_many = self._lack(unknown_key, "too many")
        if reach is None:
            return too_many
        for v in self.members[small]:
            pair = self._pair_of((leader, v) if leader < v else (v, leader))
            if pair is None or not self._fits(pair):
                return self._lack((leader, v))
            if not reach.holds(pair):
                return too_many
        if large not in self._far:
            self._far[large] = self._beyond(reach, leader, self.members[large])
        unchecked = [(min(u, v), max(u, v)) for u, v in product(self._far[large], self.members[small])]
        if sum(key not in self.known_pairs for key in unchecked) > self._ask:
            return too_many
        lack = self._first_lack(unchecked)
        if lack is None:
            self.around.update(dict.fromkeys(self.members[small], leader))
        return lack

    def _first_lack(self, keys: Iterable[NodePair]) -> Lack | None:
        return next((self._lack(key) for key in keys if not self._fits(self._pair_of(key))), None)

    def _within_reach(self) -> Reach | None:
        return self._reach.get("scene" if self._loose else "same")

    def _beyond(self, reach: Reach, leader: int, members: Iterable[int]) -> list[int]:
        others = (v for v in members if v != leader)
        pairs = ((v, self.known_pairs[min(leader, v), max(leader, v)]) for v in others)
        return [v for v, pair in pairs if pair is None or not reach.holds(pair)]

    def _by_size(self, g: int, h: int) -> tuple[int, int]:
        """Return the group whose leader remains after a merge, and the other one."""

        def weight(group: int) -> tuple[int, int, int]:
            leader = self._leader[group]
            return len(self.members[group]), self._degree[leader], -leader

        return (g, h) if weight(g) > weight(h) else (h, g)

    def _merge(self, g: int, h: int) -> None:
        large, small = self._by_size(g, h)
        leader, reach = self._leader[large], self._within_reach()
        beyond = self._far.pop(large, None)
        self._far.pop(small, None)
        if beyond is not None and reach is not None:
            beyond += self._beyond(reach, leader, self.members[small])
        # Move the smaller one: its members, and the groups it cannot be merged with.
        survivor, absorbed = sorted((g, h), key=self._size, reverse=True)
        for node in self.members[absorbed]:
            self.group[node] = survivor
        self.members[survivor] += self.members.pop(absorbed)
        self.kind[survivor] = "scene" if self._loose else "same"
        self._leader[survivor] = leader
        if apart := self._nodes_apart.pop(absorbed, None):
            self._nodes_apart.setdefault(survivor, []).extend(apart)
        if beyond is not None:
            self._far[survivor] = beyond
        for neighbour, lack in self._blocked.pop(absorbed, {}).items():
            del self._blocked[neighbour][absorbed]
            self._blocked[neighbour].setdefault(survivor, lack)
            self._blocked.setdefault(survivor, {}).setdefault(neighbour, lack)

    def _size(self, group: int) -> int:
        return len(self.members[group]) + len(self._blocked.get(group, ()))

    def _pair_of(self, key: NodePair) -> DuplicatePair | None:
        """Return what is known about two nodes; if nothing is, ask first."""
        if key not in self.known_pairs:
            if self._task.is_cancelled:
                self.interrupted = True
                return None
            self.known_pairs[key] = self._best(key)
        return self.known_pairs[key]

    def _best(self, key: NodePair) -> DuplicatePair | None:
        pairs = []
        for a, b in product(*(self._nodes.contents[node][:_MAX_CONFIRMED] for node in key)):
            self.questions += 1
            pair = self._confirm(min(a, b), max(a, b))
            if pair is not None:
                pairs.append(pair)
                if RANK[pair.kind] <= RANK["same"]:
                    break
        return min(pairs, key=preference, default=None)

    def _lack(self, key: NodePair, reason: Reason = "no pair") -> Lack:
        pair = self.known_pairs.get((min(key), max(key)))
        ends = [self._nodes.contents[node][0] for node in key] if pair is None else [pair.a, pair.b]
        return (min(ends), max(ends)), reason


def preference(pair: DuplicatePair) -> tuple[int, bool, float, float, int, int]:
    """Sort key: strictest kind first, then most certain. *inside* comes last, as it joins nothing.

    Pairs with differing hashes come after the others: one is a part of the other, and a part resembles fewer members of
    a group than a whole picture does. Once in, it would keep others out.
    """
    rank = len(RANK) if pair.kind == "inside" else RANK[pair.kind]
    is_part = pair.distance is None or pair.distance > _WHOLE_BITS
    return rank, is_part, -pair.confidence, 2.0 if pair.cosine is None else -pair.cosine, pair.a, pair.b
