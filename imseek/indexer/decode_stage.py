"""The decode stage for one file: read and hash it and, if the content is new, decode and prepare it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from imseek.data.user_files.file_stat import FileStat
from imseek.encoders.base import Encoder, shared_draft_size
from imseek.errors import ImseekError, MediaError
from imseek.indexer.containers import ContainerResult
from imseek.indexer.scan import RETRIED_REASONS, Candidate, SkippedEntry
from imseek.indexer.skip_known import KnownContent, KnownContents
from imseek.indexer.sources.base import Content, FoundImage, ImportedVector, Scalar
from imseek.media.decode import DEFAULT_LIMITS, Limits, decode
from imseek.types.pictures import ImageFacts, SkipReason

T = TypeVar("T")

#: Failures that do not depend on the content: an image indexed earlier from this file is kept.
TRANSIENT = RETRIED_REASONS | {SkipReason.TIMEOUT, SkipReason.FETCH_FAILED, SkipReason.FORBIDDEN_ADDRESS}

#: Stands in for a number of commits.
NOT_LOOKED_UP: Final = -1

Prepared: TypeAlias = tuple[npt.NDArray[Any], ...]
#: The rows of one picture, (dim,) each, by space.
Vectors: TypeAlias = Mapping[int, npt.NDArray[np.float16]]


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a picture cannot be used; ``stat`` is that of the file read, None if nothing was read."""

    reason: str
    message: str
    stat: FileStat | None = None


@dataclass(frozen=True, slots=True)
class FailedPicture:
    """A candidate that could not be read or decoded."""

    candidate: Candidate
    stat: FileStat
    reason: str
    message: str

    @classmethod
    def of(cls, candidate: Candidate, trouble: Trouble) -> FailedPicture:
        stat = candidate.found.stat if trouble.stat is None else trouble.stat
        return cls(without_bytes(candidate), stat, trouble.reason, trouble.message)


@dataclass(frozen=True, slots=True)
class LoadedPicture:
    """A picture that was read, of ``size`` bytes. ``picture`` is None if its content needs no encoding.

    ``caption`` and ``extra`` come from its source; ``as_of`` is the number of commits when its content was looked up;
    ``known`` says where the content is already stored if the picture is to be skipped.
    """

    candidate: Candidate
    stat: FileStat
    content_hash: bytes
    size: int
    picture: Picture | None
    caption: str | None
    extra: Mapping[str, Scalar]
    as_of: int
    known: KnownContent | None = None


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded picture: its facts and, for each encoder, its input array.

    Alternatively ``taken`` is a row imported from its source, or ``made`` the result of encoding in another process.
    """

    facts: ImageFacts
    prepared: Prepared
    taken: npt.NDArray[np.float16] | None = None
    made: EncodingResult | None = None


@dataclass(frozen=True, slots=True)
class EncodingResult:
    """The rows of a picture, or the reason why an encoder failed on it; and the precision of each space's encoder."""

    vectors: Vectors | str
    precisions: Mapping[int, str]


@dataclass(frozen=True, slots=True)
class LookupResult:
    """The result of looking up a content. ``needed`` is True if its vector must be computed.

    ``as_of`` and ``known`` are explained in :class:`LoadedPicture`.
    """

    as_of: int
    known: KnownContent | None
    needed: bool


class Loader:
    """Reads and decodes pictures. Called from several threads at once.

    ``is_stored`` says by content hash whether a vector is available. A picture that ``passing`` knows is not decoded,
    unless its vector was lost here and may have to be recomputed. The run increments ``commits``: content looked up
    before a commit may have been stored by it. Items other than candidates pass through unchanged, in order.
    """

    def __init__(
        self,
        encoders: Sequence[Encoder],
        is_stored: Callable[[bytes], bool],
        passing: KnownContents | None = None,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self.limits = limits
        self._encoders = encoders
        self._is_stored = is_stored
        self._passing = passing or KnownContents()
        self._draft_size = shared_draft_size(encoders)
        self.commits = 0

    def __call__(
        self, item: Candidate | SkippedEntry | ContainerResult
    ) -> LoadedPicture | FailedPicture | SkippedEntry | ContainerResult:
        if not isinstance(item, Candidate):
            return item
        content = read(item.source.load, item.found)
        if isinstance(content, Trouble):
            return FailedPicture.of(item, content)
        if content.taken is not None:
            return self.take(item, content, content.taken)
        content_hash = hash_of(content)
        found = self.look_up(content_hash)
        picture = self._picture(content) if found.needed else None
        if isinstance(picture, Trouble):
            return FailedPicture.of(item, picture)
        return make_loaded_picture(item, content, content_hash, len(content.data), picture, found)

    def _picture(self, content: Content) -> Picture | Trouble:
        return picture_of(content, self._encoders, self._draft_size, self.limits)

    def take(self, item: Candidate, content: Content, taken: ImportedVector) -> LoadedPicture:
        """Return a picture with a row imported from another tool; the picture itself is not read."""
        picture = Picture(_merge_source_facts(taken.facts, content), (), taken.row)
        found = LookupResult(NOT_LOOKED_UP, self._passing.find(taken.content_hash), needed=False)
        return make_loaded_picture(item, content, taken.content_hash, taken.size, picture, found)

    def look_up(self, content_hash: bytes) -> LookupResult:
        """Look up a content: whether it is known, and whether its vector must be computed."""
        as_of = self.commits  # read first: a commit in between must not be missed
        known = self._passing.find(content_hash)
        passed = known is not None and content_hash not in self._passing.lost
        return LookupResult(as_of, known, needed=not passed and not self._is_stored(content_hash))

    @staticmethod
    def late(
        item: Candidate | SkippedEntry | ContainerResult,
    ) -> LoadedPicture | FailedPicture | SkippedEntry | ContainerResult:
        """Return the result for a file that takes too long."""
        return FailedPicture.of(item, TIMED_OUT) if isinstance(item, Candidate) else item


#: For a file that takes too long.
TIMED_OUT: Final = Trouble(SkipReason.TIMEOUT, "reading and decoding took too long")


def read(load: Callable[[FoundImage], T], found: FoundImage) -> T | Trouble:
    """Read a picture with ``load`` of its source, or return why that failed."""
    try:
        return load(found)
    except FileNotFoundError:
        return Trouble(SkipReason.VANISHED, "it was there a moment ago")
    except OSError as error:
        return Trouble(SkipReason.UNREADABLE, str(error.strerror or error))
    except MediaError as error:
        return Trouble(error.reason, str(error))
    except MemoryError:
        return Trouble(SkipReason.UNREADABLE, "there is not enough memory for it")


def hash_of(content: Content) -> bytes:
    """Return the SHA-256 of a picture's bytes."""
    return hashlib.sha256(content.data).digest()


def picture_of(
    content: Content, encoders: Sequence[Encoder], draft_size: int | None, limits: Limits
) -> Picture | Trouble:
    """Decode a picture and prepare it for each encoder. Errors of an encoder as a whole are raised."""
    try:
        decoded = decode(content.data, min_side=draft_size, limits=limits)
    except MediaError as error:
        return Trouble(error.reason, _with_hint(error), content.stat)
    try:
        prepared = tuple(encoder.prepare(decoded.pixels) for encoder in encoders)
    except (ImseekError, OSError):
        raise
    except Exception as error:
        return Trouble(SkipReason.ENCODER_FAILED, f"{type(error).__name__}: {error}", content.stat)
    return Picture(_merge_source_facts(decoded.facts, content), prepared)


def make_loaded_picture(
    candidate: Candidate,
    content: Content,
    content_hash: bytes,
    size: int,
    picture: Picture | None,
    found: LookupResult,
) -> LoadedPicture:
    """Build the result for a picture of ``size`` bytes that was read."""
    caption, extra = content.caption, content.extra
    return LoadedPicture(
        without_bytes(candidate),
        content.stat,
        content_hash,
        size,
        picture,
        caption,
        extra,
        found.as_of,
        found.known,
    )


def without_bytes(candidate: Candidate) -> Candidate:
    """Return the candidate without what its source needs to read it, which may be the bytes themselves."""
    if candidate.found.where is None:
        return candidate
    return replace(candidate, found=replace(candidate.found, where=None))


def _merge_source_facts(facts: ImageFacts, content: Content) -> ImageFacts:
    """Merge a picture's facts with those from its source, which take precedence."""
    caption = content.caption or facts.caption
    return replace(facts, caption=caption, extra={**facts.extra, **content.extra})


def _with_hint(error: MediaError) -> str:
    return f"{error} ({error.hint})" if error.hint else str(error)


def encode(encoders: Mapping[int, Encoder], batch: Sequence[Prepared]) -> list[Vectors | str]:
    """Return the rows of each prepared picture in all spaces, or the reason why an encoder failed on it."""
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
    """Return a float16 row for each prepared picture, or the reason why the encoder failed on it.

    Errors of the encoder as a whole (no weights, a full disk) are raised, since no picture caused them.
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
