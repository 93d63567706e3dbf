"""Where the trash has put a file: found by the record of the trash, or without one, and never another file's."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from urllib.parse import quote

import pytest

from imseek.duplicates.actions import trash

ONE, OTHER = b"one picture", b"another one"
DIGEST = hashlib.sha256(ONE).digest()


class Trash:
    """A trash folder: files in it, each with a record that says where it was and when it went."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "files").mkdir(parents=True)
        (folder / "info").mkdir()

    def file(self, name: str, content: bytes = ONE) -> Path:
        place = self.folder / "files" / name
        place.write_bytes(content)
        return place

    def record(self, name: str, path: str | os.PathLike[str], deleted: str = "2026-01-01T00:00:00") -> Path:
        info = self.folder / "info" / f"{name}.trashinfo"
        info.write_text(f"[Trash Info]\nPath={quote(os.fsencode(path))}\nDeletionDate={deleted}\n")
        return info


@pytest.fixture
def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trash:
    """The user's own one. Their home is the test's."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    return Trash(tmp_path / "share" / "Trash")


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which another file system is mounted, so to speak."""
    folder, real = tmp_path / "disk", Path.is_mount
    folder.mkdir()
    monkeypatch.setattr(Path, "is_mount", lambda self: self == folder or real(self))
    return folder


def found(path: Path) -> Path | None:
    place = trash.find(os.fsencode(path), DIGEST)
    return None if place is None else Path(os.fsdecode(place))


def test_of_several_files_from_one_path_the_latest_with_the_bytes_is_it(at_home: Trash, tmp_path: Path) -> None:
    path = tmp_path / "photos" / "a picture äß.png"
    for n, (deleted, content) in enumerate(
        [
            ("2026-01-01T00:00:09", ONE),
            ("2026-03-01T00:00:00", ONE),
            ("2026-02-01T00:00:00", ONE),
            ("2026-04-01T00:00:00", OTHER),
        ]
    ):
        at_home.file(f"a picture äß {n}.png", content)
        at_home.record(f"a picture äß {n}.png", path, deleted)
    assert found(path) == at_home.folder / "files" / "a picture äß 1.png"


def test_a_record_without_a_date_is_the_oldest(at_home: Trash, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    for n in range(3):
        at_home.file(f"a {n}.png")
        info = at_home.record(f"a {n}.png", path)
        if n != 1:
            info.write_text(f"[Trash Info]\nPath={path}\n")
    assert found(path) == at_home.folder / "files" / "a 1.png"


def test_a_file_from_another_path_is_not_it(at_home: Trash, tmp_path: Path) -> None:
    at_home.file("a.png")
    at_home.record("a.png", tmp_path / "photos" / "a.png")
    assert found(tmp_path / "photos" / "a.png") is not None
    for other in ("photos/b.png", "elsewhere/a.png", "photos/a.png/a.png"):
        assert found(tmp_path / other) is None, other


def test_the_path_on_record_may_be_that_behind_a_link(at_home: Trash, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "photos")
    at_home.file("a.png")
    at_home.record("a.png", tmp_path / "photos" / "a.png")
    assert found(tmp_path / "link" / "a.png") == at_home.folder / "files" / "a.png"


@pytest.mark.parametrize("name", [".Trash-{}", ".Trash/{}"])
def test_a_disk_has_a_trash_of_its_own(at_home: Trash, disk: Path, name: str) -> None:
    """Its records name places from the top of the disk on."""
    (disk / "photos" / "album").mkdir(parents=True)
    own = Trash(disk / name.format(os.getuid()))
    own.file("a.png")
    own.record("a.png", "photos/album/a.png")
    assert found(disk / "photos" / "album" / "a.png") == own.folder / "files" / "a.png"
    assert trash.is_trash_path(os.fsencode(own.folder / "files" / "a.png"))
    assert found(disk / "photos" / "a.png") is None


def test_the_trash_of_another_user_is_not_ours(at_home: Trash, disk: Path) -> None:
    other = Trash(disk / f".Trash-{os.getuid() + 1}")
    other.file("a.png")
    other.record("a.png", "a.png")
    assert found(disk / "a.png") is None
    assert not trash.is_trash_path(os.fsencode(other.folder / "files" / "a.png"))


def test_where_no_place_for_data_is_named_it_is_in_the_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    own = Trash(tmp_path / ".local" / "share" / "Trash")
    own.file("a.png")
    own.record("a.png", tmp_path / "photos" / "a.png")
    assert found(tmp_path / "photos" / "a.png") == own.folder / "files" / "a.png"


def test_without_a_record_a_file_is_known_by_its_name_and_bytes(at_home: Trash, tmp_path: Path) -> None:
    """As after a power cut; one with a record is that of another path, whatever its bytes."""
    path = tmp_path / "photos" / "cup.png"
    at_home.file("cup.png")
    at_home.record("cup.png", tmp_path / "elsewhere" / "cup.png")
    assert found(path) is None
    at_home.file("saucer.png")
    at_home.file("cup 1.png", OTHER)
    assert found(path) is None
    at_home.file("cup 2.png")
    (at_home.folder / "info" / "cup 2.png.trashinfo").write_bytes(b"")
    assert found(path) == at_home.folder / "files" / "cup 2.png"


def test_in_a_mac_s_trash_files_lie_without_records(at_home: Trash, tmp_path: Path) -> None:
    folder = tmp_path / "home" / ".Trash"
    folder.mkdir(parents=True)
    (folder / "cup.png").write_bytes(ONE)
    assert found(tmp_path / "photos" / "cup.png") == folder / "cup.png"
    assert trash.is_trash_path(os.fsencode(folder / "cup.png"))


def test_where_there_is_no_trash_nothing_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    assert found(tmp_path / "a.png") is None
    trash.remove_records(os.fsencode(tmp_path / "a.png"))


def test_records_without_a_file_go_and_others_stay(at_home: Trash, tmp_path: Path) -> None:
    """A kill came between record and move. What lies in the trash, or was of another path, keeps its record."""
    path = tmp_path / "a.png"
    at_home.file("a.png")
    kept = [at_home.record("a.png", path), at_home.record("a 2.png", tmp_path / "below" / "a.png")]
    stray = [at_home.record("a 3.png", path), at_home.record("a 4.png", path)]
    trash.remove_records(os.fsencode(path))
    assert [info.exists() for info in kept + stray] == [True, True, False, False]


def test_of_a_file_that_was_taken_out_the_record_goes(at_home: Trash, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    records = [at_home.record(name, path) for name in ("a.png", "a 2.png")]
    trash.remove_records(os.fsencode(path), os.fsencode(at_home.folder / "files" / "a 2.png"))
    assert [info.exists() for info in records] == [True, False]
    trash.remove_records(os.fsencode(path), os.fsencode(at_home.folder / "files" / "a 2.png"))  # Gone already.
    # A place outside of any trash is nobody's to clean.
    beside = tmp_path / "info" / "b.png.trashinfo"
    beside.parent.mkdir()
    beside.write_text("mine")
    trash.remove_records(os.fsencode(path), os.fsencode(tmp_path / "files" / "b.png"))
    assert beside.read_text() == "mine"


@pytest.mark.parametrize("recorded", [True, False])
def test_what_goes_there_is_durable_with_its_record(
    at_home: Trash, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recorded: bool
) -> None:
    """A trash that keeps no record is none the worse."""
    path, synced, real = tmp_path / "a.png", set[int](), os.fsync
    path.write_bytes(ONE)
    place = at_home.folder / "files" / "a.png"

    def send2trash(name: str) -> None:
        Path(name).rename(place)
        if recorded:
            at_home.record("a.png", name)

    def fsync(fd: int) -> None:
        synced.add(os.fstat(fd).st_ino)
        real(fd)

    monkeypatch.setattr("send2trash.send2trash", send2trash)
    monkeypatch.setattr(os, "fsync", fsync)
    assert trash.send(os.fsencode(path), DIGEST) == os.fsencode(place)
    info = at_home.folder / "info"
    paths = [place.parent, info, *([info / "a.png.trashinfo"] if recorded else [])]
    assert synced == {path.stat().st_ino for path in paths}


def test_a_trash_that_hides_what_it_takes(at_home: Trash, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(ONE)
    monkeypatch.setattr("send2trash.send2trash", os.unlink)
    assert trash.send(os.fsencode(path), DIGEST) is None
