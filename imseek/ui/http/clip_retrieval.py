"""Routes of clip-retrieval's back end, so that its client works with this server unchanged.

``POST /knn-service``, ``GET /indices-list``, ``POST /metadata``. The client sends no Content-Type, ignores the status,
and always requests filters by models that this server lacks: they are ignored and named in the header
``X-Imseek-Ignored``. Items carry ``image_path``, ``caption`` and ``url`` where the collection knows them.
"""

from __future__ import annotations

import asyncio
import base64
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
from fastapi import APIRouter, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field, ValidationError

from imseek import media
from imseek.errors import ImageNotFoundError, MediaError, QueryError
from imseek.media import Limits, jpeg
from imseek.search import Query, Term
from imseek.types.search_results import Hit
from imseek.ui.http.body_schemas import Body
from imseek.ui.http.routes import check_limit, service_of
from imseek.ui.render.result_json import plain
from imseek.ui.server.problems import problem_responses
from imseek.ui.server.service import ServedCollection
from imseek.ui.server.settings import is_loopback

B = TypeVar("B", bound=BaseModel)

router = APIRouter(tags=["clip-retrieval"])
IGNORED = "X-Imseek-Ignored"


class Knn(Body):
    """As clip-retrieval's client sends it; members that nobody knows are passed over, as its own server does."""

    indice_name: str
    modality: Literal["image", "text"]
    num_images: int = Field(ge=1)
    num_result_ids: int | None = Field(None, ge=1)
    text: str | None = None
    image: str | None = Field(None, description="base64")
    image_url: str | None = None
    embedding_input: Annotated[list[float], Field(max_length=65_536, fail_fast=True)] | None = None
    deduplicate: bool = False
    use_safety_model: bool = False
    use_violence_detector: bool = False
    use_mclip: bool = False
    aesthetic_score: int | Literal[""] | None = None
    aesthetic_weight: float | None = None


class MetadataBody(Body):
    indice_name: str
    ids: list[Annotated[int, Field(ge=0)]] = Field(max_length=10_000, fail_fast=True)


def _body_schema(kind: type[BaseModel]) -> dict[str, Any]:
    """Return the OpenAPI entry for a request body that the route parses itself."""
    content = {"application/json": {"schema": kind.model_json_schema()}}
    return {"requestBody": {"required": True, "content": content}}


@router.get("/indices-list", summary="Names of the collections")
async def indices(request: Request) -> list[str]:
    return list(service_of(request).names)


@router.post(
    "/knn-service",
    summary="Search, as clip-retrieval answers",
    responses=problem_responses(404),
    openapi_extra=_body_schema(Knn),
)
async def knn(request: Request, response: Response) -> list[dict[str, Any]]:
    request_body = await _parse_body(request, Knn)
    service = service_of(request)
    served = service.get(request_body.indice_name)
    limit = max(request_body.num_images, request_body.num_result_ids or 0)
    check_limit(limit, service.settings.results)
    flags = ("use_safety_model", "use_violence_detector", "use_mclip")
    ignored = [name for name in flags if getattr(request_body, name)]
    if request_body.aesthetic_score not in (None, ""):
        ignored.append("aesthetic_score")
    if ignored:
        response.headers[IGNORED] = ", ".join(ignored)
    by: Literal["image", "caption"] = "caption" if request_body.modality == "text" else "image"
    query = Query((_term(request_body),), limit, by=by, collapse=request_body.deduplicate)
    result = await served.search(query)
    places = is_loopback(service.settings.host)
    pictured = result.hits[: min(request_body.num_images, 200)]
    pictures = await asyncio.gather(*(_picture(served, hit) for hit in pictured))
    items = []
    for n, hit in enumerate(result.hits):
        item: dict[str, Any] = {"id": hit.image_id, "similarity": round(hit.score, 6)}
        if n < request_body.num_images:
            item.update(_item_metadata(hit, places))
            if n < len(pictures) and pictures[n] is not None:
                item["image"] = pictures[n]
        items.append(item)
    return items


@router.post(
    "/metadata",
    summary="Metadata, as clip-retrieval answers",
    responses=problem_responses(404),
    openapi_extra=_body_schema(MetadataBody),
)
async def metadata(request: Request) -> list[dict[str, Any]]:
    request_body = await _parse_body(request, MetadataBody)
    service = service_of(request)
    served = service.get(request_body.indice_name)
    places = is_loopback(service.settings.host)

    def look_up() -> list[dict[str, Any]]:
        images = served.collection.get_many(request_body.ids)
        rows = []
        for image_id in request_body.ids:
            if (image := images.get(image_id)) is None:
                continue
            fields = plain(image.metadata)
            if places and image.place is not None:
                fields["image_path"] = image.place.display
            rows.append({"id": image_id, "metadata": fields})
        return rows

    return await asyncio.to_thread(look_up)


async def _parse_body(request: Request, kind: type[B]) -> B:
    """Parse the body whatever its Content-Type. Raises RequestValidationError."""
    try:
        return kind.model_validate_json(await request.body())
    except ValidationError as error:
        raise RequestValidationError([{**one, "loc": ("body", *one["loc"])} for one in error.errors()]) from error


def _term(request_body: Knn) -> Term:
    """Return the first of text, picture, URL and vector as a term. Raises QueryError."""
    if request_body.text:
        return Term(text=request_body.text)
    if request_body.image:
        try:
            return Term(picture=base64.b64decode(request_body.image, validate=True))
        except ValueError as error:
            raise QueryError("image is base64") from error
    if request_body.image_url:
        return Term(url=request_body.image_url)
    if request_body.embedding_input:
        vector = np.asarray(request_body.embedding_input, np.float64)
        norm = float(np.linalg.norm(vector))
        return Term(vector=vector / norm if np.isfinite(norm) and norm > 0 else vector)
    raise QueryError("one of text, image, image_url and embedding_input says what to look for")


def _item_metadata(hit: Hit, places: bool) -> dict[str, Any]:
    fields = {name: hit.metadata[name] for name in ("url", "caption", "NSFW") if hit.metadata.get(name) is not None}
    if places and hit.place is not None:
        fields["image_path"] = hit.place.display
    return plain(fields)  # type: ignore[no-any-return]


async def _picture(served: ServedCollection, hit: Hit) -> str | None:
    """Return a base64 JPEG, as the client expects, or None if the picture cannot be read."""
    try:
        data = await served.threads.read(served.collection.read, hit.image_id)
        return await served.threads.look(_as_jpeg, data, served.limits)
    except (MediaError, ImageNotFoundError):
        return None


def _as_jpeg(data: bytes, limits: Limits) -> str:
    small = jpeg(media.decode(data, min_side=512, limits=limits).pixels, 512)
    return base64.b64encode(small).decode()
