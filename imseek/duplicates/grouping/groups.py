"""Group pairs without chaining: if A is like B and B like C, but A not like C, they do not form a group of three.

Complete linkage (Sørensen 1948): starting with the most certain pairs, two groups are merged if every image of one is a
duplicate of every image of the other. For pairs that were not given, a callback is asked, once each.

The items grouped are contents. All images of one content stay together, as do contents that a person has judged the
same: what is like one of them is like all. Contents judged different are never in one group, even if both are like a
third.

Kinds nest. Groups of *same* pictures are made first, from pairs of that kind alone. Pairs of kind *scene* then merge
whole groups into groups of kind *scene*. So an image is in one group, and a looser kind never splits a stricter group.
*edited* and *inside* do not join, and form groups beside the others, whose images can be in other groups too. Tiles of
one collage have nothing in common, so each *inside* pair outside a group is a group of two images. *edited* pictures of
which each two are a pair are shown together; between two groups, one such pair is enough.

**What is asked about large groups.** n images without given pairs would need n²/2 questions. Merging two groups asks at
most ``ask``. If more pairs are missing, the triangle inequality is used: Hamming distance obeys it, and so does the
angle between vectors. Two images within half of a kind's limits of a third are within those limits of each other. Every
group has a leader, the member with the most pairs; a smaller group joins a large one if all of its members are within
half the limits of the leader, and are pairs of those members that are not. That is one question per joining image, so
O(n log n) in all. Each two contents of a group thus satisfy one of three guarantees: a given pair; a confirmed pair; or
both within half the limits of a third member. If none can be had, the groups stay apart, and a :class:`Split` says so.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Final

from imseek.duplicates.grouping.complete_linkage import Confirm, Linkage, NodePair, Reach, Reason, preference
from imseek.duplicates.grouping.content_nodes import BESIDE, Nodes
from imseek.duplicates.results import KINDS, Difference, DuplicateKind, DuplicatePair
from imseek.progress import SILENT, Task

__all__ = ["ASK", "Confirm", "Group", "Grouping", "Reach", "Split", "group_pairs"]

#: Largest number of pairs asked for when two groups are to be merged.
ASK: Final = 64

_INVERSE_TURNS: Final = {"rotated 90": "rotated 270", "rotated 270": "rotated 90"}


@dataclass(frozen=True, slots=True)
class Group:
    """Ids of images, ascending, and the loosest ``kind`` of the pairs that joined them.

    *exact* if all have one content, *same*, *scene*, *edited*, or *inside* for a picture and a crop of it.
    """

    kind: DuplicateKind
    members: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Split:
    """A pair whose images are in no group together, and the reason.

    ``reason``: ``"different"``: a person judged ``lacking`` different; ``"no pair"``: ``lacking``, one of each group,
    are not a pair of a suitable kind; ``"too many"``: more pairs were missing than may be asked for, ``lacking`` among
    them; ``"shown"``: ``lacking`` is the one pair shown of all *edited* and *inside* pairs between the same two
    groups.
    """

    pair: DuplicatePair
    lacking: tuple[int, int]
    reason: Reason


@dataclass(frozen=True, slots=True)
class Grouping:
    """Groups and splits.

    ``groups`` has those of kind *exact*, *same* and *scene* by lowest id, with each image in at most one, followed by
    those of kind *edited* and *inside*. ``questions`` counts callback calls. If ``interrupted``, unasked questions have
    joined nothing.
    """

    groups: tuple[Group, ...]
    splits: tuple[Split, ...]
    questions: int
    interrupted: bool
    _nodes: Nodes = field(repr=False)
    #: As in :class:`Linkage`, which is not kept: it knows whom to ask, and so all pictures that were compared.
    _known_pairs: Mapping[NodePair, DuplicatePair | None] = field(repr=False)
    _group: Sequence[int] = field(repr=False)
    _around: Mapping[int, int] = field(repr=False)

    def pair(self, a: int, b: int) -> DuplicatePair | None:
        """Return how two images are related; None if they share no group and nothing else is known.

        For two members of a large group that were never compared, the answer follows from a third one near both: the
        looser kind, and the confidence that both pairs with it are right (at least p + q - 1). Measures of contents
        that a person judged the same may be those of either.
        """
        a, b = min(a, b), max(a, b)
        content_a, content_b = self._nodes.content_of(a), self._nodes.content_of(b)
        if content_a == content_b:
            return DuplicatePair(a, b, "exact", 1.0, cosine=1.0, distance=0, correlation=1.0)
        u, v = self._nodes.node_of(content_a), self._nodes.node_of(content_b)
        if min(u, v) < 0:
            return None
        if u == v:
            pair = self._nodes.judged(content_a, content_b)
            return (
                DuplicatePair(a, b, "same", 1.0, judged=True)
                if pair is None
                else self._as_images(pair, a, b, content_a)
            )
        pair = self._known_pairs.get((min(u, v), max(u, v)))
        if pair is None:
            return self._pair_by_third(a, b, u, v)
        first = pair.a if self._nodes.node_of(self._nodes.content_of(pair.a)) == u else pair.b
        return self._as_images(pair, a, b, self._nodes.content_of(first))

    def _as_images(self, pair: DuplicatePair, a: int, b: int, first: int) -> DuplicatePair:
        """Return a pair of contents as one of the images ``a`` and ``b``; ``first`` is the content of ``a``."""
        is_swapped = self._nodes.content_of(pair.a) != first
        orientation = _INVERSE_TURNS.get(pair.orientation, pair.orientation) if is_swapped else pair.orientation
        differences = tuple(Difference(one.b, one.a) for one in pair.differences) if is_swapped else pair.differences
        return replace(pair, a=a, b=b, orientation=orientation, differences=differences)

    def _pair_by_third(self, a: int, b: int, u: int, v: int) -> DuplicatePair | None:
        if self._group[u] != self._group[v]:
            return None
        for third in (self._around.get(node) for node in (u, v)):
            if third is not None and third not in (u, v):
                pair_a, pair_b = (self._known_pairs.get((min(third, node), max(third, node))) for node in (u, v))
                if pair_a is not None and pair_b is not None:
                    kind = max(pair_a.kind, pair_b.kind, key=KINDS.index)
                    return DuplicatePair(a, b, kind, max(0.0, pair_a.confidence + pair_b.confidence - 1))
        return None


def group_pairs(
    pairs: Iterable[DuplicatePair],
    copies: Mapping[int, Sequence[int]],
    confirm: Confirm,
    different: Collection[frozenset[int]] = (),
    *,
    reach: Mapping[DuplicateKind, Reach] | None = None,
    ask: int = ASK,
    task: Task = SILENT,
) -> Grouping:
    """Group pairs. The order of the input does not matter.

    ``pairs`` are of images of different contents; ``judged`` ones of kind *same* join their contents unconditionally.
    ``copies`` maps one image of each content with several to all of them. ``different`` holds sets of two images that a
    person judged different. ``reach`` has the limits of the kinds *same* and *scene*, for large groups (see the
    module); a kind without limits needs all pairs. ``task`` reports the processed pairs,
    once per kind; after it is cancelled, nothing more is asked.

    Memory is linear in pairs, copies and questions. A contradiction (A same as B, B same as C, A different from C) is
    resolved by dropping the *same* that comes last by ids.
    """
    all_pairs = list(pairs)
    nodes = Nodes(all_pairs, copies, different)
    linkage = Linkage(nodes, confirm, reach or {}, ask, task)
    linkage.join(all_pairs)
    beside, splits = _collect_splits(all_pairs, nodes, linkage)
    groups = [Group(linkage.kind[g], _images(nodes, linkage.members[g])) for g in linkage.members]
    groups = sorted((group for group in groups if len(group.members) > 1), key=lambda group: group.members)
    return Grouping(
        tuple(groups + beside),
        tuple(splits),
        linkage.questions,
        linkage.interrupted,
        nodes,
        linkage.known_pairs,
        linkage.group,
        linkage.around,
    )


def _images(nodes: Nodes, members: Iterable[int]) -> tuple[int, ...]:
    return tuple(sorted(image for node in members for image in nodes.images(node)))


def _collect_splits(pairs: Iterable[DuplicatePair], nodes: Nodes, linkage: Linkage) -> tuple[list[Group], list[Split]]:
    """Return the groups of remaining *edited* and *inside* pairs, and the splits for all other pairs between groups."""
    beside: list[tuple[DuplicatePair, tuple[int, int]]] = []
    splits = []
    for pair in sorted(pairs, key=preference):
        u, v = nodes.nodes_of(pair)
        if linkage.group[u] == linkage.group[v]:
            continue
        # A looser pair of pictures that a person joined with edited ones was not tried, and is not shown.
        if pair.kind not in BESIDE and (lack := linkage.failed.get((u, v))) is not None:
            splits.append(Split(pair, *lack))
        elif (judged := nodes.called_different(u, v)) is not None:
            splits.append(Split(pair, judged, "different"))
        else:
            beside.append((pair, (u, v)))
    neighbours: dict[int, set[int]] = defaultdict(set)
    for pair, (u, v) in beside:
        if pair.kind == "edited":
            neighbours[u].add(v)
            neighbours[v].add(u)
    groups = []
    # By two groups, the lower first: the images by which a pair of them is shown.
    shown: dict[tuple[int, int], tuple[int, int]] = {}
    for pair, (u, v) in beside:
        group_pair = _ascending(linkage.group[u], linkage.group[v])
        if group_pair in shown:
            splits.append(Split(pair, shown[group_pair], "shown"))
            continue
        members = _all_near(u, v, neighbours, linkage) if pair.kind == "edited" else [u, v]
        images = {node: nodes.contents[node][0] for node in members}
        images |= {nodes.node_of(nodes.content_of(end)): end for end in (pair.a, pair.b)}
        for one, other in combinations(members, 2):
            ends = sorted((images[one], images[other]))
            shown.setdefault(_ascending(linkage.group[one], linkage.group[other]), (ends[0], ends[1]))
        groups.append(Group(pair.kind, tuple(sorted(images.values()))))
    return sorted(groups, key=lambda group: (KINDS.index(group.kind), group.members)), splits


def _all_near(u: int, v: int, neighbours: Mapping[int, set[int]], linkage: Linkage) -> list[int]:
    """Return ``u``, ``v`` and nodes of other groups, where any two of all are a pair."""
    members = [u, v]
    groups = {linkage.group[u], linkage.group[v]}
    common = {node for node in neighbours[u] & neighbours[v] if linkage.group[node] not in groups}
    while common:
        node = min(common)
        members.append(node)
        group = linkage.group[node]
        common = {other for other in common & neighbours[node] if linkage.group[other] != group}
    return members


def _ascending(one: int, other: int) -> tuple[int, int]:
    return (one, other) if one < other else (other, one)
