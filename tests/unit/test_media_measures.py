"""Measures of luminance: against pictures of which the values are known, and by known changes of real photographs."""

from __future__ import annotations

import io
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from imseek.dataset.quality_flags import flag_images
from imseek.media import decode
from imseek.media.measures import SIDE, measure
from imseek.types.pictures import Luma


def grey(levels: np.ndarray) -> Image.Image:
    return Image.fromarray(levels.astype(np.uint8))


def step(sigma: float, noise: float = 0) -> Image.Image:
    """An edge that was blurred by a Gaussian, with the noise of a sensor."""
    levels = np.full((200, SIDE), 30.0)
    levels[:, 128:] = 210
    picture = np.asarray(grey(levels).filter(ImageFilter.GaussianBlur(sigma)), np.float32)
    grain = np.random.default_rng(0).normal(0, noise, levels.shape)
    return grey((picture + grain).clip(0, 255))


class TestValues:
    def test_one_level(self) -> None:
        assert measure(grey(np.full((40, 60), 51))) == Luma(0.2, 0.0, 0.0, 0.0, 0.0, None)

    def test_two_halves(self) -> None:
        levels = np.zeros((100, 100))
        levels[:, 50:] = 255
        found = measure(grey(levels))
        assert (found.mean, found.sd, found.dark, found.bright) == (0.5, 0.5, 0.5, 0.5)
        assert found.edges == pytest.approx(2 / 98, abs=1e-4), "a column on each side of the edge"

    def test_shares_are_of_pixels_up_to_and_from_a_level_on(self) -> None:
        found = measure(grey(np.repeat([[25, 26, 249, 250]], 10, axis=0)))
        assert (found.dark, found.bright) == (0.25, 0.25)

    @pytest.mark.parametrize("sigma", [1.0, 1.5, 2.0, 3.0, 4.0])
    def test_the_width_of_an_edge_is_that_of_its_blur(self, sigma: float) -> None:
        assert measure(step(sigma)).blur == pytest.approx(sigma, rel=0.16)

    def test_noise_does_not_make_a_blurred_picture_sharp(self) -> None:
        clean, noisy = measure(step(3)).blur, measure(step(3, noise=2)).blur
        assert clean is not None
        assert noisy is not None
        assert noisy > 0.7 * clean > 4 * (measure(step(0, noise=2)).blur or 9)

    def test_contrast_does_not_count(self) -> None:
        levels = np.asarray(step(2), np.float32)
        faint = measure(grey(levels / 2 + 60)).blur
        assert faint == pytest.approx(measure(step(2)).blur, rel=0.1)

    @pytest.mark.parametrize("size", [(1, 1), (2, 2), (500, 2), (3, 3), (1, 700), (256, 256), (257, 3)])
    def test_pictures_of_any_size(self, size: tuple[int, int]) -> None:
        found = measure(Image.new("L", size, 128))
        assert (found.mean, found.edges, found.blur) == (pytest.approx(0.502, abs=1e-4), 0.0, None)

    def test_stripes_everywhere(self) -> None:
        """No pixel is flat: there is nothing to tell the noise by."""
        found = measure(grey(np.tile(np.repeat([0, 255], 2), (64, 16))))
        assert found.edges == 1.0
        assert found.blur is not None
        assert found.blur < 0.5


@pytest.fixture
def photos(photo_files: list[Path]) -> list[Image.Image]:
    return [Image.fromarray(decode(path.read_bytes()).pixels) for path in photo_files]


def flags_of(luma: Luma) -> tuple[str, ...]:
    """The kinds of quality lists that one picture is on."""
    values = {name: np.nan if value is None else value for name, value in asdict(luma).items()}
    found = flag_images({name: np.array([value]) for name, value in values.items()})
    return tuple(kind for kind, mask in found.items() if mask[0])


class TestPhotographs:
    def test_as_they_are_none_is_listed(self, photos: list[Image.Image]) -> None:
        assert [flags_of(measure(photo.convert("L"))) for photo in photos] == [()] * len(photos)

    def test_out_of_focus(self, photos: list[Image.Image]) -> None:
        for photo in photos:
            radius = 2 * max(photo.size) / SIDE
            found = measure(photo.filter(ImageFilter.GaussianBlur(radius)).convert("L"))
            assert flags_of(found) == ("blurred",)

    def test_hardly_any_light(self, photos: list[Image.Image]) -> None:
        for photo in photos:
            assert "dark" in flags_of(measure(photo.point(lambda level: level // 4).convert("L")))

    def test_burnt_out(self, photos: list[Image.Image]) -> None:
        for photo in photos:
            bright = photo.point(lambda level: min(255, level * 4 + 60)).convert("L")
            assert "bright" in flags_of(measure(bright))

    def test_nothing_on_it(self) -> None:
        page = np.random.default_rng(1).normal(246, 1.5, (400, 300))
        assert flags_of(measure(grey(page.clip(0, 255)))) == ("empty",)

    def test_reduced_decoding_hardly_matters(self, photos: list[Image.Image]) -> None:
        for photo in photos:
            buffer = io.BytesIO()
            photo.resize((1600, 1200)).save(buffer, "JPEG", quality=92)
            full, reduced = (decode(buffer.getvalue(), min_side=side).facts.luma for side in (None, 224))
            assert full is not None
            assert reduced is not None
            for name in ("mean", "sd", "dark", "bright"):
                assert getattr(reduced, name) == pytest.approx(getattr(full, name), abs=0.02)
            assert reduced.blur == pytest.approx(full.blur, abs=0.2)
