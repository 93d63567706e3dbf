"""Formats only grow: what format 1 wrote opens, migrates, and goes on; a migration is whole or has not happened.

``recipes/`` holds a collection as imseek wrote it when format 1 was frozen, and what is known of it. The migrations
tried on it here are invented: see ``upgrades.LATER``.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import imseek
from durability.faults import sample
from durability.forks import Server
from durability.recipes import format_1
from durability.recipes.drawing import draw
from durability.upgrades import FUTURE, LATER, state_of
from imseek import dataset, maintenance
from imseek.data import layout
from imseek.data.catalog import migrations
from imseek.data.catalog.sqlite.catalog_backups import generation_of
from imseek.data.catalog.sqlite.catalog_writer import SqliteCatalog
from imseek.data.current_generation import read_current
from imseek.data.shards.shard_files import LUMA_COLUMNS
from imseek.data.writing.writer import Writer
from imseek.errors import CorruptCollectionError, FormatVersionError, StorageError

RECORDED = json.loads(format_1.FACTS.read_text())
#: Migrations that the recorded catalog has been through.
FIRST = 1


@pytest.fixture
def home(tmp_path: Path) -> Path:
    format_1.unpack(tmp_path / "home")
    return tmp_path / "home"


def assert_facts(found: dict[str, Any], expected: dict[str, Any], *, within: float = 1e-5) -> None:
    for name, hits in expected["hits"].items():
        scores = dict(found["hits"][name])
        assert scores == pytest.approx(dict(hits), abs=within), name
        assert found["hits"][name] == sorted(found["hits"][name], key=lambda hit: (-hit[1], hit[0]))
    for name in expected.keys() - {"hits"}:
        assert found[name] == expected[name], name


def contents(root: Path) -> dict[Path, bytes]:
    """Of every file but those that SQLite keeps for its readers too."""
    files = (path for path in root.rglob("*") if path.is_file())
    return {path: path.read_bytes() for path in files if path.name not in layout.CATALOG_COMPANIONS}


def without(facts: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if name not in names}


# -- the very bytes of format 1 -----------------------------------------------------------------------------------


def test_format_1_is_read_before_any_writer_has_come(home: Path) -> None:
    root = format_1.collection(home)
    before = contents(root)
    assert_facts(format_1.facts(home), RECORDED)
    report = imseek.maintenance.verify(root)
    assert (report.problems, report.files_checked) == ((), 17)
    assert contents(root) == before


def test_the_recipe_still_makes_what_it_made(tmp_path: Path) -> None:
    """Scores may differ by the rounding of vectors to float16, which is the machine's. Measures have come since."""
    format_1.make(tmp_path / "home")
    found = format_1.facts(tmp_path / "home")
    measured = [
        {name for name in LUMA_COLUMNS.names if image.pop(name, None) is not None} for image in found["images"].values()
    ]
    assert all(names >= set(LUMA_COLUMNS.names) - {"luma_blur"} for names in measured)
    assert_facts(found, RECORDED, within=1e-3)


def test_pictures_of_format_1_are_measured_later(home: Path) -> None:
    root = format_1.collection(home)
    before = dataset.quality(root)
    assert before.unknown == before.images
    report = maintenance.measure(root)
    assert report.missing == report.measured + report.unreadable == before.images
    assert report.measured > 10
    for change in (
        lambda: maintenance.verify(root),
        lambda: maintenance.purge(root),
        lambda: maintenance.repair(root),
    ):
        change()
        assert dataset.quality(root).unknown == report.unreadable
        assert maintenance.verify(root).ok


def test_format_1_is_indexed_further(home: Path) -> None:
    root = format_1.collection(home)
    next_id = read_current(root).next_image_id
    draw(home / "photos/later.png", 77)
    (home / "photos/1.png").rename(home / "put away.png")  # Else its image would leave the quarantine.
    with imseek.open(root) as opened:
        (more,) = (s.source_id for s in opened.info().sources if s.path.endswith(b"/more"))
        (single,) = (s.source_id for s in opened.info().sources if s.kind == "file")
        opened.relocate_source(more, home / "more")
        opened.relocate_source(single, home / "single.png")
        report = opened.index()
    # Two pictures wait for their vectors since the repair.
    assert (report.added, report.moved, report.removed, report.changed) == (3, 0, 0, 0)
    assert imseek.maintenance.verify(root).ok
    found = format_1.facts(home)
    for name, hits in RECORDED["hits"].items():
        scores = dict(found["hits"][name])
        lost = [image_id for image_id, _, _, missing in RECORDED["states"] if missing]
        assert scores.keys() == {*dict(hits), *lost, next_id}
        assert {i: scores[i] for i in dict(hits)} == pytest.approx(dict(hits), abs=1e-5)
    assert found["images"][str(next_id)]["place"].endswith("/later.png")
    assert found["images"].items() >= RECORDED["images"].items()
    assert [row[:3] for row in found["states"]][:-1] == [row[:3] for row in RECORDED["states"]]
    assert found["places"][:-1] == RECORDED["places"]
    for name in ("tags", "judgements", "failures", "dead"):
        assert found[name] == RECORDED[name], name


@pytest.mark.parametrize("names", [[layout.CATALOG], [layout.CATALOG, layout.CURRENT]], ids=len)
def test_format_1_is_repaired_from_its_backup(home: Path, names: list[str]) -> None:
    root = format_1.collection(home)
    for name in names:
        (root / name).unlink()
    report = imseek.maintenance.repair(root)
    # Without current.json, nothing says that the backup is of the last generation.
    assert (report.after.ok, len(report.lost)) == (True, len(names) - 1)
    assert_facts(format_1.facts(home), without(RECORDED, "generation"))


# -- migrations to come -------------------------------------------------------------------------------------------


@pytest.fixture
def future(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on this is a later imseek."""
    monkeypatch.setattr(migrations, "MIGRATIONS", FUTURE)


def write(home: Path) -> None:
    with Writer(format_1.collection(home), "upgrade"):
        pass


def test_killed_anywhere_in_a_migration(
    servers: list[Server], fast_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before every statement and every durable operation: a catalog is at one of the versions, as a whole."""
    template = fast_folder / "template"
    format_1.unpack(template)
    expected = _versions(fast_folder, template, monkeypatch)
    whole = shutil.copytree(template, fast_folder / "whole")
    status, count = servers[0]("upgrade", home=whole, die_before=None)
    assert (status, state_of(whole)) == (0, expected[len(FUTURE)])
    assert count > 40, "the harness sees the statements"

    def kill(which: int) -> list[int]:
        for n in range(which, count, len(servers)):
            status, _ = servers[which]("upgrade", home=shutil.copytree(template, fast_folder / f"{n}"), die_before=n)
            assert os.WIFSIGNALED(status), f"operation {n} did not happen again"
            assert os.WTERMSIG(status) == signal.SIGKILL
        return list(range(which, count, len(servers)))

    with ThreadPoolExecutor(len(servers)) as pool:
        trials = [n for killed in pool.map(kill, range(len(servers))) for n in killed]
    seen = {n: state_of(fast_folder / f"{n}") for n in trials}
    for n, found in seen.items():
        assert found == expected[found["version"]], f"killed before operation {n}: a mixture"
    assert {found["version"] for found in seen.values()} == expected.keys(), "kills before, between and after"
    for n in sample(sorted(trials), len(trials) // 9, "kills of a migration"):
        _look_and_go_on(fast_folder / f"{n}", seen[n]["version"], expected[len(FUTURE)], monkeypatch)
    print(f"killed before each of {count} operations of a migration")


def _versions(folder: Path, template: Path, monkeypatch: pytest.MonkeyPatch) -> dict[int, dict[str, Any]]:
    """The catalog at each version there is."""
    states = {}
    for version in range(FIRST, len(FUTURE) + 1):
        home = shutil.copytree(template, folder / f"version {version}")
        with monkeypatch.context() as patch:
            patch.setattr(migrations, "MIGRATIONS", FUTURE[:version])
            SqliteCatalog(format_1.collection(home)).close()
        states[version] = state_of(home)
        assert states[version]["version"] == version
    return states


def _look_and_go_on(home: Path, version: int, last: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """After a kill that left the catalog at ``version``."""
    root = format_1.collection(home)
    assert_facts(format_1.facts(home), RECORDED)
    if version > len(migrations.MIGRATIONS):
        with pytest.raises(FormatVersionError):
            write(home)
    with monkeypatch.context() as patch:
        patch.setattr(migrations, "MIGRATIONS", FUTURE)
        problems = imseek.maintenance.verify(root).problems
        assert {problem.kind for problem in problems} <= {"orphan", "current"}, problems
        write(home)
        assert imseek.maintenance.verify(root).ok
    assert state_of(home) == last
    assert_facts(format_1.facts(home), RECORDED)


@pytest.mark.usefixtures("future")
def test_a_later_imseek_reads_an_older_catalog_and_leaves_it_as_it_is(home: Path) -> None:
    test_format_1_is_read_before_any_writer_has_come(home)
    assert state_of(home)["version"] < len(FUTURE)


def test_an_older_imseek_reads_and_does_not_write(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = format_1.collection(home)
    with monkeypatch.context() as patch:
        patch.setattr(migrations, "MIGRATIONS", FUTURE)
        write(home)
    before = contents(root)
    assert_facts(format_1.facts(home), RECORDED)
    for refused in (imseek.maintenance.verify, imseek.maintenance.repair, lambda _: write(home)):
        with pytest.raises(FormatVersionError, match=f"version {len(FUTURE)}"):
            refused(root)
    assert contents(root) == before


@pytest.mark.parametrize("change", ["DROP TABLE tags", "ALTER TABLE tags RENAME COLUMN tag TO word"])
def test_a_query_that_a_later_catalog_cannot_answer_says_so(home: Path, change: str) -> None:
    """It is not called damaged: nobody should repair it with an older imseek."""
    root = format_1.collection(home)
    with closing(sqlite3.connect(root / layout.CATALOG)) as connection, connection:
        connection.execute(change)
    with imseek.open(root) as opened:
        with pytest.raises(CorruptCollectionError):
            opened.get(0)
        with closing(sqlite3.connect(root / layout.CATALOG)) as connection, connection:
            later = [(90 + n, "of the future", "2100-01-01") for n in range(len(migrations.MIGRATIONS))]
            connection.executemany("INSERT INTO migrations VALUES (?, ?, ?)", later)
        with pytest.raises(FormatVersionError, match=f"version {FIRST + len(later)}"):
            opened.get(0)


@pytest.mark.usefixtures("future")
def test_backups_of_the_older_version_are_restored_and_migrated(home: Path) -> None:
    root = format_1.collection(home)
    write(home)
    migrated = state_of(home)
    for name in layout.BACKUPS:
        with closing(sqlite3.connect(root / name)) as connection:
            assert connection.execute("SELECT COUNT(*) FROM migrations").fetchone()[0] < len(FUTURE)
    older = min(layout.BACKUPS, key=lambda name: generation_of(root / name))
    for name in {layout.CATALOG, *layout.BACKUPS} - {older}:
        (root / name).unlink()
    report = imseek.maintenance.repair(root)
    assert report.after.ok
    found = state_of(home)
    assert (found["version"], found["schema"]) == (migrated["version"], migrated["schema"])
    assert found["rows"]["tags"] == migrated["rows"]["tags"]
    scores = {name: dict(hits) for name, hits in format_1.facts(home)["hits"].items()}
    assert scores == {name: pytest.approx(dict(hits), abs=1e-5) for name, hits in RECORDED["hits"].items()}


def test_a_migration_that_fails_leaves_the_version_before_it(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = format_1.collection(home)
    broken = ("broken", f"{LATER[1][1]}; INSERT INTO nowhere VALUES (1)")
    with monkeypatch.context() as patch:
        patch.setattr(migrations, "MIGRATIONS", (*FUTURE[:-1], broken))
        for _ in range(2):
            with pytest.raises(StorageError, match="nowhere"):
                write(home)
        assert state_of(home)["version"] == len(FUTURE) - 1
        assert_facts(format_1.facts(home), RECORDED)
    monkeypatch.setattr(migrations, "MIGRATIONS", FUTURE)
    write(home)
    assert imseek.maintenance.verify(root).ok
    assert (state_of(home)["version"], state_of(home)["rows"]["notes"]) == (len(FUTURE), ["(0, '{}')"])
    assert_facts(format_1.facts(home), RECORDED)
