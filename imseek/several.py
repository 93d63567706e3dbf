"""Several collections asked at once: one answer from all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import reduce
from typing import Final

from imseek.collection import Collection
from imseek.errors import QueryError, UsageError
from imseek.search.engine import Engine
from imseek.search.prepared import Window, answering_spaces, page_of
from imseek.search.query import By, Query, Question, as_query
from imseek.search.result_pages import Wanted, answer
from imseek.showing.pictures import Folders
from imseek.types import SearchResult

#: A page token counts its collections in one byte.
MOST: Final = 255


def search_all(
    collections: Sequence[Collection],
    query: Question,
    *,
    limit: int = 10,
    by: By = "image",
    metadata: bool = True,
    vectors: bool = False,
) -> SearchResult:
    """The images of all the collections that are most like ``query``: :attr:`imseek.Hit.collection` says of which.

    Arguments are those of :meth:`imseek.Collection.search`, but that the query may not refer to stored images: their
    ids mean other pictures in each collection. Scores can be compared because all collections have to have the same
    encoders, in the spaces that answer. Conditions, a cutoff and a minimum score hold in each; near-duplicates are
    collapsed within each. Equal scores come in the order of the collections. How widely scores of several terms spread
    is taken from the first.

    Raises UsageError for no collection, one that is named twice, and other encoders; QueryError for ids of stored
    images; and what :meth:`imseek.Collection.search` raises.
    """
    if not collections:
        raise UsageError("no collection to search")
    uuids = [collection.uuid for collection in collections]
    if len({*uuids}) < len(uuids):
        raise UsageError("a collection is named twice")
    if len(uuids) > MOST:
        raise UsageError(f"{len(uuids)} collections at once: at most {MOST}")
    asked = as_query(query, limit, by)
    _check(asked, len(collections))
    first, *others = collections
    page, digest = page_of(asked, uuids)
    window = Window.of(asked, page)
    generations = [None] * len(uuids) if page is None else list(page.generations)

    def ask() -> SearchResult:
        _check_encoders(collections, asked)
        head = first._engine.prepare(asked, window, generation=generations[0])
        prepared = [(first._engine, head)]
        for collection, generation in zip(others, generations[1:], strict=True):
            collection._borrow(first)
            engine = collection._engine
            made = engine.prepare(asked, window, generation=generation, composed=head.composed)
            prepared.append((engine, made))
        found = [engine.find([one])[0] for engine, one in prepared]
        return answer(found, digest, Wanted(metadata, vectors))

    found = reduce(_whole, (collection._engine for collection in collections), ask)()
    return replace(found, pictures=Folders({one.uuid: one.path for one in collections}))


def _whole(ask: Callable[[], SearchResult], engine: Engine) -> Callable[[], SearchResult]:
    """``ask``, once more where files of this engine's collection have gone meanwhile."""
    return lambda: engine.until_whole(ask)


def _check(query: Query, collections: int) -> None:
    if collections > 1 and (query.more or query.less or any(t.image_id is not None for t in query.terms)):
        raise QueryError(
            "a stored image is one of one collection", hint="ask with the picture itself, or one collection"
        )


def _check_encoders(collections: Sequence[Collection], query: Query) -> None:
    """Raises UsageError where the scores of two collections cannot be compared."""
    first, *others = collections
    spaces = [answering_spaces(one._engine.reader.current, query) for one in (first, *others)]
    for collection, theirs in zip(others, spaces[1:], strict=True):
        if [space.fingerprint for space in theirs] != [space.fingerprint for space in spaces[0]]:
            ours, other = (" and ".join(space.encoder for space in one) for one in (spaces[0], theirs))
            weights = " of other weights" if ours == other else ""
            raise UsageError(
                f"{first.path} answers with {ours}, {collection.path} with {other}{weights}: "
                "their scores cannot be compared",
                hint="`imseek maintain --reencode` takes a collection to another encoder",
            )
