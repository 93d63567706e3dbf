"""Re-encode a collection: read its pictures again and encode them as the rows of a new space."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

import numpy.typing as npt

from imseek.data.catalog import sources, spaces
from imseek.data.catalog.content_lookup import same_contents
from imseek.data.catalog.spaces import StoredSpace
from imseek.data.reader import Reader
from imseek.data.user_files.image_places import IndexedPlace
from imseek.data.writing.space_build import SpaceBuild
from imseek.data.writing.space_build_rows import Row
from imseek.data.writing.writer import Writer
from imseek.encoders.base import Encoder
from imseek.encoders.input_checks import available_cpus
from imseek.errors import CONTENT_CHANGED, ImseekError, MediaError
from imseek.indexer import space_change_checks
from imseek.indexer.decode_stage import TIMED_OUT, Trouble, unit_rows
from imseek.indexer.ordered_map import OrderedMap
from imseek.indexer.sources.picture_reader import PlaceReader
from imseek.media.decode import decode
from imseek.progress import Task
from imseek.types.indexing_runs import SpaceRun
from imseek.types.maintenance_reports import MissingPicture, ReencodeOutcome, ReencodeReport
from imseek.types.pictures import Place, SkipReason

#: Default batch size, if the encoder asks for no larger one.
ENCODE_BATCH = 32
#: Progress phase.
PHASE = "encode"
#: Time limit for reading and decoding one picture.
PICTURE_SECONDS = 60.0
#: A switch may go without this many unreadable pictures, or this share of all, if the next ``index`` would remove or
#: replace them anyway.
FEW_MISSING = 10
SHARE_MISSING = 0.01

#: Reason for an image without a place, in addition to those of :class:`SkipReason`.
NO_PLACE = "no_place"

#: Ids per lookup of places.
_LOOKUP_BATCH = 500


@dataclass(frozen=True, slots=True)
class EncodeRequest:
    """An image to encode, and the places that may hold its content, its own first.

    ``place`` is its own, or None. ``twin`` is another image of the same content that has a row or was requested
    before.
    """

    image_id: int
    place: Place | None
    places: tuple[IndexedPlace, ...]
    twin: int | None


@dataclass(frozen=True, slots=True)
class _ReadResult:
    """The result of reading an image: the encoder's input, or why there is none. Both are None for a twin."""

    request: EncodeRequest
    prepared: npt.NDArray[Any] | None
    trouble: Trouble | None


class PictureRows:
    """Makes rows of an image space (:data:`imseek.data.writing.space_build.MakeRows`). Each content is read and encoded
    once.

    ``build`` holds the rows made so far. ``missing`` is by image id, in the order requested.
    """

    def __init__(self, writer: Writer, encoder: Encoder, build: SpaceBuild, task: Task) -> None:
        self.missing: dict[int, MissingPicture] = {}
        self.encoded = 0
        self.copied = 0
        self._writer = writer
        self._encoder = encoder
        self._build = build
        self._task = task
        self._reader = Reader(writer.root)
        self._pictures = PlaceReader()
        self._first_images: dict[bytes, int] = {}  # first image of each content that several images share
        self._encode_at = max(ENCODE_BATCH, encoder.info.batch_size)
        self._roots = {s.source_id: (s.kind, sources.absolute_root(writer.root, s)) for s in writer.catalog.sources()}

    def __call__(self, ids: Iterator[int]) -> Iterator[tuple[int, Row | None]]:
        workers = available_cpus()
        read: OrderedMap[EncodeRequest, _ReadResult] = OrderedMap(
            self._read,
            workers=workers,
            lookahead=self._encode_at + 2 * workers,
            deadline=PICTURE_SECONDS,
            late=lambda w: _ReadResult(w, None, TIMED_OUT),
        )
        batch: list[_ReadResult] = []
        pictures = 0
        with self._pictures:
            for result in read(self._requests(ids)):
                batch.append(result)
                pictures += result.prepared is not None
                if pictures >= self._encode_at or len(batch) >= _LOOKUP_BATCH:
                    yield from self._answers(batch)
                    batch, pictures = [], 0
            yield from self._answers(batch)

    def _requests(self, ids: Iterator[int]) -> Iterator[EncodeRequest]:
        while chunk := list(islice(ids, _LOOKUP_BATCH)):
            alike = same_contents(self._writer.root, chunk)
            everyone = sorted({twin for _, twins in alike.values() for twin in twins})
            places = self._reader.places(everyone)
            where = self._reader.indexed_places(everyone)
            for image_id in chunk:
                if self._task.is_cancelled:
                    return
                content_hash, twins = alike[image_id]
                yield EncodeRequest(
                    image_id,
                    places.get(image_id),
                    tuple(where[i] for i in (image_id, *twins) if i in where),
                    self._twin(image_id, content_hash, twins) if len(twins) > 1 else None,
                )

    def _twin(self, image_id: int, content_hash: bytes, twins: Sequence[int]) -> int | None:
        """Return an image with the same content that has a row or was requested before, or None."""
        if content_hash in self._first_images:
            return self._first_images[content_hash]
        self._first_images[content_hash] = image_id
        others = (twin for twin in twins if twin != image_id)
        return next((twin for twin in others if self._build.row_of(twin) is not None), None)

    def _read(self, request: EncodeRequest) -> _ReadResult:
        """Read the content from the first place that has it. Runs in a worker thread."""
        if request.twin is not None:
            return _ReadResult(request, None, None)
        first: Trouble | None = None
        for place in request.places:
            try:
                return _ReadResult(request, self._prepare(self._pictures.load(place).data), None)
            except MediaError as error:
                trouble = Trouble(error.reason, str(error))
            except OSError as error:
                trouble = Trouble(SkipReason.UNREADABLE, str(error.strerror or error))
            first = first or trouble
        return _ReadResult(request, None, first or Trouble(NO_PLACE, "where it lies is not known"))

    def _prepare(self, data: bytes) -> npt.NDArray[Any]:
        decoded = decode(data, min_side=self._encoder.info.draft_size, measured=False)
        try:
            return self._encoder.prepare(decoded.pixels)
        except (ImseekError, OSError):
            raise
        except Exception as error:
            message = f"{type(error).__name__}: {error}"
            raise MediaError(SkipReason.ENCODER_FAILED, message) from error

    def _answers(self, batch: Sequence[_ReadResult]) -> Iterator[tuple[int, Row | None]]:
        """Encode the pictures read and yield the row of each image, or None with an entry in ``missing``."""
        pictures = [result for result in batch if result.prepared is not None]
        rows = unit_rows(self._encoder, [result.prepared for result in pictures if result.prepared is not None])
        if pictures:
            # Recorded only now, because encoding may have changed the precision.
            run = SpaceRun(self._build.space.space_id, self._encoder.info.reference, self._encoder.precision)
            self._writer.detail = {"spaces": [asdict(run)]}
        rows_by_image = {result.request.image_id: row for result, row in zip(pictures, rows, strict=True)}
        for result in batch:
            request, trouble = result.request, result.trouble
            encoding = rows_by_image.get(request.image_id)
            row = None if isinstance(encoding, str) else encoding
            if isinstance(encoding, str):
                trouble = Trouble(SkipReason.ENCODER_FAILED, encoding)
            elif row is not None:
                self.encoded += 1
            elif request.twin is not None:
                # The twin was requested before: it has a row, or is missing.
                row = self._build.row_of(request.twin)
                self.copied += row is not None
                if row is None:
                    twin = self.missing[request.twin]
                    trouble = Trouble(twin.reason, twin.message)
            if trouble is not None:
                self.missing[request.image_id] = self._missing(request, trouble)
            yield request.image_id, row

    def _missing(self, request: EncodeRequest, trouble: Trouble) -> MissingPicture:
        place = request.place
        settled = trouble.reason in (CONTENT_CHANGED, NO_PLACE) or (
            trouble.reason == SkipReason.VANISHED and place is not None and self._is_there(place.source_id)
        )
        return MissingPicture(request.image_id, place, trouble.reason, trouble.message, settled)

    def _is_there(self, source_id: int) -> bool:
        """Return whether a source is a folder that is not empty: an empty one may be an unmounted disk."""
        kind, root = self._roots.get(source_id, ("", b""))
        try:
            return kind != "file" and bool(os.listdir(root))
        except OSError:
            return False


@dataclass(frozen=True, slots=True)
class ReencodeRequest:
    """What to build: ``space`` as for :func:`imseek.data.writing.create.create`.

    It replaces the space ``replaces`` (default: the first), or comes last with ``add``. ``allow_missing`` switches
    even if many pictures are missing.
    """

    space: Mapping[str, Any]
    replaces: int | None = None
    add: bool = False
    allow_missing: bool = False


def reencode(
    writer: Writer,
    encoder: Encoder,
    order: ReencodeRequest,
    task: Task,
) -> ReencodeReport:
    """Build a space with ``encoder`` and switch to it. See :func:`imseek.maintenance.reencode`."""
    started = time.monotonic()
    stored = spaces.list_spaces(writer)
    replaced = None if order.add else space_change_checks.space_to_replace(stored, order.replaces)
    if (existing := space_change_checks.find_existing(stored, encoder, replaced)) is not None:
        build = SpaceBuild(writer, existing.info)
        rows = PictureRows(writer, encoder, build, task)
        return _report("already", build, rows, None, build.done, encoder, started, ())
    space_change_checks.check_new(stored, encoder, replaced)
    info = spaces.prepare_space(writer, order.space)
    build = SpaceBuild(writer, info)
    rows = PictureRows(writer, encoder, build, task)
    before = build.done

    task.report(PHASE, before, build.total)
    is_complete = build.run(rows, task, PHASE, lambda: len(rows.missing))
    outcome: ReencodeOutcome = "interrupted"
    if is_complete:
        lost = tuple(rows.missing.values())
        bearable = order.allow_missing or _is_acceptable(lost, build.total, spaces.unsearched_images(writer))
        outcome = "switched" if bearable else "refused"
    if outcome == "switched":
        build.switch(None if replaced is None else replaced.info.space_id)
    notes = _missing_notes(outcome, len(rows.missing))
    if outcome == "switched" and replaced is not None:
        notes += _caption_notes(stored, replaced)
    return _report(outcome, build, rows, replaced, before, encoder, started, notes)


def _report(
    outcome: ReencodeOutcome,
    build: SpaceBuild,
    rows: PictureRows,
    replaced: StoredSpace | None,
    before: int,
    encoder: Encoder,
    started: float,
    notes: tuple[str, ...],
) -> ReencodeReport:
    return ReencodeReport(
        outcome=outcome,
        space_id=build.space.space_id,
        encoder=build.space.encoder,
        replaced=None if replaced is None else replaced.info.space_id,
        images=build.total,
        before=before,
        encoded=rows.encoded,
        copied=rows.copied,
        missing=tuple(rows.missing.values()),
        seconds=time.monotonic() - started,
        generation=build.generation,
        precision=encoder.precision,
        notes=notes,
    )


def are_few(missing: int, total: int) -> bool:
    """Return whether a build may leave out this many pictures."""
    return missing <= max(FEW_MISSING, SHARE_MISSING * total)


def _is_acceptable(missing: Sequence[MissingPicture], total: int, resting: Set[int]) -> bool:
    """Return whether few pictures are missing, and the next ``index`` would remove or replace them all.

    Images in ``resting`` do not count, because they are not searched now either.
    """
    lost = [picture for picture in missing if picture.image_id not in resting]
    return are_few(len(lost), total) and all(picture.settled for picture in lost)


def _missing_notes(outcome: ReencodeOutcome, missing: int) -> tuple[str, ...]:
    if not missing or outcome == "interrupted":
        return ()
    number, them = (f"{missing:,} pictures", "them") if missing > 1 else ("1 picture", "it")
    if outcome == "switched":
        return (f"{number} could not be read: `imseek index` sees to {them}, and until then no search finds {them}",)
    return (
        f"{number} could not be read, so searches stay with the old space; what was built is kept",
        f"make {them} readable, or `imseek index` where files were deleted or changed, then the same command goes on; "
        f"`--allow-missing` switches without {them}",
    )


def _caption_notes(stored: Sequence[StoredSpace], replaced: StoredSpace) -> tuple[str, ...]:
    """Return notes on caption spaces that still use the replaced encoder, until captions are embedded again."""
    return tuple(
        f"captions (space {space.info.space_id}) stay with {space.info.encoder} until `imseek maintain --captions`"
        for space in stored
        if space.is_current and space.info.modality == "text" and space.info.fingerprint == replaced.info.fingerprint
    )
