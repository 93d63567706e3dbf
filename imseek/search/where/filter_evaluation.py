"""Evaluate filters: which images satisfy a condition in one generation of a collection."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from imseek.data.collection_records import Shard
from imseek.data.reader import Reader
from imseek.errors import QueryError

if TYPE_CHECKING:
    from imseek.search.where.column_cache import ColumnCache

#: Shards are evaluated in groups of up to this many rows, to bound memory.
_ROWS_AT_ONCE: Final = 2**20


class Filters:
    """Evaluates filters (docs/where.md) on one collection. Thread-safe.

    ``memory`` limits the bytes of cached columns; cached answers may take a quarter of it in addition. ``seconds`` is
    the time limit for evaluating one filter, excluding reading.
    """

    def __init__(self, *, memory: int = 512 * 2**20, seconds: float = 10.0) -> None:
        self._seconds = seconds
        self._memory = memory
        self._lock = threading.Lock()
        self._answers: OrderedDict[tuple[int, str], npt.NDArray[np.int64]] = OrderedDict()
        self._columns: ColumnCache | None = None
        self._connection: Any = None

    def ids(self, reader: Reader, where: str) -> npt.NDArray[np.int64]:
        """Return the ids (n,) int64 of the live images that satisfy ``where``, ascending, read-only.

        They are those of the reader's generation. Raises QueryError for an invalid filter, StaleGenerationError if
        files of the generation are gone.
        """
        if not isinstance(where, str):
            raise QueryError(f"a filter is text, not a {type(where).__name__}", hint="its grammar is in docs/where.md")
        key = reader.generation, where
        with self._lock:
            answer = self._answers.get(key)
            if answer is None:
                answer = self._evaluate(reader, where)
                answer.setflags(write=False)
                self._answers[key] = answer
                self._forget()
            self._answers.move_to_end(key)
            return answer

    def columns(self, reader: Reader) -> dict[str, str]:
        """Return the columns that filters can name in the reader's generation, with their kinds as text."""
        from imseek.search.where.column_cache import kinds_of
        from imseek.search.where.names import ColumnNames

        with self._lock:
            kinds = kinds_of(self._loader().types(reader))
        return {name: column.kind.value for name, column in sorted(ColumnNames(kinds).all().items())}

    def close(self) -> None:
        """Drop all caches. The object may be used again."""
        with self._lock:
            self._answers.clear()
            self._columns = None
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _evaluate(self, reader: Reader, where: str) -> npt.NDArray[np.int64]:
        # Imported on the first filter: a search without one loads neither DuckDB nor sqlglot nor Arrow.
        from imseek.search.where.column_cache import kinds_of
        from imseek.search.where.columns_and_functions import Source
        from imseek.search.where.compiler import compile_filter
        from imseek.search.where.duckdb_sandbox import connect, evaluate

        types = self._loader().types(reader)
        compiled = compile_filter(where, kinds_of(types))
        if self._connection is None:
            self._connection = connect()
        column_reader = self._loader().read(reader, types)
        spent = 0.0
        id_parts = [np.empty(0, np.int64)]
        for group in _groups(reader.current.shards):
            # A table without columns would have no rows.
            ids, table = column_reader.table(group, compiled.inputs or (Source("id"),))
            began = time.monotonic()
            is_match = evaluate(
                self._connection, compiled.sql, compiled.parameters, table, began + self._seconds - spent
            )
            spent += time.monotonic() - began
            id_parts.append(ids[is_match])
        answer = np.concatenate(id_parts)
        return answer if np.all(answer[1:] > answer[:-1]) else np.sort(answer)

    def _loader(self) -> ColumnCache:
        from imseek.search.where.column_cache import ColumnCache

        if self._columns is None:
            self._columns = ColumnCache(self._memory)
        return self._columns

    def _forget(self) -> None:
        """Evict the oldest answers; the newest stays, whatever its size."""
        limit = self._memory // 4
        total = sum(ids.nbytes for ids in self._answers.values())
        while len(self._answers) > 1 and (total > limit or len(self._answers) > _MAX_CACHED_ANSWERS):
            _, evicted = self._answers.popitem(last=False)
            total -= evicted.nbytes


_MAX_CACHED_ANSWERS: Final = 256


def _groups(shards: Sequence[Shard]) -> Iterator[list[Shard]]:
    group: list[Shard] = []
    rows = 0
    for shard in shards:
        if group and rows + shard.rows > _ROWS_AT_ONCE:
            yield group
            group, rows = [], 0
        group.append(shard)
        rows += shard.rows
    if group:
        yield group
