"""An open_clip model as an encoder: pictures on torch, texts on an exported text tower."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from imseek.encoders.base import EncoderInfo
from imseek.encoders.checkpoint import read_logit_parameters
from imseek.encoders.checks import available_cpus, check_modality
from imseek.encoders.image_tower import ImageTower
from imseek.encoders.library_encoder import LibraryEncoder
from imseek.encoders.openclip.source import locate
from imseek.encoders.openclip.text import TextTower
from imseek.encoders.openclip.weights import Weights
from imseek.encoders.runtime import Runtime
from imseek.types.arrays import Float32


class OpenClipEncoder(LibraryEncoder):
    """An open_clip model as an encoder. Thread-safe; reads its weights for the first vector or the fingerprint."""

    def __init__(
        self,
        reference: str,
        *,
        modalities: Sequence[str] = ("image", "text"),
        runtime: Runtime | None = None,
        notify: Callable[[str], None] | None = None,
    ) -> None:
        """Locate and check the weights of ``reference``.

        ``notify`` receives a line before the one-time export of the text tower, which takes some seconds, and where the
        precision ``auto`` proves too inaccurate for image vectors.

        Raises as :func:`imseek.encoders.openclip.source.locate`,
        :func:`imseek.encoders.checkpoint.read_logit_parameters` and, for pictures,
        :class:`imseek.encoders.image_tower.ImageTower`.
        """
        self._source = locate(reference)
        logit_scale, logit_bias = read_logit_parameters(self._source.checkpoint)
        self._modalities = tuple(modalities)
        runtime = runtime or Runtime()
        super().__init__(runtime, notify)
        self._weights = Weights(self._source, modalities)
        self._threads = runtime.threads or available_cpus()
        self._lock = threading.Lock()
        self._texts: tuple[TextTower, tuple[str, ...]] | None = None
        config = self._source.config
        self._preprocessing = preprocessing = self._source.preprocessing
        dim: int = config["embed_dim"]
        self._images = (
            ImageTower(self._visual, self.fingerprint, preprocessing, dim, runtime, notify)
            if "image" in modalities
            else None  # a text query needs no GPU
        )
        self._info = EncoderInfo(
            reference=self._source.reference,
            dim=dim,
            image_size=preprocessing.size,
            revision=self._source.revision,
            context_length=self._source.context_length,
            licence=self._source.licence,
            logit_scale=logit_scale,
            logit_bias=logit_bias,
            tokenizer=config["text_cfg"].get("hf_tokenizer_name", "open_clip"),
            draft_size=runtime.draft_size(preprocessing.size),
            batch_size=1 if self._images is None else self._images.batch_size,
            preprocessing=preprocessing.record(),
        )

    def encode_texts(self, texts: Sequence[str]) -> Float32:
        """Encode n non-empty strings as (n, dim) float32 unit rows. Raises QueryError for an empty text."""
        check_modality("text", self._modalities, self._info.reference)
        tower, _ = self._text_tower()
        return tower(texts)

    def notes(self, texts: Sequence[str]) -> tuple[str, ...]:
        """Return a line for each text that exceeds the context window, and one where torch replaces the export."""
        tower, lines = self._text_tower()
        return tower.notes(texts) + lines

    def _visual(self) -> Any:
        """Return the image tower. Moving it to another device or precision does not affect the text tower."""
        return self._weights.model().visual

    def _text_tower(self) -> tuple[TextTower, tuple[str, ...]]:
        with self._lock:
            if self._texts is None:
                from imseek.encoders.openclip.export import load_text_tower

                self._texts = load_text_tower(
                    self._source,
                    self._weights.model,
                    self._info,
                    self.fingerprint(),
                    threads=self._threads,
                    notify=self._notify,
                )
            return self._texts
