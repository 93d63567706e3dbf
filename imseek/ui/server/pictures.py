"""Pictures over HTTP: original bytes with ranges and ETags, and cached thumbnails."""

from __future__ import annotations

import hashlib
import re
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from imseek import media
from imseek.errors import MediaError
from imseek.media import DEFAULT_LIMITS, Limits, thumbnail
from imseek.types.pictures import SkipReason
from imseek.ui.server.service import ServedCollection

#: Media types of the formats that can be indexed.
_TYPES: Final = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "WEBP": "image/webp",
    "GIF": "image/gif",
    "TIFF": "image/tiff",
    "BMP": "image/bmp",
    "AVIF": "image/avif",
    "HEIC": "image/heic",
    "JPEG XL": "image/jxl",
    "SVG": "image/svg+xml",
    "camera raw": "image/x-dcraw",
}
#: Formats that a browser opens as a document, with its scripts, or does not know: sent as downloads. The policy in the
#: headers of all pictures blocks scripts in any case.
_DOWNLOADS: Final = frozenset({"SVG", "camera raw"})
_RANGE: Final = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)
#: Sides of thumbnails in pixels.
MIN_SIDE: Final = 32
MAX_SIDE: Final = 1024
DEFAULT_SIDE: Final = 256
#: Pictures of more pixels take seconds to decode, so that is done once for all sides.
_COSTLY_PIXELS: Final = 40_000_000
#: Maximum bytes of cached thumbnails.
_CACHE_BYTES: Final = 64 << 20


@dataclass(frozen=True, slots=True)
class Picture:
    """The bytes of a picture file.

    ``format`` is detected from them; ``digest`` is their SHA-256 in hex, which serves as the ETag.
    """

    data: bytes
    format: str
    digest: str

    def response(self, request: Request) -> Response:
        """Answer a request with 200, 206, 304 or 416, without a body for HEAD."""
        etag = f'"{self.digest}"'
        headers = {
            "ETag": etag,
            "Cache-Control": "private, max-age=0, must-revalidate",
            "Accept-Ranges": "bytes",
            "X-Content-Type-Options": "nosniff",
            "Content-Security-Policy": "default-src 'none'; sandbox",
            "Cross-Origin-Resource-Policy": "same-origin",
        }
        if _matches(request.headers.get("if-none-match"), etag):
            return Response(status_code=304, headers=headers)
        kind = _TYPES[self.format]
        if self.format in _DOWNLOADS:
            headers["Content-Disposition"] = "attachment"
        part, status = self.data, 200
        range_header = request.headers.get("range")
        # A range of a changed picture is useless.
        if range_header is not None and request.headers.get("if-range", etag) == etag:
            bounds = _bounds(range_header, len(self.data))
            if bounds == ():
                headers["Content-Range"] = f"bytes */{len(self.data)}"
                return Response(status_code=416, headers=headers)
            if bounds:
                start, stop = bounds
                headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(self.data)}"
                part, status = self.data[start:stop], 206
        if request.method == "HEAD":
            headers["Content-Length"] = str(len(part))
            part = b""
        return Response(part, status, headers, media_type=kind)


async def original(served: ServedCollection, image_id: int) -> Picture:
    """Read the picture as it was indexed.

    The bytes sent are those that were checked in memory, so a file that changes meanwhile does not change the response.
    Raises ImageNotFoundError, ContentChangedError, MediaError.
    """
    content = await served.threads.read(served.collection.originals.load, image_id)
    if content.format not in _TYPES:  # For example PSD, which is never indexed.
        raise MediaError(SkipReason.MISSING_CODEC, f"{content.format} is not served")
    return Picture(content.data, content.format, content.sha256.hex())


class ThumbnailCache:
    """Thumbnails in a bounded LRU cache in memory.

    Pictures of more than ``pixels`` pixels are refused; by default, that is what can be indexed.
    """

    def __init__(self, pixels: int = DEFAULT_LIMITS.max_pixels) -> None:
        self._limits = Limits(max_pixels=pixels)
        self._cache: OrderedDict[tuple[str, str, int], Picture] = OrderedDict()
        self._bytes = 0

    async def thumbnail(self, served: ServedCollection, image_id: int, side: int) -> Picture:
        """Return a WebP thumbnail of what was indexed, even if the file changed after the thumbnail was made.

        Raises ImageNotFoundError, ContentChangedError, MediaError.
        """
        place = await served.threads.read(served.collection.originals.place, image_id)
        key = (served.collection.uuid, place.content_hash.hex(), side)
        if key in self._cache:
            self._cache.move_to_end(key)
            return self._cache[key]
        if side < MAX_SIDE and await served.threads.read(_is_costly, served, image_id):
            largest = await self.thumbnail(served, image_id, MAX_SIDE)
            return await served.threads.look(self._make, largest.data, side)
        full_picture = await original(served, image_id)
        picture = await served.threads.look(self._make, full_picture.data, side)
        # A picture that was not read at indexing may be a different one next time.
        if key not in self._cache and full_picture.digest == place.content_hash.hex():
            self._cache[key] = picture
            self._bytes += len(picture.data)
        while self._bytes > _CACHE_BYTES:
            self._bytes -= len(self._cache.popitem(last=False)[1].data)
        return picture

    def _make(self, data: bytes, side: int) -> Picture:
        small = thumbnail(
            media.decode(data, min_side=side, limits=self._limits, measured=False, preview=True).pixels, side
        )
        return Picture(small, "WEBP", hashlib.sha256(small).hexdigest())


def _is_costly(served: ServedCollection, image_id: int) -> bool:
    """Whether the picture is so large that it should be decoded only once."""
    columns = served.collection.get(image_id).metadata
    return int(columns.get("width") or 0) * int(columns.get("height") or 0) > _COSTLY_PIXELS


def _matches(header: str | None, etag: str) -> bool:
    if header is None:
        return False
    return header.strip() == "*" or etag in {one.strip().removeprefix("W/") for one in header.split(",")}


def _bounds(range_header: str, size: int) -> tuple[int, int] | tuple[()] | None:
    """Parse a ``Range`` header: (start, stop), () if it cannot be satisfied, None if it is to be ignored."""
    match = _RANGE.fullmatch(range_header.strip())
    if match is None or match.groups() == ("", ""):
        return None  # Several ranges or another unit: the whole picture is a valid response.
    first, last = match.groups()
    if not first:
        start, stop = max(0, size - int(last)), size
    else:
        start, stop = int(first), min(size, int(last) + 1) if last else size
        if last and int(last) < int(first):
            return None
    return (start, stop) if start < stop else ()
