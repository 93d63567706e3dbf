"""Build the caption space of a collection from its metadata, without opening a picture."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import islice
from typing import Final

from imseek.data.catalog import spaces
from imseek.data.reader import Reader
from imseek.data.writing.space_build import SpaceBuild
from imseek.data.writing.space_build_rows import Row
from imseek.data.writing.writer import Writer
from imseek.encoders.base import Encoder
from imseek.encoders.space_compatibility import space_of
from imseek.errors import CAPTION_SOURCES
from imseek.indexer.caption_encoder import BATCH, CaptionEncoder
from imseek.progress import Task
from imseek.types.maintenance_reports import CaptionOutcome, CaptionReport

PHASE: Final = "captions"


def embed(
    writer: Writer,
    encoder: Encoder,
    task: Task,
) -> CaptionReport:
    """Build the caption space and switch to it. ``encoder`` is that of the first space.

    See :func:`imseek.maintenance.embed_captions`.
    """
    started = time.monotonic()
    current = writer.current()
    before, first = current.caption_space, current.space
    encode = CaptionEncoder(encoder)
    outcome: CaptionOutcome = "already"
    space = before
    with writer.catalog.transaction() as connection:
        stale = spaces.count_stale_captions(connection)
    if before is None or before.fingerprint != first.fingerprint or stale:
        space = spaces.prepare_space(writer, {**space_of(encoder, first.note), "modality": "text"})
        build = SpaceBuild(writer, space)
        task.report(PHASE, build.done, build.total)
        if build.run(StoredCaptions(Reader(writer.root), encode), task, PHASE):
            build.switch(None if before is None else before.space_id)
            if stale:
                writer.apply(lambda connection, _: spaces.clear_stale_captions(connection))
            outcome = "switched"
        else:
            outcome = "interrupted"
    if outcome != "interrupted":
        _drop_others(writer)
    assert space is not None
    reader = Reader(writer.root)
    in_use = reader.current.caption_space == space
    captions = reader.current.images - reader.count_without_caption(space.space_id) if in_use else 0
    notes = encode.notes()
    if not captions and outcome != "interrupted":
        notes += (f"no image has a caption: {CAPTION_SOURCES}",)
    return CaptionReport(
        outcome=outcome,
        space_id=space.space_id,
        encoder=space.encoder,
        images=reader.current.images,
        captions=captions,
        encoded=encode.encoded,
        seconds=time.monotonic() - started,
        generation=reader.generation,
        notes=notes,
    )


class StoredCaptions:
    """Makes rows of a caption space (:data:`imseek.data.writing.space_build.MakeRows`); images without a caption get
    zeros."""

    def __init__(self, reader: Reader, encode: CaptionEncoder) -> None:
        self._reader = reader
        self._encode = encode

    def __call__(self, ids: Iterator[int]) -> Iterator[tuple[int, Row | None]]:
        while chunk := list(islice(ids, BATCH)):
            captions = self._reader.captions(chunk)
            yield from zip(chunk, self._encode([captions.get(i) for i in chunk]), strict=True)


def _drop_others(writer: Writer) -> None:
    """Drop caption spaces that are not in use.

    Embedding again is cheap, and the image spaces may never return to their encoders.
    """
    for space in spaces.list_spaces(writer):
        if space.info.modality == "text" and not space.is_current:
            spaces.drop(writer, space.info.space_id)
