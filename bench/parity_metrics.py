"""Compare our metrics with CLIP_benchmark's on the same vectors: its functions, called as its command calls them.

    pip install --no-deps --target /tmp/clip-benchmark clip-benchmark        # it wants many packages, and uses few
    python bench/parity_metrics.py [--clip-benchmark /tmp/clip-benchmark] [--pin]

Wanted: no difference at all, for R@k in both directions with several captions to a picture, average precision, and
zero-shot accuracy (top 1, top 5, mean per class). CLIP_benchmark has no rank and no MAP for retrieval; average
precision is compared with its `average_precision_per_class`, each question taken for a class. ``--pin`` prints the
figures that tests/unit/test_parity_metrics.py has. The exit code is 1 where something differs.

Definitions differ for equal scores: CLIP_benchmark takes the items that torch.topk puts first, we put wrong items
first. So the vectors have no ties (asserted); near ties of float32 are decided by float64 here.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import recorder
import torch

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from metric_vectors import CASES, KS, captioned_vectors, class_vectors, unit

from imseek.metrics import classification
from imseek.metrics.retrieval import RelevantItems, rank_items
from imseek.types.arrays import Float32


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip-benchmark", type=Path, default=Path("/tmp/clip-benchmark"))
    parser.add_argument("--pin", action="store_true", help="print the figures for the test")
    arguments = parser.parse_args()
    sys.path.append(str(arguments.clip_benchmark))
    rows: list[tuple[str, float, float]] = []
    for pictures, dim, noise, seed in CASES:
        what = f"{pictures} pictures, {dim} dimensions"
        figures = {**retrieval(pictures, dim, noise, seed), **zeroshot(pictures, dim, noise, seed)}
        rows += [(f"{what}: {name}", ours, theirs) for name, (ours, theirs) in figures.items()]
        if arguments.pin:
            print(f"{(pictures, dim, noise, seed)}: { ({name: theirs for name, (_, theirs) in figures.items()}) },")
    different = 0
    for name, ours, theirs in rows:
        # Their means of R@k and their average precisions are of float32: equal is what float32 cannot tell apart.
        equal = abs(ours - theirs) < 1e-6 if "mAP" in name else np.float32(ours) == np.float32(theirs)
        different += not equal
        print(f"{name:66} {ours:.9f} {theirs:.9f} {'=' if equal else 'DIFFERENT'}")
        recorder.add_row("figures", figure=name, ours=ours, theirs=theirs, equal=bool(equal))
    print(f"{len(rows) - different} of {len(rows)} figures are equal")
    return int(different > 0)


def retrieval(pictures: int, dim: int, noise: float, seed: int) -> dict[str, tuple[float, float]]:
    from clip_benchmark.metrics import zeroshot_classification, zeroshot_retrieval

    images, texts, owner = captioned_vectors(pictures, dim, noise, seed)
    caption_counts = np.bincount(owner)
    starts = np.concatenate([[0], np.cumsum(caption_counts)])
    captions_of = [list(range(a, b)) for a, b in itertools.pairwise(starts)]
    batches = [
        (torch.from_numpy(images[i : i + 64]), captions_of[i : i + 64]) for i in range(0, pictures, 64)
    ]  # pictures, and for each the numbers of its captions
    model = SimpleNamespace(
        encode_image=lambda batch: batch, encode_text=lambda numbers: torch.from_numpy(texts)[numbers]
    )
    theirs = zeroshot_retrieval.evaluate(model, batches, torch.tensor, "cpu", amp=False, recall_k_list=list(KS))
    text_to_image = rank_items(texts, images, RelevantItems.of(np.arange(len(owner)), owner, len(owner)))
    image_to_text = rank_items(images, texts, RelevantItems.of(owner, np.arange(len(owner)), pictures))
    scores = texts @ images.T
    right = np.zeros(scores.shape, np.int64)
    right[np.arange(len(owner)), owner] = 1
    _assert_no_ties(scores, right)
    _assert_no_ties(scores.T, right.T)
    average = zeroshot_classification.average_precision_per_class
    figures = {}
    for k in KS:
        figures[f"words → picture R@{k}"] = float(text_to_image.hits(k).mean()), theirs[f"image_retrieval_recall@{k}"]
        figures[f"picture → words R@{k}"] = float(image_to_text.hits(k).mean()), theirs[f"text_retrieval_recall@{k}"]
    for name, ours, part_scores, good in (
        ("words → picture mAP", text_to_image, scores.T, right.T),
        ("picture → words mAP", image_to_text, scores, right),
    ):
        each = average(torch.from_numpy(part_scores.copy()), torch.from_numpy(good.copy()))
        figures[name] = float(ours.precision.mean()), float(each.double().mean())
    return figures


def zeroshot(pictures: int, dim: int, noise: float, seed: int) -> dict[str, tuple[float, float]]:
    from clip_benchmark.metrics import zeroshot_classification

    images, truth, prompts = class_vectors(pictures, dim, noise, seed)
    classes = len(prompts)
    batches: Any = _Loader(images, truth, classes)
    model = SimpleNamespace(encode_image=lambda batch: batch, encode_text=lambda rows: rows)

    def tokenizer(texts: list[str]) -> torch.Tensor:
        return torch.stack([torch.from_numpy(prompts[int(c), int(n)]) for c, n in map(str.split, texts)])

    with _floats():
        theirs = zeroshot_classification.evaluate(
            model,
            batches,
            tokenizer,
            [str(n) for n in range(classes)],
            ["{c} 0", "{c} 1", "{c} 2"],
            "cpu",
            amp=False,
        )
    scores = images @ unit(prompts.mean(axis=1)).T
    _assert_no_ties(scores, np.eye(classes)[truth])
    ranks = classification.ranks(scores, truth)
    per_class = np.nanmean(classification.per_class_accuracy(truth, scores.argmax(axis=1), classes))
    return {
        "zero-shot acc1": (np.mean(ranks <= 1), theirs["acc1"]),
        "zero-shot acc5": (np.mean(ranks <= 5), theirs["acc5"]),
        "zero-shot mean per-class recall": (per_class, theirs["mean_per_class_recall"]),
    }


class _Scalar(np.ndarray):
    def __float__(self) -> float:
        return float(self.item())


@contextmanager
def _floats() -> Iterator[None]:
    """CLIP_benchmark's `accuracy` turns an array of one number into a float, which NumPy no longer does by itself."""
    real = torch.Tensor.numpy
    torch.Tensor.numpy = lambda self, **more: real(self, **more).view(_Scalar)  # type: ignore[method-assign]
    try:
        yield
    finally:
        torch.Tensor.numpy = real  # type: ignore[method-assign]


class _Loader(list[Any]):
    """Batches, with the classes where CLIP_benchmark looks for them."""

    def __init__(self, images: Float32, truth: np.ndarray, classes: int) -> None:
        parts = range(0, len(images), 64)
        super().__init__((torch.from_numpy(images[i : i + 64]), torch.from_numpy(truth[i : i + 64])) for i in parts)
        self.dataset = SimpleNamespace(classes=list(range(classes)))


def _assert_no_ties(scores: Float32, right: np.ndarray) -> None:
    """Fail where a right item, (n, m) as ``scores``, scores as a wrong one does."""
    for row, good in zip(scores, right > 0, strict=True):
        assert not np.isin(row[good], row[~good]).any(), "equal scores: take another seed"


if __name__ == "__main__":
    sys.exit(recorder.run(main))
