"""Thumbnails and contact sheets, by the pixels that they show."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFont

from imseek.media import Cell, Row, contact_sheet, thumbnail
from imseek.media.sheet import _shorten, _wrap
from imseek.types.arrays import Pixels

FONT = ImageFont.load_default(13)


def flat(colour: tuple[int, int, int], height: int = 120, width: int = 160) -> Pixels:
    return np.full((height, width, 3), colour, np.uint8)


RED, GREEN, BLUE = flat((255, 0, 0)), flat((0, 255, 0)), flat((0, 0, 255))


def opened(data: bytes) -> np.ndarray[Any, np.dtype[np.uint8]]:
    with Image.open(io.BytesIO(data)) as image:
        return np.array(image.convert("RGB"))


def columns_of(sheet: np.ndarray[Any, Any], colour: tuple[int, int, int]) -> tuple[int, int]:
    """The first column that shows ``colour``, and how many do."""
    found = np.flatnonzero((sheet == colour).all(axis=2).any(axis=0))
    return int(found[0]), len(found)


def rows_of(sheet: np.ndarray[Any, Any], colour: tuple[int, int, int]) -> tuple[int, int]:
    return columns_of(sheet.transpose(1, 0, 2), colour)


@pytest.mark.parametrize(
    ("height", "width", "side", "expected"),
    [(300, 600, 100, (50, 100)), (600, 300, 100, (100, 50)), (40, 30, 100, (40, 30)), (1, 5000, 64, (1, 64))],
)
def test_a_thumbnail_is_a_webp_that_fits_and_is_not_enlarged(
    height: int, width: int, side: int, expected: tuple[int, int]
) -> None:
    data = thumbnail(flat((200, 100, 50), height, width), side)
    with Image.open(io.BytesIO(data)) as image:
        assert image.format == "WEBP"
    pixels = opened(data)
    assert pixels.shape[:2] == expected
    assert np.abs(pixels.astype(int) - (200, 100, 50)).max() <= 6


def test_a_sheet_shows_every_picture_at_its_place() -> None:
    rows = [
        Row("red, then green", None, [Cell(RED, "0.9\na.jpg"), Cell(GREEN, "0.8\nb.jpg")]),
        Row("blue", None, [Cell(BLUE, "0.7\nc.jpg")]),
    ]
    sheet = opened(contact_sheet(rows, thumb=80))
    (red, red_width), (green, _), (blue, _) = (
        columns_of(sheet, colour) for colour in ((255, 0, 0), (0, 255, 0), (0, 0, 255))
    )
    assert red_width == 80
    assert red == blue  # one column
    assert green > red + 80
    assert rows_of(sheet, (255, 0, 0)) == rows_of(sheet, (0, 255, 0))  # one row, as high as 4:3 asks
    assert rows_of(sheet, (255, 0, 0))[1] == 60
    assert rows_of(sheet, (0, 0, 255))[0] > rows_of(sheet, (255, 0, 0))[0] + 80
    assert (sheet[0] == 255).all()
    assert (sheet[-1] == 255).all()


def test_a_long_row_goes_on_below() -> None:
    cells = [Cell(pixels, "x\ny") for pixels in (RED, GREEN, BLUE)]
    rows = [Row("three", RED, cells), Row("one", None, [Cell(BLUE, "z")])]
    sheet = opened(contact_sheet(rows, thumb=80, columns=2))
    whole = opened(contact_sheet([Row("three", None, cells[:2])], thumb=80))
    assert sheet.shape[1] == whole.shape[1]
    top, height = rows_of(sheet, (0, 255, 0))
    assert height == 60
    blue = np.flatnonzero((sheet == (0, 0, 255)).all(axis=2).any(axis=1))
    assert len(blue) == 2 * 60  # in the second line of the first row, and in the second row
    assert blue[0] > top + 80
    first, second = blue[:60], blue[60:]
    assert columns_of(sheet[first], (0, 0, 255)) == columns_of(sheet[second], (0, 0, 255))
    assert columns_of(sheet[first], (0, 0, 255))[0] < columns_of(sheet, (0, 255, 0))[0]
    rules = np.flatnonzero((sheet[:, 28:-28] == (0xE4, 0xE4, 0xE2)).all(axis=(1, 2)))
    assert len(rules) == 1  # between the rows, none within one
    assert first[-1] < rules[0] < second[0]


def test_a_tile_without_a_picture_says_why() -> None:
    empty, said = (
        opened(contact_sheet([Row("q", None, [Cell(reason, "x")])])) for reason in ("", "not there any more")
    )
    assert empty.shape == said.shape
    assert (empty == 0xF4).any()
    differing = np.flatnonzero((empty != said).any(axis=(1, 2)))
    assert 28 < differing.min() < differing.max() < 28 + 160


def test_the_query_stands_left_of_its_answers_as_text_or_as_a_picture() -> None:
    left_of_cells = slice(0, 28 + 100)
    blank = opened(contact_sheet([Row("", None, [Cell(RED, "")])], thumb=80))[:, left_of_cells]
    text = opened(contact_sheet([Row("a red thing", None, [Cell(RED, "")])], thumb=80))[:, left_of_cells]
    picture = opened(contact_sheet([Row("x.jpg", BLUE, [Cell(RED, "")])], thumb=80))
    assert (blank == 255).all()
    assert (text < 100).all(axis=2).sum() > 50
    assert columns_of(picture, (0, 0, 255))[0] < columns_of(picture, (255, 0, 0))[0]


def test_captions_are_drawn_below_their_pictures_and_change_with_their_text() -> None:
    one, other = (opened(contact_sheet([Row("q", None, [Cell(RED, caption)])])) for caption in ("0.312", "0.999"))
    assert one.shape == other.shape
    differing = np.flatnonzero((one != other).any(axis=(1, 2)))
    assert differing.min() > 28 + 160


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "two\nlines",
        "tab\tand bell\x07",
        "猫 كلب ไทย",
        "😀👩‍👩‍👧",
        "bad \udcff name",
        "x" * 5000,
        "\u0301\u200d",
    ],
)
def test_no_text_breaks_a_sheet_or_widens_it(text: str) -> None:
    plain = opened(contact_sheet([Row("q", BLUE, [Cell(RED, "a")])]))
    odd = opened(contact_sheet([Row(text, BLUE, [Cell(RED, text)]), Row(text, None, [])]))
    assert odd.shape[1] == plain.shape[1]


def test_nothing_is_drawn_into_the_margins_by_a_long_text() -> None:
    sheet = opened(contact_sheet([Row("W" * 300, RED, [Cell(RED, "W" * 300)])]))
    assert (sheet[:, :28] == 255).all()
    assert (sheet[:, -28:] == 255).all()


def test_an_empty_answer_still_has_its_row_and_no_rows_are_a_mistake() -> None:
    empty = opened(contact_sheet([Row("nothing", None, [])]))
    assert (empty < 200).any()
    with pytest.raises(ValueError, match="row"):
        contact_sheet([])


def test_long_text_is_cut_by_its_measured_width() -> None:
    for text in ("i" * 200, "W" * 200, "some very long file name.jpg"):
        short = _shorten(text, FONT, 80)
        assert short.endswith("…")
        assert text.startswith(short[:-1].rstrip())
        assert FONT.getlength(short) <= 80
        longer = text[: len(short)] + "…"
        assert FONT.getlength(longer) > 80  # one more character would not fit
    assert _shorten("short", FONT, 80) == "short"
    assert len(_shorten("i" * 200, FONT, 80)) > len(_shorten("W" * 200, FONT, 80))


def test_text_wraps_between_words_and_loses_none_before_its_last_line() -> None:
    text = "a cup of coffee on a wooden table"
    lines = _wrap(text, FONT, 90, 10)
    assert " ".join(lines) == text
    assert all(FONT.getlength(line) <= 90 for line in lines)
    two = _wrap(text, FONT, 90, 2)
    assert two[0] == lines[0]
    assert two[1].endswith("…")
