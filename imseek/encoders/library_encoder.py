"""Base class of the encoders built on a library's torch network (open_clip, timm, transformers)."""

from __future__ import annotations

import threading
from collections.abc import Callable

from imseek.encoders.base import EncoderInfo
from imseek.encoders.checks import check_modality
from imseek.encoders.exported_images import export, is_float_on_cpu
from imseek.encoders.image_tower import ImageTower
from imseek.encoders.preprocess import Preprocessing
from imseek.encoders.runtime import Runtime
from imseek.encoders.weights import LazyModel
from imseek.types.arrays import Float32, Pixels


class LibraryEncoder:
    """An encoder without its text methods, which subclasses add.

    Subclasses set the fields without a value; ``_images`` is None without the image modality.
    """

    _info: EncoderInfo
    _modalities: tuple[str, ...]
    _preprocessing: Preprocessing
    _weights: LazyModel
    _images: ImageTower | None

    def __init__(self, runtime: Runtime, notify: Callable[[str], None] | None) -> None:
        self._runtime = runtime
        self._notify = notify
        self._first_batch = threading.Lock()
        self._has_encoded = False

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
        with self._first_batch:
            if not self._has_encoded:
                self._export_if_few(self._images, len(batch))
                self._has_encoded = True
        return self._images(batch)

    def _export_if_few(self, tower: ImageTower, pictures: int) -> None:
        """Export the tower, if the size of the first batch says that weights are used again for a few pictures."""
        if pictures < self._info.batch_size and is_float_on_cpu(self._runtime) and self._weights.is_known:
            export(tower.module, self._info, self.fingerprint(), self._weights.checkpoint, self._notify)
