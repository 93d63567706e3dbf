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
    contest: ComparisonRequest,
    task: Task = SILENT,
    notify: Callable[[str], None] | None = None,
) -> CompareReport:
    """Compare two sides; see :func:`imseek.evaluate.compare`. ``other`` is the second of two collections."""
    within = filter_ids(reader, contest.where)
    said = _load_captions(reader, contest, within)
    ids = np.unique(said.ids)
    a, b = _find_sides(reader, other, contest, notify)
    with tempfile.TemporaryDirectory(prefix="imseek-") as folder:
        try:
            if other is not None:
                common, theirs = _match_contents(reader, other, ids)
                shown_a, shown_b = Vectors(reader), Vectors(other)
                rows: list[Rows] = [SelectedRows(shown_a.of, common), SelectedRows(shown_b.of, theirs)]
                unreadable: tuple[tuple[int, str], ...] = ()
            else:
                common, rows, unreadable = _load_rows(reader, ids, (a, b), Path(folder), task)
            return rank_both_sides(said, common, (a, b), rows, contest, unreadable, task)
        except Cancelled:
            return CompareReport(a.side, b.side, 0, 0, None, None, said.left_out, interrupted=True)


def _load_captions(reader: Reader, contest: ComparisonRequest, within: IdSet | None) -> ImageCaptions:
    space = reader.current.space
    if contest.captions is None:
        said = caption_pairs.read_own_captions(reader, space, within)
    else:
        live = Vectors(reader, space, within).ids
        said = caption_pairs.load_captions(reader, contest.captions, contest.column, live)
    if not said.texts:
        raise no_captions_error(said.left_out, given=contest.captions is not None)
    return said


def _find_sides(
    reader: Reader, other: Reader | None, contest: ComparisonRequest, notify: Callable[[str], None] | None
) -> tuple[EncoderSide, EncoderSide]:
    if other is not None:
        if other.identity.uuid == reader.identity.uuid:
            raise UsageError("a collection cannot be compared with itself")
        first, second = (_stored_side(one, one.current.space, notify) for one in (reader, other))
        return first, second
    assert contest.encoders is not None
    a, b = (_find_side(reader, named, notify) for named in contest.encoders)
    if a.encoder.fingerprint() == b.encoder.fingerprint():
        raise UsageError(f"{a.side.encoder} and {b.side.encoder} are the same encoder: nothing to compare")
    return a, b


def _find_side(reader: Reader, named: int | str | None, notify: Callable[[str], None] | None) -> EncoderSide:
    if named is None:
        return _stored_side(reader, reader.current.space, notify)
    reference = registry.canonical(named) if isinstance(named, str) and named != registry.AUTO else named
    for space in reader.current.image_spaces:
        if space.space_id == named or space.encoder == reference:
            return _stored_side(reader, space, notify)
    if isinstance(named, int):
        raise UsageError(f"no space of pictures has the id {named}")
    encoder = space_compatibility.load_resolved(registry.resolve(named), ("image", "text"), None, notify)
    check_text_support(encoder)
    return EncoderSide(ComparedSide(named, encoder.info.reference, str(reader.root), stored=False), encoder, None)


def _stored_side(reader: Reader, space: SpaceInfo, notify: Callable[[str], None] | None) -> EncoderSide:
    side = ComparedSide(space.encoder, space.encoder, str(reader.root), stored=True)
    return EncoderSide(side, load_text_encoder(reader.root, space, notify), space)


def _match_contents(reader: Reader, other: Reader, ids: Ids) -> tuple[Ids, Ids]:
    """Return those of ``ids`` whose content the other collection also has, and their ids there."""
    there = Vectors(other)
    lookup = HashLookup(other.root)
    mine: list[int] = []
    theirs: list[int] = []
    try:
        for start in range(0, len(ids), _LOOKUP_BATCH):
            some = ids[start : start + _LOOKUP_BATCH].tolist()
            for image_id, (content, _) in same_contents(reader.root, some).items():
                if (found := lookup.find(content)) is not None:
                    mine.append(image_id)
                    theirs.append(found)
    finally:
        lookup.close()
    known = there.positions(np.array(theirs, np.int64)) >= 0
    return np.array(mine, np.int64)[known], np.array(theirs, np.int64)[known]


def _load_rows(
    reader: Reader, ids: Ids, halves: Sequence[EncoderSide], folder: Path, task: Task
) -> tuple[Ids, list[Rows], tuple[tuple[int, str], ...]]:
    """Return the ids whose images both sides have, their rows on each side, and the unreadable images."""
    missing = [half for half in halves if half.space is None]
    made: dict[int, Float32] = {}
    where = np.arange(len(ids))
    unreadable: tuple[tuple[int, str], ...] = ()
    if missing:
        where, held, unreadable = _encode_missing(reader, ids, [half.encoder for half in missing], folder, task)
        made = {id(half): rows for half, rows in zip(missing, held, strict=True)}
    common = ids[where]
    rows: list[Rows] = []
    for half in halves:
        if half.space is None:
            rows.append(SelectedRows(made[id(half)].__getitem__, np.arange(len(common))))
        else:
            rows.append(SelectedRows(Vectors(reader, half.space).of, common))
    return common, rows, unreadable


def _encode_missing(
    reader: Reader, ids: Ids, encoders: Sequence[Encoder], folder: Path, task: Task
) -> tuple[Ids, list[Float32], tuple[tuple[int, str], ...]]:
    """Encode images into files in ``folder``.

    Returns positions (m,) in ``ids`` of the readable images, their rows by encoder, and the unreadable ones.
    """
    held = [
        np.memmap(folder / f"{n}.f32", np.float32, "w+", shape=(len(ids), encoder.info.dim))
        for n, encoder in enumerate(encoders)
    ]
    good: list[int] = []
    troubles: list[tuple[int, str]] = []
    for some in encode_images.encode_stored_images(reader, ids, encoders, task):
        for array, rows in zip(held, some.rows, strict=True):
            array[len(good) : len(good) + len(some.ids)] = rows
        good += some.ids.tolist()
        troubles += some.troubles
        task.report("encode", len(good), len(ids), skipped=len(troubles))
    task.check()
    return np.searchsorted(ids, np.array(good, np.int64)), [*held], tuple(troubles)


def rank_both_sides(
    captions: ImageCaptions,
    common: Ids,
    halves: Sequence[EncoderSide],
    rows: Sequence[Rows],
    contest: ComparisonRequest,
    unreadable: tuple[tuple[int, str], ...],
    task: Task,
) -> CompareReport:
    """Rank in both directions on both sides, and compare the metrics. Raises QueryError without a caption."""
    known = np.isin(captions.ids, common)
    texts = [text for text, good in zip(captions.texts, known.tolist(), strict=True) if good]
    if not texts:
        raise QueryError(
            "no captioned picture is on both sides"
            if not unreadable
            else f"none of {len(unreadable):,} pictures can be read: {unreadable[0][1]}"
        )
    picture = np.searchsorted(common, captions.ids[known])
    forth, back = [], []
    for half, shown in zip(halves, rows, strict=True):
        words = encode_unique_texts(half.encoder, texts, task)
        there = RelevantItems.of(np.arange(len(picture)), picture, len(picture))
        again = RelevantItems.of(picture, np.arange(len(picture)), len(common))
        forth.append(rank_items(ArrayRows(words), shown, there, task=task))
        back.append(rank_items(shown, ArrayRows(words), again, task=task))
    ks = choose_ks(contest.ks, len(common))
    groups = picture if len(common) < len(picture) else None
    a, b = halves
    return CompareReport(
        a=a.side,
        b=b.side,
        images=len(common),
        captions=len(picture),
        text_to_image=_compare_ranks(forth[0], forth[1], ks, groups),
        image_to_text=_compare_ranks(back[0], back[1], choose_ks(contest.ks, len(picture)), None),
        left_out=captions.left_out,
        unreadable=len(unreadable),
        reasons=tuple(f"image {image_id}: {reason}" for image_id, reason in unreadable[:_MAX_REASONS]),
    )


def _compare_ranks(a: Ranks, b: Ranks, ks: Sequence[int], groups: Values | None) -> RetrievalComparison:
    many = resample_count(len(a.first))
    return RetrievalComparison(
        a=retrieval_metrics(a, ks, groups),
        b=retrieval_metrics(b, ks, groups),
        recall={k: paired_interval(a.hits(k), b.hits(k), groups=groups, resamples=many) for k in ks},
        mean_average_precision=paired_interval(a.precision, b.precision, groups=groups, resamples=many),
    )
