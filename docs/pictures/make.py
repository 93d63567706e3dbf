"""Make the README's picture: the demo's queries over photographs that are CC0 or in the public domain.

python docs/pictures/make.py            (needs the extras builtin and demo)
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import imseek
from imseek.media import Cell, Row, contact_sheet, decode
from imseek.ui.photographs import photographs

#: See NOTICE.md for the source of each.
FREE = (
    "astronaut",
    "brick",
    "camera",
    "chelsea",
    "coffee",
    "grass",
    "gravel",
    "hubble_deep_field",
    "retina",
    "rocket",
)
QUERIES = ("a cat", "a cup of coffee", "a rocket on the launch pad", "galaxies in the night sky")


def pixels(path: Path):  # type: ignore[no-untyped-def]
    return decode(path.read_bytes(), min_side=320).pixels


def main() -> None:
    paths = [path for path in photographs() if path.stem in FREE]
    assert len(paths) == len(FREE)
    with (
        tempfile.TemporaryDirectory() as scratch,
        imseek.create(Path(scratch) / "c", encoder="builtin") as collection,
    ):
        collection.index(paths)
        rows = []
        for words in QUERIES:
            hits = collection.search(words, limit=4)
            found = [(hit.score, Path(hit.path)) for hit in hits if hit.path is not None]
            rows.append(Row(words, None, [Cell(pixels(path), f"{score:.3f}\n{path.name}") for score, path in found]))
    (Path(__file__).parent / "demo.png").write_bytes(contact_sheet(rows, thumb=120))


if __name__ == "__main__":
    main()
