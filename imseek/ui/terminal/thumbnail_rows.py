"""Print a ranking as rows of thumbnails, each with its number, score and name below."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.segment import Segment, Segments

from imseek.errors import MediaError
from imseek.showing import load_small, short_reason
from imseek.types.arrays import Pixels
from imseek.types.search_results import Hit, ReadPicture
from imseek.ui.terminal.capabilities import TerminalCapabilities
from imseek.ui.terminal.graphics import render_blocks, render_picture

#: Maximum number of hits shown.
MAX_HITS: Final = 100
#: Approximate size of a tile in characters: picture, gap to the next one, two lines below.
_WIDTH: Final = 24
_LINES: Final = 10
_GAP: Final = 2
_BELOW: Final = 2
_SIDE: Final = 480
_THREADS: Final = 4

_Picture = Pixels | str


def print_preview(
    hits: Sequence[Hit], names: Sequence[str], read_picture: ReadPicture, screen: TerminalCapabilities
) -> None:
    """Print the first hits as pictures with ``names`` below. ``screen`` must be able to draw them."""
    across = max(1, round((screen.columns + _GAP) / (_WIDTH + _GAP)))
    width = max(4, (screen.columns + _GAP) // across - _GAP)
    lines = max(2, min(_LINES, screen.lines - _BELOW - 2))
    visible = hits[:MAX_HITS]

    def picture(hit: Hit) -> _Picture:
        try:
            return load_small(read_picture, hit.collection, hit.image_id, _SIDE)
        except MediaError as error:
            return short_reason(error)

    with ThreadPoolExecutor(_THREADS) as pool:
        pictures = pool.map(picture, visible)
        for start in range(0, len(visible), across):
            row = range(start, min(start + across, len(visible)))
            labels = [_label(n + 1, visible[n], names[n], width) for n in row]
            tiles = [next(pictures) for _ in row]
            if screen.protocol == "blocks":
                _print_blocks(tiles, labels, (width, lines))
            else:
                sys.stdout.write("".join(_draw_row(tiles, labels, (width, lines), screen)))
                sys.stdout.flush()


def _label(number: int, hit: Hit, name: str, width: int) -> tuple[str, str]:
    same = f"  +{len(hit.duplicates)}" if hit.duplicates else ""
    if cell_len(name) > width:
        name = set_cell_size(name, width - 1).rstrip() + "…"
    return set_cell_size(f"{number}  {hit.score:.3f}{same}", width), set_cell_size(name, width)


def _draw_row(
    tiles: Sequence[_Picture],
    labels: Sequence[tuple[str, str]],
    box: tuple[int, int],
    screen: TerminalCapabilities,
) -> Iterator[str]:
    """Yield a row of tiles: first the lines, so that nothing scrolls afterwards, then the pictures above them."""
    assert screen.protocol is not None
    gap = " " * _GAP
    reasons = [tile if isinstance(tile, str) else "" for tile in tiles]
    yield f"{gap.join(set_cell_size(reason, box[0]) for reason in reasons).rstrip()}\n"
    yield "\n" * (box[1] - 1)
    for line in zip(*labels, strict=True):
        yield f"{gap.join(line).rstrip()}\n"
    yield "\n\x1b7"
    for n, tile in enumerate(tiles):
        if not isinstance(tile, str):
            picture = render_picture(tile, screen.protocol, box, screen.cell)
            column = 1 + n * (box[0] + _GAP)
            yield f"\x1b[{box[1] + _BELOW + 1}A\x1b[{column}G{picture}\x1b8"


def _print_blocks(tiles: Sequence[_Picture], labels: Sequence[tuple[str, str]], box: tuple[int, int]) -> None:
    drawings = [[[Segment(tile)]] if isinstance(tile, str) else render_blocks(tile, box) for tile in tiles]
    segments: list[Segment] = []
    for number in range(max(len(lines) for lines in drawings)):
        for n, lines in enumerate(drawings):
            line = lines[number] if number < len(lines) else []
            width = Segment.get_line_length(line)
            last = n == len(drawings) - 1
            segments += [*line, Segment("" if last else " " * (box[0] - width + _GAP))]
        segments.append(Segment.line())
    for texts in zip(*labels, strict=True):
        segments += [Segment((" " * _GAP).join(texts).rstrip()), Segment.line()]
    console = Console(file=sys.stdout, highlight=False, soft_wrap=True)
    console.print(Segments([*segments, Segment.line()]), end="")
