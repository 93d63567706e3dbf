"""Find the components of pairs that are complete, while other candidates are still being compared.

Complete linkage never joins contents that no chain of pairs connects. So the groups of a component are final as soon as
no candidate of its contents is left to compare.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from imseek.duplicates.results import DuplicatePair

#: Stands for the end of the candidates.
END: Final = 1 << 63
_NEVER_COMPARED: Final = -1


@dataclass(slots=True)
class Component:
    """Contents, by their first images, that chains of ``pairs`` connect."""

    contents: list[int]
    pairs: list[DuplicatePair] = field(default_factory=list)


class IncrementalGroups:
    """Collects pairs as they are found, and hands out each component once, when it is complete.

    Memory is linear in contents with copies and in pairs; each pair costs O(log n).
    """

    def __init__(self, copies: Iterable[int], same: Iterable[Collection[int]]) -> None:
        """``copies`` are the contents that have several images; ``same`` pairs of contents that belong together."""
        self._copies, self._same = copies, same
        self._candidates: frozenset[int] = frozenset()
        self._parent: dict[int, int] = {}
        self._components: dict[int, Component] = {}
        #: By root: its highest content that has candidates.
        self._last: dict[int, int] = {}
        self._heap: list[tuple[int, int]] = []
        self._upto = 0

    def begin(self, candidates: Iterable[int]) -> None:
        """Take the contents that have candidates, before any pair."""
        self._candidates = frozenset(candidates)
        for content in self._copies:
            self._root(content)
        for a, b in map(sorted, self._same):
            self._join(a, b)

    def add(self, pairs: Iterable[DuplicatePair], upto: int) -> None:
        """Add pairs. All candidates whose lower content is below ``upto`` have been compared."""
        for pair in pairs:
            self._components[self._join(pair.a, pair.b)].pairs.append(pair)
        self._upto = max(self._upto, upto)

    def take(self) -> Sequence[Component]:
        """Return the components that have become complete since the last call."""
        complete = []
        while self._heap and self._heap[0][0] < self._upto:
            last, root = heapq.heappop(self._heap)
            # Others in the heap have grown, or have been joined to another since.
            if root in self._components and self._last[root] == last:
                complete.append(self._components.pop(root))
        return complete

    def _root(self, content: int) -> int:
        parent = self._parent
        if content not in parent:
            parent[content] = content
            self._components[content] = Component([content])
            self._last[content] = content if content in self._candidates else _NEVER_COMPARED
            heapq.heappush(self._heap, (self._last[content], content))
        while parent[content] != content:
            parent[content] = content = parent[parent[content]]
        return content

    def _join(self, a: int, b: int) -> int:
        one, other = self._root(a), self._root(b)
        if one == other:
            return one
        kept, gone = sorted((one, other), key=lambda root: len(self._components[root].contents), reverse=True)
        self._parent[gone] = kept
        more = self._components.pop(gone)
        self._components[kept].contents += more.contents
        self._components[kept].pairs += more.pairs
        self._last[kept] = max(self._last[kept], self._last.pop(gone))
        heapq.heappush(self._heap, (self._last[kept], kept))
        return kept
