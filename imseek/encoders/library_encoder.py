"""Base class of the encoders built on a library's torch network (open_clip, timm, transformers)."""

from __future__ import annotations

import threading
from collections.abc import Callable

from imseek.encoders.base import EncoderInfo
from imseek.encoders.exported_images import export, is_float_on_cpu
from imseek.encoders.image_tower import ImageTower
from imseek.encoders.input_checks import check_modality
from imseek.encoders.naflex_preprocess import PatchPreprocessing
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
    _preprocessing: Preprocessing | PatchPreprocessing
    _weights: LazyModel
    _images: ImageTower | None

    def __init__(self, runtime: Runtime, notify: Callable[[str], None] | None) -> None:
        self._runtime = runtime
        self._notify = notify
        self._export_lock = threading.Lock()
        self._may_export = False

    def export_if_few(self) -> None:
        """Export the image tower if the first batch of pictures is small: these weights will be used again so."""
        self._may_export = is_float_on_cpu(self._runtime) and isinstance(self._preprocessing, Preprocessing)

    @property
    def info(self) -> EncoderInfo:
        return self._info

    @property
    def precision(self) -> str:
        return "fp32" if self._images is None else self._images.precision

    def fingerprint(self) -> str:
        return self._weights.fingerprint()

    def prepare(self, pixels: Pixels) -> Pixels:
        """Convert (h, w, 3) uint8 sRGB to (size, size, 3) uint8, or to patches where the encoder keeps proportions."""
        return self._preprocessing.prepare(pixels)

    def encode_images(self, batch: Pixels) -> Float32:
        """Encode a stack of n pictures as ``prepare`` gives them as (n, dim) float32 unit rows."""
        check_modality("image", self._modalities, self._info.reference)
        assert self._images is not None
        self._preprocessing.check(batch)
        with self._export_lock:  # before the network is moved and converted
            if self._may_export and len(batch):
                self._may_export = False
                if len(batch) < self._info.batch_size:
                    fingerprint, checkpoint = self.fingerprint(), self._weights.checkpoint
                    export(self._images.module, self._info, fingerprint, checkpoint, self._notify)
        return self._images(batch)
