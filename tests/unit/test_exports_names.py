"""Names that exports give: of folders for classes, endings of pictures, and where small pictures lie in a sprite."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest

from imseek.exports.imagefolder import ClassFolders, MetadataTable, safe_folder_name
from imseek.exports.projector import render_config, tile_side
from imseek.exports.webdataset import write_tars
from imseek.media import decode
from imseek.media.formats import ending_of
from imseek.media.sprite import Sprite, columns_of


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("cat", "cat"),
        ("Cat 2", "Cat 2"),
        ("..", "__"),
        ("/etc/passwd", "_etc_passwd"),
        (".hidden", "_hidden"),
        ("", "_"),
        ("a\x00b\nc", "a_b_c"),
        ("café", "café"),
        ("cafe\u0301", "café"),
        ("test", "test~"),
        ("my-train_2", "my-train~_2"),
        ("Test", "Test"),
        ("contest", "contest"),
        ("con", "con~"),
        ("x" * 300, "x" * 100),
        ("é" * 99, "é" * 50),
    ],
)
def test_safe_names_of_folders(value: str, name: str) -> None:
    assert safe_folder_name(value) == name


def test_columns_that_come_late_are_known() -> None:
    file = io.BytesIO()
    table = MetadataTable(file, schema_bytes=30)
    for row in ({"a": 1}, {"b": "é" * 20}, {"a": 1, "c": 2}, {"b": 3}):
        table.add(row)
    assert table.late == {"c"}
    assert [json.loads(line) for line in file.getvalue().splitlines()][1] == {"b": "é" * 20}


def test_no_two_values_share_a_folder() -> None:
    folders = ClassFolders()
    given = ["a", "A", "a~2", "a/b", "a_b", "none", "images", None, "ß", "ss"]
    names = [folders.of(value) for value in given]
    assert names == ["a", "A~2", "a_2", "a_b", "a_b~2", "none~2", "images", "none", "ß", "ss~2"]
    assert len({name.casefold() for name in names}) == len(given)
    assert [folders.of(value) for value in given] == names


@pytest.mark.parametrize(
    ("data", "name", "ending"),
    [
        (b"\xff\xd8\xff\xe0", b"a.png", "jpg"),
        (b"\x89PNG\r\n\x1a\n", b"a", "png"),
        (b"RIFF\0\0\0\0WEBP", b"a.jpg", "webp"),
        (b"IIU\x00", b"/x/a.RW2", "rw2"),
        (b"IIU\x00", b"/x.y/a", "dng"),
        (b"IIU\x00", b"a.\xff", "dng"),
        (b"text", b"a.jpg", None),
    ],
)
def test_endings_say_what_is_there(data: bytes, name: bytes, ending: str | None) -> None:
    assert ending_of(data, name) == ending


@pytest.mark.parametrize(
    ("count", "side"), [(0, None), (1, 64), (128**2, 64), (128**2 + 1, 63), (1024**2, 8), (1024**2 + 1, None)]
)
def test_sprites_are_bounded(count: int, side: int | None) -> None:
    assert tile_side(count) == side
    assert side is None or columns_of(count) * side <= 8192


def test_small_pictures_lie_row_by_row(tmp_path) -> None:
    sprite = Sprite(3, 10)
    for position, colour in enumerate(((255, 0, 0), (0, 255, 0))):
        sprite.paste(position, np.full((4, 10, 3), colour, np.uint8))
    sprite.save(tmp_path / "sheet.png")
    sheet = decode((tmp_path / "sheet.png").read_bytes()).pixels
    assert sheet.shape == (20, 20, 3)
    assert sheet[5, 5].tolist() == [255, 0, 0]
    assert sheet[5, 15].tolist() == [0, 255, 0]
    assert sheet[0, 0].tolist() == [255, 255, 255]
    assert sheet[15, 5].tolist() == [0xB8, 0xB8, 0xB6]
    assert sheet[15, 15].tolist() == [255, 255, 255]


def test_configurations_are_quoted() -> None:
    assert 'tensor_name: "a\\"b\\\\c"' in render_config('a"b\\c', None)
    assert "sprite" not in render_config("a", None)


def test_tars_hold_at_least_one_picture(tmp_path) -> None:
    """What is larger than a tar may be has one of its own; a tar that just fits is not divided."""
    samples = [[(f"{n}.jpg", b"x" * size)] for n, size in enumerate((9000, 100_000, 8192, 512))]
    assert write_tars(tmp_path, iter(samples), 10, 10_240) == [1, 1, 1, 1]
    assert write_tars(tmp_path, iter(samples[2:]), 10, 10_241) == [1, 1]
    small = [[(f"{n}.jpg", b"x" * 512)] for n in range(10)]
    assert write_tars(tmp_path, iter(small), 100, 10_240) == [9, 1]
    assert (tmp_path / "00000.tar").stat().st_size == 10_240
    assert write_tars(tmp_path, iter(small), 4, 10**9) == [4, 4, 2]
    assert write_tars(tmp_path, iter([]), 4, 10**9) == []
