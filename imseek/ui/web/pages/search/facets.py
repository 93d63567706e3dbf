"""The facet rail: what can be chosen, with its numbers of pictures, and what a choice does to the search.

A choice is a condition like any other (:mod:`imseek.ui.web.pages.search.where_conditions`), so it is a chip, and in the
address. Plain functions, without Streamlit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias
from urllib.parse import parse_qs, urlencode

from imseek import overview
from imseek.collection import Collection
from imseek.errors import ImseekError, QueryError
from imseek.search import Box, Facet, FacetCounts, Kind, countries
from imseek.ui.web import app_state, hit_pages, search_state
from imseek.ui.web.pages.search import where_conditions
from imseek.ui.web.pages.search.where_conditions import FOLDER, LOCATION, TAG, Filter, format_degrees
from imseek.ui.web.plain_text import one_line
from imseek.ui.web.search_state import SearchState
from imseek.ui.web.selection_store import MAX_IMAGES

FacetKind: TypeAlias = Literal["dates", "folders", "values", "choices", "locations"]
#: Returns the ids of hits under a condition.
_Hits: TypeAlias = Callable[[str | None], Iterable[int]]

#: Values of a facet that are shown without a text to find others by.
VALUES: Final = 60
#: Folders that are counted, and lines of the tree.
_FOLDERS: Final = 20_000
_LINES: Final = 400
#: Years between the first and the last picture up to which those without pictures are shown.
_YEARS: Final = 80
#: Characters of the text by which values are found.
_HOLDING: Final = 200
_DAY: Final = "day"


@dataclass(frozen=True, slots=True)
class RailFacet:
    """A facet of the rail: its filter is on ``column``, and the values of ``counted_column`` are counted.

    It is left out unless these are of one of ``kinds``.
    """

    column: str
    counted_column: str
    label: str
    kind: FacetKind
    choices: tuple[tuple[str, Filter], ...] = ()
    kinds: frozenset[Kind] = frozenset({Kind.TEXT})


def _ranges(column: str, *bounds: tuple[str, float | None, float | None]) -> tuple[tuple[str, Filter], ...]:
    return tuple((label, Filter(column, low=low, high=high)) for label, low, high in bounds)


_LISTS: Final = frozenset({Kind.LIST})
_NUMBERS: Final = frozenset({Kind.INT, Kind.FLOAT})
_TIMES: Final = frozenset({Kind.TIME, Kind.DATE})
#: In their order. Those without a value in the collection are left out.
RAIL: Final = (
    RailFacet(_DAY, "taken_at", "Date", "dates", kinds=_TIMES),
    RailFacet(FOLDER, "folder", "Folder", "folders"),
    RailFacet(TAG, "tag", "Tag", "values"),
    RailFacet("keywords", "keywords", "Keyword", "values", kinds=_LISTS),
    RailFacet("people", "people", "Person", "values", kinds=_LISTS),
    RailFacet(
        LOCATION, "latitude", "Location", "locations", (("With a location", Filter(LOCATION, known=True)),), _NUMBERS
    ),
    RailFacet(
        "rating",
        "rating",
        "Rating",
        "choices",
        _ranges("rating", *((f"{'★' * n} or more" if n < 5 else "★" * n, n, None) for n in (5, 4, 3, 2, 1))),
        _NUMBERS,
    ),
    RailFacet(
        "has_text",
        "has_text",
        "Text in the picture",
        "choices",
        (("With text", Filter("has_text", true=True)), ("Without text", Filter("has_text", true=False))),
        frozenset({Kind.BOOL}),
    ),
    RailFacet("camera", "camera", "Camera", "values"),
    RailFacet(
        "aspect",
        "width",
        "Shape",
        "choices",
        tuple(
            (name.capitalize(), Filter("aspect", low=low, high=high))
            for name, (low, high) in where_conditions.SHAPES.items()
        ),
        _NUMBERS,
    ),
    RailFacet(
        "megapixels",
        "width",
        "Size",
        "choices",
        _ranges(
            "megapixels", ("Up to 1 megapixel", None, 1), ("1 to 8", 1, 8), ("8 to 24", 8, 24), ("24 or more", 24, None)
        ),
        _NUMBERS,
    ),
    RailFacet("format", "format", "Format", "values"),
)
_BY_COLUMN: Final = {one.column: one for one in RAIL}


def facets_url(name: str, state: SearchState) -> str:
    """Return the URL of the counts for a search in the collection ``name``."""
    plain = state.with_changes(limit=search_state.LIMIT, sort="score", group_by=None)
    return f"{app_state.images_url(name)}/facets?{urlencode(plain.parameters(), doseq=True)}"


def answer(collection: Collection, query: str) -> dict[str, Any]:
    """Return the facets for the query of such a URL, as data for the rail.

    It may hold ``open`` (folders whose subfolders are shown), ``view`` (the part of the world that is shown: west,
    south, east, north) and, to count one facet alone, ``only`` (its column) with ``holding`` (a text in its values).
    ``note`` says what does not count. Raises QueryError for an unknown column.
    """
    parameters = parse_qs(query, keep_blank_values=True)
    state = search_state.parse_address(parameters).state
    only = parameters.get("only", [""])[-1]
    if only and only not in _BY_COLUMN:
        raise QueryError("this address cannot be read", hint="reload the page")
    facets = [one for one in available(collection) if only in ("", one.column)]
    holding = parameters.get("holding", [""])[-1][:_HOLDING]
    unfolded = None if holding else frozenset(parameters.get("open", ()))
    note = ""
    hits = _hits(collection, state)
    try:
        try:
            counts = _count(collection, state, facets, holding, hits)
        except QueryError:
            state = state.with_changes(where=tuple(one for one in state.where if _is_readable(collection, one)))
            hits = _hits(collection, state)
            counts = _count(collection, state, facets, holding, hits)
            note = "A condition that cannot be read does not count here."
    except ImseekError:  # The page says why.
        return {"facets": [], "note": "There are no numbers for a search that fails."}
    folders: tuple[str, ...] = ()
    if FOLDER in counts:  # Folders without a hit still show where the others are.
        folders = tuple(one for one, _ in overview.count_facets(collection, [FOLDER], limit=_FOLDERS)[0].values)
    data = [_facet_data(one, counts[one.column], state, folders, unfolded) for one in facets]
    for facet in data:
        if facet["column"] == LOCATION:
            locations = _locations(collection, state, hits, _view(parameters))
            values = {one["value"] for one in locations["rows"]}
            facet |= {
                **locations,
                "rows": [*(one for one in facet["rows"] if one["value"] not in values), *locations["rows"]],
            }
    return {"facets": data, "note": note}


def _view(parameters: Mapping[str, Sequence[str]]) -> Box | None:
    """Return the part of the world that the URL names. Raises QueryError."""
    if not (text := parameters.get("view", [""])[-1]):
        return None
    try:
        west, south, east, north = map(float, text.split(","))
    except ValueError:
        raise QueryError("this address cannot be read", hint="reload the page") from None
    return Box(west, south, east, north)


def _locations(collection: Collection, state: SearchState, hits: _Hits | None, view: Box | None) -> dict[str, Any]:
    """Return where the pictures were taken, in the part of the world that is shown."""
    chosen_boxes = where_conditions.filter_on(state.where, LOCATION).boxes
    locations = overview.count_locations(collection, where=state.where, hits=hits, view=view)
    digits = min(5, max(0, math.ceil(2 - math.log10(locations.view.east - locations.view.west))))
    rows = [
        {
            "value": one.where,
            "label": one.name,
            "at": ", ".join(format_degrees(*part, digits) for part in ((one.latitude, "SN"), (one.longitude, "WE"))),
            "place": [one.longitude, one.latitude],
            "box": list(one.box),
            "count": one.images,
            "chosen": one.box in chosen_boxes,
        }
        for one in locations.clusters
    ]
    return {"rows": rows, "view": list(locations.view), "outside": locations.outside}


def world() -> dict[str, str]:
    """Return the outline of the world's countries as an SVG path of longitudes and latitudes, south downwards."""
    rings = (ring.round(1).tolist() for country in countries() for ring in country.rings)
    return {"path": "".join("M" + " ".join(f"{x:g},{-y:g}" for x, y in ring) + "z" for ring in rings)}


def _is_readable(collection: Collection, condition: str) -> bool:
    try:
        overview.count_facets(collection, (), where=(condition,))
    except QueryError:
        return False
    return True


def available(collection: Collection) -> tuple[RailFacet, ...]:
    """Return the facets that have values in the collection now."""
    facets = {one.column: one for one in load_facets(collection)}
    tagged = bool(overview.count_facets(collection, ["tag"])[0].known)

    def has(one: RailFacet) -> bool:
        if one.column == TAG:
            return tagged
        facet = facets.get(one.counted_column)
        # A table may have a column of this name with values of another kind.
        if facet is None or facet.kind not in one.kinds:
            return False
        return one.column not in ("camera", "format", FOLDER) or (facet.distinct or 2) > 1

    return tuple(one for one in RAIL if has(one))


def load_facets(collection: Collection) -> tuple[Facet, ...]:
    """Return the columns of the collection with their values now."""
    current = overview.read_state(collection.path)
    return _facets(collection.path, current.uuid, current.generation)


@lru_cache(8)
def _facets(path: Path, uuid: str, generation: int) -> tuple[Facet, ...]:
    """Return the columns of one generation. ``uuid`` tells collections apart that lie at the same path in turn."""
    return overview.facets(path)


def _count(
    collection: Collection, state: SearchState, facets: Sequence[RailFacet], holding: str, hits: _Hits | None
) -> dict[str, FacetCounts]:
    plain_facets = [one for one in facets if not one.choices]
    conditions = {one.column: [choice.sql() for _, choice in _choices(one, state)] for one in facets if one.choices}
    folders = [one for one in plain_facets if one.kind == "folders"]
    others = [one for one in plain_facets if one.kind != "folders"]
    facet_counts = overview.count_facets(
        collection,
        [one.counted_column for one in others],
        choices=conditions,
        where=state.where,
        hits=hits,
        holding=holding,
        limit=VALUES,
    )
    counts = dict(zip([*(one.column for one in others), *conditions], facet_counts, strict=True))
    if folders:
        (counts[FOLDER],) = overview.count_facets(
            collection, [FOLDER], where=state.where, hits=hits, holding=holding, limit=_FOLDERS
        )
    return counts


def _choices(facet: RailFacet, state: SearchState) -> list[tuple[str, Filter]]:
    """Return the choices of a facet with their labels, and the parts of the world that are chosen."""
    boxes = where_conditions.filter_on(state.where, LOCATION).boxes if facet.kind == "locations" else ()
    filters = [Filter(LOCATION, boxes=(box,)) for box in boxes]
    return [*facet.choices, *((one.words().removeprefix("location: "), one) for one in filters)]


def _hits(collection: Collection, state: SearchState) -> _Hits | None:
    """Return what finds the hits of a search under a condition; None where all images are hits."""
    if state.empty or (not state.cutoff and state.by in ("auto", "image")):
        return None
    plain = state.with_changes(sort="score", group_by=None, diversity=0.0, rerank=None, hubness=False)

    @cache  # Folders and locations are counted by themselves, over the same hits.
    def find(condition: str | None) -> tuple[int, ...]:
        condition_state = plain.with_changes(where=(condition,) if condition else ())
        return tuple(hit_pages.all_ids(collection, condition_state, MAX_IMAGES))

    return find


def _facet_data(
    facet: RailFacet,
    counts: FacetCounts,
    state: SearchState,
    folders: Sequence[str],
    unfolded: frozenset[str] | None,
) -> dict[str, Any]:
    current = where_conditions.filter_on(state.where, facet.column)
    data: dict[str, Any] = {
        "column": facet.column,
        "label": facet.label,
        "kind": facet.kind,
        "chosen": not current.empty,
        "distinct": counts.distinct,
        "rows": [],
    }
    if facet.kind == "dates":
        data |= _dates(current, counts)
    elif facet.kind == "folders":
        data["rows"] = list(_tree(counts.values, folders, current.below, unfolded))
    elif facet.choices:
        for (label, choice), (_, n) in zip(_choices(facet, state), counts.values, strict=True):
            is_chosen = choice.sql() == current.sql() or bool(set(choice.boxes) & set(current.boxes))
            data["rows"].append({"value": choice.sql(), "label": label, "count": n, "chosen": is_chosen})
    else:
        counts_by_value = dict(counts.values)
        values = [*(one for one in current.values if one not in counts_by_value), *counts_by_value]
        data["rows"] = [
            {
                "value": one,
                "label": one_line(one) or "(empty)",
                "count": counts_by_value.get(one, 0),
                "chosen": one in current.values,
            }
            for one in values
        ]
    return data


def _dates(current: Filter, counts: FacetCounts) -> dict[str, Any]:
    """Return the numbers of pictures by year, and by month if one year is chosen, and the chosen days."""
    years: dict[str, int] = {}
    for month, n in counts.values:
        years[month[:-3]] = years.get(month[:-3], 0) + n
    low, high = (one.isoformat() if isinstance(one, date) else None for one in (current.low, current.high))
    one_year = low is not None and high is not None and low[:4] == high[:4]
    months = {month: n for month, n in counts.values if low is not None and month.startswith(low[:4])}
    numbers = sorted(map(int, years))
    if numbers and numbers[-1] - numbers[0] < _YEARS:  # Otherwise a camera's clock was wrong.
        years = {f"{n:04}": years.get(f"{n:04}", 0) for n in range(numbers[0], numbers[-1] + 1)}
    return {
        "years": list(years.items()),
        "months": [[f"{low[:4]}-{n:02}", months.get(f"{low[:4]}-{n:02}", 0)] for n in range(1, 13)]
        if low and one_year
        else [],
        "low": low,
        "high": high,
    }


@dataclass(slots=True)
class _Folder:
    is_one: bool = False  # It has pictures itself, or was chosen, and does not only lead to others.
    below: int = 0
    folders: dict[str, _Folder] = field(default_factory=dict)


def _tree(
    counts: Sequence[tuple[str, int]],
    everything: Sequence[str],
    chosen: Sequence[str],
    unfolded: frozenset[str] | None,
) -> Iterator[dict[str, Any]]:
    """Yield the lines of the folder tree: the first folders, and those in folders that are open or lead to a choice.

    All are open if ``unfolded`` is None.
    """
    root = _Folder()
    for path, n in sorted((*counts, *((one, 0) for one in (*everything, *chosen)))):
        at = root
        for name in path.removesuffix("/").split("/"):
            at = at.folders.setdefault(name, _Folder())
            at.below += n
        at.is_one = True
    lines = 0
    remaining = _inside(root, "", 0)
    while remaining:
        path, label, folder, depth = remaining.pop(0)
        value = path or "/"
        if not folder.below and not any(
            where_conditions.folder_prefix(one).startswith(where_conditions.folder_prefix(value)) for one in chosen
        ):
            continue
        leads = any(one != value and one.startswith(where_conditions.folder_prefix(value)) for one in chosen)
        first = depth == 0 and len(root.folders) == 1
        is_open = bool(folder.folders) and (unfolded is None or value in unfolded or leads or first)
        yield {
            "value": value,
            "label": one_line(label if depth else label.rpartition("/")[2]) or "/",
            "count": folder.below,
            "chosen": value in chosen,
            "depth": depth,
            "open": is_open if folder.folders else None,
        }
        if (lines := lines + 1) == _LINES:
            return
        if is_open:
            remaining = [*_inside(folder, path, depth + 1), *remaining]


def _inside(folder: _Folder, path: str, depth: int) -> list[tuple[str, str, _Folder, int]]:
    """Return the folders in one, with those that only lead to another shown as one line, as in ``2019/Norway``."""
    rows = []
    for name, one in folder.folders.items():
        label, at = name, one
        inner_path = f"{path}/{name}" if depth or path else name
        while not at.is_one and len(at.folders) == 1:
            ((inner, at),) = at.folders.items()
            label, inner_path = f"{label}/{inner}", f"{inner_path}/{inner}"
        rows.append((inner_path, label, at, depth))
    return rows


def change(state: SearchState, choice: Mapping[str, Any]) -> SearchState:
    """Apply a choice made in the rail; an invalid one changes nothing.

    ``choice`` has a ``column``, with a ``value`` and whether it is to be ``on``, or with the days ``low`` and ``high``;
    of these, a missing one stays. Without any of these the facet is cleared. An empty column clears all filters.
    """
    if choice.get("column") == "":
        return state.with_changes(where=())
    facet = _BY_COLUMN.get(str(choice.get("column")))
    if facet is None:
        return state
    current = where_conditions.filter_on(state.where, facet.column)
    value, is_on = choice.get("value"), choice.get("on") is True
    new = Filter(facet.column)
    if facet.kind == "dates":
        bounds = {"low": current.low, "high": current.high} if {"low", "high"} & choice.keys() else {}
        low, high = (_day(choice.get(one, bounds.get(one))) for one in ("low", "high"))
        if low is not None and high is not None and low > high:
            low, high = high, low
        new = Filter(facet.column, low=low, high=high)
    elif isinstance(value, str):
        location = where_conditions.parse_filter(value) if facet.kind == "locations" else None
        if location is not None and location.column == LOCATION and len(location.boxes) == 1:
            left_boxes = tuple(box for box in current.boxes if box not in location.boxes)
            new = Filter(LOCATION, boxes=(*left_boxes, *location.boxes) if is_on else left_boxes)
        elif facet.choices:
            new = next((one for _, one in facet.choices if is_on and one.sql() == value), new)
        elif facet.kind == "folders":
            new = Filter(facet.column, below=_with_folder(current.below, value, on=is_on))
        else:
            left = tuple(one for one in current.values if one != value)
            new = Filter(facet.column, (*left, value) if is_on else left)
    return state.with_changes(where=where_conditions.replace_filter(state.where, new))


def _with_folder(folders: Sequence[str], folder: str, *, on: bool) -> tuple[str, ...]:
    """Add a folder in place of those that it holds or that hold it, or remove it."""
    prefix = where_conditions.folder_prefix(folder)
    rest = tuple(
        one
        for one in folders
        if one != folder
        and not (on and (one.startswith(prefix) or prefix.startswith(where_conditions.folder_prefix(one))))
    )
    return (*rest, folder) if on and folder else rest


def _day(text: object) -> date | None:
    """Parse a day (``2019-05-31``, or a date already); None for anything else."""
    if isinstance(text, date):
        return text
    try:
        return date.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
