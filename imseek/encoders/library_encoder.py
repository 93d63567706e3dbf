"""Base class of the encoders built on a library's torch network (open_clip, timm, transformers)."""

from __future__ import annotations

from imseek.encoders.base import EncoderInfo
from imseek.encoders.checks import check_modality
from imseek.encoders.image_tower import ImageTower
from imseek.encoders.preprocess import Preprocessing
from imseek.encoders.weights import LazyModel
from imseek.types.arrays import Float32, Pixels


class LibraryEncoder:
    """An encoder without its text methods, which subclasses add.

    Subclasses set these fields; ``_images`` is None without the image modality.
    """

    _info: EncoderInfo
    _modalities: tuple[str, ...]
    _preprocessing: Preprocessing
    _weights: LazyModel
    _images: ImageTower | None

    @property
    def info(self) -> EncoderInfo:
        return self._info

    @property
    def precision(self) -> str:
        return "fp32" if self._images is None else self._images.precision

    def fingerprint(self) -> str:
        return self._weights.fingerprint()

    def prepare(self, pixels: Pixels) -> Pixels:
        """Convert (h, w, 3) uint8 sRGB to (size, size, 3) uint8."""
        return self._preprocessing.square(pixels)

    def encode_images(self, batch: Pixels) -> Float32:
        """Encode (n, size, size, 3) uint8 as (n, dim) float32 unit rows."""
        check_modality("image", self._modalities, self._info.reference)
        assert self._images is not None
        return self._images(batch)
