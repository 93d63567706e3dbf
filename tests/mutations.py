"""Pictures of every format that is read, made here, and seeded damage to them. bench/robustness.py uses both."""

from __future__ import annotations

import base64
import io
import random
import zlib
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import pylibjxl
import raws
from heic import heic
from PIL import Image, ImageDraw

XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:description><rdf:Alt>'
    b'<rdf:li xml:lang="x-default">A heron</rdf:li></rdf:Alt></dc:description></rdf:Description></rdf:RDF></x:xmpmeta>'
)
SVG = """<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 96 64">
<defs><linearGradient id="g"><stop offset="0" stop-color="#f00"/><stop offset="1" stop-color="#00f"/></linearGradient>
<filter id="b"><feGaussianBlur stdDeviation="2"/></filter><path id="p" d="M10 10 C 20 20, 40 20, 50 10 z"/>
<pattern id="t" width="8" height="8" patternUnits="userSpaceOnUse"><circle cx="4" cy="4" r="3"/></pattern>
<mask id="m"><rect width="96" height="64" fill="white"/></mask></defs><style>.a{fill:url(#g);stroke:#0a0}</style>
<rect class="a" x="4" y="4" width="60" height="40" rx="5" filter="url(#b)"/><use xlink:href="#p" mask="url(#m)"/>
<g transform="rotate(30 48 32) scale(1.2)"><ellipse cx="48" cy="32" rx="20" ry="9" fill="url(#t)"/></g>
<text x="8" y="60" font-size="12">Heron</text><image x="70" y="4" width="20" height="20" xlink:href="%s"/></svg>"""


def photo(width: int = 96, height: int = 64) -> Image.Image:
    """Gradients, edges and noise: something for every part of a decoder."""
    across, down = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    noise = np.random.default_rng(5).normal(0, 12, (height, width, 3))
    values = np.stack([across, down, 255 - across], 2) + noise
    picture = Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(picture)
    draw.ellipse((10, 10, width // 2, height - 10), fill="#208040", outline="white", width=3)
    draw.line((0, height, width, 0), fill="black", width=4)
    return picture


def encode(name: str, picture: Image.Image, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, name, **options)
    return buffer.getvalue()


@cache
def seeds() -> dict[str, tuple[bytes, ...]]:
    """Sound files by format; every one decodes."""
    plain = photo()
    clear = plain.convert("RGBA")
    clear.putalpha(plain.convert("L"))
    palette, wide = plain.quantize(32), Image.fromarray(np.asarray(plain.convert("L"), np.uint16) * 257)
    frames: dict[str, Any] = {"save_all": True, "append_images": [plain.rotate(90), plain.rotate(180)]}
    exif = Image.Exif()
    exif.update({271: "Canon", 272: "Canon EOS 5D", 270: "A heron", 274: 6})
    exif.get_ifd(0x8769).update({36867: "2001:02:03 04:05:06", 37510: b"ASCII\0\0\0A heron again"})
    exif.get_ifd(0x8825).update({1: "S", 2: (1.0, 0.0, 0.0), 3: "E", 4: (2.0, 0.0, 0.0)})
    told: dict[str, Any] = {"exif": exif.tobytes(), "xmp": XMP}
    preview = raws.jpeg(plain, exif=exif)
    tags = exif.tobytes().removeprefix(b"Exif\0\0")
    return {
        "JPEG": (
            encode("JPEG", plain, **told, comment=b"a heron"),
            encode("JPEG", plain, progressive=True, subsampling=0),
            encode("JPEG", plain.convert("CMYK"), restart_marker_blocks=4),
            encode("JPEG", plain.convert("L")),
        ),
        "PNG": (
            encode("PNG", plain, exif=exif),
            encode("PNG", palette, transparency=3),
            encode("PNG", wide),
            encode("PNG", clear, **frames),
        ),
        "WEBP": (
            encode("WEBP", plain, **told),
            encode("WEBP", clear, lossless=True),
            encode("WEBP", clear),
            encode("WEBP", plain, **frames),
        ),
        "GIF": (encode("GIF", plain), encode("GIF", plain, **frames), encode("GIF", palette, interlace=0)),
        "TIFF": (
            encode("TIFF", plain, exif=exif),
            encode("TIFF", plain, compression="tiff_lzw"),
            encode("TIFF", clear, compression="tiff_adobe_deflate"),
            encode("TIFF", plain, compression="jpeg"),
            encode("TIFF", plain.convert("1"), compression="group4"),
            encode("TIFF", wide, big_tiff=True),
            encode("TIFF", plain, compression="packbits", **frames),
        ),
        "BMP": (encode("BMP", plain), encode("BMP", palette), encode("BMP", plain.convert("1"))),
        "AVIF": (encode("AVIF", plain, **told), encode("AVIF", clear), encode("AVIF", plain, **frames)),
        "HEIC": (
            heic(plain, exif=tags, xmp=XMP, turns=1),
            heic([plain, plain.rotate(180)], mirror=1),
        ),
        "JPEG XL": (
            pylibjxl.encode(np.asarray(plain), exif=tags, xmp=XMP),
            pylibjxl.encode(np.asarray(clear), lossless=True),
            pylibjxl.encode(np.asarray(plain.convert("L")), effort=3, distance=3.0),
            pylibjxl.jpeg_to_jxl(encode("JPEG", plain)),
        ),
        "camera raw": (
            raws.tiff_raw({254: 1, 271: "NIKON CORPORATION", 274: 8}, raws.jpeg(photo(48, 32)), preview),
            raws.cr3(tags, tags, tags, raws.jpeg(photo(48, 32)), preview),
            raws.raf(preview),
        ),
        "SVG": (
            (SVG % ("data:image/png;base64," + base64.b64encode(encode("PNG", photo(20, 20))).decode())).encode(),
            (SVG % "#p").encode(),
        ),
    }


# --- damage -------------------------------------------------------------------------------------------------

Damage = Callable[[bytearray, random.Random, Sequence[bytes]], None]


def _place(data: bytearray, chance: random.Random) -> int:
    """Anywhere, and half of the time in the headers."""
    return chance.randrange(max(1, min(len(data), chance.choice((128, 1024, len(data), len(data))))))


def _flip(data: bytearray, chance: random.Random, others: Sequence[bytes]) -> None:
    for _ in range(chance.choice((1, 1, 2, 8, 64))):
        data[_place(data, chance)] ^= 1 << chance.randrange(8)


def _cut(data: bytearray, chance: random.Random, others: Sequence[bytes]) -> None:
    del data[chance.randrange(len(data)) :]


def _splice(data: bytearray, chance: random.Random, others: Sequence[bytes]) -> None:
    """A piece of this file or of another of its format, put in, or put over what was there."""
    other = chance.choice(others)
    start = chance.randrange(len(other))
    piece = other[start : start + chance.choice((4, 16, 64, 512, len(other)))]
    at = _place(data, chance)
    data[at : at + chance.choice((0, len(piece)))] = piece


def _lengths(data: bytearray, chance: random.Random, others: Sequence[bytes]) -> None:
    """Fields of two or four bytes with the values that lengths, counts and offsets break at."""
    for _ in range(chance.choice((1, 1, 2, 4))):
        size, at = chance.choice((2, 4)), _place(data, chance)
        top = 1 << 8 * size
        value = chance.choice((0, 1, 2, top - 1, top // 2, top // 2 - 1, len(data), chance.randrange(top)))
        data[at : at + size] = (value % top).to_bytes(size, chance.choice(("big", "little")))


def _drop(data: bytearray, chance: random.Random, others: Sequence[bytes]) -> None:
    at = _place(data, chance)
    del data[at : at + chance.choice((1, 4, 32, 256))]


DAMAGES: tuple[Damage, ...] = (_flip, _flip, _cut, _splice, _lengths, _lengths, _drop)


def mutant(name: str, number: int, files: Sequence[bytes]) -> bytes:
    """The ``number``-th damaged file of a format, out of its sound ``files``: the same on every machine."""
    chance = random.Random(f"{name} {number}")
    data = bytearray(chance.choice(files))
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        if data:
            chance.choice(DAMAGES)(data, chance, files)
    return _checksums(data) if name == "PNG" and chance.random() < 0.5 else bytes(data)


def _checksums(png: bytearray) -> bytes:
    """With the checksum of every chunk made right, or the damage would never come further than to it."""
    at = 8
    while at + 12 <= len(png):
        end = at + 8 + int.from_bytes(png[at : at + 4], "big")
        if end + 4 <= len(png):
            png[end : end + 4] = zlib.crc32(png[at + 4 : end]).to_bytes(4, "big")
        at = end + 4
    return bytes(png)
