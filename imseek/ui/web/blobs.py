"""Data that components fetch beside the pages: large arrays by their digest, and names of images.

An address from :func:`store_blob` always denotes the same bytes, so a browser fetches them once, and a run without
changes sends nothing.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from imseek.errors import ImseekError
from imseek.ui.server.problems import of_error, problem
from imseek.ui.server.service import Service
from imseek.ui.web.plain_text import file_name, one_line

ARRAYS: Final = "/arrays"
NAMES: Final = "/names"
#: Maximum bytes in the cache; the least recently used are dropped, and their page makes them anew.
_CACHE_BYTES: Final = 256 << 20


@dataclass(frozen=True, slots=True)
class Blob:
    """Bytes that can be fetched at ``address``."""

    address: str


class BlobCache:
    """Bytes by their digest, in a bounded LRU cache. Thread-safe."""

    def __init__(self, most: int = _CACHE_BYTES) -> None:
        self._max_bytes = most
        self._blobs: OrderedDict[str, bytes] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def put(self, data: bytes) -> Blob:
        digest = hashlib.sha256(data).hexdigest()
        with self._lock:
            if digest not in self._blobs:
                self._blobs[digest] = data
                self._bytes += len(data)
            self._blobs.move_to_end(digest)
            while self._bytes > self._max_bytes and len(self._blobs) > 1:
                self._bytes -= len(self._blobs.popitem(last=False)[1])
        return Blob(f"{ARRAYS}/{digest}")

    def get(self, digest: str) -> bytes | None:
        with self._lock:
            if digest in self._blobs:
                self._blobs.move_to_end(digest)
            return self._blobs.get(digest)

    def has(self, blob: Blob) -> bool:
        return blob.address.rpartition("/")[2] in self._blobs


#: The cache of this process.
blob_cache: Final = BlobCache()


def store_blob(data: bytes) -> Blob:
    """Keep bytes for a while, for a component to fetch."""
    return blob_cache.put(data)


def names_url(name: str) -> str:
    """Return the base URL of the names of a collection's images."""
    return f"{NAMES}/{quote(name, safe='')}"


def routes(service: Service, cache: BlobCache = blob_cache) -> list[Route]:
    """Return ``GET /arrays/{digest}``, and ``GET /names/{collection}/{id}`` (name and folder of an image as JSON)."""

    async def array(request: Request) -> Response:
        digest = request.path_params["digest"]
        data = cache.get(digest)
        if data is None:
            return problem(404, "not kept any more")
        headers = {"ETag": f'"{digest}"', "Cache-Control": "private, max-age=31536000, immutable"}
        if request.headers.get("if-none-match") == headers["ETag"]:
            return Response(status_code=304, headers=headers)
        return Response(data, headers=headers, media_type="application/octet-stream")

    async def name(request: Request) -> Response:
        image_id = request.path_params["image_id"]
        if not (image_id.isascii() and image_id.isdecimal() and len(image_id) <= 18):
            return problem(404, "no such image")
        try:
            served = service.get(request.path_params["name"])
            record = await service.threads.read(served.collection.get, int(image_id))
        except ImseekError as error:
            return of_error(error)
        folder = "" if record.place is None else record.place.display.rpartition("/")[0]
        content = {"name": file_name(record.place), "folder": one_line(folder, 400)}
        return JSONResponse(content, headers={"Cache-Control": "private, max-age=60"})

    return [
        Route(f"{ARRAYS}/{{digest}}", array, methods=["GET"]),
        Route(f"{NAMES}/{{name}}/{{image_id}}", name, methods=["GET"]),
    ]
