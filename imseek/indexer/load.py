"""What a decode worker does with one file: read, hash, and, where the content is new, decode and prepare."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from imseek.data.catalog import FileStat
from imseek.encoders.base import Encoder, shared_draft_size
from imseek.errors import ImseekError, MediaError
from imseek.indexer.expand import Ended
from imseek.indexer.passing import Known, Passing
from imseek.indexer.scan import RETRIED, Candidate, Skipped
from imseek.indexer.sources.base import Content, Scalar
from imseek.media.decode import decode
from imseek.types import ImageFacts, SkipReason

#: Reasons that say nothing about the content: an image that was indexed from this file before is kept.
TRANSIENT = RETRIED | {SkipReason.TIMEOUT, SkipReason.FETCH_FAILED, SkipReason.FORBIDDEN_ADDRESS}

#: In place of a number of commits.
NOT_LOOKED_UP: Final = -1

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
    """A picture that was read: ``size`` bytes. ``picture`` is None where its content needs no encoding.

    ``caption`` and ``extra`` are what its source says of it; ``as_of`` is how many commits there had been when its
    content was looked up; ``known`` is where it was found that is to be passed over.
    """

    candidate: Candidate
    stat: FileStat
    content_hash: bytes
    size: int
    picture: Picture | None
    caption: str | None
    extra: Mapping[str, Scalar]
    as_of: int
    known: Known | None = None


@dataclass(frozen=True, slots=True)
class Picture:
    """Facts of a picture, and for each encoder the array that it takes a batch of; or the row that was ``taken``."""

    facts: ImageFacts
    prepared: Prepared
    taken: npt.NDArray[np.float16] | None = None


class Loader:
    """Called in several threads at once. ``is_stored`` tells by content hash whether a vector is at hand.

    A picture that ``passing`` knows is not decoded, unless a vector of it that was lost here may have to be made.
    ``commits`` is for the run to count: what was looked up before one may be stored since.
    What is no candidate passes through, so that it keeps its place among them.
    """

    def __init__(
        self, encoders: Sequence[Encoder], is_stored: Callable[[bytes], bool], passing: Passing | None = None
    ) -> None:
        self._encoders = encoders
        self._is_stored = is_stored
        self._passing = passing or Passing()
        self._draft_size = shared_draft_size(encoders)
        self.commits = 0

    def __call__(self, item: Candidate | Skipped | Ended) -> Loaded | Failed | Skipped | Ended:
        if not isinstance(item, Candidate):
            return item
        try:
            content = item.source.load(item.found)
        except FileNotFoundError:
            return self._failed(item, SkipReason.VANISHED, "it was there a moment ago")
        except OSError as error:
            return self._failed(item, SkipReason.UNREADABLE, str(error.strerror or error))
        except MediaError as error:
            return self._failed(item, error.reason, str(error))
        if (taken := content.taken) is not None:
            picture = Picture(_told(taken.facts, content), (), taken.row)
            known = self._passing.find(taken.content_hash)
            return _loaded(item, content, taken.content_hash, picture, NOT_LOOKED_UP, known)
        content_hash = hashlib.sha256(content.data).digest()
        as_of = self.commits  # before looking: a commit in between must not be missed
        known = self._passing.find(content_hash)
        if self._is_stored(content_hash) or (known is not None and content_hash not in self._passing.lost):
            return _loaded(item, content, content_hash, None, as_of, known)
        try:
            decoded = decode(content.data, min_side=self._draft_size)
        except MediaError as error:
            return Failed(item, content.stat, error.reason, _with_hint(error))
        try:
            prepared = tuple(encoder.prepare(decoded.pixels) for encoder in self._encoders)
        except (ImseekError, OSError):
            raise
        except Exception as error:
            return Failed(item, content.stat, SkipReason.ENCODER_FAILED, f"{type(error).__name__}: {error}")
        picture = Picture(_told(decoded.facts, content), prepared)
        return _loaded(item, content, content_hash, picture, as_of, known)

    @staticmethod
    def late(item: Candidate | Skipped | Ended) -> Loaded | Failed | Skipped | Ended:
        """What stands in for a file that takes too long."""
        if not isinstance(item, Candidate):
            return item
        return Failed(item, item.found.stat, SkipReason.TIMEOUT, "reading and decoding took too long")

    @staticmethod
    def _failed(candidate: Candidate, reason: str, message: str) -> Failed:
        return Failed(candidate, candidate.found.stat, reason, message)


def _loaded(
    candidate: Candidate,
    content: Content,
    content_hash: bytes,
    picture: Picture | None,
    as_of: int,
    known: Known | None,
) -> Loaded:
    if candidate.found.where is not None:
        # What waits to be encoded or settled must not keep the bytes of rows in memory.
        candidate = replace(candidate, found=replace(candidate.found, where=None))
    size = len(content.data) if content.taken is None else content.taken.size
    caption, extra = content.caption, content.extra
    return Loaded(candidate, content.stat, content_hash, size, picture, caption, extra, as_of, known)


def _told(facts: ImageFacts, content: Content) -> ImageFacts:
    """Facts of a picture with what its source says, which goes before what the picture says itself."""
    caption = content.caption or facts.caption
    return replace(facts, caption=caption, extra={**facts.extra, **content.extra})


def _with_hint(error: MediaError) -> str:
    return f"{error} ({error.hint})" if error.hint else str(error)


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
