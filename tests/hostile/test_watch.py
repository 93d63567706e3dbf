"""The watch sees what it is for: each forbidden thing, done on purpose, is a finding."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hostile.arena import Arena
from hostile.runner import Runner
from hostile.strace import trace
from hostile.watch import Listener, observe


@pytest.fixture(scope="module")
def arena(tmp_path_factory: pytest.TempPathFactory) -> Arena:
    arena = Arena(tmp_path_factory.mktemp("watch") / "arena")
    arena.make()
    return arena


@pytest.fixture(scope="module")
def runner(arena: Arena) -> Iterator[Runner]:
    with Runner(arena, ["hostile.touches"]) as started:
        yield started


@pytest.fixture(scope="module")
def listener() -> Iterator[Listener]:
    with Listener() as started:
        yield started


@pytest.fixture
def canary(arena: Arena) -> Path:
    (arena.canary / "new").unlink(missing_ok=True)
    path = arena.canary / "000000.npy"
    arena.plant({path: b"numbers"})
    path.chmod(0o644)
    return path


@pytest.mark.parametrize(
    ("function", "worst"),
    [
        ("nothing", "ok"),
        ("read", "canary read"),
        ("read_natively", "canary read"),
        ("list_folder", "canary read"),
        ("show", "leak"),
        ("write", "canary written"),
        ("chmod", "canary written"),
        ("create", "canary written"),
        ("delete", "canary deleted"),
        ("delete_by_descriptor", "canary deleted"),
        ("start", "process"),
        ("unpickle", "code"),
        ("fill", "memory"),
        ("fail", "traceback"),
        ("crash", "crash"),
    ],
)
def test_what_is_done_to_a_canary_is_found(
    arena: Arena, runner: Runner, listener: Listener, canary: Path, function: str, worst: str
) -> None:
    outcome = observe(runner, listener, arena, f"hostile.touches:{function}", {"path": str(canary)}, spare=[])
    assert outcome.worst == worst, outcome


@pytest.mark.parametrize("function", ["connect", "connect_natively"])
def test_a_connection_is_found(arena: Arena, runner: Runner, listener: Listener, function: str) -> None:
    arguments = {"port": listener.port}
    outcome = observe(runner, listener, arena, f"hostile.touches:{function}", arguments, spare=[])
    assert outcome.worst == "socket", outcome


@pytest.mark.parametrize("function", ["sleep", "spin"])
def test_a_hang_is_found_and_ended(
    arena: Arena, runner: Runner, listener: Listener, canary: Path, function: str
) -> None:
    arguments = {"path": str(canary)}
    outcome = observe(runner, listener, arena, f"hostile.touches:{function}", arguments, spare=[], seconds=0.5)
    assert outcome.worst == "hang", outcome


def test_what_a_run_may_use_is_no_finding(arena: Arena, runner: Runner, listener: Listener) -> None:
    own = arena.library / "own.txt"
    own.write_bytes(b"")
    for function in ("read", "list_folder", "write", "delete"):
        outcome = observe(runner, listener, arena, f"hostile.touches:{function}", {"path": str(own)}, spare=[own])
        assert outcome.worst == "ok", outcome


def test_a_picture_may_be_read_and_not_changed(arena: Arena, runner: Runner, listener: Listener) -> None:
    picture = arena.photos / "picture.png"
    picture.write_bytes(b"pixels")
    for function, worst in (("read", "ok"), ("write", "canary written"), ("delete", "canary deleted")):
        arguments = {"path": str(picture)}
        outcome = observe(
            runner,
            listener,
            arena,
            f"hostile.touches:{function}",
            arguments,
            spare=[],
            pictures=[picture],
        )
        assert outcome.worst == worst, outcome


@pytest.mark.parametrize(
    ("call", "worst"),
    [
        ("read_natively({canary!r})", "canary read"),
        ("connect_natively({port})", "socket"),
        ("delete({canary!r})", "canary deleted"),
        ("nothing({canary!r})", "ok"),
    ],
)
def test_a_real_process_is_watched_too(arena: Arena, listener: Listener, canary: Path, call: str, worst: str) -> None:
    code = f"from hostile import touches; touches.{call.format(canary=str(canary), port=listener.port)}"
    outcome = trace(arena, listener, [sys.executable, "-P", "-c", code], spare=[])
    assert outcome.worst == worst, outcome
