"""Estimate how reliable a collection's words are: whether captions match images, and whether words name things."""

from __future__ import annotations

from typing import Final

import numpy as np

from imseek.data.reader import Reader
from imseek.data.words.values import TokenMatcher, WordQuery
from imseek.errors import ImageNotFoundError
from imseek.search.row_sample import sample_ids, sample_rows
from imseek.search.score_fusion import caption_agreement
from imseek.types.arrays import Float32
from imseek.types.spaces import SpaceInfo

#: Captions, and images of a sample, that are compared.
_CAPTIONS: Final = 128
_IMAGES: Final = 512
#: Common words, those of :data:`imseek.search.hubness.BANK_TEXTS`, stored stemmed, because stemming takes 4 ms.
EVERYDAY: Final = WordQuery((
    "person", "man", "woman", "child", "crowd", "face", "hand", "anim", "dog", "cat", "bird", "fish",
    "insect", "hors", "tree", "flower", "grass", "forest", "mountain", "sea", "river", "lake", "sky", "cloud",
    "snow", "fire", "hous", "build", "street", "citi", "bridg", "church", "room", "kitchen", "tabl", "chair",
    "bed", "lamp", "window", "door", "car", "truck", "bus", "train", "bicycl", "boat", "airplan", "food",
    "fruit", "bread", "meat", "bottl", "book", "newspap", "comput", "telephon", "camera", "clock", "tool",
    "shoe", "hat", "shirt", "toy", "ball",
))  # fmt: skip
#: Least share of images with an everyday word for the words of a collection to count as naming things.
_NAMED: Final = 0.1


def read_agreement(reader: Reader, space: SpaceInfo, captions: SpaceInfo, sample: Float32) -> float:
    """Return the agreement of a sample of captions with their images, as :func:`caption_agreement` defines it.

    ``captions`` is the space of the captions; ``sample`` (s, dim) are unit rows of images in ``space``.
    """
    segments = reader.segments(captions.space_id)
    rows, ids = sample_rows(segments, _CAPTIONS), sample_ids(segments, _CAPTIONS)
    try:
        pictures = reader.vectors(ids.tolist(), space.space_id).astype(np.float32)
    except ImageNotFoundError:  # Some are not encoded in this space yet.
        rows, pictures = rows[:0], rows[:0]
    return caption_agreement(rows, pictures, sample[:: max(1, len(sample) // _IMAGES)])


def read_has_names(reader: Reader, space: SpaceInfo) -> bool:
    """Return whether the words of a collection name what its images show: a tenth or more have everyday words.

    Numbers from a camera name nothing. A sample of images is read.
    """
    ids = sample_ids(reader.segments(space.space_id), _IMAGES).tolist()
    everyday = TokenMatcher(EVERYDAY)
    documents = reader.documents(ids).values()
    named_count = sum(any(everyday.matches_any(field.split()) for field in document) for document in documents)
    return named_count >= _NAMED * max(1, len(ids))
