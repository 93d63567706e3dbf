"""Queries of two terms over the captioned stamps of Tux Paint, with their right answers, for compose.py.

Halves are those of quality.py: a hash of the relative path.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from quality import half_of

from imseek.media import decode
from imseek.types.arrays import Pixels

#: Words for folders; a stamp belongs to each folder above it.
CLASSES = {
    "animals": "an animal",
    "birds": "a bird",
    "fish": "a fish",
    "insects": "an insect",
    "mammals": "a mammal",
    "clothes": "clothes",
    "hats": "a hat",
    "food": "food",
    "fruit": "a fruit",
    "vegetables": "a vegetable",
    "household": "household goods",
    "dishes": "dishes",
    "tools": "a tool",
    "music": "a musical instrument",
    "people": "a person",
    "plants": "a plant",
    "flowers": "a flower",
    "trees": "a tree",
    "christmas": "Christmas",
    "halloween": "Halloween",
    "houses": "a house",
    "roadsigns": "a road sign",
    "sports": "sports",
    "vehicles": "a vehicle",
    "space": "outer space",
}
#: First and last degree of each hue.
HUES = {
    "red": (345, 15),
    "orange": (15, 42),
    "yellow": (42, 70),
    "green": (70, 165),
    "blue": (180, 260),
    "purple": (260, 320),
}
SHARE = 0.4  # of the saturated pixels of a stamp, which a hue needs to be its colour


@dataclass(frozen=True)
class Stamp:
    path: str
    caption: str
    pixels: Pixels

    @property
    def folders(self) -> tuple[str, ...]:
        return tuple(self.path.split("/")[:-1])


@dataclass(frozen=True)
class Question:
    """Two terms, each words or the number of a stamp, the second with a sign; ``right`` holds numbers of stamps."""

    first: str | int
    second: str | int
    sign: float
    right: frozenset[int]

    @property
    def query_images(self) -> set[int]:
        return {term for term in (self.first, self.second) if isinstance(term, int)}


def read_stamps(folder: Path, half: str) -> list[Stamp]:
    """As in ``quality``, with paths."""
    stamps = []
    for path in sorted(folder.rglob("*.png")):
        relative = path.relative_to(folder).as_posix()
        text = path.with_suffix(".txt")
        if relative.startswith("symbols/") or not text.exists():
            continue
        caption = text.read_text("utf-8", "replace").partition("\n")[0].strip()
        if caption and half_of(relative) == half:
            stamps.append(Stamp(relative, caption, decode(path.read_bytes()).pixels))
    return stamps


# -- questions ---------------------------------------------------------------------------------------------


def colours(pixels: Pixels) -> frozenset[str]:
    """Hues of at least SHARE of the saturated pixels, where at least a tenth of the foreground is saturated."""
    values = pixels.reshape(-1, 3).astype(np.float32) / 255
    top, low = values.max(axis=1), values.min(axis=1)
    spread = top - low
    vivid = (spread > 0.25) & (top > 0.25)
    foreground = low < 0.95
    if vivid.sum() < 0.1 * max(1, foreground.sum()):
        return frozenset()
    r, g, b = values[vivid].T
    top, spread = top[vivid], spread[vivid]
    hue = np.where(top == r, (g - b) / spread % 6, np.where(top == g, (b - r) / spread + 2, (r - g) / spread + 4))
    hue *= 60
    hues = set()
    for name, (start, end) in HUES.items():
        inside = (hue >= start) & (hue < end) if start < end else (hue >= start) | (hue < end)
        if inside.mean() >= SHARE:
            hues.add(name)
    return frozenset(hues)


def questions(stamps: Sequence[Stamp]) -> dict[str, list[Question]]:
    """Return the questions by kind; a fixed seed chooses among pictures."""
    rng = np.random.default_rng(0)
    coloured = [colours(stamp.pixels) for stamp in stamps]
    members = {name: {i for i, s in enumerate(stamps) if name in s.folders} for name in CLASSES}
    tinted = {hue: {i for i, found in enumerate(coloured) if hue in found} for hue in HUES}
    kinds: dict[str, list[Question]] = {
        "two texts": [],
        "text, picture": [],
        "recolour": [],
        "not words": [],
        "not a picture": [],
        "picture, not words": [],
    }
    for name, words in CLASSES.items():
        for hue, tint in tinted.items():
            both, rest = members[name] & tint, members[name] - tint
            if not both or not rest:
                continue
            kinds["two texts"].append(Question(words, hue, 1, frozenset(both)))
            kinds["not words"].append(Question(words, hue, -1, frozenset(rest)))
            for i in sample(rng, rest):
                kinds["recolour"].append(Question(i, hue, 1, frozenset(both)))
            for i in sample(rng, both):
                kinds["not a picture"].append(Question(words, i, -1, frozenset(rest)))
                kinds["picture, not words"].append(Question(i, hue, -1, frozenset(rest)))
        for other, phrase in CLASSES.items():
            if members[other] and members[other] < members[name]:
                rest = members[name] - members[other]
                kinds["not words"].append(Question(words, phrase, -1, frozenset(rest)))
                for i in sample(rng, members[other]):
                    kinds["not a picture"].append(Question(words, i, -1, frozenset(rest)))
    for i, stamp in enumerate(stamps):
        siblings = {j for j, s in enumerate(stamps) if s.folders == stamp.folders and s.caption != stamp.caption}
        for j in sample(rng, siblings, 1):
            kinds["text, picture"].append(Question(j, stamp.caption, 1, frozenset({i})))
    return kinds


def sample(rng: np.random.Generator, numbers: set[int], most: int = 3) -> list[int]:
    ordered = sorted(numbers)
    return [ordered[i] for i in rng.permutation(len(ordered))[:most]]
