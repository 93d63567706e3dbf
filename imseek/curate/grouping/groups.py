"""Pairs become groups, without chains: where A is like B and B like C, but not A like C, they are no group of three.

Complete linkage (Sørensen 1948): the surest pairs first, two groups are joined where every image of the one is a
duplicate of every image of the other. Whether a pair that was not given is one, a callback is asked, and asked once.

Contents are what is grouped. All images of one content are together always, and so are contents that a person has
called the same: what is like one of them is like all. Contents that a person has called different are never together,
also where both are like a third one.

Kinds nest. Groups of *same* pictures are made first, from pairs of that kind alone. With pairs of kind *scene*, whole
groups are then joined to groups of kind *scene*. So an image is in one group, and a looser kind never takes a stricter
group apart. *inside* is no likeness: tiles of one collage have nothing in common. So each such pair that is not in a
group already is a group of its own, beside the others, of two images, which can be in other groups too.

**What is asked of large groups.** n images without given pairs would be n²/2 questions. Joining two groups asks at
most ``ask``. Where more pairs are lacking, the triangle inequality has to do: Hamming distance obeys it, and so does
the angle between vectors. Two images that lie within half of what a kind allows of a third one lie within all of it of
each other. Every group has a leader, the member with the most pairs; a smaller group joins a large one where all of its
members lie within half of the leader, and are pairs of those members that do not. That is one question per image that
joins, so O(n log n) in all. What is guaranteed of each two contents of a group is thus one of three: a pair that was
given; a pair that was confirmed; both within half of the limits of one third member. Where none can be had, the groups
stay apart, and :class:`Split` says so.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from imseek.curate.grouping.complete_linkage import Confirm, Linkage, Reach, Reason, Tell, preference
from imseek.curate.grouping.nodes import KINDS, Nodes
from imseek.types import DuplicateKind, DuplicatePair

__all__ = ["ASK", "KINDS", "Confirm", "Group", "Grouping", "Reach", "Split", "grouped"]

#: Pairs that are asked for at most when two groups are to be joined.
ASK: Final = 64

_TURNED_BACK: Final = {"rotated 90": "rotated 270", "rotated 270": "rotated 90"}


@dataclass(frozen=True, slots=True)
class Group:
    """Ids of images, ascending. ``kind`` is the loosest of the pairs that put them together: *exact* where all are of
    one content, *same*, *scene*, or *inside* for two images of which one is part of the other."""

    kind: DuplicateKind
    members: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Split:
    """A pair whose images are in no group together, and why.

    ``reason``: ``"different"``: a person has called ``lacking`` different; ``"no pair"``: ``lacking``, of the groups of
    both, are no pair of a kind that would do; ``"too many"``: so many pairs were lacking, this among them, that nobody
    was asked; ``"shown"``: of all pairs of kind *inside* between the same two groups one is shown, ``lacking``.
    """

    pair: DuplicatePair
    lacking: tuple[int, int]
    reason: Reason


@dataclass(frozen=True, slots=True)
class Grouping:
    """``groups``: *exact*, *same* and *scene*, by their lowest ids, of which each image is in one at most; then the
    pairs of kind *inside*. ``asked`` counts calls of the callback. ``interrupted``: stopped, so that what would have
    been asked has joined nothing."""

    groups: tuple[Group, ...]
    splits: tuple[Split, ...]
    asked: int
    interrupted: bool
    _nodes: Nodes = field(repr=False)
    _linkage: Linkage = field(repr=False)

    def pair(self, a: int, b: int) -> DuplicatePair | None:
        """How two images are related; None where they are in no group together and nothing else is known of them.

        Of two members of a large group that nobody has compared it tells what follows from a third one, around which
        both lie: the looser kind, and a confidence that both pairs with it are right (at least p + q - 1). The facts
        of contents that a person has called the same may be those of one for the other.
        """
        a, b = min(a, b), max(a, b)
        one, other = self._nodes.content_of(a), self._nodes.content_of(b)
        if one == other:
            return DuplicatePair(a, b, "exact", 1.0, cosine=1.0, distance=0, correlation=1.0)
        u, v = self._nodes.node_of(one), self._nodes.node_of(other)
        if min(u, v) < 0:
            return None
        if u == v:
            found = self._nodes.judged(one, other)
            return (
                DuplicatePair(a, b, "same", 1.0, judged=True)
                if found is None
                else self._seen(found, a, b, one)
            )
        found = self._linkage.known.get((min(u, v), max(u, v)))
        if found is None:
            return self._around(a, b, u, v)
        first = found.a if self._nodes.node_of(self._nodes.content_of(found.a)) == u else found.b
        return self._seen(found, a, b, self._nodes.content_of(first))

    def _seen(self, found: DuplicatePair, a: int, b: int, first: int) -> DuplicatePair:
        """A pair as it is of the images ``a`` and ``b``, where ``first`` is the content that ``a`` stands for."""
        turned = self._nodes.content_of(found.a) != first
        orientation = _TURNED_BACK.get(found.orientation, found.orientation) if turned else found.orientation
        return replace(found, a=a, b=b, orientation=orientation)

    def _around(self, a: int, b: int, u: int, v: int) -> DuplicatePair | None:
        linkage = self._linkage
        if linkage.group[u] != linkage.group[v]:
            return None
        for third in (linkage.around.get(node) for node in (u, v)):
            if third is not None and third not in (u, v):
                one, other = (linkage.known.get((min(third, node), max(third, node))) for node in (u, v))
                if one is not None and other is not None:
                    kind = max(one.kind, other.kind, key=KINDS.index)
                    return DuplicatePair(a, b, kind, max(0.0, one.confidence + other.confidence - 1))
        return None


def grouped(
    pairs: Iterable[DuplicatePair],
    copies: Mapping[int, Sequence[int]],
    confirm: Confirm,
    different: Collection[frozenset[int]] = (),
    *,
    reach: Mapping[DuplicateKind, Reach] | None = None,
    ask: int = ASK,
    tell: Tell = lambda done, total: None,
    stop: threading.Event | None = None,
) -> Grouping:
    """The groups that pairs make. The order of what is given is of no consequence.

    ``pairs``: of images of different contents; those that are ``judged`` of kind *same* put their contents together
    whatever else holds. ``copies``: for contents with several images, one of these → all. ``different``: sets of two
    images that a person has called different. ``reach``: for the kinds *same* and *scene*, what a pair of the kind may
    be at most, for large groups (see the module); a kind without one has to have all pairs. ``tell`` is given how many
    pairs have been gone through, of how many; once for each kind. After ``stop`` is set, nobody is asked any more.

    Memory is linear in pairs, copies and questions. A contradiction, A same as B and B as C but A different from C, is
    settled by leaving out the *same* that comes last by ids.
    """
    given = list(pairs)
    nodes = Nodes(given, copies, different)
    linkage = Linkage(nodes, confirm, reach or {}, ask, tell, stop)
    linkage.join(given)
    inside, splits = _left_over(given, nodes, linkage)
    groups = [Group(linkage.kind[g], _images(nodes, linkage.members[g])) for g in linkage.members]
    groups = sorted((group for group in groups if len(group.members) > 1), key=lambda group: group.members)
    return Grouping(tuple(groups + inside), tuple(splits), linkage.asked, linkage.interrupted, nodes, linkage)


def _images(nodes: Nodes, members: Iterable[int]) -> tuple[int, ...]:
    return tuple(sorted(image for node in members for image in nodes.images(node)))


def _left_over(
    pairs: Iterable[DuplicatePair], nodes: Nodes, linkage: Linkage
) -> tuple[list[Group], list[Split]]:
    """Groups of what is inside something else, and the pairs that are in no group."""
    shown: dict[tuple[int, int], DuplicatePair] = {}
    splits = []
    for pair in sorted(pairs, key=preference):
        u, v = nodes.nodes_of(pair)
        g, h = sorted((linkage.group[u], linkage.group[v]))
        if g == h:
            continue
        if pair.kind != "inside":
            splits.append(Split(pair, *linkage.failed[u, v]))
        elif (judged := nodes.called_different(u, v)) is not None:
            splits.append(Split(pair, judged, "different"))
        elif (other := shown.setdefault((g, h), pair)) is not pair:
            splits.append(Split(pair, (other.a, other.b), "shown"))
    inside = [Group("inside", (min(pair.a, pair.b), max(pair.a, pair.b))) for pair in shown.values()]
    return sorted(inside, key=lambda group: group.members), splits
