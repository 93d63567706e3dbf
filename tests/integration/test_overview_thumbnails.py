"""Thumbnails of real photographs that are prepared in advance."""

from __future__ import annotations

import io
import threading
from pathlib import Path

import pytest
from PIL import Image
from skimage import data

import imseek
from imseek.overview import thumbnails

_COUNT = 40


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A collection of strips of a photograph; the n-th is 20 + n pixels wide, and one is gone."""
    folder = tmp_path_factory.mktemp("strips")
    picture = Image.fromarray(data.astronaut())
    for n in range(_COUNT):
        picture.crop((0, 4 * n, 20 + n, 4 * n + 60)).save(folder / f"{n:02}.png")
    root = tmp_path_factory.mktemp("made") / "c"
    with imseek.create(root, encoder="fake") as collection:
        collection.index([folder])
    (folder / "07.png").unlink()
    return root


def _width(thumbnail: bytes | None) -> int | None:
    return None if thumbnail is None else Image.open(io.BytesIO(thumbnail)).width


def _widths(root: Path) -> dict[int, int | None]:
    """Return the width of each picture by its id, None where it is gone."""
    with imseek.open(root) as collection:
        images = collection.get_many(range(_COUNT))
    is_gone = {i: image.place.path.endswith(b"07.png") for i, image in images.items()}
    return {i: None if is_gone[i] else image.metadata["width"] for i, image in images.items()}


@pytest.mark.parametrize("order", ["forward", "backward", "unnamed"])
def test_each_is_its_own(root, order) -> None:
    widths = _widths(root)
    ids = list(widths)
    named = [] if order == "unnamed" else ids
    with thumbnails(root, named, 320) as thumbnail:
        wanted = ids[::-1] if order == "backward" else ids
        assert {i: _width(thumbnail(i)) for i in wanted} == widths
        assert _width(thumbnail(ids[3])) == widths[ids[3]]  # Once more.
        assert thumbnail(10_000) is None


def test_a_page_that_ends_early_leaves_no_thread(root) -> None:
    before = threading.active_count()
    with thumbnails(root, range(_COUNT)) as thumbnail:
        assert thumbnail(0)
    assert threading.active_count() <= before
