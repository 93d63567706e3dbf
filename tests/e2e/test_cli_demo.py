"""``imseek demo``: the photographs are those, the searches find them, a second run encodes nothing."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest
from PIL import Image

from imseek.ui import demo_photographs
from imseek.ui.cli import demo_run as demo

# Pictures beside the photographs: patterns, drawings, a scan, computed images, an enlarged detail.
NO_PHOTOGRAPHS = {
    "cell.png",
    "chessboard_GRAY.png",
    "chessboard_RGB.png",
    "color.png",
    "horse.png",
    "logo.png",
    "microaneurysms.png",
    "multipage.tif",
    "multipage_rgb.tif",
    "no_time_for_that_tiny.gif",
    "page.png",
    "phantom.png",
}


@pytest.fixture(autouse=True)
def no_stamps(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(demo_photographs, "STAMPS", tmp_path / "not installed")


def test_every_picture_that_ships_is_a_photograph_or_known_not_to_be_one() -> None:
    for package, _, folder, names in demo_photographs.PHOTOGRAPHS:
        spec = find_spec(package)
        assert spec is not None
        assert spec.origin is not None
        shipped = {
            path.name
            for path in (Path(spec.origin).parent / folder).iterdir()
            if path.suffix in (".png", ".jpg", ".gif", ".tif")
        }
        assert shipped - NO_PHOTOGRAPHS == set(names)
        assert not NO_PHOTOGRAPHS & set(names)


@pytest.mark.always
def test_the_main_job_and_then_again(cli, home, tmp_path) -> None:
    folder = tmp_path / "out"
    first = cli("demo", "--folder", folder)
    assert first.code == 0, first.err
    count = len(demo_photographs.photographs())
    assert f"{count} added; {count} images in the collection" in first.out
    blocks = first.out.split("\n\n")
    best = {block.splitlines()[0]: block.splitlines()[2].split()[1] for block in blocks if "\nscore" in block}
    assert list(best)[:-1] == list(demo.QUERIES)
    assert best["a cat"] == "chelsea.png"
    assert best["a flower"] == "flower.jpg"
    assert best["a cup of coffee"] == "coffee.png"
    assert list(best.values())[-1] == demo.MIRRORED_PHOTOGRAPH
    with Image.open(folder / "contact-sheet.png") as sheet:
        assert sheet.format == "PNG"
        assert sheet.height > 100 * (len(demo.QUERIES) + 1)
    assert f"contact sheet: {folder / 'contact-sheet.png'}" in first.out
    assert "imseek search" in first.err

    second = cli("demo", "--folder", folder)
    assert second.code == 0, second.err
    assert f"{count} unchanged; {count} images in the collection" in second.out
    assert "nothing new since the last run" in second.out
    assert second.out.split("\n\n")[1:] == blocks[1:]


def test_pictures_of_an_environment_that_is_gone(cli, tmp_path, monkeypatch) -> None:
    """Of a clone that was removed: the collection in the user's home still has them."""
    old = tmp_path / "old"
    old.mkdir()
    real = demo_photographs.photographs()
    copies = tuple(Path(shutil.copy(path, old)) for path in real)
    with monkeypatch.context() as patch:
        patch.setattr(demo_photographs, "photographs", lambda: copies)
        first = cli("demo", "--folder", tmp_path / "out")
        assert first.code == 0, first.err
    shutil.rmtree(old)
    second = cli("demo", "--folder", tmp_path / "out")
    assert second.code == 0, second.err
    assert f"{2 * len(real)} images in the collection" in second.out
    assert second.out.split("\n\n")[1:] == first.out.split("\n\n")[1:]


def test_stamps_join_in_where_they_are_installed(cli, tmp_path, monkeypatch) -> None:
    stamps = tmp_path / "stamps"
    (stamps / "animals").mkdir(parents=True)
    Image.effect_noise((64, 64), 90).save(stamps / "animals" / "noise.png")
    monkeypatch.setattr(demo_photographs, "STAMPS", stamps)
    outcome = cli("demo", "--folder", tmp_path / "out")
    assert outcome.code == 0, outcome.err
    assert f"{len(demo_photographs.photographs()) + 1} added" in outcome.out


def test_a_missing_package_names_the_extra(cli, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(demo_photographs, "find_spec", lambda name: None)
    outcome = cli("demo", "--folder", tmp_path / "out")
    assert outcome.code == 1
    assert outcome.err == "imseek: scikit-image is not installed\nhint: in imseek's folder: pip install '.[demo]'\n"
