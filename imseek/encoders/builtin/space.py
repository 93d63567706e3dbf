"""The built-in encoder's joint space: pictures and texts as distributions over the same names.

EfficientNet gives a picture a distribution over the 1,000 ImageNet classes. A text's distribution is the softmax of its
MiniLM cosines with the class names. Two distributions p and q compare by the Bhattacharyya coefficient Σ √(pᵢ qᵢ), the
inner product of the unit vectors √p and √q; so each side stores its square roots, and any inner-product index serves. A
second, lighter block compares shares of named colours in the same way. Scoring unseen words through class names is the
idea of ConSE (Norouzi et al. 2013), which mixes word vectors where this mixes nothing; bench/quality.py compares the
two.

Version 2 adds a third block, of a learned head (:mod:`imseek.encoders.builtin.head`). Version 1 has the first two, and
serves the collections that were made with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from imseek.encoders.builtin.colour import COLOURS, colour_shares, named_colours
from imseek.encoders.input_checks import unit_rows
from imseek.types.arrays import Float32, Pixels

CLASS_COUNT: Final = 1000
#: Dimensions of the blocks of classes and colours, all of version 1.
DIM: Final = CLASS_COUNT + len(COLOURS)

# Tuned on half A of the Tux Paint stamps; neighbouring values do as well (docs/log.md).
TEXT_SHARPNESS: Final = 40.0  # factor on the cosines before the softmax
COLOUR_WEIGHT: Final = 0.5  # length of the colour block beside the class block of length 1
HEAD_WEIGHT: Final = 0.7  # length of the learned head's block, if there is one
PROMPTS: Final = ("{}", "a photo of a {}", "a drawing of a {}")


def image_rows(logits: Float32, pixels: Pixels, head: Float32 | None = None) -> Float32:
    """Combine (n, 1000) logits and (n, h, w, 3) uint8 sRGB to (n, DIM) float32 unit rows.

    With ``head``, the (n, m) unit rows of the learned head, to (n, DIM + m).
    """
    return _concatenate_blocks(softmax(logits), colour_shares(pixels), head)


def text_rows(vectors: Float32, texts: Sequence[str], classes: Float32, head: Float32 | None = None) -> Float32:
    """Convert (n, 384) unit vectors of n texts and (1000, 384) class vectors to (n, DIM) float32 unit rows.

    With ``head``, the (n, m) unit rows of the learned head, to (n, DIM + m). A text that names no colour has a zero
    colour block, so the other blocks alone decide the order of pictures.
    """
    return _concatenate_blocks(softmax(TEXT_SHARPNESS * (vectors @ classes.T)), named_colours(texts), head)


def softmax(logits: Float32) -> Float32:
    """Return the row-wise softmax: (n, m) → (n, m) float32 rows that sum to 1."""
    powers: Float32 = np.exp(logits - logits.max(axis=1, keepdims=True))
    rows: Float32 = powers / powers.sum(axis=1, keepdims=True)
    return rows


def _concatenate_blocks(classes: Float32, colours: Float32, head: Float32 | None) -> Float32:
    head_block = () if head is None else (HEAD_WEIGHT * head,)
    return unit_rows(np.hstack([np.sqrt(classes), COLOUR_WEIGHT * np.sqrt(colours), *head_block]))
