"""Export images, metadata and vectors in the formats of other tools: ``imseek.export.write(…)``.

>>> imseek.export.write("photos.imseek", "beach.csv", query="a beach", limit=500)      # doctest: +SKIP
ExportReport(… images=500 …)

docs/exports.md describes what each format holds and which tools read it.
"""

from __future__ import annotations

import operator
import os
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np

from imseek.analysis.snapshot_session import filter_ids, run_with_reader
from imseek.analysis.space_vectors import image_space
from imseek.collection import Collection
from imseek.collection import open as open_collection
from imseek.data.catalog.place_paths import is_url
from imseek.data.files.open_stream_writes import write_all
from imseek.data.files.system_errors import translate_os_errors
from imseek.data.reader import Reader
from imseek.data.vectors.base import Ids, IdSet
from imseek.errors import ImageNotFoundError, UsageError
from imseek.exports import output_target
from imseek.exports.base import ExportJob, Format, WriteResult
from imseek.exports.formats import FORMATS, check_options, format_of
from imseek.exports.results import ExportOptions, ExportReport
from imseek.exports.selection import Selection, live_ids
from imseek.progress import ProgressCallback, Task
from imseek.search.query import Query, Question, as_query
from imseek.tilde_expansion import expand_user
from imseek.types.arrays import Float32
from imseek.types.collection_arguments import AnyCollection, path_of
from imseek.types.indexing_runs import FOLDER_KINDS
from imseek.types.pictures import display_path

#: Descriptions of all formats, by name.
KINDS: Final = {name: one.summary for name, one in FORMATS.items()}
#: Default number of hits exported for a query.
LIMIT: Final = 1000


def write(
    collection: AnyCollection,
    target: str | os.PathLike[str] | BinaryIO,
    *,
    format: str | None = None,  # noqa: A002 - as other libraries that write say it
    where: str | None = None,
    tags: Sequence[str] = (),
    ids: Sequence[int] | None = None,
    query: Question | None = None,
    limit: int = LIMIT,
    space: int | None = None,
    options: ExportOptions | None = None,
    force: bool = False,
    progress: ProgressCallback | None = None,
    stop: threading.Event | None = None,
) -> ExportReport:
    """Export images of a collection to a file, a folder or a stream, in a format that another tool reads.

    ``format`` is one of :data:`KINDS`, by default chosen by the file extension. All live images are exported, ordered
    by id, or those that meet ``where`` (docs/where.md) and have every tag in ``tags``. ``ids`` selects among these and
    sets their order. A ``query`` exports its hits instead, best first with scores: at most ``limit``, unless it is a
    :class:`imseek.Query` with its own limit. Vectors are those of the image space with the id ``space``, by default the
    one that text queries are searched in. ``options`` apply to particular formats.

    The target is written completely or not at all. An existing target is replaced only with ``force``, and only if it
    is an imseek export or a file of the same name. All output belongs to one generation.

    Raises UsageError (an unknown format, an existing target), ImageNotFoundError (``ids``), QueryError,
    MissingExtraError, CollectionNotFoundError, CorruptCollectionError, StorageError if writing fails, whatever
    :meth:`imseek.Collection.search` raises for a query, and InterruptedError once ``stop`` is set.
    """
    if isinstance(target, str) and is_url(os.fsencode(target)):
        raise UsageError(f"{target} is a URL", hint="name a file or a folder of this machine, and copy that")
    stream = None if isinstance(target, str | os.PathLike) else target
    path = expand_user(target).absolute() if isinstance(target, str | os.PathLike) else None
    output_format, options = format_of(format, path), options or ExportOptions()
    check_options(output_format, options)
    if stream is not None and not output_format.streams:
        raise UsageError(f"{output_format.name} cannot be written to a stream", hint=f"name a {output_format.shape}")
    if ids is not None and query is not None:
        raise UsageError("ids and a query both say which images go out", hint="leave out one of them")
    root, condition = path_of(collection), _condition(where, tags)
    folder = output_format.shape == "folder"
    if path is not None:
        output_target.check_target(path, folder=folder, force=force, collection=root)
    hits = None if query is None else _run_query(collection, query, limit, condition)
    task = Task(progress, stop)

    def work(reader: Reader) -> ExportReport:
        selection, notes = _select_images(reader, output_format, condition, ids, hits, space)
        with ExitStack() as stack:
            files, size = 1, 0
            if path is None:
                assert stream is not None
                counting = _CountingStream(stream)
                result = output_format.write(ExportJob(selection, counting, None, options, task))  # type: ignore[arg-type]
                size = counting.written
            else:
                staging, finish = stack.enter_context(
                    output_target.stage_export(path, folder=folder, force=force, collection=root)
                )
                with translate_os_errors(path):
                    result = output_format.write(ExportJob(selection, staging, path, options, task))
                if folder:
                    output_target.write_record(staging, _record(output_format, selection, result))
                files, size = output_target.measure_size(staging)
                finish()
        return ExportReport(
            collection=reader.identity.uuid,
            generation=reader.generation,
            format=output_format.name,
            target=b"-" if path is None else os.fsencode(path),
            images=result.images,
            files=files,
            bytes=size,
            linked=result.linked,
            encoder=selection.space.encoder if output_format.vectors else None,
            skipped=result.skipped,
            notes=notes + result.notes + _reindex_notes(reader, path if output_format.loose else None),
        )

    if stream is not None:  # A stream cannot be rewound for a second attempt.
        reader = Reader(root)
        try:
            return work(reader)
        finally:
            reader.close()
    return run_with_reader(root, work)


class _CountingStream:
    """A stream that counts the bytes written to it."""

    def __init__(self, out: BinaryIO) -> None:
        self._out, self.written, self.flush = out, 0, out.flush

    def write(self, data: bytes) -> int:
        write_all(self._out, data)
        self.written += len(data)
        return len(data)


def _condition(where: str | None, tags: Sequence[str]) -> str | None:
    if isinstance(tags, str):
        raise UsageError(f"tags is a list, not {tags!r}")
    names = [tag.replace("'", "''") for tag in tags]
    return _conjunction(*(f"tag('{tag}')" for tag in names), where)


def _conjunction(*conditions: str | None) -> str | None:
    """Join conditions with AND. A single one stays unchanged, so that error messages quote what was typed."""
    parts = [one for one in conditions if one is not None]
    return " AND ".join(f"({one})" for one in parts) if len(parts) > 1 else next(iter(parts), None)


def _run_query(collection: AnyCollection, question: Question, limit: int, condition: str | None) -> tuple[Ids, Float32]:
    """Run a query; returns ids and scores of the hits, best first."""
    query = question if isinstance(question, Query) else as_query(question, limit=limit)
    query = replace(query, where=_conjunction(query.where, condition))
    with ExitStack() as stack:
        source = collection if isinstance(collection, Collection) else None
        if source is None:
            source = stack.enter_context(open_collection(path_of(collection)))
        hits = source.search(query, metadata=False).hits
    return np.array([h.image_id for h in hits], np.int64), np.array([h.score for h in hits], np.float32)


def _select_images(
    reader: Reader,
    output_format: Format,
    condition: str | None,
    ids: Sequence[int] | None,
    hits: tuple[Ids, Float32] | None,
    space: int | None,
) -> tuple[Selection, tuple[str, ...]]:
    """Select the images to export from a generation; also returns notes for the report."""
    select = partial(Selection, reader, image_space(reader, space))
    notes: list[str] = []
    if hits is not None:
        live = IdSet(live_ids(reader)).marks(hits[0])
        if not live.all():
            notes.append(f"{int((~live).sum()):,} hits have left the collection meanwhile")
        selection = select(hits[0][live], hits[1][live])
    elif ids is not None:
        id_array = _check_ids(ids)
        missing = id_array[~IdSet(live_ids(reader)).marks(id_array)]
        if missing.size:
            raise ImageNotFoundError(f"no image {missing[0]} in this collection")
        meets = filter_ids(reader, condition)
        selection = select(id_array if meets is None else id_array[meets.marks(id_array)])
    else:
        meets = filter_ids(reader, condition)
        selection = select(None if meets is None else meets.ids)
    if output_format.vectors and len(narrowed := selection.with_vectors()) < len(selection):
        count = len(selection) - len(narrowed)
        notes.append(f"{count:,} images without a vector of {selection.space.encoder} are left out")
        selection = narrowed
    return selection, tuple(notes)


def _reindex_notes(reader: Reader, target: Path | None) -> tuple[str, ...]:
    """Note that the next index run will find exported pictures, if ``target`` lies in an indexed folder."""
    if target is None:
        return ()
    real = Path(os.path.realpath(target))
    for source in reader.sources().values():
        is_folder = source.kind in FOLDER_KINDS
        if is_folder and real.is_relative_to(os.path.realpath(os.fsdecode(source.root))):
            location = display_path(source.root)
            return (f"it lies in the source {location}: the next `imseek index` takes its pictures in too",)
    return ()


def _check_ids(ids: Sequence[int]) -> Ids:
    """Return the unique ids in their order. Raises UsageError for a non-integer, ImageNotFoundError if out of range."""
    try:
        numbers = dict.fromkeys(map(operator.index, ids))
    except TypeError as error:
        raise UsageError(f"ids are whole numbers: {error}") from error
    if out := [one for one in numbers if not 0 <= one < 2**63]:
        raise ImageNotFoundError(f"no image {out[0]} in this collection")
    return np.array(list(numbers), np.int64)


def _record(output_format: Format, selection: Selection, result: WriteResult) -> dict[str, object]:
    space = selection.space
    encoder_facts = {"encoder": space.encoder, "fingerprint": space.fingerprint, "dim": space.dim}
    return {
        "format": output_format.name,
        "collection": selection.reader.identity.uuid,
        "generation": selection.reader.generation,
        "images": result.images,
        **(encoder_facts if output_format.vectors else {}),
    }
