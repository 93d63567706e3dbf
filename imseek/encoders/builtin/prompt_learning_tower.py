"""all-MiniLM-L6-v2 on torch, from the same weights and into the same space as the ONNX network: to learn prompts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from imseek.encoders.builtin import space
from imseek.encoders.builtin.colour import named_colours
from imseek.encoders.builtin.head import COSINE_WEIGHT, TEXT_SHARPNESS, Head
from imseek.encoders.builtin.recipe import REFERENCE
from imseek.encoders.builtin.text import CONTEXT_LENGTH
from imseek.encoders.builtin.weights import MINILM, TOKENIZER
from imseek.encoders.openclip.tokens import Ids
from imseek.encoders.prompt_tower import PromptTower, freeze
from imseek.errors import EncoderError
from imseek.types.arrays import Float32

if TYPE_CHECKING:
    import torch


def load_prompt_tower(classes: Float32, head: Head | None) -> PromptTower:
    """Load the tower; ``classes`` (1000, 384) are the vectors of the class names, ``head`` that of version 2."""
    import torch
    from tokenizers import Tokenizer

    model = freeze(_build())
    tokenizer: Any = Tokenizer.from_str(TOKENIZER.read().decode())
    tokenizer.no_truncation()
    tokenizer.enable_padding()
    class_rows = torch.from_numpy(classes).to(model.device)
    weights = None if head is None else [torch.from_numpy(one).to(model.device) for one in head.text_weights()]

    def tokenize(texts: Sequence[str]) -> Ids:
        return np.array([one.ids for one in tokenizer.encode_batch(list(texts))], np.int64)

    def fits(text: str) -> bool:
        return len(tokenizer.encode(text).ids) <= CONTEXT_LENGTH

    def encode(ids: torch.Tensor, names: Sequence[str]) -> torch.Tensor:
        """As :func:`imseek.encoders.builtin.space.text_rows`."""
        mask = ids != 0  # the padding token
        hidden = model(input_ids=ids, attention_mask=mask.long()).last_hidden_state
        vectors = normalize((hidden * mask[..., None]).sum(dim=1))
        roots = root_shares(space.TEXT_SHARPNESS * (vectors @ class_rows.T))
        colours = torch.from_numpy(space.COLOUR_WEIGHT * np.sqrt(named_colours(names))).to(roots)
        blocks = [roots, colours]
        if weights is not None:
            blocks.append(space.HEAD_WEIGHT * head_rows(vectors, *weights))
        return normalize(torch.cat(blocks, dim=1))

    def head_rows(
        vectors: torch.Tensor, matrix: torch.Tensor, bias: torch.Tensor, nouns: torch.Tensor, projection: torch.Tensor
    ) -> torch.Tensor:
        """As :meth:`imseek.encoders.builtin.head.Head.text_rows`."""
        shares = root_shares(TEXT_SHARPNESS * (vectors @ nouns.T))
        joint = normalize(vectors @ matrix + bias)
        return normalize(torch.cat([shares, COSINE_WEIGHT * joint], dim=1) @ projection)

    def root_shares(logits: torch.Tensor) -> torch.Tensor:
        """√softmax as exp(log softmax / 2), whose gradient is finite."""
        return (torch.log_softmax(logits, dim=1) / 2).exp()

    def normalize(rows: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.normalize(rows, dim=1)

    return PromptTower(REFERENCE, tokenize, fits, model.embeddings.word_embeddings, encode)


def _build() -> Any:
    from safetensors.torch import load
    from transformers import BertConfig, BertModel

    state = load(MINILM.read())
    words, width = state["embeddings.word_embeddings.weight"].shape
    config = BertConfig(
        vocab_size=words,
        hidden_size=width,
        num_hidden_layers=6,
        num_attention_heads=12,
        intermediate_size=4 * width,
    )
    model = BertModel(config, add_pooling_layer=False)
    missing, _ = model.load_state_dict(state, strict=False)
    if missing := [name for name in missing if not name.endswith("position_ids")]:
        raise EncoderError(f"the installed transformers builds another BERT than {REFERENCE} has: {missing[:3]}")
    return model.float()
