"""Make the README's picture and that of text.md: queries over photographs that are CC0 or in the public domain.

python docs/pictures/make.py            (needs the extras builtin, demo and ocr)
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

import imseek
from imseek import ocr
from imseek.media import Cell, Row, contact_sheet, decode
from imseek.ui.demo_photographs import photographs

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


#: What six screenshots say that are drawn for text.md: a heading, and lines below it.
SCREENSHOTS = {
    "shot-1": (
        "INVOICE 2024-117",
        "Harbour Bikes Ltd",
        "1 brake cable     12.00",
        "2 inner tubes     15.80",
        "Total  27.80 euro",
    ),
    "shot-2": (
        "Boarding pass",
        "MILLER / ANNA",
        "Lisbon LIS to Oslo OSL",
        "Flight TP 764   Seat 14C",
        "Gate closes 18:25",
    ),
    "shot-3": ("Guest network", "Name: harbour-guest", "Password: correct-horse-battery", "Please do not share it"),
    "shot-4": (
        "Terminal",
        "File report.py, line 7, in mean",
        "return total / count",
        "ZeroDivisionError: division by zero",
    ),
    "shot-5": ("Apple pie", "6 apples, 200 g flour", "100 g butter, cinnamon", "Bake 45 minutes at 180 degrees"),
    "shot-6": ("Tuesday 14 May", "09:30 dentist, Dr Okafor", "13:00 lunch with Priya", "17:45 swimming"),
}
TEXT_QUERIES = (
    "invoice 2024",
    "boarding pass lisbon",
    "wifi password",
    "zero division error",
    "apple pie recipe",
    "dentist on tuesday",
    '"inner tubes"',
    "a cup of coffee",
    "horse",
    "rocket",
)


def pixels(path: Path):  # type: ignore[no-untyped-def]
    return decode(path.read_bytes(), min_side=320).pixels


def draw_screenshot(lines: tuple[str, ...]) -> Image.Image:
    shot = Image.new("RGB", (640, 400), "white")
    pen = ImageDraw.Draw(shot)
    pen.rectangle((0, 0, 640, 72), fill=(33, 78, 120))
    for n, line in enumerate(lines):
        at, colour = ((24, 18), "white") if n == 0 else ((24, 50 + 54 * n), (30, 30, 30))
        pen.text(at, line, fill=colour, font=ImageFont.load_default(32 if n == 0 else 26))
    return shot


def main() -> None:
    paths = [path for path in photographs() if path.stem in FREE]
    assert len(paths) == len(FREE)
    folder = Path(__file__).parent
    with tempfile.TemporaryDirectory() as scratch:
        shots = []
        for name, lines in SCREENSHOTS.items():
            shots.append(Path(scratch) / f"{name}.png")
            draw_screenshot(lines).save(shots[-1])
        with imseek.create(Path(scratch) / "c", encoder="builtin") as collection:
            collection.index(paths)
            (folder / "demo.png").write_bytes(contact_sheet(answers(collection, QUERIES, 3), thumb=120))
            collection.index(shots)
            ocr.recognise(collection.path)
            (folder / "text.png").write_bytes(contact_sheet(answers(collection, TEXT_QUERIES, 3), thumb=120))


def answers(collection: imseek.Collection, queries: tuple[str, ...], limit: int) -> list[Row]:
    """The first hits of each query, with the score and the name of each."""
    rows = []
    for words in queries:
        found = [(hit.score, Path(hit.path)) for hit in collection.search(words, limit=limit) if hit.path is not None]
        rows.append(Row(words, None, [Cell(pixels(path), f"{score:.3f}\n{path.name}") for score, path in found]))
    return rows


if __name__ == "__main__":
    main()
