"""What a collection that somebody else made could do to its user, on the code before issue 19, and cannot any more.

The maker of such a collection runs imseek too: seals and checksums are right. tests/hostile tries many more lies.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import imseek
from imseek import library, maintenance, tags
from imseek.data import layout, trust
from imseek.data.catalog.sqlite.catalog_writer import SqliteCatalog
from imseek.data.current_generation import read_current
from imseek.data.files import durable_files
from imseek.errors import CorruptCollectionError, ImseekError, UntrustedCollectionError
from imseek.types.trust import TrustRecord

pytestmark = pytest.mark.timeout(60)

SECRET = "three years of work"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sound collection of four pictures with a tag."""
    folder = tmp_path_factory.mktemp("template")
    pictures = folder / "pictures"
    pictures.mkdir()
    for name in ("red", "lime", "blue", "black"):
        Image.new("RGB", (60, 40), name).save(pictures / f"{name}.png")
    with imseek.create(folder / "collection", encoder="fake") as made:
        made.index([pictures])
    tags.add(folder / "collection", "first", [0])
    return folder / "collection"


@pytest.fixture
def root(template: Path, tmp_path: Path) -> Path:
    """A copy of the template."""
    return Path(shutil.copytree(template, tmp_path / "collection"))


@pytest.fixture
def thesis(tmp_path: Path) -> Path:
    path = tmp_path / "thesis.txt"
    path.write_text(SECRET)
    return path


def use_home(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    """The user has this home, and trusts only what its records name."""
    monkeypatch.delenv("IMSEEK_TRUSTED_FOLDERS")
    monkeypatch.setenv("IMSEEK_HOME", str(home))


@contextmanager
def forged(root: Path) -> Iterator[sqlite3.Connection]:
    """The catalog, to be changed by its maker, who makes its checksum right again."""
    path = root / layout.CATALOG
    with closing(sqlite3.connect(path)) as connection:
        yield connection
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    data = path.read_bytes()
    written = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    change(root, layout.CHECKSUMS, lambda found: found["files"].update({layout.CATALOG: written}))


def change(root: Path, name: str, make: Callable[[dict[str, Any]], object]) -> None:
    """Change a sealed file and seal it again."""
    document = json.loads((root / name).read_bytes())
    document.pop("sha256")
    make(document)
    (root / name).write_bytes(durable_files.add_checksum(document))


def list_file(connection: sqlite3.Connection, path: object, *, died: int = 1) -> None:
    """A row of the catalog's files, retired long ago."""
    values = (path, "dead", 0, None, None, 0, 0, "0" * 64, 0, died, 1.0)
    connection.execute(f"INSERT INTO files VALUES ({','.join('?' * len(values))})", values)


WRITE: dict[str, Callable[[Path], object]] = {
    "tag": lambda root: tags.add(root, "tag", [1]),
    "purge": maintenance.purge,
    "merge": maintenance.merge,
    "repair": maintenance.repair,
}


def run(write: Callable[[Path], object], root: Path) -> None:
    with suppress(ImseekError):
        write(root)


@pytest.mark.parametrize("write", WRITE.values(), ids=WRITE)
@pytest.mark.parametrize("path", ["{thesis}", "../thesis.txt", "dead/../../thesis.txt", "./../thesis.txt"])
def test_a_row_of_the_catalog_names_no_file_of_the_user(
    root: Path, thesis: Path, path: str, write: Callable[[Path], object]
) -> None:
    with forged(root) as connection:
        list_file(connection, path.format(thesis=thesis))
    (problem,) = maintenance.verify(root).problems
    assert "is not a file of a collection" in problem.message
    run(write, root)
    assert thesis.read_text() == SECRET


@pytest.mark.parametrize("write", WRITE.values(), ids=WRITE)
@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TRIGGER t AFTER INSERT ON runs BEGIN INSERT INTO files VALUES "
        "('../thesis.txt', 'dead', 0, NULL, NULL, 0, 0, '', 0, 1, 1.0); END",
        "CREATE VIEW v AS SELECT 1",
        "CREATE VIRTUAL TABLE f USING fts5(a)",
        "CREATE TABLE extra (a)",
        "CREATE INDEX extra ON images (abs(image_id))",
        "DROP INDEX images_by_hash",
        "ALTER TABLE meta ADD COLUMN more TEXT AS (length(value))",
    ],
)
def test_nothing_in_the_schema_runs(root: Path, thesis: Path, statement: str, write: Callable[[Path], object]) -> None:
    with forged(root) as connection:
        connection.execute(statement)
    (problem,) = maintenance.verify(root).problems
    assert "imseek did not make it so" in problem.message
    with imseek.open(root) as collection, pytest.raises(CorruptCollectionError, match="did not make it so"):
        collection.get(0)
    with pytest.raises(CorruptCollectionError):
        tags.add(root, "tag", [1])
    run(write, root)
    assert thesis.read_text() == SECRET


def test_a_statement_of_the_schema_that_is_no_text(root: Path) -> None:
    """SQLite reads bytes there as text; Python does not."""
    with forged(root) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(
            "INSERT INTO sqlite_master (type, name, tbl_name, rootpage, sql) "
            "VALUES ('table', 'theirs', 'theirs', 3, CAST('CREATE TABLE theirs (x)' AS BLOB))"
        )
    for use in (maintenance.verify, lambda root: imseek.open(root).get(0)):
        run(use, root)
    with pytest.raises(CorruptCollectionError, match="has the table 'theirs'"):
        tags.add(root, "mine", [0])


def test_a_view_without_an_end_is_not_asked(root: Path) -> None:
    with forged(root) as connection:
        connection.execute("ALTER TABLE meta RENAME TO meta_2")
        connection.execute(
            "CREATE VIEW meta AS WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) "
            "SELECT 'purged' AS name, x AS value FROM n WHERE x < 0"
        )
    began = time.process_time()
    for use in (maintenance.verify, maintenance.repair, lambda root: imseek.open(root).get(0)):
        run(use, root)
    assert time.process_time() - began < 5


def test_a_query_without_an_end_is_ended(root: Path) -> None:
    """Whatever it is that makes a query endless: it may take no more steps than one on a catalog of this size can."""
    from imseek.data.catalog.sqlite.catalog_file import connect_file

    began = time.process_time()
    with pytest.raises(CorruptCollectionError, match="far more steps"), connect_file(root) as connection:
        connection.execute(
            "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x FROM n WHERE x < 0"
        ).fetchall()
    assert time.process_time() - began < 30


def test_a_rollback_journal_has_sqlite_delete_no_file(root: Path, thesis: Path) -> None:
    """The last bytes of a journal name a file that SQLite deletes once it has played the journal back."""
    page = (root / layout.CATALOG).read_bytes()[:4096]
    count, seed = 1, 0
    head = bytes.fromhex("d9d505f920a163d7") + b"".join(
        n.to_bytes(4, "big") for n in (count, seed, (root / layout.CATALOG).stat().st_size // 4096, 512, 4096)
    )
    checksum = (seed + sum(page[n] for n in range(4096 - 200, 0, -200))) & 0xFFFFFFFF
    body = head.ljust(512, b"\0") + (1).to_bytes(4, "big") + page + checksum.to_bytes(4, "big")
    name = os.fsencode(thesis)
    total = sum(name) & 0xFFFFFFFF
    body += (0x40000000 // 4096 + 1).to_bytes(4, "big") + name + len(name).to_bytes(4, "big")
    body += total.to_bytes(4, "big") + bytes.fromhex("d9d505f920a163d7")
    (root / f"{layout.CATALOG}-journal").write_bytes(body)
    with pytest.raises(CorruptCollectionError, match="rollback journal"):
        SqliteCatalog(root)  # Opened by sqlite3 alone, the file would be gone by now.
    for write in WRITE.values():
        run(write, root)
        assert thesis.read_text() == SECRET
    assert maintenance.verify(root).ok


FOLDERS = (*layout.LISTED_FOLDERS, layout.CACHE, layout.STAGING, layout.JOBS, layout.UNDO)


@pytest.mark.parametrize("write", WRITE.values(), ids=WRITE)
@pytest.mark.parametrize("name", FOLDERS)
def test_no_link_in_place_of_a_folder_is_followed(
    root: Path, tmp_path: Path, name: str, write: Callable[[Path], object]
) -> None:
    """Numbered files in the user's folder look like those that nobody uses any more."""
    mine = tmp_path / "mine"
    (mine / "64").mkdir(parents=True)
    kept = [
        "000000.1.npy", "000001.parquet", "all.1.json", "probe.1.json", "64/a.npz", "1-1.log", "notes.txt",
    ]  # fmt: skip
    for one in kept:
        (mine / one).write_text(SECRET)
    if (root / name).exists():
        (root / name).rename(tmp_path / "away")
    (root / name).symlink_to(mine)
    assert any(problem.file == name for problem in maintenance.verify(root).problems)
    with pytest.raises(CorruptCollectionError, match="symbolic link"):
        tags.add(root, "tag", [1])
    run(write, root)
    found = sorted(path.relative_to(mine).as_posix() for path in mine.rglob("*") if path.is_file())
    assert found == sorted(kept)
    assert all((mine / one).read_text() == SECRET for one in kept)


@pytest.mark.parametrize(
    "name",
    [layout.COLLECTION, layout.CURRENT, layout.CATALOG, layout.CHECKSUMS, layout.LOCK, *layout.BACKUPS],
)
@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_no_link_in_place_of_a_file_is_followed(root: Path, thesis: Path, name: str, kind: str) -> None:
    (root / name).unlink(missing_ok=True)
    if kind == "link":
        (root / name).symlink_to(thesis)
    else:
        os.mkfifo(root / name)
    assert any(problem.file == name for problem in maintenance.verify(root).problems)
    for write in WRITE.values():
        run(write, root)
    run(lambda root: imseek.open(root).search("red"), root)
    assert thesis.read_text() == SECRET
    assert maintenance.verify(root).ok


def test_folders_too_many_levels_down_are_for_people_to_remove(root: Path) -> None:
    (root / "models" / "/".join("abcdefghij")).mkdir(parents=True)
    (problem,) = maintenance.verify(root).problems
    assert (problem.kind, problem.repairable) == ("strange", False)
    with pytest.raises(CorruptCollectionError, match="a folder too many levels down"):
        maintenance.repair(root)


def test_a_catalog_of_two_names_is_copied_though_staging_is_a_link(root: Path, tmp_path: Path) -> None:
    os.link(root / layout.CATALOG, tmp_path / "other name")
    (tmp_path / "outside").mkdir()
    shutil.rmtree(root / layout.STAGING, ignore_errors=True)
    (root / layout.STAGING).symlink_to(tmp_path / "outside")
    report = maintenance.repair(root)
    assert report.after.ok
    assert (root / layout.CATALOG).stat().st_nlink == 1
    assert os.listdir(tmp_path / "outside") == []


def test_vectors_that_lead_to_a_device_are_not_read(root: Path) -> None:
    (name,) = (root / "spaces/0/img_emb").iterdir()
    name.unlink()
    name.symlink_to("/dev/zero")
    with imseek.open(root) as collection, pytest.raises(CorruptCollectionError, match="link"):
        collection.search("red")


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("generation", "9"),
        ("generation", True),
        ("generation", -1),
        ("generation", 2**63),
        ("generation", 1.5),
        ("images", None),
        ("uuid", "../../x"),
        ("committed", "never"),
        ("spaces", {}),
        ("spaces", []),
        ("shards", "none"),
        ("snapshots", {"0": "../../home"}),
        ("snapshots", {"0": "spaces/1/index/3"}),
        ("more", 1),
    ],
)
def test_what_is_no_value_of_current_json(root: Path, member: str, value: object) -> None:
    change(root, layout.CURRENT, lambda found: found.update({member: value}))
    with pytest.raises(CorruptCollectionError, match=r"current\.json"):
        imseek.open(root)
    assert not maintenance.verify(root).ok


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("shard_id", "../../x"),
        ("rows", 10**15),
        ("rows", 3),
        ("dead", "../thesis.txt"),
        ("dead", "/etc/passwd"),
        ("dead", "dead/000007.1.npy"),
        ("columns", {"a": "../thesis.txt"}),
        ("columns", {"../a": "columns/a/000000.1.parquet"}),
        ("spaces", ["0"]),
    ],
)
def test_what_is_no_value_of_a_shard(root: Path, member: str, value: object) -> None:
    change(root, layout.CURRENT, lambda found: found["shards"][0].update({member: value}))
    with pytest.raises(CorruptCollectionError), imseek.open(root) as collection:
        collection.search("red")
    assert not maintenance.verify(root).ok


@pytest.mark.parametrize(("member", "value"), [("dim", 10**12), ("dim", 0), ("fingerprint", "../../../x"), ("dim", 7)])
def test_what_is_no_value_of_a_space(root: Path, member: str, value: object) -> None:
    change(root, layout.CURRENT, lambda found: found["spaces"][0].update({member: value}))
    with pytest.raises(CorruptCollectionError), imseek.open(root) as collection:
        collection.search("red")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE places SET path = 'text'",
        "UPDATE places SET source_id = 'one'",
        "UPDATE images SET content_hash = x'00'",
        "UPDATE images SET state = 'gone'",
        "UPDATE tags SET tag = x'07'",
        "UPDATE sources SET root = 'text'",
        "UPDATE sources SET options = '['",
        "UPDATE spaces SET facts = '[]'",
        """UPDATE spaces SET facts = '{"modalities": false}'""",
        """UPDATE runs SET detail = '{"spaces": 5}'""",
        "UPDATE shards SET row_count = 'many'",
        "UPDATE meta SET value = '9x' WHERE name = 'generation'",
        "DELETE FROM meta WHERE name = 'next_image_id'",
        "UPDATE runs SET shards_to = -1",
        "UPDATE runs SET shards_from = 0, shards_to = 9223372036854775807, detail = '{'",
    ],
)
def test_rows_that_imseek_does_not_write_are_a_problem(root: Path, statement: str) -> None:
    with forged(root) as connection:
        connection.execute(statement)
    (problem,) = maintenance.verify(root).problems
    assert problem.kind == "catalog"


def test_facts_of_other_types_are_as_if_they_were_not_recorded(root: Path) -> None:
    with forged(root) as connection:
        connection.execute("""UPDATE spaces SET facts = '{"modalities": false, "kept_since": [1]}'""")
        connection.execute("""UPDATE runs SET detail = '{"spaces": 5}'""")
    with imseek.open(root) as collection:
        (space,) = collection.info().spaces
    assert (space.modalities, space.precisions) == (None, ())


# -- trust ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def foreign(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A collection that another user's imseek has made."""
    use_home(monkeypatch, tmp_path / "my home")
    return root


def test_a_foreign_collection_is_searched_and_not_written(foreign: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in foreign.rglob("*.*") if "-shm" not in path.name}
    assert not maintenance.is_trusted(foreign)
    with imseek.open(foreign) as collection:
        assert [hit.image_id for hit in collection.search("red")]
        for write in WRITE.values():
            with pytest.raises(UntrustedCollectionError, match="you have not marked it as trusted"):
                write(foreign)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert maintenance.trust(foreign).ok
    assert maintenance.is_trusted(foreign)
    tags.add(foreign, "mine", [1])
    maintenance.distrust(foreign)
    with pytest.raises(UntrustedCollectionError):
        tags.add(foreign, "mine", [2])


def test_another_collection_in_the_place_of_a_trusted_one_is_not_trusted(foreign: Path, tmp_path: Path) -> None:
    maintenance.trust(foreign)
    foreign.rename(tmp_path / "away")
    assert not maintenance.is_trusted(tmp_path / "away")
    imseek.create(foreign, encoder="fake").close()
    assert maintenance.is_trusted(foreign)  # It was made here.
    foreign.rename(tmp_path / "other")
    (tmp_path / "away").rename(foreign)
    assert not maintenance.is_trusted(foreign)


def test_a_damaged_collection_is_trusted_only_by_force(foreign: Path) -> None:
    with forged(foreign) as connection:
        list_file(connection, "../thesis.txt")
    report = maintenance.trust(foreign)
    assert (report.ok, maintenance.is_trusted(foreign)) == (False, False)
    maintenance.trust(foreign, force=True)
    assert maintenance.is_trusted(foreign)


def test_what_a_user_has_is_trusted_when_records_begin(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Versions before this one kept no records: the named collections of the user go on working."""
    home = tmp_path / "home"
    (home / "collections").mkdir(parents=True)
    root.rename(home / "collections" / "photos")
    use_home(monkeypatch, home)
    tags.add(home / "collections" / "photos", "mine", [1])
    imseek.create(home / "collections" / "new", encoder="fake").close()
    (home / "collections" / "new").rename(home / "collections" / "put here later")
    with pytest.raises(UntrustedCollectionError):
        maintenance.merge(home / "collections" / "put here later")


@pytest.mark.parametrize("first", ["create", "forget"])
def test_records_begin_with_the_first_that_is_written(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    photos = tmp_path / "home" / "collections" / "photos"
    photos.parent.mkdir(parents=True)
    root.rename(photos)
    use_home(monkeypatch, tmp_path / "home")
    if first == "create":
        imseek.create(photos.with_name("new"), encoder="fake").close()
    else:
        maintenance.distrust(photos)
    assert maintenance.is_trusted(photos) == (first == "create")


def test_what_is_restored_into_a_new_home_is_not_taken_for_what_was_there(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    imseek.backup.write(root, tmp_path / "photos.tar")
    use_home(monkeypatch, tmp_path / "new home")
    photos = tmp_path / "new home" / "collections" / "photos"
    imseek.backup.restore(tmp_path / "photos.tar", photos)
    assert not maintenance.is_trusted(photos)
    with pytest.raises(UntrustedCollectionError):
        tags.add(photos, "mine", [1])
    imseek.backup.restore(tmp_path / "photos.tar", photos.with_name("mine"), trust=True)
    assert maintenance.is_trusted(photos.with_name("mine"))
    assert not maintenance.is_trusted(photos)


def test_trust_in_what_lay_there_before_is_no_trust_in_what_is_restored(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    imseek.backup.write(root, tmp_path / "photos.tar")
    use_home(monkeypatch, tmp_path / "my home")
    assert maintenance.trust(root).ok
    root.rename(tmp_path / "elsewhere")
    imseek.backup.restore(tmp_path / "photos.tar", root)
    assert not maintenance.is_trusted(root)


def test_trust_in_what_had_a_name_before_is_no_trust_in_what_gets_it(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    imseek.backup.write(root, tmp_path / "photos.tar")
    use_home(monkeypatch, tmp_path / "home")
    mine, theirs = (tmp_path / "home" / "collections" / name for name in ("mine", "theirs"))
    imseek.backup.restore(tmp_path / "photos.tar", mine, trust=True)
    imseek.backup.restore(tmp_path / "photos.tar", theirs)
    mine.rename(tmp_path / "elsewhere")
    library.rename("theirs", "mine", os.environ)
    assert not maintenance.is_trusted(mine)


def test_records_begin_all_at_once(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process may ask while the first one writes them, and that may be killed."""
    home, write, written = tmp_path / "home", trust._write, list[str]()
    named = [home / "collections" / name for name in ("one", "two")]
    for path in named:
        shutil.copytree(root, path)
    use_home(monkeypatch, home)

    def killed(record: TrustRecord, *folder: Any) -> None:
        written.append(record.path)
        if len(written) == 2:
            raise KeyboardInterrupt
        write(record, *folder)

    monkeypatch.setattr(trust, "_write", killed)
    with pytest.raises(KeyboardInterrupt):
        maintenance.is_trusted(named[0])
    monkeypatch.setattr(trust, "_write", write)
    assert [maintenance.is_trusted(path) for path in named] == [True, True]
    assert [path.name for path in home.iterdir() if "trusted" in path.name] == ["trusted"]


def test_the_index_of_a_foreign_collection_is_not_loaded(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    maintenance.build_index(root, imseek.IndexPolicy("Flat"))
    assert read_current(root).snapshots
    with imseek.open(root) as collection:
        mine = collection.search("red")
    use_home(monkeypatch, tmp_path / "my home")
    with imseek.open(root) as collection:
        theirs = collection.search("red")
    assert (mine.approximate, theirs.approximate) == (True, False)
    assert [hit.image_id for hit in mine] == [hit.image_id for hit in theirs]
    assert any("trust" in note for note in theirs.notes)


def test_an_index_that_cannot_be_opened_is_a_problem_of_a_trusted_collection(
    root: Path,
) -> None:
    maintenance.build_index(root, imseek.IndexPolicy("Flat"))
    assert maintenance.verify(root).ok
    (folder,) = read_current(root).snapshots.values()
    change(root, f"{folder}/index.json", lambda found: found.update(dim=found["dim"] * 2))
    path = root / folder / "index.json"
    written = path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest(), f"{folder}/index.json"
    with forged(root) as connection:
        connection.execute("UPDATE files SET size = ?, sha256 = ? WHERE path = ?", written)
    found = maintenance.verify(root).problems
    assert [problem.file for problem in found] == [f"{folder}/index.json"]
    assert maintenance.repair(root).lost
    assert maintenance.verify(root).ok


@pytest.mark.parametrize("reference", ["hf-hub:somebody/model", "local-dir:/etc", "openclip:ViT-B-32@/etc/passwd"])
def test_the_encoder_of_a_foreign_collection_comes_from_nowhere(foreign: Path, reference: str) -> None:
    change(foreign, layout.CURRENT, lambda found: found["spaces"][0].update(encoder=reference))
    with imseek.open(foreign) as collection, pytest.raises(UntrustedCollectionError, match="weights"):
        collection.search("red")


def test_home_and_collections_are_private_whatever_the_umask(tmp_path: Path) -> None:
    script = (
        "import os, imseek; os.umask(0)\n"
        "with imseek.create('made', encoder='fake') as made: made.index(['pictures'])\n"
        "imseek.tags.add('made', 't', [0])"
    )
    (tmp_path / "pictures").mkdir()
    Image.new("RGB", (60, 40)).save(tmp_path / "pictures/a.png")
    home = tmp_path / "home"
    environ = {**os.environ, "IMSEEK_HOME": str(home)}
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=environ, check=True)
    for path in (home, tmp_path / "made", *home.rglob("*"), *(tmp_path / "made").rglob("*")):
        assert path.stat().st_mode & 0o077 == 0, path
