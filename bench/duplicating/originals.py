"""The pictures of a half: stamps, photographs, pages of text, charts, and blank ones."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from quality import half_of, stamp_names

from imseek.media import decode

#: Stamps with a shorter longer side get no copies: a quarter of them says nothing.
LEAST_SIDE = 100
#: Stamps of a half that get copies; the others are siblings to tell apart from them.
COPIED_STAMPS = 100
PAGES = 12
_TEXT = (
    "harbour window letter garden bridge silver morning station paper winter market river engine yellow basket "
    "island candle summer pocket village mirror orange ticket forest copper bottle ladder thunder carpet violin "
    "meadow pepper rocket saddle temple tunnel walnut anchor button castle desert falcon guitar hammer jacket kettle"
)
WORDS = _TEXT.split()


@dataclass(frozen=True)
class Original:
    """``family`` is photo, stamp, page, chart or blank; ``copied`` says whether to make copies of it."""

    name: str
    family: str
    picture: Image.Image
    copied: bool


def originals(half: str, stamps: Path) -> Iterator[Original]:
    yield from _photos(half)
    yield from _stamps(half, stamps)
    for n in range(PAGES):
        seed = n + (1000 if half == "B" else 0)
        yield Original(f"page-{n:02d}", "page", page(n % 3, seed), True)
        yield Original(f"chart-{n:02d}", "chart", chart(n % 3, seed), True)
    yield from _blanks()


def photo_folders() -> tuple[Path, Path]:
    """The folders with the photographs of scikit-image and scikit-learn."""
    import skimage
    import sklearn

    return Path(skimage.__file__).parent / "data", Path(sklearn.__file__).parent / "datasets" / "images"


def _photos(half: str) -> Iterator[Original]:
    files = sorted(path for folder in photo_folders() for path in folder.iterdir() if path.suffix in (".png", ".jpg"))
    for path in files:
        # The two of the stereo pair are shots of one scene, and stay in one half.
        name = path.stem.replace("_right", "_left").replace("_RGB", "_GRAY")
        if half_of(name) == half and path.stem != "chessboard_RGB":
            yield Original(path.stem, "photo", Image.fromarray(decode(path.read_bytes()).pixels), True)


def _stamps(half: str, folder: Path) -> Iterator[Original]:
    names = [name for name in stamp_names(folder) if half_of(name) == half]
    pictures = {name: decode((folder / name).read_bytes()).pixels for name in names}
    large = [name for name in names if max(pictures[name].shape) >= LEAST_SIDE]
    selection = {large[i] for i in np.random.default_rng(7).permutation(len(large))[:COPIED_STAMPS]}
    seen: set[bytes] = set()
    for name, pixels in pictures.items():
        mark = hashlib.sha256(pixels.tobytes()).digest()
        if mark not in seen:  # Two stamps have the same pixels.
            seen.add(mark)
            flat = name.removesuffix(".png").replace("/", "_")
            if pixels.std() < 8:  # A black I that fills its picture, and the like: nothing to recognise.
                yield Original(flat, "blank", Image.fromarray(pixels), False)
            else:
                yield Original(flat, "stamp", Image.fromarray(pixels), name in selection)


def page(layout: int, seed: int) -> Image.Image:
    """A screenful of text; pages of one layout have the same heading, lines of the same number, other words."""
    rng = np.random.default_rng([layout, seed])
    width, height = ((900, 700), (700, 900), (1000, 620))[layout]
    picture = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(picture)
    draw.rectangle((0, 0, width, 44), fill=("#234", "#eee", "#735")[layout])
    draw.text(
        (20, 8),
        "Messages of today",
        font=ImageFont.load_default(24),
        fill=("white", "black", "white")[layout],
    )
    font = ImageFont.load_default(17)
    for top in range(64, height - 30, 27):
        if layout == 0 and (top // 27) % 7 == 0:
            continue
        draw.text((24, top), " ".join(rng.choice(WORDS, (12, 9, 13)[layout]).tolist()), font=font, fill="#222")
    return picture


def chart(layout: int, seed: int) -> Image.Image:
    """Lines on white; charts of one layout have the same axes and labels, and other curves or boxes."""
    rng = np.random.default_rng([layout, seed, 1])
    width, height = 640, 480
    picture = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(picture)
    font = ImageFont.load_default(15)
    if layout < 2:
        draw.rectangle((60, 30, width - 20, height - 50), outline="black", width=2)
        for n in range(6):
            draw.line((60, 30 + n * 80, width - 20, 30 + n * 80), fill="#ccc")
            draw.text((20, 22 + n * 80), str(100 - 20 * n), font=font, fill="black")
            draw.text((60 + n * 110, height - 40), str(2015 + n), font=font, fill="black")
    if layout == 0:
        for colour in ("#c33", "#36c", "#383"):
            steps = 230 + np.cumsum(rng.normal(0, 22, 29))
            points = [(60 + 20 * i, float(np.clip(y, 34, 426))) for i, y in enumerate(steps)]
            draw.line(points, fill=colour, width=3)
    elif layout == 1:
        for n in range(12):
            top = float(rng.uniform(60, 400))
            draw.rectangle((75 + n * 45, top, 105 + n * 45, 429), fill="#58a")
    else:
        centres = [(110 + 210 * (n % 3), 80 + 150 * (n // 3)) for n in range(9)]
        for _ in range(10):
            i, j = rng.choice(9, 2, replace=False)
            draw.line((*centres[i], *centres[j]), fill="black", width=2)
        for x, y in centres:
            draw.rectangle((x - 60, y - 25, x + 60, y + 25), fill="white", outline="black", width=2)
            draw.text((x - 40, y - 9), str(rng.choice(WORDS)), font=font, fill="black")
    return picture


def _blanks() -> Iterator[Original]:
    for name, shade in (("white", 255), ("light", 240), ("grey", 128), ("black", 0)):
        yield Original(f"blank-{name}", "blank", Image.new("RGB", (400, 300), (shade,) * 3), False)
    scanned = np.random.default_rng(3).normal(247, 2, (300, 400, 1)).clip(0, 255).astype(np.uint8)
    yield Original("blank-scanned", "blank", Image.fromarray(np.repeat(scanned, 3, axis=2)), False)
    slope = np.linspace(200, 255, 300).astype(np.uint8)[:, None, None]
    yield Original("blank-slope", "blank", Image.fromarray(np.broadcast_to(slope, (300, 400, 3)).copy()), False)
    across = np.linspace(255, 190, 400).astype(np.uint8)[None, :, None]
    yield Original("blank-across", "blank", Image.fromarray(np.broadcast_to(across, (300, 400, 3)).copy()), False)


def encode_picture(picture: Image.Image, form: str, quality: int = 90) -> bytes:
    buffer = io.BytesIO()
    if form == "png":
        picture.save(buffer, "PNG", compress_level=1)
    else:
        picture.save(buffer, form.upper(), quality=quality)
    return buffer.getvalue()
