"""What was learned from a collection, under a name: a probe, an adapter of vectors, how labels were made.

Read without SQLAlchemy, since a query may need an adapter. :mod:`imseek.data.model_files` writes them. Numbers only, no
code: a model is safe to read.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from imseek.data import durable_files, layout
from imseek.data.catalog_file import connect_read_only
from imseek.data.collection_files import MAX_LARGE_JSON, read_file
from imseek.data.json_object import JsonObject
from imseek.data.model_checks import check_facts
from imseek.data.reader import FOREVER
from imseek.errors import CorruptCollectionError, UsageError

#: Of the catalog's files.
KIND: Final = "model"
_DTYPES: Final = frozenset({"float32", "float64", "int32", "int64"})


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """``kind`` says who can use it (``"probe"``, ``"adapter"``, ``"labels"`` …), ``facts`` is what JSON can hold,
    ``arrays`` are little-endian float32, float64, int32 or int64. ``created`` is ISO 8601, UTC; empty until
    it is stored."""

    name: str
    kind: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    created: str = ""


def check_name(name: str) -> None:
    """Raises UsageError."""
    if not layout.MODEL_NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot be a name",
            hint="lower-case letters, digits, _ and -, a letter first, 64 at most",
        )


def find(root: Path, name: str) -> Model | None:
    """The model of a name, as of now; None where there is none. Raises CorruptCollectionError."""
    path = _paths(root).get(name)
    return None if path is None else load(root, path)


def names(root: Path) -> tuple[str, ...]:
    """Of all models, in order."""
    return tuple(sorted(_paths(root)))


def of_kind(root: Path, kind: str) -> tuple[Model, ...]:
    """All models of a kind, by name. Raises CorruptCollectionError."""
    found = (load(root, path) for _, path in sorted(_paths(root).items()))
    return tuple(model for model in found if model.kind == kind)


def coded(array: npt.NDArray[Any]) -> dict[str, Any]:
    """An array as JSON. Raises TypeError for what cannot be stored."""
    if array.dtype.name not in _DTYPES:
        raise TypeError(f"an array of {array.dtype} cannot be part of a model")
    little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    data = base64.b64encode(little.tobytes()).decode("ascii")
    return {"dtype": array.dtype.name, "shape": list(array.shape), "data": data}


def _paths(root: Path) -> dict[str, str]:
    with connect_read_only(root) as connection:
        rows = connection.execute(
            "SELECT name, path FROM files WHERE kind = ? AND died = ?", (KIND, FOREVER)
        ).fetchall()
    return dict(rows)


def load(root: Path, path: str, uuid: str | None = None) -> Model:
    """The model in a file. With ``uuid``, the file must also say that it is this one, of that collection.

    Raises CorruptCollectionError.
    """
    try:
        found = JsonObject(durable_files.unseal(read_file(root, path, MAX_LARGE_JSON)))
        if uuid is not None:
            named = layout.model(found.text("name"), found.whole("generation"))
            if (found.whole("format"), found.text("uuid"), named) != (layout.FORMAT, uuid, path):
                raise ValueError("it says that it is another file")
        arrays = found.object("arrays")
        kind, facts = found.text("kind"), found.get("facts")
        check_facts(kind, facts)
        return Model(
            found.text("name", pattern=layout.MODEL_NAME),
            kind,
            facts,
            {name: _decoded(arrays.object(name)) for name in arrays},
            found.time("created"),
        )
    except (OSError, ValueError, TypeError) as error:
        raise CorruptCollectionError(
            f"{root / path} is damaged: {error}", hint=f"imseek collection repair {root}"
        ) from error


def _decoded(found: JsonObject) -> npt.NDArray[Any]:
    kind = np.dtype(found.text("dtype", choices=_DTYPES)).newbyteorder("<")
    data = found.get("data")
    if not isinstance(data, str):
        raise ValueError("data is no text")
    raw = np.frombuffer(base64.b64decode(data, validate=True), kind)
    return raw.reshape(found.wholes("shape")).astype(kind.newbyteorder("="))
