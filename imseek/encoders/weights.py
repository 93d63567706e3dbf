"""The weights of a model on torch: read when they are needed, and told from others by their fingerprint."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import textwrap
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from imseek.encoders import checkpoint as checkpoints
from imseek.encoders.cache import cache_dir, write_atomically
from imseek.errors import EncoderError

#: What libraries raise for a checkpoint of another architecture.
MISFITS: Final = (
    AssertionError, AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError,
)  # fmt: skip


class LazyModel:
    """A model and its fingerprint. Thread-safe."""

    def __init__(
        self,
        reference: str,
        checkpoint: Path,
        record: Mapping[str, Any],
        build: Callable[[], Any],
        *,
        drop: str | None = None,
    ) -> None:
        """``build`` gives the module in float32 on the CPU, from ``checkpoint``; its errors are those of the methods.

        ``record`` is what decides on vectors and leaves no trace in tensors, such as the preprocessing. ``drop``
        is a part that is not wanted: it goes once the fingerprint has been taken.
        """
        self._reference = reference
        self._checkpoint = checkpoint
        self._record = record
        self._build = build
        self._drop = drop
        self._lock = threading.Lock()
        self._model: Any = None
        self._fingerprint: str | None = None

    def fingerprint(self) -> str:
        """Hex sha256 over the record and all weight tensors by sorted name.

        Kept in the cache folder by record, path, size and time of the checkpoint: later calls need not read it.
        """
        with self._lock:
            if self._fingerprint is None:
                self._fingerprint = self._stored()
            if self._fingerprint is None:
                self._load()
            assert self._fingerprint is not None
            return self._fingerprint

    def model(self) -> Any:
        with self._lock:
            if self._model is None:
                self._load()
            return self._model

    def _load(self) -> None:
        """The caller holds the lock."""
        model = self._build()
        # Now, since who gets the model may change its precision.
        self._fingerprint = _fingerprint(self._record, model.state_dict())
        with contextlib.suppress(OSError):  # a cache that cannot be written costs time, not correctness
            write_atomically(self._file(), self._fingerprint.encode("ascii"))
        if self._drop is not None:
            delattr(model, self._drop)
        self._model = model

    def _stored(self) -> str | None:
        try:
            text: str = self._file().read_text("ascii")
        except (OSError, ValueError):
            return None
        return text if len(text) == 64 else None

    def _file(self) -> Path:
        status = self._checkpoint.stat()
        record = json.dumps(self._record, sort_keys=True)
        key = f"{self._reference}\n{self._checkpoint}\n{status.st_size}\n{status.st_mtime_ns}\n{record}"
        return (
            cache_dir() / "fingerprints" / hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()
        )


def wrong_weights(checkpoint: Path, model: str, details: object) -> EncoderError:
    """For a checkpoint of another architecture. ``details`` are what the library says, which can be pages."""
    return EncoderError(
        f"{checkpoint} does not hold the weights of {model}",
        hint=textwrap.shorten(str(details), 300, placeholder=" …"),
    )


def check_positions(checkpoint: Path, model: str, state: Mapping[str, Any]) -> None:
    """Raise EncoderError if the file was made for pictures or texts of another size than ``state``, what was loaded.

    Libraries stretch the position embeddings of such a file without a word, and the vectors get worse.
    """
    for name, theirs in checkpoints.shapes(checkpoint).items():
        if name not in state or not name.endswith(("positional_embedding", "pos_embed")):
            continue
        ours = tuple(state[name].shape)
        # timm counts the positions of class and register tokens with those of the grid, or not.
        count = math.isqrt if name.endswith("pos_embed") else int
        if len(theirs) > 1 and count(theirs[-2]) != count(ours[-2]):
            raise wrong_weights(checkpoint, model, f"{name} is {theirs} there, and {ours} in the model")


def _fingerprint(record: Mapping[str, Any], state: Mapping[str, Any]) -> str:
    digest = hashlib.sha256()
    digest.update(json.dumps(record, sort_keys=True).encode())
    for name, tensor in sorted(state.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().numpy().data)
    return digest.hexdigest()
