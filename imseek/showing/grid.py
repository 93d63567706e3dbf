"""Render HTML grids of thumbnails for notebooks, without scripts or external resources.

Styles are inline and inherit colours, as notebooks strip style sheets from untrusted output and may be dark or light.
Texts are untrusted and escaped, including control characters.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from html import escape
from typing import Final, TypeAlias

from imseek.errors import MediaError
from imseek.showing.pictures import load_small, name_of, short_reason
from imseek.types.pictures import Place, display_path
from imseek.types.search_results import ReadPicture, SearchResult, describe_matches

#: Limits, since notebooks store everything: pictures, their total bytes before base64, pixels of their longer side,
#: and seconds to load them.
MAX_TILES: Final = 60
MAX_BYTES: Final = 3_000_000
SIDE: Final = 240
MAX_SECONDS: Final = 20.0
_THREADS: Final = 4
_MAX_NOTES: Final = 10

OpenPictures: TypeAlias = Callable[[], AbstractContextManager[ReadPicture]]


@dataclass(frozen=True, slots=True)
class Tile:
    """A picture with a line of text above its name, and one below it; ``alt`` is the text alternative."""

    collection: str
    image_id: int
    place: Place | None
    line: str
    alt: str
    below: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """Tiles under an optional heading."""

    heading: str | None
    tiles: tuple[Tile, ...]


def render_page(head: str, sections: Sequence[Section], foot: Sequence[str], open_pictures: OpenPictures) -> str:
    """Render a page. Never raises: an unreadable picture becomes an empty tile with the reason."""
    try:
        return _render_page(head, sections, foot, open_pictures)
    except Exception as error:  # such as an odd response of a server: the notebook should show it and go on
        return render_error(error)


def render_result(result: SearchResult, open_pictures: OpenPictures) -> str:
    """Render a search result as a grid. Never raises."""
    try:
        return render_page(*_result_parts(result), open_pictures)
    except Exception as error:  # as above
        return render_error(error)


def render_error(error: Exception) -> str:
    return f'<div style="{_GREY}">this cannot be shown: {escape(_one_line(str(error) or type(error).__name__))}</div>'


def _result_parts(result: SearchResult) -> tuple[str, list[Section], list[str]]:
    tiles = []
    for n, hit in enumerate(result.hits, start=1):
        same = f" +{len(hit.duplicates)}" if hit.duplicates else ""
        line = f"{n} · {hit.score:.3f}{same} · id {hit.image_id}"
        alt = f"{n}: {name_of(hit.place, hit.image_id)}, score {hit.score:.3f}"
        tiles.append(Tile(hit.collection, hit.image_id, hit.place, line, alt, describe_matches(hit.matches)))
    sections, at = [], 0
    for group in result.groups:
        name = "unknown" if group.name is None else group.name
        sections.append(Section(f"{name} ({group.size:,})", tuple(tiles[at : at + len(group.hits)])))
        at += len(group.hits)
    sections.append(Section(None, tuple(tiles[at:])))
    hits = "hit" if len(tiles) == 1 else "hits"
    foot = [f"{result.cut:,} more below the cutoff"] if result.cut else []
    head = f"{len(tiles):,} {hits} among {result.searched:,} images · {result.encoder}"
    return head, sections, [*foot, *result.notes[:_MAX_NOTES]]


def _render_page(head: str, sections: Sequence[Section], foot: Sequence[str], open_pictures: OpenPictures) -> str:
    tiles_shown = [tile for section in sections for tile in section.tiles][:MAX_TILES]
    count = sum(len(section.tiles) for section in sections)
    below = [f"and {count - len(tiles_shown):,} more"] if count > len(tiles_shown) else []
    try:
        with open_pictures() as read_picture:
            pictures = _load_thumbnails(tiles_shown, read_picture)
    except Exception as error:  # anything may be wrong with the collection or server by now
        pictures = ["cannot be read"] * len(tiles_shown)
        below.append(f"pictures cannot be read: {error or type(error).__name__}")
    left, pairs = MAX_BYTES, iter(zip(tiles_shown, pictures, strict=True))
    parts = []
    for section in sections:
        tiles = []
        for tile, picture in (next(pairs) for _ in section.tiles[: len(tiles_shown)]):
            if isinstance(picture, bytes):
                fits = len(picture) <= left
                left -= len(picture) if fits else 0
                picture = picture if fits else "left out"
            tiles.append(_render_tile(tile, picture))
        tiles_shown = tiles_shown[len(tiles) :]
        if tiles:
            parts += [] if section.heading is None else [_render_note(section.heading)]
            parts.append(f'<div style="{_GRID}">{"".join(tiles)}</div>')
    body = "".join([_render_note(head), *parts, *(_render_note(line) for line in (*below, *foot))])
    return f'<div style="{_FRAME}">{body}</div>'


def data_uri(webp: bytes) -> str:
    return f"data:image/webp;base64,{base64.b64encode(webp).decode('ascii')}"


def _load_thumbnails(tiles: Sequence[Tile], read_picture: ReadPicture) -> list[bytes | str]:
    """Return a WebP thumbnail for each tile, or the reason why there is none."""
    from imseek.media import thumbnail

    deadline = time.monotonic() + MAX_SECONDS

    def picture(tile: Tile) -> bytes | str:
        if time.monotonic() > deadline:
            return "left out: it took too long"
        try:
            return thumbnail(load_small(read_picture, tile.collection, tile.image_id, SIDE), SIDE)
        except MediaError as error:
            return short_reason(error)

    with ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(picture, tiles))


def _render_tile(tile: Tile, picture: bytes | str) -> str:
    where = "" if tile.place is None else tile.place.display
    if isinstance(picture, bytes):
        inner = f'<img src="{data_uri(picture)}" alt="{escape(_one_line(tile.alt))}" style="{_IMAGE}">'
    else:
        inner = f'<span style="{_NONE}">{escape(picture)}</span>'
    below = f'<br><span style="{_BELOW}">{escape(_one_line(tile.below))}</span>' if tile.below else ""
    return (
        f'<figure style="{_TILE}" title="{escape(where)}"><div style="{_BOX}">{inner}</div>'
        f'<figcaption style="{_CAPTION}">{escape(_one_line(tile.line))}<br>'
        f"<bdi>{escape(name_of(tile.place, tile.image_id))}</bdi>{below}</figcaption></figure>"
    )


def _render_note(line: str) -> str:
    return f'<div style="{_GREY}">{escape(_one_line(line))}</div>'


def _one_line(text: str) -> str:
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
_BELOW: Final = "opacity: .75"
_CAPTION: Final = "font-size: 12px; padding-top: 4px; overflow-wrap: anywhere; text-align: left"
