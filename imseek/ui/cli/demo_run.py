"""``imseek demo``: index the photographs that ship with scikit-image and scikit-learn, and search them.

The files are indexed where the packages keep them; nothing is copied or downloaded. Debian's Tux Paint stamps
(photographs and drawings) are added if they are installed.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import imseek
from imseek import library
from imseek.ui import demo_photographs
from imseek.ui.cli.output import say
from imseek.ui.cli.progress import StopSignals, progress_bar
from imseek.ui.render.indexing_text import summary
from imseek.ui.render.text import table
from imseek.ui.render.words import printable

if TYPE_CHECKING:
    from imseek import Collection
    from imseek.media import Row
    from imseek.types.arrays import Pixels
    from imseek.types.search_results import SearchResult


QUERIES = (
    "a cat",
    "a cup of coffee",
    "a motorbike",
    "a flower",
    "a temple by a lake",
    "a rocket on the launch pad",
    "a photographer with a tripod",
    "galaxies in the night sky",
)
#: The photograph to search for by a mirrored part of it.
MIRRORED_PHOTOGRAPH = "coffee.png"

_LIMIT = 5
#: Hits requested, before those whose files are missing are dropped.
_SEARCH_DEPTH = 100
_THUMBNAIL_SIDE = 320


def run(folder: Path, environ: Mapping[str, str]) -> int:
    """Index, search, and write a contact sheet to ``folder``; returns the exit code."""
    paths = demo_photographs.photographs()
    folders = sorted({str(path.parent) for path in paths})
    print(f"{len(paths)} photographs in {' and '.join(printable(folder) for folder in folders)}")
    if demo_photographs.STAMPS.is_dir():
        paths += (demo_photographs.STAMPS,)
        print(f"and the Tux Paint stamps in {demo_photographs.STAMPS}")
    folder.mkdir(parents=True, exist_ok=True)
    with _collection(environ) as collection, StopSignals() as signals:
        with progress_bar() as progress:
            report = collection.index(paths, progress=progress, stop=signals.event)
        print("\n".join(summary(report)))
        if report.interrupted:
            return signals.exit_code
        if not (report.added or report.changed or report.moved or report.copied):
            print("nothing new since the last run: no picture was encoded again")
        rows, notes = _search_all(collection, folder)
    for note in notes:
        print(f"\n{printable(note)}")
    print(f"\ncontact sheet: {printable(str(_write_sheet(rows, folder)))}")
    _suggest_commands(folder)
    return 0


def _collection(environ: Mapping[str, str]) -> Collection:
    path = library.path_for(library.DEMO_NAME, environ)
    if library.is_collection(path):
        print(f"collection: {library.DEMO_NAME} in {printable(str(path))}")
        return imseek.open(path)
    print(f"new collection: {library.DEMO_NAME} in {printable(str(path))}")
    print(f"encoder: {demo_photographs.ENCODER}, a basic one that needs no download")
    return imseek.create(path, encoder=demo_photographs.ENCODER)


def _search_all(collection: Collection, folder: Path) -> tuple[list[Row], tuple[str, ...]]:
    """Run every query and print its hits; returns the rows of the contact sheet and the distinct notes."""
    rows, notes = [], {}
    for query in QUERIES:
        result = _keep_existing(collection.search(query, limit=_SEARCH_DEPTH, metadata=False))
        rows.append(_row(query, None, result))
        notes.update(dict.fromkeys(result.notes))
        print(f"\n{query}\n{_table(result)}")
    picture, pixels = _mirror_part(folder)
    result = _keep_existing(collection.search(picture, limit=_SEARCH_DEPTH, metadata=False))
    rows.append(_row("a part of it, mirrored", pixels, result))
    print(f"\n{printable(str(picture))} (a part of {MIRRORED_PHOTOGRAPH}, mirrored)\n{_table(result)}")
    return rows, tuple(notes)


def _keep_existing(result: SearchResult) -> SearchResult:
    """Keep the first hits whose files exist: the collection may hold images of a deleted environment."""
    hits = tuple(hit for hit in result.hits if hit.path is not None and Path(hit.path).is_file())
    return replace(result, hits=hits[:_LIMIT])


def _mirror_part(folder: Path) -> tuple[Path, Pixels]:
    """Write the mirrored middle part of one photograph to a file; returns the file and its pixels."""
    from imseek.media import thumbnail

    whole = _pixels(next(path for path in demo_photographs.photographs() if path.name == MIRRORED_PHOTOGRAPH))
    height, width = whole.shape[:2]
    part = whole[height // 6 : -height // 6, width // 6 : -width // 6][:, ::-1].copy()
    picture = folder / f"{Path(MIRRORED_PHOTOGRAPH).stem}-mirrored.webp"
    picture.write_bytes(thumbnail(part))
    return picture, part


def _table(result: SearchResult) -> str:
    """Format the hits as a table of file names; their few folders were printed before."""
    names = [Path(hit.path).name if hit.path is not None else "" for hit in result.hits]
    rows = [(f"{hit.score:.3f}", printable(name)) for hit, name in zip(result.hits, names, strict=True)]
    return table(("score", "image"), rows, right=(0,))


def _row(title: str, query_image: Pixels | None, result: SearchResult) -> Row:
    from imseek.media import Cell, Row

    cells = [
        Cell(_pixels(Path(hit.path)), f"{hit.score:.3f}\n{Path(hit.path).name}")
        for hit in result.hits
        if hit.path is not None
    ]
    return Row(title, query_image, cells)


def _pixels(path: Path) -> Pixels:
    from imseek import media

    return media.decode(path.read_bytes(), min_side=_THUMBNAIL_SIDE).pixels


def _write_sheet(rows: Sequence[Row], folder: Path) -> Path:
    from imseek.media import contact_sheet

    sheet = (folder / "contact-sheet.png").absolute()
    sheet.write_bytes(contact_sheet(rows))
    return sheet


def _suggest_commands(folder: Path) -> None:
    picture = shlex.quote(str((folder / f"{Path(MIRRORED_PHOTOGRAPH).stem}-mirrored.webp").absolute()))
    say("\nnext:")
    for command in (
        "imseek search 'a kitten' -c demo",
        f"imseek similar {picture} -c demo --open",
        "imseek index ~/Pictures",
        "imseek search 'children playing on a beach'",
    ):
        say(f"  {command}")
