"""Colours of the images on a map, and the choice of what they stand for."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final, Literal, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from imseek import clusters, maps, tags
from imseek.collection import Collection
from imseek.types.arrays import Float32, Ids
from imseek.types.pictures import display_path
from imseek.ui.render.map_page.colouring import Colouring, colour_by_column, single_colour
from imseek.ui.web.components.scatter import ColourData, store_colours
from imseek.ui.web.pages.map.map_points import MAX_PICTURES, MapView, load_points
from imseek.ui.web.plain_text import one_line

Kind: TypeAlias = Literal["none", "words", "tags", "clusters", "column"]
#: Columns with a value of its own for each image.
_UNIQUE_COLUMNS: Final = frozenset({"image_id", "path", "name", "content_hash", "phash", "caption"})
#: Maximum number of images on a map whose regions are named by folders, unless these are the colours.
_MAX_FOLDERS: Final = 200_000
#: Minimum shade of pictures shown for words, and how many are shown in any case.
_BRIGHT: Final = 64
_MIN_BRIGHT: Final = 12


@dataclass(frozen=True, slots=True)
class ColourBy:
    """The meaning of the colours.

    ``what`` is a query, a tag (empty: the most common one of each image), the name under which clusters are stored, or
    a column.
    """

    kind: Kind
    what: str = ""

    @property
    def written(self) -> str:
        """The URL parameter."""
        return self.kind if self.kind in ("none", "words", "tags") else f"{self.kind}:{self.what}"

    @property
    def title(self) -> str:
        usual = {"folder": "Folder", "taken_at": "Date taken", "source": "Source"}
        match self.kind:
            case "none":
                return "Single colour"
            case "words":
                return "Similarity to words"
            case "tags":
                return "Tags"
            case "clusters":
                return f"Clusters {self.what}"
        return usual.get(self.what, f"Column {one_line(self.what, 60)}")


def choices(collection: Collection) -> tuple[ColourBy, ...]:
    """List what colours can stand for, the most usual first."""
    options = [
        ColourBy("none"),
        ColourBy("words"),
        ColourBy("column", "folder"),
        ColourBy("column", "taken_at"),
    ]
    if tags.counts(collection):
        options.append(ColourBy("tags"))
    stored = clusters.stored(collection)
    options += [ColourBy("clusters", name) for name in stored]
    options.append(ColourBy("column", "source"))
    of_clusters = {f"{name}{end}" for name in stored for end in ("", "_name")}
    used = {one.what for one in options} | _UNIQUE_COLUMNS | of_clusters
    options += [ColourBy("column", name) for name in maps.columns(collection) if name not in used]
    return tuple(options)


@lru_cache(maxsize=16)
def colours(view: MapView, by: ColourBy) -> ColourData:
    """Colour a view by anything but words. Raises QueryError for a column that does not exist, UsageError."""
    return store_colours(_make_colouring(view, by))


def by_words(collection: Collection, view: MapView, words: str) -> ColourData:
    """Colour images by the score that a search for these words gives them. Raises as
    :meth:`imseek.Collection.search`."""
    key = (view, words)
    colour_data = _words_cache.get(key)
    if colour_data is None:
        scores = maps.scores(collection, words, load_points(view).ids)
        if len(_words_cache) >= _WORDS_CACHE_SIZE:
            _words_cache.pop(next(iter([*_words_cache]), key), None)
        colouring = _colour_scores(scores)
        best = np.argsort(-np.nan_to_num(scores, nan=-2), kind="stable")[:MAX_PICTURES]
        stand_out = (colouring.shades[best] < 255) & (colouring.shades[best] >= _BRIGHT)
        stand_out[:_MIN_BRIGHT] = True
        colour_data = _words_cache[key] = store_colours(colouring, best[stand_out])
    return colour_data  # Not read from the cache: another page may have dropped it.


def _colour_scores(scores: Float32) -> Colouring:
    """Colour images by score, with all scores up to the median in the lowest colour.

    Otherwise half of all images would get middle colours.
    """
    present = scores[~np.isnan(scores)]
    usual = float(np.median(present)) if len(present) else 0.0
    raised = pa.chunked_array([pa.array(np.maximum(scores, usual), from_pandas=True)])
    colouring = colour_by_column("score", raised, one_line)
    legend = colouring.legend or {}
    ends = {end: None if legend[end] is None else round(legend[end], 3) for end in ("low", "high")}
    return replace(colouring, legend={**legend, **ends}, values=scores)


_words_cache: dict[tuple[MapView, str], ColourData] = {}
_WORDS_CACHE_SIZE: Final = 16


def clear_cache() -> None:
    """Drop the cached colours, after their data was dropped by :mod:`imseek.ui.web.blobs`."""
    colours.cache_clear()
    _words_cache.clear()


def _make_colouring(view: MapView, by: ColourBy) -> Colouring:
    points = load_points(view)
    if by.kind == "none":
        return single_colour(len(points.ids))
    if by.kind == "tags":
        return colour_by_column("tag", _tags(view, points.ids, by.what), one_line)
    if by.kind == "clusters":
        return colour_by_column("cluster", _clusters(view, points.ids, by.what), one_line)
    column = _column(view, points.ids, by.what)
    if by.what == "source":
        column = _sources(view, column)
    return colour_by_column(by.what, column, one_line)


def _column(view: MapView, ids: Ids, name: str) -> pa.ChunkedArray:
    """Return the column's values for the images with these ids, which are on the map."""
    table = maps.table(view.root, view.name, where=view.where, columns=[name])
    map_ids = table.column("image_id").to_numpy()
    column = table.column(name)
    if pa.types.is_decimal(column.type):
        column = column.cast(pa.float64(), safe=False)
    positions = np.searchsorted(map_ids, ids)
    if len(map_ids) == 0 or (map_ids[np.minimum(positions, len(map_ids) - 1)] != ids).any():
        # A writer committed meanwhile: images that have been removed have no value.
        positions = np.where(np.isin(ids, map_ids), np.minimum(positions, max(0, len(map_ids) - 1)), -1)
        return pa.chunked_array([column.combine_chunks().take(pa.array(positions, mask=positions < 0))])
    return column.take(pa.array(positions))


def _tags(view: MapView, ids: Ids, tag: str) -> pa.ChunkedArray:
    """Return the tag of each image: the given one where it has it, or without a given one its most common tag."""
    assignments = [(image_id, one) for image_id, one in tags.every(view.root) if not tag or one.tag == tag]
    often = Counter(one.tag for _, one in assignments)
    best: dict[int, str] = {}
    for image_id, one in assignments:
        if image_id not in best or (-often[one.tag], one.tag) < (-often[best[image_id]], best[image_id]):
            best[image_id] = one.tag
    return pa.chunked_array([pa.array([best.get(image_id) for image_id in ids.tolist()], pa.string())])


def _clusters(view: MapView, ids: Ids, name: str) -> pa.ChunkedArray:
    number = _column(view, ids, name)
    text = pc.binary_join_element_wise("group", pc.cast(number, pa.string()), " ")
    if f"{name}_name" in maps.columns(view.root):  # Clusters may have no names.
        text = pc.coalesce(_column(view, ids, f"{name}_name"), text)
    return pc.if_else(pc.equal(number, 0), pa.scalar("in none", pa.string()), text)


def _sources(view: MapView, column: pa.ChunkedArray) -> pa.ChunkedArray:
    from imseek import open as open_collection

    with open_collection(view.root) as collection:
        names = {source.source_id: display_path(source.path) for source in collection.info().sources}
    shown_as = [None if one is None else names.get(one, str(one)) for one in column.to_pylist()]
    return pa.chunked_array([pa.array(shown_as, pa.string())])


def regions(view: MapView, by: ColourBy, *, at_once: bool = False) -> ColourData | None:
    """Return the values that name the regions of a map: the colours' if those are names, else clusters, else folders.

    None if there are no such values, or with ``at_once`` if they would have to be read first.
    """
    if by.kind in ("tags", "clusters") or (by.kind == "column" and by.what in ("folder", "source")):
        return colours(view, by)
    if at_once:
        return None
    if stored := clusters.stored(view.root):
        return colours(view, ColourBy("clusters", next(iter(stored))))
    if len(load_points(view).ids) > _MAX_FOLDERS:
        return None
    folders = colours(view, ColourBy("column", "folder"))
    legend = folders.colouring.legend
    # One folder's name on all regions would tell nothing.
    return folders if legend is not None and len(legend["legend"]) > 1 else None
