"""Codes of rotated vectors: principal axes are dealt to them, so that they err less where vectors differ."""

from __future__ import annotations

import gc
import weakref

import faiss
import numpy as np
import pytest
from approximating import NARROW_ROWS, NARROW_WIDTH, narrow_index, narrow_rows

from imseek.data.vectors.code_rotation import RotatedIndex, balanced_rotation
from imseek.data.vectors.faiss_snapshot import Snapshot
from imseek.data.vectors.index_kinds import make_index


@pytest.mark.parametrize(("dim", "codes"), [(64, 32), (64, 16), (64, 64), (48, 16), (16, 8), (72, 24)])
def test_rotations_keep_lengths_and_angles(dim: int, codes: int) -> None:
    rotation = balanced_rotation(narrow_rows(2000), dim, codes)
    assert rotation.shape == (dim, NARROW_WIDTH)
    assert rotation.dtype == np.float32
    products = rotation @ rotation.T if dim <= NARROW_WIDTH else rotation.T @ rotation
    np.testing.assert_allclose(products, np.eye(min(dim, NARROW_WIDTH)), atol=1e-5)


@pytest.mark.parametrize("rows", [1, 10, NARROW_WIDTH])
def test_few_rows_are_enough(rows: int) -> None:
    rotation = balanced_rotation(narrow_rows(rows), NARROW_WIDTH, 32)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(NARROW_WIDTH), atol=1e-5)


def test_each_code_has_an_axis_of_each_rank() -> None:
    """Along half of the axes these rows do not differ: each code has one of both halves."""
    rows = narrow_rows(4000)
    spread = (rows @ balanced_rotation(rows, NARROW_WIDTH, 32).T).reshape(-1, 32, 2).std(axis=0)
    assert (spread[:, 0] > 5 * spread[:, 1]).all()
    assert spread[:, 0].max() < 3 * spread[:, 0].min()


def test_codes_of_rotated_rows_lose_less() -> None:
    rows = narrow_rows(NARROW_ROWS)
    errors = {}
    for factory in ("IVF16,PQ32x4fs", "OPQ32,IVF16,PQ32x4fs"):
        index = RotatedIndex.of(narrow_index(factory, rows))
        vectors = index.rotate(rows)
        difference = vectors - index.inner.pq.decode(index.inner.pq.compute_codes(vectors))
        errors[factory] = float((difference**2).sum(axis=1).mean())
    assert errors["OPQ32,IVF16,PQ32x4fs"] < 0.3 * errors["IVF16,PQ32x4fs"]


def test_a_snapshot_proposes_what_faiss_finds() -> None:
    """Lists are chosen and searched here, after the rotation, as FAISS does with the whole index."""
    rows = narrow_rows(NARROW_ROWS)
    index = narrow_index("OPQ32,IVF16,PQ32x4fs", rows)
    snapshot = Snapshot(index, None, None)  # type: ignore[arg-type]
    queries = narrow_rows(20, 1)
    parameters = faiss.SearchParametersPreTransform(index_params=faiss.SearchParametersIVF(nprobe=4))
    scores, ids = index.search(queries, 50, params=parameters)
    assert snapshot.has_lists
    for batch in (queries, queries[:1]):
        candidates = snapshot.candidates(batch, 50, 4, None)
        np.testing.assert_allclose(candidates.scores, scores[: len(batch)], atol=0.02)
        shared = [len(np.intersect1d(a, b)) for a, b in zip(candidates.ids, ids, strict=False)]
        assert min(shared) >= 45
    assert len(snapshot.candidates(queries[:0], 50, 4, None).ids) == 0
    lists = snapshot.nearest_lists(queries, 4)
    assert lists is not None
    some = snapshot.candidates(queries[5:7], 50, 4, None, lists=lists.of(slice(5, 7)))
    assert [set(one) for one in some.ids.tolist()] == [
        set(one) for one in snapshot.candidates(queries[5:7], 50, 4, None).ids.tolist()
    ]


@pytest.mark.parametrize("factory", ["IVF16,PQ32x4fs", "OPQ32,IVF16,PQ32x4fs"])
def test_an_index_lives_as_long_as_what_is_inside(factory: str) -> None:
    """FAISS frees the inner index with the whole one: what is read from it later would be other memory."""
    index = narrow_index(factory, narrow_rows(NARROW_ROWS))
    whole = weakref.ref(index)
    rotated = RotatedIndex.of(index)
    del index
    gc.collect()
    assert whole() is rotated.whole


@pytest.mark.parametrize("factory", ["IVF16,PQ32x4fs", "PCA32,IVF16,PQ16x4fs", "L2norm,IVF16,PQ32x4fs", "Flat"])
def test_other_transforms_are_no_rotations(factory: str) -> None:
    index = make_index(factory, NARROW_WIDTH)
    assert RotatedIndex.of(index).rotation is None
    assert RotatedIndex.of(index).inner is index
