"""How well captions agree with their pictures: ``imseek.captions.agreement(collection)``.

The two vectors come from one encoder, so that their cosine tells how well the words fit. What a good value is depends
on the encoder; compare the images of one collection with each other.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from imseek.data.current import Current, read_current
from imseek.data.reader import Reader
from imseek.data.vectors.base import Ids
from imseek.errors import QueryError, StaleGenerationError
from imseek.types import AnyCollection, Float32, Place, SpaceInfo, path_of

_HINT: Final = "imseek maintain --captions embeds them with the encoder of the pictures"


@dataclass(frozen=True, slots=True)
class Agreement:
    """An image with its caption; ``score`` is the cosine of their vectors, in [-1, 1]."""

    image_id: int
    score: float
    caption: str
    place: Place | None


@dataclass(frozen=True, slots=True)
class AgreementSummary:
    """``images`` are the live ones, ``captions`` those of them whose caption is embedded; ``worst`` agree least,
    the worst first. ``median`` is that of all scores, None where there are none."""

    images: int
    captions: int
    median: float | None
    worst: tuple[Agreement, ...]
    encoder: str
    generation: int


def agreement(collection: AnyCollection) -> Iterator[Agreement]:
    """For each live image with a caption, how well the two agree; in the order of the shards, ids ascending in each.

    A few thousand rows are in memory at a time, and no encoder is loaded. All are of the generation at the time of
    the call. Raises QueryError where captions are not embedded, or by another encoder than pictures are, and, while
    iterating, StaleGenerationError where a purge has taken files away meanwhile.
    """
    reader = Reader(path_of(collection))
    spaces = _spaces(reader.current)
    return (row for block in _blocks(reader, *spaces) for row in _placed(reader, block))


def summary(collection: AnyCollection, *, limit: int = 10) -> AgreementSummary:
    """Counts, the median, and the ``limit`` images that agree least with their captions.

    Keeps four bytes a caption in memory. Raises QueryError as :func:`agreement`.
    """
    root = path_of(collection)
    while True:
        reader = Reader(root)
        try:
            return _summary(reader, limit)
        except StaleGenerationError:
            if read_current(root).generation == reader.generation:
                raise


@dataclass(frozen=True, slots=True, eq=False)
class _Block:
    """``ids`` int64 (n,), ``scores`` float32 (n,), and n captions."""

    ids: Ids
    scores: Float32
    captions: Sequence[str]


def _summary(reader: Reader, limit: int) -> AgreementSummary:
    pictures, captions = _spaces(reader.current)
    parts: list[Float32] = []
    worst: list[tuple[float, int, str]] = []
    for block in _blocks(reader, pictures, captions):
        parts.append(block.scores)
        rows = zip(block.scores.tolist(), block.ids.tolist(), block.captions, strict=True)
        worst = heapq.nsmallest(limit, itertools.chain(worst, rows))
    scores = np.concatenate([np.empty(0, np.float32), *parts])
    chosen = _Block(
        np.array([image_id for _, image_id, _ in worst], np.int64),
        np.array([score for score, _, _ in worst], np.float32),
        [caption for _, _, caption in worst],
    )
    return AgreementSummary(
        images=reader.current.images,
        captions=len(scores),
        median=float(np.median(scores)) if len(scores) else None,
        worst=tuple(_placed(reader, chosen)),
        encoder=captions.encoder,
        generation=reader.generation,
    )


def _blocks(reader: Reader, pictures: SpaceInfo, captions: SpaceInfo) -> Iterator[_Block]:
    """The rows of a shard that are live and have a caption, as many at a time as its metadata holds in one group."""
    shown, said = reader.segments(pictures.space_id), reader.segments(captions.space_id)
    for shard, seen, heard in zip(reader.current.shards, shown, said, strict=True):
        alive = heard.searchable()
        start = 0
        for texts in reader.texts(shard, "caption"):
            at = start + np.flatnonzero(alive[start : start + len(texts)])
            if len(at):
                scores = _cosines(seen.rows[at].astype(np.float64), heard.rows[at].astype(np.float64))
                yield _Block(heard.ids[at], scores, [texts[row - start] or "" for row in at.tolist()])
            start += len(texts)


def _cosines(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> Float32:
    """Of (n, dim) with (n, dim), row by row; 0 for a row of zeros."""
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    dots = (a * b).sum(axis=1)
    cosines = np.divide(dots, lengths, out=np.zeros_like(dots), where=lengths > 0)
    clipped: Float32 = np.clip(cosines, -1, 1).astype(np.float32)
    return clipped


def _placed(reader: Reader, block: _Block) -> Iterator[Agreement]:
    ids = block.ids.tolist()
    places = reader.places(ids)
    for image_id, score, caption in zip(ids, block.scores.tolist(), block.captions, strict=True):
        yield Agreement(image_id, score, caption, places.get(image_id))


def _spaces(current: Current) -> tuple[SpaceInfo, SpaceInfo]:
    """That of pictures and that of captions. Raises QueryError unless one encoder made both."""
    captions = current.caption_space
    if captions is None:
        raise QueryError("the captions of this collection are not embedded", hint=_HINT)
    for space in current.image_spaces:
        if space.fingerprint == captions.fingerprint:
            return space, captions
    raise QueryError(f"the captions are embedded with {captions.encoder}, and no picture is", hint=_HINT)
