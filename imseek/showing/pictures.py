"""Load small pictures of hits, or say why they cannot be loaded."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from imseek.errors import ContentChangedError, ImseekError, MediaError
from imseek.types.answers import ReadPicture, SearchResult
from imseek.types.arrays import Pixels
from imseek.types.pictures import Place, SkipReason

OTHER_COLLECTION: Final = "the picture is of another collection"


@dataclass(frozen=True, slots=True)
class FolderPictures:
    """Loads pictures from collections in these folders, by UUID, even if the searched collection has been closed
    since."""

    paths: Mapping[str, Path]

    @contextmanager
    def opened(self) -> Iterator[ReadPicture]:
        """Yield a thread-safe function that takes UUID, id and side, and returns the picture as indexed."""
        from imseek.analysis.originals import Originals
        from imseek.data.reader import Reader

        lock, known = threading.Lock(), dict[str, Originals]()
        with ExitStack() as stack:

            def read(uuid: str, image_id: int, side: int) -> bytes:
                with lock:
                    if uuid not in self.paths:
                        raise MediaError(SkipReason.VANISHED, OTHER_COLLECTION)
                    if uuid not in known:
                        reader = stack.enter_context(closing(Reader(self.paths[uuid])))
                        known[uuid] = stack.enter_context(Originals(reader))
                return known[uuid].load(image_id).data

            yield read

    def html(self, result: SearchResult) -> str:
        """Render a grid for notebooks. Never raises."""
        from imseek.showing.grid import render_result

        return render_result(result, self.opened)


def load_small(read: ReadPicture, uuid: str, image_id: int, side: int) -> Pixels:
    """Load pixels (h, w, 3) uint8, not much larger than ``side``. Raises MediaError with the reason if that fails."""
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
    """Return the last component of an image's place, as one printable line."""
    if place is None:
        return f"image {image_id}"
    return place.display.rstrip("/").rsplit("/", 1)[-1] or place.display


def short_reason(error: MediaError) -> str:
    """Return the reason in a few words that fit on a thumbnail."""
    if isinstance(error, ContentChangedError):
        return "changed since it was indexed"
    return _SHORT_REASONS.get(error.reason, "cannot be read")


_SHORT_REASONS: Final[Mapping[str, str]] = {
    SkipReason.VANISHED: "not there any more",
    SkipReason.BROKEN_LINK: "not there any more",
    SkipReason.MISSING_CODEC: "no codec for it here",
    SkipReason.FETCH_FAILED: "cannot be fetched",
    SkipReason.FORBIDDEN_ADDRESS: "must not be fetched",
    SkipReason.TOO_MANY_PIXELS: "too large to show",
    SkipReason.TOO_MANY_BYTES: "too large to show",
}
