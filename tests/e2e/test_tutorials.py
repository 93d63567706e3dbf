"""The tutorials: every command runs, in order, in a home with photographs, and prints what the page shows."""

from __future__ import annotations

import os
import re
import shlex
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
from imseek.ui.cli import main
from imseek.ui.demo_photographs import photographs

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


def arguments(command: str) -> list[str] | None:
    """Those of ``imseek`` where the command is that alone, as a shell reads them; None where it takes a shell."""
    if not command.startswith("imseek ") or re.search(r"[|&;<>$`*?\\]", command):
        return None
    return [str(Path(word).expanduser()) if word.startswith("~") else word for word in shlex.split(command)[1:]]


def test_what_takes_a_shell_is_left_to_it() -> None:
    assert arguments('imseek search "a cat" --limit 3') == ["search", "a cat", "--limit", "3"]
    assert arguments("imseek index ~/Pictures") == ["index", str(Path.home() / "Pictures")]
    assert arguments("imseek search a --paths | xargs ls") is None
    assert arguments("imseek export $HOME/x.csv") is None
    assert arguments("ls Pictures") is None


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
    """A home with photographs, without a collection, where `imseek` and `python` are those of the tests: here, and for
    processes in the environment that is returned.
    """
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
    monkeypatch.setenv("IMSEEK_CACHE", str(cache_dir()))  # What the encoder needs is made once for all tests.
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("COLUMNS", "200")
    for name in ("IMSEEK_HOME", "IMSEEK_COLLECTION"):
        monkeypatch.delenv(name, raising=False)
    return dict(os.environ)


@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_its_commands_run(page: Path, environment: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    """Those of imseek alone in this process, which has imported what each of them would."""
    port = free_port()
    todo = steps(page)
    assert len(todo) > 4
    with ExitStack() as servers:
        for step in todo:
            command = step.command.replace(PORT, str(port))
            if command.startswith("imseek serve"):
                servers.enter_context(running(command, environment, port))
                continue
            if (words := arguments(command)) is not None:
                code = main(words)
                output = "".join(capsys.readouterr())
            else:
                shell = ["bash", "-o", "pipefail", "-c", command]
                done = subprocess.run(shell, env=environment, capture_output=True, text=True, timeout=300)
                code, output = done.returncode, done.stdout + done.stderr
            assert code == 0, f"{step.where}: {command}\n{output}"
            for line in step.shown:
                assert shows(line, output), f"{step.where}: {command}: no line like {line!r} in\n{output}"


def test_every_tutorial_is_named_in_the_readme() -> None:
    readme = documentation.read(ROOT / "README.md")
    assert [page.name for page in TUTORIALS if f"(docs/tutorials/{page.name})" not in readme] == []
