"""The MCP tools: arguments, answers, and the API calls behind them. They only read, except for tags where allowed."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import threading
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Final, Protocol, TypeAlias

from mcp_types import ContentBlock, ImageContent, TextContent, Tool, ToolAnnotations

from imseek import duplicates, overview, tags
from imseek.duplicates.results import DuplicateReport
from imseek.errors import ExpiredPageError, ImseekError, MediaError, UsageError, did_you_mean
from imseek.progress import Progress
from imseek.search import FacetSummary, query_from_json
from imseek.types.duplicate_judgements import Judgement
from imseek.types.search_results import SearchResult
from imseek.types.tags import TagReport
from imseek.ui.mcp.answer_types import (
    CollectionState,
    CollectionStates,
    DuplicatesPage,
    ImageAnswer,
    ToolAnswer,
)
from imseek.ui.mcp.arguments import (
    DuplicateArguments,
    FacetArguments,
    ImageArguments,
    TagArguments,
    arguments_of,
    check_arguments,
    query_arguments,
)
from imseek.ui.render.json_schema import schema_of
from imseek.ui.render.result_json import SCHEMA, to_json
from imseek.ui.server.failures import describe
from imseek.ui.server.pictures import ThumbnailCache
from imseek.ui.server.places import without_folders, without_places
from imseek.ui.server.service import NotServedError, ServedCollection, Service

#: Seconds that one call may look for duplicates: hosts give up after a minute. The next call goes on from there.
DUPLICATE_SECONDS: Final = 30.0
#: Note in place of an answer while another call reads a whole collection.
_BUSY: Final = "another search is under way: call again"
#: The provenance of tags.
ASSISTANT: Final = "assistant"
#: Reports of duplicates in memory, so that their next page needs no search.
_REPORTS: Final = 4
#: Judgements in one answer.
_JUDGEMENTS: Final = 100


#: Finds collections by name and path.
FindNamed: TypeAlias = Callable[[], Iterable[tuple[str, Path]]]


class Report(Protocol):
    """Reports the progress of a call to the client."""

    def __call__(self, progress: float, total: float | None, message: str | None) -> Awaitable[None]: ...


@dataclass(frozen=True, slots=True)
class ToolResult:
    """The structured content of a tool's answer, and pictures beside it."""

    answer: Any
    pictures: tuple[ImageContent, ...] = ()

    def structured(self) -> dict[str, Any]:
        return {"schema": SCHEMA, **to_json(self.answer)}

    def content(self) -> list[ContentBlock]:
        """Return the content for clients that read no structured content, and the pictures."""
        return [TextContent(type="text", text=json.dumps(self.structured(), ensure_ascii=False)), *self.pictures]


@dataclass(frozen=True, slots=True)
class ToolKind:
    """A tool: its declaration to clients, and the function that answers a call."""

    name: str
    title: str
    description: str
    arguments: dict[str, Any]
    answer: Any
    run: Callable[[dict[str, Any], Report], Awaitable[ToolResult]]
    read_only: bool = True

    def declaration(self) -> Tool:
        return Tool(
            name=self.name,
            title=self.title,
            description=self.description,
            input_schema=self.arguments,
            output_schema=schema_of(self.answer, self.title),
            annotations=ToolAnnotations(
                title=self.title,
                read_only_hint=self.read_only,
                destructive_hint=False,
                idempotent_hint=True,
                open_world_hint=False,
            ),
        )


class Tools:
    """The tools over the collections of a service."""

    def __init__(
        self,
        service: Service,
        pictures: ThumbnailCache,
        *,
        allow_tags: bool = False,
        find_named: FindNamed | None = None,
    ) -> None:
        self._service, self._pictures, self._allow_tags = service, pictures, allow_tags
        self._find_named = find_named
        #: Held by calls that read whole collections, which would take the processors from all others.
        self._heavy = asyncio.Lock()
        self._reports: OrderedDict[tuple[Any, ...], DuplicateReport] = OrderedDict()

    @cached_property
    def kinds(self) -> Mapping[str, ToolKind]:
        """The tools by name."""
        kinds = [
            ToolKind(
                "search",
                "Search images",
                "Find images by what they show, in words, by stored images that they are like, or both; `where` takes "
                "a condition such as `year = 2023 and camera like 'Nikon%'` (`facets` lists the columns). Hits come "
                "best first with ids for the other tools; `next_page` continues the list.",
                query_arguments("search"),
                ToolAnswer[SearchResult],
                self._search,
            ),
            ToolKind(
                "similar",
                "Find similar images",
                "Find images that look like a stored image, by its id, or like a picture that you have, or like a "
                "region of it.",
                query_arguments("similar"),
                ToolAnswer[SearchResult],
                self._similar,
            ),
            ToolKind(
                "get_image",
                "Look at an image",
                "Look at one image: a thumbnail, and everything that is known about it.",
                arguments_of(ImageArguments),
                ToolAnswer[ImageAnswer],
                self._get_image,
            ),
            ToolKind(
                "facets",
                "List columns and values",
                "List the columns that conditions in `where` can use, with their most frequent values or bounds, and "
                "the most frequent tags and places where images were taken.",
                arguments_of(FacetArguments),
                ToolAnswer[FacetSummary],
                self._facets,
            ),
            ToolKind(
                "duplicates",
                "List duplicates",
                "List groups of duplicate images, each with the image proposed to be kept. A large collection may take "
                f"several calls of up to {DUPLICATE_SECONDS:.0f} seconds (`interrupted`), which resume each other. "
                "Removes nothing.",
                arguments_of(DuplicateArguments),
                ToolAnswer[DuplicatesPage],
                self._duplicates,
            ),
            ToolKind(
                "collections",
                "List collections",
                "List the collections of images: their names, sizes and encoders.",
                {"type": "object", "properties": {}, "additionalProperties": False},
                CollectionStates,
                self._collections,
            ),
        ]
        if self._allow_tags:
            kinds.append(
                ToolKind(
                    "tag",
                    "Tag images",
                    "Tag images, or remove a tag from them. Tags can be used in `where`: `tag('beach')`.",
                    arguments_of(TagArguments),
                    ToolAnswer[TagReport],
                    self._tag,
                    read_only=False,
                )
            )
        return {kind.name: kind for kind in kinds}

    async def call(self, kind: ToolKind, arguments: dict[str, Any], report: Report) -> ToolResult:
        """Answer a call. Raises ImseekError, and OverloadedError."""
        check_arguments(arguments, kind.arguments)
        for name, path in self._find_named() if self._find_named is not None else ():
            self._service.offer(name, path)
        return await kind.run(arguments, report)

    def _served(self, arguments: dict[str, Any]) -> ServedCollection:
        """Take the collection out of the arguments."""
        name, names = arguments.pop("collection", None), self._service.names
        if not names:
            raise UsageError("there is no collection yet", hint="`imseek index FOLDER` in a terminal creates one")
        if name is None and len(names) > 1:
            raise UsageError("there are several collections; name one", hint=", ".join(names))
        if name is not None and name not in names:
            raise NotServedError(f"no collection {name!r} is served", hint=did_you_mean(name, names))
        return self._service.get(name)

    # -- searching ---------------------------------------------------------------------------------------

    async def _search(self, arguments: dict[str, Any], _: Report) -> ToolResult:
        return await self._query(self._served(arguments), arguments)

    async def _similar(self, arguments: dict[str, Any], _: Report) -> ToolResult:
        served = self._served(arguments)
        image_id, picture = arguments.pop("image_id", None), arguments.pop("picture", None)
        region = {"region": one} if (one := arguments.pop("region", None)) is not None else {}
        if region and image_id is not None and picture is not None:
            raise UsageError("a region is a box of one picture", hint="pass image_id or picture")
        like = [] if image_id is None else [{"image_id": image_id, **region}]
        like += [] if picture is None else [{"picture": picture, **region}]
        return await self._query(served, {**arguments, "like": like})

    async def _query(self, served: ServedCollection, document: dict[str, Any]) -> ToolResult:
        result = await served.search(query_from_json(document, files=False))
        if not self._service.settings.shows_places:
            result = without_places(result)
        return ToolResult(ToolAnswer(served.name, result))

    # -- looking -----------------------------------------------------------------------------------------

    async def _get_image(self, arguments: dict[str, Any], _: Report) -> ToolResult:
        served = self._served(arguments)
        call = ImageArguments(**arguments)
        image = await served.threads.read(served.collection.get, call.image_id)
        if not self._service.settings.shows_places:
            image = replace(image, place=None)
        try:
            small = await self._pictures.thumbnail(served, call.image_id, call.side)
        except MediaError as error:
            return ToolResult(ToolAnswer(served.name, ImageAnswer(image, describe(error).detail)))
        data = base64.b64encode(small.data).decode("ascii")
        content = ImageContent(type="image", data=data, mime_type="image/webp")
        return ToolResult(ToolAnswer(served.name, ImageAnswer(image)), (content,))

    async def _facets(self, arguments: dict[str, Any], _: Report) -> ToolResult:
        served = self._served(arguments)
        call = FacetArguments(**arguments)
        columns = () if call.column is None else (call.column,)
        async with self._heavy:
            summary = await served.threads.read(
                overview.summarise_facets, served.collection, columns, where=call.where, values=call.values
            )
        if not self._service.settings.shows_places:
            summary = without_folders(summary)
        return ToolResult(ToolAnswer(served.name, summary))

    async def _collections(self, _: dict[str, Any], __: Report) -> ToolResult:
        states = await asyncio.gather(
            *(self._service.threads.read(self._state_of, name) for name in self._service.names)
        )
        return ToolResult(CollectionStates(tuple(states)))

    def _state_of(self, name: str) -> CollectionState:
        try:
            collection = self._service.get(name).collection
            now = overview.read_state(collection)
            return CollectionState(
                name, now.images, now.generation, collection.info().encoder.encoder, now.has_captions, None
            )
        except ImseekError as error:
            return CollectionState(name, None, None, None, None, describe(error).detail)

    # -- duplicates --------------------------------------------------------------------------------------

    async def _duplicates(self, arguments: dict[str, Any], report: Report) -> ToolResult:
        served = self._served(arguments)
        if "kinds" in arguments:
            arguments["kinds"] = tuple(dict.fromkeys(arguments["kinds"]))
        call = DuplicateArguments(**arguments)
        everything, judgements = await self._find_duplicates_in_turn(served, call, report)
        start = 0 if call.page is None else _offset_of(call.page, everything.generation)
        groups = everything.groups[start : start + call.limit]
        more = start + len(groups) < len(everything.groups)
        contents = {member.content_hash for group in groups for member in group.members}
        decided = [one for one in judgements if one.a in contents or one.b in contents]
        if not self._service.settings.shows_places:
            groups = tuple(
                replace(group, members=tuple(replace(member, place=None) for member in group.members))
                for group in groups
            )
        page = DuplicatesPage(
            generation=everything.generation,
            searched=everything.searched,
            group_count=len(everything.groups),
            surplus=everything.surplus,
            bytes=everything.bytes,
            interrupted=everything.interrupted,
            notes=everything.notes,
            groups=groups,
            judgements=tuple(decided[:_JUDGEMENTS]),
            # The next call finds more, and in another order.
            next_page=f"{everything.generation}.{start + len(groups)}" if more and not everything.interrupted else None,
        )
        return ToolResult(ToolAnswer(served.name, page))

    async def _find_duplicates_in_turn(
        self, served: ServedCollection, call: DuplicateArguments, report: Report
    ) -> tuple[DuplicateReport, tuple[Judgement, ...]]:
        """Find duplicates once no other call reads a whole collection; the wait is part of ``DUPLICATE_SECONDS``."""
        deadline = asyncio.get_running_loop().time() + DUPLICATE_SECONDS
        try:
            async with asyncio.timeout_at(deadline):
                await self._heavy.acquire()
        except TimeoutError:
            state = await served.threads.read(overview.read_state, served.collection)
            return DuplicateReport(state.uuid, state.generation, 0, (), notes=(_BUSY,), interrupted=True), ()
        try:
            return await self._find_duplicates(served, call, report, deadline)
        finally:
            self._heavy.release()

    async def _find_duplicates(
        self, served: ServedCollection, call: DuplicateArguments, report: Report, end: float
    ) -> tuple[DuplicateReport, tuple[Judgement, ...]]:
        """Find duplicates, until the clock of the loop says so; also returns the judgements that they follow.

        A report of the same state and judgements is reused.
        """
        judgements = await served.threads.read(duplicates.judgements, served.collection)
        state = await served.threads.read(overview.read_state, served.collection)
        key = (state.uuid, state.generation, call.kinds, call.where, judgements)
        if key in self._reports:
            self._reports.move_to_end(key)
            return self._reports[key], judgements
        stop = threading.Event()
        loop = asyncio.get_running_loop()
        deadline = loop.call_at(end, stop.set)

        progress = _ProgressLine(report, loop)
        try:
            duplicate_report = await served.threads.read(
                duplicates.find, served.collection, kinds=call.kinds, where=call.where, progress=progress, stop=stop
            )
        finally:  # The client may have gone.
            deadline.cancel()
            stop.set()
        if not duplicate_report.interrupted:
            self._reports[key] = duplicate_report
            if len(self._reports) > _REPORTS:
                self._reports.popitem(last=False)
        return duplicate_report, judgements

    # -- tags --------------------------------------------------------------------------------------------

    async def _tag(self, arguments: dict[str, Any], _: Report) -> ToolResult:
        served = self._served(arguments)
        call = TagArguments(**arguments)
        change: Callable[..., TagReport] = tags.remove if call.remove else partial(tags.add, provenance=ASSISTANT)
        tag_report = await served.threads.read(change, served.collection, call.tag, list(call.image_ids))
        return ToolResult(ToolAnswer(served.name, tag_report))


class _ProgressLine:
    """Sends each new state of long work to the client. The protocol wants numbers that grow; phases begin anew."""

    def __init__(self, report: Report, loop: asyncio.AbstractEventLoop) -> None:
        self._report, self._loop = report, loop
        self._count, self._message = 0, ""

    def __call__(self, progress: Progress) -> None:
        total = "" if progress.total is None else f" of {progress.total:,}"
        message = f"{progress.phase}: {progress.done:,}{total}"
        if message != self._message:
            self._message = message
            self._count += 1
            asyncio.run_coroutine_threadsafe(self._send(self._count, message), self._loop)

    async def _send(self, count: int, message: str) -> None:
        with contextlib.suppress(Exception):  # The client may have gone, and needs no progress then.
            await self._report(count, None, message)


def _offset_of(page: str, generation: int) -> int:
    """Return the offset of a page token. Raises ExpiredPageError for another generation, and UsageError."""
    page_generation, _, offset = page.partition(".")
    if not (_is_count(page_generation) and _is_count(offset)):
        raise UsageError("the page token is damaged", hint="copy the whole token, or start again from the first page")
    if int(page_generation) != generation:
        raise ExpiredPageError("the collection has changed since that page", hint="start again from the first page")
    return int(offset)


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 18
