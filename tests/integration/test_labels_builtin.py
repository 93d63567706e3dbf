"""Labels of real photographs by the built-in encoder, and what a word painted on one does."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image, ImageDraw, ImageFont
from templates import Templates

from imseek import labels
from imseek.data.reader import Reader
from imseek.labels.results import Labels

CLASSES = ["cat", "coffee", "rocket", "motorcycle", "flower", "building"]


@pytest.fixture
def root(tmp_path: Path, photos: Path, templates: Templates) -> Path:
    """The photographs, and the cup of coffee once more with "cat" on it."""
    with Image.open(photos / "coffee.png") as picture:
        shown = picture.convert("RGB")
    draw = ImageDraw.Draw(shown)
    draw.rectangle((200, 150, 400, 260), fill="white")
    draw.text((230, 160), "cat", fill="black", font=ImageFont.load_default(80))
    shown.save(photos / "coffee_cat.png")
    return templates.indexed(tmp_path / "made", photos, encoder="builtin")


def _given(root: Path, found: Labels) -> dict[str, str | None]:
    places = Reader(root).places(found.image_ids.tolist())
    return {Path(places[i].display).name: found.label(n) for n, i in enumerate(found.image_ids.tolist())}


def test_photographs_of_things_are_labelled_as_such(root: Path) -> None:
    given = _given(root, labels.label(root, CLASSES))
    expected = {
        "chelsea.png": "cat",
        "coffee.png": "coffee",
        "rocket.jpg": "rocket",
        "motorcycle_left.png": "motorcycle",
        "flower.jpg": "flower",
        "china.jpg": "building",
    }
    assert {name: given[name] for name in expected} == expected
    found = labels.label(root, CLASSES)
    assert (found.factor, found.factor_source) == (16, "measured for builtin (docs/labels.md)")


def test_it_does_not_read_and_says_so(root: Path) -> None:
    """docs/limits.md: a word on a picture is no reason for a label, and ``caution`` marks pictures by chance."""
    found = labels.label(root, CLASSES, caution=True, top=len(CLASSES))
    given = _given(root, found)
    assert given["coffee_cat.png"] != "cat"
    (at,) = (n for n, name in enumerate(given) if name == "coffee_cat.png")
    cat = found.top[at].tolist().index(0)
    assert found.probabilities[at, cat] < 0.3
    assert any("builtin cannot read" in note for note in found.notes)
    assert found.cautions is not None
    assert 0 < int(found.cautions.sum()) < len(given)
