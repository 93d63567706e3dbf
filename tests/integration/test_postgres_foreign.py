"""Collections that name a server of somebody else's: nothing is sent there, and no secret is told to any server."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from databases.impostor import CHALLENGES, Impostor, listening, name_server
from templates import Templates

import imseek
from imseek import library, maintenance
from imseek.data import layout
from imseek.data.catalog.backend import backend_of
from imseek.data.catalog.postgres import allowed_servers, connection
from imseek.data.catalog.postgres.address import Address, read_address
from imseek.data.catalog.postgres.allowed_servers import allow_server, check_server, disallow_server
from imseek.data.collection_records import read_identity
from imseek.data.current_generation import read_current
from imseek.errors import (
    CorruptCollectionError,
    ImseekError,
    StorageError,
    UntrustedCollectionError,
    UntrustedServerError,
    UsageError,
)
from imseek.types.maintenance_reports import Problem, VerifyReport

pytest.importorskip("psycopg", reason="psycopg is missing (the extra postgres)")

SECRET = "sesame"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home in which no server is allowed, of a user who has a password for servers of their own."""
    monkeypatch.setenv("IMSEEK_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PGPASSWORD", SECRET)
    for name in ("PGREQUIREAUTH", "PGHOST", "PGHOSTADDR", "PGSERVICE"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "home"


@pytest.fixture
def impostor() -> Iterator[Impostor]:
    with listening() as server:
        yield server


@pytest.fixture
def root(tmp_path: Path, photos: Path, impostor: Impostor, templates: Templates) -> Path:
    """A collection that somebody else has prepared."""
    templates.indexed(tmp_path / "theirs", photos)
    name_server(tmp_path / "theirs", impostor.url())
    return tmp_path / "theirs"


USES: dict[str, Callable[[Path], object]] = {
    "open": imseek.open,
    "search": lambda root: imseek.open(root).search("red"),
    "current": read_current,
    "info": lambda root: imseek.open(root).info(),
    "verify": maintenance.verify,
    "repair": maintenance.repair,
    "purge": maintenance.purge,
    "due": maintenance.due,
    "duplicates": imseek.duplicates.find,
    "undo": lambda root: imseek.duplicates.undo(root, dry_run=False),
    "backup": lambda root: imseek.backup.write(root, root.parent / "a.tar"),
    "index": lambda root: imseek.open(root).index([root.parent / "photos"]),
    "tag": lambda root: imseek.tags.add(root, "red", [0]),
    "jobs": lambda root: imseek.jobs.list(root),
    "lock": lambda root: backend_of(root).lock().acquire(),
    "delete": lambda root: library.delete(root, "theirs"),
    "to a file": lambda root: maintenance.move_catalog(root, "sqlite"),
}


@pytest.mark.parametrize("use", USES)
def test_nothing_is_sent_to_a_server_that_was_not_allowed(root: Path, impostor: Impostor, use: str) -> None:
    before = sorted(path.name for path in root.iterdir() if path.name != layout.LOCK)
    with pytest.raises(UntrustedServerError, match="you have not allowed") as refusal:
        USES[use](root)
    assert refusal.value.hint == f"if you know it: imseek collection trust {root}"
    assert impostor.connections == 0
    assert sorted(path.name for path in root.iterdir() if path.name != layout.LOCK) == before


@pytest.mark.parametrize("challenge", sorted(set(CHALLENGES) - {"scram"}))
def test_also_one_that_was_allowed_is_told_no_secret(root: Path, challenge: str) -> None:
    with listening(challenge) as server:
        name_server(root, server.url())
        allow_server(read_address(root))
        with pytest.raises(StorageError) as refusal:
            imseek.open(root)
        assert SECRET not in f"{refusal.value} {refusal.value.hint}"
    assert server.connections > 0
    assert set(server.answers) <= {b""}, "who connects has said who it is, and nothing more"
    if challenge in ("md5", "cleartext"):
        assert "SCRAM only" in str(refusal.value.hint)


def test_by_scram_no_secret_is_told_either(root: Path) -> None:
    with listening("scram") as server:
        name_server(root, server.url())
        allow_server(read_address(root))
        with pytest.raises(StorageError):
            imseek.open(root)
    assert server.answers
    assert all(answer.startswith(b"p") and b"SCRAM-SHA-256" in answer for answer in server.answers)
    assert not any(SECRET.encode() in answer for answer in server.answers)


def test_the_user_may_allow_other_ways(root: Path, impostor: Impostor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which shows too that an answer would be seen."""
    monkeypatch.setenv("PGREQUIREAUTH", "md5")
    allow_server(read_address(root))
    with pytest.raises(StorageError):
        imseek.open(root)
    assert any(answer.startswith(b"p") and b"md5" in answer for answer in impostor.answers)


def test_a_libpq_that_would_answer_to_anything_is_not_used(
    root: Path, impostor: Impostor, monkeypatch: pytest.MonkeyPatch
) -> None:
    import psycopg

    allow_server(read_address(root))
    monkeypatch.setattr(psycopg.pq, "version", lambda: 150_004)
    with pytest.raises(StorageError, match="libpq is older than 16"):
        imseek.open(root)
    assert impostor.connections == 0


@pytest.mark.parametrize(
    ("parameters", "environment", "ways"),
    [
        ({"host": "127.0.0.1"}, {}, "scram-sha-256,none"),
        ({"host": "127.1.2.3"}, {}, "scram-sha-256,none"),
        ({"host": "::1"}, {}, "scram-sha-256,none"),
        ({"host": "localhost"}, {}, "scram-sha-256,none"),
        ({"host": "/run/postgresql"}, {}, "scram-sha-256,none"),
        ({"host": "@abstract"}, {}, "scram-sha-256,none"),
        ({}, {}, "scram-sha-256,none"),
        ({}, {"PGHOST": "db.example"}, "scram-sha-256"),
        ({"host": "127.0.0.1"}, {"PGHOSTADDR": "192.0.2.1"}, "scram-sha-256"),
        ({"service": "pictures"}, {}, "scram-sha-256"),
        ({"host": "db.example"}, {}, "scram-sha-256"),
        ({"host": "127.0.0.1,db.example"}, {}, "scram-sha-256"),
        ({"host": "192.0.2.1"}, {}, "scram-sha-256"),
        ({"host": "127.0.0.1.example"}, {}, "scram-sha-256"),
        ({"host": "db.example"}, {"PGREQUIREAUTH": "gss"}, None),
    ],
)
def test_only_this_machine_may_ask_for_nothing(
    parameters: dict[str, str], environment: dict[str, str], ways: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert connection._authentication(parameters).get("require_auth") == ways


# -- the list -----------------------------------------------------------------------------------------------


def test_the_list_is_the_users_alone(root: Path, home: Path) -> None:
    address = read_address(root)
    assert allow_server(address)
    assert not allow_server(address)
    check_server(address)
    file = home / "servers.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    (entry,) = json.loads(file.read_text())["servers"]
    assert entry["uuid"] == read_identity(root).uuid
    disallow_server(address)
    disallow_server(address)
    with pytest.raises(UntrustedServerError):
        check_server(address)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me@127.0.0.1:5433/pictures",
        "postgresql://me@127.0.0.2:5432/pictures",
        "postgresql://you@127.0.0.1:5432/pictures",
        "postgresql://127.0.0.1:5432/pictures",
        "postgresql://me@127.0.0.1:5432/secrets",
        "postgresql://me@127.0.0.1:5432/pictures?sslmode=disable",
        "postgresql://me@127.0.0.1,192.0.2.1:5432/pictures",
        "postgresql://me@127.0.0.1:5432/pictures?host=192.0.2.1",
        "postgresql://me@127.0.0.1:5432/pictures?service=work",
    ],
)
def test_another_address_is_another_server(url: str) -> None:
    known = Address("0190", "postgresql://me@127.0.0.1:5432/pictures")
    allow_server(known)
    check_server(known)
    for other in (replace(known, url=url), replace(known, uuid="0191")):
        with pytest.raises(UntrustedServerError):
            check_server(other)


def test_the_same_address_written_in_another_way_is_the_same() -> None:
    allow_server(Address("0190", "postgresql://me@127.0.0.1:5432/pictures"))
    check_server(Address("0190", "postgres://me@127.0.0.1:5432/pictures"))
    check_server(Address("0190", "postgresql://me@127.0.0.1/pictures?port=5432", Path("/anywhere")))


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"format": 2, "servers": []}', b'{"format": 1}', b"[" * 100_000, b"\xff"]
)
def test_a_damaged_list_allows_nothing(root: Path, home: Path, impostor: Impostor, content: bytes) -> None:
    allow_server(read_address(root))
    (home / "servers.json").write_bytes(content)
    with pytest.raises(StorageError, match="no server is allowed"):
        imseek.open(root)
    with pytest.raises(StorageError, match="no server is allowed"):
        allow_server(read_address(root))
    assert impostor.connections == 0
    assert (home / "servers.json").read_bytes() == content


def test_several_at_once_forget_nothing() -> None:
    addresses = [Address(f"{n}", f"postgresql://me@127.0.0.1/{n}") for n in range(20)]
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(allow_server, addresses))
    assert len(allowed_servers._read()) == 20


def test_a_server_that_the_user_names_is_allowed_as_long_as_it_works(tmp_path: Path, impostor: Impostor) -> None:
    """Making a collection there, or moving one: refused by the server, it is not on the list."""
    with pytest.raises(StorageError):
        imseek.create(tmp_path / "mine", encoder="fake", catalog=impostor.url())
    imseek.create(tmp_path / "other", encoder="fake").close()
    with pytest.raises(StorageError):
        maintenance.move_catalog(tmp_path / "other", impostor.url())
    assert impostor.connections > 0
    assert allowed_servers._read() == []


def test_a_server_is_allowed_no_longer_than_its_collection_is_trusted(
    root: Path, impostor: Impostor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that cannot be verified is not trusted, and one that is forgotten names no server either."""
    with pytest.raises(StorageError):
        maintenance.trust(root)
    assert impostor.connections > 0
    assert allowed_servers._read() == []
    problem = Problem("orphan", "metadata/0.parquet", "not part of the collection", repairable=True)
    monkeypatch.setattr(maintenance, "verify", lambda path: VerifyReport((problem,), 0, 0))
    maintenance.trust(root)
    assert allowed_servers._read() == []
    maintenance.trust(root, force=True)
    assert len(allowed_servers._read()) == 1
    maintenance.distrust(root)
    assert allowed_servers._read() == []


@pytest.mark.parametrize("to", ["sqlite", "URL"])
def test_the_catalog_of_a_collection_that_is_not_trusted_is_not_moved(
    tmp_path: Path, root: Path, impostor: Impostor, to: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    imseek.create(tmp_path / "in a file", encoder="fake").close()
    monkeypatch.delenv("IMSEEK_TRUSTED_FOLDERS")
    monkeypatch.setenv("IMSEEK_HOME", str(tmp_path / "my home"))
    for collection in (root, tmp_path / "in a file"):
        with pytest.raises(UntrustedCollectionError, match="moving its catalog"):
            maintenance.move_catalog(collection, impostor.url() if to == "URL" else to)
    assert impostor.connections == 0
    assert allowed_servers._read() == []


# -- what a URL may say -------------------------------------------------------------------------------------

STRANGE = [
    "hostaddr=127.0.0.1", "passfile=/home/me/.pgpass", "sslkey=/home/me/.ssh/id_rsa", "sslcert=/home/me/cert",
    "sslrootcert=/tmp/theirs.pem", "sslcrl=/dev/zero", "sslcrldir=/", "options=-csearch_path%3Dtheirs",
    "require_auth=md5", "gssencmode=require", "gssdelegation=1", "krbsrvname=x", "gsslib=gssapi", "requirepeer=root",
    "replication=database", "client_encoding=latin1", "sslcertmode=require", "sslcompression=1",
    "fallback_application_name=x", "sslkeylogfile=/tmp/owned", "oauth_issuer=http://127.0.0.1", "oauth_client_id=x",
    "scram_client_key=x", "sslpassword=x", "ssl_min_protocol_version=TLSv1", "nonsense=1", "password=x",
]  # fmt: skip


@pytest.mark.parametrize("said", STRANGE)
def test_a_url_says_which_server_and_no_more(root: Path, tmp_path: Path, impostor: Impostor, said: str) -> None:
    url = impostor.url(f"?{said}")
    with pytest.raises(UsageError, match=r"must not (set|contain a password)|not the URL of") as refusal:
        imseek.create(tmp_path / "made", encoder="fake", catalog=url)
    assert "/home/me" not in f"{refusal.value} {refusal.value.hint}"
    assert not (tmp_path / "made").exists()
    name_server(root, url)
    allow_server(Address(read_identity(root).uuid, impostor.url()))
    with pytest.raises(CorruptCollectionError, match="does not say where the catalog is"):
        imseek.open(root)
    assert impostor.connections == 0
    assert not Path("/tmp/owned").exists()


@pytest.mark.parametrize(
    "said", ["sslmode=verify-full", "sslrootcert=system", "connect_timeout=3", "keepalives_idle=9"]
)
def test_what_says_how_safely_and_how_patiently_may_be_said(said: str) -> None:
    from imseek.data.catalog.postgres.address import check_url

    assert check_url(f"postgresql://me@db.example/pictures?{said}").endswith(said)


@pytest.mark.parametrize("url", [None, 1, True, [], {}, "", "\0", "postgresql://\0", "x" * 10_000, ["postgresql://a"]])
def test_what_is_no_url_is_damage(root: Path, impostor: Impostor, url: object) -> None:
    name_server(root, url)
    with pytest.raises(ImseekError, match="does not say where the catalog is"):
        imseek.open(root)
    assert impostor.connections == 0
