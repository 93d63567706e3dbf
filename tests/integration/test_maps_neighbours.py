"""Neighbours for maps of many images, found cell by cell, beside all of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data

import imseek
from imseek import maps
from imseek.analysis.space_vectors import Vectors
from imseek.maps import fit, neighbours
from imseek.types.arrays import Float32


@pytest.fixture(scope="module")
def crops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A collection of 372 crops of three photographs, 24 of them twice, and thirty red pictures."""
    folder = tmp_path_factory.mktemp("crops")
    rng = np.random.default_rng(7)
    for name in ("astronaut", "coffee", "chelsea"):
        picture = Image.fromarray(getattr(data, name)())
        for n in range(124):
            left, top = (int(rng.integers(0, side - 64)) for side in picture.size)
            crop = picture.crop((left, top, left + 64, top + 64))
            crop.save(folder / f"{name}-{n}.png")
            if n < 8:
                crop.save(folder / f"{name}-{n}-again.bmp")
    for n in range(30):
        Image.new("RGB", (16 + n, 16), "red").save(folder / f"red-{n}.png")
    root = tmp_path_factory.mktemp("made") / "c"
    with imseek.create(root, encoder="fake") as collection:
        collection.index([folder])
    return root


def _found(root: Path, k: int) -> tuple[Float32, neighbours.Int32, Float32]:
    """Return the unit vectors, and the neighbours found of each image with their distances."""
    with imseek.open(root) as collection:
        return collection.engine.read(lambda reader: _search(Vectors(reader), k))


def _search(vectors: Vectors, k: int) -> tuple[Float32, neighbours.Int32, Float32]:
    n = len(vectors)
    at, apart, seen = np.full((n, k), -1, np.int32), np.empty((n, k), np.float32), np.zeros(n, np.int64)
    for rows, positions, distances in neighbours.find_approximate(vectors, vectors.ids, k, seed=0):
        at[rows], apart[rows] = positions, distances
        seen[rows] += 1
    assert (seen == 1).all()
    return vectors.of(vectors.ids), at, apart


def _share_found(rows: Float32, at: neighbours.Int32) -> float:
    """Return the share of neighbours as near as the k-th that exhaustive search finds, ties included."""
    cosines = rows @ rows.T
    np.fill_diagonal(cosines, -np.inf)
    kth = np.sort(cosines, axis=1)[:, -at.shape[1]]
    return float((np.take_along_axis(cosines, at.astype(np.int64), axis=1) >= kth[:, np.newaxis] - 1e-3).mean())


def test_most_neighbours_are_the_nearest_ones(crops, monkeypatch) -> None:
    rows, at, apart = _found(crops, 15)
    assert _share_found(rows, at) > 0.97
    assert (at != np.arange(len(at))[:, np.newaxis]).all()
    assert all(len(set(one)) == 15 for one in at.tolist())
    assert (np.diff(apart, axis=1) >= -1e-6).all()
    expected = 1 - np.einsum("nd,nkd->nk", rows, rows[at])
    assert np.abs(apart - expected).max() < 2e-3
    monkeypatch.setattr(neighbours, "_NEAR_CELLS", 3)
    rows, at, _ = _found(crops, 15)
    assert 0.5 < _share_found(rows, at) < 0.97


def test_cells_with_fewer_images_than_neighbours(crops, monkeypatch) -> None:
    monkeypatch.setattr(neighbours, "_NEAR_CELLS", 1)
    _, at, _ = _found(crops, 60)
    assert all(len(set(one)) == 60 for one in at.tolist())


def test_a_map_with_them_is_as_true(crops, monkeypatch) -> None:
    exact = maps.lay_out(crops, refit=True).info.trustworthiness
    monkeypatch.setattr(fit, "_MAX_EXACT", 100)
    first = maps.lay_out(crops, refit=True)
    assert first.laid_out == 426
    assert first.info.trustworthiness > exact - 0.02


def test_images_that_are_all_equal(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(fit, "_MAX_EXACT", 20)
    (tmp_path / "same").mkdir()
    for n in range(40):
        Image.new("RGB", (16 + n, 16), "red").save(tmp_path / "same" / f"{n}.png")
    with imseek.create(tmp_path / "c", encoder="fake") as collection:
        collection.index([tmp_path / "same"])
    assert maps.lay_out(tmp_path / "c").laid_out == 40
