"""Routes for search, pictures, collections and jobs."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Annotated, Any, Final, ParamSpec

from fastapi import APIRouter, File, Request, UploadFile
from fastapi import Query as Parameter
from pydantic import BaseModel
from starlette.responses import Response

from imseek import albums, jobs, overview
from imseek.errors import CollectionNotFoundError, JobError, MediaError, QueryError, UsageError
from imseek.search import (
    MAX_HITS_PER_RESPONSE,
    VECTOR_COST,
    FacetSummary,
    Query,
    QueryOptions,
    Term,
    option_fields,
    parse_region,
    query_from_json,
)
from imseek.types.word_completions import MAX_SERVED, MAX_SERVED_TEXT, SuggestionKind
from imseek.ui.http import body_schemas
from imseek.ui.server.pictures import DEFAULT_SIDE, MAX_SIDE, MIN_SIDE, ThumbnailCache, original
from imseek.ui.server.places import without_folders
from imseek.ui.server.problems import problem_responses
from imseek.ui.server.query_bounds import bounds_of
from imseek.ui.server.service import MAX_TERMS, EmbedRequest, ServedCollection, Service

P = ParamSpec("P")
router = APIRouter()
#: Routes of one collection.
of_collection = APIRouter(prefix="/collections/{name}", responses=problem_responses(404))

Limit = Annotated[int, Parameter(**bounds_of("limit"), description=option_fields()["limit"].option.help)]
LIMIT: Final = QueryOptions().limit
Region = Annotated[
    str | None,
    Parameter(
        max_length=100,
        description="Only this box of the picture: x,y,width,height, as shares of it if none exceeds 1, otherwise in "
        "pixels.",
    ),
]
#: Side of a thumbnail in pixels.
Side = Annotated[int, Parameter(ge=MIN_SIDE, le=MAX_SIDE)]


def service_of(request: Request) -> Service:
    service = request.app.state.service
    assert isinstance(service, Service)
    return service


async def _answer(service: Service, served: ServedCollection, query: Query, *, vectors: bool = False) -> Response:
    check_size([(query, vectors)])
    result = await served.search(query, vectors=vectors)
    return await asyncio.to_thread(
        _json_response, body_schemas.answer, result, served.name, places=service.settings.shows_places
    )


def _json_response(make: Callable[P, BaseModel], *args: P.args, **keywords: P.kwargs) -> Response:
    """Serialise a body to JSON. Run in a thread: many hits with vectors take seconds."""
    return Response(make(*args, **keywords).model_dump_json(by_alias=True), media_type="application/json")


@router.get("/collections", summary="The collections that are served")
async def collections(request: Request) -> body_schemas.Collections:
    return body_schemas.Collections(collections=list(service_of(request).names))


@of_collection.get("", summary="What a collection is")
async def collection(request: Request, name: str) -> body_schemas.CollectionBody:
    served = service_of(request).get(name)
    info = await asyncio.to_thread(served.collection.info)
    captions = any(summary.space.modality == "text" for summary in info.spaces)
    return body_schemas.collection(info, name, captions=captions)


@of_collection.get(
    "/search", summary="Search by words", response_model=body_schemas.Answer, responses=problem_responses(410)
)
async def search(request: Request, name: str, query: Annotated[body_schemas.WordQuery, Parameter()]) -> Response:
    service = service_of(request)
    return await _answer(service, service.get(name), query_from_json(query.document(), files=False))


@of_collection.get("/suggest", summary="How words that are typed may go on")
async def suggest(
    request: Request,
    name: str,
    q: Annotated[str, Parameter(max_length=MAX_SERVED_TEXT, description="What has been typed so far.")],
    limit: Annotated[int, Parameter(ge=1, le=MAX_SERVED)] = 10,
    kind: Annotated[
        list[SuggestionKind] | None, Parameter(max_length=8, description="Kinds to suggest; default: all.")
    ] = None,
) -> body_schemas.Suggestions:
    service = service_of(request)
    served = service.get(name)
    kinds: list[SuggestionKind] = ["person", "keyword", "tag", "word"]
    if service.settings.shows_places:
        kinds.append("name")
    if kind is not None:
        kinds = [one for one in kinds if one in kind]
    suggestions = await served.threads.read(overview.suggest, served.collection, q, limit=limit, kinds=kinds)
    return body_schemas.Suggestions(
        suggestions=[body_schemas.SuggestionBody(text=one.text, kind=one.kind) for one in suggestions]
    )


@of_collection.get("/facets", summary="What conditions can use")
async def facets(
    request: Request,
    name: str,
    column: Annotated[
        list[str] | None,
        Parameter(max_length=32, description="Columns, `tag` or `location`; default: all."),
    ] = None,
    where: Annotated[str | None, Parameter(**bounds_of("where"), description="docs/where.md")] = None,
    values: Annotated[int, Parameter(ge=0, le=200, description="How many values of each.")] = 20,
) -> FacetSummary:
    service = service_of(request)
    served = service.get(name)
    summary = await served.threads.read(
        overview.summarise_facets, served.collection, column or (), where=where, values=values
    )
    return summary if service.settings.shows_places else without_folders(summary)


@of_collection.post(
    "/search", summary="Search by a whole query", response_model=body_schemas.Answer, responses=problem_responses(410)
)
async def search_query(request: Request, name: str, body: body_schemas.QueryBody) -> Response:
    service = service_of(request)
    query = query_from_json(body.document(), files=False)
    return await _answer(service, service.get(name), query, vectors=body.vectors)


@of_collection.post(
    "/batch",
    summary="Many queries, answered in order",
    response_model=body_schemas.Answers,
    responses=problem_responses(410),
)
async def batch(request: Request, name: str, body: body_schemas.Batch) -> Response:
    service = service_of(request)
    served = service.get(name)
    queries = [(query_from_json(one.document(), files=False), one.vectors) for one in body.queries]
    check_size(queries)
    if sum(term.url is not None for query, _ in queries for term in query.terms) > MAX_TERMS:
        raise UsageError(f"queries that are asked together name at most {MAX_TERMS} pictures of the web")
    results = await asyncio.gather(*(served.search(query, vectors=vectors) for query, vectors in queries))
    places = service.settings.shows_places

    def answers() -> body_schemas.Answers:
        return body_schemas.Answers(answers=[body_schemas.answer(one, name, places=places) for one in results])

    return await asyncio.to_thread(_json_response, answers)


@of_collection.post(
    "/similar", summary="Search by a picture", response_model=body_schemas.Answer, responses=problem_responses(413)
)
async def similar(
    request: Request,
    name: str,
    picture: Annotated[UploadFile, File(description="A picture in any format that can be indexed.")],
    limit: Limit = LIMIT,
    where: Annotated[str | None, Parameter(**bounds_of("where"))] = None,
    region: Region = None,
) -> Response:
    service = service_of(request)
    served = service.get(name)
    box = None if region is None else parse_region(region)
    data = await picture.read()
    return await _answer(service, served, Query((Term(picture=data, region=box),), limit, where=where))


@router.post(
    "/embed",
    summary="Encode texts and pictures",
    response_model=body_schemas.Embeddings,
    responses=problem_responses(404, 413),
)
async def embed(request: Request, body: body_schemas.EmbedBody) -> Response:
    served = service_of(request).get(body.collection)
    try:
        pictures = tuple(base64.b64decode(one, validate=True) for one in body.pictures)
    except ValueError as error:
        raise QueryError("pictures are base64") from error
    embeddings = await served.embedding.ask(EmbedRequest(tuple(body.texts), pictures))
    return await asyncio.to_thread(_json_response, body_schemas.embeddings, embeddings)


@of_collection.get("/images/{image_id}", summary="What is known of an image")
async def image(request: Request, name: str, image_id: int) -> body_schemas.ImageBody:
    service = service_of(request)
    record = await asyncio.to_thread(service.get(name).collection.get, image_id)
    return body_schemas.image(record, places=service.settings.shows_places)


@of_collection.get("/images/{image_id}/similar", summary="What is like an image", response_model=body_schemas.Answer)
async def similar_to(
    request: Request, name: str, image_id: int, limit: Limit = LIMIT, region: Region = None
) -> Response:
    service = service_of(request)
    term = Term(image_id=image_id, region=None if region is None else parse_region(region))
    return await _answer(service, service.get(name), Query((term,), limit))


_PICTURE: dict[int | str, dict[str, Any]] = {
    200: {"content": {"image/*": {}}, "description": "The picture."},
    206: {"content": {"image/*": {}}, "description": "A part of it."},
    304: {"description": "It has not changed."},
    416: {"description": "There is no such part."},
}


@of_collection.head("/images/{image_id}/file", include_in_schema=False)
@of_collection.get(
    "/images/{image_id}/file",
    summary="The picture itself, as it was indexed",
    response_class=Response,
    responses={**_PICTURE, **problem_responses(409)},
)
async def file(request: Request, name: str, image_id: int) -> Response:
    served = service_of(request).get(name)
    return (await original(served, image_id)).response(request)


@of_collection.head("/images/{image_id}/thumbnail", include_in_schema=False)
@of_collection.get(
    "/images/{image_id}/thumbnail",
    summary="A small WebP of it",
    response_class=Response,
    responses={**_PICTURE, **problem_responses(409)},
)
async def thumbnail(request: Request, name: str, image_id: int, side: Side = DEFAULT_SIDE) -> Response:
    service = service_of(request)
    served = service.get(name)
    pictures = request.app.state.pictures
    assert isinstance(pictures, ThumbnailCache)
    return (await pictures.thumbnail(served, image_id, side)).response(request)


@of_collection.get("/albums", summary="Its albums, by name")
async def album_list(request: Request, name: str) -> body_schemas.Albums:
    served = service_of(request).get(name)
    summaries = await served.threads.read(albums.every, served.collection)
    return body_schemas.Albums(albums=[body_schemas.AlbumSummary(**asdict(one)) for one in summaries])


@of_collection.get("/albums/{album:path}", summary="The images of an album, in its order")
async def album_images(request: Request, name: str, album: str) -> body_schemas.AlbumBody:
    served = service_of(request).get(name)
    content = await served.threads.read(albums.get, served.collection, album)
    return body_schemas.AlbumBody(name=content.name, cover=content.cover, image_ids=list(content.image_ids))


@of_collection.get("/jobs", summary="Runs, the newest first")
async def job_list(
    request: Request, name: str, limit: Annotated[int, Parameter(ge=1, le=1000)] = 20
) -> body_schemas.Jobs:
    path = service_of(request).get(name).collection.path
    listing = await asyncio.to_thread(jobs.list, path, limit=limit)
    return body_schemas.Jobs(jobs=[body_schemas.job(one) for one in listing])


@of_collection.get("/jobs/{job_id}", summary="One run")
async def job(request: Request, name: str, job_id: int) -> body_schemas.JobBody:
    path = service_of(request).get(name).collection.path
    return body_schemas.job(await asyncio.to_thread(jobs.get, path, job_id))


@of_collection.post(
    "/jobs", status_code=202, summary="Bring it in line with its sources", responses=problem_responses(401, 403, 409)
)
async def start(request: Request, name: str, job: body_schemas.NewJob) -> body_schemas.JobBody:
    path = service_of(request).get(name).collection.path
    command = [job.command, *(["--rehash"] * job.rehash), *(["--retry-failed"] * job.retry_failed)]
    try:
        return body_schemas.job(await asyncio.to_thread(jobs.start, path, command))
    except (UsageError, MediaError) as error:
        if service_of(request).settings.shows_places or isinstance(error, CollectionNotFoundError):
            raise
        # The message is about the run and may name sources.
        raise JobError(str(error)) from error


@of_collection.delete("/jobs/{job_id}", status_code=202, summary="Ask a run to stop", responses=problem_responses(401))
async def cancel(request: Request, name: str, job_id: int) -> body_schemas.JobBody:
    path = service_of(request).get(name).collection.path
    return body_schemas.job(await asyncio.to_thread(jobs.cancel, path, job_id))


def check_size(queries: Sequence[tuple[Query, bool]]) -> None:
    """Check that ``queries``, each with whether its hits carry vectors, fit into one answer. Raises UsageError."""
    hits = sum(
        query.limit * (query.per_group if query.group_by else 1) * (VECTOR_COST if vectors else 1)
        for query, vectors in queries
    )
    if hits > MAX_HITS_PER_RESPONSE:
        raise UsageError(
            f"that asks for more than {MAX_HITS_PER_RESPONSE:,} hits at once (one with its vector "
            f"counts as {VECTOR_COST})"
        )


def check_limit(limit: int, most: int) -> None:
    """Check the number of hits of one query. Raises UsageError."""
    if limit > most:
        raise UsageError(f"{limit} hits are more than this server gives ({most})")


router.include_router(of_collection)
