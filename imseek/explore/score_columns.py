"""Storing what was found out about images: whether a name can be given to it, and scores as a derived column."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from imseek.data import derived_columns as stored_columns
from imseek.data import metadata_columns as stored_facts
from imseek.data import models
from imseek.data.models import Model
from imseek.data.reader import Reader
from imseek.data.vectors.base import Ids
from imseek.errors import UsageError
from imseek.search.where.vocabulary import ALIASES, VIRTUAL
from imseek.types import Float32

#: So that a filter can ask for the columns.
_NAME: Final = re.compile(r"[a-z][a-z0-9_]*")
#: Characters of a name: what columns add to it fits too.
LONGEST: Final = 41
#: The kind of the record of columns that a probe gave under another name than its own. In the collection it is
#: "labels", as that of labels by words.
BY_PROBE: Final = "a probe's labels"
#: Column sets of other commands.
_OWN: Final = {
    stored_columns.MEASURED: "`imseek maintain --measure`",
    stored_columns.INHERITED: "what keepers of duplicates inherit",
}
_ONE_OF: Final = {
    "probe": "a probe",
    "policy": "a policy",
    "adapter": "an adapter",
    "map": "a map",
    "temperature": "a temperature",
}


def kind_of(model: Model) -> str:
    """What a model is; of labels, who gave them too."""
    return BY_PROBE if model.kind == "labels" and "probe" in model.facts else model.kind


def check_name(
    reader: Reader,
    name: str,
    kind: str,
    columns: Sequence[str],
    *,
    replace: bool = False,
    longest: int = LONGEST,
) -> None:
    """Before long work: whether ``columns`` can be stored as a set called ``name``, with a record of the ``kind``
    (:func:`kind_of`). ``replace`` lets what is stored of the same kind be replaced.

    Raises UsageError for a name that no columns can have, or that something has already: another record, another
    column, or what filters call something else.
    """
    if not _NAME.fullmatch(name) or len(name) > longest:
        raise UsageError(
            f"{name!r} cannot be a name of columns",
            hint=f"lower-case letters, digits and _, a letter first, {longest} at most",
        )
    if name in _OWN:
        raise UsageError(f"{name!r} is the column set of {_OWN[name]}", hint="choose another name")
    known = models.find(reader.root, name)
    if known is not None and kind_of(known) != kind:
        what = _ONE_OF.get(known.kind, kind_of(known))
        raise UsageError(f"{name!r} is the name of {what} already", hint="choose another name")
    if known is not None and not replace:
        raise UsageError(f"there are {kind} {name!r} already", hint="choose another name, or add --force")
    if known_to_filters := sorted(set(columns) & {*VIRTUAL, *ALIASES}):
        raise UsageError(
            f"{known_to_filters[0]!r} is what filters call something else", hint="choose another name"
        )
    for shard in reader.current.shards:
        mine = shard.columns.get(name)  # Without a record, a repair has lost that: they may be replaced.
        for file in stored_facts.files_of(shard):
            taken = set() if file == mine else set(columns) & set(stored_facts.schema_of(reader, file))
            if taken:
                raise UsageError(f"there is a column {min(taken)!r} already", hint="choose another name")


def save_scores(root: Path, name: str, ids: Ids, scores: Float32, kind: str, facts: Mapping[str, Any]) -> int:
    """Store (n,) scores of images as the column ``name``, in the place of such scores of that name; returns the
    generation.

    Memory: some 100 bytes for each. Raises UsageError for a name that cannot be one or is that of something else, and
    for ids that come twice, LockedError, ReadOnlyError, StorageError.
    """
    from imseek.data.derived_results import store

    if len(np.unique(ids)) < len(ids):
        raise UsageError("an image has several scores, and a column holds one")
    check_name(Reader(root), name, kind, (name,), replace=True)
    values = dict(zip(ids.tolist(), scores.astype(np.float64).tolist(), strict=True))
    return store(root, {name: values}, Model(name, kind, dict(facts)))
