"""Duplicates by class: repeated within one class, or leaked between classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from imseek.analysis.disjoint_sets import DisjointSets
from imseek.dataset.results import LeakKind
from imseek.duplicates.results import DuplicateContents


def count_repeats(repeats: DuplicateContents, classes: Mapping[int, Collection[str]]) -> Counter[str]:
    """Count, by class, the images with an equal or paired image in the same class. ``classes`` maps each image to its
    own."""
    classes_of, mates_of = _classes_of(repeats, classes), _pair_mates(repeats)
    repeat_counts: Counter[str] = Counter()
    for content, counts in classes_of.items():
        nearby: Counter[str] = Counter()
        for mate in mates_of.get(content, ()):
            nearby += classes_of[mate]
        for name, count in counts.items():
            if count > 1 or nearby[name]:
                repeat_counts[name] += count
    return repeat_counts


@dataclass(frozen=True, slots=True)
class Leaks:
    """Duplicates shared between classes.

    ``counts`` maps (class, other class) to the number of images with an exact copy in the other, and of those with only
    the same picture. ``groups`` are images of several classes connected by pairs, with the loosest kind.
    """

    counts: Mapping[tuple[str, str], tuple[int, int]]
    groups: Sequence[tuple[LeakKind, Sequence[int]]]


def find_leaks(repeats: DuplicateContents, class_of: Mapping[int, str]) -> Leaks:
    """Find duplicates shared between classes, where each image is in at most one class."""
    classes_of = _classes_of(repeats, {image_id: (name,) for image_id, name in class_of.items()})
    mates_of = _pair_mates(repeats)
    exact: Counter[tuple[str, str]] = Counter()
    same: Counter[tuple[str, str]] = Counter()
    leaking = DisjointSets()
    paired: set[int] = set()
    for content, counts in classes_of.items():
        nearby = {name for mate in mates_of.get(content, ()) for name in classes_of[mate]}
        for name, count in counts.items():
            for other in (counts.keys() | nearby) - {name}:
                (exact if other in counts else same)[name, other] += count
    for a, b, _ in repeats.pairs:
        if len(classes_of[a].keys() | classes_of[b].keys()) > 1:  # A pair within one class leaks nothing.
            leaking.join(a, b)
            paired.update((a, b))
    components: dict[int, list[int]] = {}
    for content in classes_of:
        if len(classes_of[content]) > 1 or content in paired:
            components.setdefault(leaking.root(content), []).append(content)
    groups: list[tuple[LeakKind, Sequence[int]]] = []
    for contents in components.values():
        images = [i for content in contents for i in repeats.images[content] if i in class_of]
        groups.append(("same" if len(contents) > 1 else "exact", sorted(images)))
    groups.sort(key=lambda group: (-len(group[1]), group[1][0]))
    keys = sorted(exact.keys() | same.keys())
    return Leaks({key: (exact[key], same[key]) for key in keys}, groups)


def _classes_of(repeats: DuplicateContents, classes: Mapping[int, Collection[str]]) -> dict[int, Counter[str]]:
    return {
        content: Counter(name for image_id in images for name in classes.get(image_id, ()))
        for content, images in repeats.images.items()
    }


def _pair_mates(repeats: DuplicateContents) -> dict[int, list[int]]:
    mates: dict[int, list[int]] = {}
    for a, b, _ in repeats.pairs:
        mates.setdefault(a, []).append(b)
        mates.setdefault(b, []).append(a)
    return mates
