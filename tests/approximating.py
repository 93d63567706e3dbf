"""Snapshots for tests: approximate indexes in memory, of a few rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import faiss
import numpy as np

from imseek.data.vectors import Segment
from imseek.data.vectors.build import LiveRows, build_index
from imseek.data.vectors.faiss_snapshot import Snapshot
from imseek.data.vectors.index_kinds import make_index
from imseek.data.vectors.index_metadata import (
    CoveredIds,
    IndexMetadata,
    SearchEffort,
    TuningResult,
    pack_bits,
)
from imseek.data.vectors.sharded_index import ShardedSnapshot
from imseek.types.arrays import Float32

#: Every row is a candidate.
ALL = TuningResult(SearchEffort(1 << 20, 1 << 20), recall=1.0, queries=0)
#: The width of :func:`narrow_rows`, and enough of them for lists and codes.
NARROW_WIDTH, NARROW_ROWS = 64, 6000


def snapshot_of(
    segments: Sequence[Segment],
    dim: int,
    *,
    upto: int = 1 << 31,
    part: tuple[int, int] = (0, 1),
    factory: str = "Flat",
    tuned: TuningResult = ALL,
) -> Snapshot:
    """Of the live rows whose id is at most ``upto``; of these, the ``part``, such as (0, 3): the first of three."""
    index = make_index(factory, dim)
    number, parts = part
    kept = [s.searchable() & (s.ids <= min(upto, 1 << 24)) & (s.ids % parts == number) for s in segments]
    ids = np.concatenate([np.empty(0, np.int64), *(s.ids[k] for s, k in zip(segments, kept, strict=True))])
    rows = np.concatenate(
        [
            np.empty((0, dim), np.float32),
            *(s.rows[k].astype(np.float32) for s, k in zip(segments, kept, strict=True)),
        ]
    )
    if len(ids):
        index.train(rows)
        index.add_with_ids(rows, ids)
    norms = np.linalg.norm(rows, axis=1)
    usual = norms[norms > 0]
    lo, hi = (float(usual.min()) * 0.999, float(usual.max()) * 1.001) if usual.size else (1.0, 1.0)
    marks = pack_bits(ids, (int(ids.max(initial=0)) // 8 + 1) * 8)
    facts = IndexMetadata(
        factory=factory, dim=dim, rows=len(ids), trained=len(ids), imbalance=1.0, lo=lo, hi=hi, target=0.99,
        memory=1 << 30, built="2026-01-01T00:00:00+00:00", seconds=0.0, image=tuned, text=tuned, texts="",
    )  # fmt: skip
    assert faiss.__version__
    return Snapshot(index, CoveredIds(marks), facts)


def joined_of(
    segments: Sequence[Segment], dim: int, parts: int, *, upto: int = 1 << 31, factory: str = "Flat"
) -> ShardedSnapshot:
    """Of the same rows, in several parts."""
    each = [snapshot_of(segments, dim, upto=upto, part=(n, parts), factory=factory) for n in range(parts)]
    facts = replace(
        each[0].facts,
        rows=sum(one.facts.rows for one in each),
        lo=min(one.facts.lo for one in each),
        hi=max(one.facts.hi for one in each),
        parts=tuple(map(str, range(parts))),
    )
    return ShardedSnapshot(each, facts)


def narrow_rows(count: int, seed: int = 0, axes: int = NARROW_WIDTH // 2) -> Float32:
    """Unit rows that differ along some axes only, none of which is one of the coordinates', around a common mean."""
    basis = np.linalg.qr(np.random.default_rng(5).standard_normal((NARROW_WIDTH, NARROW_WIDTH)))[0]
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((count, axes)) * np.linspace(2, 0.5, axes) @ basis[:axes] + 5 * basis[-1]
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def narrow_index(factory: str, rows: Float32) -> Any:
    """FAISS's index of :func:`narrow_rows`, whose ids are their numbers."""
    segment = Segment(np.arange(len(rows)), rows.astype(np.float16), np.empty(0, np.int64))
    return build_index(LiveRows([segment]), NARROW_WIDTH, factory, 1 << 30, np.empty(0, np.int64), lambda _: None)
