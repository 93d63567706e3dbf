"""Shard files: Parquet metadata and float16 vectors, row-aligned, sorted by image id, immutable."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from imseek.data import layout
from imseek.data.files import durable_files
from imseek.data.files.collection_files import damaged_file_error, open_file
from imseek.data.files.parquet_reader import may_unpack, open_table
from imseek.types.pictures import ImageFacts

#: Rows per Parquet row group: reading ten hits in a shard of a million rows decodes at most ten groups.
ROW_GROUP = 4096
#: The most rows of a float16 matrix that are in memory at a time.
BLOCK_ROWS = 16_384

#: The fields of :class:`imseek.types.Luma`. Shards written before these columns were introduced lack them.
LUMA_COLUMNS = pa.schema(
    [pa.field(f"luma_{name}", pa.float64()) for name in ("mean", "sd", "dark", "bright", "edges", "blur")]
)

#: The intrinsic columns. All others are ``extra`` columns of a source, typed by their values: see `column_of`.
INTRINSIC_SCHEMA = pa.schema(
    [
        pa.field("image_id", pa.int64(), nullable=False),
        pa.field("content_hash", pa.binary(32), nullable=False),
        pa.field("width", pa.int32(), nullable=False),
        pa.field("height", pa.int32(), nullable=False),
        pa.field("format", pa.string(), nullable=False),
        pa.field("mode", pa.string(), nullable=False),
        pa.field("frames", pa.int32(), nullable=False),
        pa.field("bytes", pa.int64(), nullable=False),
        pa.field("phash", pa.uint64(), nullable=False),
        pa.field("orientation", pa.int8(), nullable=False),
        # As the camera's clock showed it; the zone, where EXIF states one, in minutes east of UTC.
        pa.field("taken_at", pa.timestamp("ms")),
        pa.field("taken_at_zone", pa.int16()),
        pa.field("camera", pa.string()),
        pa.field("lens", pa.string()),
        pa.field("latitude", pa.float64()),
        pa.field("longitude", pa.float64()),
        pa.field("caption", pa.string()),
        *LUMA_COLUMNS,
    ]
)


#: Annotations besides the caption, as people and programs give them. They are stored as ``extra`` columns are, since
#: tables and older collections have columns of these names; a collection whose pictures have none lacks them.
ANNOTATION_COLUMNS = pa.schema(
    [
        pa.field("title", pa.string()),
        pa.field("keywords", pa.string()),
        pa.field("people", pa.string()),
        pa.field("rating", pa.int64()),
        pa.field("colour_label", pa.string()),
    ]
)
#: The columns of the set of annotations from sidecars.
SIDECAR_SCHEMA = pa.schema([INTRINSIC_SCHEMA.field("caption"), *ANNOTATION_COLUMNS])
#: Columns of lists of texts, stored as text with one entry a line: entries have no line breaks.
LIST_COLUMNS = ("keywords", "people")
#: Names of :mod:`imseek.ocr` that no ``extra`` column gets: one file beside a picture would turn it off for all others.
#: Tables may have a ``text``.
OCR_NAMES = ("has_text", "text_lines")


def row_of(facts: ImageFacts, content_hash: bytes, size: int) -> dict[str, Any]:
    """Build the metadata row of an image, without its id."""
    taken_at, zone = _split_time(facts.taken_at)
    row: dict[str, Any] = {
        "content_hash": content_hash,
        "width": facts.width,
        "height": facts.height,
        "format": facts.format,
        "mode": facts.mode,
        "frames": facts.frames,
        "bytes": size,
        "phash": facts.phash,
        "orientation": facts.orientation,
        "taken_at": taken_at,
        "taken_at_zone": zone,
        "camera": facts.camera,
        "lens": facts.lens,
        "latitude": facts.latitude,
        "longitude": facts.longitude,
        "caption": facts.caption,
    }
    if facts.luma is not None:
        row.update((f"luma_{name}", value) for name, value in asdict(facts.luma).items())
    row.update(annotation_values({name: getattr(facts, name) for name in ANNOTATION_COLUMNS.names}))
    row.update((extra_name(name), value) for name, value in facts.extra.items())
    return row


def annotation_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the annotations that are stated, lists as lists."""
    filled = ((name, value) for name, value in values.items() if value not in (None, ()))
    return {name: list(value) if isinstance(value, tuple) else value for name, value in filled}


def entries_of(text: str) -> list[str]:
    """Return the entries of a list as it is stored."""
    return text.split("\n")


def extra_name(name: str) -> str:
    """Return the column name of an ``extra`` value: its own name, unless an intrinsic column or OCR has that."""
    return f"extra_{name}" if name in INTRINSIC_SCHEMA.names or name in OCR_NAMES else name


def table_of(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Build a table from rows that include ``image_id``: intrinsic columns first, then extra ones by name.

    An extra column without any value is left out.
    """
    extras = sorted({name for row in rows for name, value in row.items() if value is not None})
    arrays = [pa.array([_python_value(row.get(field.name)) for row in rows], field.type) for field in INTRINSIC_SCHEMA]
    fields = [*INTRINSIC_SCHEMA]
    for name in extras:
        if name not in INTRINSIC_SCHEMA.names:
            arrays.append(column_of([row.get(name) for row in rows]))
            fields.append(pa.field(name, arrays[-1].type))
    return pa.table(arrays, schema=pa.schema(fields))


def column_of(values: Sequence[Any], kind: pa.DataType | None = None) -> pa.Array:
    """Build an extra or derived column, of the narrowest type that fits all values, or of type ``kind``.

    Types are bool, int64, float64 and text. Integers among floats become floats; any other mixture, or an integer
    beyond 64 bits, becomes text. So every value can be stored and columns of one name can always be merged. Raises
    TypeError for values of other types, such as bytes and dates.
    """
    values = [_python_value(value) for value in values]
    if kind is None:
        kind = common_type(_type_of(value) for value in values)
    if kind == pa.float64():
        values = [None if value is None else float(value) for value in values]
    elif kind == pa.string():
        values = [None if value is None else _text_of(value) for value in values]
    return pa.array(values, kind)


def common_type(kinds: Iterable[pa.DataType]) -> pa.DataType:
    """Return the narrowest type that fits values of all these types; null where there are none."""
    distinct = {str(kind): kind for kind in kinds if kind != pa.null()}
    if len(distinct) <= 1:
        return next(iter(distinct.values()), pa.null())
    return pa.float64() if set(distinct) == {"int64", "double"} else pa.string()


def concat_tables(tables: Sequence[pa.Table]) -> pa.Table:
    """Concatenate tables. A column that a table lacks is null there; types that differ are unified as in
    `column_of`."""
    names = dict.fromkeys(name for table in tables for name in table.column_names)
    fields = []
    for name in names:
        parts = [table.schema.field(name) for table in tables if name in table.column_names]
        # A field is in INTRINSIC for all tables or none, except MEASURES, which in old tables may be a source's own.
        fields.append(parts[0].with_type(common_type(part.type for part in parts)))
    schema = pa.schema(fields)
    return pa.concat_tables([conform_table(table, schema) for table in tables])


def conform_table(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Convert a table to ``schema``: missing columns become null, other types are converted as in `column_of`."""
    arrays = []
    for field in schema:
        if field.name not in table.column_names:
            arrays.append(pa.nulls(len(table), field.type))
        elif (column := table.column(field.name)).type == field.type:
            arrays.append(column)
        else:
            arrays.append(column_of(column.to_pylist(), field.type))
    return pa.table(arrays, schema=schema)


def _type_of(value: Any) -> pa.DataType:
    if value is None:
        return pa.null()
    if isinstance(value, bool):
        return pa.bool_()
    if isinstance(value, int):
        return pa.int64() if -(2**63) <= value < 2**63 else pa.string()
    if isinstance(value, float):
        return pa.float64()
    if isinstance(value, str):
        return pa.string()
    raise TypeError(f"a column holds str, int, float, bool or None, not {type(value).__name__}")


def _python_value(value: Any) -> Any:
    """Convert NumPy scalars to Python's types, lists to lines, and text to valid UTF-8: file names and EXIF may contain
    anything."""
    if isinstance(value, np.generic):
        value = value.item()
    elif isinstance(value, list) and all(isinstance(entry, str) for entry in value):
        value = "\n".join(value)
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value


def _text_of(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def block_rows(width: int) -> int:
    """Return how many rows of a float16 matrix are in memory at a time: at most 32 MB of them."""
    return min(BLOCK_ROWS, max(1, (1 << 24) // width))


@dataclass(frozen=True, slots=True)
class MatrixBlocks:
    """A float16 matrix that arrives in blocks of rows, so that it need not fit into memory."""

    rows: int
    width: int
    blocks: Iterator[npt.NDArray[np.float16]]

    def __len__(self) -> int:
        return self.rows


def write_table(path: Path, table: pa.Table) -> durable_files.FileDigest:
    """Stage a Parquet file, uncompressed if long repeated texts would make readers refuse the compressed one."""
    options = {"row_group_size": ROW_GROUP, "write_page_checksum": True}
    digest = durable_files.stage(path, lambda out: pq.write_table(table, out, compression="zstd", **options))
    if may_unpack(table.nbytes, digest.size):
        return digest
    uncompressed = {"compression": "none", "use_dictionary": False}
    return durable_files.stage(path, lambda out: pq.write_table(table, out, **uncompressed, **options))


def write_array(path: Path, array: npt.NDArray[Any] | MatrixBlocks) -> durable_files.FileDigest:
    """Stage a ``.npy`` file (version 1.0, C order)."""

    def write(out: Any) -> None:
        if isinstance(array, MatrixBlocks):
            shape = {"descr": "<f2", "fortran_order": False, "shape": (array.rows, array.width)}
            np.lib.format.write_array_header_1_0(out, shape)
            for block in array.blocks:
                out.write(np.ascontiguousarray(block, "<f2"))
        else:
            np.lib.format.write_array(out, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False)

    return durable_files.stage(path, write)


def read_rows(file: BinaryIO, rows: Sequence[int], columns: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """Read some rows of a Parquet file, in the order given, with all or some columns; nulls and the id are left out.

    This and the functions below take a file open for reading, and raise OSError where it is damaged.
    """
    with open_table(file) as table_file:
        return collect_rows(rows, lambda group: table_file.read_encoded(columns, [group]))


def collect_rows(rows: Sequence[int], read_group: Callable[[int], pa.Table]) -> list[dict[str, Any]]:
    """Convert rows to dictionaries as :func:`read_rows`; each row group that has one of them is read once.

    Raises IndexError for a row that its group does not have.
    """
    positions_by_group: dict[int, list[int]] = {}
    for position, row in enumerate(rows):
        positions_by_group.setdefault(row // ROW_GROUP, []).append(position)
    dictionaries: list[dict[str, Any]] = [{} for _ in rows]
    for group, positions in positions_by_group.items():
        table = read_group(group)
        places = [(dictionaries[position], rows[position] - group * ROW_GROUP) for position in positions]
        if (furthest := max(place for _, place in places)) >= table.num_rows:
            raise IndexError(f"row {furthest:,} of a row group of {table.num_rows:,}")
        # Not `take`: it would import pyarrow.compute, which costs a cold search about 50 ms. And value by value: a
        # slice of one row costs more than all its values.
        for name, column in zip(table.column_names, table.columns, strict=True):
            if name != "image_id" and column.null_count < len(column):
                for values, place in places:
                    if (value := column[place].as_py()) is not None:
                        values[name] = value
    return dictionaries


def read_table_rows(file: BinaryIO, rows: npt.NDArray[np.int64], columns: Sequence[str]) -> pa.Table:
    """Read columns of some rows (ascending) of a Parquet file. Only the row groups that contain them are read."""
    with open_table(file) as table_file:
        groups, first = np.unique(rows // ROW_GROUP, return_inverse=True)
        table = table_file.read(columns, groups.tolist())
    return table.take(pa.array(first * ROW_GROUP + rows % ROW_GROUP))


def read_texts(file: BinaryIO, column: str) -> Iterator[list[str | None]]:
    """Yield a text column, one row group at a time."""
    with open_table(file) as table_file:
        for group in range(table_file.groups):
            yield table_file.read([column], [group]).column(column).to_pylist()


def read_table(file: BinaryIO, columns: Sequence[str] | None = None) -> pa.Table:
    """Read all rows of a Parquet file, with all or some columns."""
    with open_table(file) as table_file:
        return table_file.read(columns)


def read_schema(file: BinaryIO) -> pa.Schema:
    """Read names and types of the columns of a Parquet file."""
    with open_table(file) as table_file:
        return table_file.schema


def load_table(root: Path, name: str, columns: Sequence[str] | None = None, *, rows: int | None = None) -> pa.Table:
    """Load a Parquet file of a collection as a table. Raises as ``open_file``, and DamagedFileError."""
    with open_file(root, name) as file:
        try:
            check_table(file, name, rows)
            return read_table(file, columns)
        except OSError as error:
            if error.errno is not None:  # From the operating system; Arrow's errors about damage have no errno.
                raise
            raise damaged_file_error(root, name, error) from error
        except (pa.ArrowException, ValueError, KeyError, TypeError) as error:
            raise damaged_file_error(root, name, error) from error


def check_table(file: BinaryIO, name: str, rows: int | None = None) -> None:
    """Raise ValueError where a Parquet file does not fit its ``name``, or does not have ``rows`` rows.

    It must have an id for each row. Intrinsic columns have their types, and metadata has all of them except the
    measures.
    """
    with open_table(file) as table_file:
        schema, count = table_file.schema, table_file.rows
    if "image_id" not in schema.names:
        raise ValueError("it has no ids")
    listed_file = layout.parse(name)
    is_metadata = listed_file is not None and listed_file.kind == "metadata"
    for field in INTRINSIC_SCHEMA:
        if field.name in LUMA_COLUMNS.names:
            continue
        if field.name not in schema.names:
            if is_metadata:
                raise ValueError(f"it has no column {field.name}")
        elif (kind := schema.field(field.name).type) != field.type:
            raise ValueError(f"its column {field.name} is {kind}, not {field.type}")
    if rows not in (None, count):
        raise ValueError(f"it has {count:,} rows, not {rows:,}")
    file.seek(0)


def to_json_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """Convert a row to JSON types: hashes to hex, lists to arrays, times to ISO 8601 with a zone where it is known."""
    json_row: dict[str, Any] = {k: v.hex() if isinstance(v, bytes) else v for k, v in row.items()}
    for name in LIST_COLUMNS:
        if isinstance(value := json_row.get(name), str):
            json_row[name] = entries_of(value)
    zone = json_row.pop("taken_at_zone", None)
    if (taken_at := json_row.get("taken_at")) is not None:
        if zone is not None:
            taken_at = taken_at.replace(tzinfo=timezone(timedelta(minutes=zone)))
        json_row["taken_at"] = taken_at.isoformat()
    return json_row


def _split_time(text: str | None) -> tuple[datetime | None, int | None]:
    if text is None:
        return None, None
    moment = datetime.fromisoformat(text)
    offset = moment.utcoffset()
    minutes = None if offset is None else round(offset.total_seconds() / 60)
    return moment.replace(tzinfo=None), minutes
