"""Search a collection on a server (``imseek serve``) as if it were local: ``imseek.open("http://…")``."""

from __future__ import annotations

import base64
import http.client
import json
import os
import re
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, TypeVar, Unpack
from urllib.parse import quote, urlencode, urlsplit

import numpy as np

from imseek._version import __version__
from imseek.errors import (
    CONTENT_CHANGED,
    CollectionNotFoundError,
    ContentChangedError,
    ExpiredPageError,
    ImageNotFoundError,
    ImseekError,
    MediaError,
    QueryError,
    ServerError,
    UsageError,
)
from imseek.input_file import read_input
from imseek.search.query import Query, Question, as_queries, as_query
from imseek.search.query_json import query_to_json
from imseek.search.query_options import QueryKeywords, with_query_keywords
from imseek.search.searchable import MAX_HITS_PER_RESPONSE, VECTOR_COST
from imseek.showing.pictures import OTHER_COLLECTION
from imseek.types.collection_info import CollectionInfo, SpaceInfo
from imseek.types.pictures import Image, Place, SkipReason
from imseek.types.search_results import Hit, HitGroup, Match, ReadPicture, Searched, SearchResult, SpaceShare
from imseek.types.word_completions import MAX_SERVED, MAX_SERVED_TEXT, Suggestion, SuggestionKind

TOKEN_VARIABLE: Final = "IMSEEK_TOKEN"  # noqa: S105 - the name of a variable
#: Seconds to wait for the server.
_TIMEOUT: Final = 60.0
#: Queries per request, and bytes per response, at most.
_BATCH_SIZE: Final = 256
_MAX_RESPONSE_BYTES: Final = 1 << 30
#: Longer side in pixels of the largest thumbnail that a server makes.
_MAX_THUMBNAIL_SIDE: Final = 1024
_PRINTABLE_ASCII: Final = re.compile(r"[\x21-\x7e]+")
_CLOSED_CONNECTION_ERRORS: Final = (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError)
#: Errors that a server reports, by name.
_ERRORS_BY_NAME: Final[Mapping[str, type[ImseekError]]] = {
    "ExpiredPageError": ExpiredPageError,
    "ImageNotFoundError": ImageNotFoundError,
    "CollectionNotFoundError": CollectionNotFoundError,
    "QueryError": QueryError,
    "UsageError": UsageError,
}


T = TypeVar("T")


def connect(url: str, token: str | None = None) -> RemoteCollection:
    """Open a collection on a server. ``token`` defaults to ``IMSEEK_TOKEN``.

    Without a token, only open routes work. Raises as :class:`RemoteCollection`.
    """
    return RemoteCollection(url, token or os.environ.get(TOKEN_VARIABLE) or None)


class RemoteCollection:
    """A collection on a server. Safe to use from several threads; each has its own connection.

    ``url`` is that of the server, for its first collection, or of a collection (``http://host:1234/collections/NAME``).
    Pictures in queries are sent as bytes, not as file names. Raises UsageError, ServerError if the server does not
    answer, CollectionNotFoundError.
    """

    def __init__(self, url: str, token: str | None = None) -> None:
        refusal = UsageError(
            f"{_strip_credentials(url)!r} is not the address of a server", hint="http://127.0.0.1:1234"
        )
        try:
            parts = urlsplit(url)
            self._port = parts.port
        except ValueError:
            raise refusal from None
        usable = parts.scheme in ("http", "https") and parts.hostname and "@" not in parts.netloc
        if not usable or parts.query or parts.fragment or not _PRINTABLE_ASCII.fullmatch(parts.netloc):
            raise refusal
        if token is not None and not _PRINTABLE_ASCII.fullmatch(token):
            raise UsageError("a token must consist of printable ASCII characters", hint=f"check {TOKEN_VARIABLE}")
        self.url = f"{parts.scheme}://{parts.netloc}"
        self._host, self._secure = parts.hostname or "", parts.scheme == "https"
        self._token = token
        self._local = threading.local()
        self._connections: list[http.client.HTTPConnection] = []
        self._lock = threading.Lock()
        path = quote(parts.path.strip("/"), safe="/%")
        if path and (not path.startswith("collections/") or path.count("/") != 1):
            raise UsageError(f"{url!r} is not the address of a collection", hint=f"{self.url}/collections/NAME")
        try:
            if not path:
                first = self._read("GET", "/collections", lambda document: str(document["collections"][0]))
                path = f"collections/{quote(first, safe='')}"
            self._path = f"/{path}"
            self.name, self.uuid = self._read(
                "GET", self._path, lambda document: (str(document["name"]), str(document["uuid"]))
            )
        except BaseException:
            self.close()
            raise
        self.pictures = ServerPictures(f"{self.url}{self._path}", token)

    def __repr__(self) -> str:
        return f"<imseek.RemoteCollection {self.pictures.url!r}>"

    def __enter__(self) -> RemoteCollection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections. Later requests open new ones."""
        with self._lock:
            connections, self._connections = self._connections, []
        self._local = threading.local()
        for connection in connections:
            connection.close()

    @with_query_keywords
    def search(
        self,
        query: Question,
        *,
        metadata: bool = True,
        vectors: bool = False,
        **options: Unpack[QueryKeywords],
    ) -> SearchResult:
        """Search as :meth:`imseek.Collection.search`. Also raises ServerError."""
        body = self._body(as_query(query, **options), vectors)
        return self._read(
            "POST", f"{self._path}/search", lambda document: self._result(document, metadata=metadata), body
        )

    @with_query_keywords
    def search_many(
        self,
        queries: Iterable[Question],
        *,
        metadata: bool = True,
        vectors: bool = False,
        **options: Unpack[QueryKeywords],
    ) -> list[SearchResult]:
        """Search many queries as :meth:`imseek.Collection.search_many`; answers may come from different generations."""
        parsed = as_queries(queries, **options)
        bodies = [self._body(query, vectors) for query in parsed]

        def parse(document: Mapping[str, Any]) -> list[SearchResult]:
            return [self._result(answer, metadata=metadata) for answer in document["answers"]]

        results: list[SearchResult] = []
        for start, stop in _batch_ranges(parsed, vectors):
            body = {"queries": bodies[start:stop]}
            answers = self._read("POST", f"{self._path}/batch", parse, body)
            if len(answers) != stop - start:
                raise self._unexpected_response()
            results += answers
        return results

    def suggest(
        self, text: str, *, limit: int = 10, kinds: Sequence[SuggestionKind] | None = None
    ) -> tuple[Suggestion, ...]:
        """Suggest how words that are being typed may go on, as :func:`imseek.overview.suggest` does.

        Words of names come only from servers that show places. Raises UsageError for more than 200 characters or a
        limit above 50, which no server takes, and ServerError.
        """
        if len(text) > MAX_SERVED_TEXT or not 1 <= limit <= MAX_SERVED:
            raise UsageError(
                f"a server suggests at most {MAX_SERVED} texts, for at most {MAX_SERVED_TEXT} characters",
                hint="give fewer",
            )
        if kinds is not None and not kinds:
            return ()
        query = urlencode({"q": text, "limit": int(limit), "kind": kinds or ()}, doseq=True, errors="replace")

        def parse(document: Mapping[str, Any]) -> tuple[Suggestion, ...]:
            return tuple(Suggestion(str(one["text"]), one["kind"]) for one in document["suggestions"])

        return self._read("GET", f"{self._path}/suggest?{query}", parse)

    def get(self, image_id: int) -> Image:
        """Return everything known about one image. Raises ImageNotFoundError, ServerError."""
        return self._read("GET", f"{self._path}/images/{int(image_id)}", _image_of)

    def read(self, image_id: int) -> bytes:
        """Read the original bytes of a picture. Raises ImageNotFoundError, MediaError, ServerError."""
        return self._request("GET", f"{self._path}/images/{int(image_id)}/file")

    def thumbnail(self, image_id: int, side: int = 256) -> bytes:
        """Return a WebP thumbnail whose longer side is at most ``side`` pixels, 32 to 1024. Raises as :meth:`read`."""
        return self._request("GET", f"{self._path}/images/{int(image_id)}/thumbnail?side={int(side)}")

    def info(self) -> CollectionInfo:
        """Return counts and the encoder; servers do not disclose sources and failures."""
        return self._read("GET", self._path, self._info)

    def _info(self, document: Mapping[str, Any]) -> CollectionInfo:
        space = SpaceInfo(
            0, document["encoder"], document["fingerprint"], document["dim"], "image", document["quality"]
        )
        return CollectionInfo(
            path=f"{self.url}{self._path}",
            uuid=document["uuid"],
            format=1,
            created="",
            generation=document["generation"],
            images=document["images"],
            dead_rows=0,
            shards=0,
            bytes_on_disk=0,
            encoder=space,
            sources=(),
            failures=(),
            index=document["index"],
        )

    def _body(self, query: Query, vectors: bool) -> dict[str, Any]:
        """Build a request body; picture files are sent as bytes. Raises QueryError."""
        terms = tuple(
            replace(term, picture=_read_picture(term.picture)) if isinstance(term.picture, Path) else term
            for term in query.terms
        )
        document = query_to_json(replace(query, terms=terms))
        document.pop("schema", None)
        return {**document, "vectors": True} if vectors else document

    def _result(self, document: Mapping[str, Any], *, metadata: bool) -> SearchResult:
        uuid = document["uuid"]
        hits = tuple(_hit_of(hit, uuid, metadata=metadata) for hit in document["hits"])
        groups, start = [], 0
        for group in document["groups"]:
            groups.append(HitGroup(group["name"], group["size"], hits[start : start + group["hits"]]))
            start += group["hits"]
        return SearchResult(
            hits=hits,
            generation=document["generation"],
            searched=document["searched"],
            encoder=document["encoder"],
            notes=tuple(document["notes"]),
            spaces=tuple(SpaceShare(s["space_id"], s["encoder"], s["weight"]) for s in document["spaces"]),
            next_page=document["next_page"],
            cut=document["cut"],
            lost=document.get("lost"),  # Earlier versions have none.
            approximate=document["approximate"],
            groups=tuple(groups),
            collections=(Searched(uuid, document["generation"], document["searched"]),),
            pictures=self.pictures,
        )

    # -- the wire --------------------------------------------------------------------------------------------

    def _read(self, method: str, path: str, make: Callable[[Any], T], body: Mapping[str, Any] | None = None) -> T:
        """Send a request and convert the JSON response with ``make``. Raises ServerError if it is not imseek's."""
        data = self._request(method, path, body)
        try:
            return make(json.loads(data))
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            raise self._unexpected_response() from error

    def _unexpected_response(self) -> ServerError:
        return ServerError(f"{self.url} answers, but not like an imseek server", hint="imseek serve")

    def _request(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> bytes:
        payload = None if body is None else json.dumps(body, allow_nan=False).encode()
        headers = {"Accept": "*/*", "User-Agent": f"imseek/{__version__}"}
        if payload is not None:
            headers["Content-Type"] = "application/json"
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token}"
        for may_retry in (True, False):
            connection = self._connection()
            try:
                connection.request(method, path, payload, headers)
                response = connection.getresponse()
                data = response.read(_MAX_RESPONSE_BYTES + 1)
                if response.length and len(data) <= _MAX_RESPONSE_BYTES:
                    raise http.client.IncompleteRead(data, response.length)
                break
            except (http.client.HTTPException, OSError) as error:
                self._drop(connection)
                # The server may have closed an idle connection. Requests are safe to repeat.
                if may_retry and isinstance(error, _CLOSED_CONNECTION_ERRORS):
                    continue
                hint = "is `imseek serve` running there?"
                if isinstance(error, ssl.SSLCertVerificationError):
                    hint = "its certificate is not trusted here: SSL_CERT_FILE names one of your own"
                elif isinstance(error, ssl.SSLError):
                    hint = "`imseek serve` itself speaks http, not https"
                raise ServerError(f"no answer from {self.url}: {error}", hint=hint) from error
            except BaseException:
                self._drop(connection)  # After Ctrl-C, the next request must not read this response.
                raise
        if len(data) > _MAX_RESPONSE_BYTES:
            self._drop(connection)
            raise ServerError(f"the answer of {self.url} is too large", hint="request fewer hits at a time")
        if response.status >= 300:
            raise _error_from_response(response.status, data, self.url)
        return data

    def _connection(self) -> http.client.HTTPConnection:
        connection: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        if connection is None:
            if self._secure:
                connection = http.client.HTTPSConnection(
                    self._host, self._port, timeout=_TIMEOUT, context=ssl.create_default_context()
                )
            else:
                connection = http.client.HTTPConnection(self._host, self._port, timeout=_TIMEOUT)
            self._local.connection = connection
            with self._lock:
                self._connections.append(connection)
        return connection

    def _drop(self, connection: http.client.HTTPConnection) -> None:
        connection.close()
        self._local.connection = None
        with self._lock:
            self._connections = [one for one in self._connections if one is not connection]


@dataclass(frozen=True, slots=True)
class ServerPictures:
    """Reads pictures of a collection on a server; implements :class:`imseek.types.search_results.Pictures`.

    Pickling drops the token; the copy uses ``IMSEEK_TOKEN``.
    """

    url: str
    token: str | None = field(default=None, repr=False)

    def __reduce__(self) -> tuple[type[ServerPictures], tuple[str]]:
        return ServerPictures, (self.url,)

    @contextmanager
    def opened(self) -> Iterator[ReadPicture]:
        """Yield a reader of thumbnails made by the server."""
        with connect(self.url, self.token) as collection:

            def read(uuid: str, image_id: int, side: int) -> bytes:
                if uuid != collection.uuid:
                    raise MediaError(SkipReason.VANISHED, OTHER_COLLECTION)
                return collection.thumbnail(image_id, min(max(side, 32), _MAX_THUMBNAIL_SIDE))

            yield read

    def html(self, result: SearchResult) -> str:
        """Render the hits as a grid for notebooks; never raises."""
        from imseek.showing.grid import render_result

        return render_result(result, self.opened)


def _batch_ranges(queries: Sequence[Query], vectors: bool) -> Iterator[tuple[int, int]]:
    """Yield slices of the queries, each small enough for one request."""
    start = hits = 0
    for n, query in enumerate(queries):
        size = query.limit * (query.per_group if query.group_by else 1) * (VECTOR_COST if vectors else 1)
        if n > start and (hits + size > MAX_HITS_PER_RESPONSE or n - start == _BATCH_SIZE):
            yield start, n
            start, hits = n, 0
        hits += size
    if start < len(queries):
        yield start, len(queries)


def _strip_credentials(url: str) -> str:
    """Remove user and password from a URL, for display."""
    scheme, mark, rest = url.partition("://")
    return scheme + mark + rest.rpartition("@")[2] if mark else url


def _error_from_response(status: int, data: bytes, url: str) -> ImseekError:
    try:
        problem = json.loads(data)
        title, detail, hint = problem["title"], problem["detail"], problem.get("hint")
    except (ValueError, KeyError, TypeError, RecursionError):
        return ServerError(f"{url} answers with status {status}, and not like an imseek server")
    if not isinstance(detail, str) or not isinstance(hint, str | None):
        return ServerError(f"{url} answers with status {status}, and not like an imseek server")
    if status == 401:
        return ServerError(f"{url}: {detail}", hint="set IMSEEK_TOKEN, or give a token")
    if title == "MediaError":
        return MediaError(SkipReason.UNREADABLE, detail, hint=hint)
    if title == "ContentChangedError":
        return ContentChangedError(CONTENT_CHANGED, detail, hint=hint)
    kind = _ERRORS_BY_NAME.get(title, ServerError)
    return kind(detail if kind is not ServerError else f"{url}: {detail}", hint=hint)


def _read_picture(path: Path) -> bytes:
    from imseek.media.decode import DEFAULT_LIMITS

    try:
        return read_input(path, most=DEFAULT_LIMITS.max_bytes)
    except OSError as error:
        raise QueryError(f"cannot read {path}: {error.strerror or error}") from error


def _image_of(document: Mapping[str, Any]) -> Image:
    return Image(
        document["image_id"],
        _place_of(document),
        document["content_hash"],
        document["metadata"],
        tuple(document["tags"]),
    )


def _hit_of(document: Mapping[str, Any], uuid: str, *, metadata: bool) -> Hit:
    vector = document.get("vector")
    return Hit(
        collection=uuid,
        image_id=document["image_id"],
        score=document["score"],
        place=_place_of(document),
        metadata=document["metadata"] if metadata else {},
        duplicates=tuple(document["duplicates"]),
        group=document["group"],
        matches=tuple(
            Match(one["field"], tuple(one["words"]), one.get("excerpt"), one.get("score"))
            for one in document.get("matches", ())  # Earlier versions have none.
        ),
        vector=None if vector is None else np.asarray(vector, np.float32),
    )


def _place_of(document: Mapping[str, Any]) -> Place | None:
    if document["path"] is None:
        return None
    coded = document.get("path_b64")
    path = base64.b64decode(coded) if coded else document["path"].encode()
    return Place(document["source_id"], path, document["uri"] or "")
