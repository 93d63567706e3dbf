"""Decisions in their file, and as judgements in the collection, whoever else writes."""

from __future__ import annotations

import errno
import threading
from pathlib import Path

import pytest
from wait import wait_until

import imseek
from imseek import duplicates
from imseek.data.writing import writer_wait
from imseek.data.writing.writer import Writer
from imseek.errors import StorageError, UsageError
from imseek.progress import Progress
from imseek.types.duplicate_judgements import Judgement
from imseek.ui.web.background import BackgroundTask
from imseek.ui.web.pages.duplicates import decision_store as module
from imseek.ui.web.pages.duplicates.decision_store import DecisionStore
from imseek.ui.web.pages.duplicates.decisions import Decision

A, B, C = ("a" * 64, "b" * 64, "c" * 64)


@pytest.fixture
def root(collection: imseek.Collection) -> Path:
    return collection.path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "ui" / "decisions.json"


def stored(kept: DecisionStore) -> None:
    wait_until(lambda: not kept.is_storing)
    assert not kept.pending, repr(kept.trouble)


def said(root: Path) -> dict[tuple[str, str], str]:
    return {(one.a, one.b): one.verdict for one in duplicates.judgements(root)}


def different(*pairs: tuple[str, str]) -> Decision:
    return Decision(("g",), "different", (), dict.fromkeys(pairs, "different"))


def _refused(path: Path) -> bytes:
    raise PermissionError(errno.EACCES, "Permission denied", str(path))


class TestRejudge:
    def test_it_takes_itself_back(self, root: Path) -> None:
        duplicates.rejudge(root, {(A, B): "same"})
        before = duplicates.rejudge(root, {(B, A): "different", (A, C): "same"})
        assert before == {(A, B): "same", (A, C): None}
        assert said(root) == {(A, B): "different", (A, C): "same"}
        duplicates.rejudge(root, before)
        assert said(root) == {(A, B): "same"}

    def test_nothing_is_no_commit(self, root: Path) -> None:
        with imseek.open(root) as opened:
            generation = opened.info().generation
            assert duplicates.rejudge(root, {}) == {}
            assert opened.info().generation == generation

    @pytest.mark.parametrize("pair", [(A, A), ("x", B)])
    def test_what_cannot_be_judged(self, root: Path, pair: tuple[str, str]) -> None:
        with pytest.raises(UsageError):
            duplicates.rejudge(root, {pair: None})


class TestKept:
    def test_a_decision_is_kept_and_judged(self, root: Path, file: Path) -> None:
        kept = DecisionStore(root, file)
        kept.add(different((A, B)))
        stored(kept)
        assert said(root) == {(A, B): "different"}
        again = DecisionStore(root, file)
        assert again.entries == kept.entries
        assert again.states[("g",)].act == "different"
        assert again.pending == 0

    def test_several_at_once_are_undone_one_by_one(self, root: Path, file: Path) -> None:
        kept = DecisionStore(root, file)
        kept.add(different((A, B)), different((A, C)))
        stored(kept)
        assert said(root) == {(A, B): "different", (A, C): "different"}
        assert kept.undo() == Decision(("g",), "different", (), {(A, C): "different"}, {(A, C): None})
        stored(kept)
        assert said(root) == {(A, B): "different"}
        assert (file.stat().st_mode & 0o777, [*file.parent.iterdir()]) == (0o600, [file])

    def test_undoing_leaves_what_was_said_before(self, root: Path, file: Path) -> None:
        duplicates.rejudge(root, {(A, B): "same", (A, C): "different"})
        kept = DecisionStore(root, file)
        kept.add(different((A, B), (A, C), (B, C)))
        stored(kept)
        assert set(said(root).values()) == {"different"}
        assert kept.undo() is not None
        stored(kept)
        assert said(root) == {(A, B): "same", (A, C): "different"}
        assert kept.undo() is None

    def test_another_writer_holds_nobody_up(self, root: Path, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(writer_wait, "DEFAULT_TIMEOUT", 0.05)
        monkeypatch.setattr(module, "_RETRY_SECONDS", 0.01)
        kept = DecisionStore(root, file)
        with Writer(root, "index"):
            kept.add(different((A, B)))
            kept.add(different((A, C)))
            wait_until(lambda: kept.trouble is not None)
            assert "being written" in str(kept.trouble)
            assert kept.pending == 2
            kept.undo()  # Not stored yet: nothing to take back.
            assert kept.pending == 1
        stored(kept)
        assert kept.trouble is None
        assert said(root) == {(A, B): "different"}

    def test_what_a_kill_has_left_is_stored_later(self, root: Path, file: Path) -> None:
        kept = DecisionStore(root, file)
        kept._thread = threading.current_thread()  # As if its thread had died.
        kept.add(different((A, B)))
        stored(DecisionStore(root, file))
        assert said(root) == {(A, B): "different"}

    def test_a_decision_that_cannot_be_kept_was_not_made(self, root: Path, tmp_path: Path) -> None:
        (tmp_path / "ui").write_text("a file where a folder should be")
        kept = DecisionStore(root, tmp_path / "ui" / "decisions.json")
        with pytest.raises(StorageError, match="cannot write"):
            kept.add(different((A, B)), different((A, C)))
        assert kept.entries == ()
        assert said(root) == {}

    @pytest.mark.parametrize("text", ["", "[]", '{"imseek_review": 0}', '{"imseek_review": 1, "said": [{}]}'])
    def test_a_damaged_file_is_put_aside(self, root: Path, file: Path, text: str) -> None:
        file.parent.mkdir()
        file.write_text(text)
        kept = DecisionStore(root, file)
        assert (kept.entries, kept.unread) == ((), None)
        aside = file.with_name("decisions.damaged.json")
        assert str(aside) in (kept.note or "")
        kept.add(different((A, B)))
        stored(kept)
        assert aside.read_text() == text
        assert DecisionStore(root, file).entries == kept.entries

    def test_a_file_of_a_later_imseek_stays(self, root: Path, file: Path) -> None:
        file.parent.mkdir()
        file.write_text('{"imseek_review": 99}')
        kept = DecisionStore(root, file)
        assert "later imseek" in str(kept.unread)
        kept.save_settings({"keep": "newest"})
        with pytest.raises(StorageError, match="later imseek"):
            kept.add(different((A, B)))
        assert kept.entries == ()
        assert said(root) == {}
        assert [(one.name, one.read_text()) for one in file.parent.iterdir()] == [(file.name, '{"imseek_review": 99}')]

    def test_a_file_that_cannot_be_read_just_now_stays(
        self, root: Path, file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = DecisionStore(root, file)
        before.add(different((A, B)))
        stored(before)
        with monkeypatch.context() as unreadable:
            unreadable.setattr(Path, "read_bytes", _refused)
            kept = DecisionStore(root, file)
            with pytest.raises(StorageError, match="cannot read"):
                kept.add(different((A, C)))
            with pytest.raises(StorageError, match="cannot read"):
                kept.undo()
        kept.add(different((A, C)))  # It can be read by now.
        stored(kept)
        assert kept.unread is None
        assert [one.verdicts for one in DecisionStore(root, file).entries] == [
            {(A, B): "different"},
            {(A, C): "different"},
        ]

    def test_it_tells_of_its_own_commits(self, root: Path, file: Path) -> None:
        told: list[tuple[int, int]] = []
        kept = DecisionStore(root, file, lambda before, after: told.append((before, after)))
        with imseek.open(root) as opened:
            before = opened.info().generation
        kept.add(different((A, B)))
        stored(kept)
        assert told == [(before, before + 1)]


class TestTask:
    def test_it_tells_how_far_it_is_and_stops_when_asked(self) -> None:
        def work(task: BackgroundTask[str]) -> str:
            task.tell(Progress("looking", 1, 2, 0, 0.0))
            assert task.stop_event.wait(20)
            return "stopped"

        task = BackgroundTask("test", work)
        wait_until(lambda: task.progress is not None)
        assert task.running
        assert not task.wait(0)
        task.stop()
        assert task.wait(20)
        assert task.result() == "stopped"
        assert task.error is None

    def test_it_raises_where_it_is_asked_what_it_came_to(self) -> None:
        def work(_: BackgroundTask[Judgement]) -> Judgement:
            raise UsageError("no")

        task = BackgroundTask("test", work)
        assert task.wait(20)
        assert task.error is not None
        with pytest.raises(UsageError, match="no"):
            task.result()
