"""Encoders of open_clip on torch."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from imseek.encoders import windows
from imseek.encoders.base import EncoderInfo
from imseek.encoders.checkpoint import inspect
from imseek.encoders.checks import check_modality, check_texts
from imseek.encoders.openclip.source import locate
from imseek.encoders.openclip.text import TextTower
from imseek.encoders.openclip.weights import Weights
from imseek.encoders.runtime import Runtime
from imseek.encoders.torch_images import TorchImages
from imseek.types import Float32, Pixels

__all__ = ["OpenClipEncoder"]


class OpenClipEncoder:
    """Thread-safe. Weights are read when the first vector or the fingerprint is asked for."""

    def __init__(
        self, reference: str, *, modalities: Sequence[str] = ("image", "text"), runtime: Runtime | None = None
    ) -> None:
        """Locate and try the weights of ``reference``.

        Errors are those of :func:`imseek.encoders.openclip.source.locate` and
        :func:`imseek.encoders.checkpoint.inspect`.
        """
        self._source = locate(reference)
        logit_scale = inspect(self._source.checkpoint)
        self._modalities = tuple(modalities)
        self._runtime = runtime or Runtime()
        self._weights = Weights(self._source, modalities)
        self._texts = TextTower(self._source, self._weights)
        self._lock = threading.Lock()
        self._images: TorchImages | None = None
        config = self._source.config
        preprocessing = self._source.preprocessing
        self._info = EncoderInfo(
            reference=self._source.reference,
            dim=config["embed_dim"],
            image_size=preprocessing.size,
            revision=self._source.revision,
            context_length=self._source.context_length,
            licence=self._source.licence,
            logit_scale=logit_scale,
            tokenizer=config["text_cfg"].get("hf_tokenizer_name", "open_clip"),
            draft_size=self._runtime.draft_size(preprocessing.size),
            preprocessing=preprocessing.record(),
        )

    @property
    def info(self) -> EncoderInfo:
        return self._info

    @property
    def precision(self) -> str:
        return "fp32"

    def fingerprint(self) -> str:
        return self._weights.fingerprint()

    def prepare(self, pixels: Pixels) -> Pixels:
        """(h, w, 3) uint8 sRGB → (size, size, 3) uint8."""
        return self._source.preprocessing.square(pixels)

    def encode_images(self, batch: Pixels) -> Float32:
        """(n, size, size, 3) uint8 → (n, dim) float32 unit rows."""
        check_modality("image", self._modalities, self._info.reference)
        return self._image_tower()(batch)

    def encode_texts(self, texts: Sequence[str]) -> Float32:
        """n non-empty strings → (n, dim) float32 unit rows. Raises QueryError for an empty text."""
        check_modality("text", self._modalities, self._info.reference)
        check_texts(texts)
        return self._texts(texts)

    def notes(self, texts: Sequence[str]) -> tuple[str, ...]:
        """A line for each text that is longer than the context window."""
        counts = [len(self._texts.pieces(text)) for text in texts]
        return windows.notes(counts, self._source.context_length)

    def _image_tower(self) -> TorchImages:
        with self._lock:
            if self._images is None:
                visual = self._weights.model().visual
                self._images = TorchImages(visual, self._source.preprocessing, self._info.dim, self._runtime)
            return self._images
