"""Search results as Arrow tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from imseek.types.pictures import place_columns

if TYPE_CHECKING:
    import pyarrow as pa

    from imseek.types.search_results import Hit, SearchResult

#: Columns of a hit's own; metadata of such a name become ``extra_…``, as in exports.
_OWN: Final = ("collection", "image_id", "score", "path", "path_b64", "uri", "group", "duplicates", "vector")


def result_table(result: SearchResult) -> pa.Table:
    """Return one row for each hit, as :meth:`SearchResult.to_arrow` describes."""
    import pyarrow as pa

    hits = result.hits
    places: list[Mapping[str, str]] = [{} if hit.place is None else place_columns(hit.place) for hit in hits]
    columns = {
        "collection": pa.array([hit.collection for hit in hits], pa.string()),
        "image_id": pa.array([hit.image_id for hit in hits], pa.int64()),
        "score": pa.array([hit.score for hit in hits], pa.float64()),
        "path": pa.array([place.get("path") for place in places], pa.string()),
        "path_b64": pa.array([place.get("path_b64") for place in places], pa.string()),
        "uri": pa.array([place.get("uri") for place in places], pa.string()),
    }
    if result.groups:
        columns["group"] = pa.array([hit.group for hit in hits], pa.string())
    if any(hit.duplicates for hit in hits):
        columns["duplicates"] = pa.array([list(hit.duplicates) for hit in hits], pa.list_(pa.int64()))
    for name in dict.fromkeys(name for hit in hits for name in hit.metadata):
        columns[_free_name(name, columns)] = _array([hit.metadata.get(name) for hit in hits])
    if vectors := _vectors(hits):
        columns["vector"] = vectors
    return pa.table(columns)


def _free_name(name: str, taken: Iterable[str]) -> str:
    while name in _OWN or name in taken:
        name = f"extra_{name}"
    return name


def _array(values: list[Any]) -> pa.Array:
    """Return values as an array; those that have no type in common as text."""
    import pyarrow as pa

    plain = [value.hex() if isinstance(value, bytes) else value for value in values]
    for kind in (None, pa.uint64()):  # a perceptual hash has 64 bits without a sign
        with suppress(pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
            return pa.array(plain, kind)
    return pa.array([None if value is None else str(value) for value in plain], pa.string())


def _vectors(hits: tuple[Hit, ...]) -> pa.Array | None:
    """Return the vectors of hits as lists of one length; None if they carry none."""
    import pyarrow as pa

    rows = [hit.vector for hit in hits]
    dim = next((len(row) for row in rows if row is not None), None)
    if dim is None:
        return None
    return pa.array([None if row is None else np.asarray(row, np.float32) for row in rows], pa.list_(pa.float32(), dim))
