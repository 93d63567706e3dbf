"""Load models learned from a collection: a probe, an adapter of vectors, how labels were assigned.

:mod:`imseek.data.catalog.model_files` writes models. They contain numbers only, no code: loading one is safe.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from imseek.data import layout
from imseek.data.catalog.model_fact_schemas import check_facts
from imseek.data.catalog.read_connection import connect_read_only
from imseek.data.collection_records import FOREVER
from imseek.data.files import durable_files
from imseek.data.files.checked_json import JsonObject
from imseek.data.files.collection_files import MAX_LARGE_JSON, read_file
from imseek.errors import CorruptCollectionError, UsageError, repair_command

#: Kind of a model's file in the catalog.
KIND: Final = "model"
_DTYPES: Final = frozenset({"float32", "float64", "int32", "int64"})


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """A named model: ``facts`` in JSON types and numeric arrays.

    ``kind`` names its use (``"probe"``, ``"adapter"``, ``"labels"`` …). ``arrays`` are little-endian float32, float64,
    int32 or int64. ``created`` is ISO 8601, UTC; empty until the model is stored.
    """

    name: str
    kind: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    created: str = ""


def check_name(name: str) -> None:
    """Raise UsageError for a name that no model can have."""
    if not layout.MODEL_NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot be a name",
            hint="lower-case letters, digits, _ and -, a letter first, 64 at most",
        )


def find(root: Path, name: str) -> Model | None:
    """Return the current model of a name, or None. Raises CorruptCollectionError."""
    path = _paths(root).get(name)
    return None if path is None else load(root, path)


def names(root: Path) -> tuple[str, ...]:
    """Return the names of all models, sorted."""
    return tuple(sorted(_paths(root)))


def kind_on_file(root: Path, name: str) -> str | None:
    """Return the kind that a model's file states, even if the file is damaged; None where no kind can be read."""
    path = _paths(root).get(name)
    match = None if path is None else re.search(rb'"kind": ?"([a-z]+)"', read_file(root, path, MAX_LARGE_JSON))
    return None if match is None else match[1].decode()


def of_kind(root: Path, kind: str) -> tuple[Model, ...]:
    """Load all models of a kind, sorted by name. Raises CorruptCollectionError."""
    models = (load(root, path) for _, path in sorted(_paths(root).items()))
    return tuple(model for model in models if model.kind == kind)


def encode_array(array: npt.NDArray[Any]) -> dict[str, Any]:
    """Encode an array as JSON. Raises TypeError for a dtype that cannot be stored."""
    if array.dtype.name not in _DTYPES:
        raise TypeError(f"an array of {array.dtype} cannot be part of a model")
    little_endian = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    data = base64.b64encode(little_endian.tobytes()).decode("ascii")
    return {"dtype": array.dtype.name, "shape": list(array.shape), "data": data}


def _paths(root: Path) -> dict[str, str]:
    with connect_read_only(root) as connection:
        rows = connection.execute(
            "SELECT name, path FROM files WHERE kind = ? AND died = ?", (KIND, FOREVER)
        ).fetchall()
    return dict(rows)


def load(root: Path, path: str, uuid: str | None = None) -> Model:
    """Load the model in a file. With ``uuid``, check that its content belongs to this path and that collection.

    Raises CorruptCollectionError.
    """
    try:
        document = JsonObject(durable_files.strip_checksum(read_file(root, path, MAX_LARGE_JSON)))
        if uuid is not None:
            expected_path = layout.model(document.text("name"), document.whole("generation"))
            if (document.whole("format"), document.text("uuid"), expected_path) != (layout.FORMAT, uuid, path):
                raise ValueError("its contents belong to another file name")
        arrays = document.object("arrays")
        kind, facts = document.text("kind"), document.get("facts")
        check_facts(kind, facts)
        return Model(
            document.text("name", pattern=layout.MODEL_NAME),
            kind,
            facts,
            {name: _decode_array(arrays.object(name)) for name in arrays},
            document.time("created"),
        )
    except (OSError, ValueError, TypeError) as error:
        raise CorruptCollectionError(f"{root / path} is damaged: {error}", hint=repair_command(root)) from error


def _decode_array(document: JsonObject) -> npt.NDArray[Any]:
    kind = np.dtype(document.text("dtype", choices=_DTYPES)).newbyteorder("<")
    data = document.get("data")
    if not isinstance(data, str):
        raise ValueError("data is not text")
    flat = np.frombuffer(base64.b64decode(data, validate=True), kind)
    return flat.reshape(document.wholes("shape")).astype(kind.newbyteorder("="))
