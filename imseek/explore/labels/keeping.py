"""Labels that stay: derived columns and tags, with the record of how they were made, in one commit."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from imseek.data import facts, models
from imseek.data.models import Model
from imseek.data.reader import Reader
from imseek.errors import UsageError

#: A name of columns, so that a filter can ask for them.
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,40}")


def check_name(reader: Reader, name: str, kind: str, columns: Sequence[str]) -> None:
    """Before long work. Raises UsageError for a name that cannot be one of columns, or is one of something else."""
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot be a name of labels",
            hint="lower-case letters, digits and _, a letter first, 41 at most",
        )
    model = models.find(reader.root, name)
    if model is not None and model.kind != kind:
        raise UsageError(
            f"{name!r} is the name of a model ({model.kind}) already", hint="choose another name"
        )
    for shard in reader.current.shards:
        mine = shard.columns.get(name) if model is not None else None
        for file in facts.files_of(shard):
            if file == mine:
                continue
            if taken := sorted(set(columns) & set(facts.schema_of(reader, file))):
                raise UsageError(f"there is a column {taken[0]!r} already", hint="choose another name")


def store(
    root: Path,
    name: str,
    kind: str,
    values: Mapping[str, Mapping[int, Any]],
    tags: Mapping[tuple[int, str], str] | None,
    prefix: str,
    record: Mapping[str, Any],
    arrays: Mapping[str, Any],
    *,
    replace: bool = True,
) -> tuple[int, int]:
    """Returns the generation, and how many tags were given. Raises LockedError, ReadOnlyError, StorageError."""
    from imseek.data import derived, label_tags

    counted: list[int] = [0]
    # Without ``tags`` those of an earlier run go: its labels hold no more.
    change = label_tags.giving(
        prefix, tags or {}, replace=replace, told=lambda number: counted.__setitem__(0, number)
    )
    generation = derived.store(root, values, Model(name, kind, record, arrays), also=[change])
    return generation, counted[0]
