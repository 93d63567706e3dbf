"""What a decode worker does with one file: read, hash, and, where the content is new, decode and prepare."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from imseek.data.catalog import FileStat
from imseek.encoders.base import Encoder, shared_draft_size
from imseek.errors import ImseekError, MediaError
from imseek.indexer.scan import RETRIED, Candidate
from imseek.indexer.sources.folder import file_stat
from imseek.media.decode import DEFAULT_LIMITS, decode
from imseek.types import ImageFacts, SkipReason

#: Reasons that say nothing about the content: an image that was indexed from this file before is kept.
TRANSIENT = RETRIED | {SkipReason.TIMEOUT}

Prepared: TypeAlias = tuple[npt.NDArray[Any], ...]
#: The rows of one picture, (dim,) each, by space.
Vectors: TypeAlias = Mapping[int, npt.NDArray[np.float16]]


@dataclass(frozen=True, slots=True)
class Failed:
    candidate: Candidate
    stat: FileStat
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Loaded:
    """A file that was read. ``picture`` is None where its content needs no encoding."""

    candidate: Candidate
    stat: FileStat
    content_hash: bytes
    picture: Picture | None


@dataclass(frozen=True, slots=True)
class Picture:
    """Facts of a picture, and for each encoder the array that it takes a batch of."""

    facts: ImageFacts
    prepared: Prepared


class Loader:
    """Called in several threads at once. ``is_stored`` tells by content hash whether a vector is at hand."""

    def __init__(self, encoders: Sequence[Encoder], is_stored: Callable[[bytes], bool]) -> None:
        self._encoders = encoders
        self._is_stored = is_stored
        self._draft_size = shared_draft_size(encoders)

    def __call__(self, candidate: Candidate) -> Loaded | Failed:
        try:
            data, seen = _read(candidate.full)
        except FileNotFoundError:
            return self._failed(candidate, SkipReason.VANISHED, "it was there a moment ago")
        except OSError as error:
            return self._failed(candidate, SkipReason.UNREADABLE, str(error.strerror or error))
        except MediaError as error:
            return self._failed(candidate, error.reason, str(error))
        content_hash = hashlib.sha256(data).digest()
        if self._is_stored(content_hash):
            return Loaded(candidate, seen, content_hash, None)
        try:
            decoded = decode(data, min_side=self._draft_size)
        except MediaError as error:
            return Failed(candidate, seen, error.reason, str(error))
        try:
            prepared = tuple(encoder.prepare(decoded.pixels) for encoder in self._encoders)
        except (ImseekError, OSError):
            raise
        except Exception as error:
            return Failed(candidate, seen, SkipReason.ENCODER_FAILED, f"{type(error).__name__}: {error}")
        return Loaded(candidate, seen, content_hash, Picture(decoded.facts, prepared))

    @staticmethod
    def late(candidate: Candidate) -> Failed:
        """What stands in for a file that takes too long."""
        return Failed(candidate, candidate.stat, SkipReason.TIMEOUT, "reading and decoding took too long")

    @staticmethod
    def _failed(candidate: Candidate, reason: str, message: str) -> Failed:
        return Failed(candidate, candidate.stat, reason, message)


def _read(full: bytes) -> tuple[bytes, FileStat]:
    """The bytes of a regular file, and its stat; MediaError where it changed while it was read."""
    # Without O_NONBLOCK, a pipe put in the place of a file would hold the worker for ever.
    fd = os.open(full, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(fd, "rb") as file:
        before = os.fstat(fd)
        if not stat.S_ISREG(before.st_mode):
            raise MediaError(SkipReason.NOT_A_FILE, "neither a file nor a folder")
        if before.st_size > DEFAULT_LIMITS.max_bytes:
            raise MediaError(SkipReason.TOO_MANY_BYTES, f"larger than {DEFAULT_LIMITS.max_bytes >> 20} MiB")
        seen = file_stat(before)
        data = file.read()
        after = os.fstat(fd)
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns) or len(
        data
    ) != after.st_size:
        raise MediaError(SkipReason.CHANGED, "it changed while it was read")
    return data, seen


def encode(encoders: Mapping[int, Encoder], batch: Sequence[Prepared]) -> list[Vectors | str]:
    """The rows of each prepared picture in all spaces, or the reason why one of the encoders failed on it."""
    found: list[Vectors | str] = [{} for _ in batch]
    for n, (space_id, encoder) in enumerate(encoders.items()):
        sound = [(at, vectors) for at, vectors in enumerate(found) if not isinstance(vectors, str)]
        rows = unit_rows(encoder, [batch[at][n] for at, _ in sound])
        for (at, vectors), row in zip(sound, rows, strict=True):
            if not isinstance(row, str):
                found[at] = {**vectors, space_id: row}
            else:
                found[at] = row if len(encoders) == 1 else f"{encoder.info.reference}: {row}"
    return found


def unit_rows(encoder: Encoder, batch: list[npt.NDArray[Any]]) -> list[npt.NDArray[np.float16] | str]:
    """A float16 row for each prepared picture, or the reason why the encoder failed on it.

    What is wrong with the encoder as a whole (no weights, a full disk) is raised, since no picture is to blame.
    """
    if not batch:
        return []
    try:
        return [_row(vector) for vector in encoder.encode_images(np.stack(batch))]
    except (ImseekError, OSError, ImportError):
        raise
    except Exception as error:
        if len(batch) == 1:
            return [f"{type(error).__name__}: {error}"]
        return [row for one in batch for row in unit_rows(encoder, [one])]


def _row(vector: npt.NDArray[np.float32]) -> npt.NDArray[np.float16] | str:
    if not np.isfinite(vector).all():
        return "the vector is not finite"
    return vector.astype(np.float16)
