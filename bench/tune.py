"""Gain of adapters over stored vectors: words to stamps of Tux Paint and back, with `builtin`.

    cd bench; python tune.py [--half B] [--seeds 3]

Learns on the captioned stamps of half A, a part of which decides when to stop, and reports on half B (halves are those
of quality.py), in this order: the vectors as they are, the adapter of `imseek tune` with both losses, other shapes and
ranks, and two controls: captions shuffled among the pictures of A, which must not help, and the mean of the pictures of
A subtracted from all, which needs no learning. Figures are R@k and median ranks of words to pictures and of pictures to
words; the last column is the difference of the mean average precision over both from the vectors as they are, with a
95 % interval (paired bootstrap, pictures of one caption drawn together). Figures of several seeds are means; the
interval is that of the first seed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import recorder
import torch
from stamps import Half, read_half

from imseek.encoders import adapter_training
from imseek.encoders.vector_adapter import Adapter
from imseek.metrics import bootstrap
from imseek.metrics.retrieval import Ranks, RelevantItems, rank_items
from imseek.progress import Task
from imseek.tune import data_split, training
from imseek.tune.examples import Examples
from imseek.tune.retrieval_gain import EvaluationPart
from imseek.types.arrays import Float32

Turn = Callable[[Float32], Float32]


@dataclass(frozen=True)
class Way:
    """A map of ``images`` and one of ``words`` before they are compared; None: as they are."""

    name: str
    images: Turn | None = None
    words: Turn | None = None


def make_examples(half: Half, captions: tuple[str, ...] | None = None) -> tuple[Examples, np.ndarray]:
    """Return the examples, and the group of each picture, by its caption."""
    pair_texts = np.array(half.captions if captions is None else captions)
    texts, first, text_of = np.unique(half.captions, return_index=True, return_inverse=True)
    if captions is not None:
        text_of = np.searchsorted(texts, pair_texts)
    pairs = np.stack([text_of, np.arange(len(pair_texts))], axis=1).astype(np.int64)
    ids = np.arange(len(pair_texts), dtype=np.int64)
    words = half.texts[first].astype(np.float32)
    norms = np.linalg.norm(half.images, axis=1, keepdims=True)
    return Examples(
        "captions", ids, half.images / norms, tuple(texts.tolist()), words, pairs, np.empty((0, 2), np.int64)
    ), text_of.astype(np.int64)


def train_adapter(half: Half, loss: Any, seed: int, captions: tuple[str, ...] | None = None) -> Adapter:
    """Train as `imseek tune` does, on one half."""
    examples, groups = make_examples(half, captions)
    split = data_split.assign_parts(groups, np.unique(groups), seed)
    outcome = training.train_from_examples(examples, split, loss=loss, seed=seed, task=Task())
    assert outcome is not None
    return outcome.adapter


class Shape(torch.nn.Module):
    """A residual by a bottleneck: linear, or with a ReLU as CLIP-Adapter has it."""

    def __init__(self, dim: int, rank: int, relu: bool, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.down = torch.nn.Parameter(torch.randn(dim, rank, generator=generator) / dim**0.5)
        self.up = torch.nn.Parameter(torch.zeros(rank, dim))
        self.relu = relu

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        inner = rows @ self.down
        inner = torch.relu(inner) if self.relu else inner
        return torch.nn.functional.normalize(rows + inner @ self.up, dim=1)

    def turn(self, rows: Float32) -> Float32:
        with torch.no_grad():
            return self(torch.from_numpy(np.ascontiguousarray(rows))).numpy()


def train_shape(half: Half, images: bool, words: bool, rank: int, relu: bool, seed: int) -> Way:
    """Train with InfoNCE, as in adapter_training, a shape that imseek does not have."""
    examples, groups = make_examples(half)
    split = data_split.assign_parts(groups, np.unique(groups), seed)
    lesson = training.lesson_of(examples, split.train)
    stops = EvaluationPart.of(examples, split.groups, split.validation)
    assert stops.words is not None
    assert lesson.words is not None
    dim = examples.images.shape[1]
    image_shape = Shape(dim, rank, relu, seed) if images else None
    word_shape = Shape(dim, rank, relu, seed + 1) if words else None
    shapes = [shape for shape in (image_shape, word_shape) if shape is not None]
    scale = torch.nn.Parameter(torch.tensor(np.log(1 / 0.07), dtype=torch.float32))
    parameters = [p for shape in shapes for p in shape.parameters()]
    groups_of = [
        {"params": parameters, "weight_decay": adapter_training.WEIGHT_DECAY},
        {"params": [scale], "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups_of, lr=adapter_training.LEARNING_RATE)
    belongs = adapter_training._PositivePairs(lesson)
    left, right = lesson.pairs.T
    truth = torch.from_numpy(belongs(left, right))
    rows, queries = torch.from_numpy(lesson.images[right]), torch.from_numpy(lesson.words[left])
    best, best_parameters = -1.0, [p.detach().clone() for p in parameters]
    idle = 0
    for step in range(training.STEPS + 1):
        if step % training.VALIDATE_EVERY == 0:
            current = Way("", image_shape and image_shape.turn, word_shape and word_shape.turn)
            precision = float(np.mean([r.precision.mean() for r in rank_both(stops, current)]))
            idle = 0 if precision > best else idle + 1
            if precision > best:
                best, best_parameters = precision, [p.detach().clone() for p in parameters]
            if idle > training.PATIENCE:
                break
        word_rows = queries if word_shape is None else word_shape(queries)
        image_rows = rows if image_shape is None else image_shape(rows)
        cosines = word_rows @ image_rows.T
        optimiser.zero_grad()
        adapter_training._infonce(cosines, truth, scale, None).backward()
        optimiser.step()
        with torch.no_grad():
            scale.clamp_(max=float(np.log(adapter_training.MAX_LOGIT_SCALE)))
    with torch.no_grad():
        for parameter, value in zip(parameters, best_parameters, strict=True):
            parameter.copy_(value)
    return Way("", image_shape and image_shape.turn, word_shape and word_shape.turn)


def rank_both(part: EvaluationPart, way: Way) -> tuple[Ranks, Ranks]:
    """Rank words to pictures, and pictures to words."""
    assert part.words is not None
    images = part.images if way.images is None else way.images(part.images)
    words = part.words if way.words is None else way.words(part.words)
    left, right = part.pairs.T
    return (
        rank_items(words, images, RelevantItems.of(left, right, len(words))),
        rank_items(images, words, RelevantItems.of(right, left, len(images))),
    )


def differences(part: EvaluationPart, before: Any, after: Any, name: str) -> Iterator[str]:
    """R@k after less before, in both directions, with 95 % intervals."""
    for direction, old, new, units in zip(part.directions, before, after, part.units, strict=True):
        groups = np.unique(units, return_inverse=True)[1]
        cells = []
        for k in (1, 5, 10):
            d = bootstrap.paired_interval(old.hits(k), new.hits(k), groups=groups)
            cells.append(f"R@{k} {d.value:+.3f} [{d.low:+.3f}, {d.high:+.3f}]")
        ends = f"median rank {np.median(old.first):g} → {np.median(new.first):g}"
        yield f"{name}, {direction}: {', '.join(cells)}, {ends}"


def ways(half: Half, seed: int) -> Iterator[Way]:
    yield Way("as they are")
    yield Way("**`imseek tune`, InfoNCE**", train_adapter(half, "infonce", seed))
    yield Way("`imseek tune --loss sigmoid`", train_adapter(half, "sigmoid", seed))
    for name, images, words, rank, relu in (
        ("rank 16", True, False, 16, False),
        ("rank 64", True, False, 64, False),
        ("rank 256", True, False, 256, False),
        ("rank 64, ReLU", True, False, 64, True),
        ("of words, rank 64", False, True, 64, False),
        ("of words, rank 64, ReLU", False, True, 64, True),
        ("of both, rank 64", True, True, 64, False),
    ):
        yield replace(train_shape(half, images, words, rank, relu, seed), name=name)
    shuffled_captions = tuple(np.random.default_rng(seed).permutation(half.captions).tolist())
    yield Way("captions shuffled", train_adapter(half, "infonce", seed, shuffled_captions))
    mean = half.images.mean(axis=0)
    yield Way("mean of A taken away", lambda rows: _unit(rows - mean))


def _unit(rows: Float32) -> Float32:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--half", default="B", choices="AB", help="reported on; the other one is learned from")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--stamps", type=Path, help="folder of stamps (default: installed, or fetched by apt)")
    options = parser.parse_args()
    train_half, report_half = (read_half(h, options.stamps) for h in ("AB".replace(options.half, ""), options.half))
    examples, groups = make_examples(report_half)
    part = EvaluationPart.of(examples, groups, np.arange(len(examples.ids)))
    before = rank_both(part, Way(""))
    figures: dict[str, list[list[float]]] = {}
    gains: dict[str, Any] = {}
    lines: list[str] = []
    for seed in range(options.seeds):
        for way in ways(train_half, seed):
            after = rank_both(part, way)
            figures.setdefault(way.name, []).append(
                [f for one in after for f in (*(one.hits(k).mean() for k in (1, 5, 10)), np.median(one.first))]
                + [float(np.mean([one.precision.mean() for one in after]))]
            )
            values = [np.concatenate([o.precision / len(o.first) for o in some]) for some in (before, after)]
            size = len(values[0]) / 2
            units = np.unique(np.concatenate(part.units), return_inverse=True)[1]
            interval = bootstrap.paired_interval(values[0] * size, values[1] * size, groups=units)
            gains.setdefault(way.name, interval)
            if "imseek tune" in way.name:
                lines += list(differences(part, before, after, f"{way.name}, seed {seed}"))
    print(f"{len(part.words)} captions, {len(part.images)} pictures of half {options.half}; {options.seeds} seeds\n")
    recorder.put(half=options.half, captions=len(part.words), pictures=len(part.images), seeds=options.seeds)
    print(
        "| adapter | words → pictures R@1, 5, 10 | median | pictures → words R@1, 5, 10 | median | precision | gain |"
    )
    print("|---|---|---|---|---|---|---|")
    for name, rows in figures.items():
        a, b, c, m, d, e, f, n, p = np.mean(rows, axis=0)
        gain = gains[name]
        recorder.add_row(
            "adapters",
            adapter=name,
            **dict(zip(("r_at_1", "r_at_5", "r_at_10", "median_rank"), (a, b, c, m), strict=True)),
            **dict(
                zip(
                    ("back_r_at_1", "back_r_at_5", "back_r_at_10", "back_median_rank"),
                    (d, e, f, n),
                    strict=True,
                )
            ),
            precision=p,
            gain=gain.value,
            gain_interval=(gain.low, gain.high),
        )
        gain_text = "" if name == "as they are" else f"{gain.value:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}]"
        print(
            f"| {name} | {a:.3f}, {b:.3f}, {c:.3f} | {m:.1f} | {d:.3f}, {e:.3f}, {f:.3f} | {n:.1f} | {p:.3f} | {gain_text} |"  # noqa: E501
        )
    print("\n" + "\n".join(lines))


if __name__ == "__main__":
    sys.exit(recorder.run(main))
