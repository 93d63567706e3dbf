"""Write the pairs kept by a caption filter to a file for other programs."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from imseek.errors import UsageError
from imseek.ui.cli.output_files import check_new, new_file, new_path

if TYPE_CHECKING:
    from imseek.captions import Pair

_COLUMNS: Final = ("image_id", "uid", "path", "score")
_ENDINGS: Final = (".parquet", ".csv", ".txt")
#: Rows written at a time.
_BATCH_ROWS: Final = 65536


def check(path: Path, *, force: bool) -> None:
    """Check the file name before long work. Raises UsageError."""
    if path.suffix not in _ENDINGS:
        raise UsageError(
            f"{path} has no ending that names a format",
            hint=f"its name ends with one of {', '.join(_ENDINGS)}",
        )
    check_new(path, force=force)


def write(path: Path, pairs: Iterable[Pair], *, force: bool) -> None:
    """Write the pairs in the format of the file extension; .txt has one path a line.

    Raises UsageError, ImseekError.
    """
    if path.suffix == ".parquet":
        with new_path(path, force=force) as temporary:
            _write_parquet(temporary, pairs)
        return
    with new_file(path, force=force) as file:
        if path.suffix == ".txt":
            file.writelines(f"{_path(pair)}\n" for pair in pairs)
        else:
            rows = csv.writer(file, lineterminator="\n")
            rows.writerow(_COLUMNS)
            rows.writerows((p.image_id, p.uid, _path(p), f"{p.score:.6f}") for p in pairs)


def _write_parquet(path: Path, pairs: Iterable[Pair]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = (pa.int64(), pa.string(), pa.string(), pa.float32())
    schema = pa.schema(list(zip(_COLUMNS, kinds, strict=True)))
    with pq.ParquetWriter(path, schema, compression="zstd") as out:
        for some in _batches(pairs):
            rows = [(p.image_id, p.uid, _text(_path(p)), p.score) for p in some]
            columns = [list(column) for column in zip(*rows, strict=True)]
            out.write_table(pa.table(columns, schema=schema))


def _batches(pairs: Iterable[Pair]) -> Iterator[list[Any]]:
    remaining = iter(pairs)
    while some := list(islice(remaining, _BATCH_ROWS)):
        yield some


def _path(pair: Pair) -> str:
    """Return the pair's path; empty if unknown."""
    return "" if pair.place is None else os.fsdecode(pair.place.path)


def _text(path: str) -> str:
    return path.encode("utf-8", "backslashreplace").decode()
