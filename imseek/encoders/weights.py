"""Load a torch model's weights on demand, and identify them by a fingerprint."""

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
from imseek.encoders.cache import cache_dir
from imseek.errors import EncoderError
from imseek.home import write_atomically
from imseek.memory_limit import memory_bytes

#: Errors that libraries raise for a checkpoint of another architecture.
MISMATCH_ERRORS: Final = (
    AssertionError, AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError,
)  # fmt: skip


class LazyModel:
    """A model, loaded on demand, and its fingerprint. Thread-safe."""

    def __init__(
        self,
        reference: str,
        checkpoint: Path,
        record: Mapping[str, Any],
        build: Callable[[], Any],
        *,
        drop: str | None = None,
    ) -> None:
        """Store how to build the model; nothing is read yet.

        ``build`` returns the module in float32 on the CPU, from ``checkpoint``; the methods raise its errors.
        ``record`` holds what affects vectors but leaves no trace in tensors, such as the preprocessing. ``drop`` names
        a part to delete once the fingerprint has been computed.
        """
        self._reference = reference
        self._checkpoint = checkpoint
        self._record = record
        self._build = build
        self._drop = drop
        self._lock = threading.Lock()
        self._model: Any = None
        self._fingerprint: str | None = None

    @property
    def checkpoint(self) -> Path:
        """The file of the weights."""
        return self._checkpoint

    def fingerprint(self) -> str:
        """Hex sha256 over the record and all weight tensors, sorted by name.

        Cached in the cache folder by record, path, size and time of the checkpoint, so that later calls need not read
        it.
        """
        with self._lock:
            if self._fingerprint is None:
                self._fingerprint = self._load_fingerprint()
            if self._fingerprint is None:
                self._load()
            assert self._fingerprint is not None
            return self._fingerprint

    def model(self) -> Any:
        """Return the model, loading it on first use."""
        with self._lock:
            if self._model is None:
                self._load()
            return self._model

    def _load(self) -> None:
        """Build the model and compute its fingerprint. The caller holds the lock."""
        check_memory(self._checkpoint, self._reference)
        model = self._build()
        # Now, because callers may change the model's precision.
        self._fingerprint = _fingerprint(self._record, model.state_dict())
        with contextlib.suppress(OSError):  # an unwritable cache costs time, not correctness
            write_atomically(self._file(), self._fingerprint.encode("ascii"))
        if self._drop is not None:
            delattr(model, self._drop)
        self._model = model

    def _load_fingerprint(self) -> str | None:
        try:
            text: str = self._file().read_text("ascii")
        except (OSError, ValueError):
            return None
        return text if len(text) == 64 else None

    def _file(self) -> Path:
        status = self._checkpoint.stat()
        record = json.dumps(self._record, sort_keys=True)
        key = f"{self._reference}\n{self._checkpoint}\n{status.st_size}\n{status.st_mtime_ns}\n{record}"
        return cache_dir() / "fingerprints" / hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


def check_memory(checkpoint: Path, reference: str) -> None:
    """Raise EncoderError if the weights in float32 exceed the memory: the system would end the process midway.

    This holds for every precision: models are built in float32, which fingerprints are of, and converted afterwards.
    """
    needed = 4 * sum(math.prod(shape) for shape in checkpoints.read_shapes(checkpoint).values())
    if needed > (available := memory_bytes()):
        raise EncoderError(
            f"{reference} takes {needed / 1e9:.0f} GB of memory, and there are {available / 1e9:.0f}",
            hint="a machine with more memory, or a smaller encoder: imseek encoders",
        )


def wrong_weights(checkpoint: Path, model: str, details: object) -> EncoderError:
    """Return the error for a checkpoint of another architecture.

    ``details`` is the library's message, which can fill pages.
    """
    return EncoderError(
        f"{checkpoint} does not hold the weights of {model}",
        hint=textwrap.shorten(str(details), 300, placeholder=" …"),
    )


def check_position_embeddings(checkpoint: Path, model: str, state: Mapping[str, Any]) -> None:
    """Raise EncoderError if the checkpoint was made for another picture or text size than the loaded ``state``.

    Libraries silently stretch the position embeddings of such a file, and the vectors get worse.
    """
    for name, theirs in checkpoints.read_shapes(checkpoint).items():
        if name not in state or not name.endswith(("positional_embedding", "pos_embed")):
            continue
        ours = tuple(state[name].shape)
        # timm may or may not count class and register tokens with the positions of the grid.
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
