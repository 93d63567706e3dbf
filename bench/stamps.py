"""The captioned stamps of Tux Paint with the vectors of the built-in encoder, and which of them answer what.

Shared by cutoff.py, hubness.py and feedback.py. Halves are those of quality.py: a hash of the relative path.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from nouns import NOTHING, noun
from quality import find_stamps

from imseek.encoders import load
from imseek.encoders.cache import cache_dir
from imseek.media import decode
from imseek.types import Float32

#: Folders of a kind's variants; what lies in them is of the kind above.
VARIANTS = ("cartoon", "toys", "plastic")
#: Captions that mean nothing in particular.
NEUTRAL = (
    "a photo",
    "a picture",
    "an image",
    "a thing",
    "something",
    "an object",
    "a drawing of something",
    "a photo of something",
)
BATCH = 32


@dataclass(frozen=True)
class Half:
    """The n stamps of a half as a collection, and their n captions as questions.

    ``images``, ``texts`` (n, dim), ``nothing`` (100, dim), ``neutral`` (8, dim): float32 unit rows; those of images
    went through float16, as a collection stores them. ``relevant`` (n, n) bool: question × image, by same folder or
    same noun; ``strict`` by the same noun alone.
    """

    names: tuple[str, ...]
    captions: tuple[str, ...]
    images: Float32
    texts: Float32
    nothing: Float32
    neutral: Float32
    relevant: np.ndarray
    strict: np.ndarray


def read_half(half: str, folder: Path | None = None) -> Half:
    folder = folder or find_stamps()
    names, captions = _captioned(folder, half)
    images, texts = _vectors(folder, half, names, captions)
    encoder = load("builtin")
    nouns = np.array([noun(caption) for caption in captions])
    kinds = np.array([_kind(name) for name in names])
    strict = nouns[:, None] == nouns[None]
    return Half(
        names,
        captions,
        images.astype(np.float16).astype(np.float32),
        texts,
        encoder.encode_texts(NOTHING["AB".index(half) :: 2]),
        encoder.encode_texts(NEUTRAL),
        strict | (kinds[:, None] == kinds[None]),
        strict,
    )


def _captioned(folder: Path, half: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names and captions of the stamps of a half, as quality.py takes them."""
    found = []
    for path in sorted(folder.rglob("*.png")):
        name = path.relative_to(folder).as_posix()
        text = path.with_suffix(".txt")
        if name.startswith("symbols/") or not text.exists():
            continue
        caption = text.read_text("utf-8", "replace").partition("\n")[0].strip()
        if caption and "AB"[hashlib.sha256(name.encode()).digest()[0] & 1] == half:
            found.append((name, caption))
    names, captions = zip(*found, strict=True)
    return names, captions


def _kind(name: str) -> str:
    return "/".join(part for part in name.split("/")[:-1] if part not in VARIANTS)


def _vectors(
    folder: Path, half: str, names: tuple[str, ...], captions: tuple[str, ...]
) -> tuple[Float32, Float32]:
    """Those of the images and of the captions, kept in the cache folder for the next run."""
    encoder = load("builtin")
    mark = hashlib.sha256("\n".join((encoder.fingerprint(), *names, *captions)).encode()).hexdigest()[:16]
    kept = cache_dir() / "bench" / f"stamps-{half}-{mark}.npz"
    if kept.exists():
        with np.load(kept) as arrays:
            return arrays["images"], arrays["texts"]
    rows = []
    for i in range(0, len(names), BATCH):
        pictures = [decode((folder / name).read_bytes()).pixels for name in names[i : i + BATCH]]
        rows.append(encoder.encode_images(np.stack([encoder.prepare(picture) for picture in pictures])))
    images, texts = np.concatenate(rows), encoder.encode_texts(captions)
    kept.parent.mkdir(parents=True, exist_ok=True)
    np.savez(kept, images=images, texts=texts)
    return images, texts
