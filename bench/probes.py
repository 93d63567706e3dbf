"""Few-shot classification of Tux Paint's stamps with the built-in encoder: probes, and what to label next.

    python bench/probes.py [--stamps DIR] [--half B] [--seeds 10] [--collection DIR] [--choose]

Prints Markdown tables for docs/log.md. The class of a stamp is its top-level folder (animals, food …); classes are
those that have at least 16 different pictures in each half, different as `imseek.probes.holdout_groups` has it.
Halves are those of quality.py. Of a half, k pictures of each class are drawn to learn from, and all others are
classified, but for copies and near-duplicates of those that were learned from. Accuracy is the mean over classes (they
are of very different sizes), over all seeds; intervals are 95 %, by a bootstrap over the pictures of the half.

``--choose`` (on half A) compares settings by themselves: it is where the defaults in learning.py come from. The stamps
are indexed into ``--collection`` once (minutes).
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
    """``plain`` (n, dim) as they are stored, ``rows`` (n, dim) as probes see them; ``truth`` (n,), ``groups`` (n,);
    ``plain_words`` and ``words`` (classes, dim)."""

    plain: Float32
    plain_words: Float32

    rows: Float32
    truth: np.ndarray
    groups: np.ndarray
    words: Float32
    classes: tuple[str, ...]

    def draw(self, shots: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Positions to learn from, one of a group, and those to classify."""
        generator = np.random.default_rng(seed)
        learned: list[int] = []
        for kind in range(len(self.classes)):
            mine = generator.permutation(np.flatnonzero(self.truth == kind))
            _, first = np.unique(self.groups[mine], return_index=True)
            learned += mine[np.sort(first)][:shots].tolist()
        at = np.array(learned)
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
        found = [figure(half, method, shots, arguments.seeds) for shots in SHOTS]
        tell("methods", name, SHOTS, found)
    if not arguments.choose:
        steps = [shots * len(half.classes) for shots in SHOTS]
        print("\n| what is labelled | " + " | ".join(f"{n} in all" for n in steps) + " |")
        print("|---|" + "---|" * len(steps))
        for name, ask in STRATEGIES.items():
            tell("strategies", name, steps, labelled(half, ask, steps, arguments.seeds))
    return 0


def tell(table: str, name: str, labelled: Sequence[int], found: Sequence[Estimate]) -> None:
    cells = [f"{one.value:.3f} [{one.low:.3f}, {one.high:.3f}]" for one in found]
    print(f"| {name} | {' | '.join(cells)} |", flush=True)
    for number, one in zip(labelled, found, strict=True):
        recorder.add_row(table, name=name, labelled=number, accuracy=one.value, interval=(one.low, one.high))


def read_half(root: Path, stamps: Path, half: str) -> Half:
    if not root.exists():
        with imseek.create(root, encoder="builtin") as made:
            made.index([stamps], source=imseek.SourceOptions(include=("*.png",)))
    reader = Reader(root)
    vectors = Vectors(reader)
    found = read_labels(reader, Labels("folder", ("1",)), vectors.ids)
    rows = vectors.of(found.ids)
    contents, hashes = holdout_groups.hashes_of(reader, found.ids)
    groups = holdout_groups.group_copies(contents, hashes, rows)
    places = reader.places(found.ids.tolist())
    names = [os.fsdecode(places[i].path) for i in found.ids.tolist()]
    halves = np.array([half_of(Path(name).relative_to(stamps).as_posix()) for name in names])
    sizes = [
        min(len(np.unique(groups[(found.targets == kind) & (halves == one)])) for one in "AB")
        for kind in range(len(found.classes))
    ]
    kept = [kind for kind, size in enumerate(sizes) if size >= LEAST]
    classes = tuple(found.classes[kind] for kind in kept)
    at = np.flatnonzero((halves == half) & np.isin(found.targets, kept))
    words = class_vectors(root, vectors.space, classes, TEMPLATES)
    return Half(
        rows[at],
        words,
        model_selection.centre_rows(rows[at], model_selection.centre_of(vectors)),
        np.searchsorted(kept, found.targets[at]),
        groups[at],
        model_selection.centre_rows(words, words.mean(axis=0)),
        classes,
    )


Method = Callable[[Half, np.ndarray, np.ndarray], np.ndarray]


def figure(half: Half, method: Method, shots: int, seeds: int) -> Estimate:
    """Mean over classes, with the interval of drawing both pictures and seeds anew."""
    right, at = [], []
    for seed in range(seeds):
        learned, tested = half.draw(shots, seed)
        right.append(method(half, learned, tested) == half.truth[tested])
        at.append(tested)
    return balanced_figure(half, np.concatenate(right), np.concatenate(at))


def balanced_figure(half: Half, hits: np.ndarray, positions: np.ndarray) -> Estimate:
    truth = half.truth[positions]

    def balanced(values: np.ndarray, weights: np.ndarray) -> float:
        total = np.bincount(truth, weights, len(half.classes))
        return float(np.mean(np.bincount(truth, weights * values, len(half.classes))[total > 0] / total[total > 0]))

    return bootstrap.interval(hits, balanced, groups=half.groups[positions], resamples=1000)


# -- methods -------------------------------------------------------------------------------------------


def zero_shot(half: Half, learned: np.ndarray, tested: np.ndarray) -> np.ndarray:
    return (half.plain[tested] @ half.plain_words.T).argmax(axis=1)


def zero_shot_centred(half: Half, learned: np.ndarray, tested: np.ndarray) -> np.ndarray:
    return (half.rows[tested] @ half.words.T).argmax(axis=1)


def nearest_mean(rows: str) -> Method:
    def classify(half: Half, learned: np.ndarray, tested: np.ndarray) -> np.ndarray:
        all_rows = getattr(half, rows)
        mine = [all_rows[learned[half.truth[learned] == k]].mean(axis=0) for k in range(len(half.classes))]
        means = np.stack(mine) / np.linalg.norm(mine, axis=1, keepdims=True)
        return (all_rows[tested] @ means.T).argmax(axis=1)

    return classify


def chosen(words: bool, only: str | None = None) -> Method:
    def classify(half: Half, learned: np.ndarray, tested: np.ndarray) -> np.ndarray:
        rows, truth = half.rows[learned], half.truth[learned]
        said = half.words if words else None
        methods = model_selection.DEFAULT_METHODS if only is None else (only,)
        found = model_selection.select_model(
            rows, truth, len(half.classes), half.groups[learned], said, methods=methods
        )
        return found.scorer.logits(half.rows[tested]).argmax(axis=1)

    return classify


def shuffled(half: Half, learned: np.ndarray, tested: np.ndarray) -> np.ndarray:
    truth = half.truth.copy()
    truth[learned] = np.random.default_rng(learned.tolist()).permutation(truth[learned])
    return nearest_mean("rows")(replace(half, truth=truth), learned, tested)


METHODS: dict[str, Method] = {
    "control: centred class means, labels shuffled": shuffled,
    "zero-shot (names of the folders)": zero_shot,
    "the same, both sides centred": zero_shot_centred,
    "nearest class mean": nearest_mean("plain"),
    "the same, centred": nearest_mean("rows"),
    "linear probe": chosen(True, "linear"),
    "cache model, without words": chosen(False, "cache"),
    "cache model": chosen(True, "cache"),
    "**probe fit** (the better by cross-validation)": chosen(True),
}


# -- what to label next --------------------------------------------------------------------------------

#: Of what is known (positions), what is left, and how many more: positions of these.
Ask = Callable[[Half, np.ndarray, np.ndarray, int, int], np.ndarray]


def by_chance(half: Half, known: np.ndarray, left: np.ndarray, n: int, seed: int) -> np.ndarray:
    return np.random.default_rng((seed, n)).choice(left, n, replace=False)


def proposed(half: Half, known: np.ndarray, left: np.ndarray, n: int, seed: int) -> np.ndarray:
    if len(np.unique(half.truth[known])) > 1:
        left = left[active_learning.select_unsure(margins(half, known, left), n)]
    pool = np.concatenate([known, left])
    return pool[active_learning.select_typical(half.rows[pool], np.arange(len(known)), n, seed=seed)]


def typical(half: Half, known: np.ndarray, left: np.ndarray, n: int, seed: int) -> np.ndarray:
    pool = np.concatenate([known, left])
    return pool[active_learning.select_typical(half.rows[pool], np.arange(len(known)), n, seed=seed)]


def least_sure(half: Half, known: np.ndarray, left: np.ndarray, n: int, seed: int) -> np.ndarray:
    if len(np.unique(half.truth[known])) < 2:
        return by_chance(half, known, left, n, seed)
    return left[np.argsort(margins(half, known, left), kind="stable")[:n]]


STRATEGIES: dict[str, Ask] = {
    "by chance": by_chance,
    "the least sure": least_sure,
    "typical (TypiClust)": typical,
    "**probe propose** (typical of the less sure half)": proposed,
}


def margins(half: Half, known: np.ndarray, asked: np.ndarray) -> np.ndarray:
    logits, temperature, _ = probe_of(half, known, asked)
    return active_learning.margins(calibration.probabilities(logits, temperature, False), False)


def probe_of(half: Half, known: np.ndarray, asked: np.ndarray) -> tuple[np.ndarray, float, np.ndarray]:
    """Logits of what is asked for, among the classes that are known by now; the temperature; these classes."""
    there, truth = np.unique(half.truth[known], return_inverse=True)
    found = model_selection.select_model(
        half.rows[known], truth, len(there), half.groups[known], half.words[there], even=True
    )
    return found.scorer.logits(half.rows[asked]), found.best.temperature, there


def labelled(half: Half, ask: Ask, steps: list[int], seeds: int) -> list[Estimate]:
    """For each number of labelled images, how good a probe is on the others."""
    right: dict[int, list[np.ndarray]] = {n: [] for n in steps}
    at: dict[int, list[np.ndarray]] = {n: [] for n in steps}
    for seed in range(seeds):
        known = np.empty(0, np.int64)
        for n in steps:
            left = np.flatnonzero(~np.isin(half.groups, half.groups[known]))
            left = np.random.default_rng(seed).permutation(left)
            left = left[np.sort(np.unique(half.groups[left], return_index=True)[1])]
            known = np.concatenate([known, ask(half, known, left, n - len(known), seed)])
            tested = np.flatnonzero(~np.isin(half.groups, half.groups[known]))
            logits, _, there = probe_of(half, known, tested)
            right[n].append(there[logits.argmax(axis=1)] == half.truth[tested])
            at[n].append(tested)
    return [balanced_figure(half, np.concatenate(right[n]), np.concatenate(at[n])) for n in steps]


def SETTINGS() -> dict[str, Method]:  # noqa: N802 - a table that is made when it is asked for
    found: dict[str, Method] = {}
    for strength in linear.STRENGTHS:
        found[f"linear, λ {strength:g}"] = one_linear(strength)
    for sharpness in cache_model.SHARPNESSES:
        for weight in cache_model.WORD_WEIGHTS:
            found[f"cache, β {sharpness:g}, words {weight:g}"] = one_cache(sharpness, weight)
    return found


def one_linear(strength: float) -> Method:
    def classify(half: Half, learned: np.ndarray, tested: np.ndarray) -> np.ndarray:
        (probe,) = linear.fit(half.rows[learned], half.truth[learned], len(half.classes), [strength])
        return probe.logits(half.rows[tested]).argmax(axis=1)

    return classify


def one_cache(sharpness: float, weight: float) -> Method:
    def classify(half: Half, learned: np.ndarray, tested: np.ndarray) -> np.ndarray:
        rows = half.rows[learned]
        pivot = cache_model.pivot_of(rows @ rows.T)
        probe = cache_model.build_cache_model(
            rows, half.truth[learned], len(half.classes), half.words, sharpness, weight, pivot
        )
        return probe.logits(half.rows[tested]).argmax(axis=1)

    return classify


if __name__ == "__main__":
    sys.exit(recorder.run(main))
