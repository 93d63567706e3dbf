"""Results about text in pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from imseek.types.json_form import Count, Json, Seconds, Share
from imseek.types.pictures import ImagePlace


@dataclass(frozen=True, slots=True)
class TextLine:
    """A line of text in a picture: its box, upright around it, as shares of the picture's width and height."""

    x: Share
    """Left edge."""
    y: Share
    """Top edge."""
    width: Share
    height: Share
    confidence: Share
    """Mean probability of its characters."""
    text: str


@dataclass(frozen=True, slots=True)
class UnreadPicture:
    """A picture that could not be read."""

    image_id: Count
    place: ImagePlace
    reason: str
    """A code of :class:`imseek.types.pictures.SkipReason`, ``content_changed`` or ``recogniser_failed``."""
    message: Annotated[str, Json(printable=True)]


@dataclass(frozen=True, slots=True)
class OcrReport:
    """The result of reading the text in pictures."""

    images: Count
    """Number of live images."""
    missing: Count
    """Those of them whose text had not been read."""
    read: Count
    """Those of these that have been read now."""
    with_text: Count
    """Those of these that have text."""
    unreadable: Count
    """Pictures that could not be opened, or have changed."""
    unread: tuple[UnreadPicture, ...]
    """The first thousand of them."""
    seconds: Seconds
    generation: Count
    recogniser: str
    """Who reads, with its version and, of Tesseract, its languages."""
    earlier_recognisers: tuple[str, ...]
    """Others who have read pictures of this collection."""
    interrupted: bool = False
