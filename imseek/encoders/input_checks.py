"""Input checks and arithmetic shared by all encoders."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from imseek.encoders.base import Encoder
from imseek.errors import EncoderError, EncoderMismatchError, QueryError, UsageError
from imseek.types.arrays import Float32

# Shorter rows have no meaningful direction.
_SMALLEST_NORM = 1e-12


def check_texts(texts: Sequence[str]) -> None:
    """Raise QueryError for an empty, blank or undecodable text, and UsageError for anything but a sequence of str.

    A single str is refused too: its letters would pass for texts.
    """
    if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
        raise UsageError("texts are a sequence of str", hint='for one text: ["a red car"]')
    if not all(text.strip() for text in texts):
        raise QueryError("the text is empty", hint="describe in a few words what the picture shows")
    try:
        "".join(texts).encode()
    except UnicodeEncodeError as error:
        raise QueryError("the text is not valid UTF-8") from error


def check_pictures(batch: np.ndarray[Any, Any], size: int) -> None:
    """Raise UsageError unless ``batch`` is (n, size, size, 3) uint8, a stack of ``prepare`` results.

    torch would silently take floats in [0, 1] for nearly black bytes.
    """
    if not isinstance(batch, np.ndarray):
        raise UsageError(f"pictures are an array, not {type(batch).__name__}")
    if batch.dtype != np.uint8 or batch.ndim != 4 or batch.shape[1:] != (size, size, 3):
        raise UsageError(
            f"pictures are an array (n, {size}, {size}, 3) of uint8, not {batch.shape} of {batch.dtype}",
            hint="stack what the encoder's prepare gives",
        )


def check_modality(modality: str, loaded: Sequence[str], reference: str) -> None:
    """Raise EncoderError if the encoder was loaded without the modality ``modality``."""
    if modality not in loaded:
        raise EncoderError(f"the encoder {reference} was loaded for {' and '.join(loaded)} only, not {modality}")


def no_text_error(reference: str) -> EncoderError:
    """Return the error for texts given to an encoder that reads pictures only."""
    return EncoderError(
        f"the encoder {reference} knows pictures only, no words",
        hint="search with a picture (`imseek similar`), or make a collection with a CLIP encoder, such as `default`",
    )


def unit_rows(rows: Float32) -> Float32:
    """Scale (n, dim) rows to Euclidean norm 1, as float32; zero rows stay zero."""
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: Float32 = (rows / np.maximum(norms, _SMALLEST_NORM)).astype(np.float32, copy=False)
    return unit


def encode_in_pieces(
    texts: Sequence[str],
    split: Callable[[str], Sequence[str]],
    encode: Callable[[Sequence[str]], Float32],
    dim: int,
    batch: int = 32,
) -> Float32:
    """Encode n texts as (n, dim) unit rows: ``split`` into pieces, whose rows are averaged, ``batch`` pieces a call."""
    pieces = [split(text) for text in texts]
    flat = [piece for of_text in pieces for piece in of_text]
    rows = np.empty((len(flat), dim), dtype=np.float32)
    for start in range(0, len(flat), batch):
        rows[start : start + batch] = encode(flat[start : start + batch])
    return merge_pieces(rows, [len(of_text) for of_text in pieces])


def merge_pieces(rows: Float32, counts: Sequence[int]) -> Float32:
    """Average the rows of each text's pieces: (sum of ``counts``, dim) → (n, dim) unit rows."""
    starts = np.cumsum([0, *counts], dtype=np.intp)[:-1]
    sums: Float32 = np.add.reduceat(rows, starts, axis=0)
    return unit_rows(sums)


def check_encodes_text(encoder: Encoder) -> None:
    """Raise UsageError unless ``encoder`` can embed captions."""
    if "text" not in encoder.info.modalities:
        raise UsageError(
            f"captions are embedded with the encoder of the first space, and {encoder.info.reference} knows no words",
            hint="`imseek encoders list` says which do",
        )


def check_fingerprint(encoder: Encoder, reference: str, fingerprint: str) -> None:
    """Raise EncoderMismatchError unless ``encoder`` has the fingerprint recorded in a collection."""
    actual = encoder.fingerprint()
    if actual != fingerprint:
        raise EncoderMismatchError(
            f"this collection was made with other weights of {reference}: "
            f"{fingerprint[:16]}… there, {actual[:16]}… here",
            hint="use the weights it was made with, or go over to these: imseek maintain --reencode REFERENCE",
        )


def available_cpus() -> int:
    """Count the processors available to this process; in a container often fewer than the machine has."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS has no affinity
        return os.cpu_count() or 1
