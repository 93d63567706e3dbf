"""Judgements of pairs of contents: stored, withdrawn, and still there whatever happens to the collection."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from templates import Templates

import imseek
from imseek import maintenance
from imseek.data import layout
from imseek.data.catalog import duplicate_judgement_file
from imseek.data.catalog.duplicate_judgements import make_judgement, read, record, withdraw
from imseek.data.catalog.sqlite import catalog_backups
from imseek.data.files import durable_files
from imseek.data.reader import Reader
from imseek.data.writing.writer import Writer
from imseek.errors import UsageError
from imseek.types.duplicate_judgements import Judgement

A, B, C = (letter * 64 for letter in "abc")
AT = "2026-01-02T03:04:05+00:00"


@pytest.fixture
def root(tmp_path: Path, photos: Path, templates: Templates) -> Path:
    path = tmp_path / "collection"
    return templates.indexed(path, photos)


def judge(root: Path, *said_of: Judgement) -> int:
    with Writer(root, "judge") as writer:
        return record(writer, said_of)


def take_back(root: Path, *pairs: tuple[str, str]) -> int:
    with Writer(root, "judge") as writer:
        return withdraw(writer, pairs)


def generation(root: Path) -> int:
    return Reader(root).generation


def hashes(root: Path) -> list[str]:
    with closing(sqlite3.connect(root / layout.CATALOG)) as connection:
        rows = connection.execute("SELECT content_hash FROM images WHERE died = 9223372036854775807")
        return sorted(row[0].hex() for row in rows)


def test_a_judgement_is_of_a_pair_in_any_order(root: Path) -> None:
    assert (
        judge(
            root,
            make_judgement(B, A, "different", "test", AT),
            make_judgement(A, C.upper(), "same", "test", AT),
        )
        == 2
    )
    assert read(root) == (
        Judgement(A, B, "different", "test", AT),
        Judgement(A, C, "same", "test", AT),
    )
    assert take_back(root, (B, A), (B, C)) == 1
    assert read(root) == (Judgement(A, C, "same", "test", AT),)
    assert maintenance.verify(root).ok


def test_the_last_word_holds_and_the_same_word_again_says_nothing(root: Path) -> None:
    judge(root, make_judgement(A, B, "same", "first", AT))
    before = generation(root)
    assert judge(root, make_judgement(A, B, "same", "second")) == 0
    assert take_back(root, (A, C)) == 0
    assert generation(root) == before
    assert read(root) == (Judgement(A, B, "same", "first", AT),)
    assert judge(root, make_judgement(A, B, "same", "x", AT), make_judgement(B, A, "different", "y", AT)) == 1
    assert read(root) == (Judgement(A, B, "different", "y", AT),)


def test_a_judgement_has_the_time_in_utc(root: Path) -> None:
    found = make_judgement(A, B, "same", "test").decided_at
    assert found.endswith("+00:00")
    assert len(found) == len(AT)


@pytest.mark.parametrize(
    ("a", "b", "verdict"),
    [
        (A, A, "same"),
        (A, A.upper(), "same"),
        (A, B, "alike"),
        (A, B[:-1], "same"),
        (A, B + "b", "same"),
        (A, "g" * 64, "same"),
        (A, "b " * 32, "same"),
    ],
)
def test_what_is_no_judgement_is_refused(root: Path, a: str, b: str, verdict: str) -> None:
    with pytest.raises(UsageError):
        make_judgement(a, b, verdict, "test")  # type: ignore[arg-type]
    with pytest.raises(UsageError):
        judge(root, Judgement(a, b, verdict, "test", AT))  # type: ignore[arg-type]
    assert read(root) == ()


@pytest.mark.timeout(30)
def test_a_file_that_is_judged_is_a_file(root: Path, tmp_path: Path) -> None:
    """A pipe that nobody writes to is not waited for, and a name may begin with a tilde."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match=r"cannot read .*pipe: it is not a regular file"):
        imseek.duplicates.judge(root, [0, tmp_path / "pipe"], "same")
    with pytest.raises(UsageError, match=r"cannot read ~nobody.jpg: No such file"):
        imseek.duplicates.judge(root, [0, "~nobody.jpg"], "same")


def test_verdicts_of_a_later_imseek_are_kept_and_not_read(root: Path) -> None:
    with Writer(root, "later") as writer:
        writer.apply(
            lambda connection, _: duplicate_judgement_file._insert(
                connection, [(b"a" * 32, b"b" * 32, "perhaps", "x", AT)]
            )
        )
    judge(root, make_judgement(A, B, "same", "test", AT))
    assert read(root) == (Judgement(A, B, "same", "test", AT),)
    (stored,) = (root / layout.JUDGEMENTS).iterdir()
    assert [row[2] for row in durable_files.strip_checksum(stored.read_bytes())["judgements"]] == [
        "perhaps",
        "same",
    ]


def test_there_is_one_file_and_it_says_what_the_catalog_says(root: Path) -> None:
    assert not (root / layout.JUDGEMENTS).exists(), "nobody has judged"
    for n in range(3):
        judge(root, make_judgement(A, f"{n:064x}", "same", "test", AT))
    (stored,) = (root / layout.JUDGEMENTS).iterdir()
    document = durable_files.strip_checksum(stored.read_bytes())
    assert stored.name == f"all.{generation(root)}.json"
    assert document == {
        "format": 1,
        "uuid": Reader(root).identity.uuid,
        "generation": generation(root),
        "judgements": [[f"{n:064x}", A, "same", "test", AT] for n in range(3)],
    }


def test_a_collection_that_cannot_be_written_is_read(root: Path) -> None:
    judge(root, make_judgement(A, B, "same", "test", AT))
    root.chmod(0o500)
    try:
        assert len(read(root)) == 1
    finally:
        root.chmod(0o700)


# -- what a collection goes through ----------------------------------------------------------------------------


def reindexed(root: Path, photos: Path) -> None:
    with imseek.open(root) as collection:
        collection.index(rehash=True)


def moved_and_removed(root: Path, photos: Path) -> None:
    """One file moves, one is gone for good; with it a source is removed and comes back."""
    (photos / "coffee.png").rename(photos / "below" / "moved.png")
    (photos / "chelsea.png").unlink()
    with imseek.open(root) as collection:
        assert collection.index().moved == 1
        (source,) = collection.info().sources
        collection.remove_source(source.source_id)
        collection.index([photos])


def reencoded(root: Path, photos: Path) -> None:
    assert maintenance.reencode(root, "fake:32").outcome == "switched"


def purged(root: Path, photos: Path) -> None:
    moved_and_removed(root, photos)
    maintenance.purge(root)


def merged(root: Path, photos: Path) -> None:
    for n in range(8):
        shutil.copyfile(photos / "coffee.png", photos / f"coffee{n}.png")
        with (photos / f"coffee{n}.png").open("ab") as file:
            file.write(bytes([n]))
        with imseek.open(root) as collection:
            collection.index()
    maintenance.merge(root)


@pytest.mark.parametrize("event", [reindexed, moved_and_removed, reencoded, purged, merged])
def test_judgements_survive(root: Path, photos: Path, event: Callable[[Path, Path], None]) -> None:
    contents = hashes(root)
    judge(root, *(make_judgement(contents[0], other, "different", "test", AT) for other in contents[1:]))
    take_back(root, (contents[0], contents[-1]))
    before = read(root)
    assert len(before) == len(contents) - 2
    event(root, photos)
    assert read(root) == before
    assert maintenance.verify(root).ok
    # Also where the catalog is made anew afterwards.
    for name in (layout.CATALOG, *layout.BACKUPS):
        (root / name).unlink()
    report = maintenance.repair(root)
    assert report.after.ok
    assert read(root) == before
    with imseek.open(root) as collection:
        collection.index([photos])
    assert read(root) == before
    assert len(set(contents) - set(hashes(root))) <= 1, "they are still of these pictures"


# -- repair --------------------------------------------------------------------------------------------------


def lines(report: imseek.types.maintenance_reports.RepairReport) -> tuple[list[str], list[str]]:
    """What is said of judgements: restored, lost."""
    return ([x for x in report.restored if "judgements" in x], [x for x in report.lost if "judgements" in x])


def stored(root: Path) -> Path:
    (path,) = (root / layout.JUDGEMENTS).iterdir()
    return path


def lose_catalog(root: Path, keep: str | None = None) -> None:
    for name in (layout.CATALOG, *layout.BACKUPS):
        if name != keep:
            (root / name).unlink()


def older_backup(root: Path) -> str:
    return min(layout.BACKUPS, key=lambda name: catalog_backups.generation_of(root / name))


def test_from_shards_alone_judgements_come_from_their_file(root: Path) -> None:
    judge(root, make_judgement(A, B, "same", "test", AT), make_judgement(A, C, "same", "test", AT))
    take_back(root, (A, C))
    name = stored(root).relative_to(root)
    lose_catalog(root)
    report = maintenance.repair(root)
    assert report.after.ok
    assert lines(report) == ([f"1 judgements from {name}"], [])
    assert any("sources, places and tags" in line for line in report.lost)
    assert read(root) == (Judgement(A, B, "same", "test", AT),)
    assert generation(root) > int(name.name.split(".")[1])
    judge(root, make_judgement(A, C, "different", "test", AT))
    assert [j.verdict for j in read(root)] == ["same", "different"]
    assert maintenance.verify(root).ok


def test_what_an_older_backup_does_not_know_comes_from_the_file(root: Path) -> None:
    """Neither what was said since is lost, nor does come back what was withdrawn since."""
    judge(root, make_judgement(A, B, "same", "test", AT))
    judge(root, make_judgement(A, C, "same", "test", AT))
    take_back(root, (A, B))
    kept = older_backup(root)
    lose_catalog(root, keep=kept)
    report = maintenance.repair(root)
    assert report.after.ok
    assert len(lines(report)[0]) == 1
    assert lines(report)[1] == []
    assert read(root) == (Judgement(A, C, "same", "test", AT),)


def test_all_withdrawn_stays_withdrawn(root: Path) -> None:
    judge(root, make_judgement(A, B, "same", "test", AT))
    take_back(root, (A, B))
    lose_catalog(root, keep=older_backup(root))
    assert maintenance.repair(root).after.ok
    assert read(root) == ()


@pytest.mark.parametrize("damage", ["a bit", "half", "gone"])
def test_a_damaged_file_is_found_and_written_again(root: Path, damage: str) -> None:
    judge(root, make_judgement(A, B, "same", "test", AT))
    path = stored(root)
    data = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(data[: len(data) // 2] if damage == "half" else data.replace(b"same", b"sane"))
    (problem,) = maintenance.verify(root).problems
    assert (problem.kind, problem.file) == ("judgements", str(path.relative_to(root)))
    report = maintenance.repair(root)
    assert (report.after.ok, report.lost) == (True, ())
    assert lines(report)[0] == [f"{problem.file} from the catalog"]
    assert read(root) == (Judgement(A, B, "same", "test", AT),)
    assert stored(root) != path


def test_what_only_a_damaged_file_held_is_named(root: Path) -> None:
    judge(root, make_judgement(A, B, "same", "test", AT))
    judge(root, make_judgement(A, C, "same", "test", AT))
    path = stored(root)
    path.write_bytes(path.read_bytes().replace(C.encode(), B.encode()))
    lose_catalog(root, keep=older_backup(root))
    report = maintenance.repair(root)
    assert report.after.ok
    (lost,) = lines(report)[1]
    assert path.name in lost
    assert read(root) == (Judgement(A, B, "same", "test", AT),)


def test_the_file_of_another_collection_is_not_taken(root: Path, tmp_path: Path) -> None:
    imseek.create(tmp_path / "other", encoder="fake").close()
    judge(tmp_path / "other", make_judgement(A, C, "same", "other", AT))
    judge(root, make_judgement(A, B, "same", "test", AT))
    mine, foreign = stored(root), stored(tmp_path / "other")
    shutil.copyfile(foreign, mine.with_name("all.99.json"))
    shutil.copyfile(foreign, mine)
    lose_catalog(root)
    report = maintenance.repair(root)
    assert report.after.ok
    assert read(root) == ()
    assert any("judgements" in line for line in report.lost)


def test_what_was_never_committed_is_swept(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The new file is there, the catalog has not told of it: nothing has happened."""
    judge(root, make_judgement(A, B, "same", "test", AT))
    before = stored(root)

    def die(*_: object) -> None:
        raise OSError("broken off")

    with Writer(root, "judge") as writer:
        monkeypatch.setattr("imseek.data.writing.writer.current_of", die)
        with pytest.raises(OSError, match="broken off"):
            record(writer, [make_judgement(A, C, "same", "test", AT)])
        monkeypatch.undo()
    assert [problem.kind for problem in maintenance.verify(root).problems] == ["orphan"]
    with Writer(root, "next"):
        pass
    assert stored(root) == before
    assert maintenance.verify(root).ok
    assert read(root) == (Judgement(A, B, "same", "test", AT),)


def test_an_older_file_does_not_undo_what_the_catalog_knows(root: Path) -> None:
    """Somebody has put a file back from their own backup."""
    judge(root, make_judgement(A, B, "same", "test", AT))
    older = stored(root)
    data = older.read_bytes()
    judge(root, make_judgement(A, B, "different", "test", AT))
    kept = max(layout.BACKUPS, key=lambda name: catalog_backups.generation_of(root / name))
    lose_catalog(root, keep=kept)
    stored(root).unlink()
    older.write_bytes(data)
    report = maintenance.repair(root)
    assert report.after.ok
    assert [(j.a, j.b, j.verdict) for j in read(root)] == [(A, B, "different")]
    assert stored(root) != older


@pytest.mark.parametrize(
    "row", [[5, B], [A, B, 5, "test", AT], [A, B, "same", None, AT], ["no hex", B, "same", "", AT]]
)
def test_a_sealed_file_with_a_row_that_is_none_is_damaged(root: Path, row: list[Any]) -> None:
    judge(root, make_judgement(A, B, "same", "test", AT))
    path = stored(root)
    found = durable_files.strip_checksum(path.read_bytes())
    assert found["judgements"] == [[A, B, "same", "test", AT]]
    path.write_bytes(durable_files.add_checksum({**found, "judgements": [row]}))
    lose_catalog(root)
    report = maintenance.repair(root)
    assert report.after.ok
    assert read(root) == ()
    (lost,) = (line for line in report.lost if "it is damaged" in line)
    assert path.name in lost
