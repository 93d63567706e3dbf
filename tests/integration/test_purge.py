"""Purged: no byte of what has left a collection is in any of its files, and what remains is as it was.

Where a test expects nothing to be found, it shows first that the same search finds it.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from durability.purging import (
    ALIVE,
    REMOVED,
    Case,
    ask,
    draw,
    flip,
    found_in,
    ids_in,
    remaining,
    removed_from,
)

import imseek
from imseek import maintenance, overview, tags
from imseek.data import layout
from imseek.data.catalog import duplicate_judgements
from imseek.data.catalog.sqlite import catalog_writer as sqlite_catalog
from imseek.data.catalog.sqlite.catalog_file import CatalogConnection
from imseek.data.catalog.sqlite.lock import WriterLock
from imseek.data.collection_records import FOREVER
from imseek.data.reader import Reader
from imseek.data.shards.derived_columns import put_columns
from imseek.data.writing.writer import Writer
from imseek.errors import (
    CollectionNotFoundError,
    CorruptCollectionError,
    LockedError,
    ReadOnlyError,
    StaleGenerationError,
)
from imseek.search.query import as_query
from imseek.types.collection_info import IndexPolicy


@pytest.fixture(scope="module", autouse=True)
def _as_sqlite_is_by_default() -> Iterator[None]:
    """What is deleted stays in its page. (Debian builds SQLite so that it is overwritten.)"""
    real = sqlite_catalog.open_for_writing

    def open_for_writing(path: Path, timeout: float) -> CatalogConnection:
        connection = real(path, timeout)
        connection.execute("PRAGMA secure_delete=OFF")
        return connection

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite_catalog, "open_for_writing", open_for_writing)
        yield


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return removed_from(tmp_path_factory.mktemp("purge"))


@pytest.fixture
def case(template: Case, tmp_path: Path) -> Case:
    return template.copy(tmp_path / "home")


# -- all of it is gone, and nothing else ---------------------------------------------------------------------


def test_nothing_is_left_of_what_was_removed_and_the_rest_is_as_it_was(case: Case) -> None:
    before, found = remaining(case.root), found_in(case.root, case.traces)
    assert found.keys() == case.traces.keys()
    assert set().union(*found.values()) == {
        "metadata",
        "spaces",
        "columns",
        "cache",
        layout.CATALOG,
        *layout.BACKUPS,
        *(path.name for path in case.root.glob("catalog.sqlite.damaged.*")),
    }
    assert case.ids < ids_in(case.root)
    report = maintenance.purge(case.root)
    assert (report.images, report.shards) == (len(REMOVED), 1)
    assert found_in(case.root, case.traces) == {}
    assert not case.ids & ids_in(case.root)
    assert remaining(case.root) == before
    assert {state for *_, state, _ in before["states"]} == {"live", "quarantined", "suspended"}
    assert maintenance.verify(case.root).ok
    kept = {layout.COLLECTION, layout.CURRENT, layout.CATALOG, *layout.BACKUPS, layout.CHECKSUMS, layout.LOCK}
    there = {path.name for path in case.root.iterdir()} - {*layout.CATALOG_COMPANIONS}
    assert there | {layout.MODELS} == {*kept, *layout.LISTED_FOLDERS}  # Nothing was learned here.


def test_what_is_kept_is_found_by_the_same_search(case: Case) -> None:
    maintenance.purge(case.root)
    kept = ("camera of keep0", "label of quarantined", "caption of suspended", "tag of changes", "moved.png")
    where = found_in(case.root, {name: name.encode() for name in kept})
    assert where.keys() == set(kept)
    assert where["moved.png"] >= {layout.CATALOG, *layout.BACKUPS}


def test_a_second_purge_has_nothing_to_do(case: Case) -> None:
    assert maintenance.purge(case.root).images
    before, generation = remaining(case.root), Reader(case.root).generation
    listed = {path: path.stat() for name in layout.LISTED_FOLDERS for path in (case.root / name).rglob("*")}
    report = maintenance.purge(case.root)
    assert (report.images, report.records, report.shards, report.files, report.bytes) == (0, 0, 0, 0, 0)
    assert (remaining(case.root), Reader(case.root).generation) == (before, generation)
    assert {path: path.stat() for name in layout.LISTED_FOLDERS for path in (case.root / name).rglob("*")} == listed
    assert maintenance.verify(case.root).ok


STEPS = {
    "rewriting": "imseek.data.writing.purge.compaction.merge",
    "forgetting": "imseek.data.writing.purge._delete_history",
    "removing": "imseek.data.writing.purge._remove_unlisted_files",
    "scrubbing": "imseek.data.catalog.sqlite.catalog_writer.SqliteCatalog.scrub",
    "backing up": "imseek.data.writing.writer.Writer.renew_backup",
}


@pytest.mark.parametrize("step", STEPS)
def test_every_step_is_needed_and_one_that_fails_is_made_up_for(
    case: Case, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = remaining(case.root)
    with monkeypatch.context() as patch:
        patch.setattr(STEPS[step], lambda *_: (0, 0))
        maintenance.purge(case.root)
    assert found_in(case.root, case.traces), f"without {step} something is left"
    assert remaining(case.root) == before
    monkeypatch.setattr(STEPS[step], broken_off)
    with pytest.raises(OSError, match="broken off"):
        maintenance.purge(case.root)
    monkeypatch.undo()
    assert {problem.kind for problem in maintenance.verify(case.root).problems} <= {"orphan", "current"}
    assert remaining(case.root) == before
    maintenance.purge(case.root)
    assert found_in(case.root, case.traces) == {}
    assert remaining(case.root) == before
    assert maintenance.verify(case.root).ok


def broken_off(*_: object) -> None:
    raise OSError("broken off")


# -- what is not gone ----------------------------------------------------------------------------------------


def test_judgements_stay(case: Case) -> None:
    judged = case.traces["hash of gone0"].hex()
    said = duplicate_judgements.make_judgement(judged, "b" * 64, "different", "test", "2026-01-02")
    with Writer(case.root, "test") as writer:
        duplicate_judgements.record(writer, [said])
    maintenance.purge(case.root)
    assert found_in(case.root, case.traces) == {
        "hash of gone0": {layout.CATALOG, *layout.BACKUPS},
        "hash in hex of gone0": {layout.JUDGEMENTS},
    }
    assert said in duplicate_judgements.read(case.root)
    assert len(duplicate_judgements.read(case.root)) == 2
    with Writer(case.root, "test") as writer:
        duplicate_judgements.withdraw(writer, [(judged, "b" * 64)])
    maintenance.purge(case.root)
    assert found_in(case.root, case.traces) == {}


def test_an_image_without_a_place_keeps_the_last_one(case: Case) -> None:
    """It waits for an interrupted run to go on, and goes with its source."""
    with Writer(case.root, "test") as writer:
        query = "UPDATE places SET died = ? WHERE path = ?"
        writer.apply(lambda connection, generation: connection.execute(query, (generation, b"moved.png")) and None)
        homeless = writer.catalog.missing_images()
    assert len(homeless) == 1
    maintenance.purge(case.root)
    with Writer(case.root, "test") as writer:
        assert writer.catalog.missing_images() == homeless
    places = ask(case.root, f"SELECT image_id, path FROM places WHERE NOT {ALIVE}")
    assert places == [(homeless[0][0], b"moved.png")]


def test_the_number_of_a_removed_source_is_not_given_again(case: Case) -> None:
    numbers = {number for (number,) in ask(case.root, "SELECT source_id FROM sources")}
    maintenance.purge(case.root)
    with imseek.open(case.root) as collection:
        collection.index([case.home / "the folder that goes"])
        new = {source.source_id for source in collection.info().sources} - numbers
    assert new == {max(numbers) + 1}


def test_an_index_without_the_dead_stays_and_strays_go(case: Case) -> None:
    maintenance.purge(case.root)
    for _ in range(2):
        maintenance.build_index(case.root, IndexPolicy(kind="Flat"))
    (case.root / "spaces" / "0" / "img_emb" / "stray").write_bytes(b"")
    (kept,) = ask(case.root, f"SELECT folder FROM snapshots WHERE died = {FOREVER}")
    assert len(list(case.root.rglob("faiss.index"))) == 2
    maintenance.purge(case.root)
    assert list(case.root.rglob("faiss.index")) == [case.root / kept[0] / "faiss.index"]
    assert ask(case.root, "SELECT folder FROM snapshots") == [kept]
    assert list(case.root.rglob("stray")) == []


def test_an_index_that_holds_the_dead_is_built_again(case: Case) -> None:
    """Its codes are the vectors themselves, so that they can be looked for."""
    maintenance.build_index(case.root, IndexPolicy(kind="Flat"))
    with imseek.open(case.root) as collection:
        hits = collection.search(np.ones(64), limit=1000, metadata=False)
        hit = next(hit for hit in hits if hit.path and Path(hit.path).is_file())
        gone = Reader(case.root).vector(hit.image_id, 0).astype(np.float32).tobytes()
        Path(str(hit.path)).unlink()
        collection.index()
    (before,) = case.root.rglob("faiss.index")
    assert gone in before.read_bytes()
    maintenance.purge(case.root)
    (after,) = case.root.rglob("faiss.index")
    assert after != before
    assert gone not in after.read_bytes()


# -- readers at work -----------------------------------------------------------------------------------------


def test_a_reader_of_an_older_generation_says_that_it_is_gone(case: Case) -> None:
    """Not that a picture has no place and no tags: everything else of it may be mapped."""
    reader = Reader(case.root)
    ids = [i for shard in reader.current.shards for i in reader.shard_ids(shard).tolist()]
    reader.segments(0)
    maintenance.purge(case.root)
    for question in (lambda: reader.places(ids), lambda: reader.image(ids[0]), lambda: reader.metadata(ids)):
        with pytest.raises(StaleGenerationError):
            question()


@pytest.mark.parametrize("metadata", [True, False])
def test_a_search_that_a_purge_overtakes_answers_from_the_newest_generation(
    case: Case, metadata: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with imseek.open(case.root) as collection:
        query = as_query(np.eye(64)[0], limit=99)
        before = collection.search(query, metadata=metadata)
        gone = case.home / "stays" / "keep1.png"

        def delete_and_purge() -> None:
            gone.unlink()
            with imseek.open(case.root) as other:
                other.index()
            maintenance.purge(case.root)

        overtake(monkeypatch, "places", [delete_and_purge])
        after = collection.search(query, metadata=metadata)
    assert after.generation > before.generation
    assert [hit for hit in before if hit.path != str(gone)] == list(after)
    assert len(after) == len(before) - 1


def test_get_and_info_that_a_purge_overtakes(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice: the retry is overtaken too."""
    with imseek.open(case.root) as collection:
        image_id = collection.search("red", limit=1)[0].image_id
        image, info = collection.get(image_id), collection.info()

        def commit_and_purge() -> None:
            with Writer(case.root, "test") as writer:
                put_columns(writer, "more", {"more": {image_id: writer.generation}})
            maintenance.purge(case.root)

        overtake(monkeypatch, "metadata", [commit_and_purge, commit_and_purge])
        found = collection.get(image_id)
        assert found.metadata["more"] > info.generation
        assert (found.place, found.tags) == (image.place, image.tags)
        overtake(monkeypatch, "check_history", [commit_and_purge, commit_and_purge])
        assert collection.info().generation > info.generation
        assert collection.info().sources == info.sources


def test_places_tags_and_what_is_due_that_a_purge_overtakes(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    with imseek.open(case.root) as collection:
        image_id = collection.search("red", limit=1)[0].image_id
        place = collection.get(image_id).place
    tags.add(case.root, "boat", [image_id])

    def commit_and_purge() -> None:
        with Writer(case.root, "test") as writer:
            put_columns(writer, "more", {"more": {image_id: writer.generation}})
        maintenance.purge(case.root)

    expected = maintenance.due(case.root)
    assert overview.find_places(case.root, [image_id, 10**6]) == {image_id: place}
    for read in (
        lambda: overview.find_places(case.root, [image_id]),
        lambda: tags.every(case.root),
        lambda: tags.of(case.root, [image_id]),
    ):
        found = read()
        events = [commit_and_purge]
        overtake(monkeypatch, "check_history", events)
        assert read() == found
        assert events == []
    events = [commit_and_purge]
    overtake(monkeypatch, "load", events)
    assert maintenance.due(case.root).unmeasured == expected.unmeasured
    assert events == []


def overtake(monkeypatch: pytest.MonkeyPatch, method: str, events: list[Callable[[], None]]) -> None:
    """Let each of ``events`` happen in a call of a reader's ``method``, before it reads anything."""
    real = getattr(Reader, method)

    def overtaken(reader: Reader, *arguments: Any) -> Any:
        if events:
            events.pop()()
        return real(reader, *arguments)

    monkeypatch.setattr(Reader, method, overtaken)


def test_a_file_missing_from_the_newest_generation_is_an_error(case: Case) -> None:
    for path in (case.root / layout.METADATA).glob("*.parquet"):
        path.unlink()
    with imseek.open(case.root) as collection, pytest.raises(StaleGenerationError, match="is missing") as error:
        collection.search("red")
    assert "repair" in str(error.value.hint)


# -- refusals ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [maintenance.merge, maintenance.purge])
def test_where_it_cannot_be_done(
    case: Case, tmp_path: Path, command: Callable[[Path], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(CollectionNotFoundError):
        command(tmp_path / "nowhere")
    lock = WriterLock(case.root)
    lock.acquire()
    try:
        with pytest.raises(LockedError):
            command(case.root)
    finally:
        lock.release()
    monkeypatch.setattr("os.access", lambda path, mode: mode != os.W_OK)
    with pytest.raises(ReadOnlyError):
        command(case.root)
    monkeypatch.undo()
    assert found_in(case.root, case.traces).keys() == case.traces.keys()


def test_a_damaged_shard_is_not_written_anew(case: Case) -> None:
    before = Reader(case.root).generation
    for path in (case.root / "spaces" / "0" / "img_emb").iterdir():
        flip(path)
    with pytest.raises(CorruptCollectionError, match="img_emb") as refusal:
        maintenance.purge(case.root)
    assert "repair" in str(refusal.value.hint)
    assert Reader(case.root).generation == before


def test_a_program_that_holds_the_log_is_named_and_waited_for_next_time(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(sqlite3.connect(case.root / layout.CATALOG, isolation_level=None)) as other:
        monkeypatch.setattr("imseek.data.catalog.sqlite.catalog_writer.BUSY_SECONDS", 0.1)
        other.execute("BEGIN")
        other.execute("SELECT COUNT(*) FROM images").fetchone()
        with pytest.raises(LockedError, match="being read by another program"):
            maintenance.purge(case.root)
        other.execute("COMMIT")
    maintenance.purge(case.root)
    assert found_in(case.root, case.traces) == {}


# -- merging -------------------------------------------------------------------------------------------------


def test_merging_reports_what_it_did(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    with imseek.open(case.root) as collection:
        for n in range(8):
            draw(case.home / "stays" / f"new{n}.png", f"new{n}")
            monkeypatch.setattr("imseek.data.shards.compaction.FACTOR", 1000)
            collection.index()
    monkeypatch.undo()
    before = remaining(case.root)["answers"]
    shards = len(Reader(case.root).current.shards)
    report = maintenance.merge(case.root)
    assert (report.merges, report.shards_before, report.removed) == (1, shards, 0)
    assert report.shards == len(Reader(case.root).current.shards) == shards - 7
    assert remaining(case.root)["answers"] == before
    monkeypatch.setattr("imseek.data.writing.writer.GRACE_SECONDS", -1.0)
    again = maintenance.merge(case.root)
    assert (again.merges, again.shards) == (0, report.shards)
    assert again.removed > 3 * 8
