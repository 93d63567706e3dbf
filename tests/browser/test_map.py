"""The page of maps: laid out as a job, looked at, coloured by words, chosen from with a lasso."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from browsing import Pages, Visit, pages
from playwright.sync_api import expect
from skimage.measure import points_in_poly

import imseek
from imseek import maps

MANY = 5_000


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, photo_files: list[Path]) -> Path:
    """``photos``: real photographs, with a map by principal components; ``bare``: the same without; ``many``: 5,000
    vectors that came without pictures, with a map."""
    folder = tmp_path_factory.mktemp("library")
    for name in ("photos", "bare"):
        path = folder / "collections" / name
        with imseek.create(path, encoder="builtin") as collection:
            collection.index(names=photo_files)
    maps.lay_out(folder / "collections" / "photos", method="pca")
    vectors = np.random.default_rng(3).normal(size=(MANY, 32)).astype(np.float32)
    given = folder / "vectors"
    given.mkdir()
    np.save(given / "vectors.npy", vectors)
    pq.write_table(pa.table({"path": [f"/nowhere/{n}.jpg" for n in range(MANY)]}), given / "table.parquet")
    return folder


def place(page: Any, at: Any) -> tuple[float, float]:
    """Where on the screen a point (x, y), from -1 to 1, is."""
    canvas = page.locator("canvas.points")
    box = canvas.bounding_box()
    x, y, unit = map(float, canvas.get_attribute("data-view").split())
    return box["x"] + box["width"] / 2 + (at[0] - x) * unit, box["y"] + box["height"] / 2 - (at[1] - y) * unit
