"""Image–caption similarity: cosine, CLIPScore, RefCLIPScore, a few thousand pairs at a time.

Hessel et al. 2021, *CLIPScore: A Reference-free Evaluation Metric for Image Captioning* (EMNLP): CLIPScore is 2.5 ·
max(cos(image, caption), 0); RefCLIPScore is the harmonic mean of that and max(max over references of cos(caption,
reference), 0). Captions and references are embedded with the prefix "A photo depicts".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from imseek.analysis.space_vectors import Vectors
from imseek.captions.caption_pairs import ImageCaptions
from imseek.data.collection_records import Current
from imseek.data.reader import Reader
from imseek.data.vectors.base import Ids, IdSet
from imseek.encoders.base import Encoder
from imseek.errors import QueryError
from imseek.progress import Task
from imseek.types.arrays import Float32
from imseek.types.collection_info import SpaceInfo

#: w of the paper, which stretches the scores of its encoder (ViT-B/32) to about 0 to 1.
WEIGHT: Final = 2.5
PREFIX: Final = "A photo depicts"
HINT: Final = "imseek maintain --captions embeds them with the encoder of the pictures"
#: Captions embedded at once.
_BATCH: Final = 256


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """A block of scored captions: ``ids`` int64 (n,), ``scores`` float32 (n,), and n captions."""

    ids: Ids
    scores: Float32
    captions: Sequence[str]


def clip_score(cosines: Float32) -> Float32:
    """CLIPScore from (n,) image–caption cosines → (n,), in [0, 2.5]."""
    return np.float32(WEIGHT) * np.maximum(cosines, np.float32(0))


def ref_clip_score(scores: Float32, references: Float32) -> Float32:
    """RefCLIPScore from (n,) CLIPScores and (n,) cosines with the nearest reference → (n,); 0 where either is 0."""
    reference = np.maximum(references, np.float32(0))
    total = scores + reference
    means: Float32 = np.divide(2 * scores * reference, total, out=np.zeros_like(total), where=total > 0)
    return means


def find_spaces(current: Current) -> tuple[SpaceInfo, SpaceInfo]:
    """Return the spaces of images and of captions. Raises QueryError unless one encoder made both."""
    captions = current.caption_space
    if captions is None:
        raise QueryError("the captions of this collection are not embedded", hint=HINT)
    for space in current.image_spaces:
        if space.fingerprint == captions.fingerprint:
            return space, captions
    raise QueryError(f"the captions are embedded with {captions.encoder}, and no picture is", hint=HINT)


def score_stored_captions(
    reader: Reader, pictures: SpaceInfo, captions: SpaceInfo, allowed: IdSet | None = None
) -> Iterator[Block]:
    """Yield cosines of live images with their embedded captions, one block per row group of the metadata."""
    picture_segments, caption_segments = reader.segments(pictures.space_id), reader.segments(captions.space_id)
    for shard, picture_segment, caption_segment in zip(
        reader.current.shards, picture_segments, caption_segments, strict=True
    ):
        alive = caption_segment.searchable(allowed)
        start = 0
        for texts in reader.texts(shard, "caption"):
            at = start + np.flatnonzero(alive[start : start + len(texts)])
            if len(at):
                scores = cosines(
                    picture_segment.rows[at].astype(np.float64), caption_segment.rows[at].astype(np.float64)
                )
                yield Block(caption_segment.ids[at], scores, [texts[row - start] or "" for row in at.tolist()])
            start += len(texts)


def score_new_captions(
    pictures: Vectors,
    blocks: Iterator[tuple[Ids, Sequence[str]]],
    encoder: Encoder,
    prefix: str,
    total: int | None,
    task: Task,
) -> Iterator[tuple[Block, Float32]]:
    """Embed captions with a prefix and yield their cosines with the images, and their unit vectors (n, dim).

    ``total`` is the number of captions, if known. Ends early where the task is cancelled.
    """
    count = 0
    for ids, captions in blocks:
        for start in range(0, len(captions), _BATCH):
            if task.is_cancelled:
                return
            part = slice(start, start + _BATCH)
            rows = encoder.encode_texts([add_prefix(prefix, text) for text in captions[part]])
            picture_rows = pictures.of(ids[part])
            scores = cosines(picture_rows.astype(np.float64), rows.astype(np.float64))
            yield Block(ids[part], scores, captions[part]), rows
            count += len(captions[part])
            task.report("captions", count, total)


def nearest_references(
    candidates: Block, rows: Float32, references: ImageCaptions, encoder: Encoder, prefix: str
) -> tuple[npt.NDArray[np.bool_], Float32]:
    """Return which of n candidates have a reference (n,), and the highest cosine of each of these with one (m,).

    ``rows`` (n, dim) are the candidates' vectors.
    """
    first = np.searchsorted(references.ids, candidates.ids, side="left")
    last = np.searchsorted(references.ids, candidates.ids, side="right")
    has = last > first
    owner = np.repeat(np.flatnonzero(has), (last - first)[has])
    numbers = [n for a, b in zip(first[has].tolist(), last[has].tolist(), strict=True) for n in range(a, b)]
    best = np.full(len(has), -np.inf, np.float32)
    for start in range(0, len(numbers), _BATCH):
        part = slice(start, start + _BATCH)
        reference_rows = encoder.encode_texts([add_prefix(prefix, references.texts[n]) for n in numbers[part]])
        similarities = cosines(rows[owner[part]].astype(np.float64), reference_rows.astype(np.float64))
        np.maximum.at(best, owner[part], similarities)
    return has, best[has]


def cosines(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> Float32:
    """Row-wise cosines of (n, dim) and (n, dim); 0 for a row of zeros."""
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    dots = (a * b).sum(axis=1)
    quotients = np.divide(dots, lengths, out=np.zeros_like(dots), where=lengths > 0)
    clipped: Float32 = np.clip(quotients, -1, 1).astype(np.float32)
    return clipped


def add_prefix(prefix: str, text: str) -> str:
    """Put ``prefix`` before ``text``, unless it is blank."""
    return f"{prefix.rstrip()} {text}" if prefix.strip() else text


def iter_caption_blocks(given_captions: ImageCaptions, size: int = 4096) -> Iterator[tuple[Ids, Sequence[str]]]:
    """Yield given captions in blocks, like :func:`imseek.captions.caption_pairs.iter_own_captions`."""
    for start in range(0, len(given_captions.texts), size):
        yield given_captions.ids[start : start + size], given_captions.texts[start : start + size]


def merge_scores(parts: Sequence[tuple[Ids, Float32]]) -> tuple[Any, Any]:
    """Concatenate blocks and sort them by id."""
    ids = np.concatenate([np.empty(0, np.int64), *(ids for ids, _ in parts)])
    scores = np.concatenate([np.empty(0, np.float32), *(scores for _, scores in parts)])
    order = np.argsort(ids, kind="stable")
    return ids[order], scores[order]
