"""Read the text in the pictures of a collection that were not read before."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Final, TypeAlias

from imseek.analysis.originals import Originals
from imseek.data.reader import Reader
from imseek.data.writing.writer import Writer
from imseek.encoders.input_checks import available_cpus
from imseek.errors import MediaError, MissingExtraError, StaleGenerationError
from imseek.indexer.ordered_map import OrderedMap
from imseek.ocr import text_store
from imseek.ocr.picture_text import read_picture
from imseek.ocr.pp_ocr import Recogniser, recogniser_name
from imseek.ocr.results import OcrReport, TextLine, UnreadPicture
from imseek.progress import Task
from imseek.types.pictures import SkipReason

PHASE: Final = "reading text"
#: Pictures or seconds between commits. Each writes the columns of the shards that these pictures are in: where that
#: takes long, commits are rarer, so that they take up to a twentieth of the time.
COMMIT_IMAGES: Final = 1024
COMMIT_SECONDS: Final = 10.0
_COMMIT_SHARE: Final = 20.0
#: Seconds for opening and reading one picture. Reading stops before, unless the machine is busy with other work.
_DEADLINE: Final = 300.0
#: Pictures whose places are looked up together.
_LOOKUP_BATCH: Final = 1024
_MAX_LISTED: Final = 1000
RECOGNISER_FAILED: Final = "recogniser_failed"

#: Seconds to wait, at the end, for pictures that are being read: a process that ends within ONNX Runtime is aborted.
_LAST_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class _Trouble:
    """Why a picture could not be read: a code and a message."""

    reason: str
    message: str


_Outcome: TypeAlias = tuple[TextLine, ...] | _Trouble


def read_texts(writer: Writer, task: Task) -> OcrReport:
    """Read the pictures that were not read before; see :func:`imseek.ocr.recognise`."""
    started = time.monotonic()
    recogniser = recogniser_name()
    with closing(Reader(writer.root)) as reader:
        missing, images = text_store.ids_without_text(reader)
        earlier = text_store.begin(writer, recogniser, reads=len(missing) > 0)
        batch = _Batch(writer)
        unread: list[UnreadPicture] = []
        unreadable = 0
        task.report(PHASE, 0, len(missing))
        for image_id, outcome in _read_each(reader, missing.tolist(), task):
            if isinstance(outcome, _Trouble):
                unreadable += 1
                if len(unread) < _MAX_LISTED:
                    place = reader.places([image_id]).get(image_id)
                    unread.append(UnreadPicture(image_id, place, outcome.reason, outcome.message))
            else:
                batch.add(image_id, outcome)
            task.report(PHASE, batch.done, len(missing), skipped=unreadable)
        batch.store()
        task.report(PHASE, batch.done, len(missing), skipped=unreadable)
    return OcrReport(
        images=images,
        missing=len(missing),
        read=batch.done,
        with_text=batch.with_text,
        unreadable=unreadable,
        unread=tuple(unread),
        seconds=time.monotonic() - started,
        generation=writer.current().generation,
        recogniser=recogniser,
        earlier_recognisers=earlier,
        interrupted=task.is_cancelled and batch.done + unreadable < len(missing),
    )


class _Batch:
    """Pictures that were read and are not stored yet. ``done`` counts those stored, ``with_text`` those with text."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._lines_by_id: dict[int, tuple[TextLine, ...]] = {}
        self._due = time.monotonic() + COMMIT_SECONDS
        self.done = self.with_text = 0

    def add(self, image_id: int, lines: tuple[TextLine, ...]) -> None:
        """Add a picture, and store all of them where it is time to."""
        self._lines_by_id[image_id] = lines
        if len(self._lines_by_id) >= COMMIT_IMAGES or time.monotonic() >= self._due:
            self.store()

    def store(self) -> None:
        if not self._lines_by_id:
            return
        started = time.monotonic()
        text_store.store(self._writer, self._lines_by_id)
        self.done += len(self._lines_by_id)
        self.with_text += sum(map(bool, self._lines_by_id.values()))
        self._lines_by_id = {}
        ended = time.monotonic()
        self._due = ended + max(COMMIT_SECONDS, _COMMIT_SHARE * (ended - started))


def _read_each(reader: Reader, missing: Sequence[int], task: Task) -> Iterator[tuple[int, _Outcome]]:
    """Yield the lines of each picture, or why it could not be read; stops where the task is cancelled."""
    if not missing:
        return  # Loading the networks takes a second.
    recogniser = Recogniser()
    workers = available_cpus()
    idle = threading.Semaphore(workers)
    try:
        for start in range(0, len(missing), _LOOKUP_BATCH):
            ids = missing[start : start + _LOOKUP_BATCH]
            with Originals(reader, ids) as originals:

                def look(image_id: int, originals: Originals = originals) -> _Outcome:
                    with idle:
                        return _read(originals, image_id, recogniser, task)

                each: OrderedMap[int, _Outcome] = OrderedMap(
                    look, workers=workers, lookahead=4 * workers, deadline=_DEADLINE, late=_give_up
                )
                with closing(each(ids)) as results:
                    for image_id, outcome in zip(ids, results, strict=True):
                        if task.is_cancelled:  # Then the last picture may have been left in the middle.
                            return
                        yield image_id, outcome
    finally:
        for _ in range(workers):
            idle.acquire(timeout=_LAST_SECONDS)


def _read(originals: Originals, image_id: int, recogniser: Recogniser, task: Task) -> _Outcome:
    try:
        picture = originals.load(image_id)
        return read_picture(picture.data, recogniser, lambda: task.is_cancelled)
    except StaleGenerationError:
        raise
    except MediaError as error:
        return _Trouble(error.reason, str(error))
    except MissingExtraError as error:
        return _Trouble(SkipReason.MISSING_CODEC, str(error))
    except OSError as error:
        return _Trouble(SkipReason.UNREADABLE, error.strerror or str(error))
    except Exception as error:  # of OpenCV, ONNX Runtime or rapidocr: one picture must not end the run
        return _Trouble(RECOGNISER_FAILED, f"{type(error).__name__}: {error}"[:200])


def _give_up(_: int) -> _Trouble:
    return _Trouble(SkipReason.TIMEOUT, f"it was not read within {_DEADLINE:.0f} seconds")
