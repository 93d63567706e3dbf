"""A catalog on PostgreSQL: who may write, what is lost (nothing) when sessions and servers end, and how it moves."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import databases
import pytest
from databases import Server
from wait import wait_until

import imseek
from imseek import library
from imseek.data import layout
from imseek.data.catalog import sources
from imseek.data.catalog.backend import backend_of
from imseek.data.catalog.migrations import MIGRATIONS
from imseek.data.catalog.postgres.address import Address, read_address, write_address
from imseek.data.catalog.postgres.allowed_servers import allow_server
from imseek.data.catalog.postgres.connection import connect
from imseek.data.catalog.read_connection import connect_read_only
from imseek.data.collection_records import read_identity
from imseek.data.current_generation import read_current
from imseek.data.files import write_check
from imseek.data.writing.writer import Writer
from imseek.errors import (
    CorruptCollectionError,
    FormatVersionError,
    LockedError,
    ReadOnlyError,
    StorageError,
    UsageError,
)


@pytest.fixture
def catalog(postgres: Server) -> str:
    return postgres.database()


@pytest.fixture
def root(collection: imseek.Collection) -> Path:
    return collection.path


def asked(root: Path, query: str) -> list[Any]:
    with connect_read_only(root) as connection:
        return connection.execute(query).fetchall()


def add(writer: Writer, name: bytes) -> None:
    sources.add(writer, "folder", b"/" + name)


def roots(root: Path) -> list[bytes]:
    return [row[0] for row in asked(root, "SELECT root FROM sources ORDER BY source_id")]


# -- what lies where -----------------------------------------------------------------------------------------


def test_the_folder_says_where_its_catalog_is(root: Path, catalog: str) -> None:
    assert sorted(path.name for path in root.iterdir()) == sorted(
        {layout.COLLECTION, layout.ADDRESS, layout.LOCK, layout.STAGING} & {p.name for p in root.iterdir()}
    )
    address = read_address(root)
    identity = read_identity(root)
    assert (address.url, address.uuid) == (catalog, identity.uuid)
    assert identity.format == 2, "who knows format 1 only must refuse it"
    assert library.is_collection(root)
    assert json.loads((root / layout.ADDRESS).read_bytes())["format"] == 2


def test_photos_are_found_as_with_sqlite(
    tmp_path: Path, collection: imseek.Collection, photos: Path, later: Callable[[float], None]
) -> None:
    later(10)
    with imseek.create(tmp_path / "beside", encoder="fake") as beside:
        for one in (collection, beside):
            assert one.index([photos]).added == 8
            imseek.tags.add(one, "zürich", [0, 3])
            imseek.tags.add(one, "Apple", [3])
        for query in ("red", "green", 5):
            found, expected = (one.search(query, limit=8).hits for one in (collection, beside))
            assert [(h.image_id, h.score, h.place) for h in found] == [(h.image_id, h.score, h.place) for h in expected]
        assert collection.get(3) == beside.get(3)
        assert collection.get(3).tags == ("Apple", "zürich"), "in the order of their bytes, as SQLite has it"
        mine, theirs = collection.info(), beside.info()
        assert (mine.images, mine.generation, mine.sources) == (
            theirs.images,
            theirs.generation,
            theirs.sources,
        )
        (photos / "camera.png").unlink()
        assert [one.index().removed for one in (collection, beside)] == [1, 1]
        assert imseek.maintenance.purge(collection.path).images == imseek.maintenance.purge(beside.path).images == 1
    assert imseek.maintenance.verify(collection.path).ok


def test_no_sql_library_is_loaded_for_a_catalog_in_a_file(tmp_path: Path) -> None:
    imseek.create(tmp_path / "plain", encoder="fake").close()
    program = (
        "import sys, imseek; c = imseek.open(sys.argv[1]); c.search('red'); c.index(); "
        "print([name for name in ('psycopg', 'sqlalchemy', 'imseek.data.catalog.postgres') if name in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", program, tmp_path / "plain"], capture_output=True, check=True)
    assert said.stdout.split() == [b"[]"]


def test_a_search_loads_no_sqlalchemy(root: Path) -> None:
    program = (
        "import sys, imseek; c = imseek.open(sys.argv[1]); c.search('red'); "
        "print([name for name in ('psycopg', 'sqlalchemy') if name in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", program, root], capture_output=True, check=True)
    assert said.stdout.strip() == b"['psycopg']"


# -- one writer ----------------------------------------------------------------------------------------------

WRITES = """
import sys
from pathlib import Path
from imseek.data.catalog import sources
from imseek.data.catalog.backend import backend_of
from imseek.data.writing.writer import Writer
with Writer(Path(sys.argv[1]), "the other") as writer:
    sources.add(writer, "folder", b"/acknowledged")
    print(writer.generation, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def other(root: Path) -> Any:
    """A writer in another process, which has committed once and goes on until it is told to end."""
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", WRITES, root], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with process:
        assert process.stdout is not None
        assert int(process.stdout.readline()) == 1
        yield process
        if process.poll() is None:
            process.kill()


def test_a_second_writer_is_refused_and_told_of_the_first(root: Path, other: Any) -> None:
    with pytest.raises(LockedError, match=f"the other`, process {other.pid} on"), Writer(root, "second"):
        pytest.fail("two writers")
    assert backend_of(root).is_locked()
    assert imseek.open(root).info().writer.startswith(f"`the other`, process {other.pid}")
    with pytest.raises(LockedError):
        imseek.maintenance.verify(root)
    other.communicate()
    assert not backend_of(root).is_locked()
    with Writer(root, "second") as writer:
        add(writer, b"second")
    assert roots(root) == [b"/acknowledged", b"/second"]


def test_after_a_killed_writer_the_next_one_goes_on(root: Path, other: Any) -> None:
    other.send_signal(signal.SIGKILL)
    other.wait()
    with Writer(root, "next") as writer:
        add(writer, b"next")
        generation = writer.generation
    assert roots(root) == [b"/acknowledged", b"/next"]
    assert asked(root, "SELECT kind, state FROM runs ORDER BY run_id") == [
        ("the other", "interrupted"),
        ("next", "done"),
    ]
    assert generation == 3, "a generation is left out: what the dead one was about to publish bears its number"
    assert read_current(root).generation == 3


def test_a_writer_whose_session_was_ended_cannot_commit_any_more(root: Path, postgres: Server) -> None:
    first = Writer(root, "first").__enter__()
    add(first, b"first")
    assert postgres.end_sessions() >= 2
    with Writer(root, "second") as second:
        add(second, b"second")
        with pytest.raises(LockedError, match="written by `second`"):
            add(first, b"too late")
    # Nor when the lock is free again: its run is over.
    with pytest.raises(LockedError, match="was taken over by another writer"):
        add(first, b"too late")
    with pytest.raises(LockedError, match="was taken over by another writer"):
        first.__exit__(None, None, None)
    assert not backend_of(root).is_locked()
    assert roots(root) == [b"/first", b"/second"]
    assert asked(root, "SELECT kind, state FROM runs ORDER BY run_id") == [
        ("first", "interrupted"),
        ("second", "done"),
    ]


def test_a_writer_that_is_cut_off_in_the_middle_of_a_change_loses_that_one(root: Path, postgres: Server) -> None:
    def cut_off(connection: Any, generation: int) -> None:
        connection.execute("UPDATE sources SET kind = 'changed'")
        postgres.end_sessions()

    with Writer(root, "first") as writer:
        add(writer, b"kept")
        with pytest.raises(StorageError, match="terminating connection") as trouble:
            writer.apply(cut_off)
        assert "committed data is safe" in str(trouble.value.hint)
        assert asked(root, "SELECT kind FROM sources") == [("folder",)]
        # Nobody else has written meanwhile: it takes the lock again and goes on.
        add(writer, b"next")
    assert roots(root) == [b"/kept", b"/next"]
    assert imseek.maintenance.verify(root).ok


def test_a_commit_of_which_nobody_hears_is_whole(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection breaks between the commit and the word of it."""
    psycopg = pytest.importorskip("psycopg")
    end = psycopg.Transaction.__exit__

    def unheard(transaction: Any, *raised: Any) -> None:
        end(transaction, *raised)
        raise psycopg.OperationalError("server closed the connection unexpectedly")

    with Writer(root, "test") as writer:
        with monkeypatch.context() as patch:
            patch.setattr(psycopg.Transaction, "__exit__", unheard)
            with pytest.raises(StorageError, match="closed the connection"):
                add(writer, b"perhaps")
        assert read_current(root).generation == writer.generation == 1
        add(writer, b"next")
    assert roots(root) == [b"/perhaps", b"/next"]
    assert imseek.maintenance.verify(root).ok


def test_what_a_fenced_writer_publishes_late_takes_no_name_of_the_next_one(root: Path, postgres: Server) -> None:
    """Its session ends while it is at a change; the next writer commits; then it gives a file its name."""
    written: list[str] = []

    def late(connection: Any, generation: int) -> None:
        postgres.end_sessions()
        with Writer(root, "second") as second:
            second.apply(lambda _, theirs: written.append(layout.judgements(theirs)))
        written.append(layout.judgements(generation))

    with pytest.raises(StorageError), Writer(root, "first") as first:
        first.apply(late)
    assert len(set(written)) == 2


def test_readers_go_on_while_a_writer_commits(root: Path, postgres: Server) -> None:
    """From more threads than connections wait for, some of which are ended on the way."""
    done = threading.Event()
    with imseek.open(root) as collection, ThreadPoolExecutor(6) as pool:

        def ask() -> list[int]:
            seen = []
            while not done.is_set():
                with suppress(StorageError):  # A session that is ended in the middle of a question.
                    seen.append(collection.info().generation)
                    assert collection.search("red").hits == ()
            return seen

        asking = [pool.submit(ask) for _ in range(6)]
        try:
            for n in range(6):
                with Writer(root, "test") as writer:
                    add(writer, b"%d" % n)
                if n == 3:
                    postgres.end_sessions()
        finally:
            done.set()
        for one in asking:
            seen = one.result()
            assert seen == sorted(seen)
        assert collection.info().generation == 6
    assert len(roots(root)) == 6


# -- servers that end, restart, refuse -----------------------------------------------------------------------


@pytest.fixture
def own(tmp_path: Path) -> Any:
    """A server of the test's own, which keeps what it has acknowledged."""
    databases.require()
    with databases.started(durable=True) as server:
        yield server


def test_a_server_that_crashes_loses_nothing_acknowledged(tmp_path: Path, own: Server) -> None:
    root = tmp_path / "made"
    own.settings = (*own.settings, "synchronous_commit=off")  # Whoever set that has not meant us.
    own.stop()
    own.start()
    with imseek.create(root, encoder="fake", catalog=own.database()) as collection:
        with Writer(root, "test") as writer:
            add(writer, b"one")
            own.stop(signal.SIGQUIT)
            with pytest.raises(StorageError, match=r"Connection refused|closed the connection|terminating"):
                add(writer, b"lost")
            own.start()
            add(writer, b"two")  # A server that was started anew between two commits costs no run.
        assert roots(root) == [b"/one", b"/two"]
        assert collection.info().generation == 2, "and readers go on"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"port": 1}, "refused"),
        ({"database": "nowhere"}, 'database "nowhere" does not exist'),
        ({"user": "nobody"}, 'role "nobody" does not exist'),
    ],
)
def test_what_is_wrong_with_a_connection_is_told(
    tmp_path: Path, catalog: str, postgres: Server, change: dict[str, Any], said: str
) -> None:
    given = {"port": postgres.port, "database": "shared", "user": databases.OWNER, **change}
    url = f"postgresql://{given['user']}@127.0.0.1:{given['port']}/{given['database']}"
    with pytest.raises(StorageError, match=said) as trouble:
        imseek.create(tmp_path / "made", encoder="fake", catalog=url)
    assert trouble.value.hint is not None
    assert "PGPASSWORD" in trouble.value.hint
    assert not library.is_collection(tmp_path / "made")


def test_a_wrong_password_is_told_and_never_shown(
    tmp_path: Path, own: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    url = own.database()
    own.admin("ALTER ROLE imseek PASSWORD 'sesame'")
    rules = own.folder / "data" / "pg_hba.conf"
    rules.write_text("local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n")
    own.stop()
    with monkeypatch.context() as patch:
        patch.setenv("PGPASSWORD", "sesame")
        own.start()
        imseek.create(tmp_path / "made", encoder="fake", catalog=url).close()
        assert b"sesame" not in (tmp_path / "made" / layout.ADDRESS).read_bytes()
        patch.setenv("PGPASSWORD", "wrong-sesame")
        with pytest.raises(StorageError, match="password authentication failed") as trouble:
            imseek.create(tmp_path / "other", encoder="fake", catalog=url)
        assert "sesame" not in f"{trouble.value} {trouble.value.hint}"
        rules.write_text("local all all trust\nhost all all 127.0.0.1/32 password\n")
        patch.setenv("PGPASSWORD", "sesame")
        own.stop()
        own.start()
        with pytest.raises(StorageError, match="cleartext password"):
            imseek.open(tmp_path / "made")
        patch.setenv("PGREQUIREAUTH", "password")
        assert imseek.open(tmp_path / "made").info().images == 0


URLS_THAT_CANNOT_BE_KEPT = [
    "postgresql://me:sesame@127.0.0.1/pictures",
    "postgresql://me@127.0.0.1/pictures?password=sesame",
    "postgresql://me:sesame@[/pictures",
    "mysql://me:sesame@127.0.0.1/pictures",
    "sesame",
]


@pytest.mark.parametrize("url", URLS_THAT_CANNOT_BE_KEPT)
def test_urls_that_cannot_be_kept(tmp_path: Path, catalog: str, url: str) -> None:
    with pytest.raises(UsageError) as refusal:
        imseek.create(tmp_path / "made", encoder="fake", catalog=url)
    assert "sesame" not in f"{refusal.value} {refusal.value.hint}"
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("url", URLS_THAT_CANNOT_BE_KEPT)
def test_one_that_was_written_by_hand_is_not_repeated(root: Path, catalog: str, url: str) -> None:
    write_address(root, Address(read_identity(root).uuid, url), root / layout.STAGING)
    with pytest.raises(CorruptCollectionError, match="does not say where") as trouble:
        imseek.open(root)
    assert "sesame" not in f"{trouble.value} {trouble.value.hint}"
    imseek.maintenance.move_catalog(root, catalog)
    assert imseek.open(root).info().images == 0


def test_a_role_that_may_only_read(root: Path, postgres: Server) -> None:
    address = read_address(root)
    postgres.admin("DO $$ BEGIN CREATE ROLE reader LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$", "shared")
    staging = root / layout.STAGING
    staging.mkdir(exist_ok=True)
    reading = Address(address.uuid, postgres.url("shared", "reader"))
    write_address(root, reading, staging)
    allow_server(reading)
    with pytest.raises(StorageError, match=r"does not exist|permission denied") as refusal:
        imseek.open(root)
    postgres.admin(f'GRANT USAGE ON SCHEMA "{address.schema}" TO reader', "shared")
    postgres.admin(f'GRANT SELECT ON ALL TABLES IN SCHEMA "{address.schema}" TO reader', "shared")
    assert imseek.open(root).search("red").hits == ()
    with pytest.raises(ReadOnlyError, match="permission denied") as refusal, Writer(root, "test"):
        pytest.fail("it may write")
    assert "searching works" in str(refusal.value.hint)
    with pytest.raises(ReadOnlyError, match="must be owner"):
        library.delete(root, "collection")
    assert imseek.open(root).search("red").hits == (), "it is still there"


def test_a_role_that_may_make_no_catalog_is_told_what_it_lacks(tmp_path: Path, catalog: str, postgres: Server) -> None:
    postgres.admin("DO $$ BEGIN CREATE ROLE guest LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$", "shared")
    with pytest.raises(ReadOnlyError, match="permission denied") as refusal:
        imseek.create(tmp_path / "made", encoder="fake", catalog=postgres.url("shared", "guest"))
    assert "GRANT CREATE" in str(refusal.value.hint)


def test_a_session_that_is_ended_while_a_backup_copies_the_catalog(
    root: Path, postgres: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from imseek.data.archive import generation_snapshot

    opened = generation_snapshot._open_listed_files

    def ended(*given: Any) -> Any:
        assert postgres.end_sessions() > 0
        return opened(*given)

    monkeypatch.setattr(generation_snapshot, "_open_listed_files", ended)
    with pytest.raises(StorageError, match="terminat") as trouble:
        imseek.backup.write(root, tmp_path / "a.tar")
    assert "try again" in str(trouble.value.hint)
    assert [path.name for path in tmp_path.iterdir()] == [root.name]
    monkeypatch.setattr(generation_snapshot, "_open_listed_files", opened)
    assert imseek.backup.write(root, tmp_path / "a.tar").backup.images == 0


def test_a_session_that_is_ended_while_a_catalog_moves(
    root: Path, postgres: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    from imseek.data.catalog.postgres import catalog_moves

    def ended(*given: Any) -> int:
        assert postgres.end_sessions() > 0
        return copied(*given)

    copied = catalog_moves.copy_rows
    monkeypatch.setattr(catalog_moves, "copy_rows", ended)
    with pytest.raises(StorageError, match="terminat") as trouble:
        imseek.maintenance.move_catalog(root, "sqlite")
    assert "try again" in str(trouble.value.hint)
    monkeypatch.setattr(catalog_moves, "copy_rows", copied)
    assert imseek.open(root).info().images == 0
    imseek.maintenance.move_catalog(root, "sqlite")
    assert imseek.maintenance.verify(root).ok


def test_a_catalog_that_is_gone_is_not_made_anew(root: Path, postgres: Server) -> None:
    postgres.admin(f'DROP SCHEMA "{read_address(root).schema}" CASCADE', "shared")
    with pytest.raises(CorruptCollectionError, match="does not exist") as trouble:
        imseek.open(root)
    assert "pg_restore" in str(trouble.value.hint)
    for touch in (lambda: Writer(root, "test").__enter__(), lambda: imseek.maintenance.repair(root)):
        with pytest.raises(CorruptCollectionError, match=r"pg_restore|does not exist|there is no catalog"):
            touch()
    assert not (root / layout.CATALOG).exists()


def test_a_later_catalog_is_refused(root: Path, postgres: Server) -> None:
    schema = read_address(root).schema
    postgres.admin(f"INSERT INTO \"{schema}\".migrations VALUES (99, 'later', 'later')", "shared")
    with pytest.raises(FormatVersionError, match=f"version {len(MIGRATIONS) + 1}"), Writer(root, "test"):
        pytest.fail("a later catalog was written")


def test_the_catalog_of_another_collection_is_found_by_its_uuid(root: Path, postgres: Server) -> None:
    schema = read_address(root).schema
    postgres.admin(f"UPDATE \"{schema}\".meta SET value = 'other' WHERE name = 'uuid'", "shared")
    (problem,) = imseek.maintenance.verify(root).problems
    assert (problem.kind, problem.file, problem.repairable) == ("catalog", layout.ADDRESS, False)
    assert problem.message == "the catalog belongs to another collection"


# -- moving, mending, deleting -------------------------------------------------------------------------------


def test_a_catalog_moves_to_a_server_and_back(tmp_path: Path, catalog: str, photos: Path) -> None:
    root = tmp_path / "made"
    with imseek.create(root, encoder="fake") as collection:
        collection.index([photos])
        imseek.tags.add(collection, "kept", [1, 2])
        before = collection.search("red", limit=8)
        reader = imseek.open(root)  # One that is open meanwhile goes on, whichever way the catalog moves.
        assert reader.search("red", limit=8).hits == before.hits
        for to, there, gone in (
            (catalog, layout.ADDRESS, layout.CATALOG),
            ("sqlite", layout.CATALOG, layout.ADDRESS),
            (catalog, layout.ADDRESS, layout.CATALOG),
        ):
            report = imseek.maintenance.move_catalog(root, to)
            assert (report.catalog, report.rows > 20) == (to, True)
            assert ((root / there).exists(), (root / gone).exists()) == (True, False)
            assert imseek.maintenance.verify(root).ok
            assert reader.search("red", limit=8).hits == before.hits
            assert reader.get(1).tags == ("kept",)
            assert collection.index().unchanged == 8
    assert read_identity(root).format == 2
    assert imseek.maintenance.move_catalog(root, catalog).rows == 0, "the URL that it has already"


KILLED = """
import os, sys
from pathlib import Path
from imseek.data.files import durable_files
from imseek.data.catalog.postgres import catalog_moves
root, to, module, name = sys.argv[1:]
setattr({"moves": catalog_moves, "durable": durable_files}[module], name, lambda *_, **__: os._exit(9))
catalog_moves.move(Path(root), to)
"""


@pytest.mark.parametrize(
    ("back", "module", "name"),
    [
        (False, "moves", "write_address"),
        (False, "moves", "_remove_file_catalog"),
        (True, "durable", "publish"),
        (True, "moves", "write_identity"),
        (True, "moves", "drop_schema"),
    ],
)
def test_a_move_that_is_killed_has_happened_or_not(
    tmp_path: Path, catalog: str, postgres: Server, back: bool, module: str, name: str
) -> None:
    root = tmp_path / "made"
    imseek.create(root, encoder="fake", catalog=catalog if back else None).close()
    with Writer(root, "test") as writer:
        add(writer, b"kept")
    uuid = read_identity(root).uuid
    to = "sqlite" if back else catalog
    command = [sys.executable, "-W", "error", "-c", KILLED, root, to, module, name]
    assert subprocess.run(command, check=False).returncode == 9
    assert roots(root) == [b"/kept"]
    wait_until(lambda: not backend_of(root).is_locked())  # Until the server notices that the process is gone.
    assert imseek.maintenance.verify(root).ok
    with Writer(root, "test") as writer:
        add(writer, b"next")
    if (
        layout.has_server_catalog(root) == back
    ):  # It has not happened: it is done again, over what is left in the database.
        if not back:
            postgres.admin(f'DROP SCHEMA "{Address(uuid, catalog).schema}" CASCADE', "shared")
        imseek.maintenance.move_catalog(root, to)
    elif name in ("write_identity", "_remove_file_catalog"):
        imseek.maintenance.move_catalog(root, to)
    assert layout.has_server_catalog(root) != back
    assert roots(root) == [b"/kept", b"/next"]
    assert read_identity(root).format == (1 if back else 2)
    assert (root / layout.CATALOG).exists() == back
    assert imseek.maintenance.verify(root).ok


def test_a_copy_of_a_collection_does_not_take_the_catalog_of_the_first(tmp_path: Path, catalog: str) -> None:
    import shutil

    imseek.create(tmp_path / "one", encoder="fake").close()
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    imseek.maintenance.move_catalog(tmp_path / "one", catalog)
    with pytest.raises(UsageError, match="exists already") as refusal:
        imseek.maintenance.move_catalog(tmp_path / "two", catalog)
    assert "DROP SCHEMA" in str(refusal.value.hint)
    assert imseek.maintenance.verify(tmp_path / "one").ok
    assert imseek.maintenance.verify(tmp_path / "two").ok


def test_who_has_lost_the_address_is_told_it_again(root: Path, catalog: str) -> None:
    (root / layout.ADDRESS).unlink()
    with pytest.raises(CorruptCollectionError):
        imseek.open(root)
    with pytest.raises(CorruptCollectionError, match="address of the catalog server is unknown") as trouble:
        imseek.maintenance.repair(root)
    assert trouble.value.hint == "imseek maintain --catalog URL"
    imseek.maintenance.move_catalog(root, catalog)
    assert imseek.open(root).info().images == 0


def test_verify_and_repair(root: Path, collection: imseek.Collection, photos: Path) -> None:
    collection.index([photos])
    (damaged,) = root.glob("spaces/0/img_emb/*.npy")
    damaged.write_bytes(damaged.read_bytes()[:-1])
    (root / layout.COLLECTION).write_bytes(b"{}")
    found = imseek.maintenance.verify(root)
    assert sorted(problem.kind for problem in found.problems) == ["identity", "vectors"]
    report = imseek.maintenance.repair(root)
    assert report.after.ok
    assert report.restored == ("collection.json from the catalog",)
    with imseek.open(root) as mended:
        assert mended.index().added == 8, "encoded again, under their ids"
        assert {hit.image_id for hit in mended.search("red", limit=20).hits} == set(range(8))


def test_a_changed_table_is_found(root: Path) -> None:
    with closing(connect(read_address(root), writing=True)) as session:
        session.execute("ALTER TABLE tags ALTER COLUMN provenance DROP NOT NULL")
    (problem,) = imseek.maintenance.verify(root).problems
    assert (problem.kind, problem.file) == ("catalog", layout.ADDRESS)
    assert problem.message == "the catalog is damaged: 'tags.provenance' may be NULL"


def test_deleting_takes_the_catalog_along(root: Path, postgres: Server) -> None:
    schema = read_address(root).schema
    count = f"SELECT COUNT(*) FROM pg_namespace WHERE nspname = '{schema}'"
    assert postgres.admin(count, "shared") == [(1,)]
    library.delete(root, "collection")
    assert postgres.admin(count, "shared") == [(0,)]
    assert not root.exists()


def test_a_network_file_system_will_do(
    tmp_path: Path, root: Path, catalog: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write_check, "file_system", lambda _: "nfs4")
    with Writer(root, "test") as writer:
        add(writer, b"one")
    imseek.create(tmp_path / "second", encoder="fake", catalog=catalog).close()
    with pytest.raises(ReadOnlyError, match=r"docs/postgres\.md|network file system"):
        imseek.create(tmp_path / "third", encoder="fake")
    with pytest.raises(ReadOnlyError, match="network file system"):
        imseek.maintenance.move_catalog(root, "sqlite")


def test_a_server_that_never_answers_is_given_up(tmp_path: Path, catalog: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGCONNECT_TIMEOUT", "2")
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"postgresql://me@127.0.0.1:{silent.getsockname()[1]}/pictures"
        with pytest.raises(StorageError, match="timeout"):
            imseek.create(tmp_path / "made", encoder="fake", catalog=url)
