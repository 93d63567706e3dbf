"""Tables and image folders for the contract suite: the same pictures in every form in which rows hold or name them."""

from __future__ import annotations

import csv
import functools
import hashlib
import io
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq

from imseek.testing.sources import Picture
from imseek.types.indexing_runs import SourceOptions
from sourcing.web import WebServer

Rows: TypeAlias = list[dict[str, Any]]

IMAGE_STRUCT: Final = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


@dataclass(frozen=True)
class TableCase:
    """One table. ``save`` turns rows into the bytes of its file; ``cell`` makes the cell that stands for a picture."""

    name: str
    file: str
    save: Callable[[Rows], bytes]
    cell: Callable[[Path, str, Picture], Any]
    column: str
    named: bool = False
    options: SourceOptions | None = None
    tells: bool = True
    numbered: bool = True
    opens: bool = True

    def write(self, at: Path, pictures: Mapping[str, Picture]) -> Path:
        folder = at / "tables"
        folder.mkdir(exist_ok=True)
        rows = [
            {self.column: self.cell(at, name, picture), "caption": picture.caption, **picture.extra}
            for name, picture in pictures.items()
        ]
        replace_if_other(folder / self.file, self.save(rows))
        return folder / self.file

    def lose(self, at: Path) -> None:
        shutil.rmtree(at / "tables")


@dataclass(frozen=True)
class TableFolderCase:
    """Two Parquet files in ``data/``, as a data set on a hub."""

    name: str = "folder of Parquet"
    options: SourceOptions | None = None
    tells: bool = True
    numbered: bool = True
    opens: bool = True
    named: bool = False

    def write(self, at: Path, pictures: Mapping[str, Picture]) -> Path:
        data = at / "dataset" / "data"
        data.mkdir(parents=True, exist_ok=True)
        (at / "dataset" / "README.md").write_text("# A data set\n")
        rows = [{"image": picture.data, "caption": picture.caption, **picture.extra} for picture in pictures.values()]
        replace_if_other(data / "train-00000-of-00002.parquet", parquet(rows[:2]))
        replace_if_other(data / "train-00001-of-00002.parquet", parquet(rows[2:]))
        return at / "dataset"

    def lose(self, at: Path) -> None:
        shutil.rmtree(at / "dataset")


@dataclass(frozen=True)
class ImageFolderCase:
    name: str = "imagefolder"
    options: SourceOptions | None = None
    tells: bool = True
    numbered: bool = False
    opens: bool = True
    named: bool = True

    def write(self, at: Path, pictures: Mapping[str, Picture]) -> Path:
        folder = at / "labelled"
        (folder / "train").mkdir(parents=True, exist_ok=True)
        wanted = {f"train/{name}": picture.data for name, picture in pictures.items()}
        rows = [{"file_name": name, "text": picture.caption, **picture.extra} for name, picture in pictures.items()]
        wanted["train/metadata.jsonl"] = json_lines(rows)
        replace_files(folder, wanted)
        return folder

    def lose(self, at: Path) -> None:
        shutil.rmtree(at / "labelled")


def replace_if_other(path: Path, data: bytes) -> None:
    if not path.exists() or path.read_bytes() != data:
        path.write_bytes(data)


def replace_files(folder: Path, wanted: Mapping[str, bytes]) -> None:
    """Only what differs is written, so that the rest keeps its times."""
    for path in folder.rglob("*"):
        if path.is_file() and str(path.relative_to(folder)) not in wanted:
            path.unlink()
    for name, data in wanted.items():
        replace_if_other(folder / name, data)


def table(rows: Rows, **types: pa.DataType) -> pa.Table:
    names = dict.fromkeys(name for row in rows for name in row)
    return pa.table({n: pa.array([row.get(n) for row in rows], types.get(n)) for n in names})


def parquet(rows: Rows, **types: pa.DataType) -> bytes:
    """Row groups of two rows, so that there are several."""
    sink = io.BytesIO()
    pq.write_table(table(rows, **types) if rows else EMPTY, sink, row_group_size=2)
    return sink.getvalue()


def parquet_of_datasets(rows: Rows) -> bytes:
    """As the library ``datasets`` writes it: a struct, and in the schema what it is."""
    made = table(rows, image=IMAGE_STRUCT)
    features = {"info": {"features": {"image": {"_type": "Image"}}}}
    sink = io.BytesIO()
    pq.write_table(made.replace_schema_metadata({"huggingface": json.dumps(features)}), sink, row_group_size=2)
    return sink.getvalue()


def arrow_file(rows: Rows) -> bytes:
    sink = io.BytesIO()
    feather.write_feather(table(rows), sink, compression="lz4", chunksize=2)
    return sink.getvalue()


def arrow_stream(rows: Rows) -> bytes:
    made = table(rows)
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, made.schema) as writer:
        writer.write_table(made, max_chunksize=2)
    return sink.getvalue()


def csv_lines(rows: Rows) -> bytes:
    sink = io.StringIO()
    writer = csv.DictWriter(sink, list(dict.fromkeys(name for row in rows for name in row)))
    writer.writeheader()
    writer.writerows(rows)
    return sink.getvalue().encode("utf-8-sig")


def json_lines(rows: Rows) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def _beside(at: Path, name: str, picture: Picture) -> str:
    """The picture as a file; one of this name that is not named any more just stays, as it may in real folders."""
    path = at / "tables" / "files" / name
    path.parent.mkdir(exist_ok=True)
    replace_if_other(path, picture.data)
    return f"files/{name}"


@functools.cache
def _server() -> WebServer:
    """One for all tests; its thread ends with the process."""
    return WebServer().__enter__()


def _served(at: Path, name: str, picture: Picture) -> str:
    """Other content is at another address, since what was fetched is not asked for again."""
    path = f"{at.name}/{hashlib.sha256(picture.data).hexdigest()[:8]}-{name}"
    _server().pages[path] = picture.data
    return _server().url(path)


EMPTY: Final = pa.table({"image": pa.array([], pa.binary())})

TABLES: Final[list[TableCase | TableFolderCase | ImageFolderCase]] = [
    TableCase("Parquet", "a.parquet", parquet, lambda _, __, p: p.data, "image"),
    TableCase(
        "Parquet of datasets",
        "b.parquet",
        parquet_of_datasets,
        lambda _, name, p: {"bytes": p.data, "path": name},
        "image",
    ),
    TableCase("Arrow file", "a.feather", arrow_file, lambda _, __, p: p.data, "jpg"),
    TableCase("Arrow stream", "a.arrow", arrow_stream, lambda _, __, p: p.data, "image_bytes"),
    TableCase("CSV of paths", "a.csv", csv_lines, _beside, "file_name", named=True),
    TableCase("JSON Lines of paths", "a.jsonl", json_lines, _beside, "image", named=True),
    TableCase(
        "Parquet of URLs",
        "urls.parquet",
        parquet,
        _served,
        "url",
        named=True,
        options=SourceOptions(allow_private=True),
    ),
    TableFolderCase(),
    ImageFolderCase(),
]
