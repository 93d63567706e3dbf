"""Gain from marking three right and three wrong answers, over the captioned stamps of Tux Paint.

    python bench/feedback.py [--stamps DIR] [--half B]

The stamps of one half are the collection; the queries are captions or stamps; stamps of the same folder or noun
(nouns.py) are right. A user looks at the first 20 and marks the first 3 right and the first 3 wrong ones. Then the
marked stamps and the query stamp are removed from the collection and the right answers (residual ranking: Chang,
Cirillo and Razon 1971), so that ranking the marked ones first gains nothing. Figures are precision of the first 10 and
mean average precision, before and after, over queries with a right answer to mark and another one to find. Weights are
those of the best mean average precision on half A. Intervals are 95 % bootstrap intervals over queries, of paired
differences.

The negative controls, marks at random among the 20 and marks with right and wrong exchanged, must not gain, else
the exit code is 1.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import recorder
from quality import interval
from stamps import Half, read_half

from imseek.encoders.input_checks import unit_rows
from imseek.search import feedback

Array = np.ndarray
#: Query (dim,), right (a, dim), wrong (b, dim), means of images and of captions (dim,), weights → (dim,).
Way = Callable[..., Array]
PAGE_SIZE = 20


@dataclass(frozen=True)
class Marks:
    """Numbers of right and wrong answers to mark, at most; ``mode`` is honest, random or exchanged."""

    right: int = 3
    wrong: int = 3
    mode: str = "honest"


@dataclass(frozen=True)
class Gain:
    """(q,) per question: precision of the first 10 and average precision, before and after."""

    precision: tuple[Array, Array]
    average: tuple[Array, Array]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stamps", type=Path, help="folder of stamps (default: installed, or fetched by apt)")
    parser.add_argument("--half", choices="AB", default="B", help="A to choose by, B to report (default)")
    arguments = parser.parse_args()
    first = read_half("A", arguments.stamps)
    half = first if arguments.half == "A" else read_half("B", arguments.stamps)
    sound = True
    for title, pictures in (("captions ask", False), ("pictures ask", True)):
        print(f"{len(half.images)} stamps, half {arguments.half}; {title}; 95 % intervals in brackets\n")
        print(
            "| feedback | questions | P@10 before | after | gain | MAP before | after | gain |\n"
            "|---|---|---|---|---|---|---|---|"
        )
        for name, way, grid in WAYS:
            best = max(
                product(*grid),
                key=lambda p, way=way: simulate(first, way, p, Marks(), pictures).average[1].mean(),
            )
            print_gain(
                title,
                f"{name} {', '.join(f'{value:g}' for value in best)}",
                simulate(half, way, best, Marks(), pictures),
            )
        for name, marks in MARKS:
            gain = simulate(half, shipped, (), marks, pictures)
            print_gain(title, name, gain)
            sound &= not name.startswith("control") or interval(gain.average[1] - gain.average[0])[0] <= 0
        print()
    recorder.put(half=arguments.half, stamps=len(half.images), sound=sound)
    if not sound:
        print("a negative control gains", file=sys.stderr)
    return 0 if sound else 1


# -- ways --------------------------------------------------------------------------------------------------


def rocchio(query: Array, more: Array, less: Array, _images: Array, _texts: Array, beta: float, gamma: float) -> Array:
    """The original formula, with means as they are."""
    return query + beta * mean_of(more) - gamma * mean_of(less)


def centred(query: Array, more: Array, less: Array, images: Array, _: Array, beta: float, gamma: float) -> Array:
    """The shipped formula with other weights."""
    shifted = query + beta * direction(more, images)
    return shifted - gamma * np.linalg.norm(shifted) * direction(less, images)


def both_centred(
    query: Array, more: Array, less: Array, images: Array, texts: Array, beta: float, gamma: float
) -> Array:
    """Centre the query too, by the mean of its own kind, which a collection does not know for captions."""
    return centred(direction(query[None], texts), more, less, images, texts, beta, gamma)


def shipped(query: Array, more: Array, less: Array, images: Array, _: Array) -> Array:
    return feedback.refine(query, more, less, images)


def mean_of(rows: Array) -> Array:
    return rows.mean(axis=0) if len(rows) else np.zeros(rows.shape[1])


def direction(rows: Array, mean: Array) -> Array:
    return unit_rows((rows.mean(axis=0) - mean)[None])[0] if len(rows) else np.zeros(rows.shape[1])


WEIGHTS = (0.5, 1.0, 2.0, 3.0, 4.0, 8.0)
WAYS: tuple[tuple[str, Way, tuple[Iterable[float], ...]], ...] = (
    ("Rocchio: means as they are,", rocchio, (WEIGHTS, (0.0, 0.5, 1.0, 2.0, 3.0, 4.0))),
    ("centred,", centred, (WEIGHTS, (0.0, 0.05, 0.1, 0.15, 0.2))),
    ("query centred too,", both_centred, (WEIGHTS, (0.0, 0.05, 0.1, 0.15, 0.2))),
)  # fmt: skip
MARKS = (
    ("**shipped**", Marks()),
    ("shipped, only the right ones marked", Marks(wrong=0)),
    ("shipped, only the wrong ones marked", Marks(right=0)),
    ("shipped, one of each marked", Marks(right=1, wrong=1)),
    ("control: marks at random", Marks(mode="random")),
    ("control: right and wrong exchanged", Marks(mode="exchanged")),
)


# -- simulation --------------------------------------------------------------------------------------------


def simulate(half: Half, way: Way, weights: Sequence[float], marks: Marks, pictures: bool) -> Gain:
    rng = np.random.default_rng(0)
    mean = half.images.mean(axis=0)
    queries, query_mean = (half.images, mean) if pictures else (half.texts, half.texts.mean(axis=0))
    rows = []
    for i, query in enumerate(queries):
        relevant = half.relevant[i]
        order = np.argsort(-(half.images @ query), kind="stable")
        order = order[order != i] if pictures else order
        page = order[:PAGE_SIZE]
        right, wrong = page[relevant[page]], page[~relevant[page]]
        if not len(right):
            continue
        if marks.mode == "random":
            mixed = rng.permutation(page)
            right, wrong = mixed[: marks.right], mixed[marks.right :]
        elif marks.mode == "exchanged":
            right, wrong = wrong, right
        right, wrong = right[: marks.right], wrong[: marks.wrong]
        rest = np.ones(len(half.images), bool)
        rest[[*right, *wrong, *([i] if pictures else [])]] = False
        if not (relevant & rest).any():
            continue
        refined = way(query, half.images[right], half.images[wrong], mean, query_mean, *weights)
        after = np.argsort(-(half.images @ refined), kind="stable")
        rows.append([figure for ranking in (order, after) for figure in measure(relevant, ranking[rest[ranking]])])
    values = np.array(rows).T
    return Gain((values[0], values[2]), (values[1], values[3]))


def measure(relevant: Array, ranking: Array) -> tuple[float, float]:
    """Precision of the first 10, and average precision."""
    hits = relevant[ranking]
    places = np.flatnonzero(hits) + 1
    return float(hits[:10].mean()), float((np.arange(1, len(places) + 1) / places).mean())


def print_gain(title: str, name: str, gain: Gain) -> None:
    cells, columns = [], {}
    for figure, (before, after) in {"p_at_10": gain.precision, "map": gain.average}.items():
        low, high = interval(after - before)
        columns |= {
            f"{figure}_before": before.mean(),
            f"{figure}_after": after.mean(),
            f"{figure}_gain_interval": (low, high),
        }
        cells += [
            f"{before.mean():.3f}",
            f"{after.mean():.3f}",
            f"{(after - before).mean():+.3f} [{low:+.3f}, {high:+.3f}]",
        ]
    print(f"| {name} | {len(gain.precision[0])} | {' | '.join(cells)} |")
    recorder.add_row("ways", asked=title, feedback=name, questions=len(gain.precision[0]), **columns)


if __name__ == "__main__":
    sys.exit(recorder.run(main))
