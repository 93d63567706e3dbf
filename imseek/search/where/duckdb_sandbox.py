"""Run filters in a DuckDB with every unneeded feature disabled: the second line of defence, behind ``compiler``."""

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
from imseek.search.where.constants import IGNORE_CASE

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

#: Memory limit of a query, without the columns, which belong to Arrow.
MEMORY: Final = "1GB"
_THREADS: Final = 4


def connect() -> duckdb.DuckDBPyConnection:
    """Open a locked in-memory database that reads no file, loads no extension and sees no Python variable.

    The locked configuration prevents later changes to all settings except the last two.
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

    with suppress(duckdb.Error):  # it may just have ended and been closed
        cursor.interrupt()


def evaluate(
    connection: duckdb.DuckDBPyConnection,
    sql: str,
    parameters: Sequence[Any],
    table: pa.Table,
    deadline: float,
) -> npt.NDArray[np.bool_]:
    """Return (rows,) bool: whether ``sql``, a BOOLEAN, is true for each row of ``table``, in order.

    NULL counts as false. ``deadline`` is a time of ``time.monotonic``. Raises QueryError if a value makes the
    expression fail, or if it takes too much time or memory.
    """
    import duckdb

    cursor = connection.cursor()
    timer = threading.Timer(max(0.0, deadline - time.monotonic()), _interrupt, (cursor,))
    timer.daemon = True
    timer.start()
    try:
        cursor.register("facts", table)
        # Not in a WHERE: DuckDB would let Arrow compute parts of it, with other rules. Rows keep their order.
        query = f"SELECT coalesce({sql}, FALSE) AS kept FROM facts"  # noqa: S608 - from templates of ours alone
        mask = cursor.execute(query, list(parameters)).fetchnumpy()["kept"]
    except duckdb.InterruptException as error:
        raise QueryError("the filter takes too long", hint="use a simpler filter, or fewer patterns") from error
    except duckdb.OutOfMemoryException as error:
        raise QueryError(f"the filter takes more than {MEMORY} of memory") from error
    except duckdb.Error as error:
        reason = str(error).partition("\n")[0].partition(" when casting from ")[0].replace(IGNORE_CASE, "")
        hint = "patterns follow RE2: a bracket is \\(, a dot \\."
        if not isinstance(error, duckdb.InvalidInputException):
            hint = "TRY_CAST gives NULL where CAST fails"
        raise QueryError(
            f"the filter cannot be computed: {''.join(c for c in reason if c.isprintable())}", hint=hint
        ) from error
    finally:
        timer.cancel()
        cursor.close()
    if len(mask) != table.num_rows:
        raise AssertionError(f"{len(mask)} answers for {table.num_rows} rows")
    return np.asarray(mask, np.bool_)
