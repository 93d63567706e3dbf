"""Text towers on torch, and their one-time export to ONNX.

Each export is compared with open_clip on :data:`CHECK_TEXTS` before use: its tokens must be equal and its vectors
within 1e-5. Otherwise torch stays in use, with a note to the user.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from open_clip.model import CLIP
from open_clip.tokenizer import SigLipTokenizer, SimpleTokenizer, get_clean_fn
from open_clip.transformer import ResidualAttentionBlock, TextTransformer
from torch import Tensor, nn
from torch.nn import functional

from imseek.encoders import onnx_network
from imseek.encoders.base import EncoderInfo
from imseek.encoders.cache import build_once
from imseek.encoders.openclip import onnx_text, tokens
from imseek.encoders.openclip.source import Source
from imseek.encoders.openclip.source import tokenizer as tokenizer_of
from imseek.encoders.openclip.text import OnnxText, TextTower
from imseek.encoders.openclip.tokens import Ids
from imseek.encoders.prompt_tower import PromptTower, freeze
from imseek.errors import EncoderError
from imseek.types.arrays import Float32

_TOLERANCE: Final = 1e-5

CHECK_TEXTS: Final = (
    "a photo of a red car",
    "Two  dogs &amp; a CAT, 1,234 times",
    "naïve café, Straße, İstanbul",
    "猫と犬",
    "собака на траве",
    "\U0001f600 \U0001f468\u200d\U0001f469\u200d\U0001f467 x",
    "they're sure we'll see what I'd've said",
    "schÃ¶n â€œquotedâ€\x9d don’t",
    "#1: 50% off!!! (c) <b>bold</b> snake_case a/b",
    "x",
    "tabs\tand\nlines\u00a0and\u3000spaces",
    "ﬁne Ⅷ ½ cafe\u0301",
    "a long sentence about a harbour at dawn with boats, gulls and one lighthouse; " * 6,
)


def load_text_tower(
    source: Source,
    model: Callable[[], Any],
    info: EncoderInfo,
    fingerprint: str,
    *,
    threads: int,
    notify: Callable[[str], None] | None,
) -> tuple[TextTower, tuple[str, ...]]:
    """Return the exported tower of ``source``, exporting it first if necessary, and notes for the user.

    Without a writable cache, or where the export was refused, returns the tower on torch, with a note. ``model``
    returns open_clip's model when needed; ``notify`` receives a line before the export, which takes some seconds.
    """

    def make(folder: Path) -> None:
        if notify is not None:
            notify(f"exporting the text tower of {info.reference}: once, some seconds")
        _export(folder, source, model(), info, fingerprint)

    try:
        files = build_once(onnx_text.text_tower_folder(info.reference, fingerprint), make)
        facts = onnx_text.TextTowerMetadata.read(files)
        if facts.refused is None:
            return onnx_text.open_tower(files, facts, threads), ()
        reason = f"{facts.refused} (delete {files} to try again)"
    except EncoderError as error:
        model()  # raises the errors of loading first
        reason = str(error)
    tokenizer = TorchTokenizer(tokenizer_of(source))
    line = f"texts of {info.reference} are encoded with torch, which starts slowly: {reason}"
    return TextTower(tokenizer, TorchText(model()), info.dim), (line,)


def load_prompt_tower(source: Source, model: Any) -> PromptTower:
    """Return the text tower of ``model`` as one that learns prompts."""
    tower = freeze(model)
    tokenizer = TorchTokenizer(tokenizer_of(source))
    text = getattr(tower, "text", tower)
    table = text.token_embedding if hasattr(text, "token_embedding") else text.transformer.get_input_embeddings()

    def encode(ids: Tensor, _names: Sequence[str]) -> Tensor:
        rows: Tensor = tower.encode_text(ids, normalize=True)
        return rows.float()

    return PromptTower(source.reference, tokenizer, tokenizer.fits, table, encode)


class TorchTokenizer:
    """An open_clip tokenizer as a :class:`~imseek.encoders.openclip.tokens.Tokenizer`."""

    def __init__(self, tokenizer: Any) -> None:
        self.context_length: int = tokenizer.context_length
        self._tokenizer = tokenizer

    def __call__(self, texts: Sequence[str]) -> Ids:
        ids: Ids = self._tokenizer(list(texts)).numpy()
        return ids

    def fits(self, text: str) -> bool:
        if isinstance(self._tokenizer, SimpleTokenizer):
            return len(self._tokenizer.encode(text)) + 2 <= self.context_length
        text = tokens.clean(text, _cleaning(self._tokenizer))
        uncut = self._tokenizer.tokenizer(text, truncation=False, verbose=False)["input_ids"]
        return len(uncut) <= self.context_length


class TorchText:
    """An open_clip text tower on torch: ids → rows."""

    def __init__(self, model: Any) -> None:
        self._model = model

    def __call__(self, ids: Ids) -> Float32:
        """Encode (n, context) int64 ids as (n, dim) float32 unit rows."""
        with torch.inference_mode():
            rows: Float32 = self._model.encode_text(torch.from_numpy(ids), normalize=True).float().numpy()
            return rows


def _export(folder: Path, source: Source, model: Any, info: EncoderInfo, fingerprint: str) -> None:
    """Export tokenizer and network to ``folder``; where that fails, record the reason instead."""
    original = tokenizer_of(source)  # not in the try: unavailable is not refused
    try:
        options = _write_tokenizer(folder, original)
        end = _write_network(folder / onnx_text.NETWORK, model, TorchTokenizer(original)(CHECK_TEXTS))
        facts = onnx_text.TextTowerMetadata(fingerprint=fingerprint, info=info, tokenizer=options, end=end)
        _check(folder, facts, TorchTokenizer(original), TorchText(model))
    except EncoderError as error:
        for path in folder.iterdir():
            path.unlink()
        facts = onnx_text.TextTowerMetadata(fingerprint=fingerprint, info=info, refused=str(error))
    facts.write(folder)


def _check(folder: Path, facts: onnx_text.TextTowerMetadata, tokenizer: TorchTokenizer, encode: TorchText) -> None:
    """Raise EncoderError unless the exported files match torch on :data:`CHECK_TEXTS`."""
    ids = tokenizer(CHECK_TEXTS)
    if not np.array_equal(tokens.read_tokenizer(folder, facts.tokenizer)(CHECK_TEXTS), ids):
        raise EncoderError("its tokens are not those of open_clip")
    expected = encode(ids)
    rows = OnnxText(folder / onnx_text.NETWORK, end=facts.end, threads=1)(ids)
    difference = float(np.abs(rows - expected).max())
    cosine = float((rows * expected).sum(axis=1).min())
    if not (difference <= _TOLERANCE and cosine >= 1 - _TOLERANCE):
        raise EncoderError(f"its exported vectors differ from those of torch by {difference:.2g}")


def _write_tokenizer(folder: Path, original: Any) -> dict[str, Any]:
    """Write the files of ``original`` and return its options for :func:`tokens.read`."""
    facts = {"context_length": original.context_length, "clean": _cleaning(original)}
    if isinstance(original, SimpleTokenizer):
        merges = "\n".join(" ".join(pair) for pair in original.bpe_ranks)
        (folder / tokens.MERGES).write_text(merges, "utf-8")
        return facts
    from tokenizers import Tokenizer

    wrapped = original.tokenizer
    if not getattr(wrapped, "is_fast", False):
        raise EncoderError("its tokenizer exists in Python only")
    tokenizer = Tokenizer.from_str(wrapped.backend_tokenizer.to_str())
    tokenizer.enable_truncation(original.context_length, direction=wrapped.truncation_side)
    tokenizer.enable_padding(
        length=original.context_length,
        direction=wrapped.padding_side,
        pad_id=wrapped.pad_token_id,
        pad_token=wrapped.pad_token,
    )
    tokenizer.save(str(folder / tokens.HUB_TOKENIZER))
    cleared = wrapped.sep_token_id if getattr(original, "strip_sep_token", False) else None
    return facts | {"cleared": cleared}


def _cleaning(original: Any) -> str:
    """Name the text cleaning that ``original`` applies first."""
    if isinstance(original, SigLipTokenizer):
        return "canonicalize"
    names = {get_clean_fn(name): name for name in ("lower", "whitespace", "canonicalize")}
    return names[original.clean_fn]


def _write_network(path: Path, model: Any, ids: Ids) -> int | str | None:
    """Write the text tower of ``model`` and return its ``end`` (see :class:`OnnxText`)."""
    causal = _CausalText.of(model)
    dynamic = {"ids": {0: "n"}, "vectors": {0: "n"}}
    lengths = [ids.shape[1]] * 2
    if causal is not None:
        dynamic["ids"][1] = "length"
        lengths = [7, 11]
    onnx_network.write(
        path,
        causal or _WholeText(model),
        {"ids": torch.from_numpy(ids[:3, : lengths[0]])},
        {"ids": torch.from_numpy(ids[3:8, : lengths[1]])},
        output="vectors",
        dynamic=dynamic,
        external_data=True,
        tolerance=_TOLERANCE,
    )
    return causal.end if causal is not None else None


class _WholeText(nn.Module):  # type: ignore[misc] # mypy is told not to follow torch: its classes are Any
    """Any open_clip text tower: (n, context) ids → (n, dim) unit rows."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: Tensor) -> Tensor:
        return self.model.encode_text(ids, normalize=True)


class _CausalText(nn.Module):  # type: ignore[misc] # see above
    """OpenAI's text tower for ids of any length: (n, length) ids → (n, dim) unit rows.

    Later tokens do not influence earlier ones, so cutting off the tail loses nothing. Tracing freezes the length in
    open_clip's own forward pass; this one follows Radford et al. 2021, written out over open_clip's layers.
    """

    def __init__(self, tower: Any, *, end: int | str) -> None:
        super().__init__()
        self.tower = tower
        self.end = end

    @classmethod
    def of(cls, model: Any) -> _CausalText | None:
        """Build it from ``model``, or return None for another kind of tower."""
        end: Any
        if isinstance(model, CLIP):  # CLIP holds the tower's parts itself
            tower, pool, end = model, model.text_pool_type, getattr(model, "text_eos_id", None)
        elif isinstance(model.text, TextTransformer):
            tower, pool, end = model.text, model.text.pool_type, getattr(model.text, "eos_id", None)
        else:
            return None
        if (
            pool not in ("argmax", "eos")
            or tower.attn_mask is None
            or getattr(tower, "cls_emb", None) is not None
            or not all(type(block) is ResidualAttentionBlock for block in tower.transformer.resblocks)
        ):
            return None
        return cls(tower, end="highest" if pool == "argmax" else end)

    def forward(self, ids: Tensor) -> Tensor:
        tower = self.tower
        length = ids.shape[1]
        mask = tower.attn_mask[:length, :length]
        x = tower.token_embedding(ids) + tower.positional_embedding[:length]
        for block in tower.transformer.resblocks:
            x = x + block.ls_1(_attention(block.attn, block.ln_1(x), mask))
            x = x + block.ls_2(block.mlp(block.ln_2(x)))
        ends = ids.argmax(dim=1) if self.end == "highest" else (ids == self.end).int().argmax(dim=1)
        x = x.gather(1, ends[:, None, None].expand(-1, 1, x.shape[2]))[:, 0]
        x = tower.ln_final(x)
        projection = tower.text_projection
        if isinstance(projection, nn.Linear):
            x = projection(x)
        elif projection is not None:
            x = x @ projection
        return functional.normalize(x, dim=-1)


def _attention(layer: Any, x: Tensor, mask: Tensor) -> Tensor:
    """Compute torch's ``nn.MultiheadAttention`` as self-attention: (n, length, width) → the same shape."""
    n, length, _ = x.shape
    inputs = functional.linear(x, layer.in_proj_weight, layer.in_proj_bias)
    heads = inputs.reshape(n, length, 3, layer.num_heads, layer.head_dim).permute(2, 0, 3, 1, 4)
    query, key, value = heads[0], heads[1], heads[2]
    weights = (query @ key.transpose(2, 3) * layer.head_dim**-0.5 + mask).softmax(dim=-1)
    return layer.out_proj((weights @ value).transpose(1, 2).reshape(n, length, -1))
