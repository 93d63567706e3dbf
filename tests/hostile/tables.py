"""Lies in Parquet files: schemas, values and row counts that are not what a collection holds."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hostile.forge import Forge
from hostile.lies import Lie, Tell, gather

Make: TypeAlias = Callable[[pa.Table], bytes]


def table_lies(files: Mapping[str, str]) -> list[Lie]:
    """Lies about Parquet files, a path for each kind."""
    lies = []
    for kind, name in files.items():
        triples = [(lie, label, _replacing(name, make)) for lie, label, make in _lies()]
        for one in gather(kind, triples, family="tables"):
            free = _PLAUSIBLE if kind == "metadata" else _PLAUSIBLE | {"hash", "wrong type", "missing column"}
            lies.append(replace(one, verify=one.name not in free, slow=one.name == "bomb"))
    return lies


#: Lies about tables that may be true: columns of sources and of users have any name and hold any text.
_PLAUSIBLE: Final = frozenset({"odd text", "column names", "metadata", "row groups", "bomb", "a column less"})


def _replacing(name: str, make: Make) -> Tell:
    def tell(forge: Forge) -> None:
        with pq.ParquetFile(forge.mirror(name)) as file:
            sound = file.read()
        forge.replace(name, make(sound))

    return tell


def parquet(table: pa.Table, **options: Any) -> bytes:
    """A table as a Parquet file."""
    out = io.BytesIO()
    pq.write_table(table, out, **options)
    return out.getvalue()


def _with(table: pa.Table, name: str, values: Any) -> pa.Table:
    if name not in table.column_names:
        return table.append_column(name, values)
    return table.set_column(table.column_names.index(name), name, values)


def _ids(table: pa.Table, make: Callable[[int], Any], kind: pa.DataType | None = None) -> bytes:
    values = pa.array([make(n) for n in range(len(table))], kind)
    return parquet(_with(table, "image_id", values))


def _lies() -> Iterator[tuple[str, str, Make]]:
    yield "missing column", "image_id", lambda t: parquet(t.drop_columns(["image_id"]))
    yield "missing column", "all but image_id", lambda t: parquet(t.select(["image_id"]))
    yield "a column less", "last", lambda t: parquet(t.select(t.column_names[:-1]))
    yield "missing column", "all", lambda _: parquet(pa.table({}))
    yield "ids", "text", lambda t: _ids(t, str)
    yield "ids", "null", lambda t: _ids(t, lambda _: None, pa.int64())
    yield "ids", "negative", lambda t: _ids(t, lambda n: n - 2**62)
    yield "ids", "huge", lambda t: _ids(t, lambda n: 2**63 - 1 - n)
    yield "ids", "twice", lambda t: _ids(t, lambda _: 0)
    yield "ids", "fractions", lambda t: _ids(t, float)
    yield "ids", "lists", lambda t: _ids(t, lambda n: [n])
    yield "rows", "fewer", lambda t: parquet(t.slice(1))
    yield "rows", "none", lambda t: parquet(t.slice(0, 0))
    yield "rows", "twice", lambda t: parquet(pa.concat_tables([t, t]))
    yield "row groups", "of one", lambda t: parquet(t, row_group_size=1)
    yield "wrong type", "all text", lambda t: parquet(_all(t, lambda n: str(n)))
    yield "wrong type", "all binary", lambda t: parquet(_all(t, lambda n: b"\xff" * 3))
    yield "wrong type", "all null", lambda t: parquet(_all(t, lambda _: None))
    yield "wrong type", "all lists", lambda t: parquet(_all(t, lambda n: [n, n]))
    yield "wrong type", "all structs", lambda t: parquet(_all(t, lambda n: {"a": n}))
    yield "wrong type", "all huge", lambda t: parquet(_all(t, lambda _: 2**63 - 1))
    yield "wrong type", "all NaN", lambda t: parquet(_all(t, lambda _: float("nan")))
    yield "wrong type", "all negative", lambda t: parquet(_all(t, lambda _: -1))
    yield "hash", "short", lambda t: parquet(_if_there(t, "content_hash", b"x"))
    yield "hash", "text", lambda t: parquet(_if_there(t, "content_hash", "x" * 32))
    yield "odd text", "escapes", lambda t: parquet(_texts(t, "\x1b]0;x\x07\x1b[2J\0\n"))
    yield "odd text", "long", lambda t: parquet(_texts(t, "x" * 3_000_000))
    yield "odd text", "paths", lambda t: parquet(_texts(t, "../../../home/thesis.txt"))
    yield "odd text", "URLs", lambda t: parquet(_texts(t, "http://127.0.0.1:1/x"))
    yield (
        "columns twice",
        "first",
        lambda t: parquet(pa.table([*t.columns, t.column(0)], [*t.column_names, t.column_names[0]])),
    )
    yield (
        "column names",
        "odd",
        lambda t: parquet(_with_columns(t, ["\x1b[2J", "a\0b", "'; DROP TABLE x; --", "../../x", "", "x" * 70_000])),
    )
    yield (
        "column names",
        "reserved",
        lambda t: parquet(_with_columns(t, ["path", "tags", "rowid", "select", "caption", "file"])),
    )
    yield "column names", "thousand", lambda t: parquet(_with_columns(t, [f"c{n}" for n in range(1000)]))
    yield "metadata", "schema of nothing", lambda t: _metadata(t, {b"ARROW:schema": b"nonsense"})
    yield "metadata", "pandas", lambda t: _metadata(t, {b"pandas": b'{"index_columns": ["../x"]}'})
    yield "metadata", "extension type", _extension
    yield "bytes", "footer beyond", lambda t: parquet(t)[:-8] + b"\xff\xff\xff\x7fPAR1"
    yield "bytes", "footer of nothing", lambda _: b"PAR1" + bytes(100) + (100).to_bytes(4, "little") + b"PAR1"
    yield "bytes", "pages", lambda t: _noise(parquet(t))
    yield "bytes", "encrypted footer", lambda t: parquet(t)[:-4] + b"PARE"
    yield "bomb", "rows", _bomb
    yield "bomb", "text", _large_text


def _all(table: pa.Table, make: Callable[[int], Any]) -> pa.Table:
    """Every column but that of ids columns of other values."""
    columns = {"image_id": table["image_id"]} if "image_id" in table.column_names else {}
    for name in table.column_names:
        if name != "image_id":
            columns[name] = pa.array([make(n) for n in range(len(table))])
    return pa.table(columns)


def _if_there(table: pa.Table, name: str, value: Any) -> pa.Table:
    return _with(table, name, pa.array([value] * len(table)))


def _texts(table: pa.Table, text: str) -> pa.Table:
    for field in table.schema:
        if pa.types.is_string(field.type):
            table = _with(table, field.name, pa.array([text] * len(table)))
    return _with(table, "label", pa.array([text] * len(table)))


def _with_columns(table: pa.Table, names: list[str]) -> pa.Table:
    for name in names:
        table = _with(table, name, pa.array(range(len(table))))
    return table


def _metadata(table: pa.Table, more: dict[bytes, bytes]) -> bytes:
    return parquet(table.replace_schema_metadata(more), store_schema=b"ARROW:schema" not in more)


def _extension(table: pa.Table) -> bytes:
    """A column of the extension type that old versions of Arrow unpickled (CVE-2023-47248)."""
    payload = b"cos\nsystem\n(S'mkdir unpickled'\ntR."
    field = pa.field(
        "more",
        pa.int64(),
        metadata={
            b"ARROW:extension:name": b"arrow.py_extension_type",
            b"ARROW:extension:metadata": payload,
        },
    )
    values = pa.array(range(len(table)), pa.int64())
    return parquet(table.append_column(field, values))


def _noise(data: bytes) -> bytes:
    middle = bytes((7 * n) % 251 for n in range(len(data) // 2))
    return data[:4] + middle + data[4 + len(middle) :]


def _bomb(_: pa.Table) -> bytes:
    """Fifty million rows in a few kilobytes."""
    ids = pa.array(np.zeros(50_000_000, np.int64))
    return parquet(pa.table({"image_id": ids}), compression="zstd", row_group_size=50_000_000)


def _large_text(table: pa.Table) -> bytes:
    """A text of 100 MB in every row, which the file has once."""
    texts = pa.DictionaryArray.from_arrays(pa.array([0] * len(table)), pa.array(["x" * 100_000_000]))
    return parquet(_with(table, "label", texts), store_schema=False, dictionary_pagesize_limit=1 << 30)
