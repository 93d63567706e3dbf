"""``imseek search`` and ``imseek similar``: run a query and show its hits."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Final, TypeAlias
from urllib.parse import quote

import typer

import imseek
from imseek import library
from imseek.errors import CollectionNotFoundError, ExpiredPageError, ImseekError, MediaError, QueryError, UsageError
from imseek.ui.cli.collection_choice import resolve_collection
from imseek.ui.cli.command_classes import Group
from imseek.ui.cli.common_options import BARE_QUERY
from imseek.ui.cli.flag_groups import with_groups
from imseek.ui.cli.output import say, say_collection
from imseek.ui.cli.output_flags import OUTPUT_FLAGS, OutputOptions
from imseek.ui.cli.query_flags import QueryFlags, query_flags
from imseek.ui.cli.runtime_flags import runtime_flags
from imseek.ui.render.result_json import ErrorAnswer, print_json
from imseek.ui.render.words import printable

if TYPE_CHECKING:
    from imseek import RemoteCollection, Runtime
    from imseek.library import ResolvedCollection
    from imseek.published import PublishedCollection
    from imseek.search import Cutoff, Query, Searchable
    from imseek.types.search_results import SearchResult

CollectionsOption: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--collection",
        "-c",
        metavar="NAME|PATH",
        help="The collection, by name or by path; repeat it to search several with the same encoder.",
    ),
]
ServerOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--server",
        metavar="URL",
        help="Search on a server (imseek serve; -c names one of its collections) or in Milvus (milvus://…).",
    ),
]
HereOption: TypeAlias = Annotated[bool, typer.Option("--here", help="Search only pictures below the current folder.")]
#: The number of a page. Each page before it is searched for; no token looks like that.
_PAGE: Final = re.compile("[+-]?[0-9]{1,4}")
#: Batch size for many queries.
_BATCH_SIZE = 64


app = Group()


@app.command(
    "imseek search 'a red bicycle'",
    "imseek search 'a red car' --like night.jpg --not snow",
    "imseek search 2:beach 'at night'",
    "imseek search -n 50 -0 receipts | xargs -0 ls -l",
    "imseek search 'the old harbour' --by caption",
    "imseek search boat --here --ids | imseek tag add boat -",
    "imseek search 'a red bicycle' --preview --sheet bicycles.png",
)
@with_groups(output=OUTPUT_FLAGS, flags=query_flags(), runtime=runtime_flags("device", "precision"))
def search(
    context: typer.Context,
    text: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TEXT]...",
            help="What the picture shows, in words. Each argument is a term; 2:TEXT counts twice.",
        ),
    ] = None,
    collection: CollectionsOption = None,
    server: ServerOption = None,
    here: HereOption = False,
    *,
    output: OutputOptions,
    flags: QueryFlags,
    runtime: Runtime,
) -> int:
    """Find pictures by words, by pictures, or by both (docs/queries.md)."""
    bare = context.meta.get(BARE_QUERY, False)
    return _run_search(text or [], flags, output, _Place(collection, server, here, bare), runtime)


@app.command(
    "imseek similar holiday.jpg",
    "imseek similar 17",
    "imseek similar scan.png --open",
    "imseek similar 17 --region 0.25,0.25,0.5,0.5",
    "curl -s https://example.org/photo.jpg | imseek similar -",
)
@with_groups(output=OUTPUT_FLAGS, flags=query_flags(), runtime=runtime_flags("device", "precision"))
def similar(
    image: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGE...",
            help="A picture: a file (it need not be indexed), a URL, an id, or - for stdin.",
        ),
    ],
    region: Annotated[
        str | None,
        typer.Option(
            "--region",
            metavar="X,Y,W,H",
            help="Only this box of the picture: left, top, width and height, as shares of it (0.25,0.25,0.5,0.5) "
            "or in pixels.",
        ),
    ] = None,
    collection: CollectionsOption = None,
    server: ServerOption = None,
    here: HereOption = False,
    *,
    output: OutputOptions,
    flags: QueryFlags,
    runtime: Runtime,
) -> int:
    """Find pictures that look like another one: `imseek search --like IMAGE`."""
    return _run_search([], flags.also_like(image, region), output, _Place(collection, server, here), runtime)


@dataclass(frozen=True, slots=True)
class ServerCollection:
    """A collection on a server, with the fields of :class:`imseek.library.ResolvedCollection`."""

    name: str
    path: str
    how: str


@dataclass(frozen=True, slots=True)
class _Place:
    """Where to search: collections on this machine or a server, or only the current folder."""

    names: list[str] | None
    server: str | None
    here: bool
    bare: bool = False
    """Typed without the word `search`, as by someone who has indexed nothing yet."""

    def check(self, *, many: bool) -> None:
        """Raise UsageError for flags that exclude each other."""
        if self.here and (many or self.server is not None):
            raise UsageError(f"--here and {'--queries' if many else '--server'} exclude each other")

    def resolve(self, runtime: Runtime, *, ask: bool) -> list[ResolvedCollection]:
        """Resolve the collections; with ``ask``, offer to index the current folder if there is none at all."""
        names: Sequence[str | None] = self.names or [None]
        try:
            return [resolve_collection(one) for one in names]
        except CollectionNotFoundError as error:
            if str(error) != library.NONE_YET:
                raise
            from imseek.ui.cli.current_folder import offer_first_index

            collection = offer_first_index(runtime) if ask else None
            if collection is None:
                hint = "`imseek index .` indexes the current folder, `imseek index FOLDER` another one"
                raise CollectionNotFoundError(str(error), hint=hint) from None
            return [collection]

    def offer(self, collections: Sequence[ResolvedCollection], runtime: Runtime) -> None:
        """Offer to index the current folder if it is not in the one collection that is searched."""
        if len(collections) != 1 or not (self.bare or self.here):
            return
        from imseek.ui.cli.current_folder import offer_index

        offer_index(collections[0], self.names[0] if self.names else None, runtime)


def _run_search(texts: list[str], flags: QueryFlags, output: OutputOptions, place: _Place, runtime: Runtime) -> int:
    """Run the search and print results; returns the exit code, 1 if some of many queries failed."""
    output = output.checked(many=flags.many)
    place.check(many=flags.many)
    server = place.server
    # People see where relevance ends; programs get all the hits they request.
    cutoff: Cutoff | None = "auto" if output.is_list else None
    queries = flags.batch(texts) if flags.many else []
    query = None if flags.many else flags.query(texts, cutoff=cutoff)
    with ExitStack() as stack:
        searchables: list[Searchable] = []
        targets: list[ResolvedCollection | ServerCollection] = []
        if server is not None:
            remote = connect_server(server, place.names, runtime)
            stack.callback(remote.close)
            searchables.append(remote)
            targets.append(ServerCollection(remote.name, server, "--server"))
        else:
            collections = place.resolve(runtime, ask=not output.as_json)
            targets += collections
            if not output.as_json:
                place.offer(collections, runtime)
        if not output.as_json:
            for one in targets:
                say_collection(one)
            for note in flags.notes(texts):
                say(note)
        if server is None:
            searchables += [
                stack.enter_context(imseek.open(one.path, runtime=runtime, notify=say)) for one in collections
            ]
        if query is None:
            return _print_lines(searchables, targets, queries, vectors=output.vectors)
        has_where = query.where is not None
        if place.here:
            from imseek.ui.cli.current_folder import narrow

            sources = [
                source for one in searchables if isinstance(one, imseek.Collection) for source in one.info().sources
            ]
            query = replace(query, where=narrow(query.where, sources))
        metadata = output.as_json or output.csv is not None or flags.options.by == "caption"
        result, following = _search_page(searchables, query, metadata=metadata, vectors=output.vectors)
        if output.as_json:
            from imseek.ui.cli.search_json_types import SearchAnswer

            print_json(SearchAnswer.of(result, targets))
        else:
            names = {one.uuid: where.name for one, where in zip(searchables, targets, strict=True)}
            output.show(result, query, names, following=following, has_where=has_where)
        output.write(result)
        output.draw(result, query)
        if output.open_nth is not None:
            _open(searchables, result, output.open_nth)
    return 0


def connect_server(
    server: str, names: Sequence[str] | None, runtime: Runtime
) -> RemoteCollection | PublishedCollection:
    """Connect to the collection named by ``--server``. Raises UsageError, ServerError, StorageError."""
    if names and len(names) > 1:
        raise UsageError("a server can search only one collection at a time")
    from imseek.published import is_address

    if is_address(server):
        from imseek.published import connect

        if names:
            raise UsageError(
                "a milvus:// address names its collection: -c does not go with it",
                hint="milvus:///folder/photos.db#name, milvus://host:19530/database/name",
            )
        return connect(server, runtime=runtime, notify=say)
    return imseek.connect(server if not names else f"{server.rstrip('/')}/collections/{quote(names[0], safe='')}")


def _search_page(
    searchables: Sequence[Searchable], query: Query, *, metadata: bool, vectors: bool
) -> tuple[SearchResult, str | None]:
    """Search for the page that ``--page`` names, by number or by token; also returns the next page's number or token.

    A numbered page is reached by the tokens of the pages before it, so both ways lead to the same page. Raises
    UsageError for a number below 1 or beyond the last page.
    """
    page = None if query.page is None or _PAGE.fullmatch(query.page) is None else int(query.page)
    if query.page is not None and page is None:
        result = _search(searchables, query, metadata=metadata, vectors=vectors)
        return result, result.next_page
    if page is not None and page < 1:
        raise UsageError(f"there is no page {page}: pages are numbered from 1")
    token, number = None, page or 1
    for before in range(1, number):
        token = _search(searchables, replace(query, page=token), metadata=False, vectors=False).next_page
        if token is None:
            raise UsageError(f"there is no page {number}: the results end on page {before}")
    result = _search(searchables, replace(query, page=token), metadata=metadata, vectors=vectors)
    return result, None if result.next_page is None else str(number + 1)


def _search(searchables: Sequence[Searchable], query: Query, *, metadata: bool, vectors: bool) -> SearchResult:
    if len(searchables) == 1:
        return searchables[0].search(query, metadata=metadata, vectors=vectors)
    local = [one for one in searchables if isinstance(one, imseek.Collection)]
    return imseek.search_all(local, query, metadata=metadata, vectors=vectors)


def _print_lines(
    searchables: Sequence[Searchable],
    targets: Sequence[ResolvedCollection | ServerCollection],
    queries: Sequence[tuple[int, Query | QueryError]],
    *,
    vectors: bool,
) -> int:
    """Print one line per query, in order: its answer or its error."""
    from imseek.ui.cli.search_json_types import SearchAnswer

    code = 0
    for start in range(0, len(queries), _BATCH_SIZE):
        part = queries[start : start + _BATCH_SIZE]
        for (number, _), answer in zip(
            part, _search_batch(searchables, [one for _, one in part], vectors), strict=True
        ):
            if isinstance(answer, ImseekError):
                say(f"line {number}: {printable(str(answer))}")
                print_json(ErrorAnswer.of(answer, number), line=True)
                code = 1
            else:
                print_json(SearchAnswer.of(answer, targets, number), line=True)
    return code


def _search_batch(
    searchables: Sequence[Searchable], queries: Sequence[Query | QueryError], vectors: bool
) -> list[SearchResult | ImseekError]:
    """Search a batch of queries together; if that fails, one by one, to find the failing query."""
    sound = [query for query in queries if not isinstance(query, QueryError)]
    if len(searchables) == 1 and len(sound) > 1:
        try:
            results = iter(searchables[0].search_many(sound, vectors=vectors))
            return [query if isinstance(query, QueryError) else next(results) for query in queries]
        except (UsageError, MediaError, ExpiredPageError):
            pass
    answers: list[SearchResult | ImseekError] = []
    for query in queries:
        if isinstance(query, QueryError):
            answers.append(query)
            continue
        try:
            answers.append(_search(searchables, query, metadata=True, vectors=vectors))
        except (UsageError, MediaError, ExpiredPageError) as error:  # other errors end the command
            answers.append(error)
    return answers


def _open(searchables: Sequence[Searchable], result: SearchResult, nth: int) -> None:
    if nth > len(result.hits):
        raise UsageError(f"cannot open hit {nth}: only {len(result.hits)} found")
    from imseek.ui.cli.desktop_viewer import open_in_viewer

    hit = result.hits[nth - 1]
    open_in_viewer(next(one for one in searchables if one.uuid == hit.collection), hit)
