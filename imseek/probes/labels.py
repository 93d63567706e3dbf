"""Labelled images: classes from tags, a column, or folders."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from imseek.analysis import metadata_labels
from imseek.data.catalog import tag_reader
from imseek.data.reader import Reader
from imseek.data.vectors.base import Ids
from imseek.errors import UsageError
from imseek.types.pictures import display_path

#: With more distinct values, a column or folder level is not treated as classes.
MAX_CLASSES: Final = 1000
#: Maximum number of images to name in an error.
_MAX_NAMED: Final = 5

#: (n,) int64: the class of each image; or (n, classes) bool: any of the classes.
Targets = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Labels:
    """The origin of labels: ``tags``, a ``column`` or a ``folder`` level.

    ``names`` are the tags (none: all that people have given), the column, or the level below the source, from 1 (none:
    the innermost folder).

    ``several``: an image may have any number of the classes, or none; for tags only. The examples with none are images
    with other tags, or only those with the tag ``negatives``.
    """

    kind: Literal["tags", "column", "folder"]
    names: tuple[str, ...] = ()
    several: bool = False
    negatives: str | None = None

    @property
    def even(self) -> bool:
        """Whether classes are weighted equally whatever their size.

        Tagged images are not a random sample of the collection, unlike all rows of a column or all folders.
        """
        return self.kind == "tags"

    @classmethod
    def parse(cls, text: str) -> Labels:
        """Parse ``tags``, ``tags:a,b``, ``folder``, ``folder:1``, ``column:NAME`` or a column's name. Raises
        UsageError."""
        kind, colon, rest = text.partition(":")
        if kind == "tags":
            return cls("tags", tuple(name.strip() for name in rest.split(",") if name.strip()))
        if kind == "folder":
            if colon and not (rest.isdecimal() and int(rest) > 0):
                raise UsageError(f"{text!r} is not a folder", hint="folder:1 is the first below the source")
            return cls("folder", (rest,) if rest else ())
        name = rest if kind == "column" and colon else text
        if not name.strip():
            raise UsageError("no labels are named", hint="tags, tags:a,b, a column, or folder")
        return cls("column", (name,))

    def describe(self) -> str:
        """Describe the labels for messages."""
        names = ", ".join(self.names)
        return {"tags": f"tags {names}" if names else "tags", "column": f"column {names}"}.get(
            self.kind, f"folder {names}".strip()
        )


class NoLabels(UsageError):  # noqa: N818 - a state of the collection, which some ask for
    """No image is labelled yet."""


@dataclass(frozen=True, slots=True, eq=False)
class LabelledImages:
    """n labelled images. ``ids`` (n,) int64, ascending; ``targets`` see :data:`Targets`."""

    ids: Ids
    classes: tuple[str, ...]
    targets: Targets
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def several(self) -> bool:
        """Whether an image may have several classes."""
        return self.targets.ndim == 2

    def counts(self) -> tuple[int, ...]:
        """Number of images in each class."""
        if self.several:
            return tuple(int(n) for n in self.targets.sum(axis=0))
        return tuple(np.bincount(self.targets, minlength=len(self.classes)).tolist())

    def take(self, positions: npt.NDArray[Any]) -> LabelledImages:
        """Select images by position."""
        return replace(self, ids=self.ids[positions], targets=self.targets[positions])


def read_labels(reader: Reader, labels: Labels, searchable: Ids) -> LabelledImages:
    """Read the labels of the ``searchable`` images (ascending ids).

    Classes keep the order in which they were named, else they are sorted by name. A single class is allowed. Raises
    UsageError for tags without images, an unsuitable column, an image of two classes where one is allowed, and where
    nothing is labelled.
    """
    if labels.kind == "tags":
        result = _read_tags(reader, labels, searchable)
    elif labels.kind == "column":
        result = _single_label(metadata_labels.values_of(reader, labels.names[0], searchable), ())
    else:
        result = _single_label(_read_folders(reader, labels.names, searchable), ())
    if not len(result):
        raise NoLabels(f"no image is labelled by {labels.describe()}", hint="imseek tag add TAG IMAGE… labels some")
    if len(result.classes) > MAX_CLASSES:
        raise UsageError(
            f"{labels.describe()} has {len(result.classes):,} different values; at most {MAX_CLASSES:,} can be classes"
        )
    return result


def _read_tags(reader: Reader, labels: Labels, searchable: Ids) -> LabelledImages:
    if len(set(labels.names)) < len(labels.names):
        again = next(name for name, n in Counter(labels.names).items() if n > 1)
        raise UsageError(f"the tag {again!r} is named twice")
    if labels.negatives in labels.names:
        raise UsageError(
            f"the tag {labels.negatives!r} is to be a class, and to be for none of them",
            hint="another tag for --negatives",
        )
    tags = [*labels.names, *([labels.negatives] if labels.negatives else [])]
    if labels.names:
        tag_reader.check_known(reader.root, tags)
    reads_all = labels.several and labels.negatives is None
    rows = tag_reader.rows(reader, tags if labels.names and not reads_all else None)
    image_tags = [(i, tag) for i, tag, provenance in rows if tag_reader.is_manual(provenance)]
    if not image_tags:
        reason = " by somebody (from what a model gave, nothing is learned)" if rows else ""
        raise NoLabels(f"no image is tagged{reason}", hint="imseek tag add TAG IMAGE… labels some")
    ids = np.array([i for i, _ in image_tags], np.int64)
    inside = np.isin(ids, searchable)
    skipped_ids = sorted(set(ids[~inside].tolist()))
    left_out = f"{len(skipped_ids):,} tagged images are left out: no vector, or not among those asked for"
    notes = (left_out,) if skipped_ids else ()
    kept_tags = [one for one, there_is in zip(image_tags, inside.tolist(), strict=True) if there_is]
    if labels.several:
        return _multi_label(kept_tags, labels, notes)
    pairs: dict[int, list[str]] = {}
    for image_id, tag in kept_tags:
        pairs.setdefault(image_id, []).append(tag)
    if ambiguous := {i: both for i, both in pairs.items() if len(both) > 1}:
        listed = "; ".join(f"image {i}: {', '.join(both)}" for i, both in list(ambiguous.items())[:_MAX_NAMED])
        more = f"; and {len(ambiguous) - _MAX_NAMED:,} more" if len(ambiguous) > _MAX_NAMED else ""
        raise UsageError(
            f"{len(ambiguous):,} images have more than one of the tags ({listed}{more})",
            hint="name the tags to tell apart (--tags a,b), let an image have several (--several), or take one away",
        )
    return _single_label({i: one for i, (one, *_) in pairs.items()}, labels.names, notes)


def _multi_label(image_tags: Sequence[tuple[int, str]], labels: Labels, notes: tuple[str, ...]) -> LabelledImages:
    """Build targets with several classes per image."""
    classes = labels.names or tuple(sorted({tag for _, tag in image_tags} - {labels.negatives or ""}))
    number = {name: n for n, name in enumerate(classes)}
    ids = np.unique(np.array([i for i, _ in image_tags], np.int64))
    marks = np.zeros((len(ids), len(classes)), np.bool_)
    rows = np.searchsorted(ids, [i for i, _ in image_tags])
    for row, (_, tag) in zip(rows.tolist(), image_tags, strict=True):
        if tag in number:
            marks[row, number[tag]] = True
    return LabelledImages(ids, classes, marks, notes)


def _single_label(by_id: Mapping[int, str], order: Sequence[str], notes: tuple[str, ...] = ()) -> LabelledImages:
    """Build targets with one class per image."""
    ids = np.array(sorted(by_id), np.int64)
    present = set(by_id.values())
    classes = tuple(name for name in order if name in present) if order else tuple(sorted(present))
    number = {name: n for n, name in enumerate(classes)}
    targets = np.array([number[by_id[i]] for i in ids.tolist()], np.int64)
    if empty := [name for name in order if name not in present]:
        notes = (*notes, f"no image that is asked for has the tag {', '.join(empty)}")
    return LabelledImages(ids, classes, targets, notes)


def _read_folders(reader: Reader, names: Sequence[str], searchable: Ids) -> dict[int, str]:
    """Return the folder at the given level, from 1 below the source; by default the innermost, which may be the source.

    Inside an archive, only its own folders count.
    """
    level = int(names[0]) if names else None
    folder_by_id: dict[int, str] = {}
    for image_id, location in metadata_labels.folders_of(reader, searchable):
        parts = location.around if location.inside is None else location.inside
        if level is None:
            above = location.root.rstrip(b"/").split(b"/")[-1 if location.named else -2 :][:1]
            folder_by_id[image_id] = parts[-1] if parts else display_path(above[0])
        elif len(parts) >= level:
            folder_by_id[image_id] = parts[level - 1]
    return folder_by_id
