"""The pictures that go out, as their sources have them now: those that cannot be had are told, each with its reason."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeAlias, TypeVar

from imseek.data.places import INSIDE, is_url, locate, split
from imseek.data.reader import SourceRow
from imseek.errors import ImseekError, MediaError
from imseek.exports.base import Job
from imseek.exports.selection import Block
from imseek.indexer.reencode import CONTENT_CHANGED, NO_PLACE
from imseek.indexer.sources.reading import PlaceReader
from imseek.indexer.workers import OrderedMap
from imseek.media.formats import ending_of
from imseek.types import Place, SkippedPicture, SkipReason

#: An image as JSON can hold it.
Row: TypeAlias = dict[str, Any]
T = TypeVar("T")

#: Pictures are read ahead by so many threads, and so many are held at once.
_THREADS: Final = 4
_AHEAD: Final = 2 * _THREADS
#: Seconds after which a picture that does not come is given up: those on the web have limits of their own.
_DEADLINE: Final = 180.0
#: Images whose places are looked up together.
_BLOCK: Final = 1024


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """Its bytes, how the name of a file with it ends, and the file of this machine that holds it and nothing else."""

    data: bytes
    ending: str
    file: bytes | None


@dataclass(frozen=True, slots=True)
class _Wanted:
    image_id: int
    row: Row
    content: str
    shown: Place | None
    at: tuple[SourceRow, bytes] | None


@dataclass(frozen=True, slots=True, eq=False)
class _Read(Generic[T]):
    wanted: _Wanted
    made: T | None
    reason: str = ""
    message: str = ""


class Pictures:
    """``skipped`` are those that could not be had so far."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self.skipped: list[SkippedPicture] = []

    def __iter__(self) -> Iterator[tuple[Row, Picture]]:
        """All that can be had, in the order of the selection."""
        return ((row, picture) for row, picture in self.made(lambda picture: picture) if picture is not None)

    def made(self, make: Callable[[Picture], T]) -> Iterator[tuple[Row, T | None]]:
        """What ``make`` makes of each picture, in threads; None beside the image where it cannot be had, also by a
        MediaError of ``make``."""
        with PlaceReader() as places:

            def read(wanted: _Wanted) -> _Read[T]:
                try:
                    return _Read(wanted, make(_load(places, wanted)))
                except MediaError as error:
                    return _Read(wanted, None, error.reason, str(error))
                except ImseekError as error:
                    return _Read(wanted, None, SkipReason.UNREADABLE, f"{error}; {error.hint}")
                except FileNotFoundError:
                    return _Read(wanted, None, SkipReason.VANISHED, "it is not there any more")
                except OSError as error:
                    return _Read(wanted, None, SkipReason.UNREADABLE, str(error.strerror or error))

            def late(wanted: _Wanted) -> _Read[T]:
                return _Read(wanted, None, SkipReason.TIMEOUT, "reading it took too long")

            reading = OrderedMap(read, workers=_THREADS, lookahead=_AHEAD, deadline=_DEADLINE, late=late)
            for done, found in enumerate(reading(self._wanted()), 1):
                if found.made is None:
                    wanted = found.wanted
                    self.skipped.append(
                        SkippedPicture(wanted.image_id, wanted.shown, found.reason, found.message)
                    )
                yield found.wanted.row, found.made
                self._job.told(done)

    def _wanted(self) -> Iterator[_Wanted]:
        selection = self._job.selection
        sources = selection.reader.sources()
        for block in selection.blocks(_BLOCK):
            places = selection.reader.catalog_places(block.ids.tolist())
            hashes = block.table.column("content_hash").to_pylist()
            for (image_id, row), content, shown in zip(rows_of(block), hashes, block.places, strict=True):
                place = places.get(image_id)
                at = None if place is None else (sources[place[0]], place[1])
                yield _Wanted(image_id, row, content.hex(), shown, at)


def rows_of(block: Block) -> Iterator[tuple[int, Row]]:
    """Id and row of each image, for programs that know no whole numbers of 64 bits without a sign."""
    for image_id, row in zip(block.ids.tolist(), block.rows(), strict=True):
        if "phash" in row:
            row["phash"] = f"{row['phash']:016x}"
        yield image_id, row


def _load(places: PlaceReader, wanted: _Wanted) -> Picture:
    """Raises MediaError, MissingExtraError, OSError."""
    if wanted.at is None:
        raise MediaError(NO_PLACE, "where it lies is not known")
    source, path = wanted.at
    content = places.load(source, path)
    if (
        source.kind == "vectors"
    ):  # What stands for the content of a picture that nobody has seen is its vector.
        size = wanted.row.get("bytes") or len(content.data)
        changed = len(content.data) != size
    else:
        changed = hashlib.sha256(content.data).hexdigest() != wanted.content
    if changed:
        raise MediaError(CONTENT_CHANGED, "it has changed since it was indexed")
    place = locate(source.root, path)
    if (ending := ending_of(content.data, place)) is None:
        raise MediaError(SkipReason.NOT_AN_IMAGE, "the content is not that of any known image format")
    whole = (INSIDE not in path or split(path)[2]) and not is_url(place)
    return Picture(content.data, ending, place if whole else None)
