"""Routes for the scripts of the pages: image details, tags, albums, undo, suggestions, downloads, the system's viewer.

The door before them decides who may ask. Requests are JSON with its Content-Type, which no form of another site can
send.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import asdict
from typing import Any, Final, get_args
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from imseek import albums, overview, tags
from imseek.collection import Collection
from imseek.errors import ImageNotFoundError, ImseekError, LockedError, UsageError
from imseek.types.collection_info import SourceInfo
from imseek.ui.server.service import Service
from imseek.ui.web import downloads, hit_pages, undoable_changes
from imseek.ui.web.image_details import describe_image
from imseek.ui.web.pages.search import facets
from imseek.ui.web.selection_store import MAX_IMAGES, ImageSelection, SelectionStore
from imseek.ui.web.system_viewer import open_here

#: Maximum bytes of a request: a tag and a few ids,
_BODY: Final = 64 * 1024
#: or as many ids of 18 digits as a selection may have.
_SELECTION_BODY: Final = 20 * MAX_IMAGES + _BODY
#: Maximum characters of a text for which there are suggestions, and how many there are.
_TYPED: Final = 200
_SUGGESTIONS: Final = 8
#: Seconds for which the list of sources is cached.
_SOURCES_SECONDS: Final = 30.0
#: Maximum number of zips written at the same time.
_ZIPS: Final = 2
_CONFLICT: Final = 409
_GONE: Final = 410

#: Answers with a response, or with what becomes JSON.
Answer = Callable[[Request], Awaitable[Any]]


def image_action_routes(
    service: Service, choices: SelectionStore, pictures: str, downloads: str, *, opens: bool
) -> list[Route]:
    """Return routes below ``pictures`` (of one collection) and ``downloads`` (of a selection).

    With ``opens``, pictures may be opened on this machine.
    """
    sources = _SourceCache()
    zips = asyncio.Semaphore(_ZIPS)

    async def about(request: Request, collection: Collection) -> Any:
        image_id = _image(request)

        def look() -> dict[str, Any]:
            return describe_image(collection, collection.get(image_id), lambda n: sources.get(collection, n))

        return {**await run_in_threadpool(look), "opens": opens}

    async def open_picture(request: Request, collection: Collection) -> Any:
        if not opens:
            raise UsageError(
                "pictures can only be opened on the machine that serves the pages", hint="download it instead"
            )
        await _read_json(request)
        image = await run_in_threadpool(collection.get, _image(request))
        await run_in_threadpool(open_here, collection, image)
        return {}

    async def all_tags(request: Request, collection: Collection) -> Any:
        counts = await run_in_threadpool(tags.counts, collection)
        most = sorted(counts, key=lambda one: -one.images)[:200]
        return {"tags": [one.tag for one in most]}

    async def suggest(request: Request, collection: Collection) -> Any:
        text = request.query_params.get("q", "")[:_TYPED]
        suggestions = await run_in_threadpool(overview.suggest, collection, text, limit=_SUGGESTIONS)
        return {"suggestions": [{"text": one.text, "kind": one.kind} for one in suggestions]}

    async def hits(request: Request, collection: Collection) -> Any:
        name = request.path_params["name"]
        return await run_in_threadpool(hit_pages.answer, name, collection, request.url.query)

    async def timeline(request: Request, collection: Collection) -> Any:
        return await run_in_threadpool(hit_pages.timeline, collection, request.url.query)

    async def cards(request: Request, collection: Collection) -> Any:
        ids = request.query_params.get("ids", "")
        return await run_in_threadpool(hit_pages.cards, request.path_params["name"], collection, ids)

    async def facet_counts(request: Request, collection: Collection) -> Any:
        return await run_in_threadpool(facets.answer, collection, request.url.query)

    async def similar(request: Request, collection: Collection) -> Any:
        return await run_in_threadpool(hit_pages.similar, request.path_params["name"], collection, _image(request))

    async def world(request: Request) -> Any:
        return JSONResponse(await run_in_threadpool(facets.world), headers={"Cache-Control": "private, max-age=86400"})

    def images(request: Request, body: dict[str, Any]) -> list[int]:
        """Return the ids in the body, or those of the selection that it names. Raises UsageError."""
        ids: Any = body.get("ids")
        if isinstance(choice := body.get("choice"), str):
            selection = choices.get(choice)
            ids = None if selection is None or selection.name != request.path_params["name"] else list(selection.ids)
        if isinstance(ids, list) and len(ids) > MAX_IMAGES:
            raise UsageError(f"more than {MAX_IMAGES:,} pictures at once", hint="select fewer pictures")
        if not _are_ids(ids):
            raise UsageError("this request names no pictures", hint="reload the page and select them again")
        return list(dict.fromkeys(ids))

    async def tag(request: Request, collection: Collection) -> Any:
        body = await _read_json(request, _SELECTION_BODY)
        ids = images(request, body)
        word, add = body.get("tag"), body.get("add")
        if not (isinstance(word, str) and isinstance(add, bool)):
            raise UsageError("this request cannot tag pictures", hint="reload the page and select them again")
        report, change = await run_in_threadpool(undoable_changes.tag_images, collection, word, ids, add=add)
        return {"changed": report.changed, "named": report.named, "change": _record(change)}

    async def all_albums(request: Request, collection: Collection) -> Any:
        infos = await run_in_threadpool(albums.every, collection)
        return {"albums": [asdict(one) for one in infos]}

    async def album(request: Request, collection: Collection) -> Any:
        body = await _read_json(request, _SELECTION_BODY)
        ids = images(request, body)
        name = body.get("album")
        act: undoable_changes.AlbumAct | None = next(
            (one for one in get_args(undoable_changes.AlbumAct) if one == body.get("act")), None
        )
        if not isinstance(name, str) or act is None:
            raise UsageError("this request cannot change an album", hint="reload the page and select them again")
        report, change = await run_in_threadpool(undoable_changes.change_album, collection, name, ids, act)
        return {"changed": report.changed, "change": _record(change)}

    async def favourites(request: Request, collection: Collection) -> Any:
        body = await _read_json(request)
        ids = images(request, body)
        states = await run_in_threadpool(tags.states, collection, [tags.FAVOURITE], ids)
        return {"favourites": [one for one in ids if (one, tags.FAVOURITE) in states]}

    async def edit(request: Request, collection: Collection) -> Any:
        body = await _read_json(request)
        values = {name: body[name] for name in ("caption", "rating") if name in body}
        caption, rating = values.get("caption"), values.get("rating")
        # In Python, True is a number.
        if len(values) != 1 or not isinstance(caption, str | None) or type(rating) not in (int, type(None)):
            raise UsageError("this request cannot change a picture's information", hint="reload the page")
        if caption is not None:
            values["caption"] = " ".join(caption.split()) or None
        change = await run_in_threadpool(undoable_changes.edit_image, collection, _image(request), **values)
        return {"change": _record(change)}

    async def undo(request: Request, collection: Collection) -> Any:
        await _read_json(request)
        try:
            text = await run_in_threadpool(undoable_changes.change_log.undo, request.path_params["token"])
        except UsageError as error:  # It can never be undone: the page forgets it.
            return JSONResponse({"message": str(error), "hint": error.hint}, _GONE)
        return {"text": text}

    async def take(request: Request) -> Any:
        selection = choices.get(request.path_params["choice"])
        if selection is None:
            raise ImageNotFoundError("this selection has expired", hint="select the pictures again")
        collection = service.get(selection.name).collection
        return await _download_response(collection, selection, request.path_params["file"], zips)

    def route(path: str, answer: Callable[[Request, Collection], Awaitable[Any]], method: str = "GET") -> Route:
        async def respond(request: Request) -> Any:
            return await answer(request, service.get(request.path_params["name"]).collection)

        return Route(f"{pictures}/{{name}}/{path}", _respond(respond), methods=[method])

    return [
        route("images/{image_id}/about", about),
        route("images/{image_id}/similar", similar),
        route("images/{image_id}/edit", edit, "POST"),
        route("images/{image_id}/open", open_picture, "POST"),
        route("hits", hits),
        route("timeline", timeline),
        route("cards", cards),
        route("facets", facet_counts),
        route("suggest", suggest),
        route("tags", all_tags),
        route("tags", tag, "POST"),
        route("albums", all_albums),
        route("albums", album, "POST"),
        route("favourites", favourites, "POST"),
        route("changes/{token}/undo", undo, "POST"),
        Route(f"{pictures}/{{name}}/world", _respond(world), methods=["GET"]),
        Route(f"{downloads}/{{choice}}/{{file}}", _respond(take), methods=["GET"]),
    ]


def _record(change: undoable_changes.Change | None) -> dict[str, str] | None:
    """Record a change, and return what the browser needs to undo it."""
    return None if change is None else undoable_changes.change_log.record(change)


async def _download_response(
    collection: Collection, selection: ImageSelection, file: str, zips: asyncio.Semaphore
) -> Response:
    name = f"{selection.name}-{len(selection.ids)}"
    if file == "pictures.zip":
        size = await run_in_threadpool(stored_bytes, collection, selection.ids[: downloads.MAX_PICTURES + 1])
        if (why := downloads.size_refusal(len(selection.ids), size)) is not None:
            raise UsageError(why)
        pieces = downloads.stream_zip(collection, selection.ids)
        return StreamingResponse(
            _stream_zip(pieces, zips),
            headers=_attachment_headers(f"{name}.zip"),
            media_type="application/zip",
        )
    if file == "pictures.csv":
        lines = downloads.csv_lines(collection, selection)
        return StreamingResponse(
            lines, headers=_attachment_headers(f"{name}.csv"), media_type="text/csv; charset=utf-8"
        )
    if file == "pictures.parquet":
        table = await run_in_threadpool(downloads.parquet, collection, selection)
        return Response(
            table, headers=_attachment_headers(f"{name}.parquet"), media_type="application/vnd.apache.parquet"
        )
    if file == "paths.txt":
        return StreamingResponse(downloads.paths(collection, selection.ids), media_type="text/plain; charset=utf-8")
    return Response(status_code=404)


def stored_bytes(collection: Collection, ids: tuple[int, ...]) -> int:
    """Return the total size of pictures when they were indexed."""
    return sum(int(image.metadata.get("bytes", 0)) for image in collection.get_many(ids).values())


async def _stream_zip(pieces: Iterator[bytes], zips: asyncio.Semaphore) -> Any:
    """Yield the pieces of a zip, made in a thread; few zips run at a time, since each holds a picture in memory."""
    async with zips:
        while (piece := await run_in_threadpool(next, pieces, None)) is not None:
            yield piece


def _attachment_headers(name: str) -> dict[str, str]:
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "-._") else "_" for c in name)
    return {"Content-Disposition": f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"}


async def _read_json(request: Request, most: int = _BODY) -> dict[str, Any]:
    """Read a request's JSON object of at most ``most`` bytes. Raises UsageError."""
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise UsageError("the request body must be JSON")
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > most:
            raise UsageError("the selection is too large", hint="select fewer pictures")
    try:
        members = json.loads(bytes(body) or b"{}")
    except (ValueError, RecursionError) as error:
        raise UsageError("the request body must be JSON") from error
    if not isinstance(members, dict):
        raise UsageError("the request body must be a JSON object")
    return members


def _image(request: Request) -> int:
    """Return the image id of the path. Raises ImageNotFoundError if it is malformed or has more than 18 digits."""
    text: str = request.path_params["image_id"]
    if not (text.isascii() and text.isdecimal() and len(text) <= 18):
        raise ImageNotFoundError("no such image")
    return int(text)


def _are_ids(ids: Any) -> bool:
    return isinstance(ids, list) and all(type(one) is int and 0 <= one < 1 << 62 for one in ids)


def _respond(answer: Answer) -> Callable[[Request], Awaitable[Response]]:
    """Make responses of answers, and of errors of imseek: their messages may name files of the user's own machine."""

    async def respond(request: Request) -> Response:
        try:
            content = await answer(request)
            response: Response = content if isinstance(content, Response) else JSONResponse(content)
        except ImseekError as error:
            status = 404 if isinstance(error, ImageNotFoundError) else 422
            status = _CONFLICT if isinstance(error, LockedError) else status
            response = JSONResponse({"message": str(error), "hint": error.hint}, status)
        response.headers.setdefault("Cache-Control", "no-store")  # Tags and files change.
        return response

    return respond


class _SourceCache:
    """Caches the sources of collections: they change rarely, and counting their images is slow."""

    def __init__(self) -> None:
        self._sources: dict[str, tuple[float, dict[int, SourceInfo]]] = {}

    def get(self, collection: Collection, source_id: int) -> SourceInfo | None:
        loaded_at, sources = self._sources.get(collection.uuid, (0.0, {}))
        if time.monotonic() - loaded_at > _SOURCES_SECONDS:
            sources = {source.source_id: source for source in collection.info().sources}
            self._sources[collection.uuid] = (time.monotonic(), sources)
        return sources.get(source_id)
