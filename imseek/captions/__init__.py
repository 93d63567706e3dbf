"""Score how well captions fit their pictures, and keep the best pairs.

:func:`agreement` yields the cosine of the two vectors, which come from one encoder; :func:`clip_scores` and
:func:`ref_clip_scores` are CLIPScore and RefCLIPScore (Hessel et al. 2021, EMNLP). Typical values depend on the
encoder: compare scores only within one collection.

>>> scores = imseek.captions.cosines("pool.imseek")      # doctest: +SKIP
>>> best = imseek.captions.keep("pool.imseek", scores, 0.3, basic=True)      # what DataComp keeps
"""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal, TypeAlias

import numpy as np

from imseek.analysis.score_columns import save_scores
from imseek.analysis.snapshot_session import filter_ids, run_with_reader
from imseek.analysis.space_vectors import Vectors
from imseek.captions import pair_filters
from imseek.captions.caption_pairs import CaptionSource, iter_own_captions, load_captions
from imseek.captions.encode_texts import load_text_encoder
from imseek.captions.pair_filters import Pair as Pair
from imseek.captions.results import UnusedCaptions
from imseek.captions.scores import PREFIX as PREFIX
from imseek.captions.scores import (
    Block,
    clip_score,
    find_spaces,
    iter_caption_blocks,
    merge_scores,
    nearest_references,
    ref_clip_score,
    score_new_captions,
    score_stored_captions,
)
from imseek.data.reader import Reader
from imseek.data.vectors.base import Ids, IdSet
from imseek.encoders.base import Encoder
from imseek.progress import ProgressCallback, Task
from imseek.types.arrays import Float32
from imseek.types.collection_arguments import AnyCollection, path_of
from imseek.types.json_form import Count, Json, json_member
from imseek.types.pictures import ImagePlace
from imseek.unique_numbers import unique_numbers

Measure: TypeAlias = Literal["cosine", "clipscore", "refclipscore"]
CaptionScore: TypeAlias = Annotated[float, Json(digits=6, minimum=-1, maximum=2.5)]


@dataclass(frozen=True, slots=True)
class Agreement:
    """An image and its caption."""

    image_id: Count
    score: CaptionScore
    """By the measure: the cosine of their vectors in [-1, 1], CLIPScore or RefCLIPScore."""
    caption: str
    place: ImagePlace


@dataclass(frozen=True, slots=True)
class AgreementSummary:
    """Totals of :func:`agreement`, and the captions that agree least with their pictures."""

    images: Count
    """Number of live images."""
    captions: Count
    """Number of captions that are embedded."""
    median: CaptionScore | None
    """Over all scores; null without any."""
    worst: tuple[Agreement, ...]
    """The worst first."""
    encoder: str
    """That of captions and pictures."""
    generation: Count

    @property
    @json_member()
    def measure(self) -> Measure:
        """What scores are."""
        return "cosine"


def agreement(collection: AnyCollection) -> Iterator[Agreement]:
    """Yield how well picture and caption of each live image agree, shard by shard, ids ascending within each.

    Only a few thousand rows are in memory at a time, and no encoder is loaded. All results belong to the generation at
    the time of the call. Raises QueryError if captions are not embedded, or with another encoder than pictures are,
    and, while iterating, StaleGenerationError if a purge has removed files meanwhile.
    """
    reader = Reader(path_of(collection))
    spaces = find_spaces(reader.current)
    return (row for block in score_stored_captions(reader, *spaces) for row in _agreements_of(reader, block))


def summary(collection: AnyCollection, *, limit: int = 10) -> AgreementSummary:
    """Return counts, the median score, and the ``limit`` images that agree least with their captions.

    Needs four bytes of memory per caption. Raises QueryError as :func:`agreement`.
    """
    return run_with_reader(collection, lambda reader: _summary(reader, limit))


@dataclass(frozen=True, slots=True, eq=False)
class CaptionScores:
    """Scores of captions, one per caption: an image with several appears several times."""

    measure: Measure
    """What scores are."""
    prefix: str
    """What was put before each caption, unless it is empty."""
    encoder: str
    """That of captions and pictures."""
    generation: Count
    images: Count
    """Number of live images considered."""
    ids: Annotated[Ids, Json(hidden=True)]
    """int64 (n,), ascending."""
    scores: Annotated[Float32, Json(hidden=True)]
    """float32 (n,)."""
    left_out: UnusedCaptions
    interrupted: Annotated[bool, Json(hidden=True)] = False
    """Whether ``stop`` was set and some scores are missing."""
    texts: Annotated[tuple[str, ...] | None, Json(hidden=True)] = None
    """The n scored captions if the caller gave them; None if they are stored in the collection."""

    @property
    @json_member()
    def captions(self) -> Count:
        """Number of captions that have a score."""
        return len(self.ids)

    @property
    @json_member()
    def median(self) -> CaptionScore | None:
        """Over all scores; null without any."""
        return float(np.median(self.scores)) if len(self.scores) else None


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """The pairs that a filter keeps."""

    ids: Annotated[Ids, Json(hidden=True)]
    """int64 (m,), ascending."""
    scores: Annotated[Float32, Json(hidden=True)]
    """float32 (m,)."""
    captions: Annotated[int, Json(hidden=True)]
    """Number of captions before filtering."""
    share: float
    """The best share to select, as requested."""
    share_kept: Annotated[Count, Json(name="in_share")]
    """Number of captions in the best share, before the basic filter."""
    threshold: CaptionScore
    """The lowest score within the best share."""
    basic: bool
    """Whether the basic filter was applied."""

    @property
    @json_member()
    def images(self) -> Count:
        """Number of selected pairs, after all filters."""
        return len(self.ids)


def cosines(
    collection: AnyCollection,
    *,
    where: str | None = None,
    progress: ProgressCallback | None = None,
    stop: threading.Event | None = None,
    notify: Callable[[str], None] | None = None,
) -> CaptionScores:
    """Score each image's caption by its cosine with the picture: DataComp's CLIP score.

    Uses stored caption vectors, or embeds the captions for this call. Raises as :func:`clip_scores`.
    """
    request = _ScoreRequest("cosine", where=where)
    return _score(collection, request, Task(progress, stop), notify)


def clip_scores(
    collection: AnyCollection,
    *,
    captions: CaptionSource | None = None,
    prefix: str = PREFIX,
    where: str | None = None,
    progress: ProgressCallback | None = None,
    stop: threading.Event | None = None,
    notify: Callable[[str], None] | None = None,
) -> CaptionScores:
    """Score each caption by CLIPScore: 2.5 · max(cos, 0), in [0, 2.5], with ``prefix`` before it as in the paper.

    Captions are those of the collection, or of a table or by image id, as for :func:`imseek.evaluate.retrieval`. With
    an empty ``prefix`` their stored vectors are used and no encoder is loaded; otherwise captions are embedded for this
    call.

    Memory: 12 bytes per caption of the collection, plus the texts of given captions. Raises UsageError (an unreadable
    table, an encoder without a text tower), QueryError (``where``, no captions), EncoderMismatchError, whatever loading
    an encoder raises, CollectionNotFoundError, CorruptCollectionError.
    """
    request = _ScoreRequest("clipscore", prefix, captions, None, where)
    return _score(collection, request, Task(progress, stop), notify)


def ref_clip_scores(
    collection: AnyCollection,
    references: CaptionSource,
    *,
    captions: CaptionSource | None = None,
    prefix: str = PREFIX,
    where: str | None = None,
    progress: ProgressCallback | None = None,
    stop: threading.Event | None = None,
    notify: Callable[[str], None] | None = None,
) -> CaptionScores:
    """Score captions by RefCLIPScore: the harmonic mean of CLIPScore and the cosine with the image's nearest reference.

    ``references`` is a table, or captions by image id. Images without a reference get no score. Raises as
    :func:`clip_scores`.
    """
    request = _ScoreRequest("refclipscore", prefix, captions, references, where)
    return _score(collection, request, Task(progress, stop), notify)


def worst(collection: AnyCollection, caption_scores: CaptionScores, *, limit: int = 10) -> tuple[Agreement, ...]:
    """Return the ``limit`` captions with the lowest scores, the worst first; ties are ordered by id."""

    def read_worst(reader: Reader) -> tuple[Agreement, ...]:
        order = np.lexsort((caption_scores.ids, caption_scores.scores))[:limit]
        ids = caption_scores.ids[order]
        if caption_scores.texts is not None:
            texts = [caption_scores.texts[n] for n in order.tolist()]
        else:
            stored = reader.captions(unique_numbers(ids).tolist())
            texts = [stored.get(image_id, "") for image_id in ids.tolist()]
        return tuple(_agreements_of(reader, Block(ids, caption_scores.scores[order], texts)))

    return run_with_reader(collection, read_worst)


def keep(collection: AnyCollection, caption_scores: CaptionScores, share: float, *, basic: bool = False) -> Kept:
    """Keep the top ``share`` of all scores, in (0, 1]: DataComp's CLIP score filter (Gadre et al. 2023).

    Selects exactly ⌊share · n⌋ captions; of equal scores, those with the lower id. With ``basic``, these must also
    have a caption of at least three words and six characters, and a picture at least 200 pixels high and wide with an
    aspect ratio of at most 3 (DataComp's basic filter without its test for English). Raises UsageError for an invalid
    share, CollectionNotFoundError, CorruptCollectionError.
    """
    mask = pair_filters.top_share(caption_scores.ids, caption_scores.scores, share)
    ids, scores = caption_scores.ids[mask], caption_scores.scores[mask]
    passes = np.ones(len(ids), np.bool_)
    if basic:
        texts = (
            None if caption_scores.texts is None else [caption_scores.texts[n] for n in np.flatnonzero(mask).tolist()]
        )
        passes = run_with_reader(collection, lambda reader: pair_filters.passes_basic_filter(reader, ids, texts))
    return Kept(ids[passes], scores[passes], len(caption_scores.ids), share, len(ids), float(scores.min()), basic)


def pairs(collection: AnyCollection, selection: Kept) -> Iterator[Pair]:
    """Yield the selected pairs by ascending id, with ``uid`` (the name in an indexed table), place and score.

    Raises CollectionNotFoundError, CorruptCollectionError and, while iterating, StaleGenerationError.
    """
    return pair_filters.iter_pairs(Reader(path_of(collection)), selection.ids, selection.scores)


def save(collection: AnyCollection, caption_scores: CaptionScores, name: str) -> int:
    """Store scores as the derived column ``name``, for filters (``--where``) and hits; returns the generation.

    Raises UsageError for an invalid name or if an image has several captions, LockedError, ReadOnlyError, StorageError.
    """
    facts = {name: getattr(caption_scores, name) for name in ("measure", "prefix", "encoder", "generation", "images")}
    return save_scores(path_of(collection), name, caption_scores.ids, caption_scores.scores, "captions", facts)


@dataclass(frozen=True, slots=True)
class _ScoreRequest:
    """Which captions to score, by which measure; fields are as the arguments of :func:`ref_clip_scores`."""

    measure: Measure
    prefix: str = ""
    captions: CaptionSource | None = None
    references: CaptionSource | None = None
    where: str | None = None


def _score(
    collection: AnyCollection, request: _ScoreRequest, task: Task, notify: Callable[[str], None] | None
) -> CaptionScores:
    return run_with_reader(collection, lambda reader: _score_captions(reader, request, task, notify))


def _score_captions(
    reader: Reader, request: _ScoreRequest, task: Task, notify: Callable[[str], None] | None
) -> CaptionScores:
    allowed = filter_ids(reader, request.where)
    embedded = reader.current.caption_space
    space = reader.current.space
    if embedded is not None:
        matching = (one for one in reader.current.image_spaces if one.fingerprint == embedded.fingerprint)
        space = next(matching, space)
    pictures = Vectors(reader, space, allowed)
    as_stored = not request.prefix.strip() and request.captions is None and request.references is None
    left_out, texts = UnusedCaptions(), list[str]()
    if as_stored and embedded is not None and embedded.fingerprint == space.fingerprint:
        blocks = score_stored_captions(reader, space, embedded, allowed)
        parts = [(block.ids, block.scores) for block in blocks]
    else:
        encoder = load_text_encoder(reader.root, space, notify)
        parts, texts, left_out = _embed_and_score(pictures, allowed, encoder, request, task)
    ids, scores = merge_scores(parts)
    return CaptionScores(
        measure=request.measure,
        prefix=request.prefix,
        encoder=space.encoder,
        generation=reader.generation,
        images=len(pictures),
        ids=ids,
        scores=clip_score(scores) if request.measure == "clipscore" else scores,
        left_out=left_out,
        interrupted=task.is_cancelled,
        texts=None if request.captions is None else tuple(texts),
    )


def _embed_and_score(
    pictures: Vectors, allowed: IdSet | None, encoder: Encoder, request: _ScoreRequest, task: Task
) -> tuple[list[tuple[Ids, Float32]], list[str], UnusedCaptions]:
    """Embed captions for this call; return blocks of ids and scores, the captions in that order, and those unused."""
    reader, live = pictures.reader, pictures.ids
    if request.captions is None:
        total, left_out = None, UnusedCaptions()
        blocks: Iterator[tuple[Ids, Sequence[str]]] = iter_own_captions(reader, pictures.space, allowed)
    else:
        given_captions = load_captions(reader, request.captions, None, live)
        blocks, total, left_out = (
            iter_caption_blocks(given_captions),
            len(given_captions.texts),
            given_captions.left_out,
        )
    references = None if request.references is None else load_captions(reader, request.references, None, live)
    parts: list[tuple[Ids, Float32]] = []
    texts: list[str] = []
    for block, rows in score_new_captions(pictures, blocks, encoder, request.prefix, total, task):
        if references is None:
            has_reference, scores = np.ones(len(block.ids), np.bool_), block.scores
        else:
            has_reference, reference_cosines = nearest_references(block, rows, references, encoder, request.prefix)
            scores = ref_clip_score(clip_score(block.scores[has_reference]), reference_cosines)
        parts.append((block.ids[has_reference], scores))
        if request.captions is not None:  # Ordered by ascending id, as the scores are.
            texts += itertools.compress(block.captions, has_reference.tolist())
        left_out = replace(left_out, unreferenced=left_out.unreferenced + int(np.count_nonzero(~has_reference)))
    return parts, texts, left_out


def _summary(reader: Reader, limit: int) -> AgreementSummary:
    pictures, captions = find_spaces(reader.current)
    parts: list[Float32] = []
    worst: list[tuple[float, int, str]] = []
    for block in score_stored_captions(reader, pictures, captions):
        parts.append(block.scores)
        rows = zip(block.scores.tolist(), block.ids.tolist(), block.captions, strict=True)
        worst = heapq.nsmallest(limit, itertools.chain(worst, rows))
    scores = np.concatenate([np.empty(0, np.float32), *parts])
    worst_block = Block(
        np.array([image_id for _, image_id, _ in worst], np.int64),
        np.array([score for score, _, _ in worst], np.float32),
        [caption for _, _, caption in worst],
    )
    return AgreementSummary(
        images=reader.current.images,
        captions=len(scores),
        median=float(np.median(scores)) if len(scores) else None,
        worst=tuple(_agreements_of(reader, worst_block)),
        encoder=captions.encoder,
        generation=reader.generation,
    )


def _agreements_of(reader: Reader, block: Block) -> Iterator[Agreement]:
    ids = block.ids.tolist()
    places = reader.places(ids)
    for image_id, score, caption in zip(ids, block.scores.tolist(), block.captions, strict=True):
        yield Agreement(image_id, score, caption, places.get(image_id))
