"""The right answers: the best rows for each query, by brute force, with one block of rows in memory at a time."""

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

from imseek.data.vectors.scores import largest

#: Answers stored for each query: more than are counted, so that those which tie with the last one are included.
ANSWERS = 32


def prepare(
    work: Path,
    count: int,
    dim: int,
    seed: int,
    profile: vectors.Name,
    query_count: int,
    shares: tuple[float | str, ...],
    with_rows: bool,
) -> None:
    """Write queries, right answers and, with ``with_rows``, ``rows.npy`` to the folder ``work``, unless they exist.

    ``shares`` name the filters: a number passes that share of the rows at random, ``near S`` the share S that lies
    nearest to the first query, like a folder of similar pictures.
    """
    work.mkdir(parents=True, exist_ok=True)
    stamp = [count, dim, seed, query_count, list(shares), ANSWERS]
    stamp_file = work / "truth.json"
    if with_rows and not (work / "rows.npy").exists():
        vectors.write_npy(work / "rows.part.npy", count, dim, seed, profile)
        (work / "rows.part.npy").rename(work / "rows.npy")
    if stamp_file.exists():
        earlier = json.loads(stamp_file.read_text())
        if stamp[:4] + stamp[5:] == earlier[:4] + earlier[5:] and {*shares} <= {*earlier[4]}:
            return
    queries = {
        "image": vectors.image_queries(query_count, dim, seed, profile),
        "text": vectors.text_queries(query_count, dim, seed, profile)[0],
    }
    for kind in KINDS:
        np.save(work / f"{kind}.npy", queries[kind])
    start_time = time.perf_counter()
    everything = np.concatenate([queries[kind] for kind in KINDS])
    heaps = {share: faiss.ResultHeap(len(everything), ANSWERS, keep_max=True) for share in (1.0, *shares)}
    masks: dict[float | str, list[Any]] = {share: [] for share in heaps}
    least: dict[float | str, float] = {}
    start = 0
    for block in vectors.blocks(count, dim, seed, profile=profile):
        rows = block.astype(np.float32)
        rows /= np.sqrt((rows * rows).sum(axis=1, keepdims=True))  # A score is over the norm of the stored row.
        draws = vectors.draws(np.arange(start, start + len(rows)))
        near = rows @ queries["image"][0]
        for share, heap in heaps.items():
            if isinstance(share, str):
                least.setdefault(share, float(np.quantile(near, 1 - float(share.removeprefix("near ")))))
                masks[share].append(near > least[share])
            else:
                masks[share].append(draws < share)
            passing = np.flatnonzero(masks[share][-1])
            if len(passing):
                width = min(ANSWERS, len(passing))
                products = everything @ rows[passing].T
                nearest = largest(products, width)
                scores = np.take_along_axis(products, nearest, 1)
                heap.add_result(*_pad(scores, start + passing[nearest]))
        start += len(rows)
        print(f"\rright answers: {start:,} of {count:,} rows", end="", file=sys.stderr, flush=True)
    answers: dict[str, Any] = {}
    for share, heap in heaps.items():
        heap.finalize()
        for n, kind in enumerate(KINDS):
            part = slice(n * query_count, (n + 1) * query_count)
            is_found = heap.D[part] > -2
            answers[f"{kind} {share} ids"] = np.where(is_found, heap.I[part], -1)
            answers[f"{kind} {share} scores"] = np.where(is_found, heap.D[part], -2)
        np.save(work / f"mask {share}.npy", np.concatenate(masks[share]))
    np.savez(work / "truth.npz", **answers)
    stamp_file.write_text(json.dumps(stamp))
    print(f" in {time.perf_counter() - start_time:.0f} s", file=sys.stderr)


def _pad(scores: Any, ids: Any) -> tuple[Any, Any]:
    """Pad to the width of the heap, since fewer rows may pass a filter."""
    missing = ((0, 0), (0, ANSWERS - scores.shape[1]))
    return (
        np.pad(scores, missing, constant_values=-3).astype(np.float32),
        np.pad(ids, missing, constant_values=-1).astype(np.int64),
    )
