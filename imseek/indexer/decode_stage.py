"""The decode stage for one file: read and hash it and, if the content is new, decode and prepare it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from imseek.data.catalog.changeset import FailedFile
from imseek.data.user_files.file_stat import FileStat
from imseek.encoders.base import Encoder, shared_draft_size
from imseek.errors import ImseekError, MediaError
from imseek.indexer.containers import ContainerResult
from imseek.indexer.scan import RETRIED_REASONS, Candidate, EditedSidecars
from imseek.indexer.sources.base import Content, FoundImage, ImportedVector, Scalar
from imseek.indexer.stored_contents import KnownContent, StoredContents
from imseek.media.annotation_values import Annotations
from imseek.media.decode import DEFAULT_LIMITS, Limits, decode
from imseek.types.pictures import ImageFacts, SkipReason

T = TypeVar("T")

#: Failures that do not depend on the content: an image indexed earlier from this file is kept.
TRANSIENT = RETRIED_REASONS | {SkipReason.TIMEOUT, SkipReason.FETCH_FAILED, SkipReason.FORBIDDEN_ADDRESS}

Prepared: TypeAlias = tuple[npt.NDArray[Any], ...]
#: The rows of one picture, (dim,) each, by space.
Vectors: TypeAlias = Mapping[int, npt.NDArray[np.float16]]


@dataclass(frozen=True, slots=True)
class Trouble:
    """Reason why a picture cannot be used; ``stat`` is of the file that was read, None if none was."""

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
        stat = candidate.image.stat if trouble.stat is None else trouble.stat
        return cls(without_bytes(candidate), stat, trouble.reason, trouble.message)


@dataclass(frozen=True, slots=True)
class LoadedPicture:
    """A picture that was read, of ``size`` bytes. ``picture`` is None if its content needs no encoding.

    ``caption`` and ``extra`` come from its source, ``beside`` from files beside it, whose state ``sidecar_stat``
    identifies. ``known_content`` says where the content is already stored if the picture is to be skipped.
    ``absent_at`` is the number of the run's commits when no vector of the content was found, so that it must be
    encoded; otherwise None.
    """

    candidate: Candidate
    stat: FileStat
    content_hash: bytes
    size: int
    caption: str | None
    extra: Mapping[str, Scalar]
    known_content: KnownContent | None
    absent_at: int | None
    picture: Picture | None = None
    beside: Annotations = field(default_factory=Annotations)
    sidecar_stat: str = ""


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded picture: its facts and, for each encoder, its input array.

    ``vectors`` are there instead of arrays if they were imported, or if another process has encoded the picture: its
    vectors or the reason why an encoder failed on it, and the precision of each space's encoder in ``precisions``.
    """

    facts: ImageFacts
    prepared: Prepared = ()
    vectors: Vectors | str | None = None
    precisions: Mapping[int, str] = field(default_factory=dict)

    @property
    def imported(self) -> Vectors | None:
        """The vectors if they come from another tool."""
        return None if isinstance(self.vectors, str) or self.precisions else self.vectors


#: Input and output of an executor. Items other than candidates pass through unchanged.
Item: TypeAlias = Candidate | EditedSidecars | FailedFile | ContainerResult
Result: TypeAlias = LoadedPicture | FailedPicture | EditedSidecars | FailedFile | ContainerResult


class Loader:
    """Reads and decodes pictures. Called from several threads at once.

    ``encoders`` are those of the image spaces by id. A picture is decoded only if its content needs a vector. Items
    other than candidates pass through unchanged, in order.
    """

    def __init__(
        self, encoders: Mapping[int, Encoder], contents: StoredContents, limits: Limits = DEFAULT_LIMITS
    ) -> None:
        self.encoders = encoders
        self.limits = limits
        self._contents = contents
        self._draft_size = shared_draft_size(encoders.values())

    def __call__(self, item: Item) -> Result:
        if not isinstance(item, Candidate):
            return item
        content = read(item.source.load, item.image)
        if isinstance(content, Trouble):
            return FailedPicture.of(item, content)
        if content.taken is not None:
            return self.take(item, content, content.taken)
        loaded = self.look_up(item, content, hash_of(content), len(content.data))
        if loaded.absent_at is None:
            return loaded
        picture = picture_of(content, self.encoders.values(), self._draft_size, self.limits)
        if isinstance(picture, Trouble):
            return FailedPicture.of(item, picture)
        return replace(loaded, picture=picture)

    def take(self, item: Candidate, content: Content, imported: ImportedVector) -> LoadedPicture:
        """Return a picture with a row imported from another tool; the picture itself is not read."""
        known_content = self._contents.find_skipped(imported.content_hash)
        picture = Picture(
            _merge_source_facts(imported.facts, content), vectors=dict.fromkeys(self.encoders, imported.row)
        )
        return LoadedPicture(
            without_bytes(item), content.stat, imported.content_hash, imported.size, content.caption, content.extra,
            known_content, None, picture, content.beside, content.sidecar_stat,
        )  # fmt: skip

    def look_up(self, candidate: Candidate, content: Content, content_hash: bytes, size: int) -> LoadedPicture:
        """Return a picture of ``size`` bytes that was read, not decoded yet, and whether its content is stored."""
        as_of = self._contents.commits  # read first: a commit in between must not be missed
        known_content = self._contents.find_skipped(content_hash)
        absent_at = as_of if self._contents.needs_vector(content_hash, known_content) else None
        return LoadedPicture(
            without_bytes(candidate), content.stat, content_hash, size, content.caption, content.extra,
            known_content, absent_at, None, content.beside, content.sidecar_stat,
        )  # fmt: skip

    @staticmethod
    def late(item: Item) -> Result:
        """Return the result for a file that takes too long."""
        return FailedPicture.of(item, TIMED_OUT) if isinstance(item, Candidate) else item


#: For a file that takes too long.
TIMED_OUT: Final = Trouble(SkipReason.TIMEOUT, "reading and decoding took too long")


def read(load: Callable[[FoundImage], T], image: FoundImage) -> T | Trouble:
    """Read a picture with ``load`` of its source, or return why that failed."""
    try:
        return load(image)
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
    content: Content, encoders: Iterable[Encoder], draft_size: int | None, limits: Limits
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


def without_bytes(candidate: Candidate) -> Candidate:
    """Return the candidate without what its source needs to read it, which may be the bytes themselves."""
    if candidate.image.where is None:
        return candidate
    return replace(candidate, image=replace(candidate.image, where=None))


def _merge_source_facts(facts: ImageFacts, content: Content) -> ImageFacts:
    """Merge a picture's facts with those of its source, which take precedence; values from sidecars stay separate."""
    caption = content.caption or facts.caption
    return replace(facts, caption=caption, extra={**facts.extra, **content.extra})


def _with_hint(error: MediaError) -> str:
    return f"{error} ({error.hint})" if error.hint else str(error)


def encode(encoders: Mapping[int, Encoder], batch: Sequence[Prepared]) -> list[Vectors | str]:
    """Return the rows of each prepared picture in all spaces, or the reason why an encoder failed on it."""
    results: list[Vectors | str] = [{} for _ in batch]
    for n, (space_id, encoder) in enumerate(encoders.items()):
        sound = [(at, vectors) for at, vectors in enumerate(results) if not isinstance(vectors, str)]
        rows = unit_rows(encoder, [batch[at][n] for at, _ in sound])
        for (at, vectors), row in zip(sound, rows, strict=True):
            if not isinstance(row, str):
                results[at] = {**vectors, space_id: row}
            else:
                results[at] = row if len(encoders) == 1 else f"{encoder.info.reference}: {row}"
    return results


def unit_rows(encoder: Encoder, batch: list[npt.NDArray[Any]]) -> list[npt.NDArray[np.float16] | str]:
    """Return a float16 row for each prepared picture, or the reason why the encoder failed on it.

    Errors of the encoder as a whole (no weights, a full disk) are raised, since no picture caused them.
    """
    if not batch:
        return []
    try:
        return [
            row.astype(np.float16) if np.isfinite(row).all() else "the vector is not finite"
            for row in encoder.encode_images(np.stack(batch))
        ]
    except (ImseekError, OSError, ImportError):
        raise
    except Exception as error:
        if len(batch) == 1:
            return [f"{type(error).__name__}: {error}"]
        return [row for one in batch for row in unit_rows(encoder, [one])]
