"""Known ways of altering a picture so that it remains the same one, and ways of taking another shot of it."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from duplicating.originals import encode_picture
from PIL import Image, ImageDraw, ImageEnhance, ImageFont

Way = Callable[[Image.Image, np.random.Generator], tuple[bytes, str]]


def _as(form: str, quality: int) -> Way:
    return lambda picture, _: (encode_picture(picture, form, quality), form)


def _png(change: Callable[[Image.Image, np.random.Generator], Image.Image]) -> Way:
    return lambda picture, rng: (encode_picture(change(picture, rng), "png"), "png")


def _resize(factor: float) -> Way:
    return _png(lambda picture, _: rescale(picture, factor))


def _crop(share: float) -> Way:
    """Cut this share of the area away, at a random place, and keep the proportions of the sides."""

    def change(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
        side = np.sqrt(1 - share)
        width, height = round(picture.width * side), round(picture.height * side)
        left = int(rng.integers(picture.width - width + 1))
        top = int(rng.integers(picture.height - height + 1))
        return picture.crop((left, top, left + width, top + height))

    return _png(change)


def _rotate(turn: Image.Transpose) -> Way:
    return _png(lambda picture, _: picture.transpose(turn))


def _border(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """A frame of one colour, 4 to 10 % of the longer side wide."""
    width = round(max(picture.size) * rng.uniform(0.04, 0.10))
    colour = ("white", "black", "#864")[int(rng.integers(3))]
    framed = Image.new("RGB", (picture.width + 2 * width, picture.height + 2 * width), colour)
    framed.paste(picture, (width, width))
    return framed


def _text(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """A line of text across, with an outline, as on pictures that are passed on."""
    canvas = picture.copy()
    draw = ImageDraw.Draw(canvas)
    size = max(8, round(picture.width / 10))
    top = float(rng.uniform(0.05, 0.8) * picture.height)
    place = (picture.width * 0.06, top)
    draw.text(
        place,
        "SUMMER SALE 50 %",
        font=ImageFont.load_default(size),
        fill="white",
        stroke_width=2,
        stroke_fill="black",
    )
    return canvas


def _repost(picture: Image.Image, rng: np.random.Generator) -> tuple[bytes, str]:
    """Cropped by a twentieth, halved, brightened a little, and compressed strongly, like pictures shared repeatedly."""
    data, _ = _crop(0.05)(picture, rng)
    small = rescale(Image.open(io.BytesIO(data)).convert("RGB"), 0.5)
    return encode_picture(ImageEnhance.Brightness(small).enhance(1.1), "jpeg", 50), "jpeg"


def rescale(picture: Image.Image, factor: float) -> Image.Image:
    size = max(1, round(picture.width * factor)), max(1, round(picture.height * factor))
    return picture.resize(size, Image.Resampling.BICUBIC)


WAYS: dict[str, Way] = {
    "jpeg 95": _as("jpeg", 95),
    "jpeg 60": _as("jpeg", 60),
    "jpeg 30": _as("jpeg", 30),
    "format (WebP)": _as("webp", 80),
    "resize 200 %": _resize(2),
    "resize 50 %": _resize(0.5),
    "resize 25 %": _resize(0.25),
    "crop 5 %": _crop(0.05),
    "crop 10 %": _crop(0.10),
    "crop 20 %": _crop(0.20),
    "crop 40 %": _crop(0.40),
    "rotation 90°": _rotate(Image.Transpose.ROTATE_270),
    "rotation 180°": _rotate(Image.Transpose.ROTATE_180),
    "rotation 270°": _rotate(Image.Transpose.ROTATE_90),
    "mirror": _rotate(Image.Transpose.FLIP_LEFT_RIGHT),
    "border": _png(_border),
    "text": _png(_text),
    "brighter": _png(lambda picture, _: ImageEnhance.Brightness(picture).enhance(1.3)),
    "darker": _png(lambda picture, _: ImageEnhance.Brightness(picture).enhance(0.7)),
    "greyscale": _png(lambda picture, _: picture.convert("L").convert("RGB")),
    "repost": _repost,
}
#: Ways that add something: the copy is *edited*, not the same.
EDITS = ("text",)
#: No longer the same picture, but a part of it: reported, and counted neither as right nor as wrong.
BEYOND: dict[str, Way] = {"crop 60 %": _crop(0.60)}


def another_shot(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """As the next frame of a burst: the camera a little further on, things at other distances or moved a little,
    another exposure, other noise.

    Things move by a smooth random field whose greatest shift is 1 to 3 % of the longer side, beside a shift of up to
    3 % and a zoom of up to 4 % of all.
    """
    pixels = np.asarray(picture.convert("RGB"), np.float32)
    height, width = pixels.shape[:2]
    side = max(height, width)
    coarse = rng.normal(size=(2, 5, 5)).astype(np.float32)
    field = np.stack(
        [np.asarray(Image.fromarray(one).resize((width, height), Image.Resampling.BICUBIC)) for one in coarse]
    )
    field *= rng.uniform(0.01, 0.03) * side / np.hypot(*field).max()
    zoom = 1 + rng.uniform(0, 0.04)
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    shift = rng.uniform(-0.03, 0.03, 2) * side
    rows = (rows - height / 2) / zoom + height / 2 + field[0] + shift[0]
    columns = (columns - width / 2) / zoom + width / 2 + field[1] + shift[1]
    shot = _sample(pixels, rows, columns)
    shot = shot * rng.uniform(0.92, 1.08) + rng.normal(0, 4, shot.shape)
    return Image.fromarray(shot.clip(0, 255).astype(np.uint8))


def _sample(pixels: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Sample bilinearly, with the edge repeated."""
    height, width = pixels.shape[:2]
    rows, columns = rows.clip(0, height - 1.001), columns.clip(0, width - 1.001)
    top, left = rows.astype(int), columns.astype(int)
    down, right = (rows - top)[..., None], (columns - left)[..., None]
    below, beside = np.minimum(top + 1, height - 1), np.minimum(left + 1, width - 1)
    upper = pixels[top, left] * (1 - right) + pixels[top, beside] * right
    lower = pixels[below, left] * (1 - right) + pixels[below, beside] * right
    return upper * (1 - down) + lower * down
