"""Compare two encoders, or two collections, on the same queries, with significance.

Captions are embedded by each side's encoder. Stored image vectors are used where a side has them. Otherwise images are
read once, encoded for all encoders that need them, and kept in a temporary file.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from imseek.analysis.snapshot_session import filter_ids
from imseek.analysis.space_vectors import Vectors
from imseek.captions import caption_pairs
from imseek.captions.caption_pairs import ImageCaptions
from imseek.captions.encode_texts import check_text_support, encode_unique_texts, load_text_encoder
from imseek.data.catalog.content_lookup import HashLookup, same_contents
from imseek.data.reader import Reader
from imseek.data.vectors.base import Ids, IdSet
from imseek.encoders import registry, space_compatibility
from imseek.encoders.base import Encoder
from imseek.errors import QueryError, UsageError
from imseek.evaluate import encode_images
from imseek.evaluate.rank_metrics import choose_ks, resample_count, retrieval_metrics
from imseek.evaluate.results import ComparedSide, CompareReport, RetrievalComparison
from imseek.evaluate.retrieval_evaluation import no_captions_error
from imseek.metrics.bootstrap import Values, paired_interval
from imseek.metrics.retrieval import ArrayRows, Ranks, RelevantItems, Rows, SelectedRows, rank_items
from imseek.progress import SILENT, Cancelled, Task
from imseek.types.arrays import Float32
from imseek.types.collection_info import SpaceInfo
from imseek.unique_numbers import unique_numbers

#: Maximum number of unreadable images to report.
_MAX_REASONS: Final = 10
_LOOKUP_BATCH: Final = 500


@dataclass(frozen=True, slots=True, eq=False)
class ComparisonRequest:
    """What to compare: two ``encoders``, or two collections by their first spaces.

    An encoder is a reference, the id of a space, or None for the first space.
    """

    encoders: tuple[int | str | None, int | str | None] | None
    captions: caption_pairs.CaptionSource | None = None
    column: str | None = None
    where: str | None = None
    ks: Sequence[int] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class EncoderSide:
    """One side: its text encoder, and the space with its image vectors, None: yet to be encoded."""

    side: ComparedSide
    encoder: Encoder
    space: SpaceInfo | None


def compare(
    reader: Reader,
    other: Reader | None,
    request: ComparisonRequest,
    task: Task = SILENT,
    notify: Callable[[str], None] | None = None,
) -> CompareReport:
    """Compare two sides; see :func:`imseek.evaluate.compare`. ``other`` is the second of two collections."""
    allowed = filter_ids(reader, request.where)
    captions = _load_captions(reader, request, allowed)
    ids = unique_numbers(captions.ids)
    a, b = _find_sides(reader, other, request, notify)
    with tempfile.TemporaryDirectory(prefix="imseek-") as folder:
        try:
            if other is not None:
                common, common_theirs = _match_contents(reader, other, ids)
                shown_a, shown_b = Vectors(reader), Vectors(other)
                rows: list[Rows] = [SelectedRows(shown_a.of, common), SelectedRows(shown_b.of, common_theirs)]
                unreadable: tuple[tuple[int, str], ...] = ()
            else:
                common, rows, unreadable = _load_rows(reader, ids, (a, b), Path(folder), task)
            return rank_both_sides(captions, common, (a, b), rows, request, unreadable, task)
        except Cancelled:
            return CompareReport(a.side, b.side, 0, 0, None, None, captions.left_out, interrupted=True)


def _load_captions(reader: Reader, request: ComparisonRequest, allowed: IdSet | None) -> ImageCaptions:
    space = reader.current.space
    if request.captions is None:
        captions = caption_pairs.read_own_captions(reader, space, allowed)
    else:
        live = Vectors(reader, space, allowed).ids
        captions = caption_pairs.load_captions(reader, request.captions, request.column, live)
    if not captions.texts:
        raise no_captions_error(captions.left_out, given=request.captions is not None)
    return captions


def _find_sides(
    reader: Reader, other: Reader | None, request: ComparisonRequest, notify: Callable[[str], None] | None
) -> tuple[EncoderSide, EncoderSide]:
    if other is not None:
        if other.identity.uuid == reader.identity.uuid:
            raise UsageError("a collection cannot be compared with itself")
        first, second = (_stored_side(one, one.current.space, notify) for one in (reader, other))
        return first, second
    assert request.encoders is not None
    a, b = (_find_side(reader, name, notify) for name in request.encoders)
    if a.encoder.fingerprint() == b.encoder.fingerprint():
        raise UsageError(f"{a.side.encoder} and {b.side.encoder} are the same encoder: nothing to compare")
    return a, b


def _find_side(reader: Reader, name: int | str | None, notify: Callable[[str], None] | None) -> EncoderSide:
    if name is None:
        return _stored_side(reader, reader.current.space, notify)
    reference = registry.canonical(name) if isinstance(name, str) and name != registry.AUTO else name
    for space in reader.current.image_spaces:
        if space.space_id == name or space.encoder == reference:
            return _stored_side(reader, space, notify)
    if isinstance(name, int):
        raise UsageError(f"no space of pictures has the id {name}")
    encoder = space_compatibility.load_resolved(registry.resolve(name), ("image", "text"), None, notify)
    check_text_support(encoder)
    return EncoderSide(ComparedSide(name, encoder.info.reference, str(reader.root), stored=False), encoder, None)


def _stored_side(reader: Reader, space: SpaceInfo, notify: Callable[[str], None] | None) -> EncoderSide:
    side = ComparedSide(space.encoder, space.encoder, str(reader.root), stored=True)
    return EncoderSide(side, load_text_encoder(reader.root, space, notify), space)


def _match_contents(reader: Reader, other: Reader, ids: Ids) -> tuple[Ids, Ids]:
    """Return those of ``ids`` whose content the other collection also has, and their ids there."""
    other_vectors = Vectors(other)
    lookup = HashLookup(other.root)
    mine: list[int] = []
    theirs: list[int] = []
    try:
        for start in range(0, len(ids), _LOOKUP_BATCH):
            batch = ids[start : start + _LOOKUP_BATCH].tolist()
            for image_id, (content, _) in same_contents(reader.root, batch).items():
                if (other_id := lookup.find(content)) is not None:
                    mine.append(image_id)
                    theirs.append(other_id)
    finally:
        lookup.close()
    is_indexed = other_vectors.positions(np.array(theirs, np.int64)) >= 0
    return np.array(mine, np.int64)[is_indexed], np.array(theirs, np.int64)[is_indexed]


def _load_rows(
    reader: Reader, ids: Ids, sides: Sequence[EncoderSide], folder: Path, task: Task
) -> tuple[Ids, list[Rows], tuple[tuple[int, str], ...]]:
    """Return the ids whose images both sides have, their rows on each side, and the unreadable images."""
    unencoded = [side for side in sides if side.space is None]
    rows_by_side: dict[int, Float32] = {}
    readable = np.arange(len(ids))
    unreadable: tuple[tuple[int, str], ...] = ()
    if unencoded:
        readable, arrays, unreadable = _encode_missing(reader, ids, [side.encoder for side in unencoded], folder, task)
        rows_by_side = {id(side): rows for side, rows in zip(unencoded, arrays, strict=True)}
    common = ids[readable]
    rows: list[Rows] = []
    for side in sides:
        if side.space is None:
            rows.append(SelectedRows(rows_by_side[id(side)].__getitem__, np.arange(len(common))))
        else:
            rows.append(SelectedRows(Vectors(reader, side.space).of, common))
    return common, rows, unreadable


def _encode_missing(
    reader: Reader, ids: Ids, encoders: Sequence[Encoder], folder: Path, task: Task
) -> tuple[Ids, list[Float32], tuple[tuple[int, str], ...]]:
    """Encode images into files in ``folder``.

    Returns positions (m,) in ``ids`` of the readable images, their rows by encoder, and the unreadable ones.
    """
    arrays = [
        np.memmap(folder / f"{n}.f32", np.float32, "w+", shape=(len(ids), encoder.info.dim))
        for n, encoder in enumerate(encoders)
    ]
    encoded_ids: list[int] = []
    troubles: list[tuple[int, str]] = []
    for batch in encode_images.encode_stored_images(reader, ids, encoders, task):
        for array, rows in zip(arrays, batch.rows, strict=True):
            array[len(encoded_ids) : len(encoded_ids) + len(batch.ids)] = rows
        encoded_ids += batch.ids.tolist()
        troubles += batch.troubles
        task.report("encode", len(encoded_ids), len(ids), skipped=len(troubles))
    task.check()
    return np.searchsorted(ids, np.array(encoded_ids, np.int64)), [*arrays], tuple(troubles)


def rank_both_sides(
    captions: ImageCaptions,
    common: Ids,
    sides: Sequence[EncoderSide],
    rows: Sequence[Rows],
    request: ComparisonRequest,
    unreadable: tuple[tuple[int, str], ...],
    task: Task,
) -> CompareReport:
    """Rank in both directions on both sides, and compare the metrics. Raises QueryError without a caption."""
    is_common = np.isin(captions.ids, common)
    texts = [text for text, is_shown in zip(captions.texts, is_common.tolist(), strict=True) if is_shown]
    if not texts:
        raise QueryError(
            "no captioned picture is on both sides"
            if not unreadable
            else f"none of {len(unreadable):,} pictures can be read: {unreadable[0][1]}"
        )
    picture = np.searchsorted(common, captions.ids[is_common])
    forth, back = [], []
    for side, shown in zip(sides, rows, strict=True):
        words = encode_unique_texts(side.encoder, texts, task)
        relevant_pictures = RelevantItems.of(np.arange(len(picture)), picture, len(picture))
        relevant_captions = RelevantItems.of(picture, np.arange(len(picture)), len(common))
        forth.append(rank_items(ArrayRows(words), shown, relevant_pictures, task=task))
        back.append(rank_items(shown, ArrayRows(words), relevant_captions, task=task))
    ks = choose_ks(request.ks, len(common))
    groups = picture if len(common) < len(picture) else None
    a, b = sides
    return CompareReport(
        a=a.side,
        b=b.side,
        images=len(common),
        captions=len(picture),
        text_to_image=_compare_ranks(forth[0], forth[1], ks, groups),
        image_to_text=_compare_ranks(back[0], back[1], choose_ks(request.ks, len(picture)), None),
        left_out=captions.left_out,
        unreadable=len(unreadable),
        reasons=tuple(f"image {image_id}: {reason}" for image_id, reason in unreadable[:_MAX_REASONS]),
    )


def _compare_ranks(a: Ranks, b: Ranks, ks: Sequence[int], groups: Values | None) -> RetrievalComparison:
    resamples = resample_count(len(a.first))
    return RetrievalComparison(
        a=retrieval_metrics(a, ks, groups),
        b=retrieval_metrics(b, ks, groups),
        recall={k: paired_interval(a.hits(k), b.hits(k), groups=groups, resamples=resamples) for k in ks},
        mean_average_precision=paired_interval(a.precision, b.precision, groups=groups, resamples=resamples),
    )
