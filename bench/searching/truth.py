"""The right answers: the best rows for each query, by brute force, a block of rows in memory at a time."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import vectors
from searching.measure import KINDS

#: Answers that are kept per query, so that those which tie with the last one wanted are among them.
KEPT = 32


def prepare(
    work: Path,
    count: int,
    dim: int,
    seed: int,
    profile: vectors.Name,
    asked: int,
    shares: tuple[float | str, ...],
    rows_too: bool,
) -> None:
    """Fills the folder ``work`` with queries, right answers and, for those who need it, ``rows.npy``, unless there.

    ``shares`` name the filters: a number lets that share of the rows through at random, ``near S`` the share S that
    lies nearest to the first query, which is like a folder of such pictures.
    """
    work.mkdir(parents=True, exist_ok=True)
    stamp = [count, dim, seed, asked, list(shares), KEPT]
    written = work / "truth.json"
    if rows_too and not (work / "rows.npy").exists():
        vectors.write_npy(work / "rows.part.npy", count, dim, seed, profile)
        (work / "rows.part.npy").rename(work / "rows.npy")
    if written.exists():
        there = json.loads(written.read_text())
        if stamp[:4] + stamp[5:] == there[:4] + there[5:] and {*shares} <= {*there[4]}:
            return
    queries = {
        "image": vectors.image_queries(asked, dim, seed, profile),
        "text": vectors.text_queries(asked, dim, seed, profile)[0],
    }
    for kind in KINDS:
        np.save(work / f"{kind}.npy", queries[kind])
    began = time.perf_counter()
    everything = np.concatenate([queries[kind] for kind in KINDS])
    heaps = {share: faiss.ResultHeap(len(everything), KEPT, keep_max=True) for share in (1.0, *shares)}
    masks: dict[float | str, list[Any]] = {share: [] for share in heaps}
    least: dict[float | str, float] = {}
    start = 0
    for stored in vectors.blocks(count, dim, seed, profile=profile):
        rows = stored.astype(np.float32)
        rows /= np.sqrt((rows * rows).sum(axis=1, keepdims=True))  # A score is over the norm of the stored row.
        drawn = vectors.draws(np.arange(start, start + len(rows)))
        near = rows @ queries["image"][0]
        for share, heap in heaps.items():
            if isinstance(share, str):
                least.setdefault(share, float(np.quantile(near, 1 - float(share.removeprefix("near ")))))
                masks[share].append(near > least[share])
            else:
                masks[share].append(drawn < share)
            at = np.flatnonzero(masks[share][-1])
            if len(at):
                few = min(KEPT, len(at))
                scores, nearest = faiss.knn(everything, rows[at], few, metric=faiss.METRIC_INNER_PRODUCT)
                heap.add_result(*_padded(scores, start + at[nearest]))
        start += len(rows)
        print(f"\rright answers: {start:,} of {count:,} rows", end="", file=sys.stderr, flush=True)
    found: dict[str, Any] = {}
    for share, heap in heaps.items():
        heap.finalize()
        for n, kind in enumerate(KINDS):
            mine = slice(n * asked, (n + 1) * asked)
            there = heap.D[mine] > -2
            found[f"{kind} {share} ids"] = np.where(there, heap.I[mine], -1)
            found[f"{kind} {share} scores"] = np.where(there, heap.D[mine], -2)
        np.save(work / f"mask {share}.npy", np.concatenate(masks[share]))
    np.savez(work / "truth.npz", **found)
    written.write_text(json.dumps(stamp))
    print(f" in {time.perf_counter() - began:.0f} s", file=sys.stderr)


def _padded(scores: Any, ids: Any) -> tuple[Any, Any]:
    """To the width of the heap: fewer rows than that may pass a filter."""
    missing = ((0, 0), (0, KEPT - scores.shape[1]))
    return (
        np.pad(scores, missing, constant_values=-3).astype(np.float32),
        np.pad(ids, missing, constant_values=-1).astype(np.int64),
    )
