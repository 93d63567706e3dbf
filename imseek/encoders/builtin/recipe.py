"""What identifies the built-in encoder's vectors: weights, preprocessing and the constants of its space."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final

from imseek.encoders.builtin import colour, head, space
from imseek.encoders.builtin.weights import CLASS_NAMES_SHA256, LITE0, MINILM, TOKENIZER
from imseek.encoders.preprocess import Preprocessing

REFERENCE: Final = "builtin"
#: New collections are made with VERSION; those made with an earlier one keep it until they are re-encoded.
VERSION: Final = 2

# EfficientNet-Lite0 was trained at this size, mean and deviation, with bicubic resampling. It was tested on the central
# seven eighths of a square; a search must also find what lies at the edges, so the whole picture is squashed into the
# square (training stretched pictures by up to a third, too).
PREPROCESSING: Final = Preprocessing(
    size=224,
    resize="squash",
    interpolation="bicubic",
    mean=(127 / 255, 127 / 255, 127 / 255),
    std=(128 / 255, 128 / 255, 128 / 255),
)


def fingerprint(version: int = VERSION) -> str:
    """Hex sha256 over the checksums of the weight files and everything else that affects vectors.

    Reads no file: weights with other checksums are refused.
    """
    record: dict[str, Any] = {
        "encoder": REFERENCE,
        "weights": [file.sha256 for file in (LITE0, MINILM, TOKENIZER)],
        "class_names": CLASS_NAMES_SHA256,
        "preprocessing": PREPROCESSING.record(),
        "space": {
            "prompts": space.PROMPTS,
            "text_sharpness": space.TEXT_SHARPNESS,
            "colour_weight": space.COLOUR_WEIGHT,
            "colour_sigma": colour.SIGMA,
            "colours": dict(colour.COLOURS),
            "colour_synonyms": dict(colour.SYNONYMS),
        },
    }
    if version > 1:
        record["version"] = version
        record["head"] = {
            "weights": head.WEIGHTS.sha256,
            "weight": space.HEAD_WEIGHT,
            "image_sharpness": head.IMAGE_SHARPNESS,
            "text_sharpness": head.TEXT_SHARPNESS,
            "cosine_weight": head.COSINE_WEIGHT,
        }
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


def version_of(collection_fingerprint: str | None) -> int:
    """Return the version that made vectors with this fingerprint, the newest for None and an unknown one."""
    matching = (version for version in range(1, VERSION) if fingerprint(version) == collection_fingerprint)
    return next(matching, VERSION)
