"""Learned prompts on Tux Paint's stamps with the built-in encoder: few-shot curves, and classes never seen.

    python bench/prompts.py [--stamps DIR] [--half B] [--seeds 3] [--collection DIR] [--picture FILE]

As probes.py: the class of a stamp is its top-level folder, k pictures of each class of a half are learned from, and all
others but their copies are classified; accuracy is the mean over classes and seeds, with 95 % intervals by a bootstrap
over pictures. CoOp and CoCoOp learn for a fixed number of steps here, chosen on half A; `probe fit` chooses it by
cross-validation. CoCoOp, whose class vectors cost a run of the text tower for each picture and class, is judged on a
sample of ``--judged`` pictures, drawn once.

The second table is the split of Zhou et al. 2022b: methods learn from the first half of the classes, by name (with the
most shots), then classify pictures of these classes among them (base), and pictures of the other classes among those,
of which they learned nothing (new). H is the harmonic mean. Methods that learn no words cannot do the latter.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from unittest import mock

import numpy as np
import recorder
from probes import METHODS, Half, balanced_figure, print_row, read_half
from quality import find_stamps

from imseek.encoders import registry
from imseek.encoders.builtin import recipe
from imseek.encoders.prompt_tower import Prompts, PromptTower
from imseek.encoders.prompt_training import LearnedPrompts, learn_prompts
from imseek.metrics.estimate import Estimate
from imseek.probes import model_selection
from imseek.probes.model_selection import centre_rows

#: Methods without learned prompts: their names here, and in probes.py.
OTHERS = {
    "zero-shot, both sides centred": "the same, both sides centred",
    "linear probe": "linear probe",
    "cache model": "cache model",
}
#: Name, number of vectors, whether each class has its own, and whether they depend on the picture (CoCoOp).
LEARNED = (
    ("CoOp, 4 vectors", 4, False, False),
    ("CoOp, 4 vectors of each class", 4, True, False),
    ("CoOp, 16 vectors", 16, False, False),
    ("CoCoOp, 4 vectors", 4, False, True),
)
COLOURS = ("#666666", "#1f77b4", "#2ca02c", "#d62728", "#ff9896", "#9467bd", "#e6a100")

#: Positions to learn from, and to classify.
Draw = tuple[np.ndarray, np.ndarray]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stamps", type=Path, help="folder of stamps (default: installed, or fetched by apt)")
    parser.add_argument("--half", choices="AB", default="B", help="A to choose by, B to report (default)")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--shots", default="1,2,4,8,16")
    parser.add_argument("--steps", type=int, default=40, help="of CoOp")
    parser.add_argument("--picture-steps", type=int, default=30, help="of CoCoOp")
    parser.add_argument("--judged", type=int, default=100, help="pictures that CoCoOp is judged on")
    parser.add_argument("--collection", type=Path, help="where the stamps are, or are to be, indexed")
    parser.add_argument("--picture", type=Path, help="SVG file for the curves")
    options = parser.parse_args()
    shots = tuple(int(one) for one in options.shots.split(","))
    with tempfile.TemporaryDirectory() as folder:
        root = options.collection or Path(folder) / "stamps.imseek"
        half = read_half(root, options.stamps or find_stamps(), options.half)
    tower = registry.load_prompt_tower(recipe.REFERENCE, recipe.fingerprint())
    print(f"half {options.half}: {len(half.truth)} stamps of {', '.join(half.classes)}; {options.seeds} seeds\n")
    recorder.put(half=options.half, stamps=len(half.truth), classes=half.classes, seeds=options.seeds)
    curves: dict[str, list[Estimate]] = {}
    draws = {k: [half.draw(k, seed) for seed in range(options.seeds)] for k in shots}
    sample = np.random.default_rng(0).permutation(len(half.truth))[: options.judged]
    print("| method | " + " | ".join(f"{k} per class" for k in shots) + " |")
    print("|---|" + "---|" * len(shots))
    # One draw of folds, as where prompts are compared.
    with mock.patch.object(model_selection, "_DRAWS", ()):
        for name, row in OTHERS.items():
            curves[name] = [figure(half, draws[k], [METHODS[row](half, *draw) for draw in draws[k]]) for k in shots]
            print_row("methods", name, shots, curves[name])
    for name, count, per_class, conditional in LEARNED:
        steps = options.picture_steps if conditional else options.steps
        all_draws = [draw for k in shots for draw in draws[k]]
        if conditional:
            all_draws = [(train, test[np.isin(test, sample)]) for train, test in all_draws]
        models = learn(tower, half, all_draws, count, steps, per_class=per_class, conditional=conditional)
        predictions = [
            one.logits(half.rows[test]).argmax(axis=1) for one, (_, test) in zip(models, all_draws, strict=True)
        ]
        parts = [slice(n * options.seeds, (n + 1) * options.seeds) for n in range(len(shots))]
        curves[name] = [figure(half, all_draws[part], predictions[part]) for part in parts]
        print_row("methods", name, shots, curves[name])
    base_to_new(tower, half, shots[-1], options)
    if options.picture is not None:
        options.picture.write_text(draw_curves(shots, curves), "utf-8")
    return 0


def figure(half: Half, draws: Sequence[Draw], predictions: Sequence[np.ndarray]) -> Estimate:
    hits = [one == half.truth[test] for one, (_, test) in zip(predictions, draws, strict=True)]
    return balanced_figure(half, np.concatenate(hits), np.concatenate([test for _, test in draws]))


def learn(
    tower: PromptTower,
    half: Half,
    draws: Sequence[Draw],
    count: int,
    steps: int,
    *,
    per_class: bool = False,
    conditional: bool = False,
    classes: int | None = None,
) -> list[LearnedPrompts]:
    """Learn prompts from each draw, for the first ``classes``."""
    names = half.classes[:classes]
    weights = np.zeros((len(draws), len(half.truth)))
    for one, (learned, _) in zip(weights, draws, strict=True):
        one[learned[half.truth[learned] < len(names)]] = 1
    rows = np.flatnonzero(weights.any(axis=0))
    prompts = Prompts(tower, names, count)
    (models,) = learn_prompts(
        prompts,
        half.rows[rows],
        half.truth[rows],
        weights[:, rows],
        [steps],
        per_class=per_class,
        conditional=conditional,
    )
    return models


def base_to_new(tower: PromptTower, half: Half, shots: int, options: argparse.Namespace) -> None:
    """Print the accuracy on classes that prompts learned from, and on those that they did not."""
    draws = [half.draw(shots, seed) for seed in range(options.seeds)]
    base = (len(half.classes) + 1) // 2
    sample = np.random.default_rng(0).permutation(len(half.truth))[: 2 * options.judged]
    print(f"\nbase: {', '.join(half.classes[:base])}; new: {', '.join(half.classes[base:])}; {shots} per class\n")
    print("| method | base | new | H |")
    print("|---|---|---|---|")
    words = [centre_rows(one, one.mean(axis=0)) for one in (half.plain_words[:base], half.plain_words[base:])]
    split = [
        [(train, test[(half.truth[test] < base) == is_base]) for train, test in draws] for is_base in (True, False)
    ]
    zero = [
        figure(half, part, [(half.rows[test] @ class_words.T).argmax(axis=1) + shift for _, test in part])
        for part, class_words, shift in zip(split, words, (0, base), strict=True)
    ]
    print_split(next(iter(OTHERS)), zero)
    for name, count, per_class, conditional in LEARNED:
        if per_class:
            continue  # It learns nothing for other classes.
        steps = options.picture_steps if conditional else options.steps
        models = learn(tower, half, draws, count, steps, conditional=conditional, classes=base)
        figures = []
        for part, names, shift in zip(split, (half.classes[:base], half.classes[base:]), (0, base), strict=True):
            if conditional:
                part = [(train, test[np.isin(test, sample)]) for train, test in part]
            prompts = Prompts(tower, names, count)
            predictions = [
                LearnedPrompts(prompts, one.contexts, one.network, one.scale, one.steps)
                .logits(half.rows[test])
                .argmax(axis=1)
                + shift
                for one, (_, test) in zip(models, part, strict=True)
            ]
            figures.append(figure(half, part, predictions))
        print_split(name, figures)


def print_split(name: str, figures: Sequence[Estimate]) -> None:
    base, new = figures
    harmonic = 2 * base.value * new.value / (base.value + new.value)
    cells = [f"{one.value:.3f} [{one.low:.3f}, {one.high:.3f}]" for one in figures]
    print(f"| {name} | {cells[0]} | {cells[1]} | {harmonic:.3f} |", flush=True)
    recorder.add_row(
        "base_to_new",
        name=name,
        base=base.value,
        base_interval=(base.low, base.high),
        new=new.value,
        new_interval=(new.low, new.high),
        harmonic=harmonic,
    )


def draw_curves(shots: Sequence[int], curves: Mapping[str, Sequence[Estimate]]) -> str:
    """An SVG picture: accuracy over pictures per class, with intervals."""
    width, height, left, bottom = 640, 380, 46, 40
    values = [value for curve in curves.values() for one in curve for value in (one.low, one.high)]
    low, high = np.floor(min(values) * 10) / 10, np.ceil(max(values) * 10) / 10

    def x(n: float) -> float:
        return left + 24 + n * (width - left - 48) / max(1, len(shots) - 1)

    def y(value: float) -> float:
        return 14 + (high - value) / (high - low) * (height - bottom - 14)

    parts = [f'<rect width="{width}" height="{height + 18 * len(curves)}" fill="white"/>']
    for tick in np.arange(low, high + 0.01, 0.1):
        parts.append(f'<line x1="{left}" x2="{width}" y1="{y(tick):.1f}" y2="{y(tick):.1f}" stroke="#ddd"/>')
        parts.append(f'<text x="8" y="{y(tick) + 4:.1f}">{tick:.1f}</text>')
    for n, k in enumerate(shots):
        parts.append(f'<text x="{x(n):.1f}" y="{height - 20}" text-anchor="middle">{k}</text>')
    parts.append(f'<text x="{width / 2}" y="{height - 4}" text-anchor="middle">pictures of each class</text>')
    for row, (name, curve) in enumerate(curves.items()):
        colour, shift = COLOURS[row % len(COLOURS)], 4 * (row - len(curves) / 2)
        points = " ".join(f"{x(n) + shift:.1f},{y(one.value):.1f}" for n, one in enumerate(curve))
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for n, one in enumerate(curve):
            at = f"{x(n) + shift:.1f}"
            ends = f'y1="{y(one.low):.1f}" y2="{y(one.high):.1f}"'
            parts.append(f'<line x1="{at}" x2="{at}" {ends} stroke="{colour}" stroke-opacity=".5"/>')
        parts.append(f'<rect x="{left}" y="{height + 18 * row + 3}" width="18" height="4" fill="{colour}"/>')
        parts.append(f'<text x="{left + 26}" y="{height + 18 * row + 10}">{name}</text>')
    size = f'viewBox="0 0 {width} {height + 18 * len(curves)}" font-family="sans-serif" font-size="12"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>\n' + "\n".join(parts) + "\n</svg>\n"


if __name__ == "__main__":
    sys.exit(recorder.run(main))
