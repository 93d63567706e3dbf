"""Whether a name can be given to what is to be stored about images."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from imseek.data import facts, models
from imseek.data.reader import Reader
from imseek.errors import UsageError

#: So that a filter can ask for the columns.
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,40}")


def check_name(
    reader: Reader, name: str, kind: str, columns: Sequence[str], *, replace: bool = False
) -> None:
    """Before long work. ``replace`` lets what is stored of the same ``kind`` be replaced.

    Raises UsageError for a name that no columns can have, or that something has already.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot be a name of columns",
            hint="lower-case letters, digits and _, a letter first, 41 at most",
        )
    known = models.find(reader.root, name)
    if known is not None and known.kind != kind:
        raise UsageError(f"{name!r} is the name of {known.kind} already", hint="choose another name")
    if known is not None and not replace:
        raise UsageError(f"there are {kind} {name!r} already", hint="choose another name, or add --force")
    for shard in reader.current.shards:
        mine = shard.columns.get(name) if known is not None else None
        for file in facts.files_of(shard):
            taken = set() if file == mine else set(columns) & set(facts.schema_of(reader, file))
            if taken:
                raise UsageError(f"there is a column {min(taken)!r} already", hint="choose another name")
