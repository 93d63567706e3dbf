"""Collections published to Milvus Lite: what is found there, what becomes of changes, kills and strangers."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import reranking
from PIL import ExifTags, Image

import imseek
from imseek import Query, Term
from imseek.data.milvus import layout, publication_record
from imseek.data.milvus.address import parse
from imseek.data.milvus.client import Client
from imseek.data.shards.derived_columns import put_columns
from imseek.data.writing.writer import Writer
from imseek.errors import (
    CollectionNotFoundError,
    ContentChangedError,
    CorruptCollectionError,
    EncoderMismatchError,
    EncoderUnavailableError,
    ExpiredPageError,
    FormatVersionError,
    ImageNotFoundError,
    LockedError,
    MediaError,
    QueryError,
    ServerError,
    StorageError,
    UsageError,
)
from imseek.publish import to_milvus
from imseek.published import PublishedCollection
from imseek.search.where import Filters
from imseek.types.search_results import SearchResult

pytest.importorskip("pymilvus")
pytest.importorskip("milvus_lite")

#: A name that would be something else in an expression of Milvus.
HOSTILE = '" or image_id >= 0 or tag_marks like "%'


def degrees(angle: float) -> tuple[float, float, float]:
    whole = abs(angle)
    return (int(whole), int(whole * 60 % 60), round(whole * 3600 % 60, 4))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory, photo_files: list[Path]) -> Path:
    """Each of eight photographs three times: smaller, with what cameras write, and as it is, of which one is a copy."""
    folder = tmp_path_factory.mktemp("pictures")
    for n, path in enumerate(photo_files):
        (folder / "below").mkdir(exist_ok=True)
        shutil.copy(path, folder / f"{n} {path.name}")
        for side in (200, 90):
            exif = Image.Exif()
            if n % 3:
                exif[ExifTags.Base.Model] = ("X100", 'it\'s "50%" \\ a_cam')[n % 2]
                taken = f"{2020 + n % 4}:{n + 1:02d}:03 {side // 10:02d}:30:00"
                exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = taken
            if n % 2:
                north = (59.913, -33.857)[n % 4 // 2] + side / 1000
                exif.get_ifd(ExifTags.IFD.GPSInfo).update(
                    {1: "NS"[north < 0], 2: degrees(north), 3: "E", 4: degrees(10.752)}
                )
            if n % 4 == 0:
                exif[ExifTags.Base.ImageDescription] = ("a red harbour", "50% of the sea")[n % 8 // 4]
            with Image.open(path) as opened:
                made = opened.convert("RGB").resize((side, side * 2 // 3))
            made.save(folder / "below" / f"{path.stem}-{side}.jpg", exif=exif)
    shutil.copy(folder / "2 coffee.png", folder / "below" / "copy.png")
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, pictures: Path) -> Path:
    """Two spaces of pictures and one of captions, tags, an extra column with a name that Milvus would not take."""
    root = tmp_path_factory.mktemp("made") / "c"
    with imseek.create(root, encoder="fake", also=["fake:32"], captions=True) as collection:
        collection.index([pictures])
        imseek.tags.add(root, "holiday", [1, 2, 3])
        imseek.tags.add(root, HOSTILE, [4])
        with Writer(root, "test") as writer:
            put_columns(
                writer,
                "mine",
                {"my score": {n: n / 8 for n in range(9)}, "like": {n: n % 2 == 0 for n in range(9)}},
            )
    return root


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, made: Path) -> str:
    where = f"milvus://{tmp_path_factory.mktemp('milvus')}/photos.db#photos"
    report = to_milvus(made, where)
    assert (report.outcome, report.sent, report.removed, report.before) == ("published", 25, 0, None)
    return where


@pytest.fixture(scope="module")
def both(made: Path, address: str) -> Iterator[tuple[imseek.Collection, PublishedCollection]]:
    with imseek.open(made) as collection, imseek.open(address) as published:
        assert isinstance(published, PublishedCollection)
        yield collection, published


def check_same(one: SearchResult, other: SearchResult) -> None:
    assert [hit.image_id for hit in one] == [hit.image_id for hit in other]
    assert np.allclose([hit.score for hit in one], [hit.score for hit in other], atol=1e-6)
    for ours, theirs in zip(one, other, strict=True):
        assert ours.place == theirs.place
        assert ours.metadata == theirs.metadata
        assert (ours.collection, ours.duplicates, ours.group) == (
            theirs.collection,
            theirs.duplicates,
            theirs.group,
        )
    for fact in ("searched", "generation", "encoder", "spaces", "notes", "cut", "next_page", "approximate"):
        assert getattr(one, fact) == getattr(other, fact), fact
    assert [(g.name, g.size) for g in one.groups] == [(g.name, g.size) for g in other.groups]


RED = Term(text="red")
#: A publication has no words: it compares with pictures.
ask = partial(Query, by="image")
QUERIES: dict[str, Callable[[Sequence[Path]], Any]] = {
    "words": lambda _: ask((RED,)),
    "a picture": lambda files: files[0],
    "a stored image": lambda _: 5,
    "a vector": lambda _: np.eye(64, dtype=np.float32)[3],
    "several terms": lambda files: ask((RED, Term(text="sea", weight=-0.5), Term(picture=files[2], weight=2.0))),
    "captions": lambda _: Query((RED,), by="caption"),
    "captions like a stored image": lambda _: Query((Term(image_id=3),), by="caption"),
    "cutoff": lambda _: ask((RED,), 20, cutoff="auto"),
    "cutoff of a picture": lambda _: ask((Term(image_id=3),), 20, cutoff="auto"),
    "min score": lambda _: ask((RED,), 20, min_score=0.5),
    "feedback": lambda _: ask((RED,), more=(1, 2), less=(3,)),
    "hubness": lambda _: ask((RED,), hubness=True),
    "collapse": lambda _: ask((RED,), 25, collapse=True),
    "diversity": lambda _: ask((Term(image_id=3),), diversity=0.6),
    "by date": lambda _: ask((RED,), 20, sort="date", min_score=0.0),
    "folders": lambda _: ask((RED,), group_by="folder", per_group=2),
    "days": lambda _: ask((RED,), group_by="day"),
    "sources": lambda _: ask((RED,), group_by="source"),
    "a filter": lambda _: ask((RED,), where="tag('holiday') OR width < 100"),
    "all at once": lambda _: ask(
        (RED, Term(image_id=2)), 4, where="width < 1000", collapse=True, diversity=0.3, group_by="folder"
    ),
}


@pytest.mark.parametrize("name", QUERIES)
def test_a_publication_answers_as_the_collection_does(
    both: tuple[imseek.Collection, PublishedCollection], photo_files: list[Path], name: str
) -> None:
    collection, published = both
    query = QUERIES[name](photo_files)
    check_same(collection.search(query), published.search(query))


def test_a_reranker_looks_at_published_pictures(
    both: tuple[imseek.Collection, PublishedCollection], monkeypatch: pytest.MonkeyPatch
) -> None:
    collection, published = both
    reranking.install(monkeypatch, reranking.by_brightness())
    query = ask((RED,), rerank="brightness")
    one, other = collection.search(query), published.search(query)
    check_same(one, other)
    scores = [match.score for hit in other for match in hit.matches if match.field == "reranker"]
    assert len(scores) == len(other) == 10
    assert len({*scores}) > 5, "pictures are read"


def test_many_queries_pages_and_pictures(
    both: tuple[imseek.Collection, PublishedCollection], photo_files: list[Path]
) -> None:
    collection, published = both
    queries = [query(photo_files) for query in QUERIES.values()]
    for one, other in zip(collection.search_many(queries), published.search_many(queries), strict=True):
        check_same(one, other)
    query = ask((RED,), 4)
    seen = []
    while True:
        one, other = collection.search(query), published.search(query)
        check_same(one, other)
        seen += [hit.image_id for hit in other]
        if other.next_page is None:
            break
        query = replace(query, page=other.next_page)
    assert len(seen) == len(set(seen)) == 25
    for image_id in (0, 8, 24):
        assert published.get(image_id) == collection.get(image_id)
        assert published.read(image_id) == collection.read(image_id)
    assert HOSTILE in published.get(4).tags
    with published.pictures.opened() as read:
        assert read(published.uuid, 3, 100) == collection.read(3)
    hit = published.search("red", limit=1, vectors=True)[0]
    expected = collection.search("red", limit=1, by="image", vectors=True)[0]
    assert hit.vector is not None
    assert expected.vector is not None
    assert np.array_equal(hit.vector, expected.vector)
    info = published.info()
    assert (info.images, info.uuid, info.encoder) == (25, collection.uuid, collection.info().encoder)


FILTERS = [
    "width > 150",
    "NOT (camera = 'X100' OR height < 70)",
    "camera = 'it''s \"50%\" \\ a_cam'",
    "year = 2021 OR month BETWEEN 3 AND 5",
    "day >= '2022-01-01' AND day < DATE '2024-01-01'",
    "date IS NULL",
    "taken_at > '2021-02-03 12:00:00'",
    "near(59.913, 10.752, 30)",
    "NOT near(-33.857, 10.752, 15)",
    "near(0, 0, 20000)",
    "latitude IS NULL AND NOT tag('holiday')",
    "tag('holiday')",
    f"tag('{HOSTILE}')",
    "tag('nobody has it')",
    "NOT tag('holiday') AND format = 'PNG'",
    "caption LIKE '%harbour%' OR caption LIKE '50__of%'",
    "folder LIKE '%below' AND extension = 'jpg' AND name <> 'coffee-90.jpg'",
    "megapixels > 0.1 AND aspect <= 1.5",
    "source = 1 AND image_id IN (1, 2, 3, 99)",
    '"my score" >= 0.5 AND NOT "like"',
    '"like" IS NOT TRUE',
    "content_hash LIKE 'a%' OR content_hash > 'f'",
    "luma_mean > 100 AND luma_blur IS NOT NULL",
]


@pytest.mark.parametrize("where", FILTERS)
def test_filters_find_what_they_find_in_the_collection(
    both: tuple[imseek.Collection, PublishedCollection], where: str
) -> None:
    collection, published = both
    query = ask((RED,), 30, where=where)
    one = collection.search(query)
    check_same(one, published.search(query))
    expected = Filters().ids(collection.engine.reader, where).tolist()
    assert sorted(hit.image_id for hit in published.search(query)) == expected


@pytest.mark.parametrize("where", ["widht > 3", "lower(camera) = 'x'", "phash > 3", "width > 'x'", "'; drop"])
def test_filters_that_are_refused(both: tuple[imseek.Collection, PublishedCollection], where: str) -> None:
    with pytest.raises(QueryError):
        both[1].search(Query((RED,), where=where))


def test_equal_rows_come_by_id_wherever_the_list_ends(tmp_path: Path, photo_files: list[Path]) -> None:
    for n in range(40):
        shutil.copy(photo_files[n % 2], tmp_path / f"{n:02d}.png")
    with imseek.create(tmp_path / ".imseek", encoder="fake", here=True) as collection:
        collection.index([tmp_path])
        to_milvus(collection, str(tmp_path / "m.db"))
        with imseek.open(f"milvus://{tmp_path}/m.db") as published:
            for limit in (1, 5, 19, 20, 21, 39, 40, 50):
                check_same(collection.search(1, limit=limit), published.search(1, limit=limit))


# -- what becomes of changes -----------------------------------------------------------------------------------


class Small:
    """A collection of eight photographs, and where it is published."""

    def __init__(self, photos: Path, later: Callable[[float], None]) -> None:
        self.photos, self.root, self.later = photos, photos / ".imseek", later
        self.lite = photos.parent / "m.db"
        self.address = f"milvus://{self.lite}#photos"

    def index(self) -> imseek.IndexReport:
        self.later(10)
        with imseek.open(self.root) as collection:
            return collection.index()

    def publish(self, **options: Any) -> Any:
        return to_milvus(self.root, self.address, **options)

    def check(self) -> None:
        """Every image is there once, as it is in the collection."""
        with imseek.open(self.root) as collection, imseek.open(self.address) as published:
            everything = collection.search("red", limit=100, by="image")
            check_same(everything, published.search("red", limit=100, by="image"))
            for hit in everything:
                assert collection.get(hit.image_id) == published.get(hit.image_id)
        client = Client(parse(self.address))
        rows = [row for part in client.everything(self.rows(client), [layout.ID]) for row in part]
        client.close()
        assert sorted(row[layout.ID] for row in rows) == sorted(hit.image_id for hit in everything)

    def rows(self, client: Client) -> str:
        return publication_record.read(client).rows


@pytest.fixture(scope="module")
def pattern(tmp_path_factory: pytest.TempPathFactory, photo_files: list[Path]) -> Path:
    """What each test has a copy of: the collection lies with its pictures, and so can be copied with them."""
    folder = tmp_path_factory.mktemp("pattern")
    (folder / "below").mkdir()
    for n, path in enumerate(photo_files):
        shutil.copy(path, folder / "below" if n > 5 else folder)
    with imseek.create(folder / ".imseek", encoder="fake", here=True) as collection:
        assert collection.index([folder]).added == 8
    return folder


@pytest.fixture
def small(tmp_path: Path, pattern: Path, later: Callable[[float], None]) -> Small:
    shutil.copytree(pattern, tmp_path / "photos")
    return Small(tmp_path / "photos", later)


def test_only_what_differs_is_sent(small: Small, photo_files: list[Path]) -> None:
    assert small.publish().sent == 8
    again = small.publish()
    assert (again.outcome, again.sent, again.removed) == ("already", 0, 0)

    (small.photos / "coffee.png").unlink()
    shutil.copy(photo_files[0], small.photos / "rocket.jpg")  # another picture at the place of one
    (small.photos / "camera.png").rename(small.photos / "below" / "moved.png")
    small.index()
    imseek.tags.add(small.root, "new", [1])
    report = small.publish()
    # The changed picture and its new id, the move, the tag; the removed one and the old id are gone.
    assert (report.outcome, report.sent, report.removed) == ("published", 3, 2)
    small.check()
    with imseek.open(small.address) as published:
        found = [hit.image_id for hit in published.search(Query((RED,), where="tag('new')"))]
        moved = published.search(Query((RED,), where="name = 'moved.png' AND folder LIKE '%below'"))
        assert found == [1]
        assert len(moved.hits) == 1
        assert not published.search(Query((RED,), where="name = 'camera.png' OR name = 'coffee.png'")).hits
    imseek.tags.remove(small.root, "new", [1])
    assert small.publish().sent == 1
    small.check()


def test_a_publication_that_is_open_takes_up_the_next_one(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imseek.search.milvus.publication_cache.FRESH_SECONDS", -1.0)
    small.publish()
    with imseek.open(small.address) as published:
        first = published.search(Query((RED,), 3))
        (small.photos / "coffee.png").unlink()
        small.index()
        assert small.publish().removed == 1
        assert published.search("red").searched == 7
        assert published.search("red").generation > first.generation
        with pytest.raises(ExpiredPageError):
            published.search(Query((RED,), 3, page=first.next_page))


def test_other_columns_and_other_encoders_are_written_beside_the_old_rows(small: Small) -> None:
    small.publish()
    with Writer(small.root, "test") as writer:
        put_columns(writer, "mine", {"stars": {n: n for n in range(8)}})
    report = small.publish()
    assert (report.anew, report.sent) == (True, 8)
    small.check()
    imseek.maintenance.reencode(small.root, "fake:32")
    assert small.publish().anew
    small.check()
    with imseek.open(small.address) as published:
        assert published.info().encoder.encoder == "fake:32"
        assert [h.image_id for h in published.search(Query((RED,), 1, where="stars = 3"))] == [3]
    client = Client(parse(small.address))
    assert [client.has(layout.rows_collection("photos", n)) for n in (1, 2, 3)] == [False, False, True]
    client.close()


def test_a_run_that_ends_early_is_told_and_completed(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    from imseek.search.milvus import rows

    monkeypatch.setattr(rows, "_MAX_ROWS", 3)
    small.publish()
    imseek.tags.add(small.root, "new", range(8))
    stop = threading.Event()
    report = small.publish(progress=lambda now: stop.set() if now.done >= 3 else None, stop=stop)
    assert (report.outcome, report.sent) == ("interrupted", 3)
    with imseek.open(small.address) as published:
        assert any("interrupted" in note for note in published.search("red").notes)
    report = small.publish()
    assert (report.outcome, report.sent) == ("published", 5)
    small.check()
    with imseek.open(small.address) as published:
        assert not any("interrupted" in note for note in published.search("red").notes)


KILLED = """
import os, signal, sys
from imseek.data.milvus.client import Client
from imseek.search.milvus import rows
from imseek.publish import to_milvus
rows._MAX_ROWS = 2
calls = 0
for name in ("upsert", "delete", "create", "drop", "flush"):
    def act(self, *given, _real=getattr(Client, name), **more):
        global calls
        calls += 1
        if calls == int(sys.argv[3]):
            os.kill(os.getpid(), signal.SIGKILL)
        found = _real(self, *given, **more)
        return found
    setattr(Client, name, act)
to_milvus(sys.argv[1], sys.argv[2])
print(calls)
"""


@pytest.mark.sample(at=1)
@pytest.mark.parametrize("at", [4, 9, 11])
def test_killed_at_any_request_the_next_run_completes_it(small: Small, at: int) -> None:
    """The first publication, and then a change of it."""
    done = _killed(small, at)
    assert done.returncode == -signal.SIGKILL, done.stderr
    small.publish()
    small.check()
    (small.photos / "coffee.png").unlink()
    small.index()
    imseek.tags.add(small.root, "new", where="width > 400")
    done = _killed(small, min(at, 5))
    assert done.returncode == -signal.SIGKILL, done.stderr
    report = small.publish()
    assert report.outcome == "published"
    small.check()


@pytest.mark.parametrize("left", [0, 5, 1000])
def test_an_index_that_milvus_lite_was_killed_over_is_made_anew(small: Small, left: int) -> None:
    small.publish()
    small.check()
    indexes = sorted(small.lite.rglob("*.idx"))
    assert len(indexes) == 2, "of rows and of the record"
    for index in indexes:
        os.truncate(index, min(left, index.stat().st_size - 1))
    imseek.tags.add(small.root, "new", [1])
    assert small.publish().sent == 1
    small.check()


def _killed(small: Small, at: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", KILLED, str(small.root), small.address, str(at)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_rows_that_were_lost_or_altered_are_sent_again(small: Small) -> None:
    small.publish()
    client = Client(parse(small.address))
    client.delete(small.rows(client), [2, 3])
    client.close()
    assert small.publish().sent == 2
    small.check()


# -- strangers ---------------------------------------------------------------------------------------------------


def test_another_collection_is_refused_and_may_have_another_name(small: Small, tmp_path: Path) -> None:
    small.publish()
    with imseek.create(tmp_path / "other", encoder="fake") as other:
        other.index([small.photos / "below"])
        with pytest.raises(UsageError, match="another collection") as refused:
            to_milvus(other, small.address)
        assert "another name" in str(refused.value.hint)
        to_milvus(other, f"{small.lite}#other")
        with imseek.open(f"milvus://{small.lite}#other") as published:
            assert published.uuid == other.uuid
            assert published.search("red").searched == 2
    small.check()


def test_what_is_no_publication(small: Small, tmp_path: Path) -> None:
    with pytest.raises(CollectionNotFoundError, match="no Milvus Lite"):
        imseek.open(small.address)
    assert not small.lite.exists()
    small.publish()
    with pytest.raises(CollectionNotFoundError, match="nothing is published"):
        imseek.open(f"milvus://{small.lite}#nothing")
    old = tmp_path / "old.db"
    old.write_bytes(b"SQLite format 3\0")
    with pytest.raises(UsageError, match="is a file"):
        to_milvus(small.root, str(old))
    assert old.read_bytes() == b"SQLite format 3\0"
    (tmp_path / "pictures.db").mkdir()
    (tmp_path / "pictures.db" / "a.png").write_bytes(b"x")
    with pytest.raises(UsageError, match="not a folder of Milvus Lite"):
        to_milvus(small.root, str(tmp_path / "pictures.db"))
    with pytest.raises(UsageError, match="there is no folder"):
        to_milvus(small.root, str(tmp_path / "nowhere" / "m.db"))


def test_records_of_later_layouts_and_damaged_ones(small: Small) -> None:
    small.publish()
    client = Client(parse(small.address))
    found = publication_record.read(client)
    publication_record.write(client, replace(found, version=layout.VERSION + 1))
    with pytest.raises(FormatVersionError, match="layout 2"):
        imseek.open(small.address)
    with pytest.raises(FormatVersionError):
        small.publish()
    about = layout.about_collection("photos")
    client.upsert(about, [{"key": "now", "value": json.dumps([1, "wrong"]), **layout.DUMMY_VECTOR}])
    with pytest.raises(StorageError, match="cannot be read"):
        imseek.open(small.address)
    client.close()


UNREADABLE = [
    "",
    "[]",
    "{}",
    '{"metadata": 1, "place": null}',
    '{"metadata": {}, "place": [9, "AA=="]}',
    "\\",
]


def test_rows_that_cannot_be_read_are_told_so(small: Small) -> None:
    small.publish()
    client = Client(parse(small.address))
    rows = small.rows(client)
    row = client.get(rows, [3], ["*"])[0]
    for document in UNREADABLE:
        client.upsert(rows, [{**row, layout.DOCUMENT: document, layout.DIGEST: 0}])
        with imseek.open(small.address) as published:
            with pytest.raises(CorruptCollectionError, match="image 3"):
                published.search("red")
            with pytest.raises(CorruptCollectionError, match="image 3"):
                published.get(3)
            assert published.get(2).image_id == 2
    client.close()


def test_a_row_that_was_altered_is_put_right_by_the_next_change(small: Small) -> None:
    small.publish()
    client = Client(parse(small.address))
    rows = small.rows(client)
    row = client.get(rows, [3], ["*"])[0]
    client.upsert(rows, [{**row, layout.DOCUMENT: "", layout.DIGEST: 0}])
    client.close()
    imseek.tags.add(small.root, "new", [1])
    assert small.publish().sent == 2
    small.check()


def test_no_call_waits_for_a_server_without_end(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that stops answering is given up, whatever was asked of it."""
    from pymilvus import MilvusClient

    waits: dict[str, set[float | None]] = {}

    def time_limit(name: str) -> None:
        real = getattr(MilvusClient, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            waits.setdefault(name, set()).add(kwargs.get("timeout"))
            return real(*args, **kwargs)

        monkeypatch.setattr(MilvusClient, name, call)

    for name in ("delete", "flush", "has_collection", "load_collection", "query", "upsert"):
        time_limit(name)
    small.publish()
    (small.photos / "coffee.png").unlink()
    small.index()
    assert small.publish().removed == 1
    assert {"delete", "flush", "query", "upsert"} <= waits.keys()
    assert [name for name, limits in waits.items() if None in limits] == [], "these calls may last for ever"


def test_two_at_once(small: Small) -> None:
    small.publish()
    client = Client(parse(small.address))
    lease = publication_record.Lease(client)
    lease.take()
    with pytest.raises(LockedError, match="is publishing to"):
        small.publish()
    # Another process takes the lease of one that was thought dead: who had it stops.
    value = json.dumps({"token": "another", "host": "elsewhere", "pid": 1, "at": 0})
    client.upsert(layout.about_collection("photos"), [{"key": "lease", "value": value, **layout.DUMMY_VECTOR}])
    with pytest.raises(LockedError, match="another process has begun"):
        lease.renew()
    client.close()
    assert small.publish().outcome == "published"  # The lease was of a time long ago.


def test_another_process_has_milvus_lite(small: Small) -> None:
    small.publish()
    import fcntl

    with (small.lite / "LOCK").open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(LockedError, match="allows only one"):
            imseek.open(small.address)
        with pytest.raises(LockedError):
            small.publish()
    small.check()


def test_a_server_that_is_not_there() -> None:
    with pytest.raises(ServerError, match=r"127\.0\.0\.1:9"):
        imseek.open("milvus://127.0.0.1:9/default/photos")


def test_the_token_is_in_no_message(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMSEEK_MILVUS_TOKEN", "root:secret")
    with pytest.raises(ServerError) as refused:
        to_milvus(small.root, "http://127.0.0.1:9")
    assert "secret" not in f"{refused.value} {refused.value.hint}"


def test_a_milvus_that_is_a_server_over_grpc(small: Small) -> None:
    """The same client by address and port. The server is Milvus Lite's own: a cluster cannot run here."""
    from milvus_lite.adapter.grpc.server import start_server_in_thread

    server, database, port = start_server_in_thread(data_dir=str(small.lite), host="127.0.0.1", port=0)
    try:
        address = f"milvus://127.0.0.1:{port}/default/photos"
        assert to_milvus(small.root, address).sent == 8
        with imseek.open(small.root) as collection, imseek.open(address) as published:
            check_same(collection.search("red"), published.search("red"))
            assert published.info().path == address
    finally:
        server.stop(0).wait()
        database.close()


def test_after_close_nothing_is_answered_and_the_folder_is_free(small: Small) -> None:
    small.publish()
    published = imseek.open(small.address)
    published.close()
    published.close()
    with pytest.raises(UsageError, match="closed"):
        published.get(1)
    import fcntl

    with (small.lite / "LOCK").open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_picture_that_is_another_one_by_now(small: Small, photo_files: list[Path]) -> None:
    small.publish()
    with imseek.open(small.address) as published:
        hit = published.search(Query((RED,), where="name = 'coffee.png'"))[0]
        shutil.copy(photo_files[0], small.photos / "coffee.png")
        with pytest.raises(ContentChangedError, match="changed since it was indexed"):
            published.read(hit.image_id)
        (small.photos / "coffee.png").unlink()
        with pytest.raises(MediaError):
            published.read(hit.image_id)
        with pytest.raises(ImageNotFoundError):
            published.read(999)


def test_another_encoder_and_an_adapted_one_are_refused(small: Small) -> None:
    small.publish()
    client = Client(parse(small.address))
    found = publication_record.read(client)
    other = replace(found.spaces[0], fingerprint="0" * 64)
    publication_record.write(client, replace(found, spaces=(other,)))
    with imseek.open(small.address) as published:
        with pytest.raises(EncoderMismatchError):
            published.search("red")
        assert published.search(1).hits[0].image_id == 1  # Stored rows need no encoder.
    adapted = replace(found.spaces[0], encoder="adapter:mine+fake")
    publication_record.write(client, replace(found, spaces=(adapted,)))
    with imseek.open(small.address) as published, pytest.raises(EncoderUnavailableError, match="adapter"):
        published.search("red")
    client.close()


def test_ranks_that_milvus_does_not_give_are_refused(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imseek.search.milvus.index.MAX_ROWS", 5)
    small.publish()
    with imseek.open(small.address) as published:
        assert len(published.search("red", limit=4)) == 4
        with pytest.raises(QueryError, match="at most the best 5"):
            published.search("red", limit=7)


def test_the_best_over_two_spaces_is_proved_or_refused(
    both: tuple[imseek.Collection, PublishedCollection], monkeypatch: pytest.MonkeyPatch
) -> None:
    collection, published = both
    monkeypatch.setattr("imseek.search.milvus.index.MAX_ROWS", 20)
    check_same(collection.search(3, limit=1), published.search(3, limit=1))
    monkeypatch.setattr("imseek.search.milvus.index.MAX_ROWS", 10)
    with pytest.raises(QueryError, match="beyond the best 10 of each"):
        published.search(3, limit=10)


def test_texts_and_tags_that_are_too_long_are_told(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "MAX_TAGS", 1)
    with Writer(small.root, "test") as writer:
        put_columns(writer, "mine", {"story": {1: "ä" * 70_000, 2: "short"}})
    for tag in ("a", "b"):
        imseek.tags.add(small.root, tag, [3])
    report = small.publish()
    assert report.shortened == 2
    with imseek.open(small.address) as published:
        assert len(published.get(1).metadata["story"]) > 5_000
        assert published.get(2).metadata["story"] == "short"
        assert published.get(3).tags == ("a",)
        assert len(published.search(Query((RED,), where="starts_with(story, 'äää')"))) == 1


def test_more_columns_than_milvus_has_fields_for(small: Small) -> None:
    with Writer(small.root, "test") as writer:
        put_columns(writer, "mine", {f"extra {n:02d}": {1: n} for n in range(70)})
    report = small.publish()
    assert report.left_out
    with imseek.open(small.address) as published:
        assert published.get(1).metadata["extra 69"] == 69
        with pytest.raises(QueryError, match="extra 69"):
            published.search(Query((RED,), where='"extra 69" = 69'))


def test_an_empty_collection(tmp_path: Path) -> None:
    with imseek.create(tmp_path / "c", encoder="fake") as collection:
        address = f"milvus://{tmp_path}/m.db"
        assert to_milvus(collection, address).images == 0
        with imseek.open(address) as published:
            check_same(collection.search("red"), published.search("red"))
            check_same(
                collection.search(Query((RED,), where="width > 3")),
                published.search(Query((RED,), where="width > 3")),
            )


def test_threads_and_processes_search_at_once(small: Small) -> None:
    small.publish()
    with imseek.open(small.address) as published:
        expected = [hit.image_id for hit in published.search("red")]
        found: list[list[int]] = []
        threads = [
            threading.Thread(target=lambda: found.append([hit.image_id for hit in published.search("red")]))
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == [expected] * 8


def test_a_search_of_a_folder_loads_no_milvus(small: Small) -> None:
    script = (
        "import sys, imseek\n"
        f"imseek.open({os.fspath(small.root)!r}).search('red')\n"
        "print([m for m in ('pymilvus', 'milvus_lite', 'grpc', 'imseek.data.milvus.client') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# -- addresses -----------------------------------------------------------------------------------------------------

ADDRESSES = {
    "milvus:///srv/photos.db": "milvus:///srv/photos.db#imseek",
    "milvus:///srv/a%20b.db#mine": "milvus:///srv/a%20b.db#mine",
    "/srv/photos.milvus#mine": "milvus:///srv/photos.milvus#mine",
    "milvus://host": "milvus://host:19530/default/imseek",
    "milvus://host:1/mine": "milvus://host:1/default/mine",
    "milvus://[::1]:1/base/mine": "milvus://[::1]:1/base/mine",
    "http://host:19530": "milvus://host:19530/default/imseek",
    "https://host/base/mine": "milvus+https://host:443/base/mine",
    "milvus+https://host:19530/base/mine/": "milvus+https://host:19530/base/mine",
}


@pytest.mark.parametrize("text", ADDRESSES)
def test_addresses(text: str) -> None:
    assert str(parse(text)) == ADDRESSES[text]
    assert parse(str(parse(text))) == parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "photos",
        "milvus://",
        "milvus:///",
        "milvus://host/a/b/c",
        "milvus://host:x",
        "milvus://host/a b",
        "milvus://host/1a",
        "milvus://user:secret@host",
        "milvus://host?token=secret",
        "milvus:///srv/p.db#a-b",
        "ftp://host",
        "milvus://host#name",
    ],
)
def test_addresses_that_are_none(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse(text)
    assert "secret" not in f"{refused.value} {refused.value.hint}"


def test_a_publication_has_no_words(both: tuple[imseek.Collection, PublishedCollection]) -> None:
    collection, published = both
    by_image = [(hit.image_id, hit.matches) for hit in published.search("red", by="image")]
    assert [(hit.image_id, hit.matches) for hit in published.search("red")] == by_image
    assert any(hit.matches for hit in collection.search("red")), "words match in the collection itself"
    with pytest.raises(QueryError, match="published collection has no words"):
        published.search("red", by="text")
