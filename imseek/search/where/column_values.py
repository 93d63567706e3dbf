"""Read the values of columns that filters can name, one shard at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from imseek.data.reader import Reader
from imseek.data.shards.shard_files import ANNOTATION_COLUMNS
from imseek.search.where.column_cache import ColumnCache, kinds_of
from imseek.search.where.columns_and_functions import ALIASES, STORED_ALIASES, VIRTUAL, Kind, Source
from imseek.search.where.names import ColumnNames

Int64 = npt.NDArray[np.int64]


def resolve_kinds(reader: Reader, names: Sequence[str]) -> tuple[Kind, ...]:
    """Return the kinds of columns. Raises QueryError, with near matches, for a name that no filter could use."""
    kinds = kinds_of(ColumnCache(0).types(reader))
    return tuple(ColumnNames(kinds).column(name).kind for name in names)


def list_columns(reader: Reader) -> dict[str, str]:
    """Return every column's kind by name: stored columns first, then those derived from them and from places.

    Annotations that no picture of the collection has are left out.
    """
    types = ColumnCache(0).types(reader)
    stored = kinds_of({n: kind for n, kind in types.items() if n not in ANNOTATION_COLUMNS.names or kind != pa.null()})
    aliases = {*ALIASES, *STORED_ALIASES}
    kinds = {name: column.kind.value for name, column in ColumnNames(stored).all().items() if name not in aliases}
    stored_kinds = {name: kind for name, kind in kinds.items() if name not in VIRTUAL}
    return {**stored_kinds, **kinds}


def values(reader: Reader, names: Sequence[str]) -> Iterator[tuple[Int64, list[Any]]]:
    """Yield the ids (m,) of live images shard by shard, with an Arrow array of m values for each of ``names``.

    Names are those of docs/where.md. NaN becomes null. Raises QueryError, StaleGenerationError,
    CorruptCollectionError.
    """
    from imseek.search.where.duckdb_sandbox import connect

    loader = ColumnCache(0)
    types = loader.types(reader)
    column_names = ColumnNames(kinds_of(types))
    columns = [column_names.column(name) for name in names]
    inputs = list(dict.fromkeys(source for one in columns for source in one.inputs)) or [Source("id")]
    holes = {source: f"c{n}" for n, source in enumerate(inputs)}
    expressions = [one.sql.format(*(holes[source] for source in one.inputs)) for one in columns]
    query = f"SELECT {', '.join(f'{sql} AS v{n}' for n, sql in enumerate(expressions))} FROM facts"  # noqa: S608 - ours
    connection = connect()
    try:
        for shard in reader.current.shards:
            ids, table = loader.read(reader, types).table([shard], inputs)
            if len(ids):
                connection.register("facts", table)
                result: pa.Table = connection.sql(query).to_arrow_table()
                yield ids, [result.column(n).combine_chunks() for n in range(len(columns))]
    finally:
        connection.close()


def numbers(reader: Reader, names: Sequence[str]) -> tuple[Int64, npt.NDArray[np.float64]]:
    """Return the ids (n,) of all live images, ascending, and their values as (len(names), n) float64.

    Null and values that are not numbers become NaN.
    """
    numeric = [kind in (Kind.INT, Kind.FLOAT) for kind in resolve_kinds(reader, names)]
    ids: list[Int64] = [np.empty(0, np.int64)]
    parts = [np.empty((len(names), 0))]
    for part_ids, columns in values(reader, names):
        ids.append(part_ids)
        rows = np.full((len(names), len(part_ids)), np.nan)
        for row, column, is_number in zip(rows, columns, numeric, strict=True):
            if is_number:
                row[:] = column.cast("float64", safe=False).to_numpy(zero_copy_only=False)
        parts.append(rows)
    all_ids = np.concatenate(ids)
    order = np.argsort(all_ids, kind="stable")
    return all_ids[order], np.concatenate(parts, axis=1)[:, order]
