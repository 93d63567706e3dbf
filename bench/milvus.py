"""Milvus Lite beside FAISS exact: whether ids and scores of 10,000 queries are the same, and the time of each.

    python bench/milvus.py [--count 50000] [--queries 10000] [--limit 10] [--work DIR]
    python bench/milvus.py --collection DIR [--queries 10000]      # an existing one, with its rows as queries

A collection of hard vectors (bench/big.py) is published to Milvus Lite, once; then both answer the same queries, half
of them picture-like, half text-like. *ids equal* counts queries with the same ids in the same order; *near ties* those
where ids differ only among scores closer than 1e-5; *scores off by* is the largest difference of two scores at one
rank. First the indexes alone are searched, many queries at once; then whole searches run one by one, with places and
metadata. Ratios are Milvus over FAISS.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import recorder

import imseek
from imseek.data.reader import Reader
from imseek.data.vectors.base import Matches
from imseek.data.vectors.faiss_index import FaissIndex
from imseek.data.vectors.scores import unit_rows
from imseek.publish import to_milvus
from imseek.published import PublishedCollection
from imseek.search.query import Query, Term
from imseek.search.row_sample import sample_rows

sys.path.insert(0, str(Path(__file__).parent))

import vectors

#: Scores closer than this may change places.
TIE = 1e-5
TOGETHER = 256


def compare_matches(ours: Sequence[Matches], theirs: Sequence[Matches]) -> tuple[int, int, int, float]:
    """Count queries with equal ids, with other ids only among ties, and with other ids; find the largest difference."""
    same = ties = other = 0
    largest = 0.0
    for one, two in zip(ours, theirs, strict=True):
        off = np.abs(one.scores - two.scores) if len(one) == len(two) else np.array([np.inf])
        largest = max(largest, float(off.max(initial=0)))
        if np.array_equal(one.ids, two.ids):
            same += 1
        elif off.max(initial=0) < TIE:
            ties += 1
        else:
            other += 1
    return same, ties, other, largest


def time_queries(search: Callable[[Any], Any], queries: Sequence[Any]) -> tuple[list[Any], float]:
    """Return the answers, and milliseconds in all."""
    start = time.perf_counter()
    answers = [search(one) for one in queries]
    return answers, (time.perf_counter() - start) * 1000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=50_000)
    parser.add_argument("--queries", type=int, default=10_000)
    parser.add_argument("--limit", type=int, default=10)
    parser.add_argument("--alone", type=int, default=200, help="whole searches, one by one")
    parser.add_argument("--collection", type=Path)
    parser.add_argument("--work", type=Path, default=Path("/tmp/imseek-bench-milvus"))
    options = parser.parse_args()

    options.work.mkdir(parents=True, exist_ok=True)
    root = options.collection or options.work / f"made-{options.count}"
    if not root.exists():
        import big

        big.make(root, options.count)
    address = f"milvus://{options.work / 'published.db'}#c{options.count if options.collection is None else 'own'}"
    report = to_milvus(root, address)
    rate = report.sent / report.seconds if report.sent else 0
    recorder.put(images=report.images, rows_sent=report.sent, publish_s=report.seconds)
    print(
        f"published: {report.outcome}, {report.images:,} images, {report.sent:,} rows sent in "
        f"{report.seconds:.1f} s ({rate:,.0f} a second); again: {to_milvus(root, address).seconds:.2f} s"
    )

    reader = Reader(root)
    space = reader.current.space
    faiss = FaissIndex(reader.segments(space.space_id), space.dim)
    half = options.queries // 2
    if options.collection is None:
        kinds = {
            "picture-like": vectors.image_queries(half, space.dim),
            "text-like": vectors.text_queries(half, space.dim)[0],
        }
    else:
        rows = unit_rows(sample_rows(reader.segments(space.space_id), options.queries).astype(np.float32))
        kinds = {"own rows": np.resize(rows, (options.queries, space.dim))}

    print(f"load {os.getloadavg()[0]:.1f}, {len(faiss):,} rows of {space.dim}, k = {options.limit}\n")
    print("| queries | n | ids equal | near ties | other | scores off by | FAISS ms | Milvus Lite ms | ratio |")
    print("|---|---|---|---|---|---|---|---|---|")
    wrong = 0
    published = imseek.open(address)
    assert isinstance(published, PublishedCollection)
    generation = published._engine._generations.newest()
    milvus = published._engine._generations.index(generation, space)
    for name, queries in kinds.items():
        parts = [queries[at : at + TOGETHER] for at in range(0, len(queries), TOGETHER)]
        milvus.search(queries[:1], options.limit)
        faiss.search(queries[:1], options.limit)
        ours, first = time_queries(lambda part: faiss.search(part, options.limit), parts)
        theirs, second = time_queries(lambda part: milvus.search(part, options.limit), parts)
        flat = [[one for part in answers for one in part] for answers in (ours, theirs)]
        same, ties, other, most = compare_matches(*flat)
        wrong += other
        n = len(queries)
        print(
            f"| {name} | {n:,} | {same:,} | {ties:,} | {other:,} | {most:.1e} | {first / n:.3f} | {second / n:.3f} "
            f"| {second / first:.1f} |"
        )
        recorder.add_row(
            "queries",
            kind=name,
            queries=n,
            ids_equal=same,
            near_ties=ties,
            other=other,
            scores_off_by=most,
            faiss_ms=first / n,
            milvus_ms=second / n,
        )
    print()
    collection = imseek.open(root)
    searches = [Query((Term(vector=row),), options.limit) for q in kinds.values() for row in q[: options.alone // 2]]
    for one in (collection, published):
        one.search(searches[0])
    _, first = time_queries(collection.search, searches)
    _, second = time_queries(published.search, searches)
    n = len(searches)
    print(f"whole searches, one by one, {n}: {first / n:.1f} and {second / n:.1f} ms, ratio {second / first:.1f}")
    recorder.add_row("searches", queries=n, filtered=False, faiss_ms=first / n, milvus_ms=second / n)
    filtered_queries = [Query(query.terms, options.limit, where="width > 2000") for query in searches[:20]]
    for one in (collection, published):
        one.search(filtered_queries[0])
    _, first = time_queries(collection.search, filtered_queries)
    _, second = time_queries(published.search, filtered_queries)
    n = len(filtered_queries)
    print(f"the same with a filter (warm), {n}: {first / n:.1f} and {second / n:.1f} ms, ratio {second / first:.1f}")
    recorder.add_row("searches", queries=n, filtered=True, faiss_ms=first / n, milvus_ms=second / n)
    published.close()
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(recorder.run(main))
