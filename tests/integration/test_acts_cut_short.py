"""Killed before each operation on a file or a record, then on or back: all is as it was before, and nothing is left.

What a dead process does not do is done by nobody: from the kill on, each operation fails.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from acting import done, ids_by_path, planned, state

import imseek
from imseek.data import layout
from imseek.data.files import durable_files
from imseek.data.user_files import file_copies, file_moves
from imseek.duplicates.action_results import ApplyReport
from imseek.duplicates.actions import journal as journals
from imseek.duplicates.actions.apply import apply
from imseek.duplicates.actions.plans import Plan
from imseek.duplicates.actions.undo import undo
from imseek.errors import UsageError

pytestmark = pytest.mark.slow

#: Of each way to act: the action, and which functions the file system knows.
WAYS = {
    "rename": ("quarantine", ()),
    "second name": ("quarantine", ("rename_noreplace",)),
    "copy": ("quarantine", ("rename_noreplace", "link")),
    "trash": ("trash", ()),
    "hard link": ("hard-link", ()),
    "hard link over": ("hard-link", ("exchange",)),
    "reflink": ("reflink", ()),
    "tag": ("tag", ()),
}
OPERATIONS = (
    (file_moves, "rename_noreplace"), (file_moves, "exchange"), (durable_files, "append"),
    (os, "link"), (os, "unlink"), (os, "rename"), (os, "replace"),
)  # fmt: skip


class Killed(BaseException):
    """What a kill is to a test: nothing handles it."""


class Victim:
    """Does what it is told until its operation number ``last``; tells whether it came so far."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, last: int) -> None:
        self._patch, self._left = monkeypatch, last

    def dies(self, run: Callable[[], object]) -> bool:
        with self._patch.context() as patched:
            for module, name in OPERATIONS:
                patched.setattr(module, name, self._counted(getattr(module, name)))
            try:
                run()
            except Killed:
                return True
        return self._left < 0

    def _counted(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def operation(*args: Any, **kwargs: Any) -> Any:
            self._left -= 1
            if self._left < 0:
                raise Killed
            return function(*args, **kwargs)

        return operation


def refuse(*_: object, **__: object) -> None:
    raise OSError(95, "Operation not supported")


def back(root: Path) -> None:
    """Until nothing is away."""
    for _ in range(4):
        try:
            report = undo(root, dry_run=False)
        except UsageError:
            return
        assert "left" not in report.counts, report.files
    raise AssertionError("there is always more to undo")


def look(root: Path, plan: Plan) -> None:
    """A look at what was cut short changes nothing, and finds nothing that cannot go on or back."""
    folder = root.parent / "photos"
    lies = state(folder, aside=True)
    assert "left" not in apply(root, plan).counts
    with suppress(UsageError):
        assert "left" not in undo(root).counts
    assert state(folder, aside=True) == lies


@pytest.fixture
def acts(
    way: str, collection: imseek.Collection, twins: list[Path], monkeypatch: pytest.MonkeyPatch, trash: Path
) -> tuple[Plan, Callable[[], None]]:
    """The plan of a way, and what sees that all is as it was before."""
    action, missing = WAYS[way]
    if action == "reflink":
        monkeypatch.setattr(file_copies, "write_clone", file_copies.write_copy)
        monkeypatch.setattr(file_copies, "can_clone", lambda *_: True)
    if "link" in missing:  # Not that of a keeper, nor of the trash.
        monkeypatch.setattr(file_moves.os, "link", refuse)
    for name in {"rename_noreplace", "exchange"} & set(missing):
        monkeypatch.setattr(file_moves, name, refuse)
    photos, plan = twins[0].parent, planned(collection, twins[:2], action)
    before, ids = state(photos), ids_by_path(collection.path)

    def restored() -> None:
        assert state(photos) == before
        assert ids_by_path(collection.path) == ids
        assert not twins[0].samefile(twins[1])
        left = [path for path in photos.rglob(".imseek-*") if path.name != layout.QUARANTINE]
        left += [path for path in (photos / layout.QUARANTINE).rglob("*") if path.name != layout.QUARANTINE_MARKER]
        left += [path for path in trash.rglob("*") if path.is_file()]
        assert left == []
        with imseek.open(collection.path) as now:
            assert [now.get(file.image_id).tags for file in plan.files] == [()]
        assert {one.state for one in journals.list_undo_infos(collection.path)} <= {"undone", "unfinished"}

    return plan, restored


@pytest.mark.sample(way=2)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("then", ["on", "back"])
def test_killed_while_it_is_applied(
    way: str,
    then: str,
    acts: tuple[Plan, Callable[[], None]],
    collection: imseek.Collection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plan, restored = acts

    def run() -> ApplyReport:
        return done(collection, plan)

    for last in itertools.count():
        died = Victim(monkeypatch, last).dies(run)
        look(collection.path, plan)
        if then == "on":
            report = run()
            assert set(report.counts) <= {"done", "already"}, report.files
            assert report.interrupted is False
        back(collection.path)
        restored()
        if not died:
            assert last > 3, "the test sees the operations"
            break


@pytest.mark.sample(way=2)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("then", ["back", "on and back"])
def test_killed_while_it_is_undone(
    way: str,
    then: str,
    acts: tuple[Plan, Callable[[], None]],
    collection: imseek.Collection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plan, restored = acts

    def run() -> ApplyReport:
        return done(collection, plan)

    for last in itertools.count():
        assert run().counts == {"done": 1}
        died = Victim(monkeypatch, last).dies(lambda: undo(collection.path, dry_run=False))
        look(collection.path, plan)
        if then == "on and back":
            assert set(run().counts) <= {"done", "already"}
        back(collection.path)
        restored()
        if not died:
            assert last > 1, "the test sees the operations"
            break
