"""Compare ways of combining the two terms of a query, over the captioned stamps of Tux Paint.

    python bench/compose.py [--stamps DIR] [--half B]

Prints Markdown tables for docs/log.md. Encoder: ``builtin``. Right answers come from folders (a stamp in animals/birds
is a bird), captions, and colours measured in the pixels (a share of the foreground). Each kind of query has two terms,
and only both together say what it asks for:

    two texts      "a bird" + "blue": birds that are blue
    text, picture  a picture of another stamp of the folder + the caption of a stamp: that stamp
    recolour       a picture of a bird that is not blue + "blue": birds that are blue
    not words      "a bird" not "blue": birds that are not blue; "an animal" not "a bird": the other animals
    not a picture  "a bird" not a picture of a blue bird: birds that are not blue
    picture, not   a picture of a blue bird, not "blue": birds that are not blue

R@k is the number of right answers among the first k, over k or over all right answers if they are fewer. AP is average
precision. A query's own pictures are removed from its answer. Intervals are 95 % bootstrap intervals over queries; the
last column is the difference from the plain sum in AP, paired query by query. Controls have one term only, or the
second term of another query: over the kinds, each must be worse than the shipped method, else the exit code is 1.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import recorder
from composed import Question, questions, read_stamps
from quality import brackets, encode, find_stamps

from imseek.encoders import load
from imseek.encoders.input_checks import unit_rows
from imseek.search.query import NOT_WEIGHT
from imseek.search.query_vectors import fuse_terms
from imseek.types.arrays import Float32

NEUTRAL = (
    "a photo",
    "a picture",
    "an image",
    "something",
    "a photo of something",
    "a drawing",
    "a thing",
    "it",
)


# -- methods -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Space:
    """Rows of the stamps (n, dim), and the means of pictures and texts, which some methods use."""

    images: Float32
    image_mean: Float32
    text_mean: Float32


@dataclass(frozen=True)
class Term:
    """A term: its unit vector, whether it is a picture, and its weight."""

    unit: Float32
    is_picture: bool
    weight: float


Method = Callable[[Space, Sequence[Term]], np.ndarray]


def plain(space: Space, terms: Sequence[Term]) -> np.ndarray:
    return space.images @ sum(term.weight * term.unit for term in terms)


def plain_with_narrow_words(space: Space, terms: Sequence[Term]) -> np.ndarray:
    """The plain sum in a space where scores of words spread half as wide: those that are standardised stay the same."""
    return plain(space, [term if term.is_picture else replace(term, weight=term.weight / 2) for term in terms])


def centred(space: Space, terms: Sequence[Term]) -> np.ndarray:
    """Subtract the mean of its modality from each term before normalising it."""
    total = np.zeros(space.images.shape[1], np.float32)
    for term in terms:
        shifted = term.unit - (space.image_mean if term.is_picture else space.text_mean)
        total += term.weight * shifted / np.linalg.norm(shifted)
    return space.images @ total


def centred_rows(space: Space, terms: Sequence[Term]) -> np.ndarray:
    """The same against rows that are centred and normalised too."""
    rows = unit_rows(space.images - space.image_mean)
    return centred(Space(rows, space.image_mean, space.text_mean), terms)


def standardised(space: Space, terms: Sequence[Term]) -> np.ndarray:
    """Scores of each term, less their mean and over their deviation, added up."""
    return sum(term.weight * deviations(space, term) for term in terms)


def least(space: Space, terms: Sequence[Term]) -> np.ndarray:
    """The worst of the standardised scores; a negative term counts in reverse."""
    return np.min([np.sign(term.weight) * deviations(space, term) for term in terms], axis=0)


def soft_least(space: Space, terms: Sequence[Term]) -> np.ndarray:
    """Between the sum and the worst: −log Σ exp(−z)."""
    signed = np.array([np.sign(term.weight) * deviations(space, term) for term in terms])
    return -np.logaddexp.reduce(-signed, axis=0)


def reciprocal_ranks(space: Space, terms: Sequence[Term]) -> np.ndarray:
    """Cormack, Clarke and Büttcher 2009, with their 60."""
    return sum(1 / (60 + ranks(space, term)) for term in terms)


def rank_product(space: Space, terms: Sequence[Term]) -> np.ndarray:
    return -sum(np.log(ranks(space, term)) for term in terms)


def deviations(space: Space, term: Term) -> np.ndarray:
    scores = space.images @ term.unit
    return (scores - scores.mean()) / scores.std()


def ranks(space: Space, term: Term) -> np.ndarray:
    """Ranks from 1; for a negative term, the least similar image comes first."""
    scores = space.images @ term.unit * np.sign(term.weight)
    return np.argsort(np.argsort(-scores, kind="stable"), kind="stable") + 1.0


def weaken_negatives(method: Method, share: float) -> Method:
    """Negative terms count less, as in Rocchio's formula."""

    def weak(space: Space, terms: Sequence[Term]) -> np.ndarray:
        return method(space, [replace(term, weight=term.weight * (share if term.weight < 0 else 1)) for term in terms])

    return weak


def shipped(space: Space, terms: Sequence[Term]) -> np.ndarray:
    units = [term.unit.astype(np.float64) for term in terms]
    weights = [term.weight * (NOT_WEIGHT if term.weight < 0 else 1) for term in terms]
    return space.images @ fuse_terms(units, weights, space.images)[0]


SHIPPED = "**as shipped**"
METHODS: dict[str, Method] = {
    "plain sum": plain,
    SHIPPED: shipped,
    "plain sum, were words half as wide": plain_with_narrow_words,
    "centred per modality": centred,
    "centred, rows too": centred_rows,
    "standardised scores": standardised,
    **{f"plain sum, negatives × {share}": weaken_negatives(plain, share) for share in (0.5, 0.25)},
    **{f"standardised, negatives × {share}": weaken_negatives(standardised, share) for share in (0.7, 0.35, 0.25)},
    "least of the scores": least,
    "soft least": soft_least,
    "reciprocal ranks": reciprocal_ranks,
    "product of ranks": rank_product,
}


# -- figures -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Figures:
    """Per question: average precision, and R@1, R@5, R@10 in the columns of ``recall``."""

    precision: np.ndarray
    recall: np.ndarray


def measure(space: Space, queries: Sequence[tuple[Question, list[Term]]], method: Method) -> Figures:
    precision, recall = [], []
    for question, terms in queries:
        scores = np.asarray(method(space, terms), np.float64)
        scores[sorted(question.query_images)] = -np.inf
        right = np.isin(np.argsort(-scores, kind="stable"), sorted(question.right - question.query_images))
        hits = np.cumsum(right)
        places = np.flatnonzero(right)
        precision.append(np.mean(hits[places] / (places + 1)))
        recall.append([hits[k - 1] / min(k, len(places)) for k in (1, 5, 10)])
    return Figures(np.array(precision), np.array(recall))


def make_terms(kind: Sequence[Question], words: dict[str, Float32], rows: Float32) -> Iterator[list[Term]]:
    for question in kind:
        yield [
            Term(words[term] if isinstance(term, str) else rows[term], not isinstance(term, str), weight)
            for term, weight in ((question.first, 1.0), (question.second, question.sign))
        ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stamps", type=Path, help="folder of stamps (default: installed, or fetched by apt)")
    parser.add_argument("--half", choices="AB", default="B", help="A to choose by, B to report (default)")
    arguments = parser.parse_args()
    stamps = read_stamps(arguments.stamps or find_stamps(), arguments.half)
    rows = encode([stamp.pixels for stamp in stamps])
    kinds = questions(stamps)
    texts = sorted({t for kind in kinds.values() for q in kind for t in (q.first, q.second) if isinstance(t, str)})
    encoder = load("builtin")
    words = dict(zip(texts, encoder.encode_texts(texts), strict=True))
    space = Space(rows, rows.mean(axis=0), encoder.encode_texts(NEUTRAL).mean(axis=0))
    print(f"{len(stamps)} stamps, half {arguments.half}; 95 % intervals in brackets")
    everything: dict[str, list[np.ndarray]] = {}
    for name, kind in kinds.items():
        pairs = list(zip(kind, make_terms(kind, words, rows), strict=True))
        print(f"\n{name} ({len(kind)} queries)\n")
        print("| method | R@1 | R@5 | R@10 | AP | AP − plain sum |\n|---|---|---|---|---|---|")
        shifted = [terms for _, terms in pairs[1:] + pairs[:1]]
        controls = {
            "first term only": [(q, terms[:1]) for q, terms in pairs],
            "second term only": [(q, terms[1:]) for q, terms in pairs],
            "second term of another": [(q, [a[0], b[1]]) for (q, a), b in zip(pairs, shifted, strict=True)],
        }
        results = {title: measure(space, pairs, method) for title, method in METHODS.items()}
        results |= {f"control: {title}": measure(space, queries, shipped) for title, queries in controls.items()}
        for title, figures in results.items():
            print_line(title, figures, results["plain sum"])
            recorder.add_row(
                "methods",
                queries=len(kind),
                kind=name,
                method=title,
                **dict(zip(("r_at_1", "r_at_5", "r_at_10"), figures.recall.mean(axis=0), strict=True)),
                average_precision=figures.precision.mean(),
            )
            everything.setdefault(title, []).append(figures.precision)
    print("\nover the kinds, each counted equally\n\n| method | AP | − plain sum | − shipped |\n|---|---|---|---|")
    sound = True
    for title, precisions in everything.items():
        differences = [
            overall([ours - theirs for ours, theirs in zip(precisions, everything[base], strict=True)])
            for base in ("plain sum", SHIPPED)
        ]
        cells = [f"{mean:+.3f} [{low:+.3f}, {high:+.3f}]" for mean, low, high in differences]
        print(f"| {title} | {overall(precisions)[0]:.3f} | {' | '.join(cells)} |")
        recorder.add_row(
            "overall",
            method=title,
            average_precision=overall(precisions)[0],
            less_plain_sum=differences[0][0],
            less_plain_sum_interval=differences[0][1:],
            less_shipped=differences[1][0],
            less_shipped_interval=differences[1][1:],
        )
        sound &= not title.startswith("control") or differences[1][2] < 0
    recorder.put(half=arguments.half, stamps=len(stamps), sound=sound)
    if not sound:
        print("a negative control is no worse than the shipped method", file=sys.stderr)
    return 0 if sound else 1


def print_line(title: str, figures: Figures, base: Figures) -> None:
    cells = [f"{column.mean():.3f} {brackets(column, '.3f')}" for column in figures.recall.T]
    cells.append(f"{figures.precision.mean():.3f} {brackets(figures.precision, '.3f')}")
    difference = figures.precision - base.precision
    cells.append("" if title == "plain sum" else f"{difference.mean():+.3f} {brackets(difference, '+.3f')}")
    print(f"| {title} | {' | '.join(cells)} |")


def overall(values: Sequence[np.ndarray]) -> tuple[float, float, float]:
    """The mean of the means of kinds, and its interval: queries are drawn anew within each kind."""
    rng = np.random.default_rng(0)
    draws = [one[rng.integers(0, len(one), (2000, len(one)))].mean(axis=1) for one in values]
    low, high = np.percentile(np.mean(draws, axis=0), [2.5, 97.5])
    return float(np.mean([one.mean() for one in values])), float(low), float(high)


if __name__ == "__main__":
    sys.exit(recorder.run(main))
