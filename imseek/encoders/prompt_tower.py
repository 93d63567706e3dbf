"""Text towers on torch whose prompts begin with vectors in place of words, as CoOp learns them (Zhou et al. 2022a).

A prompt is tokenised with placeholder words before the class name; a hook on the table of token embeddings replaces
the embeddings of these words. So each tower keeps its own code, and a gradient reaches the vectors alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol, runtime_checkable

import numpy as np

from imseek.encoders.device import plan
from imseek.encoders.openclip.tokens import Ids
from imseek.encoders.runtime import Runtime
from imseek.errors import EncoderError, UsageError
from imseek.types.arrays import Float32

if TYPE_CHECKING:
    import torch

#: A word that is one token in every vocabulary that imseek knows.
_PLACEHOLDER: Final = "x"
#: The words that four vectors start from (Zhou et al. 2022a, section 4.1).
_FIRST_WORDS: Final = "a photo of a"
#: Prompts that run at once where no gradient is needed.
BATCH: Final = 256
#: Numbers in the token embeddings of prompts that run at once with a gradient, for which a tower of twelve layers keeps
#: some two hundred times as many.
_GRADIENT_NUMBERS: Final = 4 << 20


@dataclass(frozen=True, slots=True, eq=False)
class PromptTower:
    """A text tower on torch, its weights frozen.

    ``tokenize`` converts n texts to (n, length) int64 ids, and ``fits`` tells whether it need cut one. ``embedding`` is
    the table of token embeddings, a module that the tower calls. ``encode`` converts ids and the names of their classes
    to (n, dim) unit rows, with a gradient.
    """

    reference: str
    tokenize: Callable[[Sequence[str]], Ids]
    fits: Callable[[str], bool]
    embedding: Any
    encode: Callable[[torch.Tensor, Sequence[str]], torch.Tensor]

    @property
    def width(self) -> int:
        """The length of a token's embedding."""
        return int(self.embedding.weight.shape[1])

    @property
    def device(self) -> torch.device:
        return self.embedding.weight.device

    def scale(self) -> float:
        """Root mean square of the numbers in the table of embeddings."""
        return float(self.embedding.weight.detach().float().square().mean().sqrt())


@runtime_checkable
class PromptEncoder(Protocol):
    """An encoder whose text tower can learn prompts."""

    def prompt_tower(self) -> PromptTower:
        """Load the text tower on torch."""
        ...


def freeze(module: Any) -> Any:
    """Move a module to the fastest device, without gradients for its weights."""
    device = plan(Runtime(precision="fp32"), 224).device
    return module.to(device).eval().requires_grad_(False)


class Prompts:
    """The prompts of some classes: ``count`` vectors, then the name of the class."""

    def __init__(self, tower: PromptTower, names: Sequence[str], count: int) -> None:
        """Tokenise the prompts. Raises UsageError where one is longer than the tower's context window, EncoderError
        where the vocabulary lacks the placeholder."""
        import torch

        texts = [" ".join([*[_PLACEHOLDER] * count, name]) for name in names]
        for text, name in zip(texts, names, strict=True):
            if not tower.fits(text):
                raise UsageError(
                    f"{count} context vectors and the class {name[:60]!r} exceed the context window of "
                    f"{tower.reference}",
                    hint="fewer vectors (--contexts), or a shorter name",
                )
        self.tower = tower
        self.names = tuple(names)
        self.count = count
        ids = tower.tokenize(texts)
        placeholder = self._placeholder_id()
        positions = []
        for row in ids:
            at = np.flatnonzero(row == placeholder)[:count]
            if len(at) < count:
                raise _no_placeholder(tower)
            positions.append(at)
        self._ids = torch.from_numpy(ids).to(tower.device)
        self._positions = torch.from_numpy(np.stack(positions)).to(tower.device)

    def _placeholder_id(self) -> int:
        """Find the id that occurs once in one placeholder and twice in two."""
        one, two = (self.tower.tokenize([" ".join([_PLACEHOLDER] * n)])[0] for n in (1, 2))
        candidates = [int(i) for i in np.unique(one) if (one == i).sum() == 1 and (two == i).sum() == 2]
        if len(candidates) != 1:
            raise _no_placeholder(self.tower)
        return candidates[0]

    def first_contexts(self, seed: int) -> Float32:
        """Return (count, width) vectors to start from: the words "a photo of a" for four, otherwise random ones."""
        tower = self.tower
        table = tower.embedding.weight.detach()
        marks, words = (tower.tokenize([text])[0] for text in (" ".join([_PLACEHOLDER] * self.count), _FIRST_WORDS))
        at = np.flatnonzero(marks == self._placeholder_id())
        if (
            marks.shape == words.shape
            and len(at) == self.count
            and (np.delete(marks, at) == np.delete(words, at)).all()
        ):
            contexts: Float32 = table[words[at].tolist()].float().cpu().numpy()
            return contexts
        noise = np.random.default_rng(seed).standard_normal((self.count, tower.width))
        return (tower.scale() * noise).astype(np.float32)

    def encode(self, contexts: torch.Tensor) -> torch.Tensor:
        """Encode the prompts of the n classes as unit rows, with a gradient.

        ``contexts`` (count, width), or (n, count, width) with vectors of each class, → (n, dim); (images, 1, count,
        width) → (images, n, dim).
        """
        import torch
        from torch.utils.checkpoint import checkpoint

        images = contexts.shape[0] if contexts.dim() == 4 else 1
        n = len(self.names)
        vectors = contexts.expand(images, n, self.count, self.tower.width).reshape(-1, self.count, self.tower.width)
        ids, positions = self._ids.repeat(images, 1), self._positions.repeat(images, 1)
        names = self.names * images
        size = max(1, _GRADIENT_NUMBERS // (ids.shape[1] * self.tower.width))
        if not contexts.requires_grad or len(ids) <= size:
            rows = self._encode(vectors, ids, positions, names)
        else:
            parts = [slice(start, start + size) for start in range(0, len(ids), size)]
            # Each part is computed again for its gradient: the intermediate results of all would not fit into memory.
            blocks = [
                checkpoint(self._encode, vectors[at], ids[at], positions[at], names[at], use_reentrant=False)
                for at in parts
            ]
            rows = torch.cat(blocks)
        return rows.reshape(images, n, -1) if contexts.dim() == 4 else rows

    def _encode(
        self, vectors: torch.Tensor, ids: torch.Tensor, positions: torch.Tensor, names: Sequence[str]
    ) -> torch.Tensor:
        """Encode (m, length) ids with vectors (m, count, width) in place of the embeddings at positions (m, count)."""

        def replace(_module: Any, _inputs: Any, embedded: torch.Tensor) -> torch.Tensor:
            index = positions[:, :, None].expand(-1, -1, embedded.shape[2])
            return embedded.scatter(1, index, vectors.to(embedded.dtype))

        hook = self.tower.embedding.register_forward_hook(replace)
        try:
            return self.tower.encode(ids, names)
        finally:
            hook.remove()


def _no_placeholder(tower: PromptTower) -> EncoderError:
    return EncoderError(f"prompts cannot be learned with {tower.reference}: its vocabulary has no one-letter words")
