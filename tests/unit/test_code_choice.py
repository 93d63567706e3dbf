"""An automatic index gives each row half as many codes where these rank its neighbours well enough."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from imseek.data.vectors import code_choice
from imseek.data.vectors.base import Segment
from imseek.data.vectors.build import LiveRows
from imseek.data.vectors.code_choice import choose_codes
from imseek.data.vectors.index_kinds import choose_factory, codes_of, is_automatic, with_half_the_codes, with_lists

DIM = 64
AUTOMATIC = "OPQ32,IVF64,PQ32x4fs"


def rows_along(axes: int, count: int = 6000) -> LiveRows:
    """Rows in classes, which differ along some of the axes only, none of which is one of the coordinates'."""
    rng = np.random.default_rng(3)
    basis = np.linalg.qr(rng.standard_normal((DIM, DIM)))[0]
    classes = rng.standard_normal((300, axes))
    rows: Any = (classes[rng.integers(0, 300, count)] + 0.4 * rng.standard_normal((count, axes))) @ basis[:axes]
    return LiveRows([Segment(np.arange(count), rows.astype(np.float16), np.empty(0, np.int64))])


@pytest.fixture(autouse=True)
def share_of_small_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(code_choice, "_CANDIDATES", 0.01)


def test_few_axes_need_half_the_codes() -> None:
    assert choose_codes(rows_along(12), DIM, AUTOMATIC) == "OPQ16,IVF64,PQ16x4fs"


def test_many_axes_need_all() -> None:
    assert choose_codes(rows_along(DIM), DIM, AUTOMATIC) == AUTOMATIC


@pytest.mark.parametrize("factory", ["IVF64,SQ8", "OPQ8,IVF64,PQ8x4fs", "Flat", "HNSW16,SQ8"])
def test_other_kinds_stay(factory: str) -> None:
    assert choose_codes(rows_along(12), DIM, factory) == factory


@pytest.mark.parametrize("rows", [0, 3, 900])
def test_few_rows_are_no_reason(rows: int) -> None:
    assert choose_codes(rows_along(12, rows), DIM, AUTOMATIC) == AUTOMATIC


@pytest.mark.parametrize(
    ("dim", "memory", "kind", "half"),
    [
        (512, 10**9, "OPQ256,IVF4096,PQ256x4fs", "OPQ128,IVF4096,PQ128x4fs"),
        (512, 150 * 10**6, "OPQ128,IVF4096,PQ128x4fs", "OPQ64,IVF4096,PQ64x4fs"),
        (509, 10**10, "OPQ255_510,IVF4096,PQ255x4fs", "OPQ128_512,IVF4096,PQ128x4fs"),
        (1267, 10**10, "OPQ634_1268,IVF4096,PQ634x4fs", "OPQ317_1268,IVF4096,PQ317x4fs"),
    ],
)
def test_kinds_by_memory_and_their_halves(dim: int, memory: int, kind: str, half: str) -> None:
    """Any width can be divided: a rotation adds the dimensions that are missing."""
    factory = choose_factory(1_000_000, dim, memory)
    assert factory == kind
    assert with_half_the_codes(kind, dim) == half
    assert codes_of(kind) == -(-dim // (2 if memory > 10**8 * 2 else 4))
    assert is_automatic(half.replace("IVF4096", "IVF64"), kind, dim)
    assert is_automatic(kind.replace("OPQ", "XXX").partition(",")[2], kind, dim), "of an earlier version"
    assert not is_automatic("IVF4096,SQ8", kind, dim)


def test_lists_can_be_renumbered() -> None:
    assert with_lists("OPQ128_512,IVF4096,PQ128x4fs", 64) == "OPQ128_512,IVF64,PQ128x4fs"
