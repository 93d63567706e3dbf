"""Collections of painted pictures, and where they lie on maps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from imseek import maps


def painted(folder: Path, count: int, seed: int = 0) -> Path:
    """Pictures of one colour each, all different."""
    folder.mkdir(parents=True, exist_ok=True)
    colours = np.random.default_rng(seed).integers(0, 256, (count, 3))
    for n, colour in enumerate(colours.tolist()):
        Image.new("RGB", (16, 16), tuple(colour)).save(folder / f"{seed}-{n:03}.png")
    return folder


def places(root: Path, name: str = "map") -> dict[int, tuple[float, float]]:
    table = maps.table(root, name)
    return dict(
        zip(
            table["image_id"].to_pylist(),
            zip(*(table[c].to_pylist() for c in "xy"), strict=True),
            strict=True,
        )
    )
