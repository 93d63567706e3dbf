"""Where an answer should end: precision, recall and emptiness of ways to cut, over the captioned stamps of Tux Paint.

    python bench/cutoff.py [--stamps DIR] [--half B]

A collection is the stamps of one half. Questions are its captions, whose right answers are the stamps of the same
folder or of the same noun (nouns.py), and 100 texts that no stamp answers. Figures: F1, precision and recall per
caption, averaged (precision over those that are left with an answer); *empty*: the share of the 100 that stay empty;
*none*: the share of captions that are left without an answer; *both*: the harmonic mean of F1 and empty, by which
parameters were chosen, since each alone is best where nothing or everything is cut. Parameters of every way are chosen
on half A; half B is for reporting. Intervals are 95 % bootstrap intervals over questions; those of differences are
paired question by question.

A second table asks with pictures (stamps for stamps; letters, coins and chessmen for nothing), a third with a growing
share of relevant images in the collection. The negative controls must do worse than what is shipped, else the exit
code is 1.

``--cost`` measures instead how long one answer takes to cut, in milliseconds of one core; no stamps are needed.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import recorder
from endings import WAYS, Array, Way, stands_clear
from stamps import Half, read_half

from imseek.encoders import load
from imseek.search.cutoff import (
    EXPECTED_FALSE_HITS,
    MAX_COMPARED,
    MIN_SHARE_OF_BEST,
    background,
    count_relevant,
    neutral_scores,
    sample_scores,
)

RESAMPLES = 2000
SHIPPED = "**shipped**: collection and neutral words"


@dataclass(frozen=True)
class Task:
    """Scores of questions with answers, (q, n), and of those without, (e, n); who is right, (q, n) bool.

    ``neutral`` (n,): what neutral texts score with each image.
    """

    asked: Array
    nothing: Array
    relevant: Array
    neutral: Array | None = None


@dataclass(frozen=True)
class Figures:
    """Per question: (q,) F1, precision (NaN where nothing is left) and recall; (e,) whether a list stays empty."""

    f1: Array
    precision: Array
    recall: Array
    empty: Array

    @property
    def both(self) -> float:
        return harmonic(self.f1.mean(), self.empty.mean())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stamps", type=Path, help="folder of stamps (default: installed, or fetched by apt)")
    parser.add_argument("--half", choices="AB", default="B", help="A to choose by, B to report (default)")
    parser.add_argument("--cost", action="store_true", help="measure how long one answer takes to cut")
    arguments = parser.parse_args()
    if arguments.cost:
        cost()
        return 0
    first = read_half("A", arguments.stamps)
    half = first if arguments.half == "A" else read_half("B", arguments.stamps)
    words = words_of(half)
    print(f"{len(half.images)} stamps, half {arguments.half}; 95 % intervals in brackets\n")
    shipped = judged_by_cut(words)
    ways = [*chosen(words_of(first), words), *ablations(words), (SHIPPED, shipped)]
    table("captions", ways, shipped)
    print("\nthe same parameters, right is the same noun alone\n")
    strict = Task(words.asked, words.nothing, half.strict, words.neutral)
    one = [row for row in chosen(words_of(first), strict) if row[0].startswith(("top ", "fixed"))]
    table("same noun", [*one, (SHIPPED, judged_by_cut(strict))], judged_by_cut(strict))
    print("\nnouns alone ask, and texts written when all choices were made; the parameters are those of captions\n")
    nouns = nouns_of(half)
    one = [row for row in chosen(words_of(first), nouns) if row[0].startswith(("top ", "fixed", "Otsu"))]
    table("nouns", [*one, (SHIPPED, judged_by_cut(nouns))], judged_by_cut(nouns))
    print("\nasked with pictures\n")
    seen, pictures = pictures_of(first), pictures_of(half)
    only = ("top", "fixed score", "mean + c deviations", "Otsu", "largest gap")
    rows = [row for row in chosen(seen, pictures) if row[0].startswith(only)]
    table("pictures", [*rows, (SHIPPED, judged_by_cut(pictures))], judged_by_cut(pictures))
    print("\nshares of relevant images (captions with at least 8 of them)\n")
    shares(half)
    print("\nsizes of the collection: harmonic mean of F1 and empty\n")
    sizes(half)
    print(f"\nNEAR and EXPECTED, on half A: {neighbours(words_of(first), seen)}\n")
    controls = [(f"control: {name}", judged_by_cut(task)) for name, task in broken(words)]
    table("controls", controls, shipped)
    sound = all(difference(found, shipped)[1] < 0 for _, found in controls)
    recorder.put(half=arguments.half, stamps=len(half.images), sound=sound)
    if not sound:
        print("a negative control is no worse than what is shipped", file=sys.stderr)
    return 0 if sound else 1


def cost() -> None:
    """A sample of 4,096 rows of 512 dimensions and a list of 1,000: the median of 50 answers, and the slowest."""
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((4096, 512), dtype=np.float32) / np.float32(22.6)
    scores = np.sort(rng.random(1000, np.float32))[::-1]
    spent = []
    for _ in range(50):
        begin = time.process_time()
        count_relevant(
            scores,
            background(sample_scores([rows], [rows[0]]), neutral_scores(rows, rows[:2])),
            scores[:MAX_COMPARED] / 2,
        )
        spent.append(1000 * (time.process_time() - begin))
    print(f"one answer is cut in {np.median(spent):.2f} ms (slowest {max(spent):.2f} ms)")
    recorder.put(median_ms=np.median(spent), slowest_ms=max(spent))


# -- tasks -------------------------------------------------------------------------------------------------


def words_of(half: Half) -> Task:
    neutral = (half.neutral @ half.images.T).mean(axis=0)
    return Task(half.texts @ half.images.T, half.nothing @ half.images.T, half.relevant, neutral)


def nouns_of(half: Half) -> Task:
    """Each noun of the half once, as a word; right as for its captions."""
    words = sorted(set(half.nouns))
    asked = load("builtin").encode_texts(words)
    relevant = np.array([half.relevant[half.nouns.index(word)] for word in words])
    neutral = (half.neutral @ half.images.T).mean(axis=0)
    return Task(asked @ half.images.T, half.fresh @ half.images.T, relevant, neutral)


def pictures_of(half: Half, some: Array | None = None) -> Task:
    """Each stamp asks for the others; symbols ask for nothing. Stamps that are alone of their kind do not ask."""
    some = np.arange(len(half.images)) if some is None else some
    count, images = len(some), half.images[some]
    others = ~np.eye(count, dtype=bool)
    asked = (images @ images.T)[others].reshape(count, count - 1)
    relevant = half.relevant[np.ix_(some, some)][others].reshape(count, count - 1)
    asks = relevant.any(axis=1)
    return Task(asked[asks], half.symbols @ images.T, relevant[asks])


def part(words: Task, some: Array) -> Task:
    """The same questions of fewer images; those that these do not answer are left out."""
    asks = words.relevant[:, some].any(axis=1)
    asked, relevant = (values[asks][:, some] for values in (words.asked, words.relevant))
    return Task(asked, words.nothing[:, some], relevant, words.neutral[some])


def broken(words: Task) -> Iterator[tuple[str, Task]]:
    rng = np.random.default_rng(0)
    shuffled = rng.permutation(words.asked.shape[1])
    yield (
        "scores of other images",
        Task(words.asked[:, shuffled], words.nothing, words.relevant, words.neutral),
    )
    yield (
        "captions of other stamps",
        Task(words.asked, words.nothing, words.relevant[shuffled], words.neutral),
    )
    noise = rng.permuted(words.asked, axis=0)
    nowhere = rng.permuted(words.nothing, axis=0)
    yield "scores from other questions", Task(noise, nowhere, words.relevant, words.neutral)


# -- ways to cut -------------------------------------------------------------------------------------------


def chosen(first: Task, task: Task) -> Iterator[tuple[str, Figures]]:
    """Every way with the parameters that do best on half A. Top k never leaves a list empty: chosen by F1."""
    count = max(range(1, 41), key=lambda k: judged(first, top(first.asked, k), -np.inf).f1.mean())
    yield f"top {count}", judged(task, top(task.asked, count), -np.inf)
    for name, way, grid in WAYS:
        if first.neutral is None and "neutral" in name:
            continue
        best = max(product(*grid), key=lambda values, way=way: at(first, way, values).both)
        yield f"{name}: {', '.join(f'{value:.3g}' for value in best)}", at(task, way, best)


def ablations(words: Task) -> Iterator[tuple[str, Figures]]:
    yield "shipped without neutral words", judged_by_cut(Task(words.asked, words.nothing, words.relevant))
    ends = [
        np.where((s > words.neutral).any(axis=1), MIN_SHARE_OF_BEST * s.max(axis=1), np.inf)
        for s in (words.asked, words.nothing)
    ]
    yield "shipped without the collection", judged(words, *ends)


def neighbours(words: Task, pictures: Task) -> str:
    """NEAR and EXPECTED: the five pairs that do best for words and pictures taken together, and what is shipped."""
    pairs = product((0.2, 0.25, 0.3, 0.35, 0.4, 0.5), (1.0, 2.0, 4.0, 6.0, 8.0, 10.0, 12.0, 16.0, 24.0))
    sums = {pair: at(words, stands_clear, pair).both + at(pictures, stands_clear, pair).both for pair in pairs}
    best = sorted(sums, key=lambda pair: -sums[pair])[:5]
    return ", ".join(
        f"{pair} {sums[pair] / 2:.3f}" for pair in dict.fromkeys([*best, (MIN_SHARE_OF_BEST, EXPECTED_FALSE_HITS)])
    )


def sizes(half: Half) -> None:
    """Collections of fewer stamps: with the same number of steps in all of them, and as shipped."""
    print("| stamps | | 2 steps | 2.5 | 3 | 4 | as shipped |\n|---|---|---|---|---|---|---|")
    for count in (40, 80, 160, len(half.images)):
        found = np.zeros((2, 5))
        draws = 5 if count < len(half.images) else 1
        for seed in range(draws):
            some = np.sort(np.random.default_rng(seed).permutation(len(half.images))[:count])
            for kind, task in enumerate((part(words_of(half), some), pictures_of(half, some))):
                values = [
                    at(task, stands_clear, (MIN_SHARE_OF_BEST, EXPECTED_FALSE_HITS, steps)).both
                    for steps in (2.0, 2.5, 3.0, 4.0)
                ]
                found[kind] += [*values, judged_by_cut(task).both]
        for kind, row in zip(("words", "pictures"), found / draws, strict=True):
            print(f"| {count} | {kind} | {' | '.join(f'{value:.3f}' for value in row)} |")
            columns = ("steps_2", "steps_2_5", "steps_3", "steps_4", "shipped")
            recorder.add_row("sizes", stamps=count, asked_with=kind, **dict(zip(columns, row, strict=True)))
    print("\nscores of a normal distribution, and one relevant image in a thousand, five deviations above\n")
    print(
        "| images | kept as shipped | precision | recall | kept where none is relevant | kept at 3 steps |\n"
        "|---|---|---|---|---|---|"
    )
    rng = np.random.default_rng(0)
    for count in (1_000, 10_000, 100_000, 1_000_000):
        usual = rng.normal(0.16, 0.025, count).astype(np.float32)
        right = rng.normal(0.285, 0.025, max(5, count // 1000)).astype(np.float32)
        behind = background(usual[:4096], searched=count)
        scores = np.concatenate([usual, right])
        kept = scores >= np.sort(scores)[::-1][count_relevant(np.sort(scores)[::-1], behind) - 1]
        fixed = (scores >= stands_clear(scores[None], None, MIN_SHARE_OF_BEST, EXPECTED_FALSE_HITS, 3.0)).sum()
        hits = kept[count:].sum()
        cells = f"{hits / kept.sum():.3f} | {hits / len(right):.3f} | {count_relevant(np.sort(usual)[::-1], behind)}"
        print(f"| {count:,} | {kept.sum()} | {cells} | {fixed} |")
        recorder.add_row(
            "normal_scores",
            images=count,
            kept=kept.sum(),
            precision=hits / kept.sum(),
            recall=hits / len(right),
            kept_of_none=count_relevant(np.sort(usual)[::-1], behind),
            kept_at_3_steps=fixed,
        )


# -- figures -----------------------------------------------------------------------------------------------


def top(scores: Array, k: int) -> Array:
    return -np.sort(-scores, axis=1)[:, k - 1]


def at(task: Task, way: Way, values: tuple[float, ...]) -> Figures:
    return judged(task, *(way(scores, task.neutral, *values) for scores in (task.asked, task.nothing)))


def judged(task: Task, ends: Array, ends_of_nothing: Array | float) -> Figures:
    none = np.broadcast_to(np.asarray(ends_of_nothing), len(task.nothing))
    return counted(task, task.asked >= ends[:, None], (task.nothing < none[:, None]).all(axis=1))


def judged_by_cut(task: Task) -> Figures:
    """By the code that is shipped, not by a copy of it."""
    kept = np.array([kept_by_cut(row, task.neutral) for row in task.asked])
    return counted(task, kept, np.array([not kept_by_cut(row, task.neutral).any() for row in task.nothing]))


def kept_by_cut(scores: Array, neutral: Array | None) -> Array:
    order = np.argsort(-scores, kind="stable")
    behind = background(scores, neutral)
    count = count_relevant(scores[order], behind, None if neutral is None else neutral[order][:MAX_COMPARED])
    kept = np.zeros(len(scores), bool)
    kept[order[:count]] = True
    return kept


def counted(task: Task, kept: Array, empty: Array) -> Figures:
    right, count, wanted = (kept & task.relevant).sum(axis=1), kept.sum(axis=1), task.relevant.sum(axis=1)
    precision = np.where(count > 0, right / np.maximum(count, 1), np.nan)
    return Figures(2 * right / (count + wanted), precision, right / wanted, empty.astype(float))


def harmonic(f1: Array, empty: Array) -> Array:
    return 2 * f1 * empty / np.maximum(f1 + empty, 1e-12)


def resampled(found: Figures) -> Array:
    """(RESAMPLES,) of *both*: the same questions in every call, so that differences are paired."""
    rng = np.random.default_rng(0)
    means = [v[rng.integers(0, len(v), (RESAMPLES, len(v)))].mean(axis=1) for v in (found.f1, found.empty)]
    return harmonic(*means)


def difference(found: Figures, shipped: Figures) -> tuple[float, float]:
    low, high = np.percentile(resampled(found) - resampled(shipped), [2.5, 97.5])
    return float(low), float(high)


def mean(values: Array) -> str:
    values = values[~np.isnan(values)]
    if not len(values):
        return "–"
    draws = values[np.random.default_rng(0).integers(0, len(values), (RESAMPLES, len(values)))].mean(axis=1)
    low, high = np.percentile(draws, [2.5, 97.5])
    return f"{values.mean():.3f} [{low:.3f}, {high:.3f}]"


def table(title: str, rows: Iterable[tuple[str, Figures]], shipped: Figures) -> None:
    print("| way | F1 | precision | recall | empty | none | both | both − shipped |\n|---|---|---|---|---|---|---|---|")
    for name, found in rows:
        cells = [mean(v) for v in (found.f1, found.precision, found.recall, found.empty)]
        low, high = difference(found, shipped)
        less = f"{found.both - shipped.both:+.3f} [{low:+.3f}, {high:+.3f}]" if found is not shipped else ""
        none = np.isnan(found.precision).mean()
        print(f"| {name} | {' | '.join(cells)} | {none:.3f} | {found.both:.3f} | {less} |")
        recorder.add_row(
            "ways",
            table=title,
            way=name,
            f1=found.f1.mean(),
            precision=None if none == 1 else np.nanmean(found.precision),
            recall=found.recall.mean(),
            empty=found.empty.mean(),
            none=none,
            both=found.both,
            both_less_shipped=found.both - shipped.both,
            both_less_shipped_interval=(low, high),
        )


def shares(half: Half) -> None:
    words = words_of(half)
    print(
        "| relevant | words: precision | recall | none | pictures: precision | recall | none |\n"
        "|---|---|---|---|---|---|---|"
    )
    for share in (0.05, 0.1, 0.25, 0.5, 0.75, 1.0):
        rng = np.random.default_rng(0)
        found: dict[str, list[tuple[float, float, float]]] = {"words": [], "pictures": []}
        for i in np.flatnonzero(words.relevant.sum(axis=1) >= 8):
            right = np.flatnonzero(words.relevant[i] & (np.arange(len(half.images)) != i))
            wrong = rng.permutation(np.flatnonzero(~words.relevant[i]))[: round(len(right) / share) - len(right)]
            some = np.concatenate([right, wrong])
            some = np.tile(some, -(-40 // len(some)))  # enough to be judged at all
            relevant = words.relevant[i, some]
            lists = {
                "words": (words.asked[i], words.neutral),
                "pictures": (half.images @ half.images[i], None),
            }
            for name, (scores, neutral) in lists.items():
                kept = kept_by_cut(scores[some], None if neutral is None else neutral[some])
                right_ones = (kept & relevant).sum()
                precision = right_ones / kept.sum() if kept.any() else np.nan
                found[name].append((precision, right_ones / relevant.sum(), float(not kept.any())))
        cells = [f"{value:.3f}" for name in found for value in np.nanmean(found[name], axis=0)]
        print(f"| {share:.0%} | {' | '.join(cells)} |")
        for name, values in found.items():
            columns = dict(zip(("precision", "recall", "none"), np.nanmean(values, axis=0), strict=True))
            recorder.add_row("shares", share_relevant=share, asked_with=name, **columns)


if __name__ == "__main__":
    sys.exit(recorder.run(main))
