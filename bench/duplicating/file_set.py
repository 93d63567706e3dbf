"""The pictures of a half as files, written once, with the vector and perceptual hash that imseek stores of each."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from duplicating.originals import encode_picture, originals
from duplicating.ways import BEYOND, WAYS, another_shot

from imseek.encoders import load
from imseek.media import decode

#: Changes whenever the set does.
VERSION = 4
#: Other shots of each photograph, and of every second other picture that gets copies.
SHOTS = 4
BATCH = 32


@dataclass(frozen=True)
class Entry:
    """One file. ``source`` is the original's name; ``way`` is how it was made: "" for the original itself, a key of
    WAYS or BEYOND, or "shot"."""

    file: str
    source: str
    family: str
    way: str


@dataclass(frozen=True)
class FileSet:
    """The n files of a half; ``vectors`` (n, dim) float32 unit rows that went through float16, ``hashes`` (n,)."""

    folder: Path
    entries: tuple[Entry, ...]
    vectors: np.ndarray
    hashes: np.ndarray


def make(half: str, stamps: Path, cache: Path, most: int | None = None) -> FileSet:
    """Write the files of a half, or find them in the cache; ``most`` limits the originals."""
    folder = cache / f"duplicates-{VERSION}-{half}{f'-{most}' if most else ''}"
    listing = folder / "entries.json"
    if not listing.exists():
        folder.mkdir(parents=True, exist_ok=True)
        entries = _write(half, stamps, folder, most)
        listing.write_text(json.dumps([asdict(one) for one in entries]))
    entries = [Entry(**one) for one in json.loads(listing.read_text())]
    vectors, hashes = _load_features(folder, entries)
    return FileSet(folder, tuple(entries), vectors, hashes)


def _write(half: str, stamps: Path, folder: Path, most: int | None) -> list[Entry]:
    entries = []

    def add(source: str, family: str, way: str, data: bytes, form: str) -> None:
        name = f"{len(entries):05d}.{'jpg' if form == 'jpeg' else form}"
        (folder / name).write_bytes(data)
        entries.append(Entry(name, source, family, way))

    copied = 0
    selection = list(originals(half, stamps))
    for original in selection[:: max(1, len(selection) // most) if most else 1]:
        picture = original.picture.convert("RGB")
        seed = int.from_bytes(hashlib.sha256(original.name.encode()).digest()[:4], "big")
        rng = np.random.default_rng(seed)
        # The stereo pair is two shots of one scene.
        source = original.name.replace("motorcycle_right", "motorcycle_left")
        if source != original.name:
            add(source, original.family, "shot", encode_picture(picture, "png"), "png")
            continue
        add(source, original.family, "", encode_picture(picture, "png"), "png")
        if not original.copied:
            continue
        for way, alter in (*WAYS.items(), *BEYOND.items()):
            add(source, original.family, way, *alter(picture, rng))
        copied += 1
        shots = SHOTS if original.family == "photo" else copied % 2 if original.family == "stamp" else 0
        for _ in range(shots):
            add(source, original.family, "shot", encode_picture(another_shot(picture, rng), "jpeg", 92), "jpeg")
    return entries


def _load_features(folder: Path, entries: list[Entry]) -> tuple[np.ndarray, np.ndarray]:
    encoder = load("builtin")
    cache = folder / f"facts-{encoder.fingerprint()[:12]}.npz"
    if not cache.exists():
        rows, hashes = [], []
        for start in range(0, len(entries), BATCH):
            images = [decode((folder / one.file).read_bytes()) for one in entries[start : start + BATCH]]
            rows.append(encoder.encode_images(np.stack([encoder.prepare(one.pixels) for one in images])))
            hashes += [one.facts.phash or 0 for one in images]
        vectors = np.concatenate(rows).astype(np.float16).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        np.savez(cache, vectors=vectors, hashes=np.array(hashes, np.uint64))
    archive = np.load(cache)
    return archive["vectors"], archive["hashes"]
