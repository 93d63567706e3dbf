"""Rated images for lists in reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from imseek.data.reader import Reader
from imseek.dataset.results import RatedImage


def rated_images(reader: Reader, ratings: Sequence[tuple[int, Mapping[str, float]]]) -> tuple[RatedImage, ...]:
    """Look up the places of images and attach their values."""
    places = reader.places([image_id for image_id, _ in ratings])
    return tuple(RatedImage(image_id, places.get(image_id), values) for image_id, values in ratings)
