"""Read from a collection how far its images stand out by their own captions."""

from __future__ import annotations

from typing import Final

import numpy as np

from imseek.data.reader import Reader
from imseek.errors import ImageNotFoundError
from imseek.search.fuse_terms import sample_ids, sample_rows
from imseek.search.rank_fusion import caption_agreement
from imseek.types.arrays import Float32
from imseek.types.spaces import SpaceInfo

#: Captions, and images of a sample, that are compared.
_CAPTIONS: Final = 128
_IMAGES: Final = 512


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
