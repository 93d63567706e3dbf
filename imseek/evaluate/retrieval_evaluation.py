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
    came: CaptionOrigin
    left_out: UnusedCaptions = caption_pairs.ALL_USED


def evaluate(
    reader: Reader,
    request: RetrievalRequest,
    task: Task = SILENT,
    notify: Callable[[str], None] | None = None,
) -> RetrievalReport:
    """Evaluate retrieval; see :func:`imseek.evaluate.retrieval`."""
    space = space_of(reader, request.space)
    within = filter_ids(reader, request.where)
    try:
        found = _load_queries(reader, space, within, request, task, notify)
    except Cancelled:
        found = None
    ids = np.empty(0, np.int64) if found is None else np.unique(found.ids)
    if request.among == "captioned":
        within = IdSet(ids)
    pictures = Vectors(reader, space, within)

    def report(captions: int, came: CaptionOrigin, left_out: UnusedCaptions) -> RetrievalReport:
        return RetrievalReport(
            encoder=space.encoder,
            space_id=space.space_id,
            generation=reader.generation,
            images=len(pictures),
            captions=captions,
            captions_from=came,
            among=request.among,
            text_to_image=None,
            image_to_text=None,
            left_out=left_out,
            interrupted=True,
            notes=() if space.note is None else (space.note,),
        )

    if found is None:
        return report(0, "given" if request.captions is not None else "metadata", UnusedCaptions())
    interrupted = report(len(found.ids), found.came, found.left_out)
    owner = pictures.positions(found.ids)
    ks = choose_ks(request.ks, min(len(pictures), len(found.ids)) if request.ks else len(pictures))
    there = RelevantItems.of(np.arange(len(owner)), owner, len(owner))
    asking, picture = np.unique(owner, return_inverse=True)
    again = RelevantItems.of(picture, np.arange(len(owner)), len(asking))
    try:
        forth = rank_items(found.rows, pictures, there, task=task)
        shown = pictures if len(asking) == len(pictures) else ArrayRows(pictures.at(asking))
        back = rank_items(shown, found.rows, again, task=task)
    except Cancelled:
        return interrupted
    several = len(asking) < len(owner)
    return replace(
        interrupted,
        text_to_image=retrieval_metrics(forth, ks, picture if several else None),
        image_to_text=retrieval_metrics(back, choose_ks(request.ks, len(owner))),
        interrupted=False,
    )


def space_of(reader: Reader, wanted: int | str | None) -> SpaceInfo:
    """Find the image space with an id or an encoder's reference. Raises UsageError."""
    spaces = reader.current.image_spaces
    if wanted is None:
        return reader.current.space
    reference = registry.canonical(wanted) if isinstance(wanted, str) else None
    for space in spaces:
        if space.space_id == wanted or space.encoder == reference:
            return space
    known = ", ".join(f"{space.space_id} ({space.encoder})" for space in spaces)
    raise UsageError(f"no space of pictures is {wanted!r}", hint=f"spaces: {known}")


def _load_queries(
    reader: Reader,
    space: SpaceInfo,
    within: IdSet | None,
    request: RetrievalRequest,
    task: Task,
    notify: Callable[[str], None] | None,
) -> CaptionQueries:
    """Load and embed the captions. Raises Cancelled, QueryError where there are none."""
    embedded = reader.current.caption_space
    if request.captions is None and embedded is not None and embedded.fingerprint == space.fingerprint:
        rows = Vectors(reader, embedded, within)
        if len(rows):
            return CaptionQueries(rows.ids, rows, "space")
    came: CaptionOrigin
    if request.captions is None:
        said, came = caption_pairs.read_own_captions(reader, space, within), "metadata"
    else:
        live = Vectors(reader, space, within).ids
        said, came = caption_pairs.load_captions(reader, request.captions, request.column, live), "given"
    if not said.texts:
        raise no_captions_error(said.left_out, given=came == "given")
    made = encode_unique_texts(load_text_encoder(reader.root, space, notify), said.texts, task)
    return CaptionQueries(said.ids, ArrayRows(made), came, said.left_out)


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
