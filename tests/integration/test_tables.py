"""Tables and image folders, indexed: what rows come to that are empty, broken, moved, or name files that go away."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sourcing.tables import IMAGE_STRUCT, arrow_stream, csv_lines, json_lines, parquet, table
from sourcing.web import WebServer

import imseek
from imseek.data.catalog.catalog_writer import Source as CatalogSource
from imseek.data.catalog.sql import insert
from imseek.data.collection_records import FOREVER
from imseek.data.writing.writer import Writer
from imseek.encoders.fake import FakeEncoder
from imseek.errors import MediaError, UsageError
from imseek.indexer.decode_stage import LoadedPicture, Loader
from imseek.indexer.scan import Candidate
from imseek.indexer.source_selection import Target
from imseek.indexer.sources.base import Container, FoundImage
from imseek.indexer.sources.table import Table
from imseek.indexer.sources.tables.arrow import ParquetSheet
from imseek.indexer.stored_contents import StoredContents
from imseek.testing.sources import draw
from imseek.types.indexing_runs import SourceOptions


@pytest.fixture
def collection(tmp_path: Path, later: Callable[[float], None]) -> Iterator[imseek.Collection]:
    later(10)
    with imseek.create(tmp_path / "collection", encoder="fake") as made:
        yield made


def told(collection: imseek.Collection) -> dict[bytes, dict[str, Any]]:
    """Metadata by content."""
    hits = collection.search(np.ones(64), limit=100)
    return {collection.read(hit.image_id): dict(hit.metadata) for hit in hits}


def ids(collection: imseek.Collection) -> dict[bytes, int]:
    hits = collection.search(np.ones(64), limit=100, metadata=False)
    return {collection.read(hit.image_id): hit.image_id for hit in hits}


def reasons(report: imseek.IndexReport) -> list[str]:
    return [str(failure.reason) for failure in report.failures]


def tag(collection: imseek.Collection, image_id: int, name: str) -> None:
    values = {"image_id": image_id, "tag": name, "provenance": "by hand", "died": FOREVER}
    with Writer(collection.path, "test") as writer:
        writer.apply(lambda c, generation: insert(c, "tags", [{**values, "born": generation}]))


# -- columns ---------------------------------------------------------------------------------------------


def test_unclear_columns_are_an_error_and_nothing_is_recorded(tmp_path: Path, collection: imseek.Collection) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(csv_lines([{"path": "a.png", "filename": "b.png", "size": 3}]))
    with pytest.raises(UsageError, match=r"a\.csv: .*'path' or 'filename'; columns: path, filename, size"):
        collection.index([path])
    assert collection.info().sources == ()
    (tmp_path / "b.png").write_bytes(draw(1))
    report = collection.index([path], source=SourceOptions(image_column="filename"))
    assert (report.added, report.skipped) == (1, 0)
    assert told(collection)[draw(1)]["path"] == "a.png"
    assert told(collection)[draw(1)]["size"] == 3


def test_a_table_without_pictures_beside_others_is_skipped(tmp_path: Path, collection: imseek.Collection) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "a.parquet").write_bytes(parquet([{"image": draw(1)}]))
    (folder / "b.csv").write_bytes(b"name,age\nx,3\n")
    report = collection.index([folder])
    assert (report.added, reasons(report)) == (1, ["no_pictures"])
    again = collection.index()
    assert (again.unchanged, again.failures, again.generation) == (1, (), report.generation)
    (folder / "b.csv").write_bytes(b"file_name,age\nx.png,3\n")
    (folder / "x.png").write_bytes(draw(2))
    mended = collection.index()
    assert (mended.added, mended.skipped, collection.info().failures) == (1, 0, ())


def test_columns_that_are_not_kept_are_named(tmp_path: Path, collection: imseek.Collection) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(parquet([{"image": draw(1), "boxes": [[1, 2]], "mask": draw(2), "n": 1}]))
    report = collection.index([path])
    assert any(note.endswith("columns left out: boxes (nested), mask (bytes)") for note in report.notes)
    assert told(collection)[draw(1)]["n"] == 1


def test_globs_choose_among_tables(tmp_path: Path, collection: imseek.Collection) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    for n, name in enumerate(("train-0.parquet", "test-0.parquet")):
        (folder / name).write_bytes(parquet([{"image": draw(n)}]))
    assert collection.index([folder], source=SourceOptions(include=("train-*",))).live == 1
    assert collection.index([folder], source=SourceOptions(exclude=("train-*",))).live == 1
    assert ids(collection).keys() == {draw(1)}


@pytest.mark.parametrize("path", ["https://example.org/pictures", "one.png"])
def test_an_image_folder_is_a_folder(tmp_path: Path, collection: imseek.Collection, path: str) -> None:
    (tmp_path / "one.png").write_bytes(draw(1))
    given = path if "://" in path else tmp_path / path
    with pytest.raises(UsageError, match="is not a folder on this machine"):
        collection.index([given], source=SourceOptions(kind="imagefolder"))
    assert collection.info().sources == ()


# -- rows that hold pictures -----------------------------------------------------------------------------


def test_empty_cells_are_told_once(tmp_path: Path, collection: imseek.Collection) -> None:
    path = tmp_path / "a.parquet"
    rows = [{"jpg": draw(1)}, {"jpg": None}, {"jpg": b""}, {"jpg": draw(2)}]
    path.write_bytes(parquet(rows))
    report = collection.index([path])
    assert (report.added, reasons(report)) == (2, ["empty_file", "empty_file"])
    again = collection.index()
    assert (again.skipped, again.failures, again.generation) == (2, (), report.generation)
    path.write_bytes(parquet([{"jpg": None}, *rows[1:]]))
    emptied = collection.index()
    assert (emptied.removed, emptied.live, emptied.skipped) == (1, 1, 3)


def test_an_unchanged_table_is_not_read(
    tmp_path: Path, collection: imseek.Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(parquet([{"image": draw(n)} for n in range(3)]))
    collection.index([path])

    def read(self: ParquetSheet, names: Any) -> Any:
        raise AssertionError("its rows are read")

    monkeypatch.setattr(ParquetSheet, "rows", read)
    assert collection.index().unchanged == 3
    with pytest.raises(AssertionError, match="rows are read"):
        collection.index(rehash=True)


@pytest.mark.parametrize("save", [parquet, arrow_stream])
def test_rows_are_found_in_any_order(tmp_path: Path, save: Callable[[Any], bytes]) -> None:
    path = tmp_path / "a.table"
    path.write_bytes(save([{"image": b"%d" % n} for n in range(200)]))
    source = Table(os.fsencode(path), SourceOptions())
    for number in (0, 1, 5, 4, 199, 0, 90, 154, 155):
        assert source.load(source.find(b"\0%d" % number)).data == b"%d" % number
    with pytest.raises(MediaError, match="no such row"):
        source.find(b"\x00200")
    assert source.load(source.find(b"\x00199")).data == b"199"
    path.write_bytes(save([{"image": b"new"}]))
    assert source.load(source.find(b"\x000")).data == b"new"
    source.close()


def test_a_damaged_table_keeps_its_pictures(tmp_path: Path, collection: imseek.Collection) -> None:
    path = tmp_path / "a.parquet"
    sound = parquet([{"image": draw(n)} for n in range(3)])
    path.write_bytes(sound)
    collection.index([path])
    before = ids(collection)
    path.write_bytes(sound[: len(sound) // 2])
    report = collection.index()
    assert (report.removed, report.live, reasons(report)) == (0, 3, ["corrupt"])
    again = collection.index()
    assert (again.failures, again.skipped, again.generation) == ((), 1, report.generation)
    path.write_bytes(sound)
    mended = collection.index()
    assert (mended.unchanged, mended.skipped, ids(collection)) == (3, 0, before)
    assert collection.info().failures == ()


def test_tags_stay_with_their_picture_when_rows_move(tmp_path: Path, collection: imseek.Collection) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(parquet([{"image": draw(1)}, {"image": draw(2)}]))
    collection.index([path])
    before = ids(collection)
    tag(collection, before[draw(1)], "mine")
    path.write_bytes(parquet([{"image": draw(3)}, {"image": draw(1)}, {"image": draw(2)}]))
    report = collection.index()
    assert (report.moved, report.live) == (2, 3)
    now = ids(collection)
    assert now.items() >= before.items()
    assert {data: collection.get(image_id).tags for data, image_id in now.items()} == {
        draw(1): ("mine",), draw(2): (), draw(3): (),
    }  # fmt: skip


def test_labels_and_files_of_a_struct(tmp_path: Path, collection: imseek.Collection) -> None:
    """A data set that was saved without its pictures names files; a number stands for its label."""
    features = {"image": {"_type": "Image"}, "label": {"_type": "ClassLabel", "names": ["cat", "dog"]}}
    rows = [
        {"image": {"bytes": None, "path": "a.png"}, "label": 1},
        {"image": {"bytes": None, "path": "gone.png"}, "label": 0},
        {"image": {"bytes": None, "path": None}, "label": 0},
    ]
    made = table(rows, image=IMAGE_STRUCT).replace_schema_metadata(
        {"huggingface": json.dumps({"info": {"features": features}})}
    )
    pq.write_table(made, tmp_path / "a.parquet")
    with pa.ipc.new_stream(str(tmp_path / "b.arrow"), made.schema) as writer:
        writer.write_table(made)
    (tmp_path / "a.png").write_bytes(draw(1))
    for name in ("a.parquet", "b.arrow"):
        report = collection.index([tmp_path / name])
        assert (report.seen, report.skipped) == (1, 2)
        assert sorted(reasons(report)) == ["empty_file", "vanished"]
    assert told(collection)[draw(1)]["label"] == "dog"
    (tmp_path / "a.png").write_bytes(draw(2))
    assert collection.index().changed == 2


def test_one_table_of_a_folder(tmp_path: Path, collection: imseek.Collection) -> None:
    """A table in a folder that is a source is a part of it."""
    folder = tmp_path / "data"
    folder.mkdir()
    for name, seeds in (("a.parquet", (1, 2)), ("b.parquet", (3,))):
        (folder / name).write_bytes(parquet([{"image": draw(seed)} for seed in seeds]))
    collection.index([folder])
    (folder / "a.parquet").write_bytes(parquet([{"image": draw(1)}]))
    (folder / "b.parquet").write_bytes(parquet([{"image": draw(4)}]))
    report = collection.index([folder / "a.parquet"])
    assert (report.seen, report.removed, report.live) == (1, 1, 2)
    assert len(collection.info().sources) == 1
    assert collection.index().changed == 1


def test_what_waits_holds_no_bytes_of_rows(collection: imseek.Collection, tmp_path: Path) -> None:
    """Thousands of rows may wait until it is known what has moved; their pictures do not."""
    path = tmp_path / "a.parquet"
    path.write_bytes(parquet([{"image": draw(1), "caption": "one"}]))
    root = os.fsencode(path)
    source = Table(root, SourceOptions())
    (container,) = source.scan()
    assert isinstance(container, Container)
    (found,) = source.expand(container)
    assert isinstance(found, FoundImage)
    candidate = Candidate(Target(CatalogSource(1, "table", root, False), root), source, found, None)
    loaded = Loader({0: FakeEncoder()}, StoredContents(collection.path))(candidate)
    assert isinstance(loaded, LoadedPicture)
    assert (loaded.size, loaded.caption, loaded.candidate.image.where) == (len(draw(1)), "one", None)


# -- rows that name pictures -----------------------------------------------------------------------------


@pytest.fixture
def named(tmp_path: Path) -> Path:
    (tmp_path / "pictures").mkdir()
    rows = []
    for n in range(3):
        (tmp_path / "pictures" / f"{n}.png").write_bytes(draw(n))
        rows.append({"file_name": f"pictures/{n}.png", "caption": f"number {n}"})
    (tmp_path / "a.csv").write_bytes(csv_lines(rows))
    return tmp_path / "a.csv"


def test_files_that_rows_name_are_followed(named: Path, collection: imseek.Collection) -> None:
    pictures = named.parent / "pictures"
    first = collection.index([named])
    before = ids(collection)
    (pictures / "0.png").write_bytes(draw(10))
    changed = collection.index()
    assert (changed.changed, changed.unchanged, changed.files_opened) == (1, 2, 1)
    (pictures / "1.png").unlink()
    removed = collection.index()
    assert (removed.removed, removed.live) == (1, 2)
    told_once = collection.index()
    assert reasons(told_once) == ["vanished"]
    again = collection.index()
    assert (again.skipped, again.failures, again.generation) == (1, (), told_once.generation)
    (pictures / "1.png").write_bytes(draw(1))
    back = collection.index()
    assert (back.added, back.skipped, back.live) == (1, 0, 3)
    assert ids(collection)[draw(2)] == before[draw(2)]
    assert first.generation < changed.generation


def test_a_disk_that_is_not_mounted_loses_nothing(named: Path, collection: imseek.Collection) -> None:
    collection.index([named])
    before = ids(collection)
    shutil.move(named.parent / "pictures", named.parent / "elsewhere")
    report = collection.index()
    assert (report.removed, report.live) == (0, 3)
    (named.parent / "pictures").mkdir()
    empty = collection.index()
    assert (empty.removed, empty.live) == (0, 3)
    assert any("perhaps not mounted" in failure.message for failure in empty.failures)
    (named.parent / "pictures").rmdir()
    shutil.move(named.parent / "elsewhere", named.parent / "pictures")
    back = collection.index()
    assert (back.unchanged, back.skipped, ids(collection)) == (3, 0, before)
    assert collection.info().failures == ()


def test_paths_that_are_none(tmp_path: Path, collection: imseek.Collection) -> None:
    (tmp_path / "a.png").write_bytes(draw(1))
    (tmp_path / "folder").mkdir()
    rows = [{"file": str(tmp_path / "a.png")}, {"file": "folder"}, {"file": "x" * 9000}, {"file": "a\0b"}]
    rows += [{"file": "\ud800.png"}, {"file": ""}, {"file": 7}]  # type: ignore[dict-item]
    (tmp_path / "a.jsonl").write_bytes(json_lines(rows) + b"{")
    report = collection.index([tmp_path / "a.jsonl"], source=SourceOptions(image_column="file"))
    assert report.added == 1
    assert reasons(report) == [
        "not_a_file",
        "corrupt",
        "corrupt",
        "corrupt",
        "empty_file",
        "corrupt",
        "corrupt",
    ]


def test_addresses_are_fetched_once(tmp_path: Path, collection: imseek.Collection) -> None:
    path = tmp_path / "a.jsonl"
    with WebServer() as server:
        server.pages = {f"{n}.png": draw(n) for n in range(3)}
        rows = [{"url": server.url(f"{n}.png"), "TEXT": f"number {n}"} for n in range(3)]
        path.write_bytes(json_lines(rows[:2]))
        options = SourceOptions(allow_private=True)
        assert collection.index([path], source=options).added == 2
        path.write_bytes(json_lines([*rows, {"url": server.url("none.png"), "TEXT": ""}]))
        report = collection.index()
        assert (report.added, report.unchanged, reasons(report)) == (1, 2, ["fetch_failed"])
        assert sorted(server.asked).count("0.png") == 1
        asked = len(server.asked)
        assert collection.index().unchanged == 3
        assert len(server.asked) == asked
    hits = collection.search(draw(2), limit=1)
    assert (hits[0].metadata["caption"], hits[0].uri) == ("number 2", rows[2]["url"])


def test_addresses_of_the_local_network_are_refused(tmp_path: Path, collection: imseek.Collection) -> None:
    with WebServer() as server:
        server.pages = {"a.png": draw(1)}
        (tmp_path / "a.jsonl").write_bytes(json_lines([{"url": server.url("a.png")}]))
        report = collection.index([tmp_path / "a.jsonl"])
        assert (reasons(report), server.asked) == (["forbidden_address"], [])


# -- tables elsewhere ------------------------------------------------------------------------------------


def test_tables_elsewhere(collection: imseek.Collection) -> None:
    """fsspec's memory stands for an object store."""
    system = fsspec.filesystem("memory")
    system.pipe("/set/data/a.parquet", parquet([{"image": draw(1), "text": "one"}, {"image": draw(2), "text": "two"}]))
    system.pipe("/set/data/b.arrow", arrow_stream([{"image": draw(3), "text": "three"}]))
    system.pipe("/set/README.md", b"# A data set")
    report = collection.index(["memory://set/data"], source=SourceOptions(kind="table"))
    assert (report.added, report.skipped) == (3, 0)
    assert told(collection)[draw(3)]["caption"] == "three"
    assert {hit.uri for hit in collection.search(np.ones(64))} == {
        "memory:///set/data/a.parquet#row=0", "memory:///set/data/a.parquet#row=1", "memory:///set/data/b.arrow#row=0",
    }  # fmt: skip
    assert collection.index().files_opened == 0
    system.rm("/set/data/b.arrow")
    assert (collection.index().removed, collection.info().images) == (1, 2)
    system.pipe("/set/names.csv", b"name\nx\n")
    with pytest.raises(UsageError, match=r"columns: name"):
        collection.index(["memory://set/names.csv"])
    system.rm("/set", recursive=True)
    assert collection.index().live == 2


def test_a_table_on_the_web_names_pictures_beside_it(collection: imseek.Collection) -> None:
    with WebServer() as server:
        server.pages = {
            "set/a.csv": csv_lines([{"file_name": "1.png", "caption": "one"}]),
            "set/1.png": draw(1),
        }
        report = collection.index([server.url("set/a.csv")], source=SourceOptions(allow_private=True))
        assert (report.added, report.skipped) == (1, 0)
        assert told(collection)[draw(1)]["caption"] == "one"
        again = collection.index()
        assert (again.unchanged, again.files_opened, again.generation) == (1, 0, report.generation)
        (hit,) = collection.search(np.ones(64))
        assert hit.uri == server.url("set/1.png")


def test_a_table_elsewhere_reaches_no_file_of_this_machine(tmp_path: Path, collection: imseek.Collection) -> None:
    (tmp_path / "secret.png").write_bytes(draw(1))
    rows = [{"file_name": str(tmp_path / "secret.png")}, {"file_name": f"file://{tmp_path}/secret.png"}]
    fsspec.filesystem("memory").pipe("/evil/a.csv", csv_lines(rows))
    report = collection.index(["memory://evil/a.csv"])
    assert (report.added, reasons(report)) == (0, ["forbidden_address"] * 2)


# -- image folders ---------------------------------------------------------------------------------------


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def test_labels_and_splits_are_folder_names(tmp_path: Path, collection: imseek.Collection) -> None:
    folder = write(tmp_path / "set", {"train/cat/1.png": draw(1), "test/dog/2.png": draw(2), "bird/3.png": draw(3)})
    collection.index([folder], source=SourceOptions(kind="imagefolder"))
    found = told(collection)
    assert (found[draw(1)]["label"], found[draw(1)]["split"]) == ("cat", "train")
    assert (found[draw(2)]["label"], found[draw(2)]["split"]) == ("dog", "test")
    assert found[draw(3)]["label"] == "bird"
    assert "split" not in found[draw(3)]


@pytest.mark.parametrize(
    ("name", "save"),
    [("metadata.csv", csv_lines), ("metadata.jsonl", json_lines), ("metadata.parquet", parquet)],
)
def test_a_metadata_file_goes_before_what_lies_beside(
    tmp_path: Path, collection: imseek.Collection, name: str, save: Callable[[Any], bytes]
) -> None:
    rows = [
        {"file_name": "1.png", "text": "from the table", "stars": 5, "label": "owl"},
        {"file_name": "sub/2.png", "text": None, "stars": 3, "label": None},
        {"file_name": "gone.png", "text": "nothing", "stars": 1, "label": None},
    ]
    files = {
        "train/1.png": draw(1), "train/1.txt": b"beside", "train/1.json": b'{"stars": 1, "by": "me"}',
        "train/sub/2.png": draw(2), "train/sub/2.txt": b"beside",
        f"train/{name}": save(rows), "cat/3.png": draw(3),
    }  # fmt: skip
    report = collection.index([write(tmp_path / "set", files)])
    assert collection.info().sources[0].kind == "imagefolder"
    found = told(collection)
    one, two, three = found[draw(1)], found[draw(2)], found[draw(3)]
    assert {n: one[n] for n in ("caption", "stars", "by", "label", "split")} == {
        "caption": "from the table", "stars": 5, "by": "me", "label": "owl", "split": "train",
    }  # fmt: skip
    assert (two["caption"], two["stars"], two.get("label")) == ("beside", 3, None)
    assert (three["label"], three.get("split")) == ("cat", None)
    assert any(note.endswith("rows that name files that are not there: 1") for note in report.notes)


def test_a_metadata_file_that_changed_is_noted(
    tmp_path: Path, collection: imseek.Collection, later: Callable[[float], None]
) -> None:
    folder = write(tmp_path / "set", {"1.png": draw(1), "metadata.jsonl": json_lines([{"file_name": "1.png", "a": 1}])})
    assert not any("has changed" in note for note in collection.index([folder]).notes)
    metadata = folder / "metadata.jsonl"
    metadata.write_bytes(json_lines([{"file_name": "1.png", "a": 2}]))
    stamp = metadata.stat().st_mtime + 100
    os.utime(metadata, (stamp, stamp))
    report = collection.index()
    assert (report.unchanged, report.files_opened) == (1, 0)
    assert any("has changed" in note and "--rehash" in note for note in report.notes)
    assert told(collection)[draw(1)]["a"] == 1


def test_metadata_files_that_are_of_no_use_are_noted(tmp_path: Path, collection: imseek.Collection) -> None:
    folder = write(
        tmp_path / "set",
        {
            "a/1.png": draw(1), "a/metadata.csv": b"file_name,x\n1.png,3,4\n",
            "b/2.png": draw(2), "b/metadata.parquet": b"PAR1 but no more",
            "c/3.png": draw(3), "c/metadata.csv": b"name\n3.png\n",
        },
    )  # fmt: skip
    report = collection.index([folder], source=SourceOptions(kind="imagefolder"))
    assert (report.added, report.skipped) == (3, 0)
    for ending in ("rows that cannot be read: 1", "nothing is taken from it"):
        assert any(note.endswith(ending) for note in report.notes)
    assert any("the table is damaged" in note for note in report.notes)
