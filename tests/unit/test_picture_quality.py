"""How good copies of a picture are, by their files and their pixels."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data

from imseek.duplicates.picture_quality import LOSSLESS, Compression, QualityReader
from imseek.duplicates.pixels.luminance_cache import LuminanceCache, to_luminance
from imseek.duplicates.results import Duplicate
from imseek.media import decode

DRAWING = b"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 90 60"><rect width="90" height="60" fill="#8ac"/>
<circle cx="40" cy="30" r="22" fill="#fd5" stroke="#321" stroke-width="2"/><path d="M5 55 L85 8" stroke="#d22"/>
</svg>"""


def saved(picture: Image.Image, name: str, **options: int) -> bytes:
    file = io.BytesIO()
    picture.save(file, name, **options)
    return file.getvalue()


PHOTO = Image.fromarray(data.astronaut())
POOR = saved(PHOTO, "JPEG", quality=40)
FILES = {
    1: ("JPEG", saved(PHOTO, "JPEG", quality=90)),
    2: ("JPEG", POOR),
    3: ("PNG", saved(Image.open(io.BytesIO(POOR)), "PNG")),
    4: ("JPEG", b"\xff\xd8\xff"),
    5: ("SVG", DRAWING),
}


def image(image_id: int) -> Duplicate:
    name, content = FILES[image_id]
    return Duplicate("c", image_id, None, f"{image_id:032x}" * 2, 512, 512, len(content), name, None)


@pytest.fixture
def quality(tmp_path: Path) -> QualityReader:
    return QualityReader(tmp_path, lambda image_id: FILES[image_id][1])


def test_what_is_measured_is_no_better_than_what_the_file_states(quality: QualityReader) -> None:
    stated = {n: quality.stated_compression(image(n)) for n in range(1, 5)}
    assert stated == {1: Compression(90), 2: Compression(40), 3: Compression(LOSSLESS), 4: Compression(0)}
    measured = {n: quality.compression(image(n)) for n in range(1, 5)}
    assert [measured[n] for n in (1, 2, 4)] == [stated[n] for n in (1, 2, 4)]
    assert measured[3].saved_again
    assert measured[3].quality == pytest.approx(40, abs=5)


def test_a_drawing_of_lines_is_never_enlarged(tmp_path: Path) -> None:
    def refuse(_image_id: int) -> bytes:
        raise AssertionError("nobody needs to draw it")

    assert not QualityReader(tmp_path, refuse).is_enlarged(image(5), 2.0)


def test_a_small_drawing_compares_as_a_large_one_does() -> None:
    small = LuminanceCache(lambda _: DRAWING)(0)
    whole = to_luminance(decode(DRAWING, measured=False).pixels)
    assert small is not None
    assert small.shape == whole.shape
    assert np.abs(small.astype(float) - whole).mean() < 1
    assert np.corrcoef(small.ravel(), whole.ravel())[0, 1] > 0.999
