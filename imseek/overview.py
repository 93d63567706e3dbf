"""Look into a collection without a query: its state, the newest images, where images lie, what filters and words find.

>>> imseek.overview.read_state("photos.imseek").images      # doctest: +SKIP
48211
>>> imseek.overview.newest("photos.imseek", limit=3).image_ids      # doctest: +SKIP
(51002, 51001, 51000)
>>> [one.text for one in imseek.overview.suggest("photos.imseek", "a red hor")]      # doctest: +SKIP
['a red horse', 'a red hornet']

Nothing is changed.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from imseek.analysis.originals import Originals
from imseek.analysis.snapshot_session import filter_ids, run_with_reader
from imseek.data import image_refs
from imseek.data.catalog.place_paths import MEMBER_SEPARATOR, is_url
from imseek.data.current_generation import read_current
from imseek.data.reader import Reader
from imseek.encoders.input_checks import available_cpus
from imseek.errors import ImageNotFoundError, MediaError, UsageError
from imseek.types.collection_arguments import AnyCollection, path_of
from imseek.types.pictures import Place, display_path
from imseek.types.timeline import Timeline as Timeline
from imseek.types.word_completions import Suggestion as Suggestion
from imseek.types.word_completions import SuggestionKind, SuggestionSource

if TYPE_CHECKING:
    from imseek.analysis.word_completions import VocabularyCache
    from imseek.search import Box, Facet, FacetCounts, FacetSummary, LocationCluster, LocationCounts
    from imseek.search.where.facet_counts import FacetCounter

#: Bytes of columns that filters of timelines may hold.
_FILTER_MEMORY: Final = 64 << 20
#: Thumbnails made in advance for each processor.
_THUMBNAILS_AHEAD: Final = 8


@dataclass(frozen=True, slots=True)
class CollectionState:
    """The newest generation of a collection.

    ``uuid`` and ``generation`` together identify what it holds: results may be cached by them. ``has_captions`` says
    whether captions can be searched.
    """

    uuid: str
    generation: int
    images: int
    has_captions: bool


@dataclass(frozen=True, slots=True)
class NewestImages:
    """The newest of ``total`` images, and the captions that they have, in the same order."""

    image_ids: tuple[int, ...]
    total: int
    captions: tuple[str, ...]


def read_state(collection: AnyCollection) -> CollectionState:
    """Read the state of a collection from one small file (or from its catalog, where that is on a server).

    Raises CollectionNotFoundError, FormatVersionError, CorruptCollectionError.
    """
    now = read_current(path_of(collection))
    return CollectionState(now.uuid, now.generation, now.images, now.caption_space is not None)


def find_image(collection: AnyCollection, image: str | bytes | os.PathLike[str]) -> int:
    """Return the id of the image with a path or URL: of an indexed file, or of a copy of one.

    If several images match, such as copies, the lowest id is returned. Raises ImageNotFoundError, StorageError.
    """
    path = os.fsencode(image)
    ids = image_refs.find_ids(path_of(collection), [path])[path]
    if not ids:
        raise ImageNotFoundError(
            f"no image {display_path(path)!r} in this collection", hint="name an id, an indexed file, or a copy of one"
        )
    return ids[0]


def count_at(collection: AnyCollection, source_id: int, path: str | bytes | os.PathLike[str]) -> tuple[int, int]:
    """Count the images of a source that would be found if it had moved to ``path``, and all its images."""
    from imseek.data.catalog import path_lookup

    return path_lookup.count_at(path_of(collection), source_id, os.fsencode(Path(os.fsdecode(path)).absolute()))


def newest(
    collection: AnyCollection, *, where: str | None = None, limit: int = 10, before: int | None = None
) -> NewestImages:
    """Return the images that were indexed last, the newest first; with ``where``, of those that satisfy a filter.

    With ``before``, only images with lower ids than this are returned, which continues a list; all are counted.

    Raises QueryError for an invalid filter, CollectionNotFoundError, CorruptCollectionError.
    """

    def look(reader: Reader) -> NewestImages:
        if (allowed := filter_ids(reader, where)) is not None:
            total, image_ids = len(allowed.ids), _below(allowed.ids, before)[::-1][:limit].tolist()
        else:
            total, image_ids = 0, []
            for shard in reader.current.shards:
                ids = np.delete(np.asarray(reader.shard_ids(shard)), reader.dead_rows(shard))
                total += len(ids)
                image_ids = sorted([*image_ids, *_below(ids, before)[-limit:].tolist()], reverse=True)[:limit]
        return NewestImages(tuple(image_ids), total, tuple(reader.captions(image_ids).values()))

    return run_with_reader(collection, look)


def _below(ids: npt.NDArray[np.int64], before: int | None) -> npt.NDArray[np.int64]:
    """Return the ascending ``ids`` that are less than ``before``."""
    return ids if before is None else ids[: int(np.searchsorted(ids, before))]


def facets(collection: AnyCollection, *, where: str | None = None) -> tuple[Facet, ...]:
    """Summarise the columns that filters can use, among all images or those of a filter: their kinds, bounds and most
    frequent values.

    Reads each column once: some tenths of a second for 100,000 images. Raises QueryError, CollectionNotFoundError,
    CorruptCollectionError.
    """
    from imseek.search.where.facets import facets as summarise

    def look(reader: Reader) -> tuple[Facet, ...]:
        allowed = filter_ids(reader, where)
        return summarise(reader, ids=None if allowed is None else allowed.ids)

    return run_with_reader(collection, look)


def summarise_facets(
    collection: AnyCollection, columns: Sequence[str] = (), *, where: str | None = None, values: int = 20
) -> FacetSummary:
    """Summarise what filters can use among all images or those of a filter: columns, tags, and locations.

    ``columns`` limits that to some columns, to ``tag`` or ``location``. At most ``values`` are listed of each. Raises
    QueryError for an unknown column or an invalid filter, CollectionNotFoundError, CorruptCollectionError.
    """
    from imseek.search import FacetSummary
    from imseek.search.where import facets as summary
    from imseek.search.where.location_clusters import around_all

    counter = _facet_counter(collection)

    def look(reader: Reader) -> FacetSummary:
        allowed = filter_ids(reader, where)
        ids = None if allowed is None else allowed.ids
        hits = None if ids is None else lambda _: ids
        facets = summary.facets(reader, ids=ids)
        selection = summary.choose_facets(facets, columns, summary.facets(reader) if hits and columns else ())
        (tags,) = counter.count(reader, [summary.TAG], hits=hits, limit=values)
        places: tuple[LocationCluster, ...] = ()
        if not columns or summary.LOCATION in columns:
            places = counter.locations(reader, hits=hits).clusters
            if hits and places:  # More finely where these are.
                places = counter.locations(reader, hits=hits, view=around_all(places)).clusters
        return FacetSummary(
            tags.images,
            tuple(replace(one, values=one.values[:values]) for one in selection),
            tags.values if not columns or summary.TAG in columns else (),
            places[:values],
        )

    return run_with_reader(collection, look)


def count_facets(
    collection: AnyCollection,
    columns: Sequence[str],
    *,
    choices: Mapping[str, Sequence[str]] = MappingProxyType({}),
    where: Sequence[str] = (),
    hits: Callable[[str | None], Iterable[int]] | None = None,
    holding: str = "",
    limit: int = 200,
) -> tuple[FacetCounts, ...]:
    """Count the values of ``columns`` (stored ones, ``folder``, ``tag``) among images of a filter, then ``choices``.

    ``choices`` are conditions to choose from, by the column that they are about, for sizes or stars, for example.

    ``where`` are conditions that must all hold. Those that name only the column itself are left out for its counts, so
    that these say what another choice would find. ``hits`` returns the ids that a search finds under a condition, to
    count only those. Values without the text ``holding`` are left out. Columns are read once for a generation; a call
    then takes some milliseconds for 100,000 images. Raises QueryError, CollectionNotFoundError, CorruptCollectionError.
    """
    counter = _facet_counter(collection)
    return run_with_reader(
        collection,
        lambda reader: counter.count(reader, columns, where, choices=choices, hits=hits, holding=holding, limit=limit),
    )


def count_locations(
    collection: AnyCollection,
    *,
    where: Sequence[str] = (),
    hits: Callable[[str | None], Iterable[int]] | None = None,
    view: Box | None = None,
) -> LocationCounts:
    """Group the places where images were taken, more finely in a smaller ``view`` of the world.

    Without a view, it is the part with all of the collection's locations. ``where`` and ``hits`` are as in
    :func:`count_facets`: conditions on the location alone do not count. Takes some 20 ms for 100,000 images once their
    positions have been read. Raises QueryError, CollectionNotFoundError, CorruptCollectionError.
    """
    counter = _facet_counter(collection)
    return run_with_reader(collection, lambda reader: counter.locations(reader, where, hits=hits, view=view))


def timeline(collection: AnyCollection, *, where: str | None = None, hits: Iterable[int] | None = None) -> Timeline:
    """Return images in the order in which they were taken, the newest first: all, of a filter, or of a search's hits.

    The order of all is found once for a generation: some tenths of a second for 100,000 images. Raises QueryError,
    CollectionNotFoundError, CorruptCollectionError.
    """
    root = path_of(collection)
    return _timelines(root, read_current(root).uuid).get(root, where, hits)


class _Timelines:
    """The order of all images of a collection, in its newest generation. Thread-safe."""

    def __init__(self) -> None:
        from imseek.search.where import Filters

        self._lock = threading.Lock()
        self._filters = Filters(memory=_FILTER_MEMORY)
        self._cache: tuple[int, Timeline] | None = None

    def get(self, root: Path, where: str | None, hits: Iterable[int] | None) -> Timeline:
        from imseek.analysis.chronological_order import read_ids, read_timeline

        def look(reader: Reader) -> Timeline:
            with self._lock:
                if self._cache is None or self._cache[0] != reader.generation:
                    self._cache = reader.generation, read_timeline(reader)
                everything = self._cache[1]
            ids = read_ids(reader, self._filters, where, hits)
            return everything if ids is None else everything.among(ids)

        return run_with_reader(root, look)


@lru_cache(4)
def _timelines(root: Path, uuid: str) -> _Timelines:
    """Return what orders the images of a collection. ``uuid`` tells those apart that lie at one path in turn."""
    return _Timelines()


def _facet_counter(collection: AnyCollection) -> FacetCounter:
    root = path_of(collection)
    return _facet_counters(root, read_current(root).uuid)


@lru_cache(4)
def _facet_counters(root: Path, uuid: str) -> FacetCounter:
    """Return what counts the facets of a collection. ``uuid`` tells those apart that lie at one path in turn."""
    from imseek.search.where.facet_counts import FacetCounter

    return FacetCounter()


def suggest(
    collection: AnyCollection | SuggestionSource,
    text: str,
    *,
    limit: int = 10,
    kinds: Sequence[SuggestionKind] | None = None,
) -> tuple[Suggestion, ...]:
    """Suggest how words that are being typed may go on, the likeliest first, at most ``limit``.

    Suggested are people, keywords and tags by their starts, then words of captions, of text in pictures, and of the
    names of files and folders; ``kinds`` limits that. Case and accents are ignored. The first call counts the words of
    the collection; the others take a few milliseconds. After a commit, they answer from the generation before until
    its words have been counted too. A collection on a server suggests what that serves, and a published one nothing:
    its words are not published. Raises UsageError, CollectionNotFoundError, CorruptCollectionError, ServerError.
    """
    from imseek.analysis.word_completions import KINDS

    if limit < 1:
        raise UsageError("a limit is at least 1")
    allowed = KINDS if kinds is None else tuple(kinds)
    if strange := set(allowed) - set(KINDS):
        raise UsageError(f"no kind {min(strange)!r}", hint=f"there are {', '.join(KINDS)}")
    if isinstance(collection, SuggestionSource):
        return collection.suggest(text, limit=limit, kinds=allowed)
    return _vocabularies().get(path_of(collection)).suggest(text, limit, allowed)


@cache
def _vocabularies() -> VocabularyCache:
    from imseek.analysis.word_completions import VocabularyCache

    return VocabularyCache()


def source_roots(collection: AnyCollection) -> dict[int, str]:
    """Return the root of each source by its id, as text to show. Raises CollectionNotFoundError."""
    from imseek.data.catalog.quarantined_duplicates import live_sources

    return {n: display_path(one.root) for n, one in live_sources(path_of(collection)).items()}


def find_places(collection: AnyCollection, image_ids: Iterable[int]) -> dict[int, Place]:
    """Return the current places of images by id, without those whose place is unknown.

    Raises CollectionNotFoundError, CorruptCollectionError.
    """
    ids = list(dict.fromkeys(image_ids))
    return run_with_reader(collection, lambda reader: reader.places(ids))


def place_kind(place: Place) -> str:
    """Return what holds the picture: ``file``, ``archive`` (a member), ``table`` (a row) or ``web``."""
    if place.uri.startswith(("zip:", "tar:")):
        return "archive"
    if place.uri.startswith("file:"):
        return "table" if "#row=" in place.uri else "file"
    return "table" if "#row=" in place.uri else "web"


def local_file(place: Place) -> bytes | None:
    """Return the local file that must exist for the picture to be readable; None for other places."""
    path, kind = place.path, place_kind(place)
    if kind == "table":
        path = path.rpartition(b"!/")[0]
    elif kind == "archive":
        path = path.partition(b"!/")[0]
    return None if is_url(path) or MEMBER_SEPARATOR in path else path


@contextmanager
def thumbnails(
    collection: AnyCollection, image_ids: Sequence[int] = (), side: int = 320
) -> Iterator[Callable[[int], bytes | None]]:
    """Yield a function that returns an image's WebP of at most ``side`` pixels, or None if it cannot be read.

    Pictures are read from their places while the context is open; those of ``image_ids``, in this order, are prepared
    in advance, a few on each processor. Raises CollectionNotFoundError, and in use StaleGenerationError if a purge has
    changed the collection since.
    """
    from imseek.media import decode, thumbnail

    with (
        closing(Reader(path_of(collection))) as reader,
        Originals(reader, image_ids) as originals,
        ThreadPoolExecutor(available_cpus(), "thumbnails") as pool,
    ):

        def make(image_id: int) -> bytes | None:
            try:
                data = originals.read(image_id)
                if data is None:
                    return None
                return thumbnail(decode(data, min_side=side, measured=False, preview=True).pixels, side)
            except MediaError:  # Its content has changed, or its codec is missing.
                return None

        upcoming = iter(dict.fromkeys(image_ids))
        ahead: dict[int, Future[bytes | None]] = {}

        def take(image_id: int) -> bytes | None:
            for other in islice(upcoming, max(0, _THUMBNAILS_AHEAD * available_cpus() - len(ahead))):
                ahead[other] = pool.submit(make, other)
            future = ahead.pop(image_id, None)
            return make(image_id) if future is None else future.result()

        try:
            yield take
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
