"""An answer as HTML for notebooks: a grid of thumbnails, without script, and nothing fetched.

Styles are inline and take their colours from what is around them: notebooks strip style sheets from what they do not
trust, and are dark or light. Texts come from anywhere and are escaped, control characters too.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from html import escape
from typing import Final

from imseek.errors import MediaError
from imseek.showing.pictures import small, why
from imseek.types import Hit, ReadPicture, SearchResult, display_path

#: What a notebook holds of an answer, since it stores all of it: pictures, their bytes before base64, their pixels at
#: the longer side, and the seconds that they may take.
MOST: Final = 60
BYTES: Final = 3_000_000
SIDE: Final = 240
SECONDS: Final = 20.0
_THREADS: Final = 4
_NOTES: Final = 10


def html(result: SearchResult, opened: Callable[[], AbstractContextManager[ReadPicture]]) -> str:
    """The grid. Never raises: a picture that cannot be had is an empty tile that says why."""
    try:
        return _html(result, opened)
    except (
        Exception
    ) as error:  # such as of a server that answers strangely: a notebook is to show that, and go on
        return f'<div style="{_GREY}">this answer cannot be shown: {escape(_line(str(error)))}</div>'


def _html(result: SearchResult, opened: Callable[[], AbstractContextManager[ReadPicture]]) -> str:
    shown = result.hits[:MOST]
    try:
        with opened() as read:
            pictures = _pictures(shown, read)
    except Exception as error:  # whatever is wrong with the collection or the server by now
        pictures = ["cannot be read"] * len(shown)
        problem = str(error) or type(error).__name__
    else:
        problem = ""
    left = BYTES
    tiles = []
    for n, (hit, picture) in enumerate(zip(shown, pictures, strict=True), start=1):
        if isinstance(picture, bytes) and len(picture) > left:
            picture = "left out"
        left -= len(picture) if isinstance(picture, bytes) else 0
        tiles.append(_tile(n, hit, picture))
    return f'<div style="{_FRAME}">{_head(result)}{"".join(_grouped(result, tiles))}{_foot(result, problem)}</div>'


def data_uri(webp: bytes) -> str:
    return f"data:image/webp;base64,{base64.b64encode(webp).decode('ascii')}"


def name_of(hit: Hit) -> str:
    """The last part of where it lies, as one printable line."""
    if hit.place is None:
        return f"image {hit.image_id}"
    display = hit.place.display
    return display.rstrip("/").rsplit("/", 1)[-1] or display


def _pictures(hits: Sequence[Hit], read: ReadPicture) -> list[bytes | str]:
    """Of each a WebP, or why there is none."""
    from imseek.media import thumbnail

    until = time.monotonic() + SECONDS

    def picture(hit: Hit) -> bytes | str:
        if time.monotonic() > until:
            return "left out: it took too long"
        try:
            return thumbnail(small(read, hit.collection, hit.image_id, SIDE), SIDE)
        except MediaError as error:
            return why(error)

    with ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(picture, hits))


def _tile(n: int, hit: Hit, picture: bytes | str) -> str:
    name = name_of(hit)
    where = "" if hit.place is None else hit.place.display
    if isinstance(picture, bytes):
        alt = escape(f"{n}: {name}, score {hit.score:.3f}")
        inner = f'<img src="{data_uri(picture)}" alt="{alt}" style="{_IMAGE}">'
    else:
        inner = f'<span style="{_NONE}">{escape(picture)}</span>'
    more = f" +{len(hit.duplicates)}" if hit.duplicates else ""
    return (
        f'<figure style="{_TILE}" title="{escape(where)}"><div style="{_BOX}">{inner}</div>'
        f'<figcaption style="{_CAPTION}">{n} · {hit.score:.3f}{more} · id {hit.image_id}<br>'
        f"<bdi>{escape(name)}</bdi></figcaption></figure>"
    )


def _grouped(result: SearchResult, tiles: list[str]) -> list[str]:
    """Grids of tiles, one for each group where there are groups."""
    out, at = [], 0
    for group in result.groups:
        part = tiles[at : at + len(group.hits)]
        at += len(group.hits)
        if part:
            name = "unknown" if group.name is None else _line(group.name)
            out.append(f'<div style="{_GREY}">{escape(name)} ({group.size:,})</div>{_grid(part)}')
    rest = tiles[at:]
    return [*out, _grid(rest)] if rest else out


def _grid(tiles: Sequence[str]) -> str:
    return f'<div style="{_GRID}">{"".join(tiles)}</div>'


def _head(result: SearchResult) -> str:
    count = len(result.hits)
    said = f"{count:,} {'hit' if count == 1 else 'hits'} among {result.searched:,} images"
    return f'<div style="{_GREY}">{said} · {escape(_line(result.encoder))}</div>'


def _foot(result: SearchResult, problem: str) -> str:
    lines = [_line(note) for note in result.notes[:_NOTES]]
    if len(result.hits) > MOST:
        lines.insert(0, f"and {len(result.hits) - MOST:,} more")
    if result.cut:
        lines.insert(0, f"{result.cut:,} more below the cutoff")
    if problem:
        lines.insert(0, f"pictures cannot be read: {_line(problem)}")
    return "".join(f'<div style="{_GREY}">{escape(line)}</div>' for line in lines)


def _line(text: str) -> str:
    return display_path(text.encode("utf-8", "backslashreplace"))


_FRAME: Final = "font-family: system-ui, sans-serif; font-size: 13px; line-height: 1.4"
_GREY: Final = "opacity: .75; margin: .4em 0; overflow-wrap: anywhere"
_GRID: Final = "display: flex; flex-wrap: wrap; gap: 10px; align-items: flex-start"
_TILE: Final = "margin: 0; width: 160px"
_BOX: Final = (
    "width: 160px; height: 160px; display: flex; align-items: center; justify-content: center; "
    "background: rgba(128, 128, 128, .15); border-radius: 6px; overflow: hidden"
)
_IMAGE: Final = "max-width: 100%; max-height: 100%; margin: 0"
_NONE: Final = "opacity: .75; font-size: 12px; text-align: center; padding: 8px"
_CAPTION: Final = "font-size: 12px; padding-top: 4px; overflow-wrap: anywhere; text-align: left"
