"""The captioned stamps of Tux Paint with vectors of the built-in encoder, and the stamps that answer each caption.

Shared by cutoff.py, hubness.py and feedback.py. Halves are those of quality.py: a hash of the relative path.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from nouns import FRESH, NOTHING, noun
from quality import find_stamps, half_of, stamp_names

from imseek.encoders import load
from imseek.encoders.cache import cache_dir
from imseek.media import decode
from imseek.search.cutoff import NEUTRAL_TEXTS
from imseek.types.arrays import Float32

#: Folders of a kind's variants; their stamps are of the kind above.
VARIANTS = ("cartoon", "toys", "plastic")
BATCH = 32


@dataclass(frozen=True)
class Half:
    """The n stamps of a half as a collection, and their n captions as questions.

    ``images``, ``texts`` (n, dim), ``nothing`` (100, dim), ``neutral`` (t, dim): float32 unit rows; those of images
    went through float16, as a collection stores them. ``symbols`` are letters, coins, chessmen and the like: pictures
    that no image of the collection answers. ``relevant`` (n, n) bool: question × image, by same folder or same noun;
    ``strict`` by the same noun alone. ``nouns`` (n,) of the captions; ``fresh`` (100, dim): more texts that nothing
    answers, the same for both halves.
    """

    names: tuple[str, ...]
    captions: tuple[str, ...]
    images: Float32
    texts: Float32
    nothing: Float32
    neutral: Float32
    symbols: Float32
    relevant: np.ndarray
    strict: np.ndarray
    nouns: tuple[str, ...]
    fresh: Float32


def read_half(half: str, folder: Path | None = None) -> Half:
    folder = folder or find_stamps()
    captions = _captions(folder, half)
    encoder = load("builtin")
    nouns = np.array([noun(caption) for caption in captions.values()])
    kinds = np.array([kind_of(name) for name in captions])
    strict = nouns[:, None] == nouns[None]
    signs = [n for n in stamp_names(folder) if n.startswith("symbols/") and half_of(n) == half]
    return Half(
        tuple(captions),
        tuple(captions.values()),
        encode_stamps(folder, tuple(captions)).astype(np.float16).astype(np.float32),
        encoder.encode_texts(tuple(captions.values())),
        encoder.encode_texts(NOTHING["AB".index(half) :: 2]),
        encoder.encode_texts(NEUTRAL_TEXTS),
        encode_stamps(folder, tuple(signs)),
        strict | (kinds[:, None] == kinds[None]),
        strict,
        tuple(nouns.tolist()),
        encoder.encode_texts(FRESH),
    )


def _captions(folder: Path, half: str) -> dict[str, str]:
    """Captions by name, for the stamps of a half that quality.py takes."""
    captions = {}
    for name in stamp_names(folder):
        text = (folder / name).with_suffix(".txt")
        if not name.startswith("symbols/") and text.exists() and half_of(name) == half:
            captions[name] = text.read_text("utf-8", "replace").partition("\n")[0].strip()
    return {name: caption for name, caption in captions.items() if caption}


def kind_of(name: str) -> str:
    return "/".join(part for part in name.split("/")[:-1] if part not in VARIANTS)


def encode_stamps(folder: Path, names: tuple[str, ...]) -> Float32:
    """(n, dim) vectors, kept in the cache folder for the next run."""
    encoder = load("builtin")
    mark = hashlib.sha256("\n".join((encoder.fingerprint(), *names)).encode()).hexdigest()[:16]
    cache_file = cache_dir() / "bench" / f"stamps-{mark}.npy"
    if not cache_file.exists():
        rows = []
        for i in range(0, len(names), BATCH):
            pictures = [decode((folder / name).read_bytes()).pixels for name in names[i : i + BATCH]]
            rows.append(encoder.encode_images(np.stack([encoder.prepare(picture) for picture in pictures])))
        cache_file.parent.mkdir(parents=True, exist_ok=True)
        np.save(cache_file, np.concatenate(rows))
    vectors: Float32 = np.load(cache_file)
    return vectors
