"""Try two encoders on a sample of a collection's pictures: what they cost here, and where their answers differ.

Agreement is the mean overlap of nearest neighbours: the share of the k nearest images of a query that both encoders
have. It needs no captions, so it tells how different the answers are, not which are right.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from imseek.analysis.snapshot_session import filter_ids
from imseek.analysis.space_vectors import Vectors
from imseek.captions import caption_pairs
from imseek.data.reader import Reader
from imseek.data.vectors.base import Ids, IdSet
from imseek.encoders import measure_speed, registry, space_compatibility
from imseek.encoders.base import Encoder
from imseek.encoders.runtime import Runtime
from imseek.errors import UsageError
from imseek.evaluate.comparison import ComparisonRequest, EncoderSide, rank_both_sides
from imseek.evaluate.encode_images import encode_stored_images
from imseek.evaluate.results import (
    AgreementReport,
    ComparedSide,
    EncoderCost,
    QueryDifference,
    RetrievalComparison,
    SampleImage,
)
from imseek.metrics.bootstrap import interval
from imseek.metrics.retrieval import ArrayRows
from imseek.progress import SILENT, Task
from imseek.search.hubness import BANK_TEXTS
from imseek.types.arrays import Float32
from imseek.types.pictures import Place

MIN_IMAGES: Final = 5
#: Below this number of captions, differences in quality are noise.
MIN_CAPTIONS: Final = 20
_NEIGHBOURS: Final = 10
_PICTURE_DIFFERENCES: Final = 12
_TEXT_DIFFERENCES: Final = 8
_MAX_REASONS: Final = 10
_BYTES_PER_NUMBER: Final = np.dtype(np.float16).itemsize

#: (queries, k) positions in the sample, best first.
Neighbours = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class AgreementRequest:
    """Which encoders to try, on how many pictures; ``texts`` None stands for common words."""

    encoders: tuple[str, str]
    sample: int
    where: str | None
    texts: tuple[str, ...] | None
    seed: int


def measure(
    reader: Reader,
    request: AgreementRequest,
    runtime: Runtime | None = None,
    task: Task = SILENT,
    notify: Callable[[str], None] | None = None,
) -> AgreementReport:
    """Compare two encoders; see :func:`imseek.evaluate.agreement`."""
    if request.sample < MIN_IMAGES:
        raise UsageError(f"a sample needs at least {MIN_IMAGES} pictures")
    if request.texts is not None and not request.texts:
        raise UsageError("no text is given", hint="leave texts out to compare by common words")
    encoders = [_load(name, runtime, notify) for name in request.encoders]
    if encoders[0].fingerprint() == encoders[1].fingerprint():
        raise UsageError(f"{request.encoders[0]} and {request.encoders[1]} are the same encoder")
    ids = _draw(Vectors(reader, allowed=filter_ids(reader, request.where)).ids, request.sample, request.seed)
    ids, rows, troubles = _encode(reader, ids, encoders, task)
    task.check()
    if len(ids) < MIN_IMAGES:
        reason = f": {troubles[0][1]}" if troubles else ""
        raise UsageError(f"{len(ids)} pictures can be read, and {MIN_IMAGES} are needed{reason}")

    k = min(_NEIGHBOURS, (len(ids) - 1) // 2)
    of_images = [_nearest(one @ one.T, k, exclude_self=True) for one in rows]
    has_texts = all("text" in encoder.info.modalities for encoder in encoders)
    texts = (request.texts or BANK_TEXTS) if has_texts else ()
    of_texts = [_nearest(_encode_texts(encoder, texts) @ one.T, k) for encoder, one in zip(encoders, rows, strict=True)]
    image_overlap = _overlap(*of_images)
    text_overlap = _overlap(*of_texts)
    places = reader.places(ids.tolist())
    retrieval, captions = _compare_by_captions(reader, ids, encoders, rows, task) if has_texts else (None, 0)
    count = reader.current.images
    a, b = (_cost(encoder, count) for encoder in encoders)
    task.check()
    return AgreementReport(
        a=a,
        b=b,
        collection_images=count,
        images=len(ids),
        neighbours=k,
        picture_overlap=interval(image_overlap),
        text_overlap=interval(text_overlap) if texts else None,
        chance=k / (len(ids) - 1),
        captions=captions,
        text_to_image=retrieval,
        differences=(
            *_differences(image_overlap, of_images, ids, places, _PICTURE_DIFFERENCES),
            *_differences(text_overlap, of_texts, ids, places, _TEXT_DIFFERENCES, texts),
        ),
        unreadable=len(troubles),
        reasons=tuple(f"image {image_id}: {reason}" for image_id, reason in troubles[:_MAX_REASONS]),
    )


def _load(name: str, runtime: Runtime | None, notify: Callable[[str], None] | None) -> Encoder:
    return space_compatibility.load_resolved(registry.resolve(name), ("image", "text"), runtime, notify)


def _encode_texts(encoder: Encoder, texts: Sequence[str]) -> Float32:
    """Encode texts; there may be none."""
    return encoder.encode_texts(texts) if texts else np.zeros((0, encoder.info.dim), np.float32)


def _draw(ids: Ids, count: int, seed: int) -> Ids:
    """Return at most ``count`` of ``ids``, drawn without replacement, ascending."""
    if len(ids) <= count:
        return ids
    return np.sort(np.random.default_rng(seed).choice(ids, count, replace=False))


def _encode(
    reader: Reader, ids: Ids, encoders: Sequence[Encoder], task: Task
) -> tuple[Ids, list[Float32], list[tuple[int, str]]]:
    """Return the readable ones of ``ids``, their unit rows (n, dim) by encoder, and (id, reason) of the others."""
    readable_ids: list[int] = []
    parts: list[list[Float32]] = [[np.zeros((0, encoder.info.dim), np.float32)] for encoder in encoders]
    troubles: list[tuple[int, str]] = []
    for batch in encode_stored_images(reader, ids, encoders, task):
        readable_ids += batch.ids.tolist()
        troubles += batch.troubles
        for encoder_rows, rows in zip(parts, batch.rows, strict=True):
            encoder_rows.append(rows)
        task.report("encode", len(readable_ids), len(ids), skipped=len(troubles))
    return np.array(readable_ids, np.int64), [np.concatenate(encoder_rows) for encoder_rows in parts], troubles


def _nearest(similarities: Float32, k: int, *, exclude_self: bool = False) -> Neighbours:
    """Return the positions of the ``k`` highest in each row of (q, n); ties go to the lower position."""
    if exclude_self:
        np.fill_diagonal(similarities, -np.inf)
    return np.argsort(-similarities, axis=1, kind="stable")[:, :k]


def _overlap(a: Neighbours, b: Neighbours) -> npt.NDArray[np.float64]:
    """Return for each query the share of its neighbours in ``a`` that are in ``b``, too."""
    shares: npt.NDArray[np.float64] = (a[:, :, None] == b[:, None, :]).any(axis=2).mean(axis=1)
    return shares


def _compare_by_captions(
    reader: Reader, ids: Ids, encoders: Sequence[Encoder], rows: Sequence[Float32], task: Task
) -> tuple[RetrievalComparison | None, int]:
    """Return what the sample's own captions say about the encoders, None with too few of them, and their number."""
    captions = caption_pairs.read_own_captions(reader, reader.current.space, IdSet(ids))
    if len(captions.texts) < MIN_CAPTIONS:
        return None, len(captions.texts)
    sides = [
        EncoderSide(ComparedSide(one.info.reference, one.info.reference, str(reader.root), stored=False), one, None)
        for one in encoders
    ]
    captioned = np.isin(ids, captions.ids)
    caption_rows = [ArrayRows(one[captioned]) for one in rows]
    report = rank_both_sides(captions, ids[captioned], sides, caption_rows, ComparisonRequest(encoders=None), (), task)
    return report.text_to_image, len(captions.texts)


def _cost(encoder: Encoder, images: int) -> EncoderCost:
    speed = measure_speed(encoder)
    return EncoderCost(
        encoder=encoder.info.reference,
        precision=encoder.precision,
        dim=encoder.info.dim,
        images_per_second=speed.images_per_second,
        texts_per_second=speed.texts_per_second,
        collection_seconds=images / speed.images_per_second,
        vector_bytes=images * encoder.info.dim * _BYTES_PER_NUMBER,
    )


def _differences(
    overlap: npt.NDArray[np.float64],
    neighbours_of_both: Sequence[Neighbours],
    ids: Ids,
    places: dict[int, Place],
    count: int,
    texts: Sequence[str] | None = None,
) -> tuple[QueryDifference, ...]:
    """Return the ``count`` queries of least overlap below 1; without ``texts`` the queries are the images."""

    def image(position: int) -> SampleImage:
        image_id = int(ids[position])
        return SampleImage(image_id, places.get(image_id))

    def results(neighbours: Neighbours, query: int) -> tuple[SampleImage, ...]:
        return tuple(image(position) for position in neighbours[query].tolist())

    order = [query for query in np.argsort(overlap, kind="stable")[:count].tolist() if overlap[query] < 1]
    return tuple(
        QueryDifference(
            text=None if texts is None else texts[query],
            image=image(query) if texts is None else None,
            overlap=float(overlap[query]),
            a=results(neighbours_of_both[0], query),
            b=results(neighbours_of_both[1], query),
        )
        for query in order
    )
