"""JPEG XL in the shape of a plugin of Pillow's, over libjxl."""

from __future__ import annotations

from typing import Any, Final

import pylibjxl
from PIL import Image, ImageFile

from imseek.errors import MediaError
from imseek.types import SkipReason

_MODES: Final = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}  # by the number of channels
_SECONDS: Final = 60.0  # that decoding may take; 12 megapixels take 0.2


class JxlImageFile(ImageFile.ImageFile):
    """One JPEG XL. Its pixels come out upright, as libjxl turns them, with 8 bits a channel, scaled.

    Beside the plugin that comes with pylibjxl, this one bounds the time and reads headers of any length.
    """

    format = "JPEG XL"
    format_description = "JPEG XL"

    def _open(self) -> None:
        assert self.fp is not None
        self._content: bytes = self.fp.read()
        header = pylibjxl.probe(self._content)
        self._size = header["width"], header["height"]
        # Channels beside colour and alpha (depth, spots) are not decoded.
        self._mode = _MODES[header["color_channels"] + bool(header["has_alpha"])]

    def load(self) -> Any:
        if self._content:
            try:
                pixels, metadata = pylibjxl.decode(self._content, metadata=True, timeout=_SECONDS)
            except pylibjxl.CodecTimeoutError as error:
                message = f"decoding it took more than {_SECONDS:.0f} seconds"
                raise MediaError(SkipReason.TIMEOUT, message) from error
            for ours, theirs in (("icc_profile", "icc"), ("exif", "exif"), ("xmp", "xmp")):
                if theirs in metadata:
                    self.info[ours] = metadata[theirs]
            decoded = Image.fromarray(pixels)
            self.im, self._mode, self._size = decoded.im, decoded.mode, decoded.size
            self._content = b""
        return super().load()
