"""Codes of rotated vectors: principal axes are dealt to them, so that they err less where vectors differ."""

from __future__ import annotations

from typing import Any

import faiss
import numpy as np
import pytest

from imseek.data.vectors.base import Segment
from imseek.data.vectors.build import LiveRows, build_index
from imseek.data.vectors.code_rotation import RotatedIndex, balanced_rotation
from imseek.data.vectors.faiss_snapshot import Snapshot
from imseek.data.vectors.index_kinds import make_index

DIM, ROWS = 64, 6000


def narrow_rows(count: int, seed: int = 0, axes: int = DIM // 2) -> Any:
    """Unit rows that differ along some axes only, none of which is one of the coordinates', around a common mean."""
    basis = np.linalg.qr(np.random.default_rng(5).standard_normal((DIM, DIM)))[0]
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((count, axes)) * np.linspace(2, 0.5, axes) @ basis[:axes] + 5 * basis[-1]
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def live(rows: Any) -> LiveRows:
    return LiveRows([Segment(np.arange(len(rows)), rows.astype(np.float16), np.empty(0, np.int64))])


def built(factory: str, rows: Any) -> Any:
    return build_index(live(rows), DIM, factory, 1 << 30, np.empty(0, np.int64), lambda _: None)


@pytest.mark.parametrize(("dim", "codes"), [(64, 32), (64, 16), (64, 64), (48, 16), (16, 8), (72, 24)])
def test_rotations_keep_lengths_and_angles(dim: int, codes: int) -> None:
    rotation = balanced_rotation(narrow_rows(2000), dim, codes)
    assert rotation.shape == (dim, DIM)
    assert rotation.dtype == np.float32
    products = rotation @ rotation.T if dim <= DIM else rotation.T @ rotation
    np.testing.assert_allclose(products, np.eye(min(dim, DIM)), atol=1e-5)


@pytest.mark.parametrize("rows", [1, 10, DIM])
def test_few_rows_are_enough(rows: int) -> None:
    rotation = balanced_rotation(narrow_rows(rows), DIM, 32)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(DIM), atol=1e-5)


def test_each_code_has_an_axis_of_each_rank() -> None:
    """Along half of the axes these rows do not differ: each code has one of both halves."""
    rows = narrow_rows(4000)
    spread = (rows @ balanced_rotation(rows, DIM, 32).T).reshape(-1, 32, 2).std(axis=0)
    assert (spread[:, 0] > 5 * spread[:, 1]).all()
    assert spread[:, 0].max() < 3 * spread[:, 0].min()


def test_codes_of_rotated_rows_lose_less() -> None:
    rows = narrow_rows(ROWS)
    errors = {}
    for factory in ("IVF16,PQ32x4fs", "OPQ32,IVF16,PQ32x4fs"):
        index = RotatedIndex.of(built(factory, rows))
        vectors = index.rotate(rows)
        difference = vectors - index.inner.pq.decode(index.inner.pq.compute_codes(vectors))
        errors[factory] = float((difference**2).sum(axis=1).mean())
    assert errors["OPQ32,IVF16,PQ32x4fs"] < 0.3 * errors["IVF16,PQ32x4fs"]


def test_a_snapshot_proposes_what_faiss_finds() -> None:
    """Lists are chosen and searched here, after the rotation, as FAISS does with the whole index."""
    rows = narrow_rows(ROWS)
    index = built("OPQ32,IVF16,PQ32x4fs", rows)
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


@pytest.mark.parametrize("factory", ["IVF16,PQ32x4fs", "PCA32,IVF16,PQ16x4fs", "L2norm,IVF16,PQ32x4fs", "Flat"])
def test_other_transforms_are_no_rotations(factory: str) -> None:
    index = make_index(factory, DIM)
    assert RotatedIndex.of(index).rotation is None
    assert RotatedIndex.of(index).inner is index
