"""Label sets for labels by examples, without Streamlit: groups of tags of which an image has one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from imseek.errors import UsageError
from imseek.labels import normalise_name
from imseek.probes import Labels
from imseek.probes.results import ProbeInfo
from imseek.tags import is_manual
from imseek.types.tags import TagCount
from imseek.ui.web.components.labeller import NONE, SKIP
from imseek.ui.web.pages.labels.label_shelves import column_name

#: Maximum number of classes, one per key.
MAX_CLASSES: Final = 9


@dataclass(frozen=True, slots=True)
class LabelSet:
    """A set of classes and the ``name`` of its probe. With a single class, an image belongs to it or not."""

    name: str
    classes: tuple[str, ...]

    @property
    def none(self) -> str:
        """The tag of images of none of the classes. It names them, since it no longer holds if a class is added."""
        return f"not {' or '.join(self.classes)}"

    @property
    def tags(self) -> tuple[str, ...]:
        return (*self.classes, self.none)

    def keys(self) -> dict[str, str]:
        """Return tags by the keys that give them."""
        return {**{str(n + 1): one for n, one in enumerate(self.classes)}, NONE: self.none}

    def labels(self, given_tags: Iterable[str]) -> Labels:
        """Return the labels to train a probe on; ``given_tags`` are those that people have given.

        A class without images is left out; the page reports it.
        """
        in_use = set(given_tags)
        mine = tuple(tag for tag in self.tags if tag in in_use)
        if len(self.classes) == 1 and len(mine) == 2:
            # Binary: the negative tag is no class, and the probe never gives it.
            return Labels("tags", self.classes, several=True, negatives=self.none)
        return Labels("tags", mine or self.tags)

    def choices(self, keys_by_image: Mapping[int, str]) -> dict[int, str | None]:
        """Return tags by image id, from keys by image id; None for skipped images."""
        keys = self.keys()
        return {image_id: keys.get(key) for image_id, key in keys_by_image.items()}


def parse_set(text: str, name: str = "") -> LabelSet:
    """Parse a label set: classes separated by commas or line breaks. Raises UsageError.

    Without a ``name``, it is derived from the classes.
    """
    classes_by_tag: dict[str, str] = {}
    for part in text.replace("\n", ",").split(","):
        if part.strip():
            classes_by_tag.setdefault(normalise_name(part), part.strip())
    if not classes_by_tag:
        raise UsageError("no classes are named", hint="such as: cat, dog")
    if len(classes_by_tag) > MAX_CLASSES:
        raise UsageError(f"{len(classes_by_tag)} classes, and there are keys for {MAX_CLASSES}", hint="leave some out")
    if any(len(name) > 100 or not name.isprintable() for name in classes_by_tag.values()):
        raise UsageError("a class is one line of 100 characters at most")
    classes = tuple(classes_by_tag.values())
    label_set = LabelSet(column_name(name or (classes[0] if len(classes) == 1 else "_".join(classes)[:30])), classes)
    if len(label_set.none) > 200:
        raise UsageError("the names of these classes are too long", hint="shorten them: 180 characters in all")
    return label_set


def of_probe(probe: ProbeInfo) -> LabelSet | None:
    """Return the label set that a probe learned from, None if its images cannot be labelled by keys.

    That is so if its labels are no tags, there are more than nine classes, or an image may have several.
    """
    classes = probe.classes
    for n in range(len(classes)):
        rest = LabelSet(probe.name, classes[:n] + classes[n + 1 :])
        if rest.classes and rest.none == classes[n]:
            classes = rest.classes
            break
    if not probe.labels.startswith("tags") or len(classes) > MAX_CLASSES or (probe.several and len(classes) > 1):
        return None
    return LabelSet(probe.name, classes)


def count_labels(counts: Sequence[TagCount]) -> dict[str, int]:
    """Return how many images people have given each tag."""
    counts_by_tag = {one.tag: sum(n for giver, n in one.by.items() if is_manual(giver)) for one in counts}
    return {tag: n for tag, n in counts_by_tag.items() if n}


def why_not_learnable(label_set: LabelSet, counts: Mapping[str, int]) -> str | None:
    """Return why a probe cannot be trained yet, and what to do; None if it can."""
    counts_by_tag = {tag: counts[tag] for tag in label_set.tags if counts.get(tag)}
    if not counts_by_tag:
        return "Nothing is labelled yet. Label a few pictures of each class."
    if len(counts_by_tag) < 2:
        tag, n = next(iter(counts_by_tag.items()))
        other = label_set.none if len(label_set.classes) == 1 and tag != label_set.none else "another class"
        return f"So far only {tag} is labelled ({n:,}). Label some pictures of {other} too."
    return None


def advice(label_set: LabelSet, counts: Mapping[str, int]) -> str:
    """Return advice about classes with few or no labels."""
    few = [tag for tag in label_set.tags if 0 < counts.get(tag, 0) < 5]
    missing = [tag for tag in label_set.classes if not counts.get(tag)]
    parts = []
    if missing:
        parts.append(f"None is labelled {', '.join(missing)} yet: that will not be learned.")
    if few:
        parts.append(f"Few pictures of {', '.join(few)}: five or more of each make it much better.")
    return " ".join(parts)


def changes(former: Mapping[int, str], current: Mapping[int, str]) -> dict[int, str]:
    """Return changed keys by image id; a removed key counts as skipped."""
    changed_keys = {image_id: key for image_id, key in current.items() if former.get(image_id, SKIP) != key}
    changed_keys.update({image_id: SKIP for image_id, key in former.items() if image_id not in current and key != SKIP})
    return changed_keys
