"""Hubs among the captioned stamps of Tux Paint, and whether a correction finds more captions' own pictures.

    python bench/hubness.py [--stamps DIR] [--half B]

Captions are the questions, and their own picture is the only right answer, as in quality.py. N₁₀ is the number of
questions that have an image among their first ten (Radovanović et al. 2010): *skew* is its skewness, *most* its
maximum, *never* the share of images where it is 0. The parameters of every correction are those of the best mean
reciprocal rank on half A. Differences are paired, with 95 % bootstrap intervals over questions. The bank is the words
of imseek.search.hubness or, as the best case, the captions of the other half. The questions of the second table are
pictures, with the images of the other half as the bank; an answer is right if its first image is of the same kind. The
third table is of random vectors in 64 dimensions, where questions share a direction and hubs are the only difficulty.

The positive control, the shipped correction over those random vectors, must gain; the negative one, a bias that belongs
to other images, must not gain; else the exit code is 1.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable
from itertools import product
from pathlib import Path

import numpy as np
import recorder
from quality import interval
from stamps import Half, read_half

from imseek.encoders import load
from imseek.encoders.input_checks import unit_rows
from imseek.search.hubness import BANK_NEIGHBOURS, BANK_TEXTS, WEIGHT, correct_scores, hub_bias
from imseek.types.arrays import Float32

Array = np.ndarray
#: Images (n, dim), questions (q, dim), bank (b, dim), parameters → (q, n) scores.
Way = Callable[..., Array]
HEAD = "| correction | R@1 | R@1 − none | MRR | MRR − none | skew | most | never |\n|---|---|---|---|---|---|---|---|"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stamps", type=Path, help="folder of stamps (default: installed, or fetched by apt)")
    parser.add_argument("--half", choices="AB", default="B", help="A to choose by, B to report (default)")
    arguments = parser.parse_args()
    halves = {name: read_half(name, arguments.stamps) for name in "AB"}
    half, other = (halves[name] for name in (arguments.half, "BA"["AB".index(arguments.half)]))
    words = load("builtin").encode_texts(BANK_TEXTS)
    sound = True
    for title, bank, bank_of_first in (
        (f"bank: {len(words)} words", words, words),
        ("bank: captions of the other half", other.texts, halves["B"].texts),
    ):
        print(f"{len(half.images)} stamps, half {arguments.half}; {title}; 95 % intervals in brackets\n")
        sound &= table(title, halves["A"], half, bank_of_first, bank)
        print()
    print("asked with pictures; bank: images of the other half\n")
    table_by_pictures(halves["A"], half, halves["B"].images, other.images)
    print("\n1,000 random vectors\n")
    sound &= check_random_vectors()
    recorder.put(half=arguments.half, stamps=len(half.images), sound=sound)
    if not sound:
        print("a control fails", file=sys.stderr)
    return 0 if sound else 1


# -- corrections -------------------------------------------------------------------------------------------


def plain(images: Float32, questions: Float32, _: Float32) -> Array:
    return questions @ images.T


def csls(images: Float32, questions: Float32, bank: Float32, k: float, weight: float) -> Array:
    """CSLS, by the shipped code."""
    return correct_scores(questions @ images.T, hub_bias(images, bank, int(k)), weight)


def soft_maximum(scores: Array, sharpness: float) -> Array:
    """(b, n) → (n,): log of the mean of exp(sharpness × score), over sharpness."""
    highest = scores.max(axis=0)
    return highest + np.log(np.exp(sharpness * (scores - highest)).mean(axis=0)) / sharpness


def inverted_softmax(images: Float32, questions: Float32, bank: Float32, sharpness: float) -> Array:
    """Smith et al. 2017; the logarithm, which has the same order."""
    return questions @ images.T - soft_maximum(bank @ images.T, sharpness)


def dynamic(images: Float32, questions: Float32, bank: Float32, sharpness: float) -> Array:
    """Querybank normalisation (Bogolin et al. 2022): only where the first image is a first one of the bank's too."""
    scores, banked = questions @ images.T, bank @ images.T
    first = np.zeros(len(images), bool)
    first[banked.argmax(axis=1)] = True
    return np.where(first[scores.argmax(axis=1), None], scores - soft_maximum(banked, sharpness), scores)


def mutual_proximity(images: Float32, questions: Float32, bank: Float32, least: float) -> Array:
    """Schnitzer et al. 2012, the side of the images, with Gaussians; ``least`` is added to the deviation."""
    banked = bank @ images.T
    return (questions @ images.T - banked.mean(axis=0)) / (banked.std(axis=0) + least)


def centred(images: Float32, questions: Float32, bank: Float32, share: float) -> Array:
    """Subtract a share of their means from both sides (Suzuki et al. 2013), and normalise again."""
    shifted = [images - share * images.mean(axis=0), questions - share * bank.mean(axis=0)]
    rows, queries = (m / np.linalg.norm(m, axis=1, keepdims=True) for m in shifted)
    return queries @ rows.T


WAYS: tuple[tuple[str, Way, tuple[Iterable[float], ...]], ...] = (
    ("none", plain, ()),
    ("CSLS, k nearest × weight", csls, ((1, 3, 5, 10, 20, 50), (0.25, 0.5, 0.75, 1.0))),
    ("inverted softmax", inverted_softmax, ((5, 10, 20, 40),)),
    ("querybank, dynamic inverted softmax", dynamic, ((5, 10, 20, 40),)),
    ("mutual proximity", mutual_proximity, ((0.01, 0.02, 0.05, 0.1, 0.2),)),
    ("centring", centred, ((0.25, 0.5, 0.75, 1.0),)),
)  # fmt: skip


def check_random_vectors() -> bool:
    """Return whether the shipped correction gains where hubs are the only difficulty."""
    rng = np.random.default_rng(0)
    common = unit_rows(rng.standard_normal((1, 64)))
    images = unit_rows(rng.standard_normal((1000, 64)))
    texts = unit_rows(0.25 * images + 0.75 * unit_rows(rng.standard_normal((1000, 64))) + 0.2 * common)
    bank = unit_rows(0.8 * unit_rows(rng.standard_normal((64, 64))) + 0.2 * common)
    before = ranks(plain(images, texts, bank))
    print(HEAD)
    print_row("random vectors", "none", plain(images, texts, bank), before)
    shipped = csls(images, texts, bank, BANK_NEIGHBOURS, WEIGHT)
    print_row("random vectors", "shipped", shipped, before)
    print_row("random vectors", "CSLS, 20 × 0.5", csls(images, texts, bank, 20, 0.5), before)
    return interval(1 / ranks(shipped) - 1 / before)[0] > 0


# -- figures -----------------------------------------------------------------------------------------------


def table(title: str, first: Half, half: Half, bank_of_first: Float32, bank: Float32) -> bool:
    """Print the table of corrections; return whether the negative control gains nothing."""
    before = ranks(plain(half.images, half.texts, bank))
    print(HEAD)
    for name, way, grid in WAYS:
        best = max(product(*grid), key=lambda p, way=way: mrr(way(first.images, first.texts, bank_of_first, *p)))
        print_row(
            title,
            f"{name} {' × '.join(f'{value:g}' for value in best)}",
            way(half.images, half.texts, bank, *best),
            before,
        )
    bias = np.random.default_rng(0).permutation(hub_bias(half.images, bank))
    control = correct_scores(half.texts @ half.images.T, bias)
    print_row(title, "control: bias of other images", control, before)
    return interval(1 / ranks(control) - 1 / before)[0] <= 0


def print_row(title: str, name: str, scores: Array, before: Array) -> None:
    own_ranks = ranks(scores)
    hits, gain = (own_ranks == 1).astype(float), 1 / own_ranks - 1 / before
    more = hits - (before == 1)
    cells = [f"{hits.mean():.3f}", format_gain(more), f"{(1 / own_ranks).mean():.3f}", format_gain(gain), *hubs(scores)]
    print(f"| {name} | {' | '.join(cells)} |")
    recorder.add_row(
        "corrections",
        table=title,
        correction=name,
        r_at_1=hits.mean(),
        r_at_1_less_none=more.mean(),
        mrr=(1 / own_ranks).mean(),
        mrr_less_none=gain.mean(),
        mrr_less_none_interval=interval(gain),
        **hub_figures(scores),
    )


def ranks(scores: Array) -> Array:
    """(q,) rank of each question's own image, from 1; ties count against it."""
    return (scores >= np.diag(scores)[:, None]).sum(axis=1)


def mrr(scores: Array) -> float:
    return float((1 / ranks(scores)).mean())


def hubs(scores: Array) -> list[str]:
    figures = hub_figures(scores)
    return [f"{figures['skew']:.2f}", f"{figures['most']}", f"{figures['never']:.3f}"]


def hub_figures(scores: Array) -> dict[str, float]:
    first = np.argsort(-scores, axis=1, kind="stable")[:, :10]
    counts = np.bincount(first.ravel(), minlength=scores.shape[1])
    skew = ((counts - counts.mean()) ** 3).mean() / counts.std() ** 3
    return {"skew": skew, "most": counts.max(), "never": (counts == 0).mean()}


def format_gain(values: Array) -> str:
    low, high = interval(values)
    return f"{values.mean():+.3f} [{low:+.3f}, {high:+.3f}]"


def table_by_pictures(first: Half, half: Half, bank_of_first: Float32, bank: Float32) -> None:
    print("| correction | first is of the kind | − none | skew | most | never |\n|---|---|---|---|---|---|")
    before = kinds(half, plain(half.images, half.images, bank))
    for name, way, grid in WAYS:
        best = max(
            product(*grid),
            key=lambda p, way=way: kinds(first, way(first.images, first.images, bank_of_first, *p)).mean(),
        )
        scores = way(half.images, half.images, bank, *best)
        right = kinds(half, scores)
        np.fill_diagonal(scores, -np.inf)
        cells = [f"{right.mean():.3f}", format_gain(right - before), *hubs(scores)]
        print(f"| {name} {' × '.join(f'{value:g}' for value in best)} | {' | '.join(cells)} |")
        recorder.add_row(
            "by_pictures",
            correction=name,
            parameters=best,
            first_is_of_kind=right.mean(),
            less_none=(right - before).mean(),
            less_none_interval=interval(right - before),
            **hub_figures(scores),
        )


def kinds(half: Half, scores: Array) -> Array:
    """(q,) 1.0 where the first image other than the question is relevant, for stamps not alone of their kind."""
    others = np.where(np.eye(len(scores), dtype=bool), -np.inf, scores)
    asks = half.relevant.sum(axis=1) > 1
    hits: Array = half.relevant[np.arange(len(scores)), others.argmax(axis=1)][asks].astype(float)
    return hits


if __name__ == "__main__":
    sys.exit(recorder.run(main))
