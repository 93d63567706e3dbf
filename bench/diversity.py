"""Effect of diversity: how similar the first ten hits are to each other, and how many of them are right.

    python bench/diversity.py [--stamps DIR] [--half B]

Captions of stamps are the queries, stamps of the same half the collection (bench/stamps.py: stamps with the same noun
or in the same folder are right). *alike* is the mean cosine of all pairs among the ten. `imseek.search.diversity` takes
the 200 best and divides scores and cosines by their deviations; beside it, both as they are, and scores stretched to
0 … 1. Compare the number of right hits between answers that are equally alike.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import recorder
from stamps import read_half

from imseek.search.diversity import MAX_DIVERSIFIED, rank_by_mmr


def select_plain(relevance: np.ndarray, vectors: np.ndarray, diversity: float, count: int) -> list[int]:
    nearest, picks = np.full(len(relevance), -np.inf), [0]
    while len(picks) < count:
        nearest = np.maximum(nearest, vectors @ vectors[picks[-1]])
        marginal = (1 - diversity) * relevance - diversity * nearest
        marginal[picks] = -np.inf
        picks.append(int(np.argmax(marginal)))
    return picks


WAYS = {
    "deviations": lambda scores, vectors, d: rank_by_mmr(scores, vectors, d)[:10].tolist(),
    "as they are": lambda scores, vectors, d: select_plain(scores, vectors, d, 10),
    "stretched": lambda scores, vectors, d: select_plain((scores - scores.min()) / np.ptp(scores), vectors, d, 10),
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--stamps", type=Path)
    parser.add_argument("--half", default="B")
    options = parser.parse_args()
    half = read_half(options.half, options.stamps)
    scores = half.texts @ half.images.T
    print(f"half {options.half}: {len(scores)} queries; right@10, alike")
    recorder.put(half=options.half, queries=len(scores))
    print("diversity  " + "  ".join(f"{way:>13s}" for way in WAYS))
    for diversity in (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0):
        cells = []
        for name, way in WAYS.items():
            right, alike = [], []
            for query, row in enumerate(scores):
                best = np.argsort(-row, kind="stable")[:MAX_DIVERSIFIED]
                ten = best[way(row[best], half.images[best], diversity)]
                right.append(half.relevant[query, ten].mean())
                alike.append((half.images[ten] @ half.images[ten].T)[np.triu_indices(10, 1)].mean())
            cells.append(f"{np.mean(right):.3f}  {np.mean(alike):.3f}")
            recorder.add_row(
                "ways", diversity=diversity, way=name, right_at_10=np.mean(right), alike_cosine=np.mean(alike)
            )
        print(f"{diversity:9.1f}  " + "  ".join(f"{cell:>13s}" for cell in cells))


if __name__ == "__main__":
    sys.exit(recorder.run(main))
