"""Pictures as terminal output.

A picture begins at the cursor; terminals disagree on where the cursor is afterwards.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from imseek.media import fit, png, sixels
from imseek.ui.terminal.capabilities import GraphicsProtocol

if TYPE_CHECKING:
    from rich.segment import Segment

    from imseek.types.arrays import Pixels

_CHUNK = 4096


def render_picture(pixels: Pixels, protocol: GraphicsProtocol, box: tuple[int, int], cell: tuple[int, int]) -> str:
    """Encode a picture as escape sequences, in at most ``box`` (columns, lines) of ``cell`` (width, height) pixels."""
    picture = fit(pixels, box[0] * cell[0], box[1] * cell[1])
    if protocol == "sixel":
        return sixels(picture)
    data = png(picture)
    if protocol == "kitty":
        return "".join(_kitty_chunks(data))
    # In cells: on dense screens, its pixels are not those of the screen.
    size = f"width={math.ceil(picture.width / cell[0])};height={math.ceil(picture.height / cell[1])}"
    coded = base64.b64encode(data).decode("ascii")
    return f"\x1b]1337;File=inline=1;size={len(data)};{size};preserveAspectRatio=1:{coded}\x07"


def _kitty_chunks(data: bytes) -> Iterator[str]:
    """Yield kitty sequences of 4,096 base64 characters that show a PNG. q=2: no reply, C=1: the cursor stays."""
    coded = base64.b64encode(data).decode("ascii")
    for start in range(0, len(coded), _CHUNK):
        more = int(start + _CHUNK < len(coded))
        keys = "" if start else "a=T,f=100,q=2,C=1,"
        yield f"\x1b_G{keys}m={more};{coded[start : start + _CHUNK]}\x1b\\"


def render_blocks(pixels: Pixels, box: tuple[int, int]) -> list[list[Segment]]:
    """Render a picture as lines of half blocks, two pixels per character."""
    import numpy as np
    from rich.color import Color
    from rich.segment import Segment
    from rich.style import Style

    array = np.asarray(fit(pixels, box[0], box[1] * 2))
    if len(array) % 2:
        array = np.concatenate([array, array[-1:]])
    return [
        [
            Segment("▀", Style(color=Color.from_rgb(*above), bgcolor=Color.from_rgb(*below)))
            for above, below in zip(array[top].tolist(), array[top + 1].tolist(), strict=True)
        ]
        for top in range(0, len(array), 2)
    ]
