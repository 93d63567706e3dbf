"""When a path has come to rest, and by which folders many paths are asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from imseek.indexer.debounce import FileState, PathDebouncer, below, cover, read_file_state


class Disk:
    """What lies where: the look of a path is its size."""

    def __init__(self, **sizes: int) -> None:
        self.sizes = {name.encode(): size for name, size in sizes.items()}

    def __call__(self, path: bytes) -> FileState:
        size = self.sizes.get(path)
        return None if size is None else (size, 0, 0)


def test_a_path_settles_once_it_is_left_alone() -> None:
    settling = PathDebouncer(2.0, Disk(a=1))
    settling.touch(b"a", 10.0)
    assert settling.ready(11.9) == {}
    settling.touch(b"a", 11.9)
    assert settling.ready(13.8) == {}
    assert settling.ready(13.9) == {b"a": True}
    assert settling.ready(13.9) == {b"a": True}  # Until it is forgotten: the run may have been refused.
    settling.forget([b"a", b"unknown"])
    assert settling.ready(20.0) == {}
    assert len(settling) == 0


def test_a_file_that_grows_without_events_waits() -> None:
    disk = Disk(a=1)
    settling = PathDebouncer(2.0, disk)
    settling.touch(b"a", 0.0)
    disk.sizes[b"a"] = 2
    assert settling.ready(2.0) == {}
    assert settling.ready(3.9) == {}
    assert settling.ready(4.0) == {b"a": True}


def test_what_has_gone_waits_for_what_arrived_in_the_same_moment() -> None:
    disk = Disk(new=1)
    settling = PathDebouncer(2.0, disk)
    settling.touch(b"old", 0.0)
    settling.touch(b"new", 0.1)
    settling.touch(b"new", 1.5)  # Its times were set after the move.
    assert settling.ready(2.5) == {}
    assert settling.ready(3.5) == {b"old": False, b"new": True}


def test_what_has_gone_does_not_wait_for_what_came_long_before() -> None:
    disk = Disk(growing=1)
    settling = PathDebouncer(2.0, disk)
    for second in range(20):
        settling.touch(b"growing", float(second))
    settling.touch(b"old", 18.0)
    assert settling.ready(20.0) == {b"old": False}


def test_the_look_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_bytes(b"1")
    before = read_file_state(bytes(file))
    file.write_bytes(b"22")
    after = read_file_state(bytes(file))
    assert before is not None
    assert after is not None
    assert (before[0], after[0]) == (1, 2)
    assert read_file_state(bytes(tmp_path / "b")) is None


def test_below() -> None:
    assert below(b"/a", b"/a")
    assert below(b"/a", b"/a/b")
    assert below(b"/", b"/a")
    assert not below(b"/a", b"/ab")
    assert not below(b"/a/b", b"/a")


@pytest.fixture
def tree(tmp_path: Path) -> bytes:
    for folder in ("one/deep", "two"):
        (tmp_path / folder).mkdir(parents=True)
    return bytes(tmp_path)


def names(root: bytes, *found: str) -> set[bytes]:
    return {root + (b"/" + name.encode() if name else b"") for name in found}


def test_few_paths_are_asked_for_as_they_are(tree: bytes) -> None:
    ready = names(tree, "one/a.png", "two/b.png")
    assert cover(ready, [], [tree], 2) == ready


def test_many_paths_are_asked_for_by_their_folders_the_deepest_first(tree: bytes) -> None:
    ready = names(tree, "one/deep/a.png", "one/deep/b.png", "two/c.png")
    assert cover(ready, [], [tree], 2) == names(tree, "one/deep", "two/c.png")
    more = ready | names(tree, "one/d.png", "two/e.png")
    assert cover(more, [], [tree], 2) == names(tree, "one", "two")
    assert cover(more, [], [tree], 1) == names(tree, "")


def test_a_folder_with_something_unfinished_is_not_asked_for(tree: bytes) -> None:
    ready = names(tree, "one/a.png", "one/b.png", "one/c.png", "two/d.png", "two/e.png")
    unfinished = names(tree, "one/deep/x.png")
    assert cover(ready, unfinished, [tree], 4) == names(tree, "one/a.png", "one/b.png", "one/c.png", "two")
    assert len(cover(ready, unfinished, [tree], 3)) == 4


def test_what_lies_in_a_folder_that_has_gone_goes_with_it(tree: bytes) -> None:
    ready = names(tree, "gone", "gone/below", *(f"gone/below/{n}.png" for n in range(50)))
    assert cover(ready, [], [tree], 5) == names(tree, "gone")


def test_no_folder_above_the_roots_is_asked_for(tree: bytes) -> None:
    roots = names(tree, "one", "two")
    ready = names(tree, "one/a.png", "two/b.png")
    assert cover(ready, [], roots, 1) == names(tree, "one", "two")
