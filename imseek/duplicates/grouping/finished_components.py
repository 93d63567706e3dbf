"""Find the components of pairs that are complete, while other candidates are still being compared.

Complete linkage never joins contents that no chain of pairs connects. So the groups of a component are final as soon as
no candidate of its contents is left to compare.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from imseek.analysis.disjoint_sets import DisjointSets
from imseek.duplicates.results import DuplicatePair


@dataclass(slots=True)
class Component:
    """Contents, by their first images, that chains of ``pairs`` connect; ``left`` counts ends of candidates that are
    still to be compared."""

    contents: list[int]
    pairs: list[DuplicatePair] = field(default_factory=list)
    left: int = 0


class IncrementalGroups:
    """Collects pairs as they are found, and hands out each component once, when it is complete.

    Memory is linear in contents; each pair and each candidate costs next to constant time.
    """

    def __init__(self, copies: Iterable[int], same: Iterable[Collection[int]]) -> None:
        """``copies`` are the contents that have several images; ``same`` pairs of contents that belong together."""
        self._copies, self._same = copies, same
        #: By content: the number of its candidates that are still to be compared.
        self._uncompared: Counter[int] = Counter()
        self._sets = DisjointSets()
        self._components: dict[int, Component] = {}
        self._complete: list[int] = []

    def begin(self, candidates: Iterable[int]) -> None:
        """Take both contents of each candidate, before any pair."""
        self._uncompared.update(candidates)
        for content in self._copies:
            self._root(content)
        for a, b in self._same:
            self._join(a, b)
        self._complete += (root for root, one in self._components.items() if not one.left)

    def add(self, pairs: Iterable[DuplicatePair], compared: Iterable[int]) -> None:
        """Add pairs. ``compared`` has both contents of each candidate that has been compared since the last call."""
        for pair in pairs:
            self._components[self._join(pair.a, pair.b)].pairs.append(pair)
        counts = Counter(compared)
        self._uncompared.subtract(counts)
        for content, count in counts.items():
            if content in self._sets:
                root = self._root(content)
                self._components[root].left -= count
                if not self._components[root].left:
                    self._complete.append(root)

    def take(self) -> Sequence[Component]:
        """Return the components that have become complete since the last call."""
        roots, self._complete = self._complete, []
        return [self._components.pop(root) for root in dict.fromkeys(roots) if root in self._components]

    def _root(self, content: int) -> int:
        if content not in self._sets:
            self._components[content] = Component([content], left=self._uncompared[content])
        return self._sets.root(content)

    def _join(self, a: int, b: int) -> int:
        root_a, root_b = self._root(a), self._root(b)
        if root_a == root_b:
            return root_a
        survivor, absorbed = sorted(
            (root_a, root_b), key=lambda root: len(self._components[root].contents), reverse=True
        )
        self._sets.join(absorbed, survivor)
        component = self._components.pop(absorbed)
        self._components[survivor].contents += component.contents
        self._components[survivor].pairs += component.pairs
        self._components[survivor].left += component.left
        return survivor
