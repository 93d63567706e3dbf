"""Collages, screenshots and crops made of stamps and photographs, with the pictures that lie in each.

Used by duplicates_inside.py. Halves are those of quality.py, a hash of the name; nothing of one half is in the other.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path

import numpy as np
from duplicating.originals import encode_picture, photo_folders
from PIL import Image, ImageDraw
from quality import half_of, stamp_names

from imseek.media import decode

#: A part of a picture in pixels: left, top, right, bottom.
Box = tuple[float, float, float, float]

#: Stamps that collages and the like are made of, and stamps that are only there to be mistaken for those.
STAMPS, OTHERS = 40, 80
COLLAGES, SCREENSHOTS = 12, 24
#: Shares of the area that crops have.
CROPS = (0.6, 0.4, 0.25, 0.15)
#: Grey levels (standard deviation) without which a crop shows nothing.
SHOWS = 20.0
WORDS = "File Edit View Window Help Search Open Share Download Reply Forward Today Inbox Settings"
#: Of the photographs in scikit-image: those that are no textures, tests or masks.
PHOTOS = (
    "astronaut.png", "camera.png", "cell.png", "chelsea.png", "clock_motion.png", "coffee.png", "coins.png",
    "hubble_deep_field.jpg", "ihc.png", "moon.png", "motorcycle_left.png", "page.png", "retina.jpg", "rocket.jpg",
    "text.png", "logo.png", "brick.png", "grass.png", "gravel.png",
)  # fmt: skip


@dataclass(frozen=True)
class Placement:
    """The ``source_box`` of an original that a picture shows in its ``target_box``; both in pixels."""

    original: str
    source_box: Box
    target_box: Box


@dataclass(frozen=True)
class Item:
    """A picture; ``kind`` is original, collage, screenshot, or the share of a crop."""

    name: str
    kind: str
    data: bytes
    shows: tuple[Placement, ...]


def make_items(half: str, stamps: Path, most: int | None = None) -> list[Item]:
    """Make the pictures of a half; ``most`` limits originals, collages and screenshots, each by itself."""
    chance = np.random.default_rng("AB".index(half))
    pictures = dict(islice(_originals(half, stamps), most))
    others = [name for name in pictures if name.startswith("other/")]
    sources = {name: one for name, one in pictures.items() if name not in others}
    items = [Item(name, "original", encode_picture(one, "png"), (_whole(name, one),)) for name, one in pictures.items()]
    names = list(sources)
    for n in range(COLLAGES)[:most]:
        items.append(_collage(f"collage-{n:02d}", sources, chance, n))
    for n in range(SCREENSHOTS)[:most]:
        items.append(_screenshot(f"screenshot-{n:02d}", names[n * 7 % len(names)], sources, chance))
    for name, picture in sources.items():
        for share in CROPS:
            if (crop := _crop(name, picture, share, chance)) is not None:
                items.append(crop)
    return items


def relation(whole: Item, part: Item) -> str:
    """Return ``inside`` if the part, which shows one original alone, lies in the whole; ``cut`` if it does so with its
    edges cut off; ``near`` if little of it does, or the part makes up most of the whole; empty if none of these."""
    if whole is part or part.kind in ("collage", "screenshot"):
        return "near" if _share_something(whole, part) else ""
    (own,) = part.shows
    best = ""
    for placement in whole.shows:
        if placement.original != own.original or (common := _area(_common(placement.source_box, own.source_box))) <= 0:
            continue
        visible = common / _area(own.source_box)
        of_whole = common * _area(placement.target_box) / _area(placement.source_box) / _size(whole)
        if visible >= 0.97 and of_whole < 0.85:
            return "inside"
        cut = whole.kind == "collage" and part.kind == "original" and 0.55 <= visible < 0.97
        best = "cut" if cut else best or "near"
    return best


def _share_something(one: Item, other: Item) -> bool:
    return any(
        a.original == b.original and _area(_common(a.source_box, b.source_box)) > 0
        for a in one.shows
        for b in other.shows
    )


@lru_cache(maxsize=2048)
def _size(picture: Item) -> float:
    with Image.open(io.BytesIO(picture.data)) as image:
        return float(image.width * image.height)


def _originals(half: str, stamps: Path) -> Iterator[tuple[str, Image.Image]]:
    for name in (*PHOTOS, "china.jpg", "flower.jpg"):
        path = next(folder / name for folder in photo_folders() if (folder / name).exists())
        if half_of(name) == half:
            picture = Image.fromarray(decode(path.read_bytes()).pixels)
            picture.thumbnail((900, 900))
            yield name, picture
    names = [name for name in stamp_names(stamps) if half_of(name) == half]
    order = [names[i] for i in np.random.default_rng(7).permutation(len(names))]
    large = []
    for name in order:
        picture = Image.fromarray(decode((stamps / name).read_bytes()).pixels)
        if min(picture.size) >= 150:
            large.append((name, picture))
        if len(large) == STAMPS + OTHERS:
            break
    for n, (name, picture) in enumerate(large):
        yield name if n < STAMPS else f"other/{name}", picture


def _whole(name: str, picture: Image.Image) -> Placement:
    box = (0.0, 0.0, float(picture.width), float(picture.height))
    return Placement(name, box, box)


def _collage(name: str, sources: dict[str, Image.Image], chance: np.random.Generator, n: int) -> Item:
    columns, rows = ((2, 2), (3, 3), (2, 1), (3, 2))[n % 4]
    width, height = 1200, 1200 * rows // columns * 3 // 4
    gap = int(chance.choice([0, 8, 30]))
    ground = tuple(int(level) for level in chance.integers(0, 256, 3)) if n % 2 else (255, 255, 255)
    sheet = Image.new("RGB", (width, height), ground)
    shows = []
    names = chance.permutation(list(sources))[: columns * rows]
    fill = bool(n & 4)  # Pictures fill their cells, with the rest cut off; or they are whole.
    for at, original in enumerate(names.tolist()):
        x, y = at % columns * width // columns + gap // 2, at // columns * height // rows + gap // 2
        w, h = width // columns - gap, height // rows - gap
        picture = sources[original]
        of: Box = (0.0, 0.0, float(picture.width), float(picture.height))
        if fill:
            ratio = min(picture.width / w, picture.height / h)
            left, top = max(0.0, (picture.width - w * ratio) / 2), max(0.0, (picture.height - h * ratio) / 2)
            of = (left, top, picture.width - left, picture.height - top)
            size, place = (w, h), (x, y)
        else:
            ratio = max(picture.width / w, picture.height / h)
            size = max(1, round(picture.width / ratio)), max(1, round(picture.height / ratio))
            place = x + (w - size[0]) // 2, y + (h - size[1]) // 2
        sheet.paste(picture.resize(size, Image.Resampling.BICUBIC, box=of), place)
        shows.append(
            Placement(original, of, (*map(float, place), float(place[0] + size[0]), float(place[1] + size[1])))
        )
    return Item(name, "collage", encode_picture(sheet, "jpeg", 85), tuple(shows))


def _screenshot(name: str, original: str, sources: dict[str, Image.Image], chance: np.random.Generator) -> Item:
    """A window with the picture in it, bars, a list at its side, on a ground with lines of words."""
    width, height = (1280, 800) if chance.random() < 0.7 else (720, 1280)
    dark = chance.random() < 0.5
    ground, ink = ((30, 32, 38), (210, 210, 215)) if dark else ((240, 240, 243), (40, 40, 45))
    sheet = Image.new("RGB", (width, height), ground)
    draw = ImageDraw.Draw(sheet)
    bar, side = int(chance.integers(30, 90)), int(chance.integers(0, width // 4))
    for y in range(bar + 12, height - 20, 26):
        words = " ".join(chance.choice(WORDS.split(), 3 if side > 150 else 12).tolist())
        draw.text((10, y), words, fill=ink)
    draw.rectangle((0, 0, width, bar), fill=tuple(int(level) for level in chance.integers(60, 200, 3)))
    for x, word in enumerate(WORDS.split()[:6]):
        draw.text((16 + 90 * x, bar // 2 - 5), word, fill=(255, 255, 255))
    picture = sources[original]
    room = width - side - 20, height - bar - 40
    part = float(chance.uniform(0.55, 1.0))
    ratio = min(room[0] * part / picture.width, room[1] * part / picture.height)
    size = round(picture.width * ratio), round(picture.height * ratio)
    place = (
        side + 10 + int(chance.integers(0, room[0] - size[0] + 1)),
        bar + 10 + int(chance.integers(0, room[1] - size[1] + 1)),
    )
    draw.rectangle((place[0] - 6, place[1] - 6, place[0] + size[0] + 5, place[1] + size[1] + 5), fill=ground)
    sheet.paste(picture.resize(size, Image.Resampling.BICUBIC), place)
    at = (*map(float, place), float(place[0] + size[0]), float(place[1] + size[1]))
    return Item(
        name,
        "screenshot",
        encode_picture(sheet, "png"),
        (Placement(original, _whole(original, picture).source_box, at),),
    )


def _crop(name: str, picture: Image.Image, share: float, chance: np.random.Generator) -> Item | None:
    """A part of this share of the area, in about the picture's proportions, of another size, as JPEG."""
    for _ in range(20):
        stretch = float(chance.uniform(0.85, 1.18))
        w = min(picture.width, round(picture.width * share**0.5 * stretch))
        h = min(picture.height, round(picture.height * share**0.5 / stretch))
        left, top = (
            int(chance.integers(0, picture.width - w + 1)),
            int(chance.integers(0, picture.height - h + 1)),
        )
        part = picture.crop((left, top, left + w, top + h))
        if np.asarray(part.convert("L"), np.float32).std() >= SHOWS:
            scale = float(chance.uniform(0.7, 1.4))
            size = max(48, round(w * scale)), max(48, round(h * scale))
            of = (float(left), float(top), float(left + w), float(top + h))
            data = encode_picture(part.resize(size, Image.Resampling.BICUBIC), "jpeg", 80)
            return Item(
                f"crop-{share:g}/{name}",
                f"crop {share:g}",
                data,
                (Placement(name, of, (0.0, 0.0, float(size[0]), float(size[1]))),),
            )
    return None


def _common(a: Box, b: Box) -> Box:
    return max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])


def _area(box: Box) -> float:
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])
