"""Text-to-image and image-to-text retrieval over a collection's captions: R@k, ranks, average precision."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from imseek.analysis.snapshot_session import filter_ids
from imseek.analysis.space_vectors import Vectors
from imseek.captions import caption_pairs
from imseek.captions.encode_texts import encode_unique_texts, load_text_encoder
from imseek.captions.results import UnusedCaptions
from imseek.data.reader import Reader
from imseek.data.vectors.base import Ids, IdSet
from imseek.encoders import registry
from imseek.errors import CAPTION_SOURCES, QueryError, UsageError
from imseek.evaluate.rank_metrics import choose_ks, retrieval_metrics
from imseek.evaluate.results import Among, CaptionOrigin, RetrievalReport
from imseek.metrics.retrieval import ArrayRows, RelevantItems, Rows, rank_items
from imseek.progress import SILENT, Cancelled, Task
from imseek.types.collection_info import SpaceInfo
from imseek.unique_numbers import unique_numbers


@dataclass(frozen=True, slots=True, eq=False)
class RetrievalRequest:
    """What to evaluate. ``space`` is an id or an encoder's reference, None: the first space."""

    captions: caption_pairs.CaptionSource | None = None
    column: str | None = None
    space: int | str | None = None
    where: str | None = None
    among: Among = "captioned"
    ks: Sequence[int] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class CaptionQueries:
    """Captions as ``rows`` (n, dim), and the ids (n,) of their images, ascending."""

    ids: Ids
    rows: Rows
    origin: CaptionOrigin
    left_out: UnusedCaptions = caption_pairs.ALL_USED


def evaluate(
    reader: Reader,
    request: RetrievalRequest,
    task: Task = SILENT,
    notify: Callable[[str], None] | None = None,
) -> RetrievalReport:
    """Evaluate retrieval; see :func:`imseek.evaluate.retrieval`."""
    space = space_of(reader, request.space)
    allowed = filter_ids(reader, request.where)
    try:
        queries = _load_queries(reader, space, allowed, request, task, notify)
    except Cancelled:
        queries = None
    ids = np.empty(0, np.int64) if queries is None else unique_numbers(queries.ids)
    if request.among == "captioned":
        allowed = IdSet(ids)
    pictures = Vectors(reader, space, allowed)

    def report(captions: int, origin: CaptionOrigin, left_out: UnusedCaptions) -> RetrievalReport:
        return RetrievalReport(
            encoder=space.encoder,
            space_id=space.space_id,
            generation=reader.generation,
            images=len(pictures),
            captions=captions,
            captions_from=origin,
            among=request.among,
            text_to_image=None,
            image_to_text=None,
            left_out=left_out,
            interrupted=True,
            notes=() if space.note is None else (space.note,),
        )

    if queries is None:
        return report(0, "given" if request.captions is not None else "metadata", UnusedCaptions())
    interrupted = report(len(queries.ids), queries.origin, queries.left_out)
    owner = pictures.positions(queries.ids)
    ks = choose_ks(request.ks, min(len(pictures), len(queries.ids)) if request.ks else len(pictures))
    relevant_pictures = RelevantItems.of(np.arange(len(owner)), owner, len(owner))
    captioned, picture = np.unique(owner, return_inverse=True)
    relevant_captions = RelevantItems.of(picture, np.arange(len(owner)), len(captioned))
    try:
        forth = rank_items(queries.rows, pictures, relevant_pictures, task=task)
        captioned_pictures = pictures if len(captioned) == len(pictures) else ArrayRows(pictures.at(captioned))
        back = rank_items(captioned_pictures, queries.rows, relevant_captions, task=task)
    except Cancelled:
        return interrupted
    has_several = len(captioned) < len(owner)
    return replace(
        interrupted,
        text_to_image=retrieval_metrics(forth, ks, picture if has_several else None),
        image_to_text=retrieval_metrics(back, choose_ks(request.ks, len(owner))),
        interrupted=False,
    )


def space_of(reader: Reader, name: int | str | None) -> SpaceInfo:
    """Find the image space with an id or an encoder's reference. Raises UsageError."""
    spaces = reader.current.image_spaces
    if name is None:
        return reader.current.space
    reference = registry.canonical(name) if isinstance(name, str) else None
    for space in spaces:
        if space.space_id == name or space.encoder == reference:
            return space
    available = ", ".join(f"{space.space_id} ({space.encoder})" for space in spaces)
    raise UsageError(f"no space of pictures is {name!r}", hint=f"spaces: {available}")


def _load_queries(
    reader: Reader,
    space: SpaceInfo,
    allowed: IdSet | None,
    request: RetrievalRequest,
    task: Task,
    notify: Callable[[str], None] | None,
) -> CaptionQueries:
    """Load and embed the captions. Raises Cancelled, QueryError where there are none."""
    embedded = reader.current.caption_space
    if request.captions is None and embedded is not None and embedded.fingerprint == space.fingerprint:
        rows = Vectors(reader, embedded, allowed)
        if len(rows):
            return CaptionQueries(rows.ids, rows, "space")
    origin: CaptionOrigin
    if request.captions is None:
        captions, origin = caption_pairs.read_own_captions(reader, space, allowed), "metadata"
    else:
        live = Vectors(reader, space, allowed).ids
        captions, origin = caption_pairs.load_captions(reader, request.captions, request.column, live), "given"
    if not captions.texts:
        raise no_captions_error(captions.left_out, given=origin == "given")
    caption_rows = encode_unique_texts(load_text_encoder(reader.root, space, notify), captions.texts, task)
    return CaptionQueries(captions.ids, ArrayRows(caption_rows), origin, captions.left_out)


def no_captions_error(left_out: UnusedCaptions, *, given: bool) -> QueryError:
    """Build the error for the case that no caption is left."""
    if not given:
        return QueryError(
            "no image has a caption",
            hint=f"{CAPTION_SOURCES}; --captions FILE reads captions from a table",
        )
    reason = f"{left_out.unknown:,} rows name no image of the collection"
    if left_out.names:
        reason += f" ({', '.join(left_out.names[:3])} …)"
    return QueryError(f"no caption is left: {reason}, {left_out.empty:,} have no caption")
