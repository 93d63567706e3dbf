"""Pictures for probes: noise of one colour, none like another in its pattern, so that only copies are duplicates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

COLOURS = {"red": (200, 40, 40), "lime": (60, 220, 60), "blue": (40, 40, 200)}


def draw(folder: Path, colour: str, number: int) -> Path:
    """A picture of a colour in a folder of its name: blocks that are lighter and darker."""
    generator = np.random.default_rng([number, *COLOURS[colour]])
    shades = generator.normal(0, 45, (8, 8, 1)).repeat(5, 0).repeat(5, 1)
    pixels = np.clip(np.array(COLOURS[colour]) + shades, 0, 255).astype(np.uint8)
    path = folder / colour / f"{number:02}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def album(folder: Path, each: int = 8) -> Path:
    """``each`` pictures of each colour."""
    for colour in COLOURS:
        for number in range(each):
            draw(folder, colour, number)
    return folder
