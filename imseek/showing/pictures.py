"""Load small pictures of hits, or say why they cannot be loaded."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from imseek.errors import ContentChangedError, ImseekError, MediaError
from imseek.types.arrays import Pixels
from imseek.types.pictures import Place, SkipReason

if TYPE_CHECKING:
    from imseek.search.region import Region
    from imseek.types.search_results import ReadPicture

OTHER_COLLECTION: Final = "the picture is of another collection"


def load_small(read: ReadPicture, uuid: str, image_id: int, side: int, region: Region | None = None) -> Pixels:
    """Load pixels (h, w, 3) uint8, not much larger than ``side``, of a picture or of a region, given in shares of it.

    Raises MediaError with the reason if that fails.
    """
    from imseek.search.region import decode_region

    least_side = side if region is None else math.ceil(side / min(region[2:]))
    try:
        return decode_region(read(uuid, image_id, least_side), region, side)
    except MediaError:
        raise
    except ImseekError as error:
        raise MediaError(SkipReason.UNREADABLE, str(error), hint=error.hint) from error
    except OSError as error:
        is_gone = isinstance(error, FileNotFoundError)
        reason = SkipReason.VANISHED if is_gone else SkipReason.UNREADABLE
        raise MediaError(reason, error.strerror or str(error)) from error


def name_of(place: Place | None, image_id: int) -> str:
    """Return the last component of an image's place, as one printable line."""
    if place is None:
        return f"image {image_id}"
    return place.display.rstrip("/").rsplit("/", 1)[-1] or place.display


def short_reason(error: MediaError) -> str:
    """Return the reason in a few words that fit on a thumbnail."""
    if isinstance(error, ContentChangedError):
        return "changed since it was indexed"
    return _SHORT_REASONS.get(error.reason, "cannot be read")


_SHORT_REASONS: Final[Mapping[str, str]] = {
    SkipReason.VANISHED: "not there any more",
    SkipReason.BROKEN_LINK: "not there any more",
    SkipReason.MISSING_CODEC: "no codec for it here",
    SkipReason.FETCH_FAILED: "cannot be fetched",
    SkipReason.FORBIDDEN_ADDRESS: "must not be fetched",
    SkipReason.TOO_MANY_PIXELS: "too large to show",
    SkipReason.TOO_MANY_BYTES: "too large to show",
}
