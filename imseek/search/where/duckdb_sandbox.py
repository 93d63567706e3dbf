"""DuckDB with everything shut off that a filter has no use for: the second line, behind ``compiling``."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from imseek.errors import QueryError

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

#: What a query may take beside the columns, which belong to Arrow.
MEMORY: Final = "1GB"
_THREADS: Final = 4


def connect() -> duckdb.DuckDBPyConnection:
    """A database in memory that reads no file, loads no extension, sees no Python variable, and stays so.

    All but the last two settings are of the kind that a locked configuration keeps from being changed.
    """
    import duckdb

    settings: dict[str, Any] = {
        "threads": min(_THREADS, os.cpu_count() or 1),
        "memory_limit": MEMORY,
        "temp_directory": "",
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "python_enable_replacements": False,
        "max_expression_depth": 250,
    }
    connection = duckdb.connect(":memory:", config=settings)
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


def _interrupt(cursor: duckdb.DuckDBPyConnection) -> None:
    import duckdb

    with suppress(duckdb.Error):  # it may have ended and been closed just now
        cursor.interrupt()


def evaluate(
    connection: duckdb.DuckDBPyConnection,
    sql: str,
    parameters: Sequence[Any],
    table: pa.Table,
    deadline: float,
) -> npt.NDArray[np.bool_]:
    """(rows,) whether ``sql``, of BOOLEAN, is true of each row of ``table``, in its order; NULL counts as false.

    ``deadline`` is a time of ``time.monotonic``. Raises QueryError where a value makes the expression fail, or where
    it takes too much time or memory.
    """
    import duckdb

    cursor = connection.cursor()
    timer = threading.Timer(max(0.0, deadline - time.monotonic()), _interrupt, (cursor,))
    timer.daemon = True
    timer.start()
    try:
        cursor.register("facts", table)
        # Not in a WHERE: DuckDB would have Arrow compute parts of it, with other rules. Rows keep their order.
        query = f"SELECT coalesce({sql}, FALSE) AS kept FROM facts"  # noqa: S608 - from templates of ours alone
        kept = cursor.execute(query, list(parameters)).fetchnumpy()["kept"]
    except duckdb.InterruptException as error:
        raise QueryError("the filter takes too long", hint="a simpler one, or fewer patterns") from error
    except duckdb.OutOfMemoryException as error:
        raise QueryError(f"the filter takes more than {MEMORY} of memory") from error
    except duckdb.Error as error:
        told = str(error).partition("\n")[0].partition(" when casting from ")[0]
        raise QueryError(
            f"the filter cannot be computed: {''.join(c for c in told if c.isprintable())}",
            hint="TRY_CAST gives NULL where CAST fails",
        ) from error
    finally:
        timer.cancel()
        cursor.close()
    if len(kept) != table.num_rows:
        raise AssertionError(f"{len(kept)} answers for {table.num_rows} rows")
    return np.asarray(kept, np.bool_)
