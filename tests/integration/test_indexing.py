"""Indexing real photographs: what is added, recognised, moved, copied, changed, refused."""

# File names are bytes here, which pathlib does not take.
# ruff: noqa: PTH110, PTH118, PTH119

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import imseek
from imseek.data.reader import Reader
from imseek.progress import Progress
from imseek.types.pictures import SkipReason

Clock = Callable[[float], None]


pytestmark = pytest.mark.full_size


def ids_by_name(collection: imseek.Collection) -> dict[str, int]:
    """Live images by the name of their file, from a query that returns everything."""
    result = collection.search(np.ones(collection.info().encoder.dim), limit=10_000)
    found = {Path(hit.path or "").name: hit.image_id for hit in result}
    assert len(found) == len(result)
    return found


def opened_files(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """A list that grows with every picture the indexer opens."""
    opened: list[bytes] = []
    real = os.open

    def spy(path: object, *args: object, **kwargs: object) -> int:
        if isinstance(path, bytes) and path.endswith((b".png", b".jpg")):
            opened.append(path)
        return real(path, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr("imseek.indexer.sources.local_files.os.open", spy)
    return opened


def test_every_photograph_is_found_by_itself(collection: imseek.Collection, photos: Path) -> None:
    report = collection.index([photos])
    assert (report.seen, report.added, report.skipped, report.live) == (8, 8, 0, 8)
    for path in sorted(photos.rglob("*.*")):
        best = collection.search(path, limit=2)
        assert best[0].path == str(path)
        assert best[0].score == pytest.approx(1, abs=1e-3)
        assert best[1].score < best[0].score


def test_metadata_is_that_of_the_file(collection: imseek.Collection, photos: Path) -> None:
    collection.index([photos])
    image = collection.get(ids_by_name(collection)["coffee.png"])
    assert image.place is not None
    assert image.place.path == os.fsencode(photos / "coffee.png")
    assert (image.metadata["width"], image.metadata["height"]) == (600, 400)
    assert image.metadata["format"] == "PNG"
    assert image.metadata["bytes"] == (photos / "coffee.png").stat().st_size


def test_unchanged_files_are_not_opened(
    collection: imseek.Collection, photos: Path, later: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    later(10)
    first = collection.index([photos])
    opened = opened_files(monkeypatch)
    again = collection.index()
    assert (again.unchanged, again.added, again.files_opened) == (8, 0, 0)
    assert opened == []
    assert again.generation == first.generation


def test_a_file_younger_than_its_scan_is_read_again(collection: imseek.Collection, photos: Path, later: Clock) -> None:
    """Git's "racy" case: same size, same time stamps, other content."""
    collection.index([photos])
    again = collection.index()
    assert (again.unchanged, again.files_opened) == (8, 8)
    later(10)
    assert collection.index().files_opened == 8
    assert collection.index().files_opened == 0


def test_same_size_and_mtime_but_other_content(collection: imseek.Collection, photos: Path, later: Clock) -> None:
    later(10)
    path = photos / "rocket.jpg"
    before = path.stat()
    collection.index([photos])
    data = bytearray(path.read_bytes())
    data[-2000] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert collection.index().changed == 1


def test_rehash_finds_what_the_times_hide(
    collection: imseek.Collection, photos: Path, later: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    later(10)
    collection.index([photos])
    assert collection.index(rehash=True).files_opened == 8


def test_a_moved_file_keeps_its_id(collection: imseek.Collection, photos: Path) -> None:
    collection.index([photos])
    before = ids_by_name(collection)
    (photos / "chelsea.png").rename(photos / "below" / "cat.png")
    report = collection.index()
    assert (report.moved, report.added, report.removed) == (1, 0, 0)
    after = ids_by_name(collection)
    assert after["cat.png"] == before["chelsea.png"]
    assert "chelsea.png" not in after


def test_a_renamed_tree_keeps_all_ids_and_encodes_nothing(
    collection: imseek.Collection, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection.index([photos])
    before = ids_by_name(collection)
    (photos / "below").rename(photos / "elsewhere")
    monkeypatch.setattr("imseek.indexer.decode_stage.unit_rows", lambda *_: pytest.fail("nothing is new"))
    assert collection.index().moved == 2
    assert ids_by_name(collection) == before


def test_a_copy_gets_its_own_id_and_the_same_vector(
    collection: imseek.Collection, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection.index([photos])
    shutil.copy(photos / "coffee.png", photos / "coffee2.png")
    monkeypatch.setattr("imseek.indexer.decode_stage.unit_rows", lambda *_: pytest.fail("nothing is new"))
    report = collection.index()
    assert (report.copied, report.moved, report.added) == (1, 0, 0)
    ids = ids_by_name(collection)
    reader = Reader(collection.path)
    assert ids["coffee.png"] != ids["coffee2.png"]
    assert (reader.vector(ids["coffee.png"], 0) == reader.vector(ids["coffee2.png"], 0)).all()
    assert collection.get(ids["coffee2.png"]).metadata == collection.get(ids["coffee.png"]).metadata


def test_twins_in_one_run_are_encoded_once(collection: imseek.Collection, photos: Path) -> None:
    shutil.copy(photos / "coffee.png", photos / "coffee2.png")
    report = collection.index([photos])
    assert (report.added, report.copied, report.live) == (8, 1, 9)


def test_changed_content_gets_a_new_id_and_keeps_its_tags(
    collection: imseek.Collection, photos: Path, photo_files: list[Path]
) -> None:
    collection.index([photos])
    old = ids_by_name(collection)["coffee.png"]
    tag(collection, old, "drink")
    assert collection.get(old).tags == ("drink",)
    data = bytearray((photos / "coffee.png").read_bytes())
    (photos / "coffee.png").write_bytes((photos / "rocket.jpg").read_bytes() + bytes(data[:1]))
    report = collection.index()
    assert (report.changed, report.removed, report.live) == (1, 0, 8)
    new = ids_by_name(collection)["coffee.png"]
    assert new != old
    assert collection.get(new).tags == ("drink",)
    with pytest.raises(imseek.errors.ImageNotFoundError):
        collection.get(old)


def test_two_files_that_swap_names_keep_their_ids(collection: imseek.Collection, photos: Path) -> None:
    collection.index([photos])
    before = ids_by_name(collection)
    (photos / "coffee.png").rename(photos / "aside")
    (photos / "camera.png").rename(photos / "coffee.png")
    (photos / "aside").rename(photos / "camera.png")
    report = collection.index()
    assert (report.moved, report.changed, report.copied, report.live) == (2, 0, 0, 8)
    after = ids_by_name(collection)
    assert (after["coffee.png"], after["camera.png"]) == (before["camera.png"], before["coffee.png"])


def test_a_chain_of_renames_keeps_the_ids(collection: imseek.Collection, photos: Path) -> None:
    collection.index([photos])
    before = ids_by_name(collection)
    (photos / "coffee.png").rename(photos / "zebra.png")
    (photos / "camera.png").rename(photos / "coffee.png")
    (photos / "astronaut.png").rename(photos / "camera.png")
    report = collection.index()
    assert (report.moved, report.changed, report.copied, report.removed, report.live) == (3, 0, 0, 0, 8)
    after = ids_by_name(collection)
    assert after["zebra.png"] == before["coffee.png"]
    assert after["coffee.png"] == before["camera.png"]
    assert after["camera.png"] == before["astronaut.png"]


def test_a_vanished_file_leaves_the_collection(collection: imseek.Collection, photos: Path) -> None:
    collection.index([photos])
    gone = ids_by_name(collection)["rocket.jpg"]
    (photos / "rocket.jpg").unlink()
    report = collection.index()
    assert (report.removed, report.live) == (1, 7)
    assert "rocket.jpg" not in ids_by_name(collection)
    shutil.copy(photos / "coffee.png", photos / "rocket.jpg")
    collection.index()
    assert ids_by_name(collection)["rocket.jpg"] != gone, "ids are never used again"


def test_a_source_missing_as_a_whole_loses_nothing(collection: imseek.Collection, photos: Path) -> None:
    collection.index([photos])
    before = ids_by_name(collection)
    photos.rename(photos.parent / "unmounted")
    for paths in ([], [photos]):
        report = collection.index(paths)
        assert (report.removed, report.live) == (0, 8)
        assert any("missing" in note for note in report.notes)
    photos.mkdir()
    report = collection.index()
    assert (report.removed, report.live) == (0, 8)
    assert any("not mounted" in note for note in report.notes)
    photos.rmdir()
    (photos.parent / "unmounted").rename(photos)
    assert collection.index().live == 8
    assert ids_by_name(collection) == before


def test_an_unreadable_folder_loses_nothing(
    collection: imseek.Collection, photos: Path, later: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As root every folder can be read, so the refusal is the system call's, simulated."""
    later(10)
    collection.index([photos])
    real = os.scandir

    def refuse(path: object) -> object:
        if isinstance(path, bytes) and os.path.basename(path) == b"below":
            raise PermissionError(13, "Permission denied", path)
        return real(path)  # type: ignore[call-overload]

    monkeypatch.setattr("imseek.indexer.sources.folder.os.scandir", refuse)
    (photos / "coffee.png").unlink()
    report = collection.index()
    assert (report.removed, report.live) == (1, 7)
    assert [(f.path, f.reason) for f in report.failures] == [(os.fsencode(photos / "below"), "unreadable")]
    assert collection.index().generation == report.generation, "a known failure makes no commit"
    monkeypatch.setattr("imseek.indexer.sources.folder.os.scandir", real)
    assert collection.index().live == 7
    assert collection.info().failures == ()


HOSTILE_NAMES = [
    b"two\nlines.png",
    b"quote\"'quote.png",
    b"latin1-\xe9.png",
    "emoji-\N{CAT FACE}.png".encode(),
    b"[red]markup.png",
    b"-dash.png",
    b"100%.png",
    b"\x1b[31mescape.png",
]


def test_hostile_names_lead_back_to_their_files(collection: imseek.Collection, photos: Path) -> None:
    data = (photos / "below" / "flower.jpg").read_bytes()
    shutil.rmtree(photos)
    photos.mkdir()
    for n, name in enumerate(HOSTILE_NAMES):
        Path(os.fsdecode(os.path.join(os.fsencode(photos), name))).write_bytes(data + bytes([n]))
    report = collection.index([photos])
    assert report.added == len(HOSTILE_NAMES)
    for hit in collection.search(np.ones(collection.info().encoder.dim), limit=20):
        assert hit.place is not None
        assert os.path.basename(hit.place.path) in HOSTILE_NAMES
        assert os.path.exists(hit.place.path)
        assert hit.place.display.isprintable()
    assert collection.index().live == len(HOSTILE_NAMES)


def test_bad_files_are_recorded_with_reasons_and_tried_again_when_they_change(
    collection: imseek.Collection, photos: Path, later: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    later(10)
    good = (photos / "rocket.jpg").read_bytes()
    (photos / "text.jpg").write_text("this is no picture")
    (photos / "empty.png").touch()
    (photos / "half.jpg").write_bytes(good[: len(good) // 2])
    (photos / "dangling.jpg").symlink_to(photos / "nowhere")
    (photos / "loop.jpg").symlink_to(photos / "loop.jpg")
    os.mkfifo(photos / "pipe.jpg")
    report = collection.index([photos])
    reasons = {os.path.basename(f.path).decode(): f.reason for f in report.failures}
    assert reasons == {
        "text.jpg": SkipReason.NOT_AN_IMAGE,
        "empty.png": SkipReason.EMPTY_FILE,
        "half.jpg": SkipReason.TRUNCATED,
        "dangling.jpg": SkipReason.BROKEN_LINK,
        "loop.jpg": SkipReason.LINK_LOOP,
        "pipe.jpg": SkipReason.NOT_A_FILE,
    }
    assert (report.added, report.skipped) == (8, 6)
    assert len(collection.info().failures) == 6
    opened = opened_files(monkeypatch)
    again = collection.index()
    assert (opened, again.failures, again.skipped, again.generation) == ([], (), 6, report.generation)
    assert len(collection.index(retry_failed=True).failures) >= 3
    (photos / "half.jpg").write_bytes(good)
    (photos / "empty.png").unlink()
    fixed = collection.index()
    assert fixed.copied == 1
    assert {os.path.basename(f.path) for f in collection.info().failures} == {
        b"text.jpg", b"dangling.jpg", b"loop.jpg", b"pipe.jpg",
    }  # fmt: skip


def tag(collection: imseek.Collection, image_id: int, name: str) -> None:
    from imseek.data.catalog.sql import insert
    from imseek.data.collection_records import FOREVER
    from imseek.data.writing.writer import Writer

    values = {"image_id": image_id, "tag": name, "provenance": "by hand", "died": FOREVER}
    with Writer(collection.path, "test") as writer:
        writer.apply(lambda c, generation: insert(c, "tags", [{**values, "born": generation}]))


def test_a_picture_broken_for_a_while_keeps_its_id_and_tags(
    collection: imseek.Collection, photos: Path, later: Clock
) -> None:
    later(10)
    collection.index([photos])
    before = ids_by_name(collection)
    tag(collection, before["coffee.png"], "drink")
    good = (photos / "coffee.png").read_bytes()
    for bad in (good[:3000], b"", b"overwritten"):
        (photos / "coffee.png").write_bytes(bad)
        later(10)
        report = collection.index()
        assert (report.live, report.skipped, report.removed) == (7, 1, 0)
        assert "coffee.png" not in ids_by_name(collection), "what is broken is not found"
        assert collection.index().generation == report.generation
    assert imseek.maintenance.verify(collection.path).ok
    (photos / "coffee.png").write_bytes(good)
    report = collection.index()
    assert (report.live, report.added) == (8, 0)
    assert ids_by_name(collection) == before
    assert collection.get(before["coffee.png"]).tags == ("drink",)
    assert collection.info().failures == ()


def test_a_broken_picture_may_turn_up_elsewhere_change_or_go(collection: imseek.Collection, photos: Path) -> None:
    collection.index([photos])
    before = ids_by_name(collection)
    shutil.copy(photos / "coffee.png", photos / "cup.png")
    for name in ("coffee.png", "camera.png", "rocket.jpg"):
        (photos / name).write_bytes(b"broken")
    report = collection.index()
    assert (report.moved, report.skipped, report.live) == (1, 3, 6)
    assert ids_by_name(collection)["cup.png"] == before["coffee.png"]
    shutil.copy(photos / "chelsea.png", photos / "camera.png")
    (photos / "rocket.jpg").unlink()
    report = collection.index()
    assert (report.changed, report.removed, report.live) == (1, 1, 7)
    assert imseek.maintenance.verify(collection.path).ok


def test_a_picture_that_cannot_be_read_for_now_stays(
    collection: imseek.Collection, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection.index([photos])
    before = ids_by_name(collection)
    real = os.open

    def refuse(path: object, *args: object, **kwargs: object) -> int:
        if isinstance(path, bytes) and path.endswith(b"coffee.png"):
            raise OSError(5, "Input/output error")
        return real(path, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr("imseek.indexer.sources.local_files.os.open", refuse)
    report = collection.index(rehash=True)
    assert [f.reason for f in report.failures] == [SkipReason.UNREADABLE]
    assert ids_by_name(collection) == before


def test_a_decompression_bomb_is_refused_unread(collection: imseek.Collection, photos: Path) -> None:
    import struct
    import zlib

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    bomb = (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(10**6)))
        + chunk(b"IEND", b"")
    )
    (photos / "bomb.png").write_bytes(bomb)
    report = collection.index([photos])
    assert [f.reason for f in report.failures] == [SkipReason.TOO_MANY_PIXELS]
    assert report.added == 8


def test_links_to_folders_are_followed_only_when_asked_and_never_in_circles(
    collection: imseek.Collection, photos: Path
) -> None:
    outside = photos.parent / "outside"
    outside.mkdir()
    shutil.copy(photos / "coffee.png", outside / "linked.png")
    (photos / "link").symlink_to(outside)
    (photos / "below" / "circle").symlink_to(photos)
    assert collection.index([photos]).live == 8
    report = collection.index(follow_symlinks=True)
    assert report.live == 9
    assert [f.reason for f in report.failures] == [SkipReason.LINK_LOOP]


def test_hidden_and_generated_folders_are_left_out(collection: imseek.Collection, photos: Path) -> None:
    for name in (".hidden", "@eaDir", "node_modules"):
        (photos / name).mkdir()
        shutil.copy(photos / "coffee.png", photos / name / "coffee.png")
    shutil.copy(photos / "coffee.png", photos / ".coffee.png")
    (photos / "notes.txt").write_text("not a picture")
    report = collection.index([photos])
    assert (report.seen, report.live) == (8, 8)
    assert any("1 other file" in note for note in report.notes)


def test_a_collection_inside_a_source_is_not_scanned(photos: Path) -> None:
    with imseek.create(photos / "inside", encoder="fake") as collection:
        report = collection.index([photos])
        assert report.live == 8
        assert any("is a collection" in note for note in report.notes)


def test_somebody_elses_collection_json_hides_no_pictures(collection: imseek.Collection, photos: Path) -> None:
    (photos / "collection.json").write_text('{"name": "holidays"}')
    assert collection.index([photos]).live == 8


def test_empty_folder_and_missing_path(collection: imseek.Collection, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    report = collection.index([tmp_path / "empty"])
    assert (report.seen, report.live) == (0, 0)
    with pytest.raises(imseek.errors.UsageError, match="no such file or folder"):
        collection.index([tmp_path / "nowhere"])


def test_a_part_of_a_disk_that_is_not_mounted_is_not_gone(
    collection: imseek.Collection, photos: Path, tmp_path: Path
) -> None:
    """Asked for by a path below the source, whose folder is there but empty: the disk is somewhere else."""
    collection.index([photos])
    before = ids_by_name(collection)
    photos.rename(tmp_path / "away")
    photos.mkdir()
    for asked in ({"paths": [photos / "below"]}, {"names": [photos / "coffee.png", photos / "below"]}):
        report = collection.index(**asked)
        assert (report.removed, report.live) == (0, 8)
        assert "is empty, perhaps not mounted" in report.notes[0]
    assert ids_by_name(collection) == before
    (photos / "other").mkdir()  # Something is there: then what is missing is gone.
    assert collection.index([photos / "below"]).removed == 2


def test_a_single_file_is_a_source(collection: imseek.Collection, photos: Path) -> None:
    collection.index([photos / "coffee.png"])
    assert [s.kind for s in collection.info().sources] == ["file"]


def test_several_files_are_one_source(collection: imseek.Collection, photos: Path) -> None:
    collection.index([photos / "coffee.png", photos / "below" / "flower.jpg"])
    assert set(ids_by_name(collection)) == {"coffee.png", "flower.jpg"}
    assert [s.kind for s in collection.info().sources] == ["list"]
    assert collection.index().live == 2


def test_a_source_inside_another_stays_its_own(collection: imseek.Collection, photos: Path) -> None:
    collection.index([photos / "below"])
    before = ids_by_name(collection)
    report = collection.index([photos])
    assert (report.added, report.unchanged, report.live) == (6, 2, 8)
    assert before.items() <= ids_by_name(collection).items()
    assert [s.path for s in collection.info().sources] == [os.fsencode(photos / "below"), os.fsencode(photos)]
    (photos / "below").rename(photos.parent / "unmounted")
    assert collection.index([photos]).live == 8, "its disk may be away"
    (photos.parent / "unmounted").rename(photos / "below")
    (photos / "below" / "flower.jpg").unlink()
    assert collection.index([photos]).removed == 1, "naming the outer one names both"
    inner = collection.info().sources[0].source_id
    assert collection.remove_source(inner) == 1
    assert collection.index([photos]).live == 7


@pytest.mark.parametrize("order", [("inner", "outer"), ("outer", "inner")])
@pytest.mark.parametrize("name", [".hidden", "@eaDir", "link"])
def test_what_was_named_is_kept_where_no_walk_comes(
    collection: imseek.Collection, photos: Path, name: str, order: tuple[str, str]
) -> None:
    inner = photos / name
    (photos / "below").rename(photos.parent / "aside")
    if name == "link":
        inner.symlink_to(photos.parent / "aside")
    else:
        (photos.parent / "aside").rename(inner)
    for which in order:
        collection.index([inner if which == "inner" else photos])
    before = ids_by_name(collection)
    assert len(before) == 8
    for paths in ([], [photos], [inner]):
        assert collection.index(paths).removed == 0
    assert ids_by_name(collection) == before


def test_what_was_reached_through_a_link_is_kept_when_links_are_not_followed(
    collection: imseek.Collection, photos: Path
) -> None:
    (photos / "below").rename(photos.parent / "aside")
    (photos / "link").symlink_to(photos.parent / "aside")
    assert collection.index([photos], follow_symlinks=True).live == 8
    report = collection.index()
    assert (report.removed, report.live) == (0, 8)
    assert any("2 images are kept" in note for note in report.notes)


def test_no_right_to_look_is_not_gone(
    collection: imseek.Collection, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection.index([photos])
    real = os.stat

    def refuse(path: object, *args: object, **kwargs: object) -> os.stat_result:
        if isinstance(path, bytes) and b"/below" in path:
            raise PermissionError(13, "Permission denied", path)
        return real(path, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr("imseek.indexer.sources.folder.os.stat", refuse)
    for paths in ([], [photos / "below"], [photos / "below" / "flower.jpg"]):
        assert collection.index(paths).removed == 0
    assert collection.info().images == 8


def test_a_mistyped_name_records_nothing(collection: imseek.Collection, photos: Path) -> None:
    with pytest.raises(imseek.errors.UsageError, match="no such file"):
        collection.index([photos, photos.parent / "typo"])
    assert collection.info().sources == ()
    collection.index([photos])
    with pytest.raises(imseek.errors.UsageError, match="no such file"):
        collection.index([photos / "typo.jpg"])


def test_part_of_a_source_can_be_indexed_alone(collection: imseek.Collection, photos: Path) -> None:
    collection.index([photos])
    (photos / "coffee.png").unlink()
    (photos / "below" / "flower.jpg").unlink()
    assert collection.index([photos / "below"]).removed == 1
    assert collection.info().images == 7
    assert collection.index([photos / "coffee.png"]).removed == 1
    assert collection.info().images == 6
    assert len(collection.info().sources) == 1


def test_stop_flushes_and_the_next_run_goes_on(
    collection: imseek.Collection, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imseek.indexer.pipeline.COMMIT_IMAGES", 1)
    monkeypatch.setattr("imseek.indexer.encode_stage.ENCODE_BATCH", 1)
    stop = threading.Event()

    def after_two(progress: Progress) -> None:
        if progress.done >= 2:
            stop.set()

    report = collection.index([photos], progress=after_two, stop=stop)
    assert report.interrupted
    assert 2 <= report.added < 8
    assert report.live == report.added == collection.info().images
    assert collection.index().live == 8


def test_progress_counts_what_is_committed(
    collection: imseek.Collection, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imseek.indexer.pipeline.COMMIT_IMAGES", 1)
    moments: list[tuple[int, int]] = []

    def watch(progress: Progress) -> None:
        moments.append((progress.done, Reader(collection.path).current.images))

    collection.index([photos], progress=watch)
    assert moments[-1] == (8, 8)
    assert all(done <= stored for done, stored in moments)


class _Picky:
    """The fake encoder, but it fails on dark pictures and returns NaN for bright ones."""

    def __init__(self, inner: object) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    def encode_images(self, batch: np.ndarray) -> np.ndarray:
        vectors = self._inner.encode_images(batch).copy()  # type: ignore[attr-defined]
        if len(batch) > 1 or vectors[0, 0] > 0.02:
            raise RuntimeError("out of memory")
        return vectors


def test_an_encoder_failure_costs_only_its_picture(
    collection: imseek.Collection, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from imseek.encoders import registry

    picky = _Picky(registry.load("fake"))
    monkeypatch.setattr(collection, "_encoder", lambda *_: picky)
    report = collection.index([photos])
    assert 0 < report.added < 8
    assert report.added + len(report.failures) == 8
    assert {f.reason for f in report.failures} == {SkipReason.ENCODER_FAILED}


def test_a_fault_of_the_encoder_ends_the_run_and_blames_no_picture(
    collection: imseek.Collection, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault = imseek.errors.EncoderUnavailableError("cannot fill the cache folder")
    with monkeypatch.context() as patch:
        patch.setattr("imseek.encoders.fake.FakeEncoder.encode_images", lambda *_: (_ for _ in ()).throw(fault))
        with pytest.raises(imseek.errors.EncoderUnavailableError):
            collection.index([photos])
    assert collection.info().failures == ()
    assert collection.index().added == 8


def test_what_may_be_gone_the_next_time_is_tried_again(
    collection: imseek.Collection, photos: Path, later: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    later(10)
    with monkeypatch.context() as patch:
        patch.setattr("imseek.encoders.fake.FakeEncoder.encode_images", lambda *_: 1 / 0)
        assert len(collection.index([photos]).failures) == 8
    report = collection.index()
    assert (report.added, report.skipped) == (8, 0)
    assert collection.info().failures == ()


def test_a_file_that_takes_too_long_is_given_up(
    collection: imseek.Collection, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from imseek.media import decode

    release = threading.Event()

    def stuck(data: bytes, **options: object) -> object:
        if data == (photos / "coffee.png").read_bytes():
            release.wait(30)
        return decode(data, **options)  # type: ignore[arg-type]

    monkeypatch.setattr("imseek.indexer.decode_stage.decode", stuck)
    monkeypatch.setattr("imseek.indexer.pipeline.FILE_SECONDS", 3.0)
    try:
        report = collection.index([photos])
    finally:
        release.set()
    assert [(os.path.basename(f.path), f.reason) for f in report.failures] == [(b"coffee.png", SkipReason.TIMEOUT)]
    assert report.added == 7


def test_what_is_encoded_again_after_a_repair_has_not_changed(collection: imseek.Collection, photos: Path) -> None:
    from imseek.data import layout

    collection.index([photos])
    before = ids_by_name(collection)
    (collection.path / layout.vectors(0, 0)).unlink()
    imseek.maintenance.repair(collection.path)
    report = collection.index()
    assert (report.added, report.changed, report.removed, report.live) == (8, 0, 0, 8)
    assert ids_by_name(collection) == before


@pytest.fixture
def here(photos: Path) -> Iterator[imseek.Collection]:
    with imseek.create(photos / ".imseek", encoder="fake", here=True) as made:
        yield made


def test_a_collection_kept_in_its_folder_moves_with_it(here: imseek.Collection, photos: Path) -> None:
    here.index([photos])
    before = ids_by_name(here)
    here.close()
    moved = photos.parent / "moved"
    photos.rename(moved)
    with imseek.open(moved / ".imseek") as again:
        assert ids_by_name(again) == before
        hit = again.search(moved / "coffee.png")[0]
        assert hit.path == str(moved / "coffee.png")
        report = again.index()
        assert (report.live, report.added, report.removed) == (8, 0, 0)


def test_removing_and_relocating_sources(collection: imseek.Collection, photos: Path) -> None:
    collection.index([photos / "below"])
    collection.index([photos / "coffee.png"])
    before = ids_by_name(collection)
    first, second = (s.source_id for s in collection.info().sources)
    moved = photos.parent / "moved"
    (photos / "below").rename(moved)
    assert collection.relocate_source(first, moved) == 2
    assert ids_by_name(collection) == before
    assert collection.index().live == 3
    with pytest.raises(imseek.errors.UsageError, match="overlaps"):
        collection.relocate_source(second, moved / "flower.jpg")
    with pytest.raises(imseek.errors.UsageError, match="no such path"):
        collection.relocate_source(first, moved / "nowhere")
    assert collection.remove_source(first) == 2
    assert set(ids_by_name(collection)) == {"coffee.png"}
    assert (moved / "flower.jpg").exists()
    with pytest.raises(imseek.errors.SourceNotFoundError):
        collection.remove_source(first)
