"""Temporary text vectors of a space."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from imseek.encoders.base import Encoder
from imseek.encoders.input_checks import check_fingerprint
from imseek.errors import UsageError
from imseek.progress import SILENT, Task
from imseek.search.encoder_loader import load_encoder
from imseek.types.arrays import Float32
from imseek.types.collection_info import SpaceInfo

_BATCH: Final = 256

#: Texts → (n, dim) float32 unit rows.
Encode = Callable[[Sequence[str]], Float32]


def load_text_encoder(root: Path, space: SpaceInfo, notify: Callable[[str], None] | None = None) -> Encoder:
    """Load a space's encoder for text.

    Raises UsageError where it does not encode text, EncoderMismatchError where its weights differ, and errors of
    loading.
    """
    encoder = load_encoder(root, space, ("text",), notify=notify)
    check_text_support(encoder)
    check_fingerprint(encoder, space.encoder, space.fingerprint)
    return encoder


def check_text_support(encoder: Encoder) -> None:
    """Raise UsageError where the encoder does not encode text."""
    if "text" not in encoder.info.modalities:
        raise UsageError(
            f"{encoder.info.reference} knows no words, and captions cannot be compared with its pictures",
            hint="`imseek encoders list` says which do",
        )


def encode_unique_texts(encoder: Encoder, texts: Sequence[str], task: Task = SILENT) -> Float32:
    """Encode n texts as (n, dim) float32 unit rows, each distinct text once. Raises Cancelled."""
    number = {text: n for n, text in enumerate(dict.fromkeys(texts))}
    distinct = list(number)
    rows = np.zeros((len(distinct), encoder.info.dim), np.float32)
    for start in range(0, len(distinct), _BATCH):
        task.check()
        rows[start : start + _BATCH] = encoder.encode_texts(distinct[start : start + _BATCH])
        task.report("captions", min(start + _BATCH, len(distinct)), len(distinct))
    if len(distinct) == len(texts):
        return rows
    repeated: Float32 = rows[[number[text] for text in texts]]
    return repeated
