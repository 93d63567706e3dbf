"""Train a vector adapter (:mod:`imseek.encoders.vector_adapter`) with a contrastive loss on random batches.

``infonce`` is CLIP's symmetric cross-entropy (Radford et al. 2021, figure 3). Its learned temperature starts at 0.07
and is clipped so that logits are scaled by at most 100 (section 2.5). ``sigmoid`` is SigLIP's pairwise loss (Zhai et
al. 2023, equation 1), starting at t' = log 10 and b = -10. A positive of a query never serves as one of its negatives,
in whichever row of the batch it appears.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from imseek.encoders.device import require_torch
from imseek.encoders.vector_adapter import Adapter
from imseek.types.arrays import Float32

if TYPE_CHECKING:
    import torch

#: Pairs per step, and extra negatives beside them.
BATCH: Final = 512
EXTRA_NEGATIVES: Final = 128
#: AdamW (Loshchilov and Hutter 2019); bench/tune.py compares alternatives.
LEARNING_RATE: Final = 1e-3
WEIGHT_DECAY: Final = 0.01
RANK: Final = 64
MAX_LOGIT_SCALE: Final = 100.0
_MASKED_LOGIT: Final = -1e9


@dataclass(frozen=True, slots=True, eq=False)
class TrainingData:
    """Training data of an adapter.

    ``images`` (n, dim) are unit float32 rows; ``words`` (t, dim) are those of the text queries, or None where the
    queries are images too. ``pairs`` (p, 2) int64 holds the position of a query and of an image that matches it, each
    pair once and, for image queries, in both directions. ``others`` are positions of images that match no query, used
    as extra negatives.
    """

    images: Float32
    words: Float32 | None
    pairs: npt.NDArray[np.int64]
    others: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class AdapterCheckpoint:
    """The adapter after ``steps`` training steps, and the scale of its logits."""

    adapter: Adapter
    steps: int
    scale: float


def train_adapter(
    lesson: TrainingData, *, loss: str, seed: int, every: int, rank: int = RANK
) -> Iterator[AdapterCheckpoint]:
    """Yield the adapter after every ``every`` steps, without end; the first one changes nothing.

    The result is deterministic for a ``seed`` on one machine. Raises EncoderUnavailableError without torch.
    """
    require_torch("tuning")
    import torch

    generator = torch.Generator().manual_seed(seed)
    dim = lesson.images.shape[1]
    rank = min(rank, dim)
    down = torch.nn.Parameter(torch.randn(dim, rank, generator=generator) / math.sqrt(dim))
    up = torch.nn.Parameter(torch.zeros(rank, dim))
    scale = torch.nn.Parameter(torch.tensor(math.log(1 / 0.07) if loss == "infonce" else math.log(10.0)))
    bias = torch.nn.Parameter(torch.tensor(-10.0))
    groups = [
        {"params": [down, up], "weight_decay": WEIGHT_DECAY},
        {"params": [scale, bias], "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups, lr=LEARNING_RATE)
    positives = _PositivePairs(lesson)
    images = torch.from_numpy(lesson.images)
    words = None if lesson.words is None else torch.from_numpy(lesson.words)

    def adapt(rows: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.normalize(rows + (rows @ down) @ up, dim=1)

    steps = 0
    while True:
        if steps % every == 0:
            arrays = [part.detach().numpy().copy() for part in (down, up)]
            yield AdapterCheckpoint(Adapter(*arrays), steps, math.exp(float(scale.detach())))
        batch = torch.randperm(len(lesson.pairs), generator=generator)[:BATCH].numpy()
        left, right = lesson.pairs[batch].T
        if len(lesson.others):
            extra = torch.randint(len(lesson.others), (min(EXTRA_NEGATIVES, len(lesson.others)),), generator=generator)
            right = np.concatenate([right, lesson.others[extra.numpy()]])
        queries = adapt(images[left]) if words is None else words[left]
        cosines = queries @ adapt(images[right]).T
        matches = torch.from_numpy(positives(left, right))
        loss_of = _infonce if loss == "infonce" else _sigmoid
        optimiser.zero_grad()
        loss_of(cosines, matches, scale, bias).backward()
        optimiser.step()
        with torch.no_grad():
            scale.clamp_(max=math.log(MAX_LOGIT_SCALE))
        steps += 1


def _infonce(cosines: Any, matches: Any, scale: Any, bias: Any) -> Any:
    """Score each pair against all non-matching rows and columns. ``matches`` is (b, b + extra)."""
    import torch

    size = len(cosines)
    target = torch.arange(size)
    logits = cosines * scale.exp()
    masked = matches.clone()
    masked[target, target] = False
    logits = logits.masked_fill(masked, _MASKED_LOGIT)
    rows = torch.nn.functional.cross_entropy(logits, target)
    columns = torch.nn.functional.cross_entropy(logits[:, :size].T, target)
    return (rows + columns) / 2


def _sigmoid(cosines: Any, matches: Any, scale: Any, bias: Any) -> Any:
    import torch

    signs = torch.where(matches, 1.0, -1.0)
    logits = cosines * scale.exp() + bias
    return -torch.nn.functional.logsigmoid(signs * logits).sum() / len(cosines)


class _PositivePairs:
    """The pairs of a query and an image that match."""

    def __init__(self, lesson: TrainingData) -> None:
        self._width = len(lesson.images)
        keys = lesson.pairs[:, 0] * self._width + lesson.pairs[:, 1]
        if lesson.words is None:  # No image is compared with itself.
            keys = np.concatenate([keys, np.arange(self._width) * (self._width + 1)])
        self._keys = np.unique(keys)

    def __call__(self, left: npt.NDArray[np.int64], right: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Return an (l, r) boolean matrix of matches."""
        keys = left[:, None] * self._width + right[None]
        at = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        is_match: npt.NDArray[np.bool_] = self._keys[at] == keys
        return is_match
