from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from durability.damages import build, collection
from durability.forks import Server
from imseek.duplicates.actions.journal_signature import make_key
from imseek.maintenance import verify


@pytest.fixture(scope="session")
def servers() -> Iterator[list[Server]]:
    """Two of them: a trial is one process, and there are two cores."""
    started = [Server() for _ in range(2)]
    yield started
    for server in started:
        server.close()


@pytest.fixture(scope="session")
def strace() -> None:
    """strace must be there and allowed to trace, as it is in CI."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed (Debian: apt install strace)")
    if subprocess.run(["strace", "-f", "-o", "/dev/null", "true"], check=False).returncode:
        pytest.skip("this system does not let strace trace")


@pytest.fixture
def fast_folder(tmp_path: Path) -> Iterator[Path]:
    """In memory where that can be had: a kill does not tell the difference, and power cuts are replayed."""
    shm = Path("/dev/shm")
    folder = shm / f"imseek-crash-{os.getpid()}" if os.access(shm, os.W_OK) else tmp_path / "crash"
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sound collection with every kind of file, to be copied and damaged."""
    home = tmp_path_factory.mktemp("original") / "home"
    build(home)
    assert verify(collection(home)).ok
    return home


@pytest.fixture(scope="session")
def prepared(servers: list[Server], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A folder in which a scenario can run, made once; to be copied."""

    @cache
    def prepare(name: str) -> Path:
        home = tmp_path_factory.mktemp("prepared") / "home"
        servers[0]("prepare", name=name, home=home)
        return home

    return prepare


@pytest.fixture(scope="session")
def duplicated(servers: list[Server], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which files of duplicates can be acted on, made once; to be copied."""
    home = tmp_path_factory.mktemp("duplicated") / "home"
    servers[0]("prepare_acts", home=home)
    make_key()  # The first trial would make it otherwise, and have operations that the others lack.
    return home


@pytest.fixture(autouse=True)
def _sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    """What scenarios change in the modules of imseek for their own process is put back in this one."""
    from imseek.data.shards import compaction
    from imseek.data.writing import writer
    from imseek.indexer import encode_stage, pipeline

    for module, name in (
        (pipeline, "COMMIT_IMAGES"),
        (encode_stage, "ENCODE_BATCH"),
        (compaction, "FACTOR"),
        (writer, "GRACE_SECONDS"),
    ):
        monkeypatch.setattr(module, name, getattr(module, name))
