"""Moves and copies of users' files: a refusal half-way leaves the file under one name and replaces no other file."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from imseek.data.user_files import file_copies, file_moves
from imseek.data.user_files.safe_path import ChangingError, FolderEntry, UnsyncedFolders, read_content

ONE, OTHER = b"one picture", b"another one"


class Pair:
    """Two open folders, a file ``a.png`` in the first one, and how to move it to ``b.png`` in the second one."""

    def __init__(self, base: Path) -> None:
        for name in ("from", "to"):
            (base / name).mkdir()
        self.source_path, self.target_path = base / "from" / "a.png", base / "to" / "b.png"
        self.source_path.write_bytes(ONE)
        self.part_path = base / "to" / ".part"
        self.source = FolderEntry(os.open(base / "from", os.O_RDONLY), b"a.png")
        self.target = FolderEntry(os.open(base / "to", os.O_RDONLY), b"b.png")
        self.content = read_content(self.source)
        self.copied: list[os.stat_result] = []

    def move(self) -> None:
        with UnsyncedFolders() as unsynced:
            file_moves.move(self.source, self.target, self.content, b".part", unsynced, self.copied.append)

    def copy(self) -> None:
        file_moves.copy(self.source, self.target, self.content.sha256, b".part", self.copied.append)

    def files(self) -> dict[str, bytes]:
        found = [*self.source_path.parent.iterdir(), *self.target_path.parent.iterdir()]
        return {path.name: path.read_bytes() for path in found}


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    made = Pair(tmp_path)
    yield made
    os.close(made.source.folder)
    os.close(made.target.folder)


def refuse(monkeypatch: pytest.MonkeyPatch, name: str, number: int, when: Callable[..., bool] | None = None) -> None:
    """Let a function of ``os`` fail with an error number, always or ``when`` that is true of its arguments."""
    real = getattr(os, name)

    def call(*args: Any, **kwargs: Any) -> Any:
        if when is None or when(*args, **kwargs):
            raise OSError(number, os.strerror(number))
        return real(*args, **kwargs)

    monkeypatch.setattr(os, name, call)


def fail_renames(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Let renaming without replacing, and swapping names, fail with an error number."""

    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(file_moves, "_renameat2", fail)


# -- one file system -----------------------------------------------------------------------------------------


def test_a_system_without_renameat2_moves_by_a_link(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_moves, "_libc", object)
    with pytest.raises(OSError, match="not implemented") as error:
        file_moves.rename_noreplace(pair.source, pair.target)
    assert error.value.errno == errno.ENOSYS
    pair.move()
    assert pair.files() == {"b.png": ONE}
    assert pair.target_path.stat().st_ino == pair.content.info.st_ino
    assert pair.copied == []


def test_a_name_that_cannot_be_removed_keeps_the_file_where_it_was(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a link it had both names for a moment; what ends is the new one."""
    fail_renames(monkeypatch, errno.ENOSYS)
    refuse(monkeypatch, "unlink", errno.EACCES, lambda name, **_: name == b"a.png")
    with pytest.raises(PermissionError):
        pair.move()
    assert pair.files() == {"a.png": ONE}


@pytest.mark.parametrize("way", ["rename", "link"])
def test_what_has_the_name_already_is_not_replaced(pair: Pair, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pair.target_path.write_bytes(OTHER)
    if way == "link":
        fail_renames(monkeypatch, errno.EINVAL)
    with pytest.raises(FileExistsError):
        pair.move()
    assert pair.files() == {"a.png": ONE, "b.png": OTHER}


@pytest.mark.parametrize("change", ["written to", "another file"])
def test_a_file_that_is_not_what_was_read_is_moved_back(pair: Pair, change: str) -> None:
    if change == "another file":
        pair.source_path.rename(pair.source_path.with_name("kept.png"))
        pair.source_path.write_bytes(ONE)
        expected = {"a.png": ONE, "kept.png": ONE}
    else:
        pair.source_path.write_bytes(OTHER + ONE)
        expected = {"a.png": OTHER + ONE}
    with pytest.raises(ChangingError, match="another file took its place"):
        pair.move()
    assert pair.files() == expected


# -- to another file system ----------------------------------------------------------------------------------


@pytest.fixture
def two_disks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let renames and links between the two folders fail as they do between file systems."""
    real = file_moves._renameat2

    def rename(source: FolderEntry, target: FolderEntry, flags: int) -> None:
        if source.folder != target.folder:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        real(source, target, flags)

    monkeypatch.setattr(file_moves, "_renameat2", rename)


@pytest.mark.usefixtures("two_disks")
def test_to_another_disk_a_file_is_copied_with_its_times_and_mode(pair: Pair) -> None:
    os.utime(pair.source_path, ns=(10**18, 10**18 + 7))
    pair.source_path.chmod(0o640)
    pair.content = read_content(pair.source)
    pair.part_path.write_bytes(b"of a move that was cut short")
    pair.move()
    assert pair.files() == {"b.png": ONE}
    info = pair.target_path.stat()
    assert (info.st_mtime_ns, info.st_mode & 0o7777) == (10**18 + 7, 0o640)
    assert [made.st_ino for made in pair.copied] == [info.st_ino]


@pytest.mark.usefixtures("two_disks")
def test_on_another_disk_too_nothing_is_replaced(pair: Pair) -> None:
    pair.target_path.write_bytes(OTHER)
    with pytest.raises(FileExistsError, match=r"b\.png"):
        pair.move()
    assert pair.files() == {"a.png": ONE, "b.png": OTHER}
    assert pair.copied == []


@pytest.mark.usefixtures("two_disks")
def test_a_copy_with_other_bytes_is_thrown_away(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that does not give back what was written to it."""
    real = file_copies._write
    monkeypatch.setattr(file_copies, "_write", lambda fd, block: real(fd, block[:-1] + b"?"))
    with pytest.raises(ChangingError, match="its copy differs from what was read before"):
        pair.move()
    assert pair.files() == {"a.png": ONE}


@pytest.mark.usefixtures("two_disks")
def test_a_file_that_changes_while_it_is_copied_stays_with_the_change(pair: Pair) -> None:
    def write(_: os.stat_result) -> None:
        pair.source_path.write_bytes(OTHER + ONE)

    with pytest.raises(ChangingError, match="it changed while it was copied"), UnsyncedFolders() as unsynced:
        file_moves.move(pair.source, pair.target, pair.content, b".part", unsynced, write)
    assert pair.files() == {"a.png": OTHER + ONE}


@pytest.mark.usefixtures("two_disks")
def test_a_file_that_is_replaced_while_it_is_copied_leaves_its_copy(pair: Pair) -> None:
    """The copy is all that is left of the file that was to be moved."""

    def replace(_: os.stat_result) -> None:
        new = pair.source_path.with_name("new")
        new.write_bytes(OTHER)
        new.rename(pair.source_path)

    with pytest.raises(ChangingError, match="it changed while it was copied"), UnsyncedFolders() as unsynced:
        file_moves.move(pair.source, pair.target, pair.content, b".part", unsynced, replace)
    assert pair.files() == {"a.png": OTHER, "b.png": ONE}


@pytest.mark.usefixtures("two_disks")
def test_a_file_that_cannot_be_removed_after_its_copy_stays_alone(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(monkeypatch, "unlink", errno.EROFS, lambda name, **_: name == b"a.png")
    with pytest.raises(OSError, match="Read-only"):
        pair.move()
    assert pair.files() == {"a.png": ONE}


@pytest.mark.usefixtures("two_disks")
def test_a_full_disk_leaves_no_part_of_a_copy(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(monkeypatch, "fsync", errno.ENOSPC)
    with pytest.raises(OSError, match="No space left"):
        pair.move()
    assert pair.files() == {"a.png": ONE}


# -- file systems that have neither --------------------------------------------------------------------------


def test_a_copy_gets_its_name_where_names_can_only_be_replaced(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_renames(monkeypatch, errno.EINVAL)
    refuse(monkeypatch, "link", errno.EPERM)
    pair.move()
    assert pair.files() == {"b.png": ONE}


def test_a_file_that_appears_while_a_copy_is_made_is_not_replaced(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_renames(monkeypatch, errno.EINVAL)
    refuse(monkeypatch, "link", errno.EPERM)

    def appear(_: os.stat_result) -> None:
        pair.target_path.write_bytes(OTHER)

    with pytest.raises(FileExistsError, match=r"b\.png"):
        file_moves.copy(pair.source, pair.target, pair.content.sha256, b".part", appear)
    assert pair.files() == {"a.png": ONE, "b.png": OTHER}


def test_a_disk_that_fails_when_a_copy_gets_its_name_leaves_no_part(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_renames(monkeypatch, errno.EIO)
    with pytest.raises(OSError, match="Input/output"):
        pair.copy()
    assert pair.files() == {"a.png": ONE}


# -- replacing -----------------------------------------------------------------------------------------------


@pytest.fixture
def replacing(pair: Pair) -> tuple[FolderEntry, FolderEntry, FolderEntry]:
    """``a.png``, the file that replaces it, and the name under which the old one is kept meanwhile."""
    (pair.source_path.parent / "new").write_bytes(ONE)
    folder = pair.source.folder
    return pair.source, FolderEntry(folder, b"new"), FolderEntry(folder, b"kept")


Three = tuple[FolderEntry, FolderEntry, FolderEntry]


def test_a_disk_that_cannot_swap_names_now_leaves_the_file(
    pair: Pair, replacing: Three, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_renames(monkeypatch, errno.EIO)
    target, new, kept = replacing
    with pytest.raises(OSError, match="Input/output"):
        file_moves.replace(target, new, kept, pair.content)
    assert pair.source_path.stat().st_ino == pair.content.info.st_ino
    # The name of the old file is left to those who finish what was broken off.
    assert pair.files() == {"a.png": ONE, "kept": ONE}
    file_moves.finish_replace(target, new, kept, pair.content.sha256)
    assert pair.files() == {"a.png": ONE}
    assert pair.source_path.stat().st_ino == pair.content.info.st_ino


def test_replacing_that_was_broken_off_before_the_swap_is_taken_back(pair: Pair, replacing: Three) -> None:
    target, new, kept = replacing
    os.link(pair.source_path, pair.source_path.with_name("kept"))
    file_moves.finish_replace(target, new, kept, pair.content.sha256)
    assert pair.files() == {"a.png": ONE}
    assert pair.source_path.stat().st_ino == pair.content.info.st_ino


def test_what_cannot_be_read_is_not_taken_for_the_same_bytes(pair: Pair, replacing: Three) -> None:
    """A pipe, or nothing, lies where the new file is looked for."""
    _, new, _ = replacing
    (pair.source_path.parent / "new").unlink()
    assert not file_moves._has_content(new, pair.content.sha256)
    os.mkfifo(pair.source_path.parent / "new")
    assert not file_moves._has_content(new, pair.content.sha256)
    assert file_moves._has_content(pair.source, pair.content.sha256)


# -- copies --------------------------------------------------------------------------------------------------


def test_a_clone_has_the_bytes_of_its_source_on_disk_before_it_has_a_use(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The call that shares blocks is stood in for: few file systems have it."""
    calls: list[str] = []

    def share(writing: int, request: int, reading: int) -> None:
        assert request == file_copies._FICLONE
        calls.append("shared")
        os.write(writing, os.read(reading, 100))

    monkeypatch.setattr(fcntl, "ioctl", share)
    monkeypatch.setattr(os, "fsync", lambda fd: calls.append("synced"))
    file_copies.write_clone(pair.source, pair.target)
    assert pair.files() == {"a.png": ONE, "b.png": ONE}
    assert calls == ["shared", "synced"]
    with pytest.raises(FileExistsError):
        file_copies.write_clone(pair.source, pair.target)


@pytest.mark.parametrize(
    ("error", "able"), [(None, True), (errno.EOPNOTSUPP, False), (errno.EXDEV, False), (errno.EIO, True)]
)
def test_whether_files_can_share_blocks_is_tried_without_a_trace(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, error: int | None, able: bool
) -> None:
    """An error of the disk says nothing about what its file system can do."""

    def share(*_: object) -> None:
        if error is not None:
            raise OSError(error, os.strerror(error))

    monkeypatch.setattr(fcntl, "ioctl", share)
    before = pair.files()
    assert file_copies.can_clone(pair.source, pair.target.folder) is able
    assert pair.files() == before


def test_without_extended_attributes_all_else_is_copied(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on macOS, where Python has no calls for them."""
    monkeypatch.delattr(os, "listxattr")
    monkeypatch.delattr(os, "posix_fadvise")
    pair.source_path.chmod(0o600)
    file_copies.write_copy(pair.source, pair.target)
    assert pair.files() == {"a.png": ONE, "b.png": ONE}
    assert pair.target_path.stat().st_mode & 0o777 == 0o600
    assert file_copies.read_attributes(pair.source) == {}
    file_copies.restore_attributes(pair.target, (os.geteuid(), os.getegid()), {"user.note": b"mine"})
    assert pair.target_path.stat().st_uid == os.geteuid()


def test_a_file_system_without_extended_attributes_has_none(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(monkeypatch, "listxattr", errno.ENOTSUP)
    assert file_copies.read_attributes(pair.source) == {}
    file_copies.write_copy(pair.source, pair.target)
    assert pair.files() == {"a.png": ONE, "b.png": ONE}


def test_a_copy_is_never_more_than_readable_writable_and_executable(pair: Pair) -> None:
    """Without an owner to give it to, it stays the user's own."""
    pair.target_path.write_bytes(ONE)
    fd = os.open(pair.target_path, os.O_RDONLY)
    try:
        file_copies.set_mode_and_times(fd, 0o6755, 10**18 + 3)
    finally:
        os.close(fd)
    info = pair.target_path.stat()
    assert (info.st_mode & 0o7777, info.st_mtime_ns, info.st_atime_ns) == (0o755, 10**18 + 3, 10**18 + 3)


def test_a_call_that_the_system_refuses_says_which_file(pair: Pair) -> None:
    with pytest.raises(FileNotFoundError) as error:
        file_moves.exchange(pair.source, pair.target)
    assert error.value.filename == "b.png"


# -- reading and syncing ---------------------------------------------------------------------------------------


def test_a_file_that_changes_while_it_is_read_has_no_content(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = os.read, []

    def read(fd: int, size: int) -> bytes:
        if not calls:
            with pair.source_path.open("ab") as file:
                file.write(b"more")
        calls.append(size)
        return real(fd, size)

    monkeypatch.setattr(os, "read", read)
    with pytest.raises(ChangingError, match="it changed while it was read"):
        read_content(pair.source)
    assert read_content(pair.source).info.st_size == len(ONE) + 4


def test_folders_are_synced_once_each_and_not_all_of_them_held_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plan may touch more folders than a process may have open."""
    synced, most, before = [], 0, len(os.listdir("/proc/self/fd"))
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(os.fstat(fd).st_ino))
    inodes = []
    with UnsyncedFolders() as unsynced:
        for n in range(150):
            (tmp_path / str(n)).mkdir()
            fd = os.open(tmp_path / str(n), os.O_RDONLY)
            inodes.append(os.fstat(fd).st_ino)
            unsynced.add(FolderEntry(fd, b"a"), FolderEntry(fd, b"b"))
            os.close(fd)
            most = max(most, len(os.listdir("/proc/self/fd")))
    assert synced == inodes
    assert most - before <= 65
    assert len(os.listdir("/proc/self/fd")) == before
