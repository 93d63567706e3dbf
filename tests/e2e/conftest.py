"""Running the command line in a home of its own, on pictures made for the test."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from answers import validate
from PIL import Image
from templates import Templates

from imseek.ui.cli import main
from imseek.ui.cli.progress import StopSignals


@dataclass(frozen=True)
class Outcome:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str

    def json(self, schema: str) -> Any:
        """The object on stdout (for ``error``, on stderr), once it agrees with the schema of that name."""
        document = json.loads(self.err if schema == "error" else self.out)
        validate(document, schema)
        return document


Cli: TypeAlias = Callable[..., Outcome]
CtrlC: TypeAlias = Callable[[str], AbstractContextManager[None]]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The library's home for this test; the current folder is an empty one."""
    monkeypatch.setenv("IMSEEK_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("IMSEEK_COLLECTION", raising=False)
    monkeypatch.setenv("COLUMNS", "100")
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    return tmp_path / "home"


@pytest.fixture
def cli(home: Path, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Runs ``imseek ARGUMENTS`` in this process."""

    def run(*arguments: str | os.PathLike[str]) -> Outcome:
        capsys.readouterr()
        code = main([os.fspath(argument) for argument in arguments])
        return Outcome(code, *capsys.readouterr())

    return run


@pytest.fixture
def ctrl_c(monkeypatch: pytest.MonkeyPatch) -> CtrlC:
    """``with ctrl_c("apply"):`` commands of that module are interrupted, a moment after their start."""

    class Stopped(StopSignals):
        def __enter__(self) -> Stopped:
            super().__enter__()
            signal.raise_signal(signal.SIGINT)
            return self

    @contextmanager
    def interrupted(module: str) -> Iterator[None]:
        with monkeypatch.context() as patch:
            # Commands that use `stoppable` have it from there.
            for place in (f"imseek.ui.cli.{module}.StopSignals", "imseek.ui.cli.progress.StopSignals"):
                patch.setattr(place, Stopped, raising=place.endswith("progress.StopSignals"))
            yield

    return interrupted


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """``terminal("y")``: from now on, commands run at a terminal where somebody types that to every question."""

    def typed(answer: str) -> None:
        stdin = io.StringIO(f"{answer}\n" * 9)
        monkeypatch.setattr(stdin, "isatty", lambda: True)
        monkeypatch.setattr("sys.stdin", stdin)
        monkeypatch.setattr("sys.stderr.isatty", lambda: True)

    return typed


@pytest.fixture
def process(home: Path) -> Callable[..., subprocess.CompletedProcess[bytes]]:
    """Runs ``imseek ARGUMENTS`` in a process of its own; the output is bytes."""

    def run(
        *arguments: str | bytes | os.PathLike[str], extra: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        command = [sys.executable, "-P", "-W", "error", "-m", "imseek", *arguments]
        return subprocess.run(
            command, capture_output=True, timeout=120, env={**os.environ, **(extra or {})}, check=False
        )

    return run


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder with one picture per colour, one of them in a folder below."""
    folder = tmp_path / "pictures"
    (folder / "below").mkdir(parents=True)
    for name, colour in {"red.png": "red", "lime.png": "lime", "below/blue.png": "blue"}.items():
        Image.new("RGB", (40, 30), colour).save(folder / name)
    return folder


@pytest.fixture
def indexed(home: Path, pictures: Path, templates: Templates) -> Path:
    """``pictures``, indexed with the fake encoder into the default collection."""
    templates.indexed(home / "collections/default", pictures)
    return pictures
