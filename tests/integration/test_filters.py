"""Filters on collections on disk, compared with plain Python over what `get` tells of each image."""

from __future__ import annotations

import dataclasses
import math
import os
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clocks import Clock
from PIL import ExifTags, Image
from sourcing.tables import csv_lines

import imseek
from imseek.data.catalog.catalog_writer import set_meta
from imseek.data.catalog.sql import insert
from imseek.data.collection_records import FOREVER
from imseek.data.reader import PURGED, Reader
from imseek.data.shards import metadata_columns
from imseek.data.shards.derived_columns import put_columns
from imseek.data.writing.writer import Writer
from imseek.errors import CorruptCollectionError, QueryError, StaleGenerationError
from imseek.search.where import Filters, duckdb_sandbox
from imseek.search.where import filter_evaluation as where_filters
from imseek.testing.sources import draw
from imseek.types.pictures import Image as Known

PLACES = {"oslo": (59.913, 10.752), "sydney": (-33.857, 151.215), "suva": (-18.13, 178.44)}


@pytest.fixture
def collection(tmp_path: Path, later: Callable[[float], None]) -> Iterator[imseek.Collection]:
    later(10)
    with imseek.create(tmp_path / "collection", encoder="fake") as made:
        yield made


@pytest.fixture
def filters() -> Iterator[Filters]:
    made = Filters()
    yield made
    made.close()


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """24 pictures of different sizes, formats, dates, cameras and positions, in three folders."""
    folder = tmp_path / "pictures"
    for n in range(24):
        path = folder / ("", "a b", "ünder/2023")[n % 3] / f"IMG_{n:02d}{('.jpg', '.PNG', '.webp', '.tar.jpeg')[n % 4]}"
        path.parent.mkdir(parents=True, exist_ok=True)
        exif = Image.Exif()
        exif[ExifTags.Base.Software] = "a test"
        if n % 5:
            exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = (
                f"{2020 + n % 4}:{n % 12 + 1:02d}:{n + 1:02d} {n:02d}:30:00"
            )
        if n % 3:
            exif[ExifTags.Base.Model] = ("X100", "Canon EOS R5", "it's % a_cam")[n % 7 % 3]
        if n % 2:
            latitude, longitude = list(PLACES.values())[n % 3]
            exif.get_ifd(ExifTags.IFD.GPSInfo).update(
                {
                    1: "NS"[latitude < 0],
                    2: degrees(latitude + n / 1000),
                    3: "EW"[longitude < 0],
                    4: degrees(longitude),
                }
            )
        if n % 4 == 0:
            exif[ExifTags.Base.ImageDescription] = ("The harbour at dawn", "A HARBOUR", "snow: 100%")[n // 4 % 3]
        pixels = np.random.default_rng(n).integers(0, 255, (20 + 5 * n, 90, 3), dtype=np.uint8)
        kind = ("JPEG", "PNG", "WEBP", "JPEG")[n % 4]
        Image.fromarray(pixels).save(path, kind, exif=exif)
    return folder


def degrees(angle: float) -> tuple[float, float, float]:
    angle = abs(angle)
    minutes = angle % 1 * 60
    return float(int(angle)), float(int(minutes)), round(minutes % 1 * 60, 4)


def everything(collection: imseek.Collection) -> dict[int, Known]:
    hits = collection.search(np.ones(64), limit=1000, metadata=False)
    return {hit.image_id: collection.get(hit.image_id) for hit in hits}


def distance(image: Known, latitude: float, longitude: float) -> float:
    """Kilometres, by the law of cosines."""
    a, b = math.radians(image.metadata["latitude"]), math.radians(latitude)
    turn = math.radians(image.metadata["longitude"] - longitude)
    return 6371.0088 * math.acos(min(1, math.sin(a) * math.sin(b) + math.cos(a) * math.cos(b) * math.cos(turn)))


def path(image: Known) -> str:
    assert image.place is not None
    return image.place.display


Test = Callable[[Known, dict[str, Any]], Any]

PICTURES: dict[str, Test] = {
    "height > 60 AND format = 'JPEG'": lambda i, m: m["height"] > 60 and m["format"] == "JPEG",
    "format IN ('PNG', 'WEBP') AND NOT height < 100": lambda i, m: m["format"] != "JPEG" and m["height"] >= 100,
    "taken_at >= '2022-01-01'": lambda i, m: m.get("taken_at", "") >= "2022-01-01",
    "taken_at BETWEEN '2020-01-01' AND '2021-12-31 23:59:59'": lambda i, m: "2020" <= m.get("taken_at", "") < "2022",
    "taken_at IS NULL": lambda i, m: "taken_at" not in m,
    "year = 2021 AND month > 6": lambda i, m: "2021-07" <= m.get("taken_at", "") < "2022",
    "day = '2021-02-02'": lambda i, m: m.get("taken_at", "").startswith("2021-02-02"),
    "hour(taken_at) >= 12": lambda i, m: m.get("taken_at", "")[11:13] >= "12",
    "caption ILIKE '%harbour%'": lambda i, m: "harbour" in m.get("caption", "").lower(),
    "caption LIKE '%harbour%'": lambda i, m: "harbour" in m.get("caption", ""),
    "camera = 'it''s % a_cam'": lambda i, m: m.get("camera") == "it's % a_cam",
    "camera <> 'X100'": lambda i, m: m.get("camera", "X100") != "X100",
    "camera IS DISTINCT FROM 'X100'": lambda i, m: m.get("camera") != "X100",
    "near(59.913, 10.752, 1.5)": lambda i, m: "latitude" in m and distance(i, 59.913, 10.752) <= 1.5,
    "NOT near(-18, -179.9, 300)": lambda i, m: "latitude" in m and distance(i, -18, -179.9) > 300,
    "latitude < 0 AND longitude > 0": lambda i, m: m.get("latitude", 0) < 0 and m["longitude"] > 0,
    "megapixels > 0.01 AND aspect < 0.75": lambda i, m: (
        m["width"] * m["height"] > 1e4 and m["width"] / m["height"] < 0.75
    ),
    "width * height = 90 * 100": lambda i, m: m["height"] == 100,
    "bytes > 9000": lambda i, m: m["bytes"] > 9000,
    "folder LIKE '%/a b'": lambda i, m: path(i).rpartition("/")[0].endswith("/a b"),
    "name = 'IMG_05.PNG'": lambda i, m: path(i).endswith("/IMG_05.PNG"),
    "extension = 'png'": lambda i, m: path(i).lower().endswith(".png"),
    "extension = 'jpeg' AND name LIKE '%.tar.%'": lambda i, m: path(i).endswith(".tar.jpeg"),
    "path LIKE '%ünder/2023/%'": lambda i, m: "/ünder/2023/" in path(i),
    "image_id % 3 = 1": lambda i, m: i.image_id % 3 == 1,
    "tag('best')": lambda i, m: "best" in i.tags,
    "NOT tag('best') AND source = 1": lambda i, m: (
        "best" not in i.tags and i.place is not None and i.place.source_id == 1
    ),
    "TRUE": lambda i, m: True,
    "FALSE": lambda i, m: False,
}


def check(filters: Filters, collection: imseek.Collection, cases: dict[str, Test]) -> dict[str, list[int]]:
    images = everything(collection)
    reader = Reader(collection.path)
    found = {}
    for where, test in cases.items():
        expected = sorted(i for i, image in images.items() if test(image, dict(image.metadata)))
        ids = filters.ids(reader, where)
        assert ids.dtype == np.int64
        assert ids.tolist() == expected, where
        found[where] = expected
    return found


def tag(collection: imseek.Collection, image_id: int, name: str) -> None:
    values = {"image_id": image_id, "tag": name, "provenance": "by hand", "died": FOREVER}
    with Writer(collection.path, "test") as writer:
        writer.apply(lambda c, generation: insert(c, "tags", [{**values, "born": generation}]))


def test_filters_say_what_metadata_say(collection: imseek.Collection, pictures: Path, filters: Filters) -> None:
    collection.index([pictures])
    for image_id in (2, 3, 17):
        tag(collection, image_id, "best")
    found = check(filters, collection, PICTURES)
    # A case that every image or none satisfies would compare nothing.
    assert [w for w, ids in found.items() if not 0 < len(ids) < 24] == ["TRUE", "FALSE"]


def test_what_has_died_moved_or_come_is_seen_in_the_next_generation_only(
    collection: imseek.Collection, pictures: Path, filters: Filters
) -> None:
    collection.index([pictures])
    before = Reader(collection.path)
    check(filters, collection, PICTURES | {"tag('best')": lambda i, m: False})
    everywhere = filters.ids(before, "TRUE").tolist()
    in_a = filters.ids(before, "folder LIKE '%/a b'").tolist()
    (pictures / "IMG_00.jpg").unlink()
    (pictures / "a b" / "IMG_04.jpg").rename(pictures / "moved.jpeg")
    (pictures / "a b").joinpath("new.png").write_bytes(draw(77))
    collection.index()
    tag(collection, 5, "best")
    found = check(filters, collection, PICTURES | {"name = 'moved.jpeg'": lambda i, m: path(i).endswith("/moved.jpeg")})
    assert [collection.get(i).metadata["height"] for i in found["name = 'moved.jpeg'"]] == [40]
    assert len(found["TRUE"]) == len(everywhere) == 24
    assert found["tag('best')"] == [5]
    # The older reader still answers from its own generation, places too.
    assert filters.ids(before, "TRUE AND TRUE").tolist() == everywhere
    assert filters.ids(before, "folder LIKE '%/a b' AND TRUE").tolist() == in_a
    assert filters.ids(before, "tag('best') AND TRUE").tolist() == []
    check(filters, collection, PICTURES)


def test_a_move_alone_is_seen(collection: imseek.Collection, pictures: Path, filters: Filters) -> None:
    collection.index([pictures])
    before = Reader(collection.path)
    where = "folder LIKE '%/elsewhere'"
    assert filters.ids(before, where).tolist() == []
    (pictures / "elsewhere").mkdir()
    (pictures / "IMG_12.jpg").rename(pictures / "elsewhere" / "a.jpg")
    assert collection.index().moved == 1
    after = Reader(collection.path)
    assert [shard.dead for shard in after.current.shards] == [shard.dead for shard in before.current.shards]
    found = check(filters, collection, {where: lambda i, m: "/elsewhere/" in path(i)})
    assert len(found[where]) == 1
    assert filters.ids(before, f"{where} AND TRUE").tolist() == []
    assert filters.ids(after, f"{where} AND TRUE").tolist() == found[where]


def test_tags_come_and_go(collection: imseek.Collection, pictures: Path, filters: Filters) -> None:
    collection.index([pictures])
    tag(collection, 7, "best")
    with_tag = Reader(collection.path)
    with Writer(collection.path, "test") as writer:
        writer.apply(lambda c, generation: c.execute("UPDATE tags SET died = ?", (generation,)) and None)
    assert filters.ids(with_tag, "tag('best')").tolist() == [7]
    assert filters.ids(Reader(collection.path), "tag('best')").tolist() == []


def test_a_purge_meanwhile_leaves_no_answer_from_a_lost_history(
    collection: imseek.Collection, pictures: Path, filters: Filters
) -> None:
    collection.index([pictures])
    reader = Reader(collection.path)
    with Writer(collection.path, "test") as writer:
        writer.apply(lambda c, generation: set_meta(c, PURGED, generation))
    for where in ("tag('best')", "path = ''"):
        with pytest.raises(StaleGenerationError):
            filters.ids(reader, where)
    assert len(filters.ids(reader, "width > 0")) == 24


def test_paths_in_archives_and_of_lists_are_as_they_are_shown(
    collection: imseek.Collection, tmp_path: Path, filters: Filters
) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("below/one.png", draw(1))
        archive.writestr("two.png", draw(2))
    (tmp_path / "three.png").write_bytes(draw(3))
    (tmp_path / os.fsdecode(b"f\xffur.png")).write_bytes(draw(4))
    collection.index([tmp_path / "a.zip"])
    collection.index(names=[tmp_path / "three.png", tmp_path / os.fsdecode(b"f\xffur.png")])
    images = everything(collection)
    assert len(images) == 4
    reader = Reader(collection.path)
    for image_id, image in images.items():
        folder, _, name = path(image).rpartition("/")
        for column, value in (("path", path(image)), ("folder", folder), ("name", name)):
            found = filters.ids(reader, f"{column} = '{value}'").tolist()
            assert found == [image_id] or column == "folder", (column, value)
            assert image_id in found, (column, value)
    names = {path(image).removeprefix(str(tmp_path)) for image in images.values()}
    assert names == {"/a.zip!/below/one.png", "/a.zip!/two.png", "/three.png", "/f\\xffur.png"}


def test_shards_are_asked_in_groups_and_share_the_time(
    collection: imseek.Collection, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection.index([pictures])
    for n in range(2):
        (pictures / f"new{n}.png").write_bytes(draw(n))
        collection.index()
    reader = Reader(collection.path)
    expected = Filters().ids(reader, "height < 60").tolist()
    assert len(expected) == 10
    # Where an image was encoded again, a younger shard has older ids.
    reader.current = dataclasses.replace(reader.current, shards=reader.current.shards[::-1])
    monkeypatch.setattr(where_filters, "_ROWS_AT_ONCE", 1)
    clock = Clock()
    left: list[float] = []
    real = duckdb_sandbox.evaluate

    def slow(*given: Any) -> Any:
        left.append(given[-1] - clock.now)
        clock.sleep(2)
        return real(*given[:-1], time.monotonic() + 60)

    monkeypatch.setattr(duckdb_sandbox, "evaluate", slow)
    monkeypatch.setattr(where_filters, "time", clock)
    assert Filters(seconds=5).ids(reader, "height < 60").tolist() == expected
    assert left == [5, 3, 1]


def test_quarantined_images_are_left_out(collection: imseek.Collection, pictures: Path, filters: Filters) -> None:
    from imseek.data.catalog import shard_catalog

    collection.index([pictures])
    with Writer(collection.path, "test") as writer:

        def quarantine(connection: Any, generation: int) -> None:
            for shard in shard_catalog.change_state(connection, [3, 4], "live", "quarantined"):
                shard_catalog.write_dead_rows(writer, connection, generation, shard)

        writer.apply(quarantine)
    ids = filters.ids(Reader(collection.path), "TRUE").tolist()
    assert ids == sorted(set(range(24)) - {3, 4})


def test_a_source_that_was_relocated(collection: imseek.Collection, pictures: Path, filters: Filters) -> None:
    collection.index([pictures])
    check(filters, collection, PICTURES)
    elsewhere = pictures.rename(pictures.with_name("else\nwhere"))
    collection.relocate_source(1, elsewhere)
    where = r"folder LIKE '%/else\nwhere/a b'"
    found = check(filters, collection, {where: lambda i, m: "/a b/" in path(i)})
    assert len(found[where]) == 8


def test_shards_with_other_columns_and_other_types(
    collection: imseek.Collection, tmp_path: Path, filters: Filters
) -> None:
    tables: list[list[dict[str, Any]]] = [
        [
            {"stars": 3, "good": True, "year": 1990, "my column": "x"},
            {"stars": 5, "good": False, "year": 1991},
        ],
        [{"stars": 2.5, "code": 7, "year": 1992}, {"stars": 1.5, "code": 8, "my column": "y"}],
        [{"code": "A7", "select": 1}, {"code": "8", "select": 2}],
    ]
    for n, rows in enumerate(tables):
        for m, row in enumerate(rows):
            row["path"] = f"{n}{m}.png"
            (tmp_path / row["path"]).write_bytes(draw(10 * n + m))
        names = dict.fromkeys(name for row in rows for name in row)
        file = tmp_path / f"{n}.csv"
        file.write_bytes(csv_lines([{name: row.get(name) for name in names} for row in rows]))
        report = collection.index([file])
        assert (report.added, report.failures) == (2, ())
    assert len(Reader(collection.path).current.shards) == 3
    columns = filters.columns(Reader(collection.path))
    assert [columns[name] for name in ("stars", "good", "code", "extra_year", "year", "select")] == [
        "a number", "true or false", "text", "a whole number", "a whole number", "a whole number",
    ]  # fmt: skip
    found = check(
        filters,
        collection,
        {
            "stars >= 2.5": lambda i, m: m.get("stars", 0) >= 2.5,
            "stars IS NULL": lambda i, m: "stars" not in m,
            "good": lambda i, m: m.get("good"),
            "NOT good": lambda i, m: m.get("good") is False,
            "code IN ('7', '8')": lambda i, m: str(m.get("code")) in "78",
            "TRY_CAST(code AS INT) = 8": lambda i, m: str(m.get("code")) == "8",
            "extra_year BETWEEN 1991 AND 1992": lambda i, m: m.get("year") in (1991, 1992),
            "year IS NULL": lambda i, m: True,
            '"my column" = \'x\' OR "select" = 2': lambda i, m: m.get("my column") == "x" or m.get("select") == 2,
        },
    )
    assert [len(ids) for ids in found.values()] == [3, 2, 1, 1, 3, 2, 2, 6, 2]
    with pytest.raises(QueryError, match="`code` is text, and `7` is a whole number"):
        filters.ids(Reader(collection.path), "code = 7")
    with pytest.raises(QueryError, match=r"cannot be computed.*A7"):
        filters.ids(Reader(collection.path), "CAST(code AS INT) = 8")


def test_derived_columns_go_before_extra_ones_where_they_have_a_value(
    collection: imseek.Collection, tmp_path: Path, filters: Filters
) -> None:
    rows = [{"path": f"{n}.png", "sharp": n / 2} for n in range(4)]
    for n, row in enumerate(rows):
        (tmp_path / str(row["path"])).write_bytes(draw(n))
    (tmp_path / "a.csv").write_bytes(csv_lines(rows))
    collection.index([tmp_path / "a.csv"])
    reader = Reader(collection.path)
    assert filters.ids(reader, "sharp >= 1").tolist() == [2, 3]
    with pytest.raises(QueryError, match="no column 'label'"):
        filters.ids(reader, "label = 'cat'")
    with Writer(collection.path, "test") as writer:
        put_columns(writer, "quality", {"sharp": {0: 9, 3: float("nan")}, "label": {1: "cat"}, "none": {0: None}})
    reader = Reader(collection.path)
    assert filters.ids(reader, "sharp >= 1").tolist() == [0, 2, 3], "NaN is no value: what lies below it shows"
    assert filters.ids(reader, "sharp < 100").tolist() == [0, 1, 2, 3]
    assert filters.ids(reader, "sharp IN (0.5, 1.5)").tolist() == [1, 3]
    assert filters.ids(reader, "label = 'cat'").tolist() == [1]
    assert filters.ids(reader, "label IS NULL AND none IS NULL").tolist() == [0, 2, 3]


def test_dead_rows_cannot_make_a_filter_fail(collection: imseek.Collection, tmp_path: Path, filters: Filters) -> None:
    rows = [{"path": f"{n}.png", "code": code} for n, code in enumerate(["1", "2", "x", "4"])]
    for n, row in enumerate(rows):
        (tmp_path / row["path"]).write_bytes(draw(n))
    (tmp_path / "a.csv").write_bytes(csv_lines(rows))
    collection.index([tmp_path / "a.csv"])
    with pytest.raises(QueryError, match="'x'"):
        filters.ids(Reader(collection.path), "CAST(code AS INT) > 1")
    (tmp_path / "a.csv").write_bytes(csv_lines([row for row in rows if row["code"] != "x"]))
    collection.index()
    survivors = everything(collection)
    expected = sorted(i for i, image in survivors.items() if int(image.metadata["code"]) > 1)
    assert len(survivors) == 3
    assert filters.ids(Reader(collection.path), "CAST(code AS INT) > 1").tolist() == expected


def test_an_empty_collection(collection: imseek.Collection, filters: Filters) -> None:
    reader = Reader(collection.path)
    assert filters.ids(reader, "width > 3 AND tag('x') AND path = ''").tolist() == []
    with pytest.raises(QueryError, match="no column"):
        filters.ids(reader, "nothing = 3")


def test_answers_and_columns_are_kept_within_a_bound(
    collection: imseek.Collection, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection.index([pictures])
    reads: list[str] = []
    real = metadata_columns.columns_of

    def counted(reader: Reader, file: str, names: Any) -> Any:
        reads.append(",".join(sorted(names)))
        return real(reader, file, names)

    monkeypatch.setattr(metadata_columns, "columns_of", counted)
    reader = Reader(collection.path)
    large, small = Filters(), Filters(memory=1)
    for filters in (large, small):
        first = filters.ids(reader, "height > 60 AND width = 90")
        assert filters.ids(reader, "height > 60 AND width = 90") is first
        assert not first.flags.writeable
        filters.ids(reader, "height > 70")
        filters.ids(reader, "width > 70 AND format = 'PNG'")
    assert reads == ["height,width", "format", "height,width", "height", "format,width"]
    (pictures / "new.png").write_bytes(draw(5))
    collection.index()
    reads.clear()
    newer = Reader(collection.path)
    assert len(large.ids(newer, "height > 20")) == len(large.ids(reader, "height > 20")) + 1
    assert reads == ["height"], "of the new shard"
    large.close()
    assert len(large.ids(newer, "width > 0")) == 25, "it can be used again"


def test_a_filter_over_more_than_fits_keeps_what_fits(
    collection: imseek.Collection, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection.index([pictures])
    for n in range(3):
        (pictures / f"new{n}.png").write_bytes(draw(n))
        collection.index()
    reader = Reader(collection.path)
    shards = len(reader.current.shards)
    assert shards == 4
    reads: list[str] = []
    real = metadata_columns.columns_of

    def counted(reader: Reader, file: str, names: Any) -> Any:
        reads.append(names[0])
        return real(reader, file, names)

    monkeypatch.setattr(metadata_columns, "columns_of", counted)
    filters = Filters(memory=110)  # of columns of 4 bytes for each of 24 + 1 + 1 + 1 images
    assert len(filters.ids(reader, "width > 0")) == 27
    assert len(filters.ids(reader, "width > 1")) == 27
    assert reads == ["width"] * shards, "all fit"
    filters = Filters(memory=104)
    for n in range(3):
        assert len(filters.ids(reader, f"width > {n}")) == 27
    assert reads == ["width"] * (2 * shards + 2), "the first three fit"
    assert len(filters.ids(reader, "height > 0")) == 27
    reads.clear()
    assert len(filters.ids(reader, "height > 1")) == 27
    assert reads == ["height"], "what was used longest ago makes room"


def test_many_threads_get_the_same_answers(collection: imseek.Collection, pictures: Path) -> None:
    collection.index([pictures])
    reader, filters = Reader(collection.path), Filters()
    wheres = [f"height > {n}" for n in range(20, 140, 10)]
    answers: dict[int, list[list[int]]] = {}

    def ask(number: int) -> None:
        answers[number] = [filters.ids(reader, where).tolist() for where in wheres]

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({str(answers[n]) for n in range(6)}) == 1
    assert [len(ids) for ids in answers[0]] == [
        sum(20 + 5 * n > height for n in range(24)) for height in range(20, 140, 10)
    ]


def test_files_that_are_gone_or_damaged(collection: imseek.Collection, pictures: Path, filters: Filters) -> None:
    collection.index([pictures])
    reader = Reader(collection.path)
    (file,) = (collection.path / "metadata").glob("*.parquet")
    content = file.read_bytes()
    file.write_bytes(content[:100] + bytes(100) + content[200:])
    with pytest.raises(CorruptCollectionError, match="is damaged") as caught:
        filters.ids(reader, "image_id >= 0 AND orientation = 1 AND content_hash <> ''")
    assert "repair" in str(caught.value.hint)
    file.unlink()
    with pytest.raises(StaleGenerationError):
        Filters().ids(reader, "width > 1")
