"""Of images that are there more than once, which classes they are in: repeated within one, or leaked into another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from imseek.types import DuplicateKind, Repeats


def within(repeats: Repeats, classes: Mapping[int, Collection[str]]) -> Counter[str]:
    """By class, how many of its images have an equal one, or one of a pair, in it. ``classes`` of each image."""
    of, mates = _classes_of(repeats, classes), _mates(repeats)
    found: Counter[str] = Counter()
    for content, counts in of.items():
        near: Counter[str] = Counter()
        for mate in mates.get(content, ()):
            near += of[mate]
        for name, count in counts.items():
            if count > 1 or near[name]:
                found[name] += count
    return found


@dataclass(frozen=True, slots=True)
class Leaks:
    """``counts``: by class and other class, how many images of the one are exactly in the other, and how many only as
    the same picture. ``groups``: images that are tied by pairs, of more than one class, with the loosest kind."""

    counts: Mapping[tuple[str, str], tuple[int, int]]
    groups: Sequence[tuple[DuplicateKind, Sequence[int]]]


def across(repeats: Repeats, class_of: Mapping[int, str]) -> Leaks:
    """Of classes of which each image is in one at most."""
    of = _classes_of(repeats, {image_id: (name,) for image_id, name in class_of.items()})
    mates = _mates(repeats)
    exact: Counter[tuple[str, str]] = Counter()
    same: Counter[tuple[str, str]] = Counter()
    root = {content: content for content in of}
    loose: set[int] = set()
    for content, counts in of.items():
        near = {name for mate in mates.get(content, ()) for name in of[mate]}
        for name, count in counts.items():
            for other in (counts.keys() | near) - {name}:
                (exact if other in counts else same)[name, other] += count
    for a, b, _ in repeats.pairs:
        if len(of[a].keys() | of[b].keys()) > 1:  # A pair within one class leaks nothing.
            root[_top(root, a)] = _top(root, b)
            loose.update((a, b))
    tied: dict[int, list[int]] = {}
    for content in of:
        if len(of[content]) > 1 or content in loose:
            tied.setdefault(_top(root, content), []).append(content)
    groups: list[tuple[DuplicateKind, Sequence[int]]] = []
    for contents in tied.values():
        images = [i for content in contents for i in repeats.images[content] if i in class_of]
        groups.append(("same" if len(contents) > 1 else "exact", sorted(images)))
    groups.sort(key=lambda group: (-len(group[1]), group[1][0]))
    keys = sorted(exact.keys() | same.keys())
    return Leaks({key: (exact[key], same[key]) for key in keys}, groups)


def _classes_of(repeats: Repeats, classes: Mapping[int, Collection[str]]) -> dict[int, Counter[str]]:
    return {
        content: Counter(name for image_id in images for name in classes.get(image_id, ()))
        for content, images in repeats.images.items()
    }


def _mates(repeats: Repeats) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for a, b, _ in repeats.pairs:
        found.setdefault(a, []).append(b)
        found.setdefault(b, []).append(a)
    return found


def _top(root: dict[int, int], content: int) -> int:
    while root[content] != content:
        root[content] = root[root[content]]
        content = root[content]
    return content
