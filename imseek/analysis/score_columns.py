"""Derived columns: check that a name is free, and store scores."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from imseek.data import layout
from imseek.data.catalog import models
from imseek.data.catalog.models import Model
from imseek.data.reader import Reader
from imseek.data.shards import metadata_columns as stored_facts
from imseek.data.vectors.base import Ids
from imseek.errors import UsageError
from imseek.search import promised_cutoff
from imseek.search.where.columns_and_functions import ALIASES, VIRTUAL
from imseek.types.arrays import Float32

#: Names that filters can refer to.
_NAME: Final = re.compile(r"[a-z][a-z0-9_]*")
#: Longest name in characters; suffixes for further columns still fit.
MAX_NAME_LENGTH: Final = 41
#: Kind of a record of columns that a probe stored under another name than its own. In the collection it is "labels",
#: like that of zero-shot labels.
BY_PROBE: Final = "a probe's labels"
#: Column sets that belong to other commands.
_RESERVED: Final = {
    layout.MEASURED: "`imseek maintain --measure`",
    layout.INHERITED: "what keepers of duplicates inherit",
    layout.SIDECARS: "files beside pictures",
    layout.EDITS: "what users state about pictures",
    promised_cutoff.NAME: "`imseek evaluate cutoff`",
}
_KIND_PHRASES: Final = {
    "probe": "a probe",
    "policy": "a policy",
    "adapter": "an adapter",
    "map": "a map",
    "cutoff": "the calibration of the cutoff",
    "ocr": "the text in pictures",
    "temperature": "a temperature",
}


def kind_of(model: Model) -> str:
    """Return the kind of a model; labels stored by a probe have a kind of their own."""
    return BY_PROBE if model.kind == "labels" and "probe" in model.facts else model.kind


def check_name(
    reader: Reader,
    name: str,
    kind: str,
    columns: Sequence[str],
    *,
    replace: bool = False,
    longest: int = MAX_NAME_LENGTH,
) -> None:
    """Check before long work that ``columns`` can be stored as a set called ``name``.

    ``kind`` is that of the record (:func:`kind_of`). With ``replace``, an existing record of the same kind may be
    replaced. Raises UsageError for a name that is invalid or already taken: by another record, another column, or a
    term of filters.
    """
    if not _NAME.fullmatch(name) or len(name) > longest:
        raise UsageError(
            f"{name!r} cannot be a name of columns",
            hint=f"lower-case letters, digits and _, a letter first, {longest} at most",
        )
    if name in _RESERVED:
        raise UsageError(f"{name!r} is the column set of {_RESERVED[name]}", hint="choose another name")
    existing = models.find(reader.root, name)
    if existing is not None and kind_of(existing) != kind:
        owner = _KIND_PHRASES.get(existing.kind, kind_of(existing))
        raise UsageError(f"{name!r} is the name of {owner} already", hint="choose another name")
    if existing is not None and not replace:
        raise UsageError(f"there are {kind} {name!r} already", hint="choose another name, or add --force")
    if known_to_filters := sorted(set(columns) & {*VIRTUAL, *ALIASES}):
        raise UsageError(
            f"{known_to_filters[0]!r} is reserved", hint="it has a meaning in filters: choose another name"
        )
    for shard in reader.current.shards:
        own_file = shard.columns.get(name)  # Without a record (lost, then repaired), they may be replaced.
        for file in stored_facts.files_of(shard):
            clashes = set() if file == own_file else set(columns) & set(stored_facts.schema_of(reader, file))
            if clashes:
                raise UsageError(f"there is a column {min(clashes)!r} already", hint="choose another name")


def save_scores(root: Path, name: str, ids: Ids, scores: Float32, kind: str, facts: Mapping[str, Any]) -> int:
    """Store (n,) scores of images as the column ``name``, replace earlier scores, and return the generation.

    Memory: about 100 bytes for each image. Raises UsageError for a name that is invalid or taken and for repeated ids,
    LockedError, ReadOnlyError, StorageError.
    """
    from imseek.data.shards.derived_results import store

    if len(np.unique(ids)) < len(ids):
        raise UsageError("an image has several scores, and a column holds one")
    check_name(Reader(root), name, kind, (name,), replace=True)
    values = dict(zip(ids.tolist(), scores.astype(np.float64).tolist(), strict=True))
    return store(root, {name: values}, Model(name, kind, dict(facts)))
