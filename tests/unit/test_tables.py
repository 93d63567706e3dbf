"""Which column holds the pictures, and what rows of damaged, wide and odd tables become."""

from __future__ import annotations

import datetime
import decimal
import io
import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sourcing.tables import IMAGE_STRUCT, arrow_file, arrow_stream, csv_lines, parquet

from imseek.errors import MediaError, UsageError
from imseek.indexer.sources.column_roles import MAX_EXTRA, infer_roles
from imseek.indexer.sources.detect import source_kind
from imseek.indexer.sources.local_files import open_binary
from imseek.indexer.sources.tables import open_sheet
from imseek.indexer.sources.tables.base import Column, Kind, MalformedRow, Sheet
from imseek.indexer.sources.tables.text import parse_cell
from imseek.types.indexing_runs import SourceOptions


def text(*names: str) -> list[Column]:
    return [Column(name, Kind.TEXT) for name in names]


def opened(path: Path, data: bytes) -> Sheet:
    path.write_bytes(data)
    return open_sheet(os.fsencode(path), open_binary(os.fsencode(path)))


def rows_of(sheet: Sheet) -> list[Any]:
    with sheet:
        return [row for _, row in sheet.rows([column.name for column in sheet.columns])]


# -- roles -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "image", "names_files"),
    [
        ([Column("jpg", Kind.BYTES), *text("url", "caption")], "jpg", False),
        ([Column("Image", Kind.PICTURE), *text("path")], "Image", False),
        ([Column("content", Kind.BYTES), *text("caption")], "content", False),
        ([Column("content", Kind.BYTES), *text("url")], "url", False),
        ([Column("pixels", Kind.PICTURE, is_image=True), Column("jpg", Kind.BYTES)], "pixels", False),
        ([Column("mask", Kind.PICTURE, is_image=True), Column("image", Kind.PICTURE, is_image=True)], "image", False),
        (text("FILE_NAME", "caption", "url"), "FILE_NAME", True),
        (text("image_path", "file"), "image_path", True),
        (text("URL", "TEXT"), "URL", False),
        (text("image_url", "url"), "image_url", False),
    ],
)  # fmt: skip
def test_the_image_column_is_told_by_type_and_name(columns: list[Column], image: str, names_files: bool) -> None:
    roles = infer_roles(columns, SourceOptions())
    assert (roles.image.name, roles.names_files) == (image, names_files)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (text("name", "size"), r"no column of pictures.*columns: name, size"),
        (text("path", "filename"), r"'path' or 'filename'"),
        ([Column("a", Kind.BYTES), Column("b", Kind.BYTES)], r"'a' or 'b'; columns: a, b"),
        ([Column("left", Kind.PICTURE, is_image=True), Column("right", Kind.PICTURE, is_image=True)], "'left' or"),
        ([], "columns: none"),
    ],
)  # fmt: skip
def test_columns_that_do_not_tell_are_listed(columns: list[Column], message: str) -> None:
    with pytest.raises(UsageError, match=message) as raised:
        infer_roles(columns, SourceOptions())
    assert "--image-column" in (raised.value.hint or "")


def test_named_columns_go_before_the_usual_names() -> None:
    columns = [*text("path", "filename", "caption", "note"), Column("size", Kind.PLAIN)]
    roles = infer_roles(columns, SourceOptions(image_column="filename", caption_column="note"))
    assert (roles.image.name, roles.caption) == ("filename", "note")
    assert roles.extra == ("path", "caption", "size")
    for wrong in (
        SourceOptions(image_column="nothing"),
        SourceOptions(image_column="size"),
        SourceOptions(image_column="path", caption_column="nothing"),
    ):
        with pytest.raises(UsageError, match="columns: path, filename, caption, note, size"):
            infer_roles(columns, wrong)


def test_captions_by_their_usual_names() -> None:
    assert infer_roles(text("url", "title", "TEXT"), SourceOptions()).caption == "TEXT"
    assert infer_roles(text("url", "licence"), SourceOptions()).caption is None
    numbers = [*text("url"), Column("text", Kind.PLAIN)]
    assert infer_roles(numbers, SourceOptions()).caption is None


def test_what_is_left_out_is_said() -> None:
    wide = [Column(f"n{n}", Kind.PLAIN) for n in range(MAX_EXTRA + 6)]
    roles = infer_roles([*text("url"), Column("boxes", Kind.NESTED), *wide], SourceOptions())
    assert roles.extra == tuple(f"n{n}" for n in range(MAX_EXTRA))
    assert roles.notes == (
        "columns left out: boxes (nested)",
        f"the first {MAX_EXTRA} of {MAX_EXTRA + 6} further columns are kept",
    )


# -- rows ------------------------------------------------------------------------------------------------


def test_typed_columns_become_plain_values(tmp_path: Path) -> None:
    table = pa.table(
        {
            "day": pa.array([datetime.date(2024, 2, 29), None]),
            "nano": pa.array([1_700_000_000_123_456_789, 0], pa.timestamp("ns")),
            "zoned": pa.array([0, 1_000], pa.timestamp("ms", "Asia/Nowhere")),
            "far": pa.array([10**15, 0], pa.timestamp("s")),
            "price": pa.array([decimal.Decimal("1.50"), None]),
            "score": pa.array([float("nan"), 0.5]),
            "kind": pa.array(["cat", "dog"]).dictionary_encode(),
            "bad": pa.array([b"\xff\xfe", b"fine"]).view(pa.string()),
            "took": pa.array([datetime.timedelta(seconds=90), None]),
            "wide": pa.array(["text", None], pa.string_view()),
        }
    )
    sink = io.BytesIO()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    first, second = rows_of(opened(tmp_path / "a.arrow", sink.getvalue()))
    assert first == {
        "day": "2024-02-29", "nano": "2023-11-14T22:13:20.123456", "zoned": "1970-01-01T00:00:00+00:00",
        "far": None, "price": 1.5, "score": None, "kind": "cat", "bad": None, "took": 90.0, "wide": "text",
    }  # fmt: skip
    assert (second["far"], second["bad"], second["score"]) == ("1970-01-01T00:00:00", "fine", 0.5)


def test_class_labels_are_named_by_the_schema(tmp_path: Path) -> None:
    features = {"image": {"_type": "Image"}, "label": {"_type": "ClassLabel", "names": ["cat", "dog"]}}
    table = pa.table({"image": pa.array([None] * 3, IMAGE_STRUCT), "label": [1, 0, -1]})
    table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    sink = io.BytesIO()
    pq.write_table(table, sink)
    sheet = opened(tmp_path / "a.parquet", sink.getvalue())
    assert sheet.columns == (
        Column("image", Kind.PICTURE, is_image=True),
        Column("label", Kind.PLAIN, labels=("cat", "dog")),
    )
    assert [row["label"] for row in rows_of(sheet)] == ["dog", "cat", None]


def test_csv_of_every_kind(tmp_path: Path) -> None:
    data = 'file_name;note\r\n\r\n a.jpg;"two\nlines; and more"\r\nb.jpg\r\nc.jpg;3;4\r\n'.encode("utf-8-sig")
    first, short, long = rows_of(opened(tmp_path / "a.csv", data))
    assert first == {"file_name": " a.jpg", "note": "two\nlines; and more"}
    assert short == MalformedRow("1 fields, where the header has 2")
    assert long == MalformedRow("3 fields, where the header has 2")
    with opened(tmp_path / "a.csv", data) as sheet:
        assert [number for number, _ in sheet.rows(["note"], 1)] == [1, 2]
    tabs = rows_of(opened(tmp_path / "a.tsv", b"file_name\tnote\na,b.jpg\tx\n"))
    assert tabs == [{"file_name": "a,b.jpg", "note": "x"}]
    latin = rows_of(opened(tmp_path / "b.csv", b"file_name\n\xe9t\xe9.jpg\n"))
    assert os.fsencode(latin[0]["file_name"]) == b"\xe9t\xe9.jpg"
    quoted = b'file_name,note\na.jpg,"' + b"x" * 200_000 + b'"\nb.jpg,y\n'
    broken, sound = rows_of(opened(tmp_path / "c.csv", quoted))
    assert isinstance(broken, MalformedRow)
    assert sound == {"file_name": "b.jpg", "note": "y"}
    with pytest.raises(MediaError, match="UTF-16"):
        opened(tmp_path / "d.csv", "file_name\n".encode("utf-16"))


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("", None), ("12", 12), ("-3", -3), ("0", 0), ("007", "007"), ("1.5", 1.5), ("1e5", "1e5"), ("true", True),
        ("nan", "nan"), ("12345678901234567890", "12345678901234567890"), ("2.5e3", 2500.0), ("+1", "+1"),
    ],
)  # fmt: skip
def test_cells_of_csv_are_values_only_where_nothing_is_lost(cell: str, value: object) -> None:
    assert parse_cell(cell) == value
    assert type(parse_cell(cell)) is type(value)


def test_json_lines_of_every_kind(tmp_path: Path) -> None:
    data = b'{"url": "http://a/1", "n": 1}\n\n{"url": "http://a/2", "n": NaN, "b": {"c": 1}}\n[1]\n{"url": \n'
    sheet = opened(tmp_path / "a.jsonl", data)
    assert sheet.columns == (Column("url", Kind.TEXT), Column("n", Kind.PLAIN), Column("b", Kind.NESTED))
    assert sheet.scalar(float("nan")) is None
    first, second, third, fourth = rows_of(sheet)
    assert first == {"url": "http://a/1", "n": 1, "b": None}
    assert second["url"] == "http://a/2"
    assert third == MalformedRow("the line is not a JSON object")
    assert isinstance(fourth, MalformedRow)
    with opened(tmp_path / "b.jsonl", b'{"image": {"bytes": null, "path": "a.png"}, "t": ["a", "b"]}\n') as saved:
        assert saved.columns == (Column("image", Kind.PICTURE), Column("t", Kind.TEXTS))
        assert not saved.has_bytes("image")
    with opened(tmp_path / "c.jsonl", b'{"a": 1, "b": 1}\n{"a": "x", "b": []}\n') as mixed:
        assert [column.kind for column in mixed.columns] == [Kind.TEXT, Kind.NESTED]


@pytest.mark.parametrize(("name", "save"), [("a.arrow", arrow_stream), ("a.feather", arrow_file), ("a.pq", parquet)])
def test_rows_from_any_one_on(tmp_path: Path, name: str, save: Any) -> None:
    rows = [{"image": bytes([n]) * 9, "n": n} for n in range(7)]
    with opened(tmp_path / name, save(rows)) as sheet:
        for start in range(9):
            assert list(sheet.rows(["image", "n"], start)) == list(enumerate(rows))[start:]
        # A look further down may come between.
        walking = sheet.rows(["n"])
        assert next(walking) == (0, {"n": 0})
        assert next(sheet.rows(["n"], 5)) == (5, {"n": 5})
        assert next(walking) == (1, {"n": 1})


@pytest.mark.parametrize(("name", "save"), [("a.arrow", arrow_stream), ("a.feather", arrow_file), ("a.pq", parquet)])
@pytest.mark.parametrize("damage", ["cut", "scribbled", "zeros"])
def test_damage_is_a_media_error(tmp_path: Path, name: str, save: Any, damage: str) -> None:
    data = save([{"image": os.urandom(3000), "n": n} for n in range(7)])
    middle = len(data) // 2
    if damage == "cut":
        data = data[:middle]
    else:
        data = data[:8] + (os.urandom if damage == "scribbled" else bytes)(len(data) - 8)
    with pytest.raises(MediaError) as raised:
        rows_of(opened(tmp_path / name, data))
    assert raised.value.reason == "corrupt"


def test_old_feather_and_empty_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="Feather version 1"):
        opened(tmp_path / "a.feather", b"FEA1" + bytes(20))
    with pytest.raises(MediaError, match="empty"):
        opened(tmp_path / "a.csv", b"")


def test_a_large_row_group_is_read_a_few_rows_at_a_time(tmp_path: Path) -> None:
    """64 MiB in one row group, and pages as small as their writer allows: some 8 MiB are in memory at once."""
    pictures = pa.array([os.urandom(1 << 20) for _ in range(64)])
    path = tmp_path / "large.parquet"
    pq.write_table(
        pa.table({"image": pictures}), path, compression="none", use_dictionary=False, write_batch_size=1,
        write_statistics=False,
    )  # fmt: skip
    del pictures
    assert pq.ParquetFile(path).metadata.num_row_groups == 1
    before = pa.total_allocated_bytes()
    peak = 0
    with open_sheet(os.fsencode(path), open_binary(os.fsencode(path))) as sheet:
        for _number, row in sheet.rows(["image"]):
            peak = max(peak, pa.total_allocated_bytes() - before)
            assert len(row["image"]) == 1 << 20  # type: ignore[index]
    assert 0 < peak < 32 << 20


# -- what a folder is ------------------------------------------------------------------------------------


def test_folders_of_tables_are_told_from_their_names(tmp_path: Path) -> None:
    def folder(name: str, *files: str) -> bytes:
        for file in files:
            path = tmp_path / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return os.fsencode(tmp_path / name)

    assert source_kind(folder("hub", "README.md", ".gitattributes", "data/train-0.parquet")) == "table"
    assert source_kind(folder("saved", "dataset_dict.json", "train/data-0.arrow", "train/state.json")) == "table"
    assert source_kind(folder("flat", "a.csv", "LICENSE")) == "table"
    assert source_kind(folder("pictures", "a.jpg", "list.csv")) == "folder"
    assert source_kind(folder("deep", "a.csv", "pictures/a.jpg")) == "folder"
    assert source_kind(folder("split", "train/a.jpg", "train/a.csv")) == "folder"
    assert source_kind(folder("labelled", "train/cat/a.jpg", "metadata.csv")) == "imagefolder"
    assert source_kind(folder("words", "README.md", "notes.txt")) == "folder"


def test_rows_that_no_header_describes(tmp_path: Path) -> None:
    """More columns than the header names are the fault of the row, and the rest is read."""
    data = csv_lines([{"file_name": "a.jpg"}, {"file_name": "b.jpg"}]) + b"c.jpg,extra\n"
    assert [isinstance(row, MalformedRow) for row in rows_of(opened(tmp_path / "a.csv", data))] == [
        False,
        False,
        True,
    ]
