"""Text in pictures: drawn over photographs and read again; the pass over a collection; pictures made to do harm."""

from __future__ import annotations

import io
import shutil
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

import imseek
from imseek import ocr
from imseek.data.current_generation import read_current
from imseek.data.reader import Reader
from imseek.data.shards import derived_columns
from imseek.data.words.analysis import parse_words
from imseek.data.writing.writer import Writer
from imseek.duplicates.local_features.features import FeatureDetector
from imseek.errors import CorruptCollectionError, MediaError, MissingExtraError, QueryError, UsageError
from imseek.maintenance import purge, repair, verify
from imseek.ocr import collection_pass, picture_text, pp_ocr
from imseek.ocr.results import OcrReport, TextLine
from imseek.progress import Progress, StopRequest
from imseek.search.where import Filters

pytest.importorskip("rapidocr", reason="rapidocr is missing (the extra ocr)")
pytestmark = pytest.mark.full_size


def write_over(picture: Image.Image, words: Sequence[str], *, size: int = 30, top: int = 40) -> Image.Image:
    """Write lines on plates into a picture."""
    picture = picture.convert("RGB")
    pen = ImageDraw.Draw(picture)
    font = ImageFont.load_default(size)
    for row, line in enumerate(words):
        at = (20, top + row * size * 2)
        left, upper, right, lower = pen.textbbox(at, line, font=font)
        pen.rectangle((left - 6, upper - 6, right + 6, lower + 6), fill="white")
        pen.text(at, line, fill="black", font=font)
    return picture


def saved(picture: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def texts(lines: Sequence[TextLine]) -> list[str]:
    return [line.text for line in lines]


@pytest.fixture
def written(photos: Path, collection: imseek.Collection) -> imseek.Collection:
    """Three photographs, and two of them with something written on them, indexed."""
    for path in photos.rglob("*.*"):
        if path.name not in ("chelsea.png", "coffee.png", "rocket.jpg"):
            path.unlink()
    for name, line in (("chelsea.png", "Invoice 2024"), ("coffee.png", "Harbour café")):
        with Image.open(photos / name) as picture:
            write_over(picture, [line]).save(photos / f"written-{name}")
    collection.index([photos])
    return collection


def matching(collection: imseek.Collection, where: str) -> set[str]:
    reader = Reader(collection.path)
    places = reader.places(Filters().ids(reader, where).tolist())
    return {Path(place.display).name for place in places.values()}


# -- one picture ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["chelsea.png", "coffee.png", "rocket.jpg"])
def test_lines_over_photographs_are_read_where_they_are(photos: Path, name: str) -> None:
    with Image.open(next(photos.rglob(name))) as picture:
        drawn = write_over(picture, ["Invoice 2024", "Total: 119.00 euro"])
    first, second = ocr.read_picture(saved(drawn, "JPEG", quality=80))
    assert texts([first, second]) == ["Invoice 2024", "Total: 119.00 euro"]
    assert first.confidence > 0.9
    assert 0 < first.x < 0.12
    assert abs((first.y + first.height / 2) * drawn.height - 58) < 8
    assert first.y + first.height < second.y + 0.02


def test_nothing_is_downloaded_and_nothing_said(
    photos: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a download")

    monkeypatch.setattr("rapidocr.utils.download_file.DownloadFile.run", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    pp_ocr._load_engine.cache_clear()
    with Image.open(photos / "chelsea.png") as picture:
        assert texts(ocr.read_picture(saved(write_over(picture, ["Invoice 2024"])))) == ["Invoice 2024"]
    assert capfd.readouterr() == ("", "")


def test_weights_too_small_for_a_normal_float_are_zeros(tmp_path: Path) -> None:
    from onnx import TensorProto, helper, numpy_helper, save_model

    weights = np.array([1e-39, 1.0, -1e-40, 2e-38], np.float32)
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "w"], ["y"])],
        "scale",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [4])],
        [numpy_helper.from_array(weights, "w")],
    )
    save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=8), tmp_path / "n.onnx")
    session = pp_ocr.load_without_denormals(tmp_path / "n.onnx")
    (found,) = session.run(None, {"x": np.full(4, 1e38, np.float32)})
    assert found.tolist() == [0.0, np.float32(1e38), 0.0, np.float32(2e-38) * np.float32(1e38)]


@pytest.mark.parametrize("name", ["chelsea.png", "rocket.jpg", "camera.png"])
def test_photographs_without_text_go_no_further_than_the_gate(
    photos: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pp_ocr.Recogniser, "read", None)  # Whoever calls it fails.
    assert ocr.read_picture(next(photos.rglob(name)).read_bytes()) == ()


def test_what_only_looks_like_text_is_not_read_whole(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rims of a cup look like letters in a small copy; in a window around them, none can be read."""
    with Image.open(next(photos.rglob("coffee.png"))) as picture:
        plain = picture.convert("RGB").resize((640, 427))
    real = pp_ocr.Recogniser._detect
    seen: list[float] = []

    def detect(self: pp_ocr.Recogniser, pictures: np.ndarray) -> np.ndarray:
        found = real(self, pictures)
        seen.append(float(found.max()))
        return found

    monkeypatch.setattr(pp_ocr.Recogniser, "_detect", detect)
    with monkeypatch.context() as patch:
        patch.setattr(pp_ocr.Recogniser, "read", None)  # Whoever calls it fails.
        assert ocr.read_picture(saved(plain)) == ()
    assert seen[0] >= pp_ocr.GATE_PROBABILITY
    assert len(seen) > 1
    assert texts(ocr.read_picture(saved(write_over(plain, ["Invoice 2024"], size=16)))) == ["Invoice 2024"]


@pytest.mark.parametrize("size", [200, 330])
def test_letters_as_large_as_the_picture(size: int) -> None:
    page = Image.new("RGB", (1280, 480), "white")
    ImageDraw.Draw(page).text((640, 240), "Exit", fill="black", font=ImageFont.load_default(size), anchor="mm")
    assert texts(ocr.read_picture(saved(page))) == ["Exit"]


def test_pictures_are_read_upright(photos: Path) -> None:
    with Image.open(photos / "chelsea.png") as picture:
        drawn = write_over(picture, ["Sunday in the park", "Invoice number seven"])
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = drawn.transpose(Image.Transpose.ROTATE_90)
    lines = ocr.read_picture(saved(turned, "JPEG", exif=exif, quality=90))
    assert texts(lines) == ["Sunday in the park", "Invoice number seven"]
    assert lines[0].width > lines[0].height
    upside_down = ocr.read_picture(saved(drawn.transpose(Image.Transpose.ROTATE_180)))
    assert sorted(texts(upside_down)) == ["Invoice number seven", "Sunday in the park"]


def test_a_long_screenshot_is_read_to_its_end() -> None:
    page = write_over(Image.new("RGB", (480, 1700), "white"), [f"This is line {n}" for n in range(27)])
    lines = ocr.read_picture(saved(page))
    read = {line.text for line in lines}
    assert {f"This is line {n}" for n in (0, 1, 25, 26)} <= read
    assert len(read) >= 26  # A line may lie where the page is cut.
    heights = [line.y for line in lines]
    assert heights == sorted(heights)
    assert heights[-1] > 0.85


def test_a_small_text_in_a_large_photograph() -> None:
    noise = np.random.default_rng(1).integers(90, 110, (2400, 3200, 1), np.uint8)
    picture = write_over(Image.fromarray(np.broadcast_to(noise, (2400, 3200, 3)).copy()), ["Invoice 2024"], size=60)
    assert texts(ocr.read_picture(saved(picture, "JPEG"))) == ["Invoice 2024"]


@pytest.mark.parametrize(
    ("size", "mode"), [((1, 10_000), "L"), ((10_000, 1), "RGB"), ((1, 1), "RGB"), ((20_000, 300), "1"), ((7, 7), "P")]
)
def test_pictures_of_strange_shapes(size: tuple[int, int], mode: str) -> None:
    started = time.monotonic()
    assert ocr.read_picture(saved(Image.new(mode, size, 1))) == ()
    assert time.monotonic() - started < 30


def test_transparent_and_animated_pictures(photos: Path) -> None:
    with Image.open(photos / "chelsea.png") as picture:
        drawn, plain = write_over(picture, ["Invoice 2024"]), picture.convert("RGB")
    see_through = drawn.convert("RGBA")
    see_through.putalpha(200)
    assert texts(ocr.read_picture(saved(see_through))) == ["Invoice 2024"]
    assert texts(ocr.read_picture(saved(drawn, "GIF", save_all=True, append_images=[plain]))) == ["Invoice 2024"]
    assert ocr.read_picture(saved(plain, "GIF", save_all=True, append_images=[drawn])) == ()


def test_noise_takes_bounded_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture full of text-like marks: no more lines than allowed, and no more seconds."""
    random = np.random.default_rng(0)
    page = Image.new("RGB", (1200, 1200), "white")
    pen = ImageDraw.Draw(page)
    font = ImageFont.load_default(12)
    for y in range(0, 1200, 16):
        pen.text((0, y), "".join(map(chr, random.integers(33, 126, 160))), fill="black", font=font)
    monkeypatch.setattr(pp_ocr, "MAX_LINES", 5)
    assert len(ocr.read_picture(saved(page))) <= 5
    monkeypatch.setattr(pp_ocr, "MAX_LINES", 400)
    monkeypatch.setattr(picture_text, "MAX_SECONDS", 0.0)
    assert ocr.read_picture(saved(page)) == ()


def test_no_control_characters_come_through(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Image.open(photos / "chelsea.png") as picture:
        drawn = write_over(picture, ["Invoice 2024"])
    monkeypatch.setattr(pp_ocr.Recogniser, "has_text", lambda *_: True)
    said = iter([("a\x1b[31m\tb\u202e\nc", 0.99), ("\x07", 0.99), ("l", 0.9), ("unsure", 0.5)])
    monkeypatch.setattr(pp_ocr.Recogniser, "_read_line", lambda _, line: (line, *next(said)))
    assert texts(ocr.read_picture(saved(drawn))) == ["a [31m b c"]
    for _ in range(3):  # Nothing printable, a single letter without certainty, a line without any.
        assert ocr.read_picture(saved(drawn)) == ()


@pytest.mark.parametrize("data", [b"", b"no picture", b"\x89PNG\r\n\x1a\n" + b"\0" * 50])
def test_what_is_no_picture_is_refused(data: bytes) -> None:
    with pytest.raises(MediaError):
        ocr.read_picture(data)


# -- a collection --------------------------------------------------------------------------------------------------


def test_texts_are_stored_and_found(written: imseek.Collection, photos: Path) -> None:
    assert not ocr.is_active(written.path)
    with pytest.raises(QueryError, match="no text in pictures was read") as refusal:
        matching(written, "has_text")
    assert refusal.value.hint == "imseek maintain --ocr"

    report = ocr.recognise(written)
    assert (report.images, report.missing, report.read, report.with_text, report.unreadable) == (5, 5, 5, 2, 0)
    assert ocr.is_active(written.path)
    assert matching(written, "has_text") == {"written-chelsea.png", "written-coffee.png"}
    assert matching(written, "text ILIKE '%INVOICE%'") == {"written-chelsea.png"}
    assert matching(written, "contains(lower(text), 'harbour')") == {"written-coffee.png"}
    assert len(matching(written, "NOT has_text")) == 3
    reader = Reader(written.path)
    (image_id,) = Filters().ids(reader, "text = 'Invoice 2024'").tolist()
    image = reader.image(image_id)
    assert image.metadata["text"] == "Invoice 2024"
    (line,) = ocr.lines_of(image.metadata) or ()
    assert (line.text, line.confidence > 0.9) == ("Invoice 2024", True)
    assert reader.match_words(parse_words("invoices"), 5, fields=("text",)).ids.tolist() == [image_id]
    assert verify(written.path).ok

    again = ocr.recognise(written)
    assert (again.missing, again.generation) == (0, report.generation)


def test_new_pictures_are_read_and_shards_of_others_stay(written: imseek.Collection, photos: Path) -> None:
    ocr.recognise(written)
    before = {shard.shard_id: shard.columns["text"] for shard in read_current(written.path).shards}
    with Image.open(photos / "rocket.jpg") as picture:
        write_over(picture, ["Lift off"]).save(photos / "new.png")
    written.index([photos])
    report = ocr.recognise(written)
    assert (report.missing, report.read, report.with_text) == (1, 1, 1)
    after = {shard.shard_id: shard.columns["text"] for shard in read_current(written.path).shards}
    assert {shard_id: after[shard_id] for shard_id in before} == before
    assert len(after) == 2
    assert matching(written, "has_text") == {"written-chelsea.png", "written-coffee.png", "new.png"}


def test_a_damaged_column_of_texts_is_named_as_lost_and_read_again(written: imseek.Collection) -> None:
    ocr.recognise(written)
    (shard,) = read_current(written.path).shards
    file = written.path / shard.columns["text"]
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    assert [problem.file for problem in verify(written.path).problems] == [shard.columns["text"]]
    report = repair(written.path)
    assert report.after.ok
    assert [line.partition(":")[0] for line in report.lost] == [shard.columns["text"]]
    assert ocr.is_active(written.path)
    found = Reader(written.path).match_words(parse_words("invoice"), 5, fields=("text",)).ids.tolist()
    assert len(found) == 1, "the catalog has the words"
    (hit,) = [hit for hit in written.search("invoice", limit=5) if hit.image_id in found]
    assert hit.metadata.get("text") is None
    again = ocr.recognise(written)
    assert (again.missing, again.with_text) == (5, 2)
    assert matching(written, "text ILIKE '%INVOICE%'") == {"written-chelsea.png"}
    assert Reader(written.path).match_words(parse_words("invoice"), 5, fields=("text",)).ids.tolist() == found
    assert verify(written.path).ok


def test_a_stopped_pass_goes_on_where_it_was(written: imseek.Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collection_pass, "COMMIT_IMAGES", 2)
    stop = StopRequest()

    def stop_soon(progress: Progress) -> None:
        if progress.done >= 2:
            stop.set()

    first = ocr.recognise(written, progress=stop_soon, stop=stop)
    assert first.interrupted
    assert 2 <= first.read < 5
    second = ocr.recognise(written)
    assert not second.interrupted
    assert second.missing == second.read == 5 - first.read
    assert len(matching(written, "has_text")) == 2


def test_pictures_that_cannot_be_read_are_named(
    written: imseek.Collection, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (photos / "coffee.png").unlink()
    (photos / "rocket.jpg").write_bytes(b"something else")
    real = pp_ocr.Recogniser.has_text
    failed = threading.Event()

    def fail_once(self: pp_ocr.Recogniser, pixels: np.ndarray) -> bool:
        if not failed.is_set():
            failed.set()
            raise RuntimeError("of a library")
        return real(self, pixels)

    with monkeypatch.context() as patch:
        patch.setattr(pp_ocr.Recogniser, "has_text", fail_once)
        report = ocr.recognise(written)
    assert (report.read, report.unreadable) == (2, 3)
    reasons = {Path(one.place.display).name: one.reason for one in report.unread if one.place is not None}
    assert reasons.pop("coffee.png") == "vanished"
    assert reasons.pop("rocket.jpg") == "content_changed"
    assert list(reasons.values()) == ["recogniser_failed"]
    again = ocr.recognise(written)
    assert (again.missing, again.read, again.unreadable) == (3, 1, 2)


def test_purged_texts_are_gone(written: imseek.Collection, photos: Path) -> None:
    ocr.recognise(written)
    (photos / "written-chelsea.png").unlink()
    written.index([photos])
    purge(written.path)
    assert matching(written, "has_text") == {"written-coffee.png"}
    assert not any(b"Invoice 2024" in path.read_bytes() for path in written.path.rglob("*") if path.is_file())
    assert verify(written.path).ok


def test_forgotten_texts_are_gone_and_no_longer_wanted(written: imseek.Collection) -> None:
    ocr.recognise(written)
    ocr.forget(written)
    assert not ocr.is_active(written.path)
    reader = Reader(written.path)
    assert all("text" not in row for row in reader.metadata(range(20)).values())
    assert not len(reader.match_words(parse_words("invoice"), 5, fields=("text",)).ids)
    assert verify(written.path).ok
    assert ocr.recognise(written).with_text == 2


def test_columns_of_somebody_else_are_not_covered(written: imseek.Collection) -> None:
    with Writer(written.path, "test") as writer:
        derived_columns.put_columns(writer, "mine", {"text": {1: "mine"}})
    with pytest.raises(UsageError, match="there is a column 'text' already"):
        ocr.recognise(written)
    assert not ocr.is_active(written.path)


def test_a_file_beside_a_picture_does_not_turn_it_off(written: imseek.Collection, photos: Path) -> None:
    shutil.copyfile(photos / "rocket.jpg", photos / "strange.jpg")
    (photos / "strange.json").write_text('{"has_text": "maybe", "text_lines": "no JSON"}')
    written.index([photos])
    report = ocr.recognise(written)
    assert (report.read, report.with_text) == (6, 2)
    assert len(matching(written, "has_text")) == 2
    assert matching(written, "extra_has_text = 'maybe'") == {"strange.jpg"}


@pytest.mark.parametrize("stored", ["no JSON", "[1]", '[[0,0,2,0,1,"x"]]', "[" * 50_000])
def test_lines_that_somebody_else_wrote(stored: str) -> None:
    with pytest.raises(CorruptCollectionError, match="text_lines"):
        ocr.lines_of({"has_text": True, "text_lines": stored})


def test_the_missing_extra_names_itself(written: imseek.Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rapidocr", None)
    with pytest.raises(MissingExtraError) as error:
        ocr.recognise(written)
    assert (error.value.extra, "ocr" in (error.value.hint or "")) == ("ocr", True)
    assert not ocr.is_active(written.path)


def test_an_opencv_that_cannot_be_loaded_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As where the system lacks libGL; local features say the same."""
    (tmp_path / "cv2.py").write_text("raise ImportError('libGL.so.1: cannot open shared object file')")
    monkeypatch.delitem(sys.modules, "cv2", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    for ask, extra in ((ocr.check_installed, "ocr"), (FeatureDetector, "copies")):
        with pytest.raises(MissingExtraError, match=r"^OpenCV cannot be loaded: libGL\.so\.1: cannot open") as error:
            ask()
        assert f"pip install '.[{extra}]'" in (error.value.hint or "")


def test_texts_of_a_page_are_cut_before_they_are_too_long(
    written: imseek.Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = TextLine(0.1, 0.1, 0.5, 0.1, 0.9, "\\" * 2000)
    monkeypatch.setattr(collection_pass, "read_picture", lambda *_: (line,) * 400)
    report: OcrReport = ocr.recognise(written)
    assert report.with_text == 5
    for row in Reader(written.path).metadata(range(20)).values():
        assert len(ocr.lines_of(row) or ()) == 14


# -- columns set for some images -----------------------------------------------------------------------------------


def test_setting_some_values_leaves_the_others(written: imseek.Collection) -> None:
    ids = Filters().ids(Reader(written.path), "width > 0").tolist()
    columns: Sequence[dict[str, dict[int, object]]] = (
        {"note": {ids[0]: "first", ids[1]: "second"}, "score": {ids[0]: 1}},
        {"note": {ids[1]: "new", ids[2]: None}, "other": {ids[2]: True}},
    )
    with Writer(written.path, "test") as writer:
        for some in columns:
            writer.apply(derived_columns.update_change(writer, "mine", some))
    assert derived_columns.read_columns(Reader(written.path), "mine") == {
        "note": {ids[0]: "first", ids[1]: "new"},
        "score": {ids[0]: 1},
        "other": {ids[2]: True},
    }


def test_a_damaged_column_is_not_copied(written: imseek.Collection) -> None:
    ocr.recognise(written)
    (shard,) = read_current(written.path).shards
    path = written.path / shard.columns["text"]
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    ids = Reader(written.path).shard_ids(shard).tolist()
    change: Callable[[Writer], object] = lambda writer: derived_columns.update_change(  # noqa: E731
        writer, "text", {"text": {ids[0]: "x"}}
    )
    with Writer(written.path, "test") as writer, pytest.raises(CorruptCollectionError):
        change(writer)
