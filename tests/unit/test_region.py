"""Regions of pictures as terms of a query: read, written, refused, and cut out of real photographs."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from term_texts import format_term

from imseek.errors import QueryError, UsageError
from imseek.media import decode
from imseek.search.query import Query, Term
from imseek.search.query_json import query_from_json, query_to_json
from imseek.search.region import check_region, decode_region, format_region, is_shares, parse_region, pixel_box
from imseek.search.term_parser import parse_term
from imseek.ui.cli.query_flags import QueryFlags

MIDDLE = (0.25, 0.25, 0.5, 0.5)
SHARES = st.tuples(st.floats(0, 0.5), st.floats(0, 0.5), st.floats(0.001, 0.5), st.floats(0.001, 0.5))
PIXELS = st.tuples(*[st.integers(0, 10_000)] * 2, *[st.integers(8, 10_000)] * 2)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("0.25,0.25,0.5,0.5", MIDDLE),
        (" .25, .25 ,.5,0.50", MIDDLE),
        ("0,0,1,1", (0, 0, 1, 1)),
        ("0,0,640,480", (0, 0, 640, 480)),
        ("10.5,20,30,40", (10.5, 20, 30, 40)),
    ],
)
def test_a_region_is_read(text: str, found: tuple[float, ...]) -> None:
    assert parse_region(text) == found
    assert is_shares(parse_region(text)) == (max(found) <= 1)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1,2,3",
        "1,2,3,4,5",
        "a,b,c,d",
        "0,0,-1,5",
        "1e3,0,5,5",
        "nan,0,1,1",
        "inf,0,9,9",
        "0;0;9;9",
        "0,0,\u0663,9",
        "9" * 101,
    ],
)
def test_what_is_no_region_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(QueryError, match="not a region") as refused:
        parse_region(text)
    assert "0.25,0.25,0.5,0.5" in str(refused.value.hint)


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ((0, 0, 0, 1), "above 0"),
        ((0.5, 0.5, 0.6, 0.2), "reaches beyond"),
        ((0.5, 0.9, 0.2, 0.2), "reaches beyond"),
        ((-0.1, 0, 0.5, 0.5), "negative"),
        ((0, 0, math.inf, 1), "infinite"),
        ((0, math.nan, 1, 1), "undefined"),
        ((0, 0, 10**400, 1), "infinite"),
        ((0, 0, 1), "four numbers"),
        ((0, 0, True, 1), "four numbers"),
        ("0,0,1,1", "four numbers"),
        (None, "four numbers"),
    ],
)
def test_boxes_that_lie_in_no_picture(box: Any, message: str) -> None:
    with pytest.raises(QueryError, match=message):
        check_region(box)


def test_only_pictures_have_regions() -> None:
    for picture in ({"image_id": 3}, {"picture": b"x"}, {"url": "http://a/b"}):
        assert Term(**picture, region=MIDDLE).region == MIDDLE  # type: ignore[arg-type]
    for words in ({"text": "a"}, {"vector": np.ones(3)}):
        with pytest.raises(QueryError, match="only a picture"):
            Term(**words, region=MIDDLE)
    assert Term(image_id=3, region=[0, 0, 10, 20]).region == (0, 0, 10, 20)  # type: ignore[arg-type]


@given(SHARES | PIXELS, st.integers(0, 10**9))
def test_a_term_with_a_region_is_written_and_read(box: Any, image_id: int) -> None:
    term = Term(image_id=image_id, region=tuple(round(one, 9) for one in box))
    assert parse_term(format_term(term)) == term
    assert parse_region(format_region(term.region)) == term.region
    assert query_from_json(query_to_json(Query(term)), files=False).terms == (term,)


def test_a_negative_zero_is_written_as_zero() -> None:
    term = Term(image_id=17, region=(-0.0, 0, 0.5, 0.5))
    assert format_term(term) == "id:17@0,0,0.5,0.5"
    assert parse_term(format_term(term)) == term


@pytest.mark.parametrize("box", ["1,2", "0,0,9", "0,0,1,1,1"])
def test_numbers_after_an_id_are_a_region_or_an_error(box: str) -> None:
    with pytest.raises(QueryError, match="not a region"):
        parse_term(f"id:17@{box}")


def test_a_picture_has_one_region_on_the_command_line() -> None:
    both = QueryFlags().also_like(["id:17@0,0,0.5,0.5"], "0,0,1,1")
    with pytest.raises(UsageError, match="two regions"):
        both.query([])
    assert QueryFlags().also_like(["id:17"], "0,0,1,1").query([]).terms == (Term(image_id=17, region=(0, 0, 1, 1)),)


def test_words_that_look_like_a_region_stay_words() -> None:
    assert parse_term("id:17@home").text == "id:17@home"
    assert format_term(Term(text="id:17@0,0,1,1")) == "text:id:17@0,0,1,1"


@pytest.mark.parametrize(
    "term",
    [
        {"image_id": 1, "region": None},
        {"image_id": 1, "region": "0,0,1,1"},
        {"image_id": 1, "region": [0, 0, 1]},
        {"image_id": 1, "region": [0, 0, 1, "1"]},
        {"vector": [1.0], "region": [0, 0, 1, 1]},
        {"region": [0, 0, 1, 1]},
    ],
)
def test_json_that_is_no_region(term: Any) -> None:
    with pytest.raises(QueryError):
        query_from_json({"like": term}, files=False)
    with pytest.raises(QueryError):
        query_from_json({"text": {"text": "a", "region": [0, 0, 1, 1]}}, files=False)


def test_boxes_in_pixels_of_a_picture() -> None:
    assert pixel_box(MIDDLE, 400, 200) == (100, 50, 300, 150)
    assert pixel_box((300, 100, 100.4, 100), 400, 200) == (300, 100, 400, 200)  # Half a pixel is rounding.
    with pytest.raises(QueryError, match="beyond the picture, which has 400 × 200 pixels"):
        pixel_box((300, 100, 101, 100), 400, 200)
    with pytest.raises(QueryError, match="covers 4 × 100 pixels"):
        pixel_box((0, 0, 0.01, 0.5), 400, 200)


def test_a_region_is_cut_out_of_a_photograph(photo_files: list[Path]) -> None:
    for name in ("china.jpg", "chelsea.png"):
        data = next(path for path in photo_files if path.name == name).read_bytes()
        whole = decode(data).pixels
        high, wide = whole.shape[:2]
        for box in ((0.5, 0.25, 0.25, 0.5), (round(wide / 2), round(high / 4), round(wide / 4), round(high / 2))):
            cut = decode_region(data, box, None)
            top, left = round(high / 4), round(wide / 2)
            assert 0 <= cut.shape[0] - math.floor(high / 2) <= 2  # Pixels that the box touches are in it.
            assert 0 <= cut.shape[1] - math.floor(wide / 4) <= 2
            inner = cut[1:-1, 1:-1]
            tall, broad = inner.shape[:2]
            near = whole[top - 1 : top + 2 + tall, left - 1 : left + 2 + broad]
            places = [near[y : y + tall, x : x + broad] for y in range(4) for x in range(4)]
            assert any(np.array_equal(place, inner) for place in places)
    assert np.array_equal(decode_region(data, None, None), whole)


def test_a_region_of_a_large_picture_is_decoded_small_but_sharp_enough(photo_files: list[Path]) -> None:
    china = next(path for path in photo_files if path.name == "china.jpg")
    with Image.open(china) as image:
        large = image.resize((3200, 2135))
    buffer = io.BytesIO()
    large.save(buffer, "JPEG", quality=92)
    cut = decode_region(buffer.getvalue(), (0.2, 0.2, 0.5, 0.5), 224)
    assert min(cut.shape[:2]) >= 224
    assert max(cut.shape[:2]) < 1000  # Not the 1600 pixels that it has.


@pytest.mark.parametrize("share", [5e-324, 1e-310, 1e-12, 1e-5])
def test_a_minute_share_is_refused_whatever_size_is_wanted(photo_files: list[Path], share: float) -> None:
    data = next(path for path in photo_files if path.name == "chelsea.png").read_bytes()
    with pytest.raises(QueryError, match="covers 0 × 300 pixels"):
        decode_region(data, check_region((0, 0, share, 1)), 224)


def test_a_region_is_of_the_upright_picture(photo_files: list[Path]) -> None:
    china = next(path for path in photo_files if path.name == "china.jpg")
    with Image.open(china) as image:
        upright = image.convert("RGB")
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6  # The camera was turned: stored lying, shown upright.
    upright.transpose(Image.Transpose.ROTATE_90).save(buffer, "PNG", exif=exif)
    cut = decode_region(buffer.getvalue(), (0, 0, 0.5, 0.25), None)
    expected = np.asarray(upright)[: math.ceil(upright.height / 4), : math.ceil(upright.width / 2)]
    assert np.array_equal(cut, expected)
