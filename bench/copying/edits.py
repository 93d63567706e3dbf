"""Edits that people make to pictures before they pass them on: each alone, and several one after the other."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont, ImageOps

#: Changes a picture; the list has pictures outside the collection, to lay under or beside it.
Change = Callable[[Image.Image, np.random.Generator, Sequence[Image.Image]], Image.Image]

#: Words of the overlays, and colours of overlays, frames and grounds.
LINES = ("SUMMER SALE 50 %", "when you see it", "LIKE AND SHARE", "photo: A. Miller", "Monday again", "NEW!", "so true")
COLOURS = ("white", "black", "#c33", "#36c", "#fc0", "#383", "#864")
#: Longest side of the edited picture, in pixels.
LARGEST = 900


@dataclass(frozen=True)
class Edit:
    """``held_out`` edits are made in half B only, so that nothing was chosen with them in sight."""

    name: str
    change: Change
    held_out: bool = False


def _crop(least: float, most: float) -> Change:
    """Keep ``least`` to ``most`` of the area, at a random place, with the sides' ratio changed by up to a third."""

    def change(picture: Image.Image, rng: np.random.Generator, _: Sequence[Image.Image]) -> Image.Image:
        share, ratio = rng.uniform(least, most), np.exp(rng.uniform(-0.3, 0.3))
        width = round(min(1, np.sqrt(share * ratio)) * picture.width)
        height = round(min(1, np.sqrt(share / ratio)) * picture.height)
        left = int(rng.integers(picture.width - width + 1))
        top = int(rng.integers(picture.height - height + 1))
        return picture.crop((left, top, left + max(width, 8), top + max(height, 8)))

    return change


def _overlay_text(picture: Image.Image, rng: np.random.Generator, _: Sequence[Image.Image]) -> Image.Image:
    draw = ImageDraw.Draw(picture)
    for line in rng.choice(LINES, int(rng.integers(1, 4)), replace=False).tolist():
        size = max(9, round(picture.width * rng.uniform(0.05, 0.12)))
        place = rng.uniform(0, 0.5) * picture.width, rng.uniform(0, 0.85) * picture.height
        fill, stroke = rng.choice(COLOURS, 2, replace=False).tolist()
        draw.text(place, line, font=ImageFont.load_default(size), fill=fill, stroke_width=2, stroke_fill=stroke)
    return picture


def _overlay_emoji(picture: Image.Image, rng: np.random.Generator, _: Sequence[Image.Image]) -> Image.Image:
    """Draw one to four faces and hearts, each as wide as 10 to 30 % of the shorter side."""
    draw = ImageDraw.Draw(picture)
    for _ in range(int(rng.integers(1, 5))):
        size = rng.uniform(0.1, 0.3) * min(picture.size)
        x, y = rng.uniform(0, 1, 2) * (np.array(picture.size) - size)
        if rng.random() < 0.5:
            draw.ellipse((x, y, x + size, y + size), fill="#fc3", outline="#a60", width=max(1, int(size / 30)))
            for eye in (0.3, 0.6):
                draw.ellipse((x + eye * size, y + 0.3 * size, x + (eye + 0.1) * size, y + 0.45 * size), fill="#530")
            draw.arc((x + 0.25 * size, y + 0.35 * size, x + 0.75 * size, y + 0.8 * size), 20, 160, "#530", 3)
        else:
            half = size / 2
            draw.ellipse((x, y, x + half, y + half), fill="#e24")
            draw.ellipse((x + half, y, x + size, y + half), fill="#e24")
            draw.polygon(
                ((x + size * 0.04, y + size * 0.38), (x + size * 0.96, y + size * 0.38), (x + half, y + size)),
                fill="#e24",
            )
    return picture


def _meme(picture: Image.Image, rng: np.random.Generator, _: Sequence[Image.Image]) -> Image.Image:
    """Add bars with a line of text above, and perhaps below."""
    bar, ground = round(picture.height * rng.uniform(0.12, 0.25)), str(rng.choice(("white", "black")))
    below = bar if rng.random() < 0.5 else 0
    framed = Image.new("RGB", (picture.width, picture.height + bar + below), ground)
    framed.paste(picture, (0, bar))
    draw, font = ImageDraw.Draw(framed), ImageFont.load_default(max(9, bar // 3))
    ink = "black" if ground == "white" else "white"
    draw.text((picture.width * 0.05, bar * 0.3), str(rng.choice(LINES)), font=font, fill=ink)
    if below:
        draw.text((picture.width * 0.05, framed.height - bar * 0.7), str(rng.choice(LINES)), font=font, fill=ink)
    return framed


def _paste_onto(picture: Image.Image, rng: np.random.Generator, others: Sequence[Image.Image]) -> Image.Image:
    """Lay the picture over another one, so that it covers 20 to 60 % of that."""
    ground = others[int(rng.integers(len(others)))].convert("RGB")
    ground = ImageOps.fit(ground, (LARGEST, round(LARGEST * rng.uniform(0.6, 1))))
    share = np.sqrt(rng.uniform(0.2, 0.6))
    small = ImageOps.contain(picture, (round(ground.width * share), round(ground.height * share)))
    left = int(rng.integers(ground.width - small.width + 1))
    ground.paste(small, (left, int(rng.integers(ground.height - small.height + 1))))
    return ground


def _collage(picture: Image.Image, rng: np.random.Generator, others: Sequence[Image.Image]) -> Image.Image:
    """Put the picture beside three others, each whole in its cell."""
    sheet = Image.new("RGB", (LARGEST, LARGEST * 3 // 4), str(rng.choice(COLOURS)))
    cells = [picture, *(others[int(i)].convert("RGB") for i in rng.choice(len(others), 3, replace=len(others) < 3))]
    for n, cell in zip(rng.permutation(4).tolist(), cells, strict=True):
        small = ImageOps.contain(cell, (sheet.width // 2 - 10, sheet.height // 2 - 10))
        sheet.paste(small, (5 + n % 2 * sheet.width // 2, 5 + n // 2 * sheet.height // 2))
    return sheet


def _screenshot(picture: Image.Image, rng: np.random.Generator, _: Sequence[Image.Image]) -> Image.Image:
    """Frame the picture with the interface of a telephone's application."""
    width = 540
    content = picture.resize((width, max(8, round(picture.height * width / picture.width))), Image.Resampling.BICUBIC)
    dark = rng.random() < 0.5
    ground, ink = ("#111", "#eee") if dark else ("#fff", "#222")
    head, foot = int(rng.integers(60, 160)), int(rng.integers(80, 260))
    screen = Image.new("RGB", (width, content.height + head + foot), ground)
    screen.paste(content, (0, head))
    draw = ImageDraw.Draw(screen)
    draw.text((14, 8), "09:41", font=ImageFont.load_default(16), fill=ink)
    draw.ellipse((14, head - 36, 42, head - 8), fill=str(rng.choice(COLOURS)))
    draw.text((52, head - 34), "anna.travels", font=ImageFont.load_default(18), fill=ink)
    for n in range(4):
        draw.rectangle((14 + 44 * n, head + content.height + 10, 42 + 44 * n, head + content.height + 36), outline=ink)
    for n, line in enumerate(rng.choice(LINES, 2, replace=False).tolist()):
        draw.text((14, head + content.height + 44 + 24 * n), line, font=ImageFont.load_default(16), fill=ink)
    return screen


def _rotate(picture: Image.Image, rng: np.random.Generator, _: Sequence[Image.Image]) -> Image.Image:
    """Turn by any angle; the corners have one colour."""
    angle, ground = rng.uniform(5, 355), str(rng.choice(COLOURS))
    return picture.rotate(angle, Image.Resampling.BICUBIC, expand=True, fillcolor=ground)


def _quarter_turn(picture: Image.Image, rng: np.random.Generator, _: Sequence[Image.Image]) -> Image.Image:
    turns = (Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_180, Image.Transpose.ROTATE_270)
    return picture.transpose(turns[int(rng.integers(3))])


def _perspective(picture: Image.Image, rng: np.random.Generator, _: Sequence[Image.Image]) -> Image.Image:
    """Move each corner inwards by up to 15 % of its side, as of a picture on a wall."""
    width, height = picture.size
    shifts = rng.uniform(0, 0.15, (4, 2)) * (width, height)
    signs = np.array(((1, 1), (-1, 1), (-1, -1), (1, -1)))
    corners = np.array(((0, 0), (width, 0), (width, height), (0, height)), float)
    source = corners + shifts * signs
    rows, goals = [], []
    for (x, y), (u, v) in zip(source, corners, strict=True):  # Where a pixel of the result comes from.
        rows += [(x, y, 1, 0, 0, 0, -u * x, -u * y), (0, 0, 0, x, y, 1, -v * x, -v * y)]
        goals += [u, v]
    terms = np.linalg.solve(np.array(rows), np.array(goals)).tolist()
    ground = str(rng.choice(COLOURS))
    return picture.transform(
        picture.size, Image.Transform.PERSPECTIVE, terms, Image.Resampling.BICUBIC, fillcolor=ground
    )


def _blur(picture: Image.Image, rng: np.random.Generator, _: Sequence[Image.Image]) -> Image.Image:
    return picture.filter(ImageFilter.GaussianBlur(max(picture.size) * rng.uniform(0.003, 0.012)))


def _jpeg(picture: Image.Image, rng: np.random.Generator, _: Sequence[Image.Image]) -> Image.Image:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=int(rng.integers(5, 26)))
    return Image.open(buffer).convert("RGB")


def _colour(picture: Image.Image, rng: np.random.Generator, _: Sequence[Image.Image]) -> Image.Image:
    for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        picture = enhance(picture).enhance(rng.uniform(0.5, 1.6))
    return picture


def _hue(picture: Image.Image, rng: np.random.Generator, _: Sequence[Image.Image]) -> Image.Image:
    hue, saturation, value = picture.convert("HSV").split()
    shift = int(rng.integers(40, 216))
    shifted = hue.point(lambda level: (level + shift) % 256)
    return Image.merge("HSV", (shifted, saturation, value)).convert("RGB")


def _mirror(picture: Image.Image, _rng: np.random.Generator, _: Sequence[Image.Image]) -> Image.Image:
    return ImageOps.mirror(picture)


def _noise(picture: Image.Image, rng: np.random.Generator, _: Sequence[Image.Image]) -> Image.Image:
    pixels = np.asarray(picture, np.float32) + rng.normal(0, rng.uniform(8, 25), (picture.height, picture.width, 1))
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def _shrink(picture: Image.Image, rng: np.random.Generator, _: Sequence[Image.Image]) -> Image.Image:
    factor = rng.uniform(0.25, 0.6)
    return picture.resize(
        (max(16, round(picture.width * factor)), max(16, round(picture.height * factor))), Image.Resampling.BICUBIC
    )


EDITS: tuple[Edit, ...] = (
    Edit("crop to 30–60 %", _crop(0.3, 0.6)),
    Edit("crop to 10–30 %", _crop(0.1, 0.3), held_out=True),
    Edit("text over it", _overlay_text),
    Edit("emoji over it", _overlay_emoji),
    Edit("meme bars", _meme),
    Edit("onto another picture", _paste_onto),
    Edit("collage", _collage, held_out=True),
    Edit("screenshot", _screenshot, held_out=True),
    Edit("any angle", _rotate),
    Edit("quarter turn", _quarter_turn),
    Edit("perspective", _perspective, held_out=True),
    Edit("blur", _blur),
    Edit("strong JPEG", _jpeg),
    Edit("colour", _colour),
    Edit("hue", _hue, held_out=True),
    Edit("mirror", _mirror),
    Edit("noise", _noise),
    Edit("smaller", _shrink),
)
#: A chain has at most one of these: after two, nothing recognisable is left.
SEVERE = frozenset(("crop to 30–60 %", "crop to 10–30 %", "onto another picture", "collage", "screenshot", "any angle"))
#: Chances of one, two and three edits.
LENGTHS = (0.4, 0.35, 0.25)


def edit(
    picture: Image.Image, half: str, rng: np.random.Generator, others: Sequence[Image.Image]
) -> tuple[Image.Image, tuple[str, ...]]:
    """Change a picture by a chain of one to three edits; returns it with their names in order."""
    choices = [one for one in EDITS if half == "B" or not one.held_out]
    length = 1 + int(rng.choice(3, p=LENGTHS))
    chain: list[Edit] = []
    for n in rng.permutation(len(choices)).tolist():
        if choices[n].name in SEVERE and any(one.name in SEVERE for one in chain):
            continue
        chain.append(choices[n])
        if len(chain) == length:
            break
    changed = picture.convert("RGB").copy()
    for one in chain:
        changed = one.change(changed, rng, others).convert("RGB")
    changed.thumbnail((LARGEST, LARGEST))
    return changed, tuple(one.name for one in chain)
