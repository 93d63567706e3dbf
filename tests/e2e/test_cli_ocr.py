"""``imseek index --ocr``, ``imseek maintain --ocr`` and ``imseek info ID``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw, ImageFont

pytest.importorskip("rapidocr", reason="rapidocr is missing (the extra ocr)")


def write(path: Path, line: str) -> None:
    picture = Image.new("RGB", (320, 120), "white")
    ImageDraw.Draw(picture).text((15, 40), line, fill="black", font=ImageFont.load_default(30))
    path.parent.mkdir(exist_ok=True)
    picture.save(path)


def test_indexing_reads_and_remembers(cli: Callable[..., Any]) -> None:
    write(Path("album/one.png"), "Invoice 2024")
    Image.new("RGB", (320, 120), "navy").save("album/plain.png")
    run = cli("index", "album", "--encoder", "fake", "--ocr", "--json").json("index")
    assert (run["added"], run["ocr"]["read"], run["ocr"]["with_text"]) == (2, 2, 1)

    write(Path("album/two.png"), "Harbour")
    write(Path("album/three.png"), "Lighthouse")
    assert "ocr" not in cli("index", "--no-ocr", "--json").json("index")
    write(Path("album/four.png"), "Breakwater")
    said = cli("index")
    assert said.code == 0
    assert "read 3 of 3 images" in said.out
    assert "3 have text" in said.out

    (hit,) = cli("search", "writing", "--where", "text ILIKE '%harbour%'", "--json").json("search")["hits"]
    assert hit["metadata"]["text"] == "Harbour"
    shown = cli("info", str(hit["image_id"]))
    assert "two.png" in shown.out
    assert shown.out.splitlines()[-1].endswith("Harbour")
    image = cli("info", f"id:{hit['image_id']}", "--json").json("info-image")
    (line,) = image["text_lines"]
    assert (line["text"], line["confidence"] > 0.9) == ("Harbour", True)

    assert "have been read" not in cli("maintain", "--ocr").err
    assert "deleted the text" in cli("maintain", "--no-ocr").out
    assert cli("info", str(hit["image_id"]), "--json").json("info-image")["text_lines"] is None
    assert "not read (`imseek maintain --ocr`)" in cli("info", str(hit["image_id"])).out
    assert "ocr" not in cli("index", "--json").json("index")
    report = cli("maintain", "--ocr", "--json").json("maintain")
    assert (report["ocr"]["missing"], report["ocr"]["with_text"], report["merge"]) == (5, 4, None)


def test_unreadable_pictures_are_listed(cli: Callable[..., Any]) -> None:
    write(Path("album/one.png"), "Invoice 2024")
    assert cli("index", "album", "--encoder", "fake").code == 0
    Path("album/one.png").unlink()
    said = cli("maintain", "--ocr")
    assert said.code == 0
    assert "read 0 of 1 image" in said.out
    assert "1 picture could not be read:" in said.out
    assert "vanished" in said.out
    assert "one.png: it is not there any more" in said.out


def test_without_the_extra(cli: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    write(Path("album/one.png"), "Invoice 2024")
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "rapidocr", None)
        refused = cli("index", "album", "--encoder", "fake", "--ocr")
        assert refused.code == 1
        assert "rapidocr is not installed" in refused.err
        assert "[ocr]" in refused.err
        assert not list(Path("../home").rglob("catalog.sqlite"))
    assert cli("index", "album", "--encoder", "fake", "--ocr").code == 0
    write(Path("album/two.png"), "Harbour")
    monkeypatch.setitem(sys.modules, "rapidocr", None)
    run = cli("index")
    assert run.code == 0
    assert "1 added" in run.out
    assert "the text in new pictures is not read: rapidocr is not installed" in run.err


def test_interrupted(cli: Callable[..., Any], ctrl_c: Any) -> None:
    write(Path("album/one.png"), "Invoice 2024")
    assert cli("index", "album", "--encoder", "fake").code == 0
    with ctrl_c("maintain"):
        run = cli("maintain", "--ocr")
    assert run.code == 130
    assert "interrupted: read 0 of 1 image" in run.out
    assert "`imseek maintain --ocr` goes on from here" in run.out
    assert "1 has text" in cli("maintain", "--ocr").out


def test_both_forms_of_the_flag_are_refused(cli: Callable[..., Any]) -> None:
    write(Path("album/one.png"), "Invoice 2024")
    for command in (("index", "album", "--encoder", "fake"), ("maintain",)):
        refused = cli(*command, "--no-ocr", "--ocr")
        assert refused.code == 2
        assert "--ocr and --no-ocr exclude each other" in refused.err
