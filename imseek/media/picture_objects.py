"""Pictures that a program holds in memory, images of Pillow and arrays of pixels, as the bytes of a picture file.

The bytes are decoded like any other file, so that orientation, colour profile and transparency count as they do there.
"""

from __future__ import annotations

import io
import sys
from typing import Any, Final, Protocol, TypeGuard

import numpy as np

from imseek.errors import MediaError
from imseek.types.arrays import Pixels
from imseek.types.pictures import SkipReason

#: Modes that PNG and TIFF store without loss. Pillow must convert any other.
_PNG_MODES: Final = frozenset(("1", "L", "LA", "P", "RGB", "RGBA", "I;16"))
_TIFF_MODES: Final = frozenset(("CMYK", "F", "I", "LAB", "YCbCr"))


class PillowImage(Protocol):
    """An image that the user has opened or drawn with Pillow, ``PIL.Image.Image``, without an import of it."""

    @property
    def mode(self) -> str: ...

    @property
    def size(self) -> tuple[int, int]: ...

    def getexif(self) -> Any: ...


def is_picture(value: object) -> TypeGuard[PillowImage | Pixels]:
    """Whether ``value`` is an image of Pillow, or an array of pixels: (h, w, 3) uint8. Imports no Pillow."""
    return is_pixels(value) or _is_pillow_image(value)


def is_pixels(value: object) -> TypeGuard[Pixels]:
    """Whether ``value`` is an array of pixels: (h, w, 3) uint8, in sRGB."""
    return isinstance(value, np.ndarray) and value.dtype == np.uint8 and value.ndim == 3 and value.shape[2] == 3


def encode_picture(picture: PillowImage | Pixels) -> bytes:
    """Encode a picture as PNG or TIFF without loss, with its EXIF metadata and colour profile.

    Raises MediaError for one without pixels, and for an opened file that turns out to be damaged.
    """
    from PIL import Image

    image: Any = Image.fromarray(np.ascontiguousarray(picture)) if isinstance(picture, np.ndarray) else picture
    try:
        image.load()
        if image.mode not in _PNG_MODES | _TIFF_MODES:
            image = image.convert("RGBA" if image.has_transparency_data else "RGB")
        out = io.BytesIO()
        more = {"exif": exif} if (exif := image.getexif()) else {}
        if image.mode in _PNG_MODES:
            image.save(out, "PNG", compress_level=1, icc_profile=image.info.get("icc_profile"), **more)
        else:
            image.save(out, "TIFF", icc_profile=image.info.get("icc_profile"), **more)
    except MemoryError as error:
        raise MediaError(SkipReason.TOO_MANY_PIXELS, "not enough memory for the image") from error
    except Exception as error:  # a plugin may raise anything for a bad file
        raise MediaError(SkipReason.CORRUPT, str(error) or type(error).__name__) from error
    return out.getvalue()


def _is_pillow_image(value: object) -> TypeGuard[PillowImage]:
    pillow = sys.modules.get("PIL.Image")  # Only code that has imported PIL can have an image.
    return pillow is not None and isinstance(value, pillow.Image)
