"""What was learned from a collection, under a name: a probe, an adapter of vectors, how labels were made.

Read without SQLAlchemy, since a query may need an adapter. :mod:`imseek.data.model_files` writes them. Numbers only, no
code: a model is safe to read.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from imseek.data import durable
from imseek.data.catalog_file import connect_read_only
from imseek.data.reader import FOREVER
from imseek.errors import CorruptCollectionError, UsageError

#: Of the catalog's files.
KIND: Final = "model"
_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,63}")
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
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot be a name",
            hint="lower-case letters, digits, _ and -, a letter first, 64 at most",
        )


def find(root: Path, name: str) -> Model | None:
    """The model of a name, as of now; None where there is none. Raises CorruptCollectionError."""
    path = _paths(root).get(name)
    return None if path is None else _read(root, path)


def names(root: Path) -> tuple[str, ...]:
    """Of all models, in order."""
    return tuple(sorted(_paths(root)))


def of_kind(root: Path, kind: str) -> tuple[Model, ...]:
    """All models of a kind, by name. Raises CorruptCollectionError."""
    found = (_read(root, path) for _, path in sorted(_paths(root).items()))
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


def _read(root: Path, path: str) -> Model:
    try:
        document = durable.unseal((root / path).read_bytes())
        arrays = {name: _decoded(one) for name, one in document["arrays"].items()}
        return Model(document["name"], document["kind"], document["facts"], arrays, document["created"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, binascii.Error) as error:
        raise CorruptCollectionError(
            f"{root / path} is damaged: {error}", hint=f"imseek collection repair {root}"
        ) from error


def _decoded(one: Mapping[str, Any]) -> npt.NDArray[Any]:
    if one["dtype"] not in _DTYPES:
        raise ValueError(f"an array of {one['dtype']}")
    kind = np.dtype(one["dtype"]).newbyteorder("<")
    raw = np.frombuffer(base64.b64decode(one["data"], validate=True), kind)
    return raw.reshape(one["shape"]).astype(kind.newbyteorder("="))
