"""History and saved searches: what is kept, in which order, and what a damaged file means."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest

from imseek.errors import ImseekError, UsageError
from imseek.ui.web import saved_searches, search_state
from imseek.ui.web.saved_searches import SearchStore

pytestmark = pytest.mark.slow

DOG, CAT = search_state.text_search("a dog"), search_state.text_search("a cat", weight=2)


def _history(store: SearchStore, uuid: str = "one") -> list[search_state.SearchState]:
    return [past.state for past in store.of(uuid).history]


def test_the_newest_comes_first_and_once(tmp_path: Path) -> None:
    store = SearchStore(tmp_path)
    for one in (DOG, CAT, DOG.with_changes(page="abc")):
        store.remember("one", one)
    store.remember("two", search_state.more_like(5))
    assert _history(SearchStore(tmp_path)) == [DOG, CAT]
    store.forget("one")
    assert _history(SearchStore(tmp_path)) == []
    assert _history(SearchStore(tmp_path), "two") == [search_state.more_like(5)]
    assert store.path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [store.path]


def test_the_history_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saved_searches, "MAX_HISTORY", 2)
    store = SearchStore(tmp_path)
    for text in ("a", "b", "c"):
        store.remember("one", search_state.text_search(text))
    assert _history(store) == [search_state.text_search("c"), search_state.text_search("b")]


def test_saved_searches(tmp_path: Path) -> None:
    store = SearchStore(tmp_path)
    store.save("one", "  my \n dogs ", DOG.with_changes(where=("year > 2020",)))
    store.save("one", "cats", CAT)
    store.rename("one", "my dogs", "dogs")
    assert dict(SearchStore(tmp_path).of("one").saved) == {
        "dogs": DOG.with_changes(where=("year > 2020",)),
        "cats": CAT,
    }
    store.save("one", "dogs", DOG)
    store.delete("one", "cats")
    assert dict(SearchStore(tmp_path).of("one").saved) == {"dogs": DOG}


def test_names_that_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = SearchStore(tmp_path)
    for name in ("", "  ", "x" * 101, "a\u202eb"):
        with pytest.raises(UsageError, match="cannot be the name of a search"):
            store.save("one", name, DOG)
    store.save("one", "dogs", DOG)
    store.save("one", "cats", CAT)
    with pytest.raises(UsageError, match="another search is called 'cats'"):
        store.rename("one", "dogs", "cats")
    monkeypatch.setattr(saved_searches, "MAX_SAVED", 2)
    with pytest.raises(UsageError, match="2 saved searches already"):
        store.save("one", "birds", DOG)
    assert list(store.of("one").saved) == ["dogs", "cats"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"\xff\xfe",
        b'{"schema": 0, "collections": {}}',
        b'{"schema": "2", "collections": {}}',
        b'{"schema": 1, "collections": {"one": {"history": [], "saved": {"a": 5}}}}',
        b'{"schema": 1, "collections": {"one": {"history": [{"at": 1}], "saved": {}}}}',
        b'{"schema": 1, "collections": {"one": {"history": [], "saved": {"a": {"q": [1]}}}}}',
        b"[" * 100_000,
    ],
)
def test_a_damaged_file_is_put_aside_and_said(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "searches.json").write_bytes(content)
    store = SearchStore(tmp_path)
    found = store.of("one")
    assert (found.history, dict(found.saved)) == ((), {})
    assert found.note is not None
    assert "a new one begins" in found.note
    assert (tmp_path / "searches.damaged.json").read_bytes() == content
    store.remember("one", DOG)
    assert _history(SearchStore(tmp_path)) == [DOG]


def test_a_file_of_a_later_imseek_stays(tmp_path: Path) -> None:
    later = b'{"schema": 2, "collections": {"one": "anything"}}'
    (tmp_path / "searches.json").write_bytes(later)
    store = SearchStore(tmp_path)
    assert "written by a later imseek: update imseek" in (store.of("one").note or "")
    with pytest.raises(ImseekError, match="later imseek"):
        store.save("one", "dogs", DOG)
    assert [(one.name, one.read_bytes()) for one in tmp_path.iterdir()] == [("searches.json", later)]


def test_a_file_that_cannot_be_read_just_now_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    SearchStore(tmp_path).save("one", "dogs", DOG)
    store = SearchStore(tmp_path)
    with monkeypatch.context() as unreadable:
        unreadable.setattr(Path, "read_bytes", _refused)
        assert "cannot read" in (store.of("one").note or "")
        with pytest.raises(ImseekError, match="cannot read"):
            store.save("one", "cats", CAT)
    assert list(tmp_path.iterdir()) == [store.path]
    assert (dict(store.of("one").saved), store.of("one").note) == ({"dogs": DOG}, None)


def _refused(path: Path) -> bytes:
    raise PermissionError(errno.EACCES, "Permission denied", str(path))


def test_damaged_files_of_before_are_kept_too(tmp_path: Path) -> None:
    for content in ("first", "second"):
        (tmp_path / "searches.json").write_text(content)
        assert SearchStore(tmp_path).of("one").note is not None
    found = {one.name: one.read_text() for one in tmp_path.iterdir()}
    assert found == {"searches.damaged.json": "first", "searches.damaged-2.json": "second"}


def test_what_another_process_has_written_is_seen(tmp_path: Path) -> None:
    here, there = SearchStore(tmp_path), SearchStore(tmp_path)
    here.remember("one", DOG)
    there.remember("one", CAT)
    assert _history(here) == [CAT, DOG]


def test_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file")
    with pytest.raises(ImseekError, match="cannot write"):
        SearchStore(tmp_path / "home").remember("one", DOG)


def test_the_file_holds_addresses(tmp_path: Path) -> None:
    store = SearchStore(tmp_path)
    store.save("one", "cats", CAT)
    document = json.loads(store.path.read_text())
    assert document["collections"]["one"]["saved"] == {"cats": {"q": ["2:a cat"]}}
