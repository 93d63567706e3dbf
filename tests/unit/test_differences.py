"""Where two pictures differ that lie over each other: edits are found in their place, and copies have none."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageDraw, ImageEnhance, ImageFont

from imseek.duplicates.pixels.confidence import edited_confidence
from imseek.duplicates.pixels.differences import PLACES, PlaceInBoth, pack_places, unpack_places
from imseek.duplicates.pixels.luminance_cache import to_luminance
from imseek.duplicates.pixels.orientations import ORIENTATIONS, turn
from imseek.duplicates.pixels.pair_judge import judge
from imseek.duplicates.pixels.verdict import DEFAULTS, EDITED, SAME, Verdict, most_drift
from imseek.media import decode

Picture = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def coffee(photo_files: list[Path]) -> Picture:
    return decode(next(path for path in photo_files if path.stem == "coffee").read_bytes()).pixels


def _judge(first: Picture, second: Picture) -> Verdict:
    return judge(4, 0.95, *(to_luminance(np.ascontiguousarray(one)) for one in (first, second)))


def _covers(box: tuple[float, float, float, float], wanted: tuple[float, float, float, float]) -> bool:
    """Whether a box has the middle of the wanted one in it, and is no more than three times as wide and high."""
    middle = (wanted[0] + wanted[2]) / 2, (wanted[1] + wanted[3]) / 2
    inside = box[0] <= middle[0] <= box[2] and box[1] <= middle[1] <= box[3]
    near = all(box[n + 2] - box[n] <= 3 * (wanted[n + 2] - wanted[n]) + 0.1 for n in (0, 1))
    return inside and near


def _with_sticker(pixels: Picture) -> tuple[Picture, tuple[float, float, float, float]]:
    """A face of a tenth of the width, and its edges: top, left, bottom, right."""
    picture = Image.fromarray(pixels)
    width, height = picture.size
    side, left, top = width // 8, round(0.6 * width), round(0.2 * height)
    draw = ImageDraw.Draw(picture)
    draw.ellipse((left, top, left + side, top + side), fill="#fc3", outline="#a60", width=3)
    draw.arc((left + 10, top + 10, left + side - 10, top + side - 10), 20, 160, "#530", 3)
    return np.asarray(picture), (top / height, left / width, (top + side) / height, (left + side) / width)


def test_a_sticker_is_found_in_its_place(coffee: Picture) -> None:
    edited, wanted = _with_sticker(coffee)
    for first, second in ((coffee, edited), (edited, coffee)):
        verdict = _judge(first, second)
        assert verdict.kind == EDITED
        assert _covers(verdict.places[0].a, wanted)
        assert _covers(verdict.places[0].b, wanted)


def test_an_edit_is_certain_where_all_else_lies_in_place_and_uncertain_where_edges_have_moved(coffee: Picture) -> None:
    verdict = _judge(coffee, _with_sticker(coffee)[0])
    assert verdict.registration is not None
    limit = most_drift(verdict.registration, DEFAULTS)
    moved = replace(verdict.registration, drift=0.9 * limit, in_place=0.0)
    assert verdict.confidence > 0.97
    assert verdict.confidence == edited_confidence(verdict.registration, limit)
    assert edited_confidence(moved, limit) < 0.5


@pytest.mark.parametrize(("share", "contrast", "colour"), [(0.14, 1.0, 1.0), (0.14, 1.0, 2.0), (0.1, 1.4, 2.0)])
def test_a_ball_is_found_in_a_brightened_copy(
    photo_files: list[Path], share: float, contrast: float, colour: float
) -> None:
    """Clipped colours leave residuals all around, which connect the ball with other places."""
    photo = Image.fromarray(decode(next(one for one in photo_files if one.stem == "astronaut").read_bytes()).pixels)
    brightened = ImageEnhance.Contrast(ImageEnhance.Brightness(photo).enhance(1.7)).enhance(contrast)
    brightened = ImageEnhance.Color(brightened).enhance(colour)
    assert _judge(np.asarray(brightened), np.asarray(photo)).kind == SAME
    width, height = photo.size
    side, left, top = round(share * width), round(0.22 * width), round(0.53 * height)
    draw = ImageDraw.Draw(photo)
    draw.ellipse((left, top, left + side, top + side), fill="white", outline="black", width=2)
    for x, y in ((0.3, 0.3), (0.6, 0.25), (0.25, 0.6), (0.5, 0.75), (0.7, 0.55)):
        draw.regular_polygon((left + x * side, top + y * side, side / 9), 5, fill="#224")
    verdict = _judge(np.asarray(brightened), np.asarray(photo))
    assert verdict.kind == EDITED
    assert _covers(verdict.places[0].a, (top / height, left / width, (top + side) / height, (left + side) / width))


@pytest.mark.parametrize("code", range(1, len(ORIENTATIONS)))
def test_the_place_turns_with_the_picture(coffee: Picture, code: int) -> None:
    edited, wanted = _with_sticker(coffee)
    marked = np.zeros(coffee.shape[:2], np.bool_)
    top, left, bottom, right = (round(edge * side) for edge, side in zip(wanted, marked.shape * 2, strict=True))
    marked[top:bottom, left:right] = True
    turned = np.argwhere(turn(marked, code))
    sides = np.array(turn(marked, code).shape)
    low, high = turned.min(axis=0) / sides, (turned.max(axis=0) + 1) / sides
    verdict = _judge(coffee, turn(edited, code))
    assert (verdict.kind, verdict.orientation) == (EDITED, code)
    assert _covers(verdict.places[0].a, wanted)
    assert _covers(verdict.places[0].b, (low[0], low[1], high[0], high[1]))


def test_the_place_is_found_in_a_crop(coffee: Picture) -> None:
    edited, (top, left, bottom, right) = _with_sticker(coffee)
    height, width = coffee.shape[:2]
    cut = edited[: round(0.9 * height), round(0.1 * width) :]
    verdict = _judge(coffee, cut)
    assert verdict.kind == EDITED
    assert _covers(verdict.places[0].a, (top, left, bottom, right))
    assert _covers(verdict.places[0].b, (top / 0.9, (left - 0.1) / 0.9, bottom / 0.9, (right - 0.1) / 0.9))


def _saved(pixels: Picture, quality: int) -> Picture:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file).convert("RGB"))


def _resized(pixels: Picture, factor: float) -> Picture:
    width, height = pixels.shape[1], pixels.shape[0]
    return np.asarray(Image.fromarray(pixels).resize((round(width * factor), round(height * factor)), 3))


COPIES: dict[str, Callable[[Picture], Picture]] = {
    "saved again": lambda pixels: _saved(pixels, 30),
    "smaller": lambda pixels: _resized(pixels, 0.3),
    "larger": lambda pixels: _resized(pixels, 1.5),
    "brighter": lambda pixels: np.asarray(ImageEnhance.Brightness(Image.fromarray(pixels)).enhance(1.3)),
    "darker": lambda pixels: np.asarray(ImageEnhance.Brightness(Image.fromarray(pixels)).enhance(0.7)),
    "cropped": lambda pixels: pixels[pixels.shape[0] // 12 :, : -pixels.shape[1] // 15],
    "mirrored": lambda pixels: pixels[:, ::-1],
    "grey": lambda pixels: np.asarray(Image.fromarray(pixels).convert("L").convert("RGB")),
}


@pytest.mark.parametrize("way", COPIES)
def test_copies_differ_nowhere(photo_files: list[Path], way: str) -> None:
    for path in photo_files:
        pixels = decode(path.read_bytes()).pixels
        verdict = _judge(pixels, COPIES[way](pixels))
        assert verdict.kind == SAME, path.stem
        assert verdict.places == ()


def _word(text: str, accent: int = 0) -> Picture:
    """A word on white, with an accent above its second letter that rises (1), falls (-1) or is not there (0)."""
    picture = Image.new("RGB", (420, 200), "white")
    draw = ImageDraw.Draw(picture)
    draw.text((60, 70), text, font=ImageFont.load_default(84), fill="black")
    if accent:
        draw.line((125 - 10 * accent, 80, 125 + 10 * accent, 62), fill="black", width=7)
    return np.asarray(picture)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (_word("resume"), _word("resume", 1)),
        (_word("resume", -1), _word("resume", 1)),
        (_word("resume"), _word("resune")),
        (_word("bod"), _word("bad")),
    ],
    ids=["accent", "other accent", "letter", "vowel"],
)
def test_an_accent_and_a_letter_are_differences(first: Picture, second: Picture) -> None:
    assert _judge(first, _saved(second, 60)).kind != SAME
    assert _judge(first, _saved(first, 60)).kind == SAME


def test_places_fit_into_an_array() -> None:
    places = tuple(PlaceInBoth((0.0, n / 255, 0.2, 40 / 255), (n / 255, 0.0, 1.0, 0.4)) for n in range(PLACES))
    given = (places, places[:1], ())
    assert [unpack_places(packed) for packed in pack_places(given)] == list(given)


def test_a_narrow_place_keeps_its_width() -> None:
    """Where it was, and the same when it is packed again."""
    narrow = PlaceInBoth((0.0, 0.3, 0.0019, 0.4), (0.5, 0.4257, 0.52, 0.4273))
    (packed,) = pack_places([(narrow,)])
    (found,) = unpack_places(packed)
    for (top, left, bottom, right), wanted in ((found.a, narrow.a), (found.b, narrow.b)):
        assert top <= wanted[0] < wanted[2] <= bottom <= wanted[2] + 1 / 255
        assert left <= wanted[1] < wanted[3] <= right <= wanted[3] + 1 / 255
    assert unpack_places(pack_places([(found,)])[0]) == (found,)
