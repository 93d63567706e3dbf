"""Our preprocessing against open_clip's own, pixel for pixel."""

from __future__ import annotations

import numpy as np
import pytest

from imseek.encoders.preprocess import Preprocessing

pytestmark = pytest.mark.slow

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
SHAPES = [(480, 640), (640, 480), (33, 33), (32, 32), (20, 31), (5, 3), (301, 200), (999, 123), (64, 1000)]


def picture(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height * width).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("resize", ["shortest", "longest", "squash"])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_equals_open_clip(shape: tuple[int, int], resize: str, interpolation: str) -> None:
    from open_clip.transform import PreprocessCfg, image_transform_v2
    from PIL import Image

    pixels = picture(*shape)
    settings = {"resize_mode": resize, "interpolation": interpolation, "fill_color": 7}
    transform = image_transform_v2(PreprocessCfg(size=32, mean=MEAN, std=STD, **settings), is_train=False)
    ours = Preprocessing(32, resize, interpolation, MEAN, STD, fill=7)  # type: ignore[arg-type]
    square = ours.prepare(pixels)
    assert square.dtype == np.uint8
    assert square.shape == (32, 32, 3)
    normalised = ((square / 255 - MEAN) / STD).transpose(2, 0, 1)
    np.testing.assert_allclose(normalised, transform(Image.fromarray(pixels)).numpy(), atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 60_000), (60_000, 1), (2, 50_000)])
def test_a_strip_is_cut_to_its_middle_before_it_is_resized(shape: tuple[int, int]) -> None:
    pixels = np.zeros((*shape, 3), dtype=np.uint8)
    long_axis = int(np.argmax(shape))
    middle = [slice(None), slice(None)]
    middle[long_axis] = slice(max(shape) // 2 - 100, max(shape) // 2 + 100)
    pixels[tuple(middle)] = 200
    square = Preprocessing(224, "shortest", "bicubic", MEAN, STD).prepare(pixels)
    assert square.shape == (224, 224, 3)
    assert square.min() == square.max() == 200


def test_a_wide_picture_is_not_taken_for_a_strip() -> None:
    """31 times wider than high: the ends count for squashing, and the middle is exact for cropping."""
    pixels = picture(10, 310)
    squash = Preprocessing(32, "squash", "bicubic", MEAN, STD)
    changed = pixels.copy()
    changed[:, :20] = 0
    assert not np.array_equal(squash.prepare(pixels), squash.prepare(changed))


def test_the_record_names_everything_that_changes_pixels() -> None:
    assert set(Preprocessing(32, "squash", "bicubic", MEAN, STD).record()) == {
        "size",
        "resize",
        "interpolation",
        "mean",
        "std",
        "fill",
    }
