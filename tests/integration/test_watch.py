"""Following real folders with the system's own events: what is taken up, when, and what is never taken for gone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from xmp import annotations

import imseek
from imseek import ocr
from imseek import watch as watching
from imseek.data.writing.writer import Writer
from imseek.errors import MissingExtraError, UsageError, WatchError
from imseek.types.indexing_runs import IndexReport

#: Seconds until a file has settled, here; and how long to wait for what must come, on the slowest machine.
SETTLE = 0.5
PATIENCE = 60.0


class Follower:
    """``imseek.watch`` in a thread, and what it has said so far."""

    def __init__(self, collection: imseek.Collection, *paths: Any, **options: Any) -> None:
        self.collection = collection
        self.reports: list[IndexReport] = []
        self.notices: list[str] = []
        self.error: BaseException | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(paths, {"settle": SETTLE, **options}))
        self._thread.start()

    def _run(self, paths: tuple[Any, ...], options: dict[str, Any]) -> None:
        try:
            watching.watch(
                self.collection,
                paths,
                stop=self._stop,
                on_report=self.reports.append,
                on_notice=self.notices.append,
                **options,
            )
        except BaseException as error:
            self.error = error

    def until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert self._thread.is_alive(), self.error
            assert time.monotonic() < deadline, (self.notices, self.reports)
            time.sleep(0.02)

    def until_told(self, text: str) -> None:
        self.until(lambda: any(text in notice for notice in self.notices))

    def total(self, what: str) -> int:
        return sum(getattr(report, what) for report in self.reports)

    def names(self) -> dict[str, int]:
        """Image ids by the names of the files."""
        hits = self.collection.search("red", limit=1000).hits
        return {Path(str(hit.path)).name: hit.image_id for hit in hits}

    def end(self) -> None:
        self._stop.set()
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()


Follow = Callable[..., Follower]


@pytest.fixture
def follow(collection: imseek.Collection) -> Iterator[Follow]:
    """Starts following, and has its first run behind it; must not end by itself."""
    followers = []

    def start(*paths: Any, runs: int = 1, **options: Any) -> Follower:
        follower = Follower(collection, *paths, **options)
        followers.append(follower)
        follower.until(lambda: len(follower.reports) >= runs)
        return follower

    yield start
    for follower in followers:
        follower.end()
        assert follower.error is None


def draw(path: Path, number: int) -> None:
    """A picture of its own for each number, put there whole."""
    aside = path.with_name(f".{path.name}")
    Image.new("RGB", (40, 30), (number % 256, number // 256, 100)).save(aside, "PNG")
    aside.rename(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three pictures, two of them in an album."""
    (tmp_path / "pictures" / "album").mkdir(parents=True)
    for n, name in enumerate(("a.png", "album/b.png", "album/c.png")):
        draw(tmp_path / "pictures" / name, n)
    return tmp_path / "pictures"


def test_what_comes_changes_and_goes(follow: Follow, folder: Path) -> None:
    follower = follow(folder)
    assert follower.reports[0].added == 3
    before = follower.names()
    draw(folder / "d.png", 10)
    follower.until(lambda: follower.total("added") == 4)
    draw(folder / "a.png", 11)
    follower.until(lambda: follower.total("changed") == 1)
    (folder / "d.png").unlink()
    follower.until(lambda: follower.total("removed") == 1)
    after = follower.names()
    assert after.keys() == {"a.png", "b.png", "c.png"}
    assert (after["b.png"], after["c.png"]) == (before["b.png"], before["c.png"])
    assert after["a.png"] not in before.values()
    # Each run has looked only where something happened.
    assert all(report.seen <= 2 for report in follower.reports[1:])


def test_an_edited_sidecar_is_taken_up(follow: Follow, folder: Path) -> None:
    follower = follow(folder)

    def keywords() -> list[Any]:
        hits = follower.collection.search("red", limit=10).hits
        return [hit.metadata["keywords"] for hit in hits if "keywords" in hit.metadata]

    (folder / "a.png.xmp").write_bytes(annotations("red"))
    follower.until(lambda: keywords() == [["red"]])
    (folder / "a.png.xmp").unlink()
    follower.until(lambda: keywords() == [])
    assert all(report.seen <= 1 for report in follower.reports[1:])


def test_a_new_tree_and_what_is_no_picture(follow: Follow, folder: Path) -> None:
    follower = follow(folder)
    (folder / "notes.txt").write_text("no picture")
    (folder / ".hidden.png").write_bytes(b"hidden")
    (folder / "new/deep/er").mkdir(parents=True)
    draw(folder / "new/deep/er/x.png", 20)
    draw(folder / "new/y.png", 21)
    follower.until(lambda: follower.total("added") == 5)
    assert follower.names().keys() == {"a.png", "b.png", "c.png", "x.png", "y.png"}
    assert follower.total("skipped") == 0


def test_a_tree_that_moves_keeps_its_ids(follow: Follow, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    draw(tmp_path / "other" / "z.png", 99)
    follower = follow(folder, tmp_path / "other")
    before = follower.names()
    (folder / "album").rename(folder / "renamed")
    follower.until(lambda: follower.total("moved") == 2)
    (folder / "renamed").rename(tmp_path / "other" / "again")
    follower.until(lambda: follower.total("moved") == 4)
    (folder / "a.png").rename(folder / "a2.png")
    follower.until(lambda: follower.total("moved") == 5)
    assert follower.total("removed") == 0
    assert follower.total("copied") == 0
    assert follower.names() == {
        **{n: i for n, i in before.items() if n != "a.png"},
        "a2.png": before["a.png"],
    }


def test_an_album_that_is_removed_leaves_the_collection(follow: Follow, folder: Path) -> None:
    follower = follow(folder)
    shutil.rmtree(folder / "album")
    follower.until(lambda: follower.total("removed") == 2)
    assert follower.names().keys() == {"a.png"}
    assert follower.notices == []


def test_a_file_that_is_still_being_written_waits(follow: Follow, folder: Path, tmp_path: Path) -> None:
    follower = follow(folder, settle=1.5)
    Image.effect_noise((300, 300), 50).save(tmp_path / "whole.png")
    data = (tmp_path / "whole.png").read_bytes()
    for attempt in range(5):
        path = folder / f"slow{attempt}.png"
        longest = 0.0
        with path.open("wb") as file:
            for n in range(20):
                before = time.monotonic()
                file.write(data[n * len(data) // 20 : (n + 1) * len(data) // 20])
                file.flush()
                time.sleep(0.2)
                longest = max(longest, time.monotonic() - before)
        if longest < 1.0:  # Else this machine has left the file alone for so long that it may count as settled.
            break
    else:
        pytest.fail("this machine is too busy to write a file without a pause")
    follower.until(lambda: path.name in follower.names())
    reports = [report for report in follower.reports if report.seen and report.generation]
    failed = {Path(os.fsdecode(f.path)).name for report in reports for f in report.failures}
    assert path.name not in failed


def test_many_paths_are_put_together(follow: Follow, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "MAX_PATHS", 3)
    follower = follow(folder)
    for n in range(30):
        draw(folder / "album" / f"n{n}.png", 300 + n)
    follower.until(lambda: follower.total("added") == 33)
    shutil.rmtree(folder / "album")
    follower.until(lambda: follower.total("removed") == 32)
    assert follower.names().keys() == {"a.png"}


def test_a_large_tree_is_scanned_as_a_whole(
    follow: Follow, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "RESCAN_THRESHOLD", 4)
    (tmp_path / "large").mkdir()
    for n in range(12):
        draw(tmp_path / "large" / f"n{n}.png", 400 + n)
    follower = follow(folder)
    (tmp_path / "large").rename(folder / "large")
    follower.until(lambda: follower.total("added") == 15)
    assert sum(report.seen for report in follower.reports[1:]) >= 15


def test_a_name_that_events_cannot_tell(follow: Follow, folder: Path) -> None:
    """The library gives up where a name is not UTF-8: the folder is looked at as a whole."""
    follower = follow(folder)
    path = os.fsencode(folder) + b"/caf\xe9.png"
    shutil.copyfile(folder / "a.png", folder / "d.png")
    draw(folder / "e.png", 500)
    os.rename(folder / "e.png", path)  # noqa: PTH104 - bytes
    follower.until(lambda: follower.total("added") == 4)
    draw(folder / "f.png", 501)  # And it goes on to listen.
    follower.until(lambda: follower.total("added") == 5)


def test_changes_without_events_are_found_by_and_by(
    follow: Follow, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a network file system, or where the system's queue has overflowed."""
    follower = follow(folder, rescan=1.0)
    monkeypatch.setattr(watching._FolderWatcher, "_note", lambda self, happened: None)
    draw(folder / "d.png", 600)
    follower.until(lambda: follower.total("added") == 4)


def test_a_locked_collection_is_tried_again(follow: Follow, folder: Path) -> None:
    follower = follow(folder)
    with Writer(follower.collection.path, "test"):
        draw(folder / "d.png", 700)
        follower.until_told("is being written by `test`")
        draw(folder / "e.png", 701)
    follower.until(lambda: follower.total("added") == 5)
    assert len(follower.notices) == 1


def test_the_collection_in_the_folder_does_not_wake_itself(tmp_path: Path, folder: Path) -> None:
    with imseek.create(folder / "collection", encoder="fake") as collection:
        follower = Follower(collection, folder)
        try:
            follower.until(lambda: len(follower.reports) == 1)
            draw(folder / "d.png", 800)
            follower.until(lambda: follower.total("added") == 4)
            cache = folder / "collection" / "cache"
            cache.mkdir()
            draw(cache / "thumbnail.png", 801)
            draw(folder / "e.png", 802)
            follower.until(lambda: follower.total("added") == 5)
            time.sleep(3 * SETTLE)
            assert len(follower.reports) <= 4
            assert follower.names().keys() == {"a.png", "b.png", "c.png", "d.png", "e.png"}
        finally:
            follower.end()
        assert follower.error is None


def test_another_collection_in_the_folder_is_left_alone(follow: Follow, folder: Path) -> None:
    imseek.create(folder / "other", encoder="fake").close()
    follower = follow(folder)
    (folder / "other" / "cache").mkdir()
    draw(folder / "other" / "cache" / "thumbnail.png", 900)
    draw(folder / "d.png", 901)
    follower.until(lambda: follower.total("added") == 4)
    assert follower.names().keys() == {"a.png", "b.png", "c.png", "d.png"}


def test_globs_of_the_source_hold(follow: Follow, folder: Path, collection: imseek.Collection) -> None:
    collection.index([folder], source=imseek.SourceOptions(exclude=("private",)))
    follower = follow(folder)
    (folder / "private").mkdir()
    draw(folder / "private" / "p.png", 950)
    draw(folder / "d.png", 951)
    follower.until(lambda: follower.total("added") == 1)
    assert follower.names().keys() == {"a.png", "b.png", "c.png", "d.png"}
    assert len(collection.info().sources) == 1


def test_a_source_that_is_removed_does_not_come_back(
    follow: Follow, folder: Path, tmp_path: Path, collection: imseek.Collection
) -> None:
    (tmp_path / "other").mkdir()
    draw(tmp_path / "other" / "z.png", 960)
    follower = follow(folder, tmp_path / "other", rescan=1.0)
    ids = {source.path: source.source_id for source in collection.info().sources}
    collection.remove_source(ids.pop(os.fsencode(folder)))
    draw(folder / "d.png", 961)
    follower.until_told("was taken out of the collection: not followed any more")
    draw(tmp_path / "other" / "y.png", 962)
    follower.until(lambda: "y.png" in follower.names())
    assert follower.names().keys() == {"y.png", "z.png"}
    assert [source.source_id for source in collection.info().sources] == [*ids.values()]


# -- disks that come and go ----------------------------------------------------------------------------


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Where a disk is mounted in the tests that may do that."""
    point = tmp_path / "disk"
    point.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=8m", "imseek-test", str(point)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting needs root; the same is tried with folders that are moved away")
    yield point
    while subprocess.run(["umount", str(point)], capture_output=True, check=False).returncode == 0:
        pass


def test_a_disk_that_is_unmounted_loses_nothing(follow: Follow, folder: Path, disk: Path, tmp_path: Path) -> None:
    for n in range(3):
        draw(disk / f"{n}.png", 1000 + n)
    follower = follow(folder, disk)
    before = follower.names()
    assert len(before) == 6
    aside = tmp_path / "aside"
    shutil.copytree(disk, aside)
    subprocess.run(["umount", str(disk)], check=True)
    follower.until_told("it is empty, perhaps not mounted; its images are kept")
    draw(folder / "d.png", 1010)  # The others are still followed.
    follower.until(lambda: follower.total("added") == 7)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "imseek-test", str(disk)], check=True)
    for path in aside.iterdir():
        shutil.copy2(path, disk / path.name)
    draw(disk / "new.png", 1011)
    follower.until_told("is there again")
    follower.until(lambda: follower.total("added") == 8)
    draw(disk / "newer.png", 1012)  # Its events are heard again.
    follower.until(lambda: follower.total("added") == 9)
    assert follower.total("removed") == 0
    assert before.items() <= follower.names().items()


def test_a_folder_that_is_moved_away_and_comes_back(follow: Follow, folder: Path, tmp_path: Path) -> None:
    follower = follow(folder)
    before = follower.names()
    folder.rename(tmp_path / "away")
    follower.until_told("it is missing; its images are kept")
    folder.mkdir()
    follower.until_told("it is empty, perhaps not mounted; its images are kept")
    draw(folder / "stranger.png", 1100)
    follower.until_told("another folder lies there, with none of its images")
    assert follower.names() == before
    shutil.rmtree(folder)
    (tmp_path / "away").rename(folder)
    follower.until_told("is there again")
    draw(folder / "d.png", 1101)
    follower.until(lambda: follower.total("added") == 4)
    assert follower.total("removed") == 0
    assert before.items() <= follower.names().items()


def test_a_folder_that_is_not_there_at_the_start(follow: Follow, folder: Path, tmp_path: Path) -> None:
    follower = follow(folder)
    before = follower.names()
    follower.end()
    folder.rename(tmp_path / "away")
    second = follow(runs=0)
    second.until_told("it is missing; its images are kept")
    (tmp_path / "away").rename(folder)
    second.until(lambda: len(second.reports) == 1)
    assert second.reports[0].unchanged == 3
    assert second.names() == before


def test_an_album_of_a_disk_that_is_not_there(follow: Follow, folder: Path, tmp_path: Path) -> None:
    """Followed by itself, below a source: its images are not taken for deleted."""
    follower = follow(folder)
    follower.end()
    shutil.copytree(folder / "album", tmp_path / "aside")
    shutil.rmtree(folder / "album")
    second = follow(folder / "album", runs=0)
    second.until_told("it is missing; its images are kept")
    assert second.names().keys() == {"a.png", "b.png", "c.png"}
    shutil.copytree(tmp_path / "aside", folder / "album")
    second.until(lambda: len(second.reports) == 1)
    draw(folder / "album" / "d.png", 1200)
    second.until(lambda: second.total("added") == 1)
    assert second.total("removed") == 0
    assert len(second.collection.info().sources) == 1


# -- refusals ------------------------------------------------------------------------------------------


def test_text_in_new_pictures_is_read_where_the_collection_is(
    follow: Follow, folder: Path, collection: imseek.Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("rapidocr", reason="rapidocr is missing (the extra ocr)")
    monkeypatch.setattr(watching, "TEXT_SECONDS", 0.01)  # Too short for any picture: the slices must become longer.
    collection.index([folder])
    ocr.recognise(collection)
    follower = follow(folder)
    draw(folder / "later.png", 77)
    follower.until_told("read 1 pictures for text")
    new = follower.names()["later.png"]
    assert collection.get(new).metadata["has_text"] is False


def test_text_is_not_read_where_it_never_was_or_cannot_be(
    follow: Follow, folder: Path, collection: imseek.Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    follower = follow(folder)
    draw(folder / "a.png", 76)
    follower.until(lambda: follower.total("changed") == 1)
    assert not ocr.is_active(collection)
    monkeypatch.setattr(ocr, "is_active", lambda _: True)
    monkeypatch.setattr(ocr, "check_installed", refuse)
    draw(folder / "b.png", 78)
    follower.until_told("the text in new pictures is not read: rapidocr is not installed")
    draw(folder / "c.png", 79)
    follower.until(lambda: "c.png" in follower.names())


def refuse() -> None:
    raise MissingExtraError("rapidocr", "ocr")


def test_what_cannot_be_followed(collection: imseek.Collection, folder: Path) -> None:
    with pytest.raises(UsageError, match="there is no folder to follow"):
        watching.watch(collection)
    with pytest.raises(UsageError, match="nothing does not exist"):
        watching.watch(collection, [folder / "nothing"])
    with pytest.raises(UsageError, match=r"a\.png is not a folder"):
        watching.watch(collection, [folder / "a.png"])


def test_where_the_system_refuses(collection: imseek.Collection, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No limit is lowered here, for the sake of others on this machine: the library says what it says then."""

    def refuse(*_paths: str, **_options: object) -> Iterator[set[Any]]:
        raise OSError("OS file watch limit reached.")
        yield

    monkeypatch.setattr("watchfiles.watch", refuse)
    monkeypatch.setattr(watching, "TICK", 0.01)
    with pytest.raises(WatchError, match="OS file watch limit reached") as refusal:
        watching.watch(collection, [folder])
    assert "max_user_watches" in str(refusal.value.hint)


def test_without_its_library(collection: imseek.Collection, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "watchfiles", None)
    with pytest.raises(MissingExtraError, match="watchfiles is not installed") as refusal:
        watching.watch(collection, [folder])
    assert "[watch]" in str(refusal.value.hint)


def test_known_pictures_are_passed_over(
    follow: Follow, collection: imseek.Collection, photos: Path, tmp_path: Path
) -> None:
    with imseek.create(tmp_path / "other", encoder="fake") as other:
        other.index([photos / "below"])
        follower = follow(photos, skip_known=[other.path])
        assert (follower.reports[0].added, follower.reports[0].known) == (6, 2)
        shutil.copyfile(photos / "below" / "china.jpg", photos / "again.jpg")
        follower.until(lambda: follower.total("known") >= 3)
        assert "again.jpg" not in follower.names()
