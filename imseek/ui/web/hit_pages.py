"""Hits of a search beyond the first ones, which the browser requests while somebody scrolls down."""

from __future__ import annotations

import os
import threading
from base64 import b64encode
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qs, urlencode

import numpy as np
import numpy.typing as npt

from imseek import albums, home, overview
from imseek.collection import Collection
from imseek.errors import QueryError
from imseek.overview import Timeline
from imseek.types.search_results import Hit, HitGroup
from imseek.ui.web import app_state, search_state, uploads
from imseek.ui.web.components.grid import Following
from imseek.ui.web.parts import results
from imseek.ui.web.search_state import SearchState
from imseek.ui.web.selection_store import MAX_IMAGES

#: Number of hits in one response.
PAGE: Final = 200
#: Maximum number of images of a collection that are shown by date.
MAX_TIMELINE: Final = 300_000
#: Number of similar pictures beside one.
_SIMILAR: Final = 12
#: URL parameter of the newest images: those with a lower id follow.
_BEFORE: Final = "before"
#: URL parameters of an album: its name, and the number of the first image.
_ALBUM: Final = "album"
_START: Final = "start"
#: Maximum number of hits whose scores are kept.
_KEPT: Final = 200_000
#: Score and duplicates of hits by image id, as a selection of them needs.
Found: TypeAlias = Mapping[int, tuple[float, tuple[int, ...]]]


class FoundHits:
    """Scores and duplicates of the hits that browsers have loaded, by search, up to a bound. Thread-safe."""

    def __init__(self) -> None:
        self._scores: OrderedDict[tuple[str, str], dict[int, tuple[float, tuple[int, ...]]]] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()

    def add(self, name: str, state: SearchState, hits: Sequence[Hit]) -> None:
        """Keep hits of a search in the collection ``name``; the least recently used searches are dropped."""
        with self._lock:
            scores = self._scores.setdefault((name, _key(state)), {})
            self._scores.move_to_end((name, _key(state)))
            self._size -= len(scores)
            scores.update((hit.image_id, (hit.score, hit.duplicates)) for hit in hits)
            self._size += len(scores)
            while self._size > _KEPT and len(self._scores) > 1:
                self._size -= len(self._scores.popitem(last=False)[1])

    def get(self, name: str, state: SearchState) -> Found:
        """Return the cached results of a search."""
        with self._lock:
            return dict(self._scores.get((name, _key(state)), {}))


#: Hits that browsers have loaded from this process.
found_hits: Final = FoundHits()


def _key(state: SearchState) -> str:
    return urlencode(state.with_changes(limit=search_state.LIMIT).parameters(), doseq=True)


def following_hits(name: str, state: SearchState, page: str | None, total: int | None = None) -> Following | None:
    """Return where the hits after these are; ``page`` is the token of the next page, None after the last."""
    if page is None:
        return None
    return Following(_url(name, state.with_changes(page=page)), total)


def following_newest(name: str, state: SearchState, last: int, total: int) -> Following:
    """Return where the images indexed before the one with the id ``last`` are."""
    return Following(_url(name, state, before=last), total)


def following_album(name: str, album: str, start: int, total: int) -> Following:
    """Return where the images of an album from number ``start`` on are."""
    query = urlencode({_ALBUM: album, _START: start})
    return Following(f"{app_state.images_url(name)}/hits?{query}", total)


def by_date(collection: Collection, state: SearchState, name: str | None = None) -> Timeline | None:
    """Return the pictures of a search in the order of their dates; None if it has another order, or none has a date.

    With ``name``, that of the collection, scores of hits are kept (:data:`found_hits`). Raises what searching raises.
    """
    in_order = state.sort != "added" if state.empty else state.sort == "date"
    if not in_order or state.page or state.group_by:
        return None
    if overview.read_state(collection.path).images > MAX_TIMELINE:
        return None
    if state.empty:
        pictures = overview.timeline(collection, where=state.condition)
    else:
        plain = state.with_changes(sort="score", diversity=0.0, rerank=None, limit=MAX_IMAGES)
        hits = collection.search(plain.query(_upload), metadata=False).hits
        if len(hits) == MAX_IMAGES:
            return None
        if name is not None:
            found_hits.add(name, state, hits)
        pictures = overview.timeline(collection, hits=[hit.image_id for hit in hits])
    return pictures if pictures.dated else None


def following_by_date(name: str, state: SearchState, pictures: Timeline, first: int) -> Following:
    """Return where a grid with a timeline's ``first`` pictures loads more, and the days of the years that it shows."""
    days: list[tuple[str | None, int]] = []
    count = 0
    year = None
    for day, n in pictures.count_days():
        text = None if day is None else day.isoformat()
        if count >= first and (text and text[:4]) != year:
            break
        year = text and text[:4]
        days.append((text, n))
        count += n
    url = f"{app_state.images_url(name)}/timeline?{urlencode(state.with_changes().parameters(), doseq=True)}"
    return Following(url, len(pictures), tuple(days))


def timeline(collection: Collection, query: str) -> dict[str, Any]:
    """Return all pictures by date for the query of such a URL, as data for the grid.

    ``ids`` (32 bits, 64 if ``wide``) and ``ratios`` (thousandths, 16 bits) are numbers in base64; ``days`` are each
    day, or None, with its number of pictures. Raises QueryError, and what searching raises.
    """
    address = search_state.parse_address(parse_qs(query))
    pictures = None if address.unread else by_date(collection, address.state)
    if pictures is None:
        raise QueryError("these pictures are in no order of dates", hint="reload the page")
    wide = bool(len(pictures)) and int(pictures.image_ids.max()) >= 1 << 32
    ratios = np.clip(np.round(pictures.ratios * 1000), 1, 65_535)
    return {
        "ids": _base64(pictures.image_ids.astype("<f8" if wide else "<u4")),
        "wide": wide,
        "ratios": _base64(ratios.astype("<u2")),
        "days": [(day and day.isoformat(), n) for day, n in pictures.count_days()],
    }


def _base64(numbers: npt.NDArray[Any]) -> str:
    return b64encode(numbers.tobytes()).decode("ascii")


def cards(name: str, collection: Collection, ids: str) -> dict[str, Any]:
    """Return the cards of pictures by their ids, as data for the grid. Raises QueryError."""
    numbers = ids.split(",")
    if len(numbers) > PAGE or not all(one.isascii() and one.isdecimal() and len(one) <= 18 for one in numbers):
        raise QueryError("this address cannot be read", hint="reload the page")
    hits = results.hits_by_id(collection, list(map(int, numbers)))
    return {"cards": [asdict(results.card(name, hit, scores=False)) for hit in hits]}


def _url(name: str, state: SearchState, **more: int) -> str:
    parameters: dict[str, Any] = {**state.with_changes(page=state.page, limit=PAGE).parameters(), **more}
    return f"{app_state.images_url(name)}/hits?{urlencode(parameters, doseq=True)}"


def answer(name: str, collection: Collection, query: str) -> dict[str, Any]:
    """Return the cards, headings and the URL of the following ones for the query of such a URL, as data for the grid.

    Raises QueryError, ExpiredPageError, and what searching raises.
    """
    parameters = parse_qs(query)
    if _ALBUM in parameters:
        return _album(name, collection, parameters)
    address = search_state.parse_address(parameters)
    if address.unread:
        raise QueryError("this address cannot be read", hint="reload the page")
    state = address.state
    if state.empty:
        return _newest(name, collection, state, parameters)
    result = collection.search(state.query(_upload))
    found_hits.add(name, state, result.hits)
    following = following_hits(name, state, result.next_page)
    return _page(name, result.hits, result.groups, following)


def _newest(
    name: str, collection: Collection, state: SearchState, parameters: Mapping[str, Sequence[str]]
) -> dict[str, Any]:
    (before,) = parameters.get(_BEFORE, ("",))[:1]
    if not (before.isascii() and before.isdecimal() and len(before) <= 18):
        raise QueryError("this address cannot be read", hint="reload the page")
    newest = overview.newest(collection, where=state.condition, limit=state.limit, before=int(before))
    hits = results.hits_by_id(collection, newest.image_ids)
    more = len(newest.image_ids) == state.limit
    following = following_newest(name, state, newest.image_ids[-1], newest.total) if more else None
    return _page(name, hits, (), following, scores=False)


def _album(name: str, collection: Collection, parameters: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    (start,) = parameters.get(_START, ("",))[:1]
    if not (start.isascii() and start.isdecimal() and len(start) <= 18):
        raise QueryError("this address cannot be read", hint="reload the page")
    album = albums.get(collection, parameters[_ALBUM][0])
    end = int(start) + PAGE
    hits = results.hits_by_id(collection, album.image_ids[int(start) : end])
    total = len(album.image_ids)
    following = following_album(name, album.name, end, total) if total > end else None
    return _page(name, hits, (), following, scores=False)


def _page(
    name: str, hits: Sequence[Hit], groups: Sequence[HitGroup], following: Following | None, *, scores: bool = True
) -> dict[str, Any]:
    return {
        "cards": [asdict(results.card(name, hit, scores=scores)) for hit in hits],
        "headings": {str(n): asdict(heading) for n, heading in results.headings(groups).items()},
        "more": following and following.url,
    }


def similar(name: str, collection: Collection, image_id: int) -> dict[str, Any]:
    """Return cards of the pictures most similar to one, as data for the large view.

    Raises ImageNotFoundError, and what searching raises.
    """
    query = search_state.more_like(image_id).with_changes(limit=_SIMILAR + 1, cutoff=False).query(_upload)
    hits = [hit for hit in collection.search(query) if hit.image_id != image_id][:_SIMILAR]
    return {"cards": [asdict(results.card(name, hit)) for hit in hits]}


def _upload(name: str) -> bytes:
    return uploads.load_upload(home.home(os.environ), name)


def all_ids(collection: Collection, state: SearchState, limit: int) -> tuple[int, ...]:
    """Return the ids of all hits of a search, at most ``limit``. Raises what searching raises."""
    if state.empty:
        dated = by_date(collection, state)
        if dated is not None:
            return tuple(dated.image_ids[:limit].tolist())
        return overview.newest(collection, where=state.condition, limit=limit).image_ids
    query = state.with_changes(limit=limit).query(_upload)
    return tuple(hit.image_id for hit in collection.search(query, metadata=False))
