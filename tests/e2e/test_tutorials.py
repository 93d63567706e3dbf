"""The tutorials: every command runs, in order, in a home with photographs, and prints what the page shows."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import documentation
import pytest
from documentation import ROOT

from imseek.encoders.cache import cache_dir
from imseek.ui.photographs import photographs

pytestmark = pytest.mark.slow

TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.md"))
#: The port that pages name; a free one takes its place.
PORT = "1234"


@dataclass(frozen=True, slots=True)
class Step:
    """A command of a page, and the lines that the page shows below it: ``…`` stands for anything."""

    where: str
    command: str
    shown: tuple[str, ...]


def steps(page: Path) -> list[Step]:
    found: list[Step] = []
    for block in documentation.blocks(page):
        if block.language != "console":
            continue
        for number, line in enumerate(block.text.splitlines(), block.line):
            if line.startswith("$ "):
                found.append(Step(f"{page.name}:{number}", line[2:], ()))
            else:
                last = found.pop()
                found.append(Step(last.where, last.command, (*last.shown, line)))
    return found


def shows(line: str, output: str) -> bool:
    """Whether a line of the output reads like that of the page, but for spaces."""
    pattern = r"\s+".join(".*".join(map(re.escape, word.split("…"))) for word in line.split())
    return any(re.fullmatch(pattern, one.strip()) for one in output.splitlines())


def test_lines_that_differ_are_noticed() -> None:
    assert shows(" 1  0.315  …/chelsea.png", " 1  0.315  /home/me/chelsea.png")
    assert shows("…coffee.png", "17  keep  a/coffee.png")
    assert not shows("…coffee.png", "a/coffee.png is kept")
    assert not shows(" 1  …/chelsea.png", " 2  0.3  /home/me/chelsea.png")


@contextmanager
def running(command: str, environment: dict[str, str], port: int) -> Iterator[None]:
    """A server, from when it accepts connections; it ends by SIGTERM."""
    process = subprocess.Popen(["bash", "-c", f"exec {command}"], env=environment)
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                assert process.poll() is None, command
                assert time.monotonic() < deadline, command
                time.sleep(0.05)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    assert code == 128 + signal.SIGTERM, command


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A home with photographs, without a collection, where `imseek` and `python` are those of the tests."""
    home = tmp_path / "home"
    (home / "Pictures").mkdir(parents=True)
    for photograph in photographs():
        shutil.copy(photograph, home / "Pictures")
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, arguments in (("imseek", " -P -m imseek"), ("python", "")):
        (programs / name).write_text(f'#!/bin/sh\nexec {sys.executable}{arguments} "$@"\n')
        (programs / name).chmod(0o755)
    monkeypatch.chdir(home)
    changes = {"HOME": str(home), "PATH": f"{programs}:{os.environ['PATH']}", "HF_HUB_OFFLINE": "1", "COLUMNS": "200"}
    kept = {name: value for name, value in os.environ.items() if name not in ("IMSEEK_HOME", "IMSEEK_COLLECTION")}
    # What the encoder needs is made once for all tests.
    return {**kept, "IMSEEK_CACHE": str(cache_dir()), **changes}


@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_its_commands_run(page: Path, environment: dict[str, str]) -> None:
    port = free_port()
    todo = steps(page)
    assert len(todo) > 4
    with ExitStack() as servers:
        for step in todo:
            command = step.command.replace(PORT, str(port))
            if command.startswith("imseek serve"):
                servers.enter_context(running(command, environment, port))
                continue
            done = subprocess.run(
                ["bash", "-o", "pipefail", "-c", command], env=environment, capture_output=True, text=True, timeout=300
            )
            output = done.stdout + done.stderr
            assert done.returncode == 0, f"{step.where}: {command}\n{output}"
            for line in step.shown:
                assert shows(line, output), f"{step.where}: {command}: no line like {line!r} in\n{output}"


def test_every_tutorial_is_named_in_the_readme() -> None:
    readme = documentation.read(ROOT / "README.md")
    assert [page.name for page in TUTORIALS if f"(docs/tutorials/{page.name})" not in readme] == []
