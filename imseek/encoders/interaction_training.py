"""Train the model of :mod:`imseek.encoders.token_interaction` on pairs of a text and a picture.

In each step texts are compared with their own pictures, with those of the other texts, and with hard negatives:
pictures that a first search finds for them. The loss is the cross-entropy of the own picture. Maps to the common space
are learned as residuals of low rank, like adapters, and weights decay towards the start.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from imseek.encoders.device import require_torch
from imseek.encoders.patch_features import PatchAlignment
from imseek.encoders.token_interaction import HIDDEN, KEY, TOKENS, WORDS, Interaction
from imseek.types.arrays import Float32

if TYPE_CHECKING:
    import torch

#: Texts in a step, and hard negatives of each.
BATCH: Final = 16
NEGATIVES: Final = 3
RANK: Final = 32
LEARNING_RATE: Final = 1e-3
WEIGHT_DECAY: Final = 0.1
#: The model before it has learned: sharpness of attention, factor of cosines, logit of a token's own patch.
_SCALES: Final = (20.0, 20.0)
_OWN_PATCH: Final = 4.0
_BLOCK: Final = 256


@dataclass(frozen=True, slots=True, eq=False)
class InteractionPairs:
    """The training data: p pairs of a picture and a text.

    ``features`` (n, patches, width) float16 are of pictures, ``states`` of t texts, (words, text width) each. ``pairs``
    (p, 2) int64 are a text and its picture; ``candidates`` (t, k) are the first pictures that a search finds for a
    text, and ``belongs`` (t, n) says which show it.
    """

    features: npt.NDArray[np.float16]
    states: Sequence[Float32]
    pairs: npt.NDArray[np.int64]
    candidates: npt.NDArray[np.int64]
    belongs: npt.NDArray[np.bool_]


def train_interaction(
    lesson: InteractionPairs, alignment: PatchAlignment, *, seed: int, every: int
) -> Iterator[tuple[int, Interaction]]:
    """Yield the number of steps and the model after every ``every`` steps, without end; the first has learned nothing.

    Deterministic for a ``seed`` on one machine. Raises EncoderUnavailableError without torch.
    """
    require_torch("training a reranker")
    import torch

    generator = torch.Generator().manual_seed(seed)
    weights = _initial(alignment, lesson.features.shape[1], generator)
    optimiser = torch.optim.AdamW(weights.learned.values(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    texts, masks = _pad(lesson.states)
    features = torch.from_numpy(lesson.features)
    aligned = torch.cat([(some.float() @ weights.fixed["values"]).half() for some in features.split(_BLOCK)])
    steps = 0
    while True:
        if steps % every == 0:
            yield steps, weights.model()
        pairs = lesson.pairs[torch.randperm(len(lesson.pairs), generator=generator)[:BATCH].numpy()]
        draw = torch.randint(lesson.candidates.shape[1], (len(pairs), NEGATIVES), generator=generator).numpy()
        hard = np.take_along_axis(lesson.candidates[pairs[:, 0]], draw, axis=1).ravel()
        pictures = np.unique(np.concatenate([pairs[:, 1], hard]))
        targets = torch.from_numpy(np.searchsorted(pictures, pairs[:, 1]))
        other_matches = torch.from_numpy(lesson.belongs[pairs[:, 0]][:, pictures])
        other_matches[torch.arange(len(pairs)), targets] = False
        tokens = weights.compress(features[pictures].float(), aligned[pictures].float())
        scores = weights.score(texts[pairs[:, 0]], masks[pairs[:, 0]], tokens)
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(scores.masked_fill(other_matches, -torch.inf), targets).backward()
        optimiser.step()
        steps += 1


class _Weights:
    """The model on torch: ``fixed`` starting values, and ``learned`` parameters that are added to them."""

    def __init__(self, fixed: dict[str, torch.Tensor], learned: dict[str, torch.Tensor]) -> None:
        self.fixed, self.learned = fixed, learned

    def __getitem__(self, name: str) -> torch.Tensor:
        start = self.fixed[name]
        if name in self.learned:
            return start + self.learned[name]
        return start + self.learned[f"{name}_down"] @ self.learned[f"{name}_up"]

    def compress(self, features: torch.Tensor, aligned: torch.Tensor) -> torch.Tensor:
        """As :meth:`Interaction.compress`; ``aligned`` are the features times the starting ``values``."""
        import torch

        logits = self["queries"] @ (features @ self["keys"]).transpose(1, 2) / KEY**0.5
        residuals = features @ self.learned["values_down"] @ self.learned["values_up"] + self["values_bias"]
        gathered = (logits + self["positions"]).softmax(dim=-1) @ (aligned + residuals)
        return torch.nn.functional.normalize(gathered, dim=-1)

    def score(self, states: torch.Tensor, masks: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """As :meth:`Interaction.score`, of b padded texts: (b, n)."""
        import torch

        sharpness, factor = self["scales"]
        words = torch.nn.functional.normalize(states @ self["text"] + self["text_bias"], dim=-1)
        flat = words[masks]  # (w, dim): those of all texts
        cosines = flat @ tokens.transpose(1, 2)  # (n, w, m)
        attention = (sharpness * cosines).softmax(dim=-1)
        inner = flat @ self["inner_word"] + attention @ (tokens @ self["inner_token"]) + self["inner_bias"]
        word_scores = factor * (attention * cosines).sum(dim=-1) + inner.relu() @ self["outer"]
        gate = (words @ self["gate"]).masked_fill(~masks, -torch.inf).softmax(dim=-1)
        owners = masks.nonzero()[:, 0]
        return torch.zeros(len(masks), len(tokens)).index_add(0, owners, (word_scores * gate[masks]).T)

    def model(self) -> Interaction:
        """Return the model as it is now."""
        return Interaction(**{name: self[name].detach().numpy().astype(np.float32) for name in self.fixed})


def _initial(alignment: PatchAlignment, patches: int, generator: Any) -> _Weights:
    """Start from the encoder's alignment: each token is a patch or some that are neighbours, the score a cosine."""
    import torch

    def draw(*shape: int, size: float) -> torch.Tensor:
        return torch.nn.Parameter(size * torch.randn(*shape, generator=generator))

    def zeros(*shape: int) -> torch.Tensor:
        return torch.nn.Parameter(torch.zeros(*shape))

    width, dim = alignment.image.shape
    fixed = {
        "queries": torch.zeros(TOKENS, KEY),
        "keys": torch.zeros(width, KEY),
        "positions": torch.zeros(TOKENS, patches),
        "values": torch.from_numpy(alignment.image),
        "values_bias": torch.from_numpy(alignment.image_bias),
        "text": torch.from_numpy(alignment.text),
        "text_bias": torch.from_numpy(alignment.text_bias),
        "gate": torch.zeros(dim),
        "inner_word": torch.randn(dim, HIDDEN, generator=generator),
        "inner_token": torch.randn(dim, HIDDEN, generator=generator),
        "inner_bias": torch.zeros(HIDDEN),
        "outer": torch.zeros(HIDDEN),
        "scales": torch.tensor(_SCALES),
    }
    fixed["positions"][torch.arange(TOKENS), torch.arange(TOKENS) * patches // TOKENS] = _OWN_PATCH
    learned = {name: zeros(*fixed[name].shape) for name in fixed.keys() - {"queries", "keys", "values", "text"}}
    learned |= {"queries": draw(TOKENS, KEY, size=0.1), "keys": draw(width, KEY, size=width**-0.5)}
    for name in ("values", "text"):
        inputs = fixed[name].shape[0]
        learned |= {f"{name}_down": draw(inputs, RANK, size=inputs**-0.5), f"{name}_up": zeros(RANK, dim)}
    return _Weights(fixed, learned)


def _pad(states: Sequence[Float32]) -> tuple[torch.Tensor, torch.Tensor]:
    """Pad the states of texts to one length: (t, words, text width), with a mask of the words that exist."""
    import torch

    short = [one[:WORDS] for one in states]
    padded = torch.zeros(len(short), max(map(len, short)), short[0].shape[1])
    masks = torch.zeros(padded.shape[:2], dtype=torch.bool)
    for n, one in enumerate(short):
        padded[n, : len(one)] = torch.from_numpy(one)
        masks[n, : len(one)] = True
    return padded, masks
