"""Where an answer should end: precision, recall and emptiness of ways to cut, over the captioned stamps of Tux Paint.

    python bench/cutoff.py [--stamps DIR] [--half B]

The stamps of one half are the collection. Questions are its captions, whose right answers are the stamps of the same
folder or of the same noun (nouns.py), and 100 texts that no stamp answers. Figures: F1, precision and recall per
caption, averaged (precision over captions whose list is not empty); *empty*: the share of the 100 texts whose list is
empty; *none*: the share of captions whose list is empty; *both*: the harmonic mean of F1 and empty, by which parameters
were chosen, since each alone is best where nothing or everything is cut. The parameters of every way are chosen on half
A; half B is for reporting. Intervals are 95 % bootstrap intervals over questions; those of differences are paired
question by question.

A second table has pictures as questions (stamps, which other stamps answer; letters, coins and chessmen, which none
answers), a third a growing share of relevant images in the collection. The negative controls must do worse than the
shipped rule, else the exit code is 1.

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
from endings import WAYS, Array, Way, clearance
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
    """Scores of questions with answers, (q, n), and of those without, (e, n); relevant images, (q, n) bool.

    ``neutral`` (n,): the scores of neutral texts with each image.
    """

    scores: Array
    nothing: Array
    relevant: Array
    neutral: Array | None = None


@dataclass(frozen=True)
class Figures:
    """Per question: (q,) F1, precision (NaN for an empty list) and recall; (e,) whether a list is empty."""

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
    words = make_word_task(half)
    print(f"{len(half.images)} stamps, half {arguments.half}; 95 % intervals in brackets\n")
    shipped = judge_shipped(words)
    ways = [*tune_ways(make_word_task(first), words), *ablations(words), (SHIPPED, shipped)]
    table("captions", ways, shipped)
    print("\nthe same parameters, right is the same noun alone\n")
    strict = Task(words.scores, words.nothing, half.strict, words.neutral)
    baselines = [row for row in tune_ways(make_word_task(first), strict) if row[0].startswith(("top ", "fixed"))]
    table("same noun", [*baselines, (SHIPPED, judge_shipped(strict))], judge_shipped(strict))
    print("\nnouns alone ask, and texts written when all choices were made; the parameters are those of captions\n")
    nouns = make_noun_task(half)
    baselines = [row for row in tune_ways(make_word_task(first), nouns) if row[0].startswith(("top ", "fixed", "Otsu"))]
    table("nouns", [*baselines, (SHIPPED, judge_shipped(nouns))], judge_shipped(nouns))
    print("\nasked with pictures\n")
    first_pictures, pictures = make_picture_task(first), make_picture_task(half)
    only = ("top", "fixed score", "mean + c deviations", "Otsu", "largest gap")
    rows = [row for row in tune_ways(first_pictures, pictures) if row[0].startswith(only)]
    table("pictures", [*rows, (SHIPPED, judge_shipped(pictures))], judge_shipped(pictures))
    print("\nshares of relevant images (captions with at least 8 of them)\n")
    shares(half)
    print("\nsizes of the collection: harmonic mean of F1 and empty\n")
    sizes(half)
    print(f"\nNEAR and EXPECTED, on half A: {neighbours(make_word_task(first), first_pictures)}\n")
    controls = [(f"control: {name}", judge_shipped(task)) for name, task in make_controls(words)]
    table("controls", controls, shipped)
    sound = all(difference(figures, shipped)[1] < 0 for _, figures in controls)
    recorder.put(half=arguments.half, stamps=len(half.images), sound=sound)
    if not sound:
        print("a negative control is no worse than what is shipped", file=sys.stderr)
    return 0 if sound else 1


def cost() -> None:
    """Time 50 answers, for a sample of 4,096 rows of 512 dimensions and a list of 1,000: the median and the slowest."""
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((4096, 512), dtype=np.float32) / np.float32(22.6)
    scores = np.sort(rng.random(1000, np.float32))[::-1]
    milliseconds = []
    for _ in range(50):
        begin = time.process_time()
        count_relevant(
            scores,
            background(sample_scores([rows], [rows[0]]), neutral_scores(rows, rows[:2])),
            scores[:MAX_COMPARED] / 2,
        )
        milliseconds.append(1000 * (time.process_time() - begin))
    print(f"one answer is cut in {np.median(milliseconds):.2f} ms (slowest {max(milliseconds):.2f} ms)")
    recorder.put(median_ms=np.median(milliseconds), slowest_ms=max(milliseconds))


# -- tasks -------------------------------------------------------------------------------------------------


def make_word_task(half: Half) -> Task:
    neutral = (half.neutral @ half.images.T).mean(axis=0)
    return Task(half.texts @ half.images.T, half.nothing @ half.images.T, half.relevant, neutral)


def make_noun_task(half: Half) -> Task:
    """Each noun of the half once, as a question with the right answers of its captions."""
    words = sorted(set(half.nouns))
    texts = load("builtin").encode_texts(words)
    relevant = np.array([half.relevant[half.nouns.index(word)] for word in words])
    neutral = (half.neutral @ half.images.T).mean(axis=0)
    return Task(texts @ half.images.T, half.fresh @ half.images.T, relevant, neutral)


def make_picture_task(half: Half, positions: Array | None = None) -> Task:
    """Stamps as questions for the others of their kind, if there are any; symbols as questions without an answer."""
    positions = np.arange(len(half.images)) if positions is None else positions
    count, images = len(positions), half.images[positions]
    others = ~np.eye(count, dtype=bool)
    scores = (images @ images.T)[others].reshape(count, count - 1)
    relevant = half.relevant[np.ix_(positions, positions)][others].reshape(count, count - 1)
    asks = relevant.any(axis=1)
    return Task(scores[asks], half.symbols @ images.T, relevant[asks])


def restrict(words: Task, images: Array) -> Task:
    """Ask the same questions of fewer images; leave out questions that these do not answer."""
    asks = words.relevant[:, images].any(axis=1)
    scores, relevant = (values[asks][:, images] for values in (words.scores, words.relevant))
    return Task(scores, words.nothing[:, images], relevant, words.neutral[images])


def make_controls(words: Task) -> Iterator[tuple[str, Task]]:
    rng = np.random.default_rng(0)
    permutation = rng.permutation(words.scores.shape[1])
    yield (
        "scores of other images",
        Task(words.scores[:, permutation], words.nothing, words.relevant, words.neutral),
    )
    yield (
        "captions of other stamps",
        Task(words.scores, words.nothing, words.relevant[permutation], words.neutral),
    )
    noise = rng.permuted(words.scores, axis=0)
    noise_of_nothing = rng.permuted(words.nothing, axis=0)
    yield "scores from other questions", Task(noise, noise_of_nothing, words.relevant, words.neutral)


# -- ways to cut -------------------------------------------------------------------------------------------


def tune_ways(first: Task, task: Task) -> Iterator[tuple[str, Figures]]:
    """Yield every way with its best parameters on half A; top k, which leaves no list empty, is chosen by F1."""
    count = max(range(1, 41), key=lambda k: judge(first, top(first.scores, k), -np.inf).f1.mean())
    yield f"top {count}", judge(task, top(task.scores, count), -np.inf)
    for name, way, grid in WAYS:
        if first.neutral is None and "neutral" in name:
            continue
        best = max(product(*grid), key=lambda values, way=way: evaluate(first, way, values).both)
        yield f"{name}: {', '.join(f'{value:.3g}' for value in best)}", evaluate(task, way, best)


def ablations(words: Task) -> Iterator[tuple[str, Figures]]:
    yield "shipped without neutral words", judge_shipped(Task(words.scores, words.nothing, words.relevant))
    ends = [
        np.where((s > words.neutral).any(axis=1), MIN_SHARE_OF_BEST * s.max(axis=1), np.inf)
        for s in (words.scores, words.nothing)
    ]
    yield "shipped without the collection", judge(words, *ends)


def neighbours(words: Task, pictures: Task) -> str:
    """NEAR and EXPECTED: the five pairs that do best for words and pictures together, and the shipped pair."""
    pairs = product((0.2, 0.25, 0.3, 0.35, 0.4, 0.5), (1.0, 2.0, 4.0, 6.0, 8.0, 10.0, 12.0, 16.0, 24.0))
    sums = {pair: evaluate(words, clearance, pair).both + evaluate(pictures, clearance, pair).both for pair in pairs}
    best = sorted(sums, key=lambda pair: -sums[pair])[:5]
    return ", ".join(
        f"{pair} {sums[pair] / 2:.3f}" for pair in dict.fromkeys([*best, (MIN_SHARE_OF_BEST, EXPECTED_FALSE_HITS)])
    )


def sizes(half: Half) -> None:
    """Print figures for collections of fewer stamps: with one number of steps for all sizes, and as shipped."""
    print("| stamps | | 2 steps | 2.5 | 3 | 4 | as shipped |\n|---|---|---|---|---|---|---|")
    for count in (40, 80, 160, len(half.images)):
        totals = np.zeros((2, 5))
        draws = 5 if count < len(half.images) else 1
        for seed in range(draws):
            images = np.sort(np.random.default_rng(seed).permutation(len(half.images))[:count])
            for kind, task in enumerate((restrict(make_word_task(half), images), make_picture_task(half, images))):
                values = [
                    evaluate(task, clearance, (MIN_SHARE_OF_BEST, EXPECTED_FALSE_HITS, steps)).both
                    for steps in (2.0, 2.5, 3.0, 4.0)
                ]
                totals[kind] += [*values, judge_shipped(task).both]
        for kind, row in zip(("words", "pictures"), totals / draws, strict=True):
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
        mask = scores >= np.sort(scores)[::-1][count_relevant(np.sort(scores)[::-1], behind) - 1]
        fixed = (scores >= clearance(scores[None], None, MIN_SHARE_OF_BEST, EXPECTED_FALSE_HITS, 3.0)).sum()
        hits = mask[count:].sum()
        cells = f"{hits / mask.sum():.3f} | {hits / len(right):.3f} | {count_relevant(np.sort(usual)[::-1], behind)}"
        print(f"| {count:,} | {mask.sum()} | {cells} | {fixed} |")
        recorder.add_row(
            "normal_scores",
            images=count,
            kept=mask.sum(),
            precision=hits / mask.sum(),
            recall=hits / len(right),
            kept_of_none=count_relevant(np.sort(usual)[::-1], behind),
            kept_at_3_steps=fixed,
        )


# -- figures -----------------------------------------------------------------------------------------------


def top(scores: Array, k: int) -> Array:
    return -np.sort(-scores, axis=1)[:, k - 1]


def evaluate(task: Task, way: Way, values: tuple[float, ...]) -> Figures:
    return judge(task, *(way(scores, task.neutral, *values) for scores in (task.scores, task.nothing)))


def judge(task: Task, ends: Array, ends_of_nothing: Array | float) -> Figures:
    none = np.broadcast_to(np.asarray(ends_of_nothing), len(task.nothing))
    return make_figures(task, task.scores >= ends[:, None], (task.nothing < none[:, None]).all(axis=1))


def judge_shipped(task: Task) -> Figures:
    """Judge by the shipped code, not by a copy of it."""
    masks = np.array([cut_mask(row, task.neutral) for row in task.scores])
    return make_figures(task, masks, np.array([not cut_mask(row, task.neutral).any() for row in task.nothing]))


def cut_mask(scores: Array, neutral: Array | None) -> Array:
    order = np.argsort(-scores, kind="stable")
    behind = background(scores, neutral)
    count = count_relevant(scores[order], behind, None if neutral is None else neutral[order][:MAX_COMPARED])
    mask = np.zeros(len(scores), bool)
    mask[order[:count]] = True
    return mask


def make_figures(task: Task, mask: Array, empty: Array) -> Figures:
    right, count, relevant = (mask & task.relevant).sum(axis=1), mask.sum(axis=1), task.relevant.sum(axis=1)
    precision = np.where(count > 0, right / np.maximum(count, 1), np.nan)
    return Figures(2 * right / (count + relevant), precision, right / relevant, empty.astype(float))


def harmonic(f1: Array, empty: Array) -> Array:
    return 2 * f1 * empty / np.maximum(f1 + empty, 1e-12)


def resample(figures: Figures) -> Array:
    """(RESAMPLES,) values of *both*, over the same questions in every call, so that differences are paired."""
    rng = np.random.default_rng(0)
    means = [v[rng.integers(0, len(v), (RESAMPLES, len(v)))].mean(axis=1) for v in (figures.f1, figures.empty)]
    return harmonic(*means)


def difference(figures: Figures, shipped: Figures) -> tuple[float, float]:
    low, high = np.percentile(resample(figures) - resample(shipped), [2.5, 97.5])
    return float(low), float(high)


def format_mean(values: Array) -> str:
    values = values[~np.isnan(values)]
    if not len(values):
        return "–"
    draws = values[np.random.default_rng(0).integers(0, len(values), (RESAMPLES, len(values)))].mean(axis=1)
    low, high = np.percentile(draws, [2.5, 97.5])
    return f"{values.mean():.3f} [{low:.3f}, {high:.3f}]"


def table(title: str, rows: Iterable[tuple[str, Figures]], shipped: Figures) -> None:
    print("| way | F1 | precision | recall | empty | none | both | both − shipped |\n|---|---|---|---|---|---|---|---|")
    for name, figures in rows:
        cells = [format_mean(v) for v in (figures.f1, figures.precision, figures.recall, figures.empty)]
        low, high = difference(figures, shipped)
        less = f"{figures.both - shipped.both:+.3f} [{low:+.3f}, {high:+.3f}]" if figures is not shipped else ""
        none = np.isnan(figures.precision).mean()
        print(f"| {name} | {' | '.join(cells)} | {none:.3f} | {figures.both:.3f} | {less} |")
        recorder.add_row(
            "ways",
            table=title,
            way=name,
            f1=figures.f1.mean(),
            precision=None if none == 1 else np.nanmean(figures.precision),
            recall=figures.recall.mean(),
            empty=figures.empty.mean(),
            none=none,
            both=figures.both,
            both_less_shipped=figures.both - shipped.both,
            both_less_shipped_interval=(low, high),
        )


def shares(half: Half) -> None:
    words = make_word_task(half)
    print(
        "| relevant | words: precision | recall | none | pictures: precision | recall | none |\n"
        "|---|---|---|---|---|---|---|"
    )
    for share in (0.05, 0.1, 0.25, 0.5, 0.75, 1.0):
        rng = np.random.default_rng(0)
        outcomes: dict[str, list[tuple[float, float, float]]] = {"words": [], "pictures": []}
        for i in np.flatnonzero(words.relevant.sum(axis=1) >= 8):
            right = np.flatnonzero(words.relevant[i] & (np.arange(len(half.images)) != i))
            wrong = rng.permutation(np.flatnonzero(~words.relevant[i]))[: round(len(right) / share) - len(right)]
            images = np.concatenate([right, wrong])
            images = np.tile(images, -(-40 // len(images)))  # enough to be judged at all
            relevant = words.relevant[i, images]
            lists = {
                "words": (words.scores[i], words.neutral),
                "pictures": (half.images @ half.images[i], None),
            }
            for name, (scores, neutral) in lists.items():
                mask = cut_mask(scores[images], None if neutral is None else neutral[images])
                hits = (mask & relevant).sum()
                precision = hits / mask.sum() if mask.any() else np.nan
                outcomes[name].append((precision, hits / relevant.sum(), float(not mask.any())))
        cells = [f"{value:.3f}" for name in outcomes for value in np.nanmean(outcomes[name], axis=0)]
        print(f"| {share:.0%} | {' | '.join(cells)} |")
        for name, values in outcomes.items():
            columns = dict(zip(("precision", "recall", "none"), np.nanmean(values, axis=0), strict=True))
            recorder.add_row("shares", share_relevant=share, asked_with=name, **columns)


if __name__ == "__main__":
    sys.exit(recorder.run(main))
