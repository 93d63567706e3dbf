"""True classes of images, from a column, tags, or folders."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from imseek.analysis import metadata_labels
from imseek.data.catalog import models, tag_reader
from imseek.data.reader import Reader
from imseek.data.vectors.base import Ids
from imseek.errors import UsageError
from imseek.labels.classes import Classes, classes_from_names, normalise_name
from imseek.labels.recipe import KIND

FOLDER: Final = "folder"
TAGS: Final = "tags"
#: Prefix for a column with one of the names above.
COLUMN_PREFIX: Final = "column:"


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """True classes: ``ids`` (n,), ascending, and ``numbers`` (n,) int64, indexes into ``classes``.

    ``several`` counts images left out because they have more than one of the classes, ``other`` those with something
    else.
    """

    ids: Ids
    numbers: Ids
    classes: Classes
    several: int
    other: int


def read_truth(reader: Reader, ids: Ids, kind: str, classes: Classes | None) -> Truth:
    """Read the true classes of ``ids``; without ``classes``, use all values found.

    ``kind`` is ``folder``, ``tags`` or a column's name. For folders, the innermost whose name is a class counts;
    without classes, the first below the source. Names are compared without case. Raises UsageError.
    """
    if kind == TAGS and classes is None:
        raise UsageError("tags say many things", hint="name the classes: --classes cat,dog")
    texts_by_id: dict[int, set[str]] = {}
    for image_id, text in _iter_truth(reader, ids, kind, classes):
        texts_by_id.setdefault(image_id, set()).add(text)
    if classes is None:
        spellings: dict[str, str] = {}
        for texts in texts_by_id.values():
            for text in texts:
                spellings.setdefault(normalise_name(text), text.strip())
        if len(spellings) < 2:
            raise UsageError(
                f"only {len(spellings)} different class by {kind}: nothing to tell apart",
                hint="name the classes (--classes), or another --truth: folder, tags, or a column",
            )
        classes = classes_from_names(spellings[key] for key in sorted(spellings))
    number = {normalise_name(name): n for n, name in enumerate(classes.names)}
    number_by_id: dict[int, int] = {}
    several = other = 0
    for image_id, texts in texts_by_id.items():
        numbers = {number[key] for key in map(normalise_name, texts) if key in number}
        if len(numbers) == 1:
            number_by_id[image_id] = numbers.pop()
        elif numbers:
            several += 1
        else:
            other += 1
    if not number_by_id:
        raise UsageError(
            f"no image has one of the classes by {kind}",
            hint="truth is a column, `tags`, or `folder`: the folders' names",
        )
    labelled_ids = np.array(sorted(number_by_id), np.int64)
    return Truth(
        labelled_ids, np.array([number_by_id[i] for i in labelled_ids.tolist()], np.int64), classes, several, other
    )


def _iter_truth(reader: Reader, ids: Ids, kind: str, classes: Classes | None) -> Iterator[tuple[int, str]]:
    if kind == FOLDER:
        yield from _iter_folder_classes(reader, ids, classes)
    elif kind == TAGS:
        id_set = set(ids.tolist())
        yield from (one for one in tag_reader.manual_tags(reader) if one[0] in id_set)
    else:
        column = kind.removeprefix(COLUMN_PREFIX)
        record = models.find(reader.root, column.lower())
        if record is not None and record.kind == KIND:
            raise UsageError(
                f"{column!r} holds labels that imseek gave: they would be judged by themselves",
                hint="truth is what somebody knows: a column of a table, `tags`, or `folder`",
            )
        yield from metadata_labels.values_of(reader, column, ids).items()


def _iter_folder_classes(reader: Reader, ids: Ids, classes: Classes | None) -> Iterator[tuple[int, str]]:
    names = None if classes is None else {normalise_name(name) for name in classes.names}
    for image_id, location in metadata_labels.folders_of(reader, ids):
        folders = [*location.around, *(location.inside or ())]
        if names is None:
            selected = folders[:1]
        else:
            selected = [folder for folder in reversed(folders) if normalise_name(folder) in names][:1]
        for folder in selected:
            yield image_id, folder


__all__ = ["COLUMN_PREFIX", "FOLDER", "TAGS", "Truth", "read_truth"]
