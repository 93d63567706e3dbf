"""Small synthetic pictures as files, by the million, two in a hundred of which are altered copies of others.

A picture is a sum of random low-frequency waves in colour, whose amplitudes fall with the frequency as those of
photographs do, with fine texture, and a few shapes with edges. Perceptual hashes of such pictures differ in 31.5 bits
on average, with a standard deviation of 4.0; those of crops of nine photographs (of different ones) in 31.5 and 4.1.

A picture depends on its number and the seed only; which ones are copies, on the number of pictures too.
"""

from __future__ import annotations

import hashlib
import io
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import Final

import big
import numpy as np
import numpy.typing as npt
import vectors
from PIL import Image, ImageDraw, ImageEnhance
from threadpoolctl import threadpool_limits

from imseek.data.user_files.file_stat import RACY_NS
from imseek.media import perceptual_hash

#: Changes a picture before it is saved again.
Change = Callable[[Image.Image, np.random.Generator], Image.Image]

#: Pixels of a side.
SIDE: Final = 96
#: Share of the pictures that are copies.
SHARE: Final = 0.02
#: The least and the greatest cosine of the vectors of a copy and its original.
COSINES: Final = (0.9, 0.99)
#: Qualities of JPEG: of pictures, the least and the greatest of copies, and those of the way "quality".
_QUALITY, _QUALITIES, _LOW_QUALITIES = 90, (70, 90), (40, 70)
#: Pictures of a folder, which is written at once, and pictures in memory at the same time.
_FOLDER, _TOGETHER = 1000, 50
#: Frequencies of the waves along each side, from 0.
_WAVES: Final = 12
_TILE: Final = 1024
#: The most shapes in a picture, and the directions of a quadrangle's corners.
_SHAPES: Final = 5
_DIRECTIONS: Final = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])
_PICTURES, _COPIES, _CHANGES = 21, 22, 23  # Streams of random numbers of one seed, beside those of vectors.

#: A copy and its original by their numbers; ``way``, how it was made; and the cosine of their vectors.
COPY = np.dtype([("copy", np.int64), ("original", np.int64), ("way", "U8"), ("cosine", np.float32)])


def _scale(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    factor = rng.uniform(0.6, 0.9) if rng.random() < 0.7 else rng.uniform(1.2, 1.6)
    size = round(picture.width * factor), round(picture.height * factor)
    return picture.resize(size, Image.Resampling.BICUBIC)


def _add_object(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Draw a disc, as wide as an eighth to a fifth of the picture, in a colour unlike what is there."""
    edited = picture.copy()
    size = rng.uniform(0.125, 0.2) * picture.width
    left, top = rng.uniform(0, 1, 2) * (picture.width - size)
    below = picture.getpixel((int(left + size / 2), int(top + size / 2)))
    assert isinstance(below, tuple)
    colour = tuple((level + 128) % 256 for level in below)
    ImageDraw.Draw(edited).ellipse((left, top, left + size, top + size), fill=colour, outline="black")
    return edited


_TURNS = (Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_180, Image.Transpose.ROTATE_270)
#: How copies are made, with the share of each. All are saved again; the first in a lower quality, and nothing else.
WAYS: dict[str, tuple[float, Change]] = {
    "quality": (0.30, lambda picture, _: picture),
    "scale": (0.25, _scale),
    "light": (0.20, lambda picture, rng: ImageEnhance.Brightness(picture).enhance(rng.uniform(1.05, 1.2))),
    "mirror": (0.10, lambda picture, _: picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)),
    "turn": (0.10, lambda picture, rng: picture.transpose(_TURNS[int(rng.integers(3))])),
    "object": (0.05, _add_object),
}


def choose_copies(count: int, seed: int = 0) -> npt.NDArray[np.void]:
    """Return (m,) of COPY: which of ``count`` pictures are copies of which. No picture occurs twice."""
    rng = np.random.default_rng([seed, _COPIES, count])
    copies = np.zeros(round(SHARE * count), COPY)
    ends = rng.permutation(count)[: 2 * len(copies)]
    copies["copy"], copies["original"] = ends[: len(copies)], ends[len(copies) :]
    copies["way"] = rng.choice(list(WAYS), len(copies), p=[share for share, _ in WAYS.values()])
    copies["cosine"] = rng.uniform(*COSINES, len(copies))
    return np.sort(copies, order="copy")


def live_rows(copies: npt.NDArray[np.void]) -> big.Rows:
    """Return hard vectors of the pictures, where those of ``copies`` (m,) of COPY are near their originals'."""
    near = vectors.copies_of(copies["copy"], copies["original"], copies["cosine"])
    return partial(vectors.rows, copies=near)


def write(root: Path, count: int, copies: npt.NDArray[np.void], seed: int = 0) -> npt.NDArray[np.void]:
    """Write the files of ``count`` pictures below ``root``, in processes; return (count,) of FILE."""
    records = np.zeros(count, big.FILE)
    is_copy = np.zeros(count, np.bool_)
    is_copy[copies["copy"]] = True
    folders = range(-(-count // _FOLDER))
    originals = [np.flatnonzero(~is_copy[_FOLDER * folder : _FOLDER * (folder + 1)]) for folder in folders]
    parts = [copies[at : at + _FOLDER] for at in range(0, len(copies), _FOLDER)]
    with ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn"), _use_one_thread) as pool:
        writing = pool.map(write_folder, repeat(root), folders, originals, repeat(seed))
        for folder, places, made in zip(folders, originals, writing, strict=True):
            records[_FOLDER * folder + places] = made
            print(f"\r{_FOLDER * (folder + 1):,} of {count:,} files", end="", file=sys.stderr, flush=True)
        for part, made in zip(parts, pool.map(write_copies, repeat(root), parts, repeat(seed)), strict=True):
            records[part["copy"]] = made
    print(file=sys.stderr)
    records["checked_ns"] = wait_until_old()
    return records


def _use_one_thread() -> None:
    """Products of matrices this small take longer in several threads."""
    threadpool_limits(1)


def wait_until_old() -> int:
    """Wait until files written before look unchanged by their times alone; return the clock."""
    time.sleep(RACY_NS / 1e9 + 0.1)
    return time.time_ns()


def write_folder(root: Path, folder: int, places: npt.NDArray[np.int64], seed: int) -> npt.NDArray[np.void]:
    """Write the pictures at these places of a folder; return (n,) of FILE."""
    records = np.zeros(len(places), big.FILE)
    if not len(places):
        return records
    (root / os.fsdecode(big.Files.path(_FOLDER * folder))).parent.mkdir(parents=True, exist_ok=True)
    at = dict(zip(places.tolist(), range(len(places)), strict=True))
    for place, picture in enumerate(_draw(seed, folder, int(places[-1]) + 1)):
        if place in at:
            number = _FOLDER * folder + place
            records[at[place]] = _save(root, number, picture, _QUALITY)
    return records


def write_copies(root: Path, copies: npt.NDArray[np.void], seed: int) -> npt.NDArray[np.void]:
    """Write copies (m,) of pictures that are there; return (m,) of FILE."""
    records = np.zeros(len(copies), big.FILE)
    for n, (copy, original, way, _) in enumerate(copies.tolist()):
        rng = np.random.default_rng([seed, _CHANGES, copy])
        with Image.open(root / os.fsdecode(big.Files.path(original))) as file:
            picture = WAYS[way][1](file.convert("RGB"), rng)
        quality = int(rng.integers(*(_LOW_QUALITIES if way == "quality" else _QUALITIES)))
        path = root / os.fsdecode(big.Files.path(copy))
        path.parent.mkdir(parents=True, exist_ok=True)
        records[n] = _save(root, copy, picture, quality)
    return records


def _save(root: Path, number: int, picture: Image.Image, quality: int) -> npt.NDArray[np.void]:
    """Write a picture; return what the indexer records of its file (FILE), its hash from the pixels of the JPEG."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    data = buffer.getvalue()
    path = root / os.fsdecode(big.Files.path(number))
    path.write_bytes(data)
    info = path.stat()
    record = np.zeros((), big.FILE)
    for name in ("size", "mtime_ns", "ctime_ns"):
        record[name] = getattr(info, f"st_{name}")
    record["inode"] = info.st_ino
    record["content_hash"] = np.frombuffer(hashlib.sha256(data).digest(), np.uint8)
    with Image.open(buffer, formats=("JPEG",)) as stored:
        record["phash"] = perceptual_hash(np.asarray(stored))
    record["width"], record["height"] = picture.size
    return record


def _draw(seed: int, folder: int, count: int) -> Iterator[Image.Image]:
    """Draw the first ``count`` pictures of a folder."""
    rng = np.random.default_rng([seed, _PICTURES, folder])
    waves, amplitudes = _waves()
    texture = _texture(seed)
    for start in range(0, count, _TOGETHER):
        coefficients = rng.standard_normal((_TOGETHER, 3, _WAVES, _WAVES), dtype=np.float32) * amplitudes
        # Mostly grey, as photographs are: the channels have most in common.
        coefficients = coefficients[:, :1] + np.float32(0.35) * coefficients
        coefficients *= np.sqrt(12 / np.square(coefficients).sum((1, 2, 3), keepdims=True))
        rows = (coefficients.reshape(-1, _WAVES) @ waves.T).reshape(_TOGETHER, 3, _WAVES, SIDE)
        rows = np.ascontiguousarray(rows.transpose(0, 2, 3, 1)).reshape(_TOGETHER, _WAVES, 3 * SIDE)
        pixels = (waves @ rows).reshape(_TOGETHER, SIDE, SIDE, 3)
        levels = rng.uniform((80, 25, 4), (170, 55, 16), (_TOGETHER, 3)).astype(np.float32)[..., np.newaxis]
        places = rng.integers(0, _TILE - SIDE, (_TOGETHER, 2)).tolist()
        shapes = rng.random((_TOGETHER, _SHAPES, 13))
        for n in range(min(_TOGETHER, count - start)):
            mean, contrast, grain = levels[n]
            top, left = places[n]
            picture = pixels[n]
            picture *= contrast
            picture += mean + grain * texture[top : top + SIDE, left : left + SIDE, np.newaxis]
            image = Image.fromarray(picture.clip(0, 255).astype(np.uint8))
            _draw_shapes(ImageDraw.Draw(image), shapes[n])
            yield image


def _draw_shapes(draw: ImageDraw.ImageDraw, numbers: npt.NDArray[np.float64]) -> None:
    """Draw two to five discs and quadrangles by random numbers (5, 13) from 0 to 1."""
    for shape in numbers[: 2 + int(numbers[0, 12] * 4)]:
        fill = tuple((256 * shape[:3]).astype(int).tolist())
        radius = 3 + 15 * shape[3]
        centre = SIDE * shape[4:6]
        if shape[6] < 0.5:
            height = radius * (0.5 + shape[7])
            x, y = centre.tolist()
            draw.ellipse((x - radius, y - height, x + radius, y + height), fill=fill)
        else:
            # Four corners, one in each direction, so that the edges do not cross.
            corners = centre + radius * (0.3 + shape[7:11, np.newaxis]) * _DIRECTIONS
            draw.polygon([tuple(corner) for corner in corners.tolist()], fill=fill)


def _waves() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return the cosines (SIDE, waves) and the amplitudes (waves, waves), which fall with the frequency."""
    places = (np.arange(SIDE) + 0.5) / SIDE
    waves = np.cos(np.pi * places[:, np.newaxis] * np.arange(_WAVES)).astype(np.float32)
    amplitudes = np.maximum(np.hypot(*np.mgrid[:_WAVES, :_WAVES]), 1.0) ** -1.2
    amplitudes[0, 0] = 0
    return waves, amplitudes.astype(np.float32)


def _texture(seed: int) -> npt.NDArray[np.float32]:
    """Return noise two pixels coarse, of mean 0 and standard deviation 1, from which all pictures take a piece."""
    noise = np.random.default_rng([seed, _PICTURES]).integers(0, 256, (_TILE // 2, _TILE // 2), np.uint8)
    tile = np.asarray(Image.fromarray(noise).resize((_TILE, _TILE), Image.Resampling.BICUBIC), np.float32)
    return (tile - tile.mean()) / tile.std()
