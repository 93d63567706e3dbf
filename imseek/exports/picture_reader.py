"""Read the pictures to export, as indexed; unreadable ones are skipped with a reason."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeAlias, TypeVar

from imseek.data.user_files.file_stat import FileStat
from imseek.data.user_files.image_places import IndexedPlace
from imseek.errors import CONTENT_CHANGED, ContentChangedError, ImseekError, MediaError
from imseek.exports.base import ExportJob
from imseek.exports.results import SkippedPicture
from imseek.exports.selection import Block
from imseek.indexer.ordered_map import OrderedMap
from imseek.indexer.reencode import NO_PLACE
from imseek.indexer.sources.picture_reader import PlaceReader
from imseek.media.formats import ending_of
from imseek.types.pictures import Place, SkipReason

#: An image as a JSON object.
Row: TypeAlias = dict[str, Any]
T = TypeVar("T")

#: Threads that read ahead, and pictures held at once.
_THREADS: Final = 4
_AHEAD: Final = 2 * _THREADS
#: Time limit for reading one picture, in seconds; web pictures have limits of their own.
_DEADLINE: Final = 180.0
#: Number of images whose places are looked up together.
_BLOCK: Final = 1024


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """Bytes and file name extension of a picture.

    ``file`` is the local file that holds exactly this picture, if there is one, with its ``stat`` when read.
    """

    data: bytes
    ending: str
    file: bytes | None
    stat: FileStat | None


@dataclass(frozen=True, slots=True)
class _PictureRequest:
    image_id: int
    row: Row
    shown: Place | None
    place: IndexedPlace | None


@dataclass(frozen=True, slots=True, eq=False)
class _PictureResult(Generic[T]):
    request: _PictureRequest
    value: T | None
    reason: str = ""
    message: str = ""


class PictureReader:
    """Reads the pictures of a job. ``skipped`` has those that could not be read so far."""

    def __init__(self, job: ExportJob) -> None:
        self._job = job
        self.skipped: list[SkippedPicture] = []

    def __iter__(self) -> Iterator[tuple[Row, Picture]]:
        """Yield the readable pictures, in the order of the selection."""
        return ((row, picture) for row, picture in self.map(lambda picture: picture) if picture is not None)

    def map(self, convert: Callable[[Picture], T]) -> Iterator[tuple[Row, T | None]]:
        """Yield ``convert(picture)`` for each image, computed in threads.

        None stands for a picture that cannot be read, or for which ``convert`` raises MediaError.
        """
        with PlaceReader() as places:

            def read(request: _PictureRequest) -> _PictureResult[T]:
                try:
                    return _PictureResult(request, convert(_load(places, request)))
                except MediaError as error:
                    return _PictureResult(request, None, error.reason, str(error))
                except ImseekError as error:
                    return _PictureResult(request, None, SkipReason.UNREADABLE, f"{error}; {error.hint}")
                except OSError as error:
                    return _PictureResult(request, None, SkipReason.UNREADABLE, str(error.strerror or error))

            def late(request: _PictureRequest) -> _PictureResult[T]:
                return _PictureResult(request, None, SkipReason.TIMEOUT, "reading it took too long")

            mapper = OrderedMap(read, workers=_THREADS, lookahead=_AHEAD, deadline=_DEADLINE, late=late)
            for count, result in enumerate(mapper(self._requests()), 1):
                if result.value is None:
                    request = result.request
                    self.skipped.append(SkippedPicture(request.image_id, request.shown, result.reason, result.message))
                yield result.request.row, result.value
                self._job.report(count)

    def _requests(self) -> Iterator[_PictureRequest]:
        selection = self._job.selection
        for block in selection.blocks(_BLOCK):
            places = selection.reader.indexed_places(block.ids.tolist())
            for (image_id, row), shown in zip(rows_of(block), block.places, strict=True):
                yield _PictureRequest(image_id, row, shown, places.get(image_id))


def rows_of(block: Block) -> Iterator[tuple[int, Row]]:
    """Yield the id and row of each image, with hashes in hexadecimal for programs without unsigned 64-bit integers."""
    for image_id, row in zip(block.ids.tolist(), block.rows(), strict=True):
        if "phash" in row:
            row["phash"] = f"{row['phash']:016x}"
        yield image_id, row


def _load(places: PlaceReader, request: _PictureRequest) -> Picture:
    """Load one picture. Raises MediaError, MissingExtraError, OSError."""
    if (place := request.place) is None:
        raise MediaError(NO_PLACE, "where it lies is not known")
    picture = places.load(place)
    # The size is all there is to check if the picture was never decoded.
    size = request.row.get("bytes") or len(picture.data)
    if not picture.is_verified and size != len(picture.data):
        raise ContentChangedError(CONTENT_CHANGED, "it does not have the size that its metadata say")
    ending = ending_of(picture.data, place.shown)
    assert ending is not None, "no picture has left its place unless its format is known"
    return Picture(picture.data, ending, place.shown if place.is_whole_file else None, picture.stat)
