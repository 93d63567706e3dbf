"""Where a file goes in quarantine, and the folder that is made for it."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from acting import foreign

from imseek.data import layout
from imseek.data.catalog.quarantined_duplicates import LiveSource
from imseek.data.user_files.safe_path import SafePath
from imseek.duplicates.actions import execute, journal_records, undo_bounds
from imseek.duplicates.actions.journal_records import Intent
from imseek.duplicates.actions.precheck import LeftAloneError, describe_error, quarantine_path


def free(base: Path, inner: str, taken: set[bytes] | None = None, promised: dict[str, str] | None = None) -> str:
    """Where the file /photos/<inner> goes below ``base``."""
    spot = SafePath(os.fsencode(base), os.fsencode(inner))
    places = {os.fsencode(base / to): os.fsencode(full) for to, full in (promised or {}).items()}
    mine = set() if taken is None else taken
    found = execute.find_free_path(spot, os.fsencode("/photos/" + inner), mine, places)
    assert found.base == spot.base
    assert found.full in mine, "no other file goes there"
    return os.fsdecode(found.inner)


def test_a_place_is_free_where_no_file_lies_or_goes(tmp_path: Path) -> None:
    taken: set[bytes] = set()
    assert [free(tmp_path, "x/a.png", taken) for _ in range(3)] == ["x/a.png", "x/a (2).png", "x/a (3).png"]
    (tmp_path / "b.png").symlink_to("nowhere")
    (tmp_path / "b (2).png").touch()
    assert free(tmp_path, "b.png") == "b (3).png"
    assert free(tmp_path, "archive.tar.png", {os.fsencode(tmp_path / "archive.tar.png")}) == "archive.tar (2).png"
    assert free(tmp_path, "no ending", {os.fsencode(tmp_path / "no ending")}) == "no ending (2)"


def test_a_place_that_is_promised_to_a_file_is_that_file_s(tmp_path: Path) -> None:
    assert free(tmp_path, "a.png", promised={"a.png": "/photos/a.png"}) == "a.png"
    assert free(tmp_path, "a.png", promised={"a.png": "/elsewhere/a.png", "a (2).png": ""}) == "a (3).png"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("x" * 251 + ".png", "x" * 247 + " (2).png"),
        ("x" * 247 + ".png", "x" * 247 + " (2).png"),
        ("x" * 248 + ".png", "x" * 247 + " (2).png"),
        ("ä" * 125 + ".png", "ä" * 123 + " (2).png"),
        ("x" + "ä" * 125 + ".png", "x" + "ä" * 123 + " (2).png"),
        ("😀" * 62 + ".png", "😀" * 61 + " (2).png"),
        ("x" + "😀" * 62 + ".png", "x" + "😀" * 61 + " (2).png"),
        ("xx" + "€" * 83 + ".png", "xx" + "€" * 81 + " (2).png"),
    ],
)
def test_with_a_number_a_name_is_as_long_as_names_can_be_and_whole(tmp_path: Path, name: str, expected: str) -> None:
    """No character is cut in two."""
    assert len(os.fsencode(name)) <= 255
    (tmp_path / name).touch()
    assert free(tmp_path, name) == expected


def test_of_a_name_that_is_no_text_something_stays(tmp_path: Path) -> None:
    name = b"\x80" * 251 + b".png"
    spot = SafePath(os.fsencode(tmp_path), name)
    found = execute.find_free_path(spot, b"/photos/" + name, {spot.full}, {})
    assert found.inner == b"\x80 (2).png"


def source(root: Path) -> LiveSource:
    return LiveSource(1, "folder", os.fsencode(root))


def test_the_quarantine_is_in_the_topmost_folder_of_the_source_on_the_disk_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "disk" / "below").mkdir(parents=True)
    spot = SafePath(os.fsencode(tmp_path), b"disk/below/a.png")
    device, quarantine = tmp_path.stat().st_dev, layout.QUARANTINE
    to, folder = quarantine_path(source(tmp_path), spot, device, None)
    assert (to.base, to.inner) == (os.fsencode(tmp_path), os.fsencode(f"{quarantine}/disk/below/a.png"))
    assert folder == os.fsencode(tmp_path / quarantine)
    real = os.stat

    def mounted(path: Any, **options: Any) -> os.stat_result:
        """As if another disk were there."""
        info = real(path, **options)
        return info if b"disk" in os.fsencode(path) else os.stat_result((*info[:2], device + 1, *info[3:]))

    monkeypatch.setattr(os, "stat", mounted)
    to, folder = quarantine_path(source(tmp_path), spot, device, None)
    assert (to.base, to.inner) == (os.fsencode(tmp_path / "disk"), os.fsencode(f"{quarantine}/below/a.png"))
    assert folder == os.fsencode(tmp_path / "disk" / quarantine)
    to, folder = quarantine_path(source(tmp_path), spot, device, b"/away")
    assert (to.base, to.inner, folder) == (b"/away", b"disk/below/a.png", b"/away")


def test_a_folder_of_quarantine_is_durable_when_it_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced, real = set[int](), os.fsync

    def fsync(fd: int) -> None:
        synced.add(os.fstat(fd).st_ino)
        real(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    folder = tmp_path / "one" / "two" / "away"
    execute.prepare_quarantine(os.fsencode(folder))
    marker = folder / layout.QUARANTINE_MARKER
    assert synced >= {path.stat().st_ino for path in (marker, folder, folder.parent, folder.parent.parent, tmp_path)}
    assert folder.stat().st_mode & 0o777 == 0o700
    assert os.listdir(folder) == [layout.QUARANTINE_MARKER]
    synced.clear()
    execute.prepare_quarantine(os.fsencode(folder))
    assert marker.stat().st_ino not in synced


def test_nothing_is_put_away_behind_a_link(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to("there")
    with pytest.raises(LeftAloneError, match=r"link is a symbolic link"):
        execute.prepare_quarantine(os.fsencode(tmp_path / "link"))
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / layout.QUARANTINE_MARKER).symlink_to(tmp_path / "made")
    execute.prepare_quarantine(os.fsencode(tmp_path / "new"))
    assert not (tmp_path / "made").exists()


# -- where it is sought ---------------------------------------------------------------------------------------


def away(base: Path, to: str) -> Intent:
    found = journal_records.parse(foreign.intent(Path("/photos"), "a.png", base / to, base))
    assert isinstance(found, Intent)
    return found


def test_a_folder_counts_as_quarantine_if_it_says_so_itself(tmp_path: Path) -> None:
    """A folder and a file, neither of them a link."""
    for base, to, folder in (
        (tmp_path / "named", "x/a.png", tmp_path / "named"),
        (tmp_path / "default", f"{layout.QUARANTINE}/x/a.png", tmp_path / "default" / layout.QUARANTINE),
        (tmp_path / "other", f"{layout.QUARANTINE}2/a.png", tmp_path / "other"),
    ):
        intent = away(base, to)
        assert undo_bounds.quarantine_folder(intent) == os.fsencode(folder)
        assert not undo_bounds.has_quarantine_marker(intent)
        folder.mkdir(parents=True)
        assert not undo_bounds.has_quarantine_marker(intent)
        marker = folder / layout.QUARANTINE_MARKER
        marker.symlink_to(__file__)
        assert not undo_bounds.has_quarantine_marker(intent)
        marker.unlink()
        marker.touch()
        assert undo_bounds.has_quarantine_marker(intent)
        folder.rename(tmp_path / "elsewhere")
        folder.symlink_to(tmp_path / "elsewhere")
        assert not undo_bounds.has_quarantine_marker(intent)
        folder.unlink()
        (tmp_path / "elsewhere").rename(folder)


def test_a_folder_with_anything_in_it_is_filled(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path / "disk")
    assert not undo_bounds.is_filled_folder(folder)
    (tmp_path / "disk").mkdir()
    assert not undo_bounds.is_filled_folder(folder)
    (tmp_path / "disk" / "below").mkdir()
    assert undo_bounds.is_filled_folder(folder)
    (tmp_path / "file").touch()
    assert not undo_bounds.is_filled_folder(os.fsencode(tmp_path / "file"))


def test_what_is_unfinished_has_a_name_that_is_its_own(tmp_path: Path) -> None:
    class Named:
        undo_id = foreign.UNDO_ID

    one = away(tmp_path, "a.png")
    names = {
        execute.partial_name(Named(), intent, *ending)  # type: ignore[arg-type]
        for intent in (one, replace(one, n=1))
        for ending in ((), (b"new",), (b"old",))
    }
    assert len(names) == 6
    assert all(name.startswith(b".imseek-") and foreign.UNDO_ID.encode() in name for name in names)


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (40, "on the way"),
        (20, "on the way"),
        (2, "not there any more"),
        (28, "no room"),
        (13, "Permission denied"),
    ],
)
def test_what_the_system_says_in_words(number: int, said: str) -> None:
    assert said in describe_error(OSError(number, os.strerror(number)))


def test_an_error_without_a_number_has_its_own_words() -> None:
    assert describe_error(OSError("the disk is tired")) == "the disk is tired"
