"""Pictures of three colours, for labels whose truth is known, and what is stored of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PIL import Image

import imseek
from imseek.analysis.space_vectors import Vectors
from imseek.data.reader import Reader

COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}
SHADES = 4


def paint(folder: Path, name: str, n: int) -> None:
    """A picture that is mostly of the colour, with more black from one to the next."""
    (folder / name).mkdir(parents=True, exist_ok=True)
    picture = Image.new("RGB", (32, 32), COLOURS[name])
    picture.paste((0, 0, 0), (0, 0, 4 * n, 8))
    picture.save(folder / name / f"{name}{n}.png")


def by_name(root: Path, ids: Any, values: Any) -> dict[str, Any]:
    places = Reader(root).places([int(i) for i in ids])
    return {Path(places[int(i)].display).name: value for i, value in zip(ids, values, strict=True)}


def column(root: Path, name: str) -> dict[str, Any]:
    reader = Reader(root)
    ids = Vectors(reader).ids.tolist()
    rows = reader.metadata(ids)
    return by_name(root, ids, [rows[i].get(name) for i in ids])


def found_by(root: Path, where: str) -> list[str]:
    with imseek.open(root) as collection:
        hits = collection.search(imseek.Query((imseek.Term("red"),), limit=100, where=where))
    return sorted(Path(hit.place.display).name for hit in hits if hit.place is not None)
