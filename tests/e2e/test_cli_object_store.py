"""Commands with ``s3://``: what a person sees where a bucket, the credentials or the server are wrong."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import object_store
import pytest
from sourcing.archives import tar_of

from imseek.testing.sources import draw

pytestmark = pytest.mark.slow

Break: TypeAlias = Callable[[pytest.MonkeyPatch], None]


def other_secret(patch: pytest.MonkeyPatch) -> None:
    patch.setenv("AWS_SECRET_ACCESS_KEY", "another")


def no_credentials(patch: pytest.MonkeyPatch) -> None:
    patch.delenv("AWS_ACCESS_KEY_ID")
    patch.delenv("AWS_SECRET_ACCESS_KEY")


def server_down(patch: pytest.MonkeyPatch) -> None:
    import s3fs

    patch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    # It takes ten seconds to give up otherwise.
    patch.setenv("AWS_MAX_ATTEMPTS", "1")
    patch.setattr(s3fs.S3FileSystem, "retries", 1)


#: What can be wrong on the way to a bucket, and what is said of it.
TROUBLES: tuple[tuple[Break, str], ...] = (
    (other_secret, "are the credentials those of this server?"),
    (no_credentials, "Unable to locate credentials"),
    (server_down, "Could not connect to the endpoint URL"),
)


@pytest.fixture
def shard(bucket: object_store.Folder) -> object_store.Folder:
    bucket.put("shards/a.tar", tar_of({"a.png": draw(1), "b.png": draw(2)}))
    return bucket


def test_index_and_backup_with_what_the_documentation_says_to_set(process, shard: object_store.Folder) -> None:
    """In processes of their own, where warnings are errors."""
    for arguments in (
        ["index", shard.url("shards"), "--encoder", "fake"],
        ["backup", shard.url("backups/a.tar")],
    ):
        done: subprocess.CompletedProcess[bytes] = process(*arguments)
        assert done.returncode == 0, done.stderr
        assert b"Warning" not in done.stderr
        assert b"2 images" in done.stdout + done.stderr
    assert shard.names() == ["backups/a.tar", "shards/a.tar"]


@pytest.mark.parametrize(("broken", "said"), TROUBLES)
def test_index_says_what_is_wrong_and_loses_nothing(
    cli, shard: object_store.Folder, monkeypatch: pytest.MonkeyPatch, broken: Break, said: str
) -> None:
    assert cli("index", shard.url("shards"), "--encoder", "fake").code == 0
    broken(monkeypatch)
    object_store.forget()
    outcome = cli("index")
    assert outcome.code == 3
    (line,) = [line for line in outcome.out.splitlines() if said in line]
    assert line.startswith(f"{shard.url('shards')}: ")
    assert line.endswith("; 2 images are kept as they are")
    outcome = cli("index", shard.url("other"))
    assert outcome.code == 1
    assert f"imseek: {shard.url('other')}: " in outcome.err
    assert said in outcome.err
    outcome = cli("extract", "0", "-o", "a.png")
    assert outcome.code == 1
    assert said in outcome.err


@pytest.mark.parametrize(("broken", "said"), TROUBLES)
def test_backup_and_restore_say_what_is_wrong(
    cli, indexed: Path, bucket: object_store.Folder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
    broken: Break, said: str,
) -> None:  # fmt: skip
    assert cli("backup", bucket.url("a.tar")).code == 0
    broken(monkeypatch)
    object_store.forget()
    check_backups(cli, bucket.url(), said, tmp_path / "again")
    assert bucket.names() == ["a.tar"]


def test_a_bucket_that_is_not_there(cli, indexed: Path, bucket: object_store.Folder, tmp_path: Path) -> None:
    said, url = "there is no such bucket", "s3://no-such-bucket"
    check_backups(cli, url, said, tmp_path / "again")
    outcome = cli("index", f"{url}/shards")
    assert (outcome.code, f"imseek: {url}/shards: {said}\n" in outcome.err) == (1, True)
    outcome = cli("index", f"{url}/a.tar")
    assert (outcome.code, f"{url}/a.tar: {said}; " in outcome.out) == (3, True)


def check_backups(cli, url: str, said: str, folder: Path) -> None:
    for arguments in (
        ["backup", f"{url}/b.tar"],
        ["backup", f"{url}/b.tar", "--force"],
        ["backup", f"{url}/a.tar", "--verify"],
        ["restore", f"{url}/a.tar", str(folder)],
    ):
        outcome = cli(*arguments)
        assert outcome.code == 1
        assert f"imseek: {arguments[1]}: " in outcome.err
        assert said in outcome.err
        assert "hint" not in outcome.err, "no disk is failing"
    assert not folder.exists()


def test_single_pictures_are_not_taken_from_a_bucket(cli, bucket: object_store.Folder) -> None:
    bucket.put("pictures/a.png", draw(1))
    outcome = cli("index", bucket.url("pictures"), "--encoder", "fake")
    assert outcome.code == 2
    assert "holds neither archives nor tables" in outcome.err
    assert "hint: single pictures are taken from this machine and from the web" in outcome.err
