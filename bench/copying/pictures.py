"""The originals of a half, by kind, and the pictures that are easily mistaken for them.

Photographs are quarters of those in scikit-image and scikit-learn, stamps are Tux Paint's, and the rest is drawn here:
clocks, road signs, playing cards, words, pages, charts, and photographs with an object pasted in. Pictures drawn by one
rule belong to a ``series``: clocks that differ only in the time are different pictures.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from duplicating.originals import chart, page, photo_folders
from PIL import Image, ImageDraw, ImageFont
from quality import half_of, stamp_names

from imseek.media import decode

#: Pictures with a shorter side show too little to be recognised after an edit.
LEAST_SIDE = 100
#: Photographs whose shorter side is at least this long give four pictures.
QUARTERED = 400
#: Drawn pictures of each series.
DRAWN = 8
#: Accents as lines, from the middle of the letter's upper edge: grave, acute, circumflex.
ACCENTS = {
    "\N{COMBINING GRAVE ACCENT}": ((-8, -14), (5, 0)),
    "\N{COMBINING ACUTE ACCENT}": ((8, -14), (-5, 0)),
    "\N{COMBINING CIRCUMFLEX ACCENT}": ((-11, 0), (0, -13), (11, 0)),
}


@dataclass(frozen=True)
class Original:
    """``kind`` is photo, stamp or drawn; pictures of one ``series`` are alike and not the same. ``holds`` names the
    originals that it was put together from."""

    name: str
    kind: str
    series: str
    picture: Image.Image
    holds: tuple[str, ...] = ()


def originals(half: str, stamps: Path) -> Iterator[Original]:
    """Yield the pictures of a half in a fixed order; halves share no photograph, stamp or drawing."""
    photos = list(_photos(half))
    objects = [one for one in _stamps(half, stamps) if min(one.picture.size) >= LEAST_SIDE]
    yield from photos
    yield from objects
    offset = 0 if half == "A" else 1000
    for layout in range(3):
        for n in range(DRAWN):
            seed = offset + n
            yield Original(f"page {layout} {seed}", "drawn", f"page {layout}", page(layout, seed))
            yield Original(f"chart {layout} {seed}", "drawn", f"chart {layout}", chart(layout, seed))
            yield Original(f"clock {layout} {seed}", "drawn", f"clock {layout}", _clock(layout, seed))
            yield Original(f"sign {layout} {seed}", "drawn", f"sign {layout}", _sign(layout, seed))
            yield Original(f"card {layout} {seed}", "drawn", f"card {layout}", _card(layout, seed))
            yield Original(f"word {layout} {seed}", "drawn", f"word {layout}", _word(layout, seed))
    grounds = [one for one in photos if min(one.picture.size) >= LEAST_SIDE]
    for layout in range(6):
        ground = grounds[layout * 5 % len(grounds)]
        for n in range(DRAWN):
            yield _paste_object(ground, objects, layout, offset + n)


def _photos(half: str) -> Iterator[Original]:
    files = sorted(path for folder in photo_folders() for path in folder.iterdir() if path.suffix in (".png", ".jpg"))
    for path in files:
        # The two of the stereo pair are shots of one scene.
        name = path.stem.replace("_right", "_left").replace("_RGB", "_GRAY")
        if half_of(name) != half or path.stem in ("chessboard_RGB", "motorcycle_right"):
            continue
        picture = Image.fromarray(decode(path.read_bytes()).pixels).convert("RGB")
        if np.asarray(picture).std() < 8 or min(picture.size) < LEAST_SIDE:
            continue
        if min(picture.size) < QUARTERED:
            yield Original(path.stem, "photo", path.stem, picture)
            continue
        picture.thumbnail((1400, 1400))
        width, height = picture.width // 2, picture.height // 2
        for n in range(4):
            left, top = n % 2 * width, n // 2 * height
            quarter = picture.crop((left, top, left + width, top + height))
            if np.asarray(quarter).std() >= 8:
                yield Original(f"{path.stem} {n}", "photo", path.stem, quarter)


def _stamps(half: str, folder: Path) -> Iterator[Original]:
    seen: set[bytes] = set()
    for name in stamp_names(folder):
        if half_of(name) != half or name.startswith("symbols/") or "_mirror" in name:
            continue
        pixels = decode((folder / name).read_bytes()).pixels
        if min(pixels.shape[:2]) >= LEAST_SIDE and pixels.std() >= 8 and (mark := pixels.tobytes()) not in seen:
            seen.add(mark)
            yield Original(name, "stamp", name.rpartition("/")[0], Image.fromarray(pixels).convert("RGB"))


def _clock(layout: int, seed: int) -> Image.Image:
    rng = np.random.default_rng([layout, seed, 2])
    side = (320, 400, 360)[layout]
    picture = Image.new("RGB", (side, side), ("white", "#e8dcc0", "#223")[layout])
    draw, ink = ImageDraw.Draw(picture), ("black", "#420", "#eee")[layout]
    centre, radius = side / 2, side * 0.45
    draw.ellipse((side * 0.05, side * 0.05, side * 0.95, side * 0.95), outline=ink, width=4)
    font = ImageFont.load_default(side // 14)
    for hour in range(1, 13):
        angle = hour * np.pi / 6
        x, y = centre + 0.82 * radius * np.sin(angle), centre - 0.82 * radius * np.cos(angle)
        if layout == 1:
            draw.ellipse((x - 4, y - 4, x + 4, y + 4), fill=ink)
        else:
            draw.text((x, y), str(hour), font=font, fill=ink, anchor="mm")
    minutes = int(rng.integers(144)) * 5
    for angle, length, width in ((minutes * np.pi / 360, 0.5, 8), (minutes % 60 * np.pi / 30, 0.75, 4)):
        tip = centre + length * radius * np.sin(angle), centre - length * radius * np.cos(angle)
        draw.line((centre, centre, *tip), fill=ink, width=width)
    return picture


def _sign(layout: int, seed: int) -> Image.Image:
    """A road sign; signs of one layout differ only in the symbol."""
    rng = np.random.default_rng([layout, seed, 3])
    picture = Image.new("RGB", (360, 340), ("#9cd", "#8b8", "white")[layout])
    draw = ImageDraw.Draw(picture)
    if layout == 0:
        draw.polygon(((180, 25), (340, 305), (20, 305)), fill="#c22")
        draw.polygon(((180, 75), (298, 282), (62, 282)), fill="white")
    elif layout == 1:
        draw.ellipse((30, 20, 330, 320), fill="#36c", outline="white", width=6)
    else:
        draw.rounded_rectangle((30, 40, 330, 300), 24, fill="#fc0", outline="black", width=6)
    ink = ("black", "white", "black")[layout]
    centre = np.array((180, 215 if layout == 0 else 170))
    points = centre + rng.uniform(-55, 55, (int(rng.integers(5, 9)), 2))
    draw.polygon([tuple(point) for point in points.tolist()], fill=ink)
    return picture


def _card(layout: int, seed: int) -> Image.Image:
    """A playing card: no two have the same rank and suit."""
    number = layout * DRAWN + seed % 1000 + (24 if seed >= 1000 else 0)
    rank = ("2", "3", "4", "5", "6", "7", "8", "9", "10", "J", "Q", "K")[number // 4]
    suit = number % 4
    picture = Image.new("RGB", (250, 350), ("white", "#fdf6e3", "#eef")[layout])
    draw = ImageDraw.Draw(picture)
    draw.rounded_rectangle((6, 6, 243, 343), 18, outline="black", width=3)
    ink = "#c22" if suit < 2 else "#111"

    def symbol(x: float, y: float, r: float) -> None:
        if suit == 0:
            draw.polygon(((x, y - r), (x + 0.7 * r, y), (x, y + r), (x - 0.7 * r, y)), fill=ink)
        elif suit == 1:
            draw.polygon(((x - r, y - 0.2 * r), (x + r, y - 0.2 * r), (x, y + r)), fill=ink)
            draw.ellipse((x - r, y - r, x, y + 0.1 * r), fill=ink)
            draw.ellipse((x, y - r, x + r, y + 0.1 * r), fill=ink)
        elif suit == 2:
            draw.polygon(((x - r, y + 0.3 * r), (x + r, y + 0.3 * r), (x, y - r)), fill=ink)
            draw.rectangle((x - 0.15 * r, y + 0.3 * r, x + 0.15 * r, y + r), fill=ink)
        else:
            for dx, dy in ((0, -0.5), (-0.5, 0.2), (0.5, 0.2)):
                draw.ellipse((x + (dx - 0.45) * r, y + (dy - 0.45) * r, x + (dx + 0.45) * r, y + (dy + 0.45) * r), ink)
            draw.rectangle((x - 0.12 * r, y, x + 0.12 * r, y + r), fill=ink)

    draw.text((22, 14), rank, font=ImageFont.load_default(34), fill=ink)
    symbol(34, 72, 14)
    count = int(rank) if rank.isdigit() else 1
    for n in range(count):
        column = n % 2 if count > 1 else 0.5
        symbol(85 + 80 * column, 60 + 230 * (n // 2 + 0.5) / max(1, (count + 1) // 2), 90 if count == 1 else 20)
    return picture


def _word(layout: int, seed: int) -> Image.Image:
    """A word on a sheet; the words of one layout differ in a letter or an accent."""
    spellings = (
        ("resume", "résumé", "resumé", "résume", "resune", "nesume", "resuwe", "rezume"),
        ("bod", "dob", "bob", "dod", "bad", "pod", "boq", "qop"),
        ("Ete", "Été", "Etê", "Éte", "Ète", "Etè", "Èté", "Ête"),
    )
    words = tuple(word.upper() for word in spellings[layout]) if seed >= 1000 else spellings[layout]
    picture = Image.new("RGB", (420, 200), ("white", "#fed", "#135")[layout])
    ink = ("black", "#c22", "white")[layout]
    draw = ImageDraw.Draw(picture)
    _write_accented(draw, words[seed % 1000], ink)
    return picture


def _write_accented(draw: ImageDraw.ImageDraw, word: str, ink: str) -> None:
    """Write a word in the middle of a sheet; its accents are lines, since Pillow's own font has none."""
    font = ImageFont.load_default(84)
    letters = unicodedata.normalize("NFD", word)
    plain = "".join(letter for letter in letters if letter not in ACCENTS)
    left, top, *_ = draw.textbbox((210, 100), plain, font=font, anchor="mm")
    base = top - font.getbbox(plain, anchor="ls")[1]
    draw.text((210, 100), plain, font=font, fill=ink, anchor="mm")
    prefix = ""
    for letter in letters:
        if (line := ACCENTS.get(letter)) is None:
            prefix += letter
            continue
        middle = left + font.getlength(prefix) - font.getlength(prefix[-1]) / 2
        above = base + font.getbbox(prefix[-1], anchor="ls")[1] - 8
        draw.line([(middle + x, above + y) for x, y in line], fill=ink, width=6, joint="curve")


def _paste_object(ground: Original, objects: list[Original], layout: int, seed: int) -> Original:
    """A photograph with a stamp pasted in, at one place for all of the layout, 15 to 35 % of the shorter side wide."""
    rng = np.random.default_rng([layout, seed, 5])
    picture = ground.picture.copy()
    place = np.random.default_rng([layout, 6])
    side = round(place.uniform(0.15, 0.35) * min(picture.size))
    pasted = objects[int(rng.integers(len(objects)))]
    patch = pasted.picture.resize((side, side), Image.Resampling.BICUBIC)
    shape = Image.fromarray((np.asarray(patch.convert("L")) < 245).astype(np.uint8) * 255)
    left, top = (int(place.uniform(0.1, 0.9) * (length - side)) for length in picture.size)
    picture.paste(patch, (left, top), shape)
    return Original(f"pasted {layout} {seed}", "drawn", f"pasted {layout}", picture, (ground.name, pasted.name))
