"""Changes of the pages: undone once, in the words in which they were recorded."""

from __future__ import annotations

import pytest

from imseek.errors import LockedError, UsageError
from imseek.ui.web.undoable_changes import Change, ChangeLog


def test_a_change_is_undone_once() -> None:
    log, undone = ChangeLog(), []
    made = log.record(Change("3 pictures tagged “sea”", lambda: undone.append(1)))
    assert made["text"] == "3 pictures tagged “sea”"
    assert log.undo(made["token"]) == "3 pictures tagged “sea”"
    assert undone == [1]
    with pytest.raises(UsageError, match="no longer"):
        log.undo(made["token"])


def test_what_could_not_be_undone_can_be_tried_again() -> None:
    log, tries = ChangeLog(), []

    def undo() -> None:
        tries.append(1)
        if len(tries) == 1:
            raise LockedError("another writer is at work", hint="try again")

    token = log.record(Change("x", undo))["token"]
    with pytest.raises(LockedError):
        log.undo(token)
    log.undo(token)
    assert len(tries) == 2


def test_the_log_is_bounded_and_tokens_cannot_be_guessed() -> None:
    log = ChangeLog()
    tokens = [log.record(Change(str(n), lambda: None))["token"] for n in range(501)]
    assert len(set(tokens)) == 501
    assert min(map(len, tokens)) >= 16
    with pytest.raises(UsageError):
        log.undo(tokens[0])
    assert log.undo(tokens[1]) == "1"
