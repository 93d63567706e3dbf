"""An exact index that proposes rows by 8-bit codes answers as one that reads them all."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from imseek.data.vectors import IdSet, Segment, faiss_index
from imseek.data.vectors.exact_index import MemoryIndex
from imseek.data.vectors.faiss_index import CodedIndex, FaissIndex
from imseek.data.vectors.scores import cosines, row_norms

NONE_DEAD = np.empty(0, np.uint32)


def rows_of(kind: str, count: int, dim: int) -> Any:
    rng = np.random.default_rng(len(kind) + dim)
    rows = rng.standard_normal((count, dim)) + (2 if kind == "near each other" else 0)
    if kind == "one large number each":
        rows[np.arange(count), rng.integers(0, dim, count)] += 30 * np.sqrt(dim)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    rows[::7] = rows[1]  # Copies,
    rows[::11] = rows[2] + rng.standard_normal((len(rows[::11]), dim)) * 1e-3 / np.sqrt(dim)  # near-copies,
    rows[3::50] = 0  # and rows of zeros.
    return rows.astype(np.float16)


@pytest.mark.parametrize("dim", [8, 100, 512])
@pytest.mark.parametrize("kind", ["anywhere", "near each other", "one large number each"])
def test_answers_are_those_of_a_scan(kind: str, dim: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faiss_index, "MIN_CODED_ROWS", 1)
    segments = [
        Segment(np.arange(0, 1200, 2), rows_of(kind, 600, dim), np.arange(0, 600, 9)),
        Segment(np.arange(1, 400, 2), rows_of(kind, 200, dim)[::-1].copy(), NONE_DEAD),
    ]
    made, reference = CodedIndex(segments, dim), MemoryIndex(segments, dim)
    assert all(part.coded is not None for part in made._parts)
    rng = np.random.default_rng(5)
    queries = np.concatenate([rng.standard_normal((4, dim)), segments[0].rows[[1, 2, 4]]]).astype(np.float32)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    allowed = IdSet(np.arange(0, 1200, 3))
    for k in (1, 10, 90, 2000):
        for chosen in (None, allowed):
            found, wanted = made.search(queries, k, allowed=chosen), reference.search(queries, k, allowed=chosen)
            for one, other in zip(found, wanted, strict=True):
                assert one.ids.tolist() == other.ids.tolist()
                assert one.scores.tolist() == other.scores.tolist()


@pytest.mark.parametrize("dim", [8, 100, 512])
@pytest.mark.parametrize("kind", ["anywhere", "near each other", "one large number each"])
def test_scores_by_codes_are_off_by_no_more_than_is_said(kind: str, dim: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faiss_index, "MIN_CODED_ROWS", 1)
    rows = rows_of(kind, 600, dim)
    (part,) = CodedIndex([Segment(np.arange(600), rows, NONE_DEAD)], dim)._parts
    wide = rows.astype(np.float32)
    some = np.flatnonzero(wide.any(axis=1))
    worst = 0.0
    for query in np.concatenate([wide[some[:5]], np.random.default_rng(6).standard_normal((5, dim))]):
        unit = (query / np.linalg.norm(query)).astype(np.float32)
        padded = np.zeros((1, part.flat.d), np.float32)
        padded[0, :dim] = unit
        raw, at = part.coded.search(padded, 600)
        by_codes = np.empty(600, np.float32)
        by_codes[at[0]] = raw[0] / np.maximum(part.norms[at[0]], 1e-6)
        exact = cosines(unit, wide[some], row_norms(wide[some]))
        worst = max(worst, float(np.abs(by_codes[some] - exact).max()))
    assert 0 < worst <= part.coded_error < (0.1 if kind != "one large number each" else 1)


def test_few_rows_and_rows_that_are_not_finite_have_no_codes() -> None:
    few = Segment(np.arange(4), rows_of("anywhere", 4, 8), NONE_DEAD)
    assert CodedIndex([few], 8)._parts[0].coded is None
    many = rows_of("anywhere", 2000, 8)
    many[5] = np.nan
    parts = CodedIndex([Segment(np.arange(2000), many, np.array([5]))], 8)._parts
    assert parts[0].coded is None  # The broken row is dead, but would widen the range of codes.
    assert CodedIndex([Segment(np.arange(2000), np.nan_to_num(many), NONE_DEAD)], 8)._parts[0].coded is not None
    assert FaissIndex([few], 8)._parts[0].coded is None


def test_rows_nearer_to_each_other_than_codes_tell_are_read_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(7)
    query = rng.standard_normal(64)
    query /= np.linalg.norm(query)
    rows = query + 0.1 * rng.standard_normal((3000, 64)) / 8
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    made = CodedIndex([Segment(np.arange(3000), rows.astype(np.float16), NONE_DEAD)], 64)
    scans: list[tuple[int, bool]] = []
    real = faiss_index._scan

    def scan(queries: Any, fetch: int, scope: Any, index: Any = None) -> Any:
        scans.append((fetch, index is not None))
        return real(queries, fetch, scope, index)

    monkeypatch.setattr(faiss_index, "_scan", scan)
    asked = query.astype(np.float32)[np.newaxis]
    (found,) = made.search(asked, 10)
    assert scans == [(42, True), (336, False)]  # By codes, it would take a scan of thousands.
    assert found.ids.tolist() == MemoryIndex(made.segments, 64).search(asked, 10)[0].ids.tolist()
