"""Routes for the pictures of collections, for another Starlette application such as the web UI."""

from __future__ import annotations

import asyncio
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from imseek.errors import ImseekError
from imseek.ui.server.pictures import DEFAULT_SIDE, MAX_SIDE, MIN_SIDE, ThumbnailCache, original
from imseek.ui.server.problems import of_error, problem
from imseek.ui.server.service import Service

#: Maximum number of thumbnails made at the same time; further requests wait.
_THUMBNAILS: Final = 8
#: Status of a response that nobody receives.
_CLOSED: Final = 499


def picture_routes(
    service: Service, pictures: ThumbnailCache, prefix: str = "", largest: int = MAX_SIDE
) -> list[Route]:
    """Return ``GET {prefix}/{collection}/images/{id}``, the original bytes, and ``…/thumbnail?side=``, up to
    ``largest`` pixels; both answer HEAD too.

    They do not check who may ask: see :class:`imseek.ui.server.origins.Origins`.
    """

    thumbnail_slots = asyncio.Semaphore(_THUMBNAILS)

    async def original_picture(request: Request) -> Response:
        image_id = _number(request.path_params["image_id"])
        if image_id is None:
            return problem(404, "no such image")
        try:
            return (await original(service.get(request.path_params["name"]), image_id)).response(request)
        except ImseekError as error:
            return of_error(error)

    async def thumbnail(request: Request) -> Response:
        image_id = _number(request.path_params["image_id"])
        if image_id is None:
            return problem(404, "no such image")
        side = _number(request.query_params.get("side", str(DEFAULT_SIDE)))
        if side is None or not MIN_SIDE <= side <= largest:
            return problem(422, f"side is a number of pixels from {MIN_SIDE} to {largest}")
        try:
            served = service.get(request.path_params["name"])
            async with thumbnail_slots:
                # A client that scrolls fast has moved on: skip its request, so that it delays nobody else.
                if await request.is_disconnected():
                    return Response(status_code=_CLOSED)
                return (await pictures.thumbnail(served, image_id, side)).response(request)
        except ImseekError as error:
            return of_error(error)

    path = f"{prefix}/{{name}}/images/{{image_id}}"
    return [Route(path, original_picture, methods=["GET"]), Route(f"{path}/thumbnail", thumbnail, methods=["GET"])]


def _number(text: str) -> int | None:
    """Parse a number of at most 18 digits, so that thousands of digits cost nothing. None if it is none."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 18 else None
