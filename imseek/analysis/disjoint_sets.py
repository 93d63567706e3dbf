"""Disjoint sets of integers that are joined pair by pair (union-find; Tarjan 1975)."""

from __future__ import annotations


class DisjointSets:
    """Sets of integers, each known by its root, one of its members. An integer not yet seen is a set by itself."""

    def __init__(self) -> None:
        self._parent: dict[int, int] = {}

    def __contains__(self, member: int) -> bool:
        """Whether ``member`` has been seen by :meth:`root` or :meth:`join`."""
        return member in self._parent

    def root(self, member: int) -> int:
        """Return the root of the set that ``member`` is in."""
        parent = self._parent
        while (above := parent.setdefault(member, member)) != member:
            parent[member] = member = parent[above]
        return member

    def join(self, a: int, b: int) -> bool:
        """Join the sets of ``a`` and ``b`` under the root of ``b``. Return whether they were two sets."""
        root_a, root_b = self.root(a), self.root(b)
        self._parent[root_a] = root_b
        return root_a != root_b
