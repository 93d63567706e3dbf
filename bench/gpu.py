"""Search by a GPU beside the CPU, in one run: time to build and to copy, queries a second, and recall.

    python bench/gpu.py [--count 1000000] [--device all] [--kinds auto flat IVF4096,SQ8 IVF4096,PQ64 CAGRA64]

Needs a CUDA card and a FAISS with code for it (`faiss-gpu`; for CAGRA one that was built with cuVS); without, it says
so and exits with 2. The vectors are those of bench/vectors.py. Each kind is built and tuned as imseek builds it, for a
recall of ``--recall``, and searched through the same code as in a collection: one query at a time, all at once, and
with filters. Recall@10 is against an exact scan of the CPU, of text-like queries, which are the harder ones. Where a
filter passes few rows (10,000, or 2 %), or too few of those that a card would rank, both rows are the CPU's.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import recorder

sys.path.insert(0, str(Path(__file__).parent))

Float32 = npt.NDArray[np.float32]

K = 10
#: ``auto`` is the index that imseek builds for the CPU; no card takes it, and the others are compared with it.
KINDS = ("auto", "flat", "IVF4096,SQ8", "IVF4096,PQ64", "CAGRA64")
#: Text-like queries that an index is tuned on; others are measured.
TUNED_ON = 400
#: Rows of a segment.
ROWS = 1 << 18
#: Seconds that a measurement takes at least.
LEAST = 2.0


@dataclass(frozen=True, slots=True)
class Speed:
    """Median and 99th percentile in ms of one query at a time, and queries per second in one batch."""

    p50: float
    p99: float
    batch: float
    recall: float


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--recall", type=float, default=0.95)
    parser.add_argument("--device", default="all")
    parser.add_argument("--kinds", nargs="+", default=KINDS)
    options = parser.parse_args(arguments)

    from imseek.data.vectors import gpu

    try:
        cards = gpu.gpu_numbers(options.device)
    except LookupError as error:
        print(f"bench/gpu.py needs a CUDA card: {error}. Nothing was measured.", file=sys.stderr)
        return 2
    run(options, cards)
    return 0


def run(options: argparse.Namespace, cards: tuple[int, ...]) -> None:
    import faiss
    import vectors

    from imseek.data.vectors import IdSet, Segment, gpu, open_index, placement_on
    from imseek.data.vectors.index_kinds import choose_factory
    from imseek.errors import UsageError

    segments, start = [], 0
    for rows in vectors.blocks(options.count, options.dim, rows=vectors.ROWS):
        if segments and len(segments[-1]) * vectors.ROWS < ROWS:
            segments[-1].append(rows)
        else:
            segments.append([rows])
    parts = []
    for blocks in segments:
        segment_rows = np.concatenate(blocks)
        parts.append(Segment(np.arange(start, start + len(segment_rows)), segment_rows, np.empty(0, np.int64)))
        start += len(segment_rows)
    texts, _ = vectors.text_queries(options.queries + TUNED_ON, options.dim)
    queries, words = texts[TUNED_ON:], texts[:TUNED_ON]
    draws = vectors.draws(np.arange(options.count))
    filters = {share: None if share == 1 else IdSet(np.flatnonzero(draws < share)) for share in (1, 0.5, 0.1)}
    exact = open_index("faiss", parts, options.dim)
    truth = {share: exact.search(queries, K, allowed=allowed) for share, allowed in filters.items()}
    print(
        f"{options.count:,} x {options.dim}, {options.queries} text-like queries, cards {list(cards)}, "
        f"{faiss.omp_get_max_threads()} threads, FAISS {faiss.__version__} ({faiss.get_compile_options().strip()})"
    )
    gpu.MIN_QUERIES = 1
    for kind in options.kinds:
        if kind == "auto":
            kind = choose_factory(options.count, options.dim, 4 << 30) or "flat"
        snapshot, build_note, build_s = None, "", None
        if kind != "flat":
            start_time = time.perf_counter()
            try:
                snapshot = build_snapshot(parts, kind, words, options)
            except UsageError as error:
                print(f"\n{kind}: {error}")
                continue
            build_s = time.perf_counter() - start_time
            build_note = f", built in {build_s:.1f} s"
        placement = placement_on(options.device)
        assert placement is not None
        cpu = exact if snapshot is None else open_index("faiss", parts, options.dim, snapshot=snapshot)
        card = open_index("faiss", parts, options.dim, snapshot=snapshot, placement=placement)
        start_time = time.perf_counter()
        card.search(queries[:1], K, text=True)
        copy_s = time.perf_counter() - start_time
        recorder.add_row("kinds", kind=kind, build_s=build_s, copy_s=copy_s)
        print(f"\n{kind}{build_note}, copied to the cards in {copy_s:.2f} s")
        print("filter  where      p50 ms   p99 ms   queries/s  recall@10")
        for share, allowed in filters.items():
            speeds = {}
            for where, index in (("CPU", cpu), ("card", card)):
                speeds[where] = measure_speed(
                    lambda q, i=index, a=allowed: i.search(q, K, allowed=a, text=True), queries, truth[share]
                )
                one = speeds[where]
                print(f"{share:<8g}{where:<8}{one.p50:9.2f}{one.p99:9.2f}{one.batch:12,.0f}{one.recall:11.4f}")
                recorder.add_row(
                    "searches",
                    kind=kind,
                    share_passing=share,
                    where=where,
                    p50_ms=one.p50,
                    p99_ms=one.p99,
                    queries_per_s=one.batch,
                    recall_at_10=one.recall,
                )
            faster = speeds["card"].batch / speeds["CPU"].batch
            print(f"        ratio   {speeds['CPU'].p50 / speeds['card'].p50:9.2f}x{'':8}{faster:12.2f}x")
        if placement.note:
            print(f"  not a measurement of the card: {placement.note}")


def build_snapshot(segments: Sequence[Any], factory: str, words: Float32, options: argparse.Namespace) -> Any:
    """Build a snapshot, tuned as imseek tunes it, on ``words``, which are not the measured queries."""
    from imseek.data.vectors.build import LiveRows, build_index
    from imseek.data.vectors.faiss_snapshot import Snapshot, imbalance
    from imseek.data.vectors.index_metadata import CoveredIds, IndexMetadata, pack_bits
    from imseek.data.vectors.recall_queries import RecallQueries
    from imseek.data.vectors.tuning import UNTUNED, query_rows, tune_snapshot

    rows = LiveRows(segments)
    numbers = query_rows(len(rows))
    index = build_index(rows, options.dim, factory, 1 << 36, numbers, lambda _: None)
    ids = np.arange(len(rows))
    lo, hi = rows.norm_range()
    metadata = IndexMetadata(
        factory=factory, dim=options.dim, rows=len(rows), trained=len(rows), imbalance=imbalance(index), lo=lo, hi=hi,
        target=options.recall, memory=1 << 36, built="", seconds=0.0, image=UNTUNED, text=UNTUNED, texts="",
    )  # fmt: skip
    snapshot = Snapshot(index, CoveredIds(pack_bits(ids, (len(rows) // 8 + 1) * 8)), metadata)
    recall_queries = RecallQueries.of(rows, numbers, words, "image")
    snapshot.facts = tune_snapshot(snapshot, rows, recall_queries.image, recall_queries.text, lambda _: None)
    return snapshot


def measure_speed(search: Callable[[Float32], Any], queries: Float32, truth: Sequence[Any]) -> Speed:
    search(queries[:64])
    search(queries)
    times: list[float] = []
    while sum(times) < LEAST:
        for n in range(min(200, len(queries))):
            start = time.perf_counter()
            search(queries[n : n + 1])
            times.append(time.perf_counter() - start)
    batches: list[float] = []
    while sum(batches) < LEAST:
        start = time.perf_counter()
        results = search(queries)
        batches.append(time.perf_counter() - start)
    pairs = zip(results, truth, strict=True)
    recall = np.mean([len(np.intersect1d(one.ids, true.ids)) / max(1, len(true)) for one, true in pairs])
    p50, p99 = np.percentile(np.array(times) * 1000, [50, 99])
    return Speed(float(p50), float(p99), len(queries) / float(np.median(batches)), float(recall))


if __name__ == "__main__":
    sys.exit(recorder.run(main))
