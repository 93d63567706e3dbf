"""The nodes to be grouped: contents, merged if a person has judged them the same."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Final

from imseek.duplicates.results import KINDS, DuplicatePair

RANK: Final = {kind: rank for rank, kind in enumerate(KINDS)}
#: Kinds whose pairs join nothing: their groups are beside the others.
BESIDE: Final = frozenset({"edited", "inside"})


class Nodes:
    """Contents, merged if a person has judged them the same. A node is a number, from 0."""

    def __init__(
        self,
        pairs: Sequence[DuplicatePair],
        copies: Mapping[int, Sequence[int]],
        different: Collection[frozenset[int]],
    ) -> None:
        self._content: dict[int, int] = {}
        self._images: dict[int, tuple[int, ...]] = {}
        for image, copies_of_it in copies.items():
            images = tuple(sorted({image, *copies_of_it}))
            self._images[images[0]] = images
            self._content.update(dict.fromkeys(images, images[0]))
        self._apart: dict[int, set[int]] = defaultdict(set)
        for contents in different:
            a, b = (self.content_of(i) for i in (min(contents), max(contents)))
            if a != b:  # Equal bytes cannot be judged different.
                self._apart[a].add(b)
                self._apart[b].add(a)
        ends = {self.content_of(i) for pair in pairs for i in (pair.a, pair.b)} | self._images.keys()
        units_by_content = {content: [content] for content in sorted(ends)}
        self._directly: dict[tuple[int, int], DuplicatePair] = {}
        for a, b, pair in sorted(self._same(pairs), key=lambda found: found[:2]):
            more, fewer = sorted((units_by_content[a], units_by_content[b]), key=len, reverse=True)
            if more is not fewer:
                if self._between(fewer, more) is not None:
                    continue
                more.extend(fewer)
                units_by_content.update(dict.fromkeys(fewer, more))
            self._directly[a, b] = pair
        units = sorted({id(unit): tuple(sorted(unit)) for unit in units_by_content.values()}.values())
        #: Contents of each node, ascending.
        self.contents = tuple(units)
        self._node = {content: n for n, unit in enumerate(self.contents) for content in unit}
        #: By node: the nodes that a person judged different from it.
        self.apart: dict[int, set[int]] = {}
        for a, others in self._apart.items():
            if a in self._node and (apart_nodes := {self._node[b] for b in others if b in self._node}):
                self.apart.setdefault(self._node[a], set()).update(apart_nodes)

    def __len__(self) -> int:
        return len(self.contents)

    def content_of(self, image: int) -> int:
        """Return the lowest image id of the image's content."""
        return self._content.get(image, image)

    def node_of(self, content: int) -> int:
        """Return the node of a content; -1 if it is unknown."""
        return self._node.get(content, -1)

    def nodes_of(self, pair: DuplicatePair) -> tuple[int, int]:
        u, v = self._node[self.content_of(pair.a)], self._node[self.content_of(pair.b)]
        return (u, v) if u < v else (v, u)

    def images(self, node: int) -> Iterator[int]:
        for content in self.contents[node]:
            yield from self._images.get(content, (content,))

    def judged(self, one: int, other: int) -> DuplicatePair | None:
        """Return the given pair of two contents of one node; None if they are only indirectly the same."""
        return self._directly.get((min(one, other), max(one, other)))

    def called_different(self, u: int, v: int) -> tuple[int, int] | None:
        """Return two contents of these nodes that a person judged different, or None."""
        return self._between(self.contents[u], self.contents[v])

    def _between(self, one: Iterable[int], other: Iterable[int]) -> tuple[int, int] | None:
        if not self._apart:
            return None
        others = set(other)
        apart = sorted((min(a, b), max(a, b)) for a in one for b in self._apart.get(a, ()) if b in others)
        return apart[0] if apart else None

    def _same(self, pairs: Iterable[DuplicatePair]) -> Iterator[tuple[int, int, DuplicatePair]]:
        for pair in pairs:
            if pair.judged and RANK[pair.kind] <= RANK["same"]:
                a, b = sorted((self.content_of(pair.a), self.content_of(pair.b)))
                if a != b:
                    yield a, b, pair
