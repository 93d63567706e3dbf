"""Search several collections at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Final, Unpack

from imseek.collection import Collection, share_encoders
from imseek.errors import QueryError, UsageError
from imseek.search.engine import Engine, compare_collections
from imseek.search.generations import retry_if_stale
from imseek.search.query import Query, Question, as_query
from imseek.search.query_options import QueryKeywords, promise_of, with_query_keywords
from imseek.search.query_vectors import answering_spaces
from imseek.search.result_pages import HitOptions, build_result, page_window
from imseek.showing.folder_pictures import FolderPictures
from imseek.types.search_results import SearchResult
from imseek.types.spaces import name_beside

#: A page token stores the number of collections in one byte.
MAX_COLLECTIONS: Final = 255


@with_query_keywords
def search_all(
    collections: Sequence[Collection],
    query: Question,
    *,
    metadata: bool = True,
    vectors: bool = False,
    **options: Unpack[QueryKeywords],
) -> SearchResult:
    """Return the images most similar to ``query`` from all collections; :attr:`imseek.Hit.collection` names each hit's.

    Arguments are those of :meth:`imseek.Collection.search`, but the query may not refer to indexed images, whose ids
    differ between collections. All collections must have the same encoders in the searched spaces, so that scores are
    comparable. Filters, cutoff and minimum score apply to each collection, and near-duplicates are collapsed within
    each. Equal scores keep the order of the collections. Statistics for fusing several terms come from the first one.

    Raises UsageError for no collection, a duplicate one, or different encoders; QueryError for ids of indexed images;
    and whatever :meth:`imseek.Collection.search` raises.
    """
    if not collections:
        raise UsageError("no collection to search")
    uuids = [collection.uuid for collection in collections]
    if len({*uuids}) < len(uuids):
        raise UsageError("a collection is named twice")
    if len(uuids) > MAX_COLLECTIONS:
        raise UsageError(f"{len(uuids)} collections at once: at most {MAX_COLLECTIONS}")
    parsed = as_query(query, **options)
    _check_no_image_ids(parsed, len(collections))
    if promise_of(parsed) is not None and len(collections) > 1:
        raise QueryError(
            f"cutoff {parsed.cutoff} holds for one collection: each has a calibration of its own",
            hint="search them one by one, or --cutoff auto",
        )
    first, *others = collections
    window = page_window(parsed, uuids)

    def ask() -> SearchResult:
        _check_encoders(collections, parsed)
        head = first.engine.prepare(parsed, window, number=window.generations[0])
        prepared = [(first.engine, head)]
        for collection, number in zip(others, window.generations[1:], strict=True):
            share_encoders(first, collection)
            engine = collection.engine
            prepared_query = engine.prepare(
                parsed, window, number=number, query_vectors=head.query_vectors, reranker=head.reranker
            )
            prepared.append((engine, prepared_query))
        engines = [engine for engine, _ in prepared]
        comparable = compare_collections([one for _, one in prepared])
        rankings = [engine.find([one])[0] for engine, one in zip(engines, comparable, strict=True)]
        pictures = FolderPictures({one.uuid: one.path for one in collections})
        return build_result(rankings, HitOptions(metadata, vectors, pictures))

    return reduce(_retry_if_purged, (collection.engine for collection in collections), ask)()


def _retry_if_purged(ask: Callable[[], SearchResult], engine: Engine) -> Callable[[], SearchResult]:
    """Wrap ``ask`` so that it is retried if a purge removes files of this engine's collection meanwhile."""
    return lambda: retry_if_stale(ask, engine)


def _check_no_image_ids(query: Query, collections: int) -> None:
    if collections > 1 and (query.more or query.less or any(t.image_id is not None for t in query.terms)):
        raise QueryError(
            "a stored image is one of one collection", hint="ask with the picture itself, or one collection"
        )


def _check_encoders(collections: Sequence[Collection], query: Query) -> None:
    """Raise UsageError if the scores of two collections are not comparable."""
    first, *others = collections
    spaces = [answering_spaces(one.engine.reader.current, query) for one in (first, *others)]
    for collection, other_spaces in zip(others, spaces[1:], strict=True):
        if [space.fingerprint for space in other_spaces] != [space.fingerprint for space in spaces[0]]:
            names, other_names = (" and ".join(space.encoder for space in one) for one in (spaces[0], other_spaces))
            hint = "`imseek maintain --reencode` takes a collection to another encoder"
            if names == other_names and len(other_spaces) == 1:
                hint = f"`imseek maintain --reencode {names}` in each takes both to the weights that are installed"
            raise UsageError(
                f"{first.path} answers with {names}, {collection.path} with {name_beside(other_names, names)}: "
                "their scores cannot be compared",
                hint=hint,
            )
