"""The weights of an open_clip model: read when they are needed, and told from others by their fingerprint."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from imseek.encoders.cache import cache_dir, write_atomically
from imseek.encoders.openclip.source import Source
from imseek.errors import EncoderError


class Weights:
    """Of one source. Thread-safe. ``modalities`` are those whose towers will be asked for."""

    def __init__(self, source: Source, modalities: Sequence[str]) -> None:
        self._source = source
        self._modalities = tuple(modalities)
        self._lock = threading.Lock()
        self._model: Any = None
        self._fingerprint: str | None = None

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

    def model(self) -> Any:
        """open_clip's model in float32 on the CPU, without the image tower where that is not wanted."""
        with self._lock:
            if self._model is None:
                self._load()
            return self._model

    def _load(self) -> None:
        """Read the weights. The caller holds the lock."""
        import open_clip

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
