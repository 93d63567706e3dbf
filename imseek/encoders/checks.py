"""What every encoder refuses, and the arithmetic they share."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from imseek.encoders.base import Encoder
from imseek.errors import EncoderError, EncoderMismatchError, QueryError, UsageError
from imseek.types import Float32

# A row shorter than this has no direction to speak of.
_SMALLEST_NORM = 1e-12


def check_texts(texts: Sequence[str]) -> None:
    """Raise QueryError if one of ``texts`` is empty, blank, or holds bytes that are no text; UsageError for a single
    text, whose letters would be taken for texts, and for what are none."""
    if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
        raise UsageError("texts are a sequence of str", hint='for one text: ["a red car"]')
    if not all(text.strip() for text in texts):
        raise QueryError("the text is empty", hint="describe in a few words what the picture shows")
    try:
        "".join(texts).encode()
    except UnicodeEncodeError as error:
        raise QueryError("the text is not valid UTF-8") from error


def check_pictures(batch: np.ndarray[Any, Any], size: int) -> None:
    """Raise UsageError unless ``batch`` is (n, size, size, 3) uint8, as a stack of what ``prepare`` gives is.

    torch would take values in [0, 1] for bytes that are nearly black, without a word.
    """
    if not isinstance(batch, np.ndarray):
        raise UsageError(f"pictures are an array, not {type(batch).__name__}")
    if batch.dtype != np.uint8 or batch.ndim != 4 or batch.shape[1:] != (size, size, 3):
        raise UsageError(
            f"pictures are an array (n, {size}, {size}, 3) of uint8, not {batch.shape} of {batch.dtype}",
            hint="stack what the encoder's prepare gives",
        )


def check_modality(wanted: str, loaded: Sequence[str], reference: str) -> None:
    """Raise EncoderError if the encoder was loaded without the modality that is now ``wanted``."""
    if wanted not in loaded:
        raise EncoderError(
            f"the encoder {reference} was loaded for {' and '.join(loaded)} only, not {wanted}"
        )


def unit_rows(rows: Float32) -> Float32:
    """(n, dim) → (n, dim) float32 rows of Euclidean norm 1; a row of zeros stays zero."""
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: Float32 = (rows / np.maximum(norms, _SMALLEST_NORM)).astype(np.float32, copy=False)
    return unit


def merge_pieces(rows: Float32, counts: Sequence[int]) -> Float32:
    """(sum of ``counts``, dim) rows of pieces → (n, dim) unit rows: the mean direction of each text's pieces."""
    starts = np.cumsum([0, *counts], dtype=np.intp)[:-1]
    sums: Float32 = np.add.reduceat(rows, starts, axis=0)
    return unit_rows(sums)


def check_knows_words(encoder: Encoder) -> None:
    """Raise UsageError unless ``encoder`` can embed captions."""
    if "text" not in encoder.info.modalities:
        raise UsageError(
            f"captions are embedded with the encoder of the first space, and {encoder.info.reference} knows no words",
            hint="`imseek encoders list` says which do",
        )


def check_fingerprint(encoder: Encoder, reference: str, fingerprint: str) -> None:
    """Raise EncoderMismatchError unless ``encoder`` has the weights whose fingerprint a collection recorded."""
    found = encoder.fingerprint()
    if found != fingerprint:
        raise EncoderMismatchError(
            f"this collection was made with other weights of {reference}: "
            f"{fingerprint[:16]}… there, {found[:16]}… here",
            hint="use the weights it was made with, or go over to these: imseek maintain --reencode REFERENCE",
        )


def available_cpus() -> int:
    """Processors that this process may run on: in a container, often fewer than there are."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS has no affinity
        return os.cpu_count() or 1
