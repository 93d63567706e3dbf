"""Encoders of open_clip on torch in fp32: the reference that faster ways to run the same weights must match."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from imseek.encoders.base import EncoderInfo
from imseek.encoders.cache import cache_dir, write_atomically
from imseek.encoders.checkpoint import inspect
from imseek.encoders.checks import check_modality, check_texts, merge_pieces
from imseek.encoders.openclip_source import Source, locate
from imseek.errors import EncoderError
from imseek.types import Float32, Pixels

_BATCH = 32  # pictures or texts per run


class OpenClipEncoder:
    """Thread-safe. Weights are read when the first vector or the fingerprint is asked for."""

    def __init__(
        self, reference: str, *, modalities: Sequence[str] = ("image", "text"), threads: int | None = None
    ) -> None:
        """Locate and try the weights of ``reference``.

        Errors are those of :func:`imseek.encoders.openclip_source.locate` and
        :func:`imseek.encoders.checkpoint.inspect`.

        ``threads`` sets torch's threads, which are the whole process's.
        """
        self._source = locate(reference)
        logit_scale = inspect(self._source.checkpoint)
        self._modalities = tuple(modalities)
        self._threads = threads
        self._lock = threading.Lock()
        self._model: Any = None
        self._fingerprint: str | None = None
        self._tokenizer: Any = None
        config = self._source.config
        preprocessing = self._source.preprocessing
        self._context_length: int = config["text_cfg"].get("context_length", 77)
        self._info = EncoderInfo(
            reference=self._source.reference,
            dim=config["embed_dim"],
            image_size=preprocessing.size,
            revision=self._source.revision,
            context_length=self._context_length,
            licence=self._source.licence,
            logit_scale=logit_scale,
            tokenizer=config["text_cfg"].get("hf_tokenizer_name", "open_clip"),
            draft_size=2 * preprocessing.size,
            preprocessing=preprocessing.record(),
        )

    @property
    def info(self) -> EncoderInfo:
        return self._info

    @property
    def precision(self) -> str:
        return "fp32"

    def fingerprint(self) -> str:
        """Hex sha256 over all weight tensors by sorted name, the preprocessing record and the activation.

        Kept in the cache folder by path, size and time of the checkpoint: later calls need not read it.
        """
        with self._lock:
            if self._fingerprint is None:
                self._fingerprint = _cached_fingerprint(self._source)
            if self._fingerprint is None:
                self._load()
            assert self._fingerprint is not None
            return self._fingerprint

    def prepare(self, pixels: Pixels) -> Pixels:
        """(h, w, 3) uint8 sRGB → (size, size, 3) uint8."""
        return self._source.preprocessing.square(pixels)

    def encode_images(self, batch: Pixels) -> Float32:
        """(n, size, size, 3) uint8 → (n, dim) float32 unit rows."""
        check_modality("image", self._modalities, self._info.reference)
        import torch

        model, _ = self._loaded()
        rows = np.empty((len(batch), self._info.dim), dtype=np.float32)
        with torch.inference_mode():
            for start in range(0, len(batch), _BATCH):
                values = self._source.preprocessing.normalise(batch[start : start + _BATCH])
                encoded = model.encode_image(torch.from_numpy(values), normalize=True)
                rows[start : start + _BATCH] = encoded.numpy()
        return rows

    def encode_texts(self, texts: Sequence[str]) -> Float32:
        """n non-empty strings → (n, dim) float32 unit rows.

        A text beyond the context window is cut into pieces, whose vectors are averaged.
        Raises QueryError for an empty text.
        """
        check_modality("text", self._modalities, self._info.reference)
        check_texts(texts)
        import torch

        model, tokenizer = self._loaded()
        pieces = [self._pieces(text) for text in texts]
        flat = [piece for of_text in pieces for piece in of_text]
        rows = np.empty((len(flat), self._info.dim), dtype=np.float32)
        with torch.inference_mode():
            for start in range(0, len(flat), _BATCH):
                encoded = model.encode_text(tokenizer(flat[start : start + _BATCH]), normalize=True)
                rows[start : start + _BATCH] = encoded.numpy()
        return merge_pieces(rows, [len(of_text) for of_text in pieces])

    def notes(self, texts: Sequence[str]) -> tuple[str, ...]:
        """A line for each text that is longer than the context window."""
        return tuple(
            f"the text has more than {self._context_length} tokens: it was cut into {pieces} pieces, "
            "whose vectors were averaged"
            for pieces in (len(self._pieces(text)) for text in texts)
            if pieces > 1
        )

    def _pieces(self, text: str) -> list[str]:
        """``text``, halved between words (within a word only if need be) until every piece fits."""
        if self._token_count(text) <= self._context_length or len(text) < 2:
            return [text]
        words = text.split()
        if len(words) > 1:
            halves = [" ".join(words[: len(words) // 2]), " ".join(words[len(words) // 2 :])]
        else:
            halves = [text[: len(text) // 2], text[len(text) // 2 :]]
        return [piece for half in halves for piece in self._pieces(half)]

    def _token_count(self, text: str) -> int:
        """Tokens of ``text``, uncut, with those that mark start and end."""
        _, tokenizer = self._loaded()
        if hasattr(tokenizer, "encode"):  # open_clip's own; the others wrap one of transformers
            return len(tokenizer.encode(text)) + 2
        return len(tokenizer.tokenizer(text, truncation=False, verbose=False)["input_ids"])

    def _loaded(self) -> tuple[Any, Any]:
        with self._lock:
            if self._model is None:
                self._load()
            return self._model, self._tokenizer

    def _load(self) -> None:
        """Read the weights. The caller holds the lock."""
        import open_clip
        import torch

        if self._threads is not None:
            torch.set_num_threads(self._threads)
        source = self._source
        try:
            model = open_clip.create_model(
                source.model,
                pretrained=source.pretrained,
                precision="fp32",
                device="cpu",
                require_pretrained=True,
            )
        except RuntimeError as error:
            raise EncoderError(
                f"{source.checkpoint} does not hold the weights of {source.model}", hint=str(error)
            ) from error
        model.eval()
        self._fingerprint = _fingerprint(source, model.state_dict())
        _store_fingerprint(source, self._fingerprint)
        if "image" not in self._modalities:
            del model.visual  # the larger part of the weights, in a process that only answers words
        self._tokenizer = open_clip.get_tokenizer(source.model)
        self._model = model


def _fingerprint(source: Source, state: dict[str, Any]) -> str:
    digest = hashlib.sha256()
    # The activation leaves no trace in the tensors.
    record = {
        "preprocessing": source.preprocessing.record(),
        "quick_gelu": bool(source.config.get("quick_gelu")),
    }
    digest.update(json.dumps(record, sort_keys=True).encode())
    for name, tensor in sorted(state.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().numpy().data)
    return digest.hexdigest()


def _fingerprint_file(source: Source) -> Path:
    status = source.checkpoint.stat()
    key = f"{source.reference}\n{source.checkpoint}\n{status.st_size}\n{status.st_mtime_ns}"
    return cache_dir() / "fingerprints" / hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


def _cached_fingerprint(source: Source) -> str | None:
    try:
        text: str = _fingerprint_file(source).read_text("ascii")
    except (OSError, ValueError):
        return None
    return text if len(text) == 64 else None


def _store_fingerprint(source: Source, fingerprint: str) -> None:
    with contextlib.suppress(OSError):  # a cache that cannot be written costs time, not correctness
        write_atomically(_fingerprint_file(source), fingerprint.encode("ascii"))
