"""A Pillow plugin for JPEG XL, over libjxl."""

from __future__ import annotations

from typing import Any, Final

import pylibjxl
from PIL import Image, ImageFile

_MODES: Final = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}  # by number of channels
_METADATA: Final = {"icc_profile": "icc", "exif": "exif", "xmp": "xmp"}  # Pillow's names → pylibjxl's


class JxlImageFile(ImageFile.ImageFile):
    """A JPEG XL picture: upright, as libjxl turns it, with 8 bits per channel, scaled.

    pylibjxl's own plugin returns the last frame of an animation; this one returns the first.
    """

    format = "JPEG XL"
    format_description = "JPEG XL"

    def _open(self) -> None:
        assert self.fp is not None
        self._content: bytes = self.fp.read()
        header = pylibjxl.probe(self._content)
        self._animated: bool = header["have_animation"]
        self._size = header["width"], header["height"]
        # Decoding holds 14 bytes per pixel, so apply Pillow's guard for its own formats here too.
        if Image.MAX_IMAGE_PIXELS is not None and self.width * self.height > 2 * Image.MAX_IMAGE_PIXELS:
            raise Image.DecompressionBombError(f"{self.width} x {self.height} pixels are more than Pillow allows")
        # Channels other than colour and alpha (depth, spot colours) are not decoded.
        self._mode = _MODES[header["color_channels"] + bool(header["has_alpha"])]

    def load(self) -> Any:
        if self._content:
            pixels, metadata = pylibjxl.decode(self._content, metadata=True)
            if self._animated:  # searching for metadata, pylibjxl runs on to the last frame
                pixels = pylibjxl.decode(self._content)
            self.info |= {ours: metadata[theirs] for ours, theirs in _METADATA.items() if theirs in metadata}
            decoded = Image.fromarray(pixels)
            self.im, self._mode, self._size = decoded.im, decoded.mode, decoded.size
            self._content = b""
        return super().load()
