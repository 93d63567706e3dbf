"""Odd surroundings: closed streams, bytes that are no text, Ctrl-C while modules load."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import imseek

IMSEEK = f"{sys.executable} -P -m imseek"


@pytest.fixture
def shell(tmp_path: Path):  # type: ignore[no-untyped-def]
    home = tmp_path / "home"
    with imseek.create(home / "collections" / "default", encoder="fake"):
        pass

    def run(command: str) -> subprocess.CompletedProcess[bytes]:
        environment = {**os.environ, "IMSEEK_HOME": str(home)}
        return subprocess.run(["bash", "-c", command], capture_output=True, env=environment, cwd=tmp_path)

    return run


@pytest.mark.parametrize(
    ("command", "code", "says"),
    [
        (f"{IMSEEK} search $'car\\xff'", 2, b"not valid UTF-8"),
        (f"{IMSEEK} search dog >&-", 0, b""),
        (f"{IMSEEK} collection delete default <&-", 1, b"nothing was changed"),
        (f"{IMSEEK} collection list 2>&- >/dev/full", 1, b""),
    ],
)
def test_no_traceback(shell, command: str, code: int, says: bytes) -> None:  # type: ignore[no-untyped-def]
    done = shell(command)
    assert b"Traceback" not in done.stderr
    assert (done.returncode, says in done.stderr) == (code, True), done.stderr


LOADING = """
import sys, time, types

class Slow(types.ModuleType):
    def __getattr__(self, name):
        print("loading", flush=True)
        time.sleep(60)

sys.modules["imseek.ui.cli"] = Slow("imseek.ui.cli")
from imseek.__main__ import main
main()
"""


def test_interrupted_while_modules_load() -> None:
    process = subprocess.Popen([sys.executable, "-P", "-c", LOADING], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"loading\n"
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=20)
    assert (process.returncode, said) == (-signal.SIGINT, b"")


def test_several_first_runs_at_once(tmp_path: Path, photo_files: list[Path]) -> None:
    """One makes the collection; the others use it, or find it locked. None is told that it exists."""
    command = [sys.executable, "-P", "-m", "imseek", "index", str(photo_files[0]), "--encoder", "fake"]
    environment = {**os.environ, "IMSEEK_HOME": str(tmp_path)}
    started = [subprocess.Popen(command, env=environment, stderr=subprocess.PIPE) for _ in range(4)]
    outcomes = [(process.communicate(timeout=60)[1], process.returncode) for process in started]
    codes = [code for _, code in outcomes]
    assert 0 in codes
    assert set(codes) <= {0, 75}, outcomes
