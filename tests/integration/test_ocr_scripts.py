"""Lines in Greek and Cyrillic, which Tesseract reads; a Tesseract that is missing, old or slow, or prints nonsense."""

from __future__ import annotations

import io
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

import imseek
from imseek import ocr
from imseek.data.catalog import models
from imseek.ocr import picture_text, pp_ocr, tesseract
from imseek.ocr.pp_ocr import Recogniser
from imseek.ocr.results import OcrReport, TextLine
from imseek.ui.render.ocr_text import earlier_recogniser_lines

pytest.importorskip("rapidocr", reason="rapidocr is missing (the extra ocr)")

FONT = Path("/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf")
needs_tesseract = pytest.mark.skipif(
    tesseract.find_tesseract() is None or not FONT.is_file(),
    reason="Tesseract or a font is missing (Debian: tesseract-ocr-ell tesseract-ocr-rus fonts-dejavu-core)",
)
GREEK, CYRILLIC = "καλημέρα θάλασσα", "погода сегодня"


def write(*lines: str, ground: str = "white", ink: str = "black") -> np.ndarray:
    picture = Image.new("RGB", (560, 60 * len(lines) + 160), ground)
    for row, line in enumerate(lines):
        font = ImageFont.truetype(FONT, 28)
        ImageDraw.Draw(picture).text((20, 20 + 60 * row), line, fill=ink, font=font)
    return np.asarray(picture)


def plain(lines: Sequence[TextLine]) -> list[str]:
    """What lines say but for case and the full stops that Tesseract likes to see at their ends."""
    return [line.text.rstrip(".,").casefold() for line in lines]


def runs(process: int) -> bool:
    """Whether a process runs; one that has ended may wait for its parent to notice."""
    said = subprocess.run(["ps", "-o", "stat=", "-p", str(process)], stdout=subprocess.PIPE, text=True).stdout
    return said.strip()[:1] not in ("", "Z")


@pytest.fixture(autouse=True)
def found_anew() -> Iterator[None]:
    tesseract.find_tesseract.cache_clear()
    yield
    tesseract.find_tesseract.cache_clear()


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Put a program called tesseract first on the PATH, which says these things, and runs ``read`` for pictures."""

    def make(read: str, *, version: str = "tesseract 5.0.0", languages: str = "eng\\nell\\nrus") -> None:
        path = tmp_path / "bin" / "tesseract"
        path.parent.mkdir()
        path.write_text(
            f"#!/bin/sh\ncase $1 in\n--version) printf '{version}\\n';;\n--list-langs) printf '{languages}\\n';;\n"
            f"*) {read};;\nesac\n"
        )
        path.chmod(0o700)
        monkeypatch.setenv("PATH", str(path.parent), prepend=":")

    return make


def test_which_languages_are_used(program: Callable[..., None]) -> None:
    program("exit 1", version="tesseract v5.3.4\\n leptonica-1.82", languages="List of (4):\\neng\\nell\\nosd\\nukr")
    found = tesseract.find_tesseract()
    assert found is not None
    assert (str(found), found.languages) == (
        "Tesseract 5.3.4 (ukr, ell)",
        (("CYRILLIC", ("ukr",)), ("GREEK", ("ell",))),
    )
    assert pp_ocr.recogniser_name().endswith("PP-OCRv6 small; Tesseract 5.3.4 (ukr, ell)")


@pytest.mark.parametrize(
    "said",
    [
        {"version": "tesseract 3.05.02"},
        {"version": "tesseract " + "9" * 5000},
        {"version": "something else"},
        {"languages": "eng\\nosd"},
        {"languages": ""},
    ],
)
def test_a_tesseract_that_is_of_no_use_is_none(program: Callable[..., None], said: dict[str, str]) -> None:
    program("exit 1", **said)
    assert tesseract.find_tesseract() is None
    assert pp_ocr.recogniser_name().endswith("PP-OCRv6 small")


HEADER = "level\\tpage_num\\tconf\\ttext\\n"


@pytest.mark.parametrize(
    "read",
    [
        "exit 1",
        "cat >/dev/null; exit 3",
        "cat >/dev/null; head -c 100000 /dev/urandom",
        "cat >/dev/null; printf 'nothing\\n'",
        "cat >/dev/null; printf '5\\t1\\tnan\\tκαλημέρα\\n'",
        "cat >/dev/null; printf '5\\t1\\tsure\\tφως\\n5\\tfirst\\t99\\tφως\\n5\\t900\\t99\\tφως\\n5\\t\\n'",
        f"cat >/dev/null; printf '{HEADER}5\\t1\\t96\\tCoffee\\n'",
    ],
    ids=["ends at once", "fails", "noise", "no table", "no number", "strange rows", "another script"],
)
def test_nothing_comes_of_a_useless_answer(program: Callable[..., None], read: str) -> None:
    program(read)
    found = tesseract.find_tesseract()
    assert found is not None
    line = np.full((30, 300, 3), 200, np.uint8)
    assert found.read([line, line], [("GREEK",), ("GREEK", "CYRILLIC")]) == [None, None]


def test_an_answer_has_no_control_characters(program: Callable[..., None]) -> None:
    program(f"cat >/dev/null; printf '{HEADER}5\\t1\\t96\\t\\033[31mκαλη\\342\\200\\256µέρα\\n'")
    picture = Image.new("RGB", (400, 80), "white")
    pen = ImageDraw.Draw(picture)
    for at in range(20, 380, 18):  # Letters of no script: the networks make nothing of them.
        pen.arc((at, 20, at + 14, 50), 40 * (at % 7), 40 * (at % 7) + 200, fill="black", width=4)
    cut = np.asarray(picture)[10:60, 10:390]
    line = pp_ocr._ReadLine(np.array([[10, 10], [390, 10], [390, 60], [10, 60]], np.float32), cut, "", 0.0)
    found = tesseract.find_tesseract()
    assert found is not None
    pp_ocr._read_other_scripts(found, [line], lambda: False)
    value = pp_ocr._line(line.corners, line.text, line.confidence, np.asarray(picture), line.script)
    assert value is not None
    assert (value.text, value.confidence) == ("[31mκαλη μέρα", 0.96)


def test_a_process_is_ended_when_its_time_is_over(
    program: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    program("exec sleep 600")
    found = tesseract.find_tesseract()
    assert found is not None
    line = np.full((30, 300, 3), 200, np.uint8)
    started = time.monotonic()
    assert found.read([line], [("GREEK",)], lambda: time.monotonic() > started + 0.1) == [None]
    monkeypatch.setattr(tesseract, "_MAX_SECONDS", 0.0)
    assert found.read([line], [("GREEK",)]) == [None]
    assert time.monotonic() - started < 60


def test_what_a_script_called_tesseract_starts_is_ended_too(program: Callable[..., None], tmp_path: Path) -> None:
    program(f"sleep 600 & echo $! >{tmp_path}/child; wait")
    found = tesseract.find_tesseract()
    assert found is not None
    line = np.full((30, 300, 3), 200, np.uint8)
    child = tmp_path / "child"

    def interrupted() -> bool:
        if child.is_file() and child.read_text():
            raise KeyboardInterrupt
        return False

    with pytest.raises(KeyboardInterrupt):
        found.read([line], [("GREEK",)], interrupted)
    ends = time.monotonic() + 30
    while runs(int(child.read_text())):
        assert time.monotonic() < ends
        time.sleep(0.05)
    started = time.monotonic()
    assert found.read([line], [("GREEK",)], lambda: time.monotonic() > started + 0.1) == [None]
    assert time.monotonic() - started < 60


@pytest.mark.skipif(sys.platform != "linux", reason="a limit of another process exists on Linux only")
def test_a_process_that_never_ends_outlives_no_killed_run_for_long(
    program: Callable[..., None], tmp_path: Path
) -> None:
    program(f"echo $$ >{tmp_path}/child; while :; do :; done")
    code = (
        "import numpy as np; from imseek.ocr import tesseract; tesseract._PROCESSOR_SECONDS = 1; "
        "tesseract.find_tesseract().read([np.full((30, 300, 3), 200, np.uint8)], [('GREEK',)])"
    )
    child, ends = tmp_path / "child", time.monotonic() + 60
    with subprocess.Popen([sys.executable, "-c", code]) as run:
        while not (child.is_file() and child.read_text().strip()):
            assert time.monotonic() < ends
            time.sleep(0.01)
        process = int(child.read_text())
        while resource.prlimit(process, resource.RLIMIT_CPU) != (1, 1):
            assert time.monotonic() < ends
            time.sleep(0.01)
        run.kill()
    while runs(process):
        assert time.monotonic() < ends
        time.sleep(0.05)


def test_a_picture_does_not_wait_for_tesseract_again_and_again(
    program: Callable[..., None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program(f"echo >>{tmp_path}/runs; sleep 600")
    monkeypatch.setattr(picture_text, "_TESSERACT_SECONDS", 5.0)
    monkeypatch.setattr(tesseract, "_MAX_SECONDS", 5.0)
    file = io.BytesIO()
    Image.fromarray(write("Invoice 2024", CYRILLIC)).save(file, "PNG")
    assert plain(ocr.read_picture(file.getvalue()))[0] == "invoice 2024"
    assert len((tmp_path / "runs").read_text()) == 1


def test_relative_folders_do_not_count(
    program: Callable[..., None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program("exit 1")
    monkeypatch.chdir(tmp_path / "bin")
    for path in (".", "", f".:{tmp_path}", "../bin"):
        monkeypatch.setenv("PATH", path)
        tesseract.find_tesseract.cache_clear()
        assert tesseract.find_tesseract() is None
    monkeypatch.setenv("PATH", f".:{tmp_path}/bin:/usr/bin:/bin")
    tesseract.find_tesseract.cache_clear()
    found = tesseract.find_tesseract()
    assert found is not None
    assert found.program == f"{tmp_path}/bin/tesseract"


def test_languages_are_looked_for_where_it_runs(program: Callable[..., None]) -> None:
    program("exit 1", languages="'; test $PWD = / && echo ell; printf '")
    assert tesseract.find_tesseract() is not None


def test_pictures_in_latin_and_photographs_start_no_process(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "Popen", None)  # Whoever calls it fails.
    monkeypatch.setattr(pp_ocr, "find_tesseract", lambda: tesseract.Tesseract("no such", "5", (("GREEK", ("ell",)),)))
    for name in ("chelsea.png", "coffee.png", "rocket.jpg"):
        assert ocr.read_picture(next(photos.rglob(name)).read_bytes()) == ()
    picture = Image.new("RGB", (400, 80), "white")
    ImageDraw.Draw(picture).text((20, 20), "Invoice 2024", fill="black", font=ImageFont.load_default(28))
    assert [line.text for line in Recogniser().read(np.asarray(picture))] == ["Invoice 2024"]


@pytest.mark.parametrize(("text", "sure", "is_taken"), [("καλμρα", 60, True), ("καλμρα", 40, False), ("", 80, False)])
def test_lines_without_greek_letters_need_more_certainty(
    program: Callable[..., None], text: str, sure: int, is_taken: bool
) -> None:
    program(f"cat >/dev/null; printf '{HEADER}5\\t1\\t{sure}\\tκαλημέρα\\n'")
    found = tesseract.find_tesseract()
    assert found is not None
    corners = np.array([[0, 0], [300, 0], [300, 30], [0, 30]], np.float32)
    line = pp_ocr._ReadLine(corners, np.full((30, 300, 3), 200, np.uint8), text, 0.8)
    pp_ocr._read_other_scripts(found, [line], lambda: False)
    assert (line.text == "καλημέρα", line.script == "GREEK") == (is_taken, is_taken)


@needs_tesseract
def test_greek_and_cyrillic_between_latin() -> None:
    page = write("Invoice 2024 harbour", GREEK, CYRILLIC, "МОСКВА", "Total 119.00 euro")
    reader = Recogniser()
    assert reader.has_text(page)
    lines = reader.read(page)
    assert plain(lines) == ["invoice 2024 harbour", GREEK, CYRILLIC, "москва", "total 119.00 euro"]
    assert [line.y for line in lines] == sorted(line.y for line in lines)
    assert all(line.confidence > 0.5 for line in lines)


@needs_tesseract
@pytest.mark.parametrize(("line", "ground", "ink"), [(GREEK, "navy", "white"), (CYRILLIC, "black", "orange")])
def test_light_letters_on_dark_ground(line: str, ground: str, ink: str) -> None:
    page = write(line, ground=ground, ink=ink)
    reader = Recogniser()
    assert reader.has_text(page)
    assert plain(reader.read(page)) == [line]


@needs_tesseract
def test_pictures_read_without_tesseract_are_told_of_and_read_again(
    photos: Path, collection: imseek.Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(photos)
    photos.mkdir()
    Image.fromarray(write(CYRILLIC)).save(photos / "shop.png")
    collection.index([photos])
    with monkeypatch.context() as patch:
        patch.setattr(pp_ocr, "find_tesseract", lambda: None)
        before: OcrReport = ocr.recognise(collection)
    assert (before.read, before.with_text, before.earlier_recognisers) == (1, 0, ())
    assert earlier_recogniser_lines(before) == []

    after = ocr.recognise(collection)
    assert (after.missing, after.earlier_recognisers) == (0, (before.recogniser,))
    assert after.recogniser.startswith(f"{before.recogniser}; Tesseract ")
    said = "\n".join(earlier_recogniser_lines(after))
    assert before.recogniser in said
    assert "`imseek maintain --no-ocr`" in said
    record = models.find(collection.path, "text")
    assert record is not None
    assert record.facts["recognisers"] == [before.recogniser]  # Nothing was left to read.

    ocr.forget(collection)
    again = ocr.recognise(collection)
    assert (again.with_text, again.earlier_recognisers) == (1, ())
    (hit,) = collection.search("сегодня", by="text")
    assert plain(ocr.lines_of(hit.metadata) or ()) == [CYRILLIC]
