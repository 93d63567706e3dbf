"""Count the values of columns under a filter, fast enough to do it again at every change of the filter.

Each column is read once for a generation, and held as one small number for each value (its position among the distinct
values), so that a count is one pass of ``numpy.bincount``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from sqlglot import exp

from imseek.data.catalog import tag_reader
from imseek.data.reader import Reader
from imseek.search.where.column_cache import ColumnCache, kinds_of
from imseek.search.where.columns_and_functions import ALIASES, NUMBERS, STORED_ALIASES, VIRTUAL, Kind, Source
from imseek.search.where.facets import MAX_VALUES, TAG, column_chunks, folders_of
from imseek.search.where.filter_evaluation import Filters
from imseek.search.where.grammar import parse
from imseek.search.where.location_clusters import WORLD, Box, LocationCounts, bounds, check_view, find_clusters
from imseek.search.where.names import unknown_name
from imseek.unique_numbers import unique_numbers

Mask: TypeAlias = npt.NDArray[np.bool_]
Floats: TypeAlias = npt.NDArray[np.float64]
#: Returns the ids of the images that a search finds under a condition (None: without one).
Hits: TypeAlias = Callable[[str | None], Iterable[int]]

#: Distinct values of a column that are counted: captions have too many, keywords do not.
_MAX_DISTINCT: Final = 100_000
#: Space around all positions as a share, and the degrees that a view of all of them is wide at least.
_MARGIN: Final = 0.12
_LEAST_WIDTH: Final = 30.0
_FILTER_MEMORY: Final = 128 << 20
_COLUMN_MEMORY: Final = 1 << 20
#: Kinds whose values are counted. Other numbers are counted by ranges, which are conditions.
_COUNTED: Final = frozenset({Kind.TEXT, Kind.BOOL, Kind.LIST, Kind.INT, Kind.TIME, Kind.DATE})
#: Columns that say the same: conditions on these are a facet's own.
_SAME: Final[Mapping[str, frozenset[str]]] = {
    **dict.fromkeys(("taken_at", "day", "year", "month"), frozenset({"taken_at", "day", "year", "month"})),
    **dict.fromkeys(("folder", "path"), frozenset({"folder", "path"})),
    **dict.fromkeys(("latitude", "longitude"), frozenset({"latitude", "longitude"})),
}


@dataclass(frozen=True, slots=True)
class FacetCounts:
    """The values of one column among the ``images`` that satisfy the filters on other columns.

    ``known`` of these have a value. ``values`` are the most frequent ones first, with their numbers of images; of a
    time, its months (``2023-05``) in order. ``distinct`` is the number of values, None if
    they are too many.
    """

    column: str
    images: int
    known: int
    distinct: int | None
    values: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class _Codes:
    """A column as positions (``codes``) among its distinct ``values``, each of the row in ``rows`` (None: its own)."""

    values: Sequence[str] | None
    codes: npt.NDArray[np.int32]
    rows: npt.NDArray[np.int64] | None = None
    ordered: bool = False


class FacetCounter:
    """Counts the facets of one collection, in one generation at a time. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._filters = Filters(memory=_FILTER_MEMORY)
        self._generation = -1
        self._ids: npt.NDArray[np.int64] = np.empty(0, np.int64)
        self._order: npt.NDArray[np.int64] | None = None
        self._codes: dict[str, _Codes] = {}
        self._positions: tuple[Floats, Floats] | None = None

    def count(
        self,
        reader: Reader,
        columns: Sequence[str],
        where: Sequence[str] = (),
        *,
        choices: Mapping[str, Sequence[str]] = MappingProxyType({}),
        hits: Hits | None = None,
        holding: str = "",
        limit: int = MAX_VALUES,
    ) -> tuple[FacetCounts, ...]:
        """Count the values of ``columns``, then the ``choices``: conditions by the column that they choose from.

        For each, conditions of ``where`` that name this column alone do not count. ``hits`` limits the images to those
        of a search. ``holding`` leaves out values without this text, whatever its case; at most ``limit`` values are
        returned of each column but a time. Raises QueryError, StaleGenerationError.
        """
        with self._lock:
            self._renew(reader)
            masks = self._masks(reader, where)
            combined: dict[tuple[int, ...], Mask] = {}

            def mask_for(column: str) -> Mask:
                others = _others(column, where)
                if others not in combined:
                    combined[others] = self._mask_for(column, where, masks, hits)
                return combined[others]

            results = [self._count(reader, one, mask_for(one), holding.casefold(), limit) for one in columns]
            for column, conditions in choices.items():
                mask = mask_for(column)
                choice_masks = [mask & self._mask(self._filters.ids(reader, one)) for one in conditions]
                values = tuple((one, int(np.count_nonzero(n))) for one, n in zip(conditions, choice_masks, strict=True))
                with_value = int(np.count_nonzero(np.logical_or.reduce(choice_masks))) if choice_masks else 0
                results.append(FacetCounts(column, int(np.count_nonzero(mask)), with_value, len(values), values))
        return tuple(results)

    def locations(
        self, reader: Reader, where: Sequence[str] = (), *, hits: Hits | None = None, view: Box | None = None
    ) -> LocationCounts:
        """Group the positions of images, as :meth:`count` counts values, inside ``view``: a part of the world, or None
        for the part with all of the collection's positions. Raises QueryError, StaleGenerationError."""
        with self._lock:
            self._renew(reader)
            if self._positions is None:
                self._positions = _read_positions(reader)
            latitude, longitude = self._positions
            has_position = ~np.isnan(latitude)
            if view is None:
                around = bounds(latitude[has_position], longitude[has_position])
                view = WORLD if around is None else around.around(_MARGIN, _LEAST_WIDTH)
            mask = self._mask_for("latitude", where, self._masks(reader, where), hits)
            is_counted = mask & has_position
            clusters = find_clusters(latitude[is_counted], longitude[is_counted], check_view(view))
            with_position = int(np.count_nonzero(is_counted))
            inside = int(np.count_nonzero(view.contains(latitude[is_counted], longitude[is_counted])))
            return LocationCounts(int(np.count_nonzero(mask)), with_position, with_position - inside, view, clusters)

    def _masks(self, reader: Reader, where: Sequence[str]) -> list[Mask]:
        return [self._mask(self._filters.ids(reader, condition)) for condition in where]

    def _mask_for(self, column: str, where: Sequence[str], masks: Sequence[Mask], hits: Hits | None) -> Mask:
        """Return the images that count for a column: those of conditions that do not name it alone."""
        others = _others(column, where)
        return self._combine([masks[n] for n in others], [where[n] for n in others], hits)

    def _combine(self, masks: Sequence[Mask], where: Sequence[str], hits: Hits | None) -> Mask:
        mask: Mask = np.ones(len(self._ids), np.bool_)
        for one in masks:
            mask &= one
        if hits is not None:
            hit_ids = np.fromiter(hits(" AND ".join(f"({one})" for one in where) or None), np.int64)
            mask &= self._mask(hit_ids)
        return mask

    def _renew(self, reader: Reader) -> None:
        if reader.generation == self._generation:
            return
        ids = [np.asarray(ids) for ids, _ in _tables(reader, [Source("id")])]
        self._ids = np.concatenate(ids) if ids else np.empty(0, np.int64)
        is_ascending = bool(np.all(self._ids[1:] > self._ids[:-1]))
        self._order = None if is_ascending else np.argsort(self._ids, kind="stable")
        self._codes = {}
        self._positions = None
        self._generation = reader.generation

    def _rows(self, ids: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return the rows of the ``ids`` that are present."""
        if not len(self._ids):
            return np.empty(0, np.int64)
        at = np.minimum(np.searchsorted(self._ids, ids, sorter=self._order), len(self._ids) - 1)
        rows = at if self._order is None else self._order[at]
        present: npt.NDArray[np.int64] = rows[self._ids[rows] == ids]
        return present

    def _mask(self, ids: npt.NDArray[np.int64]) -> Mask:
        mask = np.zeros(len(self._ids), np.bool_)
        mask[self._rows(ids)] = True
        return mask

    def _count(self, reader: Reader, column: str, mask: Mask, holding: str, limit: int) -> FacetCounts:
        images = int(np.count_nonzero(mask))
        if (codes := self._codes.get(column)) is None:
            codes = self._codes[column] = self._read(reader, column)
        if codes.rows is None:
            value_codes = codes.codes[mask]
            value_codes = value_codes[value_codes >= 0]
            with_value = len(value_codes)
        else:
            is_match = mask[codes.rows]
            value_codes = codes.codes[is_match]
            with_value = len(unique_numbers(codes.rows[is_match]))
        if codes.values is None:
            return FacetCounts(column, images, with_value, None)
        counts = np.bincount(value_codes, minlength=len(codes.values))
        positions = np.flatnonzero(counts)
        if holding:
            positions = np.array([n for n in positions if holding in codes.values[int(n)].casefold()], np.int64)
        distinct = len(positions)
        if not codes.ordered:  # Values are in the order of their texts, which a stable sort keeps.
            positions = positions[np.argsort(-counts[positions], kind="stable")][:limit]
        values = tuple((codes.values[n], int(counts[n])) for n in positions.tolist())
        return FacetCounts(column, images, with_value, distinct, values)

    def _read(self, reader: Reader, column: str) -> _Codes:
        if column == TAG:
            return self._read_tags(reader)
        columns = ColumnCache(_COLUMN_MEMORY)
        types = columns.types(reader)
        kinds = kinds_of(types)
        if column == "folder":
            return _encode(
                [folders_of(chunk) for chunk in column_chunks(columns, reader, types, Source("place", "path"))]
            )
        if column not in kinds or kinds[column] not in _COUNTED:
            raise unknown_name("facet", column, [TAG, "folder", *(one for one in kinds if kinds[one] in _COUNTED)])
        chunks = list(column_chunks(columns, reader, types, Source("stored", column)))
        if kinds[column] in (Kind.TIME, Kind.DATE):
            return _encode_months(chunks)
        return _encode(chunks, is_list=kinds[column] is Kind.LIST)

    def _read_tags(self, reader: Reader) -> _Codes:
        pairs = dict.fromkeys((image_id, tag) for image_id, tag, _ in tag_reader.rows(reader))
        values = sorted({tag for _, tag in pairs})
        positions = {tag: n for n, tag in enumerate(values)}
        ids = np.fromiter((image_id for image_id, _ in pairs), np.int64, len(pairs))
        codes = np.fromiter((positions[tag] for _, tag in pairs), np.int32, len(pairs))
        live = np.isin(ids, self._ids)
        return _Codes(values, codes[live], self._rows(ids[live]))


def _others(column: str, where: Sequence[str]) -> tuple[int, ...]:
    """Return the positions of the conditions that do not name ``column`` alone."""
    same_columns = _SAME.get(column, frozenset({column}))
    return tuple(n for n, names in enumerate(map(columns_of, where)) if not (names and names <= same_columns))


def _read_positions(reader: Reader) -> tuple[Floats, Floats]:
    """Return the latitude and longitude of all live images, NaN where one is missing or is no position."""
    columns = ColumnCache(_COLUMN_MEMORY)
    types = columns.types(reader)
    kinds = kinds_of(types)
    if not all(kinds.get(name) in NUMBERS for name in ("latitude", "longitude")):
        return (empty := np.full(sum(len(ids) for ids, _ in _tables(reader, [Source("id")])), np.nan)), empty
    latitude, longitude = (
        _one_array(
            [
                chunk.cast(pa.float64(), safe=False)
                for chunk in column_chunks(columns, reader, types, Source("stored", name))
            ]
        )
        .to_numpy(zero_copy_only=False)
        .astype(np.float64)
        for name in ("latitude", "longitude")
    )
    is_valid = (np.abs(latitude) <= 90) & (np.abs(longitude) <= 180)
    return np.where(is_valid, latitude, np.nan), np.where(is_valid, longitude, np.nan)


@lru_cache(1024)
def columns_of(where: str) -> frozenset[str]:
    """Return the columns that a condition names, without aliases; ``tag`` for tags. Raises QueryError."""
    names: set[str] = set()
    for node in parse(where).walk():
        if isinstance(node, exp.Column):
            name = node.name if node.name in VIRTUAL else node.name.lower()
            names.add({**ALIASES, **STORED_ALIASES}.get(name, name))
        elif isinstance(node, exp.Anonymous) and str(node.this).lower() == "tag":
            names.add(TAG)
        elif isinstance(node, exp.Anonymous) and str(node.this).lower() == "near":
            names |= {"latitude", "longitude"}
    return frozenset(names)


def _tables(reader: Reader, sources: Sequence[Source]) -> Iterable[tuple[Any, Any]]:
    columns = ColumnCache(0)
    column_reader = columns.read(reader, columns.types(reader))
    return [column_reader.table([shard], sources) for shard in reader.current.shards]


def _encode(chunks: Sequence[Any], *, is_list: bool = False) -> _Codes:
    """Encode the values of a column, those of a list one by one."""
    texts = _one_array([chunk if pa.types.is_string(chunk.type) else chunk.cast(pa.string()) for chunk in chunks])
    rows = None
    if is_list:
        lists = pc.split_pattern(texts, "\n")
        rows = pc.list_parent_indices(lists).to_numpy(zero_copy_only=False).astype(np.int64)
        texts = pc.list_flatten(lists)
    encoded = pc.dictionary_encode(texts)
    codes = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False).astype(np.int32)
    if len(encoded.dictionary) > _MAX_DISTINCT:
        return _Codes(None, np.where(codes < 0, codes, 0).astype(np.int32), rows)
    values = encoded.dictionary.to_pylist()
    order = sorted(range(len(values)), key=values.__getitem__)
    rank = np.empty(len(values) + 1, np.int32)
    rank[order] = np.arange(len(values), dtype=np.int32)
    rank[-1] = -1
    if rows is not None:  # An entry that an image has twice counts once.
        pairs = np.unique(np.stack([rows, rank[codes].astype(np.int64)]), axis=1)
        rows, codes = pairs[0], pairs[1].astype(np.int32)
        return _Codes([values[n] for n in order], codes, rows)
    return _Codes([values[n] for n in order], rank[codes])


def _encode_months(chunks: Sequence[Any]) -> _Codes:
    times = _one_array([chunk.cast(pa.timestamp("s"), safe=False) for chunk in chunks])
    months = times.to_numpy(zero_copy_only=False).astype("datetime64[M]")
    has_date = ~np.isnat(months)
    values, codes = np.unique(months[has_date], return_inverse=True)
    all_codes = np.full(len(months), -1, np.int32)
    all_codes[has_date] = codes
    return _Codes([str(value) for value in values], all_codes, ordered=True)


def _one_array(chunks: Sequence[Any]) -> Any:
    parts = [part for chunk in chunks for part in (chunk.chunks if isinstance(chunk, pa.ChunkedArray) else [chunk])]
    return pa.concat_arrays(parts) if parts else pa.array([], pa.string())
