"""What images really are, as far as somebody has said: in a column, by tags, or by the folder that they lie in."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from imseek.data import facts, tagged
from imseek.data.places import INSIDE
from imseek.data.reader import Reader
from imseek.data.vectors.base import Ids
from imseek.errors import UsageError
from imseek.explore.labels.classes import Classes, normal, of_names
from imseek.types import display_path

FOLDER: Final = "folder"
TAGS: Final = "tags"
#: Before a column that is called as one of the above.
COLUMN: Final = "column:"
_BLOCK: Final = 50_000


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """``ids`` (n,), ascending, of images whose class is known, and ``numbers`` (n,) int64 into ``classes``. ``several``
    images that have more than one of the classes are left out, ``other`` images that have something else."""

    ids: Ids
    numbers: Ids
    classes: Classes
    several: int
    other: int


def read(reader: Reader, ids: Ids, kind: str, classes: Classes | None) -> Truth:
    """Of the images ``ids`` those whose class is known. Without ``classes``, they are what the truth says there is.

    ``kind`` is ``folder``, ``tags`` or a column's name. A folder is the innermost one whose name is a class; without
    classes, the first below the source's. Names agree whatever their capitals. Raises UsageError.
    """
    if kind == TAGS and classes is None:
        raise UsageError("tags say many things", hint="name the classes: --classes cat,dog")
    said: dict[int, set[str]] = {}
    for image_id, text in _said(reader, ids, kind, classes):
        said.setdefault(image_id, set()).add(text)
    if classes is None:
        spelt: dict[str, str] = {}
        for texts in said.values():
            for text in texts:
                spelt.setdefault(normal(text), text.strip())
        if len(spelt) < 2:
            raise UsageError(
                f"only {len(spelt)} different class by {kind}: nothing to tell apart",
                hint="name the classes (--classes), or another --truth: folder, tags, or a column",
            )
        classes = of_names(spelt[key] for key in sorted(spelt))
    number = {normal(name): n for n, name in enumerate(classes.names)}
    known: dict[int, int] = {}
    several = other = 0
    for image_id, texts in said.items():
        numbers = {number[key] for key in map(normal, texts) if key in number}
        if len(numbers) == 1:
            known[image_id] = numbers.pop()
        elif numbers:
            several += 1
        else:
            other += 1
    if not known:
        raise UsageError(
            f"no image has one of the classes by {kind}",
            hint="truth is a column, `tags`, or `folder`: the folders' names",
        )
    found = np.array(sorted(known), np.int64)
    return Truth(found, np.array([known[i] for i in found.tolist()], np.int64), classes, several, other)


def _said(reader: Reader, ids: Ids, kind: str, classes: Classes | None) -> Iterator[tuple[int, str]]:
    if kind == FOLDER:
        yield from _folders(reader, ids, classes)
    elif kind == TAGS:
        wanted = set(ids.tolist())
        yield from (one for one in tagged.said(reader) if one[0] in wanted)
    else:
        yield from _column(reader, ids, kind.removeprefix(COLUMN))


def _folders(reader: Reader, ids: Ids, classes: Classes | None) -> Iterator[tuple[int, str]]:
    names = None if classes is None else {normal(name) for name in classes.names}
    for start in range(0, len(ids), _BLOCK):
        for image_id, (_, path) in reader.catalog_places(ids[start : start + _BLOCK].tolist()).items():
            parts = path.replace(INSIDE, b"/").split(b"/")[:-1]
            folders = [display_path(part) for part in parts if part]
            if names is None:
                chosen = folders[:1]
            else:
                chosen = [folder for folder in reversed(folders) if normal(folder) in names][:1]
            for folder in chosen:
                yield image_id, folder


def _column(reader: Reader, ids: Ids, name: str) -> Iterator[tuple[int, str]]:
    known: set[str] = set()
    values: dict[int, str | None] = {}
    for shard in reader.current.shards:
        for file in facts.files_of(shard):
            schema = facts.schema_of(reader, file)
            known.update(schema)
            if name in schema:
                columns = facts.columns_of(reader, file, ["image_id", name])
                pairs = zip(
                    columns.column("image_id").to_pylist(), columns.column(name).to_pylist(), strict=True
                )
                values.update({i: None if value is None else str(value) for i, value in pairs})
    if name not in known:
        near = difflib.get_close_matches(name, sorted(known), n=3)
        raise UsageError(
            f"no column is called {name!r}",
            hint=f"did you mean {' or '.join(near)}?" if near else "truth is a column, `tags`, or `folder`",
        )
    for image_id in ids.tolist():
        text = values.get(image_id)
        if text is not None and text.strip():
            yield image_id, text


__all__ = ["COLUMN", "FOLDER", "TAGS", "Truth", "read"]
