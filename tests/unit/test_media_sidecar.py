"""Sidecars as img2dataset, WebDataset, Google Takeout and people write them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from imseek.media.annotation_values import Annotations
from imseek.media.sidecar import MAX_BYTES, MAX_COLUMNS, Sidecar, read_sidecar


def beside(caption: str | None, extra: dict[str, Any], **said: Any) -> Sidecar:
    return Sidecar(Annotations(caption, **said), extra)


def read(found: Any, txt: bytes | None = None) -> Sidecar:
    return read_sidecar(txt, json.dumps(found).encode())


def test_no_sidecar_is_nothing() -> None:
    assert read_sidecar(None, None) == beside(None, {})


@pytest.mark.parametrize(
    ("txt", "caption"),
    [
        (b"A heron\n", "A heron"),
        (b"\xef\xbb\xbfA  heron\r\non\tone leg \n", "A heron on one leg"),
        ("Zürich, 雪".encode(), "Zürich, 雪"),
        (b" \n", None),
        (b"", None),
        (b"caf\xe9", None),
        ("long " * 2000, ("long " * 400).strip()),
        (b"a" * (MAX_BYTES + 1), None),
    ],
)
def test_a_text_file_is_the_caption(txt: bytes | str, caption: str | None) -> None:
    assert read_sidecar(txt if isinstance(txt, bytes) else txt.encode(), None) == beside(caption, {})


def test_what_img2dataset_writes() -> None:
    assert read(
        {
            "caption": "a cat on a mat",
            "url": "https://example.org/cat.jpg",
            "key": "000000003",
            "status": "success",
            "error_message": None,
            "width": 256,
            "height": 171,
            "original_width": 1200,
            "original_height": 800,
            "exif": '{"Image Orientation": "Horizontal (normal)"}',
            "sha256": "ab" * 32,
            "similarity": 0.31,
            "nsfw": False,
        }
    ) == beside(
        "a cat on a mat",
        {
            "url": "https://example.org/cat.jpg",
            "key": "000000003",
            "status": "success",
            "width": 256,
            "height": 171,
            "original_width": 1200,
            "original_height": 800,
            "exif": '{"Image Orientation": "Horizontal (normal)"}',
            "sha256": "ab" * 32,
            "similarity": 0.31,
            "nsfw": False,
        },
    )


def test_the_text_file_goes_before_the_object_and_caption_before_text() -> None:
    assert read({"caption": "from json", "text": "t"}, b"from txt").annotations.caption == "from txt"
    assert read({"caption": "from json", "text": "t"}, b" ").annotations.caption == "from json"
    assert read({"text": "t", "caption": ""}) == beside("t", {})
    assert read({"caption": ["no", "text"]}) == beside(None, {})


def test_inner_objects_are_flattened_and_what_is_no_scalar_is_dropped() -> None:
    assert read(
        {"a": {"b": {"c": 1}, "d": "x"}, "list": [1], "none": None, "blank": " ", "a_d": "taken", "": 1}
    ).extra == {"a_b_c": 1, "a_d": "x"}


@pytest.mark.parametrize(
    ("text", "extra"),
    [
        (b'{"n": NaN, "i": -Infinity, "f": 1e400, "ok": 2.5}', {"ok": 2.5}),
        (b'{"big": 9223372036854775808, "fits": 9223372036854775807}', {"fits": 2**63 - 1}),
        (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
        (b'{"a\\nb": 1, "' + b"n" * 200 + b'": 2}', {"a b": 1, "n" * 64: 2}),
        (b'{"a": "\\ud800 lone"}', {"a": "lone"}),
        (b'{"a": ' + b"1" * 5000 + b"}", {}),
    ],
)
def test_columns_that_storage_could_not_hold_are_dropped(text: bytes, extra: dict[str, Any]) -> None:
    assert read_sidecar(None, text).extra == extra


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[]",
        b'"text"',
        b"null",
        b'{"caption": "\xff"}',
        b"\x00\x01",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"a": "' + b"x" * MAX_BYTES + b'"}',
    ],
)
def test_a_broken_object_is_nothing_and_leaves_the_text_file(text: bytes) -> None:
    assert read_sidecar(b"a heron", text) == beside("a heron", {})


@pytest.mark.parametrize(("depth", "extra"), [(8, {"a_a_a_a_a_a_a_a": 1}), (9, {}), (980, {})])
def test_nesting_is_bounded(depth: int, extra: dict[str, int]) -> None:
    assert read_sidecar(None, b'{"a":' * depth + b"1" + b"}" * depth).extra == extra


@pytest.mark.parametrize("rating", [4, -1, 4.5])
def test_a_rating_is_a_number(rating: float) -> None:
    assert read({"rating": rating}).extra == {"rating": rating}


@pytest.mark.parametrize("rating", ["good", "5", True])
def test_a_rating_that_is_no_number_has_another_name(rating: object) -> None:
    assert read({"rating": rating}).extra == {"extra_rating": rating}


def test_the_first_columns_count() -> None:
    extra = read({f"c{n:03}": n for n in range(200)}).extra
    assert extra == {f"c{n:03}": n for n in range(MAX_COLUMNS)}


TAKEOUT: dict[str, Any] = {
    "title": "IMG_2041.JPG",
    "description": "Anna  on the beach",
    "imageViews": "12",
    "creationTime": {"timestamp": "1500000100", "formatted": "…"},
    "photoTakenTime": {"timestamp": "1500000000", "formatted": "14 Jul 2017, 02:40:00 UTC"},
    "geoData": {"latitude": 52.5, "longitude": -13.4, "altitude": 34, "latitudeSpan": 0.0},
    "people": [{"name": "Anna"}, {"name": "Ben"}, {}],
    "favorited": True,
    "url": "https://photos.example.org/1",
    "googlePhotosOrigin": {"mobileUpload": {"deviceType": "IOS_PHONE"}},
}


def test_what_google_takeout_writes() -> None:
    assert read(TAKEOUT) == beside(
        "Anna on the beach",
        {
            "original_name": "IMG_2041.JPG",
            "url": "https://photos.example.org/1",
            "favorited": True,
            "taken_utc": "2017-07-14T02:40:00+00:00",
            "latitude": 52.5,
            "longitude": -13.4,
            "altitude": 34.0,
        },
        people=("Anna", "Ben"),
    )
    assert read(TAKEOUT | {"title": "On the beach"}).annotations.title == "On the beach"


@pytest.mark.parametrize(
    ("change", "gone"),
    [
        (
            {"geoData": {"latitude": 0.0, "longitude": 0.0, "altitude": 0.0}},
            {"latitude", "longitude", "altitude"},
        ),
        ({"geoData": None}, {"latitude", "longitude", "altitude"}),
        ({"photoTakenTime": {"timestamp": "9" * 30}}, {"taken_utc"}),
        ({"photoTakenTime": "yesterday"}, {"taken_utc"}),
    ],
)
def test_a_takeout_with_holes(change: dict[str, Any], gone: set[str]) -> None:
    whole = read(TAKEOUT).extra
    assert read(TAKEOUT | change).extra == {name: value for name, value in whole.items() if name not in gone}


@pytest.mark.parametrize("people", ["Anna", [], [{}], [{"name": 7}, "Anna"], None])
def test_a_takeout_without_names(people: Any) -> None:
    assert read(TAKEOUT | {"people": people}).annotations.people == ()


def test_lists_of_an_object_are_keywords_and_people() -> None:
    found = read({"keywords": ["a\nb", "c", "c", 7, None], "people": ["Anna"], "tags": ["not this"]})
    assert found == beside(None, {}, keywords=("a b", "c"), people=("Anna",))
