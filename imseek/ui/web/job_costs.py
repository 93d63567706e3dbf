"""Estimate how long jobs take, from the processor seconds in docs/log.md and the number of cores."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

from imseek.ui.render.words import format_count, format_duration

Work: TypeAlias = Literal["scan", "measure", "caption", "text", "index", "label", "read", "copy"]

#: Seconds of a processor to decode a picture, and to encode it by the built-in encoder or a better one without a card.
_DECODING: Final = 0.02
_BASIC: Final = 0.02
_BETTER: Final = 0.2
#: The same for comparing one with those like it, and for a search of its regions.
_COMPARING: Final = 0.1
_REGIONS: Final = 0.5
#: The same for a caption, for text in a picture (few have any), and for a row of a vector index.
_PARALLEL: Final[Mapping[Work, float]] = {"measure": _DECODING, "caption": 0.015, "text": 0.08, "index": 0.0003}
#: Seconds on any number of cores: for a file that is unchanged, a picture that is compared with classes and labelled,
#: and a byte that a disk reads, or writes anew.
_SERIAL: Final[Mapping[Work, float]] = {"scan": 0.0003, "label": 0.0002, "read": 1 / 300e6, "copy": 1 / 80e6}
#: Seconds below which nobody waits.
_MOMENT: Final = 3.0


def encoding_seconds(images: int, *, basic: bool) -> float:
    """Estimate the time to encode ``images`` with the built-in encoder (``basic``) or a better one."""
    return images * (_DECODING + (_BASIC if basic else _BETTER)) / _cores()


def seconds(work: Work, count: int) -> float:
    """Estimate the time for work on ``count`` files, pictures, captions, rows or bytes."""
    return count * (_SERIAL[work] if work in _SERIAL else _PARALLEL[work] / _cores())


def comparing_seconds(images: int, *, exact: bool, regions: bool) -> float:
    """Estimate the time to find duplicates among ``images``: only ``exact`` ones, or also ``regions`` of others."""
    if exact:
        return seconds("scan", images)
    return images * (_COMPARING + (_REGIONS if regions else 0)) / _cores()


def describe(duration: float) -> str:
    """Say how long something takes: ``a moment``, ``about 3 min``."""
    return "a moment" if duration < _MOMENT else f"about {format_duration(duration)}"


def describe_indexing(images: int, *, basic: bool, more: bool = False) -> str:
    """Say how many pictures are to be indexed, ``more`` if there are further ones, and how long that takes."""
    duration = describe(encoding_seconds(images, basic=basic))
    card = "" if basic or duration == "a moment" else " without a graphics card"
    if more:
        return f"{images:,} pictures or more: {duration} or more{card}."
    return f"{format_count(images, 'picture')}: {duration}{card}."


def _cores() -> int:
    return os.cpu_count() or 1
