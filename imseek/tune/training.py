"""Train an adapter on examples and evaluate it on held-out data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from imseek.encoders.adapter_training import AdapterCheckpoint, TrainingData, train_adapter
from imseek.encoders.vector_adapter import Adapter
from imseek.progress import Task
from imseek.tune.data_split import Split
from imseek.tune.examples import Examples
from imseek.tune.results import TuneLoss, Tuning
from imseek.tune.retrieval_gain import EvaluationPart, is_helpful, measure_gains

#: Maximum steps, steps between validations, and validations without improvement before training ends.
STEPS: Final = 600
VALIDATE_EVERY: Final = 10
PATIENCE: Final = 12
#: Shares of the residual to try.
STRENGTHS: Final = (0.5, 0.75, 1.0)
#: Maximum images for validation and for the held-out evaluation.
MAX_IMAGES: Final = (1000, 5000)


@dataclass(frozen=True, slots=True, eq=False)
class TrainedAdapter:
    """A trained adapter, with its training record."""

    adapter: Adapter
    facts: Tuning


def train_from_examples(
    examples: Examples, split: Split, *, loss: TuneLoss, seed: int, task: Task
) -> TrainedAdapter | None:
    """Train on one part, stop early by another, and measure on the third. None where it was cancelled."""
    validation = EvaluationPart.of(examples, split.groups, split.validation, MAX_IMAGES[0])
    best: AdapterCheckpoint | None = None
    highest, idle = -1.0, 0
    for checkpoint in train_adapter(lesson_of(examples, split.train), loss=loss, seed=seed, every=VALIDATE_EVERY):
        if task.is_cancelled:
            return None
        task.report("learn", checkpoint.steps, STEPS)
        precision = validation.precision(checkpoint.adapter)
        if precision > highest:
            best, highest, idle = checkpoint, precision, 0
        else:
            idle += 1
        if checkpoint.steps >= STEPS or idle > PATIENCE:
            break
    assert best is not None
    strengths = [(validation.precision(_scale_adapter(best.adapter, share)), share) for share in STRENGTHS]
    strength = max(strengths)[1]
    adapter = _scale_adapter(best.adapter, strength)
    held_out = EvaluationPart.of(examples, split.groups, split.held_out, MAX_IMAGES[1])
    gains, overall = measure_gains(held_out, adapter, seed)
    similarity = float((held_out.images * adapter(held_out.images)).sum(axis=1).mean())
    rank = adapter.down.shape[1]
    record = Tuning(best.steps, rank, strength, best.scale, similarity, gains, overall, is_helpful(gains, overall))
    return TrainedAdapter(adapter, record)


def lesson_of(examples: Examples, train: np.ndarray[tuple[int], np.dtype[np.int64]]) -> TrainingData:
    """Build the training data from the part ``train`` of the examples."""
    place = np.full(len(examples.ids), -1, np.int64)
    place[train] = np.arange(len(train))
    own_pairs = examples.pairs[place[examples.pairs[:, 1]] >= 0]
    query_positions = own_pairs[:, 0]
    if examples.words is None:
        own_pairs = own_pairs[place[query_positions] >= 0]
        query_positions = place[own_pairs[:, 0]]
    apart = place[np.unique(examples.apart)]
    return TrainingData(
        images=np.ascontiguousarray(examples.images[train]),
        words=examples.words,
        pairs=np.stack([query_positions, place[own_pairs[:, 1]]], axis=1),
        others=apart[apart >= 0],
    )


def _scale_adapter(adapter: Adapter, share: float) -> Adapter:
    return Adapter(adapter.down, (share * adapter.up).astype(np.float32))
