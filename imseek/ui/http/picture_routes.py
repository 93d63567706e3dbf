"""Pictures of collections for a Starlette application that is not ours, such as the one that serves the web pages."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from imseek.errors import ImseekError
from imseek.ui.http.pictures import LARGEST, SMALLEST, USUAL, Pictures, original
from imseek.ui.http.problems import of_error, problem
from imseek.ui.http.service import Service


def picture_routes(service: Service, pictures: Pictures, prefix: str = "") -> list[Route]:
    """``GET {prefix}/{collection}/images/{id}``, the bytes as they are, and ``…/thumbnail?side=``; HEAD too.

    Who may ask is not looked at here: see :class:`imseek.ui.http.origins.Origins`.
    """

    async def whole(request: Request) -> Response:
        image_id = _number(request.path_params["image_id"])
        if image_id is None:
            return problem(404, "no such image")
        try:
            return (await original(service.get(request.path_params["name"]), image_id)).response(request)
        except ImseekError as error:
            return of_error(error)

    async def small(request: Request) -> Response:
        image_id = _number(request.path_params["image_id"])
        if image_id is None:
            return problem(404, "no such image")
        side = _number(request.query_params.get("side", str(USUAL)))
        if side is None or not SMALLEST <= side <= LARGEST:
            return problem(422, f"side is a number of pixels from {SMALLEST} to {LARGEST}")
        try:
            served = service.get(request.path_params["name"])
            return (await pictures.thumbnail(served, image_id, side)).response(request)
        except ImseekError as error:
            return of_error(error)

    at = f"{prefix}/{{name}}/images/{{image_id}}"
    return [Route(at, whole, methods=["GET"]), Route(f"{at}/thumbnail", small, methods=["GET"])]


def _number(given: str) -> int | None:
    """No longer than any that is stored can be, so that thousands of digits cost nothing."""
    return int(given) if given.isascii() and given.isdecimal() and len(given) <= 18 else None
