"""Small pictures of hits, from wherever they lie, or why there is none."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from imseek.errors import ContentChangedError, ImseekError, MediaError
from imseek.types import Pixels, Place, ReadPicture, SearchResult, SkipReason

ELSEWHERE: Final = "the picture is of another collection"


@dataclass(frozen=True, slots=True)
class Folders:
    """The pictures of collections in these folders, by UUID. They are read even where the collection that was asked
    has been closed since."""

    paths: Mapping[str, Path]

    @contextmanager
    def opened(self) -> Iterator[ReadPicture]:
        """A function of UUID, id and side that gives the picture as it was indexed, for several threads."""
        from imseek.curate.originals import Originals
        from imseek.data.reader import Reader

        lock, known = threading.Lock(), dict[str, Originals]()
        with ExitStack() as stack:

            def read(uuid: str, image_id: int, side: int) -> bytes:
                with lock:
                    if uuid not in self.paths:
                        raise MediaError(SkipReason.VANISHED, ELSEWHERE)
                    if uuid not in known:
                        reader = stack.enter_context(closing(Reader(self.paths[uuid])))
                        known[uuid] = stack.enter_context(Originals(reader))
                return known[uuid].load(image_id).data

            yield read

    def html(self, result: SearchResult) -> str:
        """A grid for notebooks; never raises."""
        from imseek.showing.grid import html

        return html(result, self.opened)


def small(read: ReadPicture, uuid: str, image_id: int, side: int) -> Pixels:
    """(h, w, 3) uint8, not much larger than ``side``. Raises MediaError with the reason where it cannot be had."""
    from imseek.media import decode

    try:
        return decode(read(uuid, image_id, side), min_side=side, measured=False).pixels
    except MediaError:
        raise
    except ImseekError as error:
        raise MediaError(SkipReason.UNREADABLE, str(error), hint=error.hint) from error
    except OSError as error:
        gone = isinstance(error, FileNotFoundError)
        reason = SkipReason.VANISHED if gone else SkipReason.UNREADABLE
        raise MediaError(reason, error.strerror or str(error)) from error


def name_of(place: Place | None, image_id: int) -> str:
    """The last part of where an image lies, as one printable line."""
    if place is None:
        return f"image {image_id}"
    return place.display.rstrip("/").rsplit("/", 1)[-1] or place.display


def why(error: MediaError) -> str:
    """The reason in a few words, for a place as small as a thumbnail."""
    if isinstance(error, ContentChangedError):
        return "changed since it was indexed"
    return _WORDS.get(error.reason, "cannot be read")


_WORDS: Final[Mapping[str, str]] = {
    SkipReason.VANISHED: "not there any more",
    SkipReason.BROKEN_LINK: "not there any more",
    SkipReason.MISSING_CODEC: "no codec for it here",
    SkipReason.FETCH_FAILED: "cannot be fetched",
    SkipReason.FORBIDDEN_ADDRESS: "must not be fetched",
    SkipReason.TOO_MANY_PIXELS: "too large to show",
    SkipReason.TOO_MANY_BYTES: "too large to show",
}
