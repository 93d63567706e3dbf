"""Few-shot classification of Tux Paint's stamps with the built-in encoder: probes, and what to label next.

    python bench/probes.py [--stamps DIR] [--half B] [--seeds 10] [--collection DIR] [--choose]

Prints Markdown tables for docs/log.md. The class of a stamp is its top-level folder (animals, food …); classes need at
least 16 different pictures in each half, as `imseek.probes.holdout_groups` tells pictures apart. Halves are those of
quality.py. k pictures of each class of a half are drawn to learn from, and all others are classified, except copies and
near-duplicates of those. Accuracy is the mean over classes (they are of very different sizes), over all seeds;
intervals are 95 %, by a bootstrap over the pictures of the half.

``--choose`` (on half A) compares single settings; imseek.probes has its defaults from it. The stamps are indexed into
``--collection`` once (minutes).
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import recorder
from quality import find_stamps, half_of

import imseek
from imseek.analysis.space_vectors import Vectors
from imseek.data.reader import Reader
from imseek.labels.class_vectors import class_vectors
from imseek.metrics import bootstrap
from imseek.metrics.estimate import Estimate
from imseek.probes import active_learning, cache_model, calibration, holdout_groups, linear, model_selection
from imseek.probes.labels import Labels, read_labels
from imseek.probes.training import TEMPLATES
from imseek.types.arrays import Float32

SHOTS = (1, 2, 4, 8)
LEAST = 16


@dataclass(frozen=True)
class Half:
    """``plain`` (n, dim) rows as stored, ``rows`` (n, dim) as probes see them; ``truth`` (n,), ``groups`` (n,);
    ``plain_words`` and ``words`` (classes, dim)."""

    plain: Float32
    plain_words: Float32

    rows: Float32
    truth: np.ndarray
    groups: np.ndarray
    words: Float32
    classes: tuple[str, ...]

    def draw(self, shots: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Return positions to learn from, one of each group, and positions to classify."""
        generator = np.random.default_rng(seed)
        train: list[int] = []
        for kind in range(len(self.classes)):
            members = generator.permutation(np.flatnonzero(self.truth == kind))
            _, first = np.unique(self.groups[members], return_index=True)
            train += members[np.sort(first)][:shots].tolist()
        at = np.array(train)
        return at, np.flatnonzero(~np.isin(self.groups, self.groups[at]))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stamps", type=Path, help="folder of stamps (default: installed, or fetched by apt)")
    parser.add_argument("--half", choices="AB", default="B", help="A to choose by, B to report (default)")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--collection", type=Path, help="where the stamps are, or are to be, indexed")
    parser.add_argument("--choose", action="store_true", help="compare single settings, without choosing any")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = arguments.collection or Path(folder) / "stamps.imseek"
        half = read_half(root, arguments.stamps or find_stamps(), arguments.half)
    print(
        f"half {arguments.half}: {len(half.truth)} stamps of {len(half.classes)} classes "
        f"({', '.join(half.classes)}); {arguments.seeds} seeds; 95 % intervals in brackets\n"
    )
    recorder.put(half=arguments.half, stamps=len(half.truth), classes=half.classes, seeds=arguments.seeds)
    methods = SETTINGS() if arguments.choose else METHODS
    print("| method | " + " | ".join(f"{k} per class" for k in SHOTS) + " |")
    print("|---|" + "---|" * len(SHOTS))
    for name, method in methods.items():
        estimates = [figure(half, method, shots, arguments.seeds) for shots in SHOTS]
        print_row("methods", name, SHOTS, estimates)
    if not arguments.choose:
        steps = [shots * len(half.classes) for shots in SHOTS]
        print("\n| what is labelled | " + " | ".join(f"{n} in all" for n in steps) + " |")
        print("|---|" + "---|" * len(steps))
        for name, strategy in STRATEGIES.items():
            print_row("strategies", name, steps, measure_strategy(half, strategy, steps, arguments.seeds))
    return 0


def print_row(table: str, name: str, counts: Sequence[int], estimates: Sequence[Estimate]) -> None:
    cells = [f"{one.value:.3f} [{one.low:.3f}, {one.high:.3f}]" for one in estimates]
    print(f"| {name} | {' | '.join(cells)} |", flush=True)
    for number, one in zip(counts, estimates, strict=True):
        recorder.add_row(table, name=name, labelled=number, accuracy=one.value, interval=(one.low, one.high))


def read_half(root: Path, stamps: Path, half: str) -> Half:
    if not root.exists():
        with imseek.create(root, encoder="builtin") as collection:
            collection.index([stamps], source=imseek.SourceOptions(include=("*.png",)))
    reader = Reader(root)
    vectors = Vectors(reader)
    labels = read_labels(reader, Labels("folder", ("1",)), vectors.ids)
    rows = vectors.of(labels.ids)
    contents, hashes = holdout_groups.hashes_of(reader, labels.ids)
    groups = holdout_groups.group_copies(contents, hashes, rows)
    places = reader.places(labels.ids.tolist())
    names = [os.fsdecode(places[i].path) for i in labels.ids.tolist()]
    halves = np.array([half_of(Path(name).relative_to(stamps).as_posix()) for name in names])
    sizes = [
        min(len(np.unique(groups[(labels.targets == kind) & (halves == one)])) for one in "AB")
        for kind in range(len(labels.classes))
    ]
    large = [kind for kind, size in enumerate(sizes) if size >= LEAST]
    classes = tuple(labels.classes[kind] for kind in large)
    at = np.flatnonzero((halves == half) & np.isin(labels.targets, large))
    words = class_vectors(root, vectors.space, classes, TEMPLATES)
    return Half(
        rows[at],
        words,
        model_selection.centre_rows(rows[at], model_selection.centre_of(vectors)),
        np.searchsorted(large, labels.targets[at]),
        groups[at],
        model_selection.centre_rows(words, words.mean(axis=0)),
        classes,
    )


Method = Callable[[Half, np.ndarray, np.ndarray], np.ndarray]


def figure(half: Half, method: Method, shots: int, seeds: int) -> Estimate:
    """Mean accuracy over classes, with the interval of drawing both pictures and seeds anew."""
    hits, at = [], []
    for seed in range(seeds):
        train, test = half.draw(shots, seed)
        hits.append(method(half, train, test) == half.truth[test])
        at.append(test)
    return balanced_figure(half, np.concatenate(hits), np.concatenate(at))


def balanced_figure(half: Half, hits: np.ndarray, positions: np.ndarray) -> Estimate:
    truth = half.truth[positions]

    def balanced(values: np.ndarray, weights: np.ndarray) -> float:
        total = np.bincount(truth, weights, len(half.classes))
        return float(np.mean(np.bincount(truth, weights * values, len(half.classes))[total > 0] / total[total > 0]))

    return bootstrap.interval(hits, balanced, groups=half.groups[positions], resamples=1000)


# -- methods -------------------------------------------------------------------------------------------


def zero_shot(half: Half, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    return (half.plain[test] @ half.plain_words.T).argmax(axis=1)


def zero_shot_centred(half: Half, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    return (half.rows[test] @ half.words.T).argmax(axis=1)


def nearest_mean(rows: str) -> Method:
    def classify(half: Half, train: np.ndarray, test: np.ndarray) -> np.ndarray:
        all_rows = getattr(half, rows)
        centres = [all_rows[train[half.truth[train] == k]].mean(axis=0) for k in range(len(half.classes))]
        means = np.stack(centres) / np.linalg.norm(centres, axis=1, keepdims=True)
        return (all_rows[test] @ means.T).argmax(axis=1)

    return classify


def select_probe(words: bool, only: str | None = None) -> Method:
    def classify(half: Half, train: np.ndarray, test: np.ndarray) -> np.ndarray:
        rows, truth = half.rows[train], half.truth[train]
        class_words = half.words if words else None
        methods = model_selection.DEFAULT_METHODS if only is None else (only,)
        selection = model_selection.select_model(
            rows, truth, len(half.classes), half.groups[train], class_words, methods=methods
        )
        return selection.scorer.logits(half.rows[test]).argmax(axis=1)

    return classify


def shuffle_labels(half: Half, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    truth = half.truth.copy()
    truth[train] = np.random.default_rng(train.tolist()).permutation(truth[train])
    return nearest_mean("rows")(replace(half, truth=truth), train, test)


METHODS: dict[str, Method] = {
    "control: centred class means, labels shuffled": shuffle_labels,
    "zero-shot (names of the folders)": zero_shot,
    "the same, both sides centred": zero_shot_centred,
    "nearest class mean": nearest_mean("plain"),
    "the same, centred": nearest_mean("rows"),
    "linear probe": select_probe(True, "linear"),
    "cache model, without words": select_probe(False, "cache"),
    "cache model": select_probe(True, "cache"),
    "**probe fit** (the better by cross-validation)": select_probe(True),
}


# -- what to label next --------------------------------------------------------------------------------

#: Labelled positions, the rest, and how many more to label → positions to label.
Strategy = Callable[[Half, np.ndarray, np.ndarray, int, int], np.ndarray]


def propose_by_chance(half: Half, train: np.ndarray, rest: np.ndarray, n: int, seed: int) -> np.ndarray:
    return np.random.default_rng((seed, n)).choice(rest, n, replace=False)


def propose(half: Half, train: np.ndarray, rest: np.ndarray, n: int, seed: int) -> np.ndarray:
    if len(np.unique(half.truth[train])) > 1:
        rest = rest[active_learning.select_unsure(margins(half, train, rest), n)]
    pool = np.concatenate([train, rest])
    return pool[active_learning.select_typical(half.rows[pool], np.arange(len(train)), n, seed=seed)]


def propose_typical(half: Half, train: np.ndarray, rest: np.ndarray, n: int, seed: int) -> np.ndarray:
    pool = np.concatenate([train, rest])
    return pool[active_learning.select_typical(half.rows[pool], np.arange(len(train)), n, seed=seed)]


def propose_least_sure(half: Half, train: np.ndarray, rest: np.ndarray, n: int, seed: int) -> np.ndarray:
    if len(np.unique(half.truth[train])) < 2:
        return propose_by_chance(half, train, rest, n, seed)
    return rest[np.argsort(margins(half, train, rest), kind="stable")[:n]]


STRATEGIES: dict[str, Strategy] = {
    "by chance": propose_by_chance,
    "the least sure": propose_least_sure,
    "typical (TypiClust)": propose_typical,
    "**probe propose** (typical of the less sure half)": propose,
}


def margins(half: Half, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    logits, temperature, _ = fit_probe(half, train, test)
    return active_learning.margins(calibration.probabilities(logits, temperature, False), False)


def fit_probe(half: Half, train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, float, np.ndarray]:
    """Return logits of the positions ``test`` over the classes of ``train``, the temperature, and these classes."""
    classes, truth = np.unique(half.truth[train], return_inverse=True)
    selection = model_selection.select_model(
        half.rows[train], truth, len(classes), half.groups[train], half.words[classes], even=True
    )
    return selection.scorer.logits(half.rows[test]), selection.best.temperature, classes


def measure_strategy(half: Half, strategy: Strategy, steps: list[int], seeds: int) -> list[Estimate]:
    """Accuracy of a probe on the other images, for each number of labelled images."""
    hits: dict[int, list[np.ndarray]] = {n: [] for n in steps}
    at: dict[int, list[np.ndarray]] = {n: [] for n in steps}
    for seed in range(seeds):
        train = np.empty(0, np.int64)
        for n in steps:
            rest = np.flatnonzero(~np.isin(half.groups, half.groups[train]))
            rest = np.random.default_rng(seed).permutation(rest)
            rest = rest[np.sort(np.unique(half.groups[rest], return_index=True)[1])]
            train = np.concatenate([train, strategy(half, train, rest, n - len(train), seed)])
            test = np.flatnonzero(~np.isin(half.groups, half.groups[train]))
            logits, _, classes = fit_probe(half, train, test)
            hits[n].append(classes[logits.argmax(axis=1)] == half.truth[test])
            at[n].append(test)
    return [balanced_figure(half, np.concatenate(hits[n]), np.concatenate(at[n])) for n in steps]


def SETTINGS() -> dict[str, Method]:  # noqa: N802 - a table, built on demand
    methods: dict[str, Method] = {}
    for strength in linear.STRENGTHS:
        methods[f"linear, λ {strength:g}"] = linear_method(strength)
    for sharpness in cache_model.SHARPNESSES:
        for weight in cache_model.WORD_WEIGHTS:
            methods[f"cache, β {sharpness:g}, words {weight:g}"] = cache_method(sharpness, weight)
    return methods


def linear_method(strength: float) -> Method:
    def classify(half: Half, train: np.ndarray, test: np.ndarray) -> np.ndarray:
        (probe,) = linear.fit(half.rows[train], half.truth[train], len(half.classes), [strength])
        return probe.logits(half.rows[test]).argmax(axis=1)

    return classify


def cache_method(sharpness: float, weight: float) -> Method:
    def classify(half: Half, train: np.ndarray, test: np.ndarray) -> np.ndarray:
        rows = half.rows[train]
        pivot = cache_model.pivot_of(rows @ rows.T)
        probe = cache_model.build_cache_model(
            rows, half.truth[train], len(half.classes), half.words, sharpness, weight, pivot
        )
        return probe.logits(half.rows[test]).argmax(axis=1)

    return classify


if __name__ == "__main__":
    sys.exit(recorder.run(main))
