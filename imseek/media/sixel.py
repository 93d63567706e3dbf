"""Draw pictures as sixels in terminals: DEC STD 070, "VT330/VT340 Programmer Reference", chapter 14."""

from __future__ import annotations

import re
from typing import Final

import numpy as np
from PIL import Image

#: Colour registers that all sixel terminals have had for years.
_COLOURS: Final = 256
_RUN: Final = re.compile(rb"(.)\1{3,}", re.DOTALL)


def sixels(picture: Image.Image) -> str:
    """Encode an RGB picture as one escape sequence, reduced to 256 adaptive colours, with an aspect of 1:1."""
    reduced = picture.convert("RGB").quantize(_COLOURS, Image.Quantize.MEDIANCUT)
    indices = np.asarray(reduced)
    palette = np.asarray(reduced.getpalette() or [], np.uint32).reshape(-1, 3)
    height, width = indices.shape
    out = [f'\x1bP0;1q"1;1;{width};{height}'.encode()]
    percent = (palette * 100 + 127) // 255
    for colour in np.unique(indices).tolist():
        out.append(b"#%d;2;%d;%d;%d" % (colour, *percent[colour].tolist()))
    weights = 1 << np.arange(6, dtype=np.uint8)[:, None]
    for top in range(0, height, 6):
        band = indices[top : top + 6]
        runs = []
        for colour in np.unique(band).tolist():
            bits = ((band == colour) * weights[: len(band)]).sum(axis=0, dtype=np.uint8)
            line = (bits + 63).astype(np.uint8).tobytes().rstrip(b"?")
            packed = _RUN.sub(lambda run: b"!%d%b" % (len(run[0]), run[1]), line)
            runs.append(b"#%d%b" % (colour, packed))
        out.append(b"$".join(runs) + b"-")
    return (b"".join(out) + b"\x1b\\").decode("ascii")
