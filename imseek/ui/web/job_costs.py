"""How long jobs take, estimated before they start: seconds of processor time from docs/log.md, on this many cores."""

from __future__ import annotations

import os
from typing import Final

from imseek.ui.render.words import format_count, format_duration

#: Seconds of a processor for a picture: decoding, and encoding by the built-in encoder or a better one without a card.
_DECODING: Final = 0.02
_BASIC: Final = 0.02
_BETTER: Final = 0.2
#: The same for a caption, for text in a picture (few have any), and for comparing one with those like it.
_CAPTION: Final = 0.015
_READING: Final = 0.08
_COMPARING: Final = 0.1
#: The same for a search of regions, per picture; seconds to scan a file that is unchanged.
_REGIONS: Final = 0.5
_SCANNING: Final = 0.0003
#: Seconds of a processor for a row of a vector index. Small collections have none to build.
_ROW: Final = 0.0003
#: Seconds for one picture to be compared with classes, and for its label to be stored.
_LABEL: Final = 0.0002
#: Bytes a second that a disk reads, and writes anew.
_READ: Final = 300e6
_COPIED: Final = 80e6
#: Seconds below which nobody waits.
_MOMENT: Final = 3.0


def encoding_seconds(images: int, *, basic: bool) -> float:
    """Estimate the time to encode ``images`` with the built-in encoder (``basic``) or a better one."""
    return images * (_DECODING + (_BASIC if basic else _BETTER)) / _cores()


def scanning_seconds(files: int) -> float:
    """Estimate the time to find what has changed among ``files``."""
    return files * _SCANNING


def measuring_seconds(images: int) -> float:
    """Estimate the time to measure brightness, contrast and sharpness of ``images``."""
    return images * _DECODING / _cores()


def caption_seconds(images: int) -> float:
    """Estimate the time to embed the captions of ``images``."""
    return images * _CAPTION / _cores()


def text_seconds(images: int) -> float:
    """Estimate the time to read text in ``images``."""
    return images * _READING / _cores()


def comparing_seconds(images: int, *, exact: bool, regions: bool) -> float:
    """Estimate the time to find duplicates among ``images``: only ``exact`` ones, or also ``regions`` of others."""
    if exact:
        return images * _SCANNING
    return images * (_COMPARING + (_REGIONS if regions else 0)) / _cores()


def labelling_seconds(images: int) -> float:
    """Estimate the time to label ``images`` by words or a trained model, and to store that."""
    return images * _LABEL


def index_seconds(images: int) -> float:
    """Estimate the time to build a vector index of ``images``."""
    return images * _ROW / _cores()


def reading_seconds(size: int) -> float:
    """Estimate the time to read ``size`` bytes."""
    return size / _READ


def copying_seconds(size: int) -> float:
    """Estimate the time to write ``size`` bytes anew."""
    return size / _COPIED


def describe(seconds: float) -> str:
    """Say how long something takes: ``a moment``, ``about 3 min``."""
    return "a moment" if seconds < _MOMENT else f"about {format_duration(seconds)}"


def describe_indexing(images: int, *, basic: bool, more: bool = False) -> str:
    """Say how many pictures are to be indexed, ``more`` if there are further ones, and how long that takes."""
    takes = describe(encoding_seconds(images, basic=basic))
    card = "" if basic or takes == "a moment" else " without a graphics card"
    if more:
        return f"{images:,} pictures or more: {takes} or more{card}."
    return f"{format_count(images, 'picture')}: {takes}{card}."


def _cores() -> int:
    return os.cpu_count() or 1
