"""Pictures that are passed over since their content is stored already: never silently, and only as long as asked."""

from __future__ import annotations

import csv
import hashlib
import os
import shutil
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from templates import Templates

import imseek
from imseek.data.catalog import shard_catalog
from imseek.data.catalog.catalog_writer import LIVE
from imseek.data.reader import Reader
from imseek.data.writing.writer import Writer
from imseek.errors import CollectionNotFoundError, UsageError
from imseek.types.indexing_runs import IndexReport

Clock = Callable[[float], None]


@pytest.fixture
def other(tmp_path: Path, photos: Path, templates: Templates) -> Iterator[imseek.Collection]:
    """Another collection, of three photographs that lie elsewhere."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    for name in ("coffee.png", "rocket.jpg", "chelsea.png"):
        shutil.copyfile(photos / name, folder / f"other-{name}")
    templates.indexed(tmp_path / "other", folder)
    with imseek.open(tmp_path / "other") as made:
        yield made


def names(collection: imseek.Collection) -> dict[str, int]:
    """Images that are found, by the name of their file."""
    hits = collection.search(np.ones(collection.info().encoder.dim), limit=1000).hits
    return {Path(str(hit.path)).name.rpartition("!")[2]: hit.image_id for hit in hits}


def passed(report: IndexReport) -> list[str]:
    assert report.known == len(report.known_pictures)
    return sorted(os.path.basename(os.fsdecode(one.path)) for one in report.known_pictures)  # noqa: PTH119


def set_state(collection: imseek.Collection, image_id: int, state: str) -> None:
    with Writer(collection.path, "test") as writer:

        def change(connection, generation):  # type: ignore[no-untyped-def]
            for shard in shard_catalog.change_state(connection, [image_id], LIVE, state):
                shard_catalog.write_dead_rows(writer, connection, generation, shard)

        writer.apply(change)


def lose_vector(collection: imseek.Collection, image_id: int) -> None:
    with Writer(collection.path, "test") as writer:

        def change(connection, generation):  # type: ignore[no-untyped-def]
            query = "SELECT shard_id FROM images WHERE image_id = ?"
            (shard,) = connection.execute(query, (image_id,)).fetchone()
            connection.execute("UPDATE images SET shard_id = NULL WHERE image_id = ?", (image_id,))
            shard_catalog.write_dead_rows(writer, connection, generation, shard)

        writer.apply(change)


def test_what_another_collection_has_is_passed_over_and_told(
    collection: imseek.Collection, other: imseek.Collection, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[bytes] = []
    real = imseek.indexer.decode_stage.decode  # type: ignore[attr-defined]
    monkeypatch.setattr(
        "imseek.indexer.decode_stage.decode", lambda data, **kw: decoded.append(data) or real(data, **kw)
    )
    report = collection.index([photos], skip_known=[other.path])
    assert (report.seen, report.added, report.known, report.skipped, report.live) == (8, 5, 3, 0, 5)
    assert passed(report) == ["chelsea.png", "coffee.png", "rocket.jpg"]
    told = {os.fsdecode(one.path): one for one in report.known_pictures}[str(photos / "coffee.png")]
    content = (photos / "coffee.png").read_bytes()
    assert told.content_hash == hashlib.sha256(content).hexdigest()
    assert (told.reason, told.collection) == ("known_elsewhere", os.fsencode(other.path))
    assert told.image_id == names(other)["other-coffee.png"]
    assert content not in decoded
    assert len(decoded) == 5
    assert collection.info().failures == ()
    assert sum(source.failures for source in collection.info().sources) == 0


def test_a_run_that_is_not_asked_takes_it_up(
    collection: imseek.Collection, other: imseek.Collection, photos: Path, later: Clock
) -> None:
    later(10)
    collection.index([photos], skip_known=[other.path])
    again = collection.index(skip_known=[other.path])
    assert (again.unchanged, again.known, again.files_opened) == (5, 3, 3)
    plain = collection.index()
    assert (plain.unchanged, plain.added, plain.known, plain.known_pictures) == (5, 3, 0, ())
    # What is in the collection stays, whoever has it too.
    once_more = collection.index(skip_known=[other.path], rehash=True)
    assert (once_more.unchanged, once_more.known, once_more.live) == (8, 0, 8)


def test_the_other_collection_is_only_read(
    collection: imseek.Collection, other: imseek.Collection, photos: Path
) -> None:
    def contents() -> dict[str, bytes]:
        companions = ("catalog.sqlite-shm", "catalog.sqlite-wal")
        found = (path for path in other.path.rglob("*") if path.is_file() and path.name not in companions)
        return {str(path): path.read_bytes() for path in found}

    before = contents()
    assert collection.index([photos], skip_known=[other.path]).known == 3
    assert contents() == before


def test_copies_within_the_collection(collection: imseek.Collection, photos: Path, later: Clock) -> None:
    later(10)
    collection.index([photos])
    before = names(collection)
    shutil.copyfile(photos / "coffee.png", photos / "copy.png")
    (photos / "chelsea.png").rename(photos / "cat.png")
    report = collection.index(skip_known=True)
    assert (report.moved, report.copied, report.known, report.removed, report.live) == (1, 0, 1, 0, 8)
    (one,) = report.known_pictures
    assert (one.path, one.reason) == (os.fsencode(photos / "copy.png"), "known_here")
    assert (one.collection, one.image_id) == (os.fsencode(collection.path), before["coffee.png"])
    assert names(collection)["cat.png"] == before["chelsea.png"]
    plain = collection.index()
    assert (plain.copied, plain.known, plain.live) == (1, 0, 9)


def test_twins_of_one_run(collection: imseek.Collection, photos: Path) -> None:
    for n in range(3):
        shutil.copyfile(photos / "coffee.png", photos / f"z{n}.png")
    report = collection.index([photos], skip_known=True)
    assert (report.added, report.copied, report.known, report.live) == (8, 0, 3, 8)
    assert {(one.reason, one.image_id) for one in report.known_pictures} == {("known_here", None)}
    assert collection.index().copied == 3


def test_twins_of_which_the_first_cannot_be_encoded(
    collection: imseek.Collection, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That one is not stored, so the second is not known."""
    shutil.copyfile(photos / "coffee.png", photos / "coffee2.png")
    with monkeypatch.context() as patched:
        patched.setattr("imseek.indexer.decode_stage.unit_rows", lambda _, batch: ["no"] * len(batch))
        report = collection.index([photos], skip_known=True)
    assert (report.known, report.skipped, report.added) == (0, 9, 0)
    assert collection.index(skip_known=True).known == 1


def test_a_move_is_a_move_also_where_another_collection_has_it(
    collection: imseek.Collection, other: imseek.Collection, photos: Path
) -> None:
    collection.index([photos])
    before = names(collection)
    (photos / "coffee.png").rename(photos / "below" / "mug.png")
    report = collection.index(skip_known=[other.path, collection.path])
    assert (report.moved, report.known, report.removed) == (1, 0, 0)
    assert names(collection)["mug.png"] == before["coffee.png"]


def test_a_file_that_now_holds_what_is_known(
    collection: imseek.Collection, other: imseek.Collection, photos: Path
) -> None:
    """What lay there is gone, and nothing takes its place until it is asked for."""
    collection.index([photos / "below"])
    shutil.copyfile(photos / "coffee.png", photos / "below" / "china.jpg")
    report = collection.index(skip_known=[other.path])
    assert (report.changed, report.removed, report.known, report.live) == (0, 1, 1, 1)
    assert set(names(collection)) == {"flower.jpg"}
    assert collection.index().added == 1
    assert set(names(collection)) == {"flower.jpg", "china.jpg"}


def test_quarantined_counts_and_suspended_does_not(
    collection: imseek.Collection, other: imseek.Collection, photos: Path
) -> None:
    """What was set aside as a duplicate must not come in again; of what cannot be read, this may be the last copy."""
    theirs = names(other)
    set_state(other, theirs["other-coffee.png"], "quarantined")
    set_state(other, theirs["other-rocket.jpg"], "suspended")
    assert passed(collection.index([photos], skip_known=[other.path])) == ["chelsea.png", "coffee.png"]


def test_what_has_left_the_other_collection_is_not_known(
    collection: imseek.Collection, other: imseek.Collection, photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere" / "other-coffee.png").unlink()
    other.index()
    assert passed(collection.index([photos], skip_known=[other.path])) == ["chelsea.png", "rocket.jpg"]


def test_lost_vectors_are_made_again(collection: imseek.Collection, other: imseek.Collection, photos: Path) -> None:
    """Of a picture where it was, and of one that has moved: both are known elsewhere, and both are needed."""
    collection.index([photos])
    before = names(collection)
    for name in ("coffee.png", "rocket.jpg"):
        lose_vector(collection, before[name])
    (photos / "rocket.jpg").rename(photos / "moved.jpg")
    assert collection.index(skip_known=[other.path]).known == 0
    after = names(collection)
    assert (after["coffee.png"], after["moved.jpg"]) == (before["coffee.png"], before["rocket.jpg"])


def test_members_of_archives(
    collection: imseek.Collection, other: imseek.Collection, photos: Path, tmp_path: Path, later: Clock
) -> None:
    archive = tmp_path / "some.zip"
    with zipfile.ZipFile(archive, "w") as out:
        for name in ("coffee.png", "astronaut.png", "rocket.jpg"):
            out.write(photos / name, name)
    later(10)
    report = collection.index([archive], skip_known=[other.path])
    assert (report.added, report.known, report.skipped) == (1, 2, 0)
    again = collection.index(skip_known=[other.path])
    assert (again.unchanged, again.known) == (1, 2)
    plain = collection.index()
    assert (plain.unchanged, plain.added) == (1, 2)
    assert set(names(collection)) == {"coffee.png", "astronaut.png", "rocket.jpg"}
    assert collection.index().files_opened == 0


def test_rows_of_tables(collection: imseek.Collection, other: imseek.Collection, photos: Path, tmp_path: Path) -> None:
    table = tmp_path / "rows.csv"
    with table.open("w", newline="") as out:
        rows = csv.writer(out)
        rows.writerow(["image", "caption"])
        rows.writerows([[photos / name, name] for name in ("coffee.png", "astronaut.png", "rocket.jpg")])
    report = collection.index([table], skip_known=[other.path])
    assert (report.added, passed(report)) == (1, ["coffee.png", "rocket.jpg"])
    assert collection.index().added == 2


def test_interrupted_it_goes_on(collection: imseek.Collection, other: imseek.Collection, photos: Path) -> None:
    first = collection.index([photos], skip_known=[other.path], limit=4)
    rest = collection.index(skip_known=[other.path])
    assert (first.added + rest.added, rest.known + rest.added + rest.unchanged) == (5, 8)
    assert rest.live == 5


def test_a_wrong_collection_changes_nothing(collection: imseek.Collection, photos: Path, tmp_path: Path) -> None:
    with pytest.raises(CollectionNotFoundError, match="nowhere"):
        collection.index([photos], skip_known=[tmp_path / "nowhere"])
    assert collection.info().sources == ()
    with pytest.raises(UsageError, match="list of folders"):
        collection.index([photos], skip_known=str(tmp_path))


def test_a_dry_run_says_what_it_cannot_tell(
    collection: imseek.Collection, other: imseek.Collection, photos: Path
) -> None:
    report = collection.index([photos], skip_known=[other.path], dry_run=True)
    assert (report.added, report.known) == (8, 0)
    assert report.notes == ("which of the new pictures are known already is seen when they are read, not in a dry run",)


def test_a_reader_sees_none_of_what_was_passed_over(
    collection: imseek.Collection, other: imseek.Collection, photos: Path
) -> None:
    collection.index([photos], skip_known=[other.path])
    reader = Reader(collection.path)
    assert reader.current.images == 5
    assert len(reader.places(list(range(20)))) == 5
    reader.close()
