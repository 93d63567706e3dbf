"""Learn the vectors before class names in prompts: CoOp (Zhou et al. 2022a) and CoCoOp (Zhou et al. 2022b).

CoOp learns one sequence of vectors for all classes, or one for each. CoCoOp adds to a shared sequence an offset that a
small network computes from the image vector. Cosines with the pictures, scaled, are logits; the loss is cross-entropy;
the tower and the stored image vectors stay as they are. Several sets of pictures, such as the folds of a cross-
validation, are learned from at once, each with vectors of its own: a text tower runs faster on many prompts than on
few.

Differences from the papers: class vectors are centred, like all input of a probe; vectors move in units of the table
of embeddings, so that one learning rate suits each encoder; CoOp trains on all pictures in each step (its prompts
depend on none) with Adam, which needs far fewer steps.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from imseek.encoders.prompt_tower import BATCH, Prompts
from imseek.progress import SILENT, Task
from imseek.types.arrays import Float32

if TYPE_CHECKING:
    import torch

PHASE: Final = "learning prompts"
#: Adam's learning rates, in units of the table of embeddings, and for the network.
LEARNING_RATE: Final = 0.1
NETWORK_LEARNING_RATE: Final = 2e-3
#: Standard deviation of the logits before anything is learned.
SHARPNESS: Final = 2.0
#: Pictures in a step of CoCoOp, and how many times fewer numbers the network has inside than a picture's vector.
PICTURES: Final = 4
BOTTLENECK: Final = 16
_MIN_LENGTH: Final = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class LearnedPrompts:
    """Prompts after ``steps`` steps.

    ``contexts`` (count, width) float32, or (classes, count, width) with vectors of each class; ``network`` has the
    arrays of CoCoOp's network by name, and is empty for CoOp; logits are ``scale`` · cosines.
    """

    prompts: Prompts
    contexts: Float32
    network: Mapping[str, Float32]
    scale: float
    steps: int

    def class_vectors(self) -> Float32:
        """Encode the classes as (classes, dim) centred unit rows; for CoOp only."""
        import torch

        with torch.inference_mode():
            vectors: Float32 = _centred(self.prompts.encode(self._tensor(self.contexts))).cpu().numpy()
        return vectors

    def logits(self, rows: Float32) -> Float32:
        """Compute (m, classes) logits of (m, dim) centred unit rows. With a network, a picture costs as many runs of
        the text tower as there are classes."""
        import torch

        if not self.network:
            scaled: Float32 = np.float32(self.scale) * (rows @ self.class_vectors().T)
            return scaled
        logits = np.empty((len(rows), len(self.prompts.names)), np.float32)
        network = {name: self._tensor(one)[None] for name, one in self.network.items()}
        batch_size = max(1, BATCH // len(self.prompts.names))
        with torch.inference_mode():
            for start in range(0, len(rows), batch_size):
                batch = self._tensor(rows[start : start + batch_size])[None]
                contexts = _conditioned(self._tensor(self.contexts)[None, None], network, batch)
                vectors = _centred(self.prompts.encode(contexts))
                cosines = torch.einsum("md,mcd->mc", batch[0], vectors)
                logits[start : start + batch_size] = (self.scale * cosines).cpu().numpy()
        return logits

    def _tensor(self, values: Float32) -> torch.Tensor:
        import torch

        return torch.from_numpy(np.ascontiguousarray(values, np.float32)).to(self.prompts.tower.device)


def learn_prompts(
    prompts: Prompts,
    rows: Float32,
    targets: npt.NDArray[np.int64],
    weights: npt.NDArray[np.float64],
    steps: Sequence[int],
    *,
    per_class: bool = False,
    conditional: bool = False,
    seed: int = 0,
    task: Task = SILENT,
) -> Iterator[list[LearnedPrompts]]:
    """Learn from n pictures, and yield after each number of ``steps`` (ascending) the prompts of each set.

    ``rows`` (n, dim) are centred unit rows, ``targets`` (n,) the classes; ``weights`` (sets, n) say how much a picture
    counts in each set, 0 for not at all. ``per_class`` learns vectors for each class, ``conditional`` CoCoOp's network.
    Deterministic for a ``seed``. Raises Cancelled.
    """
    import torch
    from torch.nn import functional

    tower, sets, classes = prompts.tower, len(weights), len(prompts.names)
    device = tower.device
    first = torch.from_numpy(prompts.first_contexts(seed)).to(device)
    images, truth = torch.from_numpy(rows).to(device), torch.from_numpy(targets).to(device)
    shares = torch.from_numpy((weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)).to(device)
    with torch.inference_mode():
        cosines = images @ _centred(prompts.encode(first)).T
    scale = SHARPNESS / max(float(cosines.std()), _MIN_LENGTH)
    offsets = torch.zeros((sets, classes if per_class else 1, *first.shape), device=device, requires_grad=True)
    network = _new_network(rows.shape[1], tower.width, sets, seed, device) if conditional else {}
    optimizer = torch.optim.Adam(
        [
            {"params": [offsets], "lr": LEARNING_RATE},
            {"params": list(network.values()), "lr": NETWORK_LEARNING_RATE},
        ]
    )
    unit = tower.scale()
    generator = np.random.default_rng(seed)
    for step in range(1, steps[-1] + 1):
        task.step(PHASE, step - 1, steps[-1])
        contexts = first + unit * offsets
        if conditional:
            at = np.stack([generator.choice(len(rows), PICTURES, p=one / one.sum()) for one in weights])
            batch = images[torch.from_numpy(at).to(device)]
            vectors = prompts.encode(_conditioned(contexts, network, batch))
            cosines = torch.einsum("fbd,fbcd->fbc", batch, _centred(vectors).unflatten(0, (sets, PICTURES)))
            mean_loss = functional.cross_entropy(scale * cosines.flatten(0, 1), truth[torch.from_numpy(at).flatten()])
            loss = mean_loss * sets
        else:
            cosines = torch.einsum("nd,fcd->fnc", images, _centred(prompts.encode(contexts)))
            losses = functional.cross_entropy(
                scale * cosines.flatten(0, 1), truth.repeat(sets), reduction="none"
            ).unflatten(0, (sets, len(rows)))
            loss = (losses * shares).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step in steps:
            learned = (first + unit * offsets).detach().cpu().numpy()
            arrays = {name: one.detach().cpu().numpy() for name, one in network.items()}
            yield [
                LearnedPrompts(
                    prompts,
                    np.array(learned[n] if per_class else learned[n, 0]),
                    {name: np.array(one[n]) for name, one in arrays.items()},
                    scale,
                    step,
                )
                for n in range(sets)
            ]


def _new_network(dim: int, width: int, sets: int, seed: int, device: Any) -> dict[str, torch.Tensor]:
    """Make CoCoOp's network for each set: dim → dim / 16 → width, whose output is zero before anything is learned."""
    import torch

    hidden = max(1, dim // BOTTLENECK)
    initial = np.random.default_rng(seed).standard_normal((hidden, dim)) / np.sqrt(hidden)
    arrays = {
        "inner": np.broadcast_to(initial, (sets, hidden, dim)),
        "inner_bias": np.zeros((sets, hidden)),
        "outer": np.zeros((sets, width, hidden)),
        "outer_bias": np.zeros((sets, width)),
    }
    return {
        name: torch.tensor(np.array(one, np.float32), device=device, requires_grad=True) for name, one in arrays.items()
    }


def _conditioned(contexts: torch.Tensor, network: Mapping[str, torch.Tensor], images: torch.Tensor) -> torch.Tensor:
    """Add the network's output for each picture: (sets, 1, count, width) and (sets, b, dim) → (sets · b, 1, count,
    width)."""
    inner = (images @ network["inner"].transpose(1, 2) + network["inner_bias"][:, None]).relu()
    offsets = inner @ network["outer"].transpose(1, 2) + network["outer_bias"][:, None]
    return (contexts + offsets[:, :, None]).flatten(0, 1)[:, None]


def _centred(vectors: torch.Tensor) -> torch.Tensor:
    """Subtract the mean of the classes from (…, classes, dim), and normalise again."""
    from torch.nn import functional

    return functional.normalize(vectors - vectors.mean(dim=-2, keepdim=True), dim=-1, eps=_MIN_LENGTH)
