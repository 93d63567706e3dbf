"""Summarise the columns of a collection, so that users can pick conditions instead of writing them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from imseek.data.reader import Reader
from imseek.search.where.column_cache import ColumnCache, kinds_of
from imseek.search.where.columns_and_functions import NUMBERS, TIMES, Kind, Source
from imseek.search.where.location_clusters import LocationCluster
from imseek.search.where.names import ColumnNames, unknown_name
from imseek.types.json_form import Count

Bound: TypeAlias = "int | float | date | None"

#: Number of most frequent values returned per column, and maximum number of distinct values counted.
MAX_VALUES: Final = 200
_MAX_DISTINCT: Final = 20_000
#: Rows read at once.
_ROWS_AT_ONCE: Final = 2**20
_MEMORY: Final = 256 << 20
#: Technical columns that nobody filters by.
_SKIPPED: Final = frozenset({"phash", "mode", "orientation", "taken_at_zone", "content_hash", "frames"})


#: Names of what is no column: tags, and where images were taken.
TAG: Final = "tag"
LOCATION: Final = "location"
#: Integers are counted up to this many distinct ones, which includes ratings and not sizes: ``_FEW_INTEGERS`` for few
#: images, otherwise half as many as images, and at most ``_MAX_INTEGERS``.
_FEW_INTEGERS: Final = 10
_MAX_INTEGERS: Final = 100


@dataclass(frozen=True, slots=True)
class Facet:
    """Summary of a column: ``kind`` as filters name it, and the number of images with a value (``known``).

    ``distinct`` is the number of distinct texts, or of entries of lists (None if too many to count). ``values`` are the
    most frequent ones with their counts, of times and dates the most frequent months, of integers only if they are few.
    ``low`` and ``high`` are the bounds of numbers and dates (of times: their days).
    """

    column: str
    kind: Kind
    known: int
    distinct: int | None = None
    values: tuple[tuple[str, int], ...] = ()
    low: Bound = None
    high: Bound = None

    @property
    def is_flag(self) -> bool:
        """Whether the values are true or false."""
        return self.kind is Kind.BOOL

    @property
    def is_number(self) -> bool:
        """Whether the values are numbers."""
        return self.kind in NUMBERS

    @property
    def is_list(self) -> bool:
        """Whether images have lists of values, each entry of which is counted."""
        return self.kind is Kind.LIST

    @property
    def is_time(self) -> bool:
        """Whether the values are dates or times."""
        return self.kind in TIMES


@dataclass(frozen=True, slots=True)
class FacetSummary:
    """What conditions can use among ``images``."""

    images: Count
    columns: tuple[Facet, ...]
    """Columns with a value."""
    tags: tuple[tuple[str, int], ...]
    """The most frequent tags, with their numbers of images."""
    locations: tuple[LocationCluster, ...]
    """Where most images were taken."""


def choose_facets(available: Sequence[Facet], columns: Sequence[str], others: Sequence[Facet] = ()) -> list[Facet]:
    """Return the facets of ``columns``, or all of them. Raises QueryError for a name that is neither in ``others``."""
    names = [TAG, LOCATION, *dict.fromkeys(one.column for one in (*available, *others))]
    for column in columns:
        if column not in names:
            raise unknown_name("column", column, names)
    return [one for one in available if not columns or one.column in columns]


def facets(
    reader: Reader, *, skipped: frozenset[str] = _SKIPPED, ids: npt.NDArray[np.int64] | None = None
) -> tuple[Facet, ...]:
    """Summarise each stored column that has a value, and ``folder``, among all images or those with ``ids``.

    Reads every column once: some tenths of a second for 100,000 images with the usual columns. Raises
    StaleGenerationError.
    """
    columns = ColumnCache(_MEMORY)
    types = columns.types(reader)
    kinds = kinds_of(types)
    stored = [
        (name, virtual.inputs[0])
        for name, virtual in sorted(ColumnNames(kinds).all().items())
        if len(virtual.inputs) == 1 and virtual.inputs[0].what == "stored" and name in _own_names(kinds, name)
    ]
    masks = None
    if ids is not None:
        masks = [
            pc.is_in(chunk, value_set=pa.array(ids)) for chunk in column_chunks(columns, reader, types, Source("id"))
        ]

    def chunks(source: Source) -> Iterator[Any]:
        all_chunks = column_chunks(columns, reader, types, source)
        return all_chunks if masks is None else (one.filter(mask) for one, mask in zip(all_chunks, masks, strict=True))

    summaries = [_facet(name, kinds[one.name], chunks(one)) for name, one in stored if one.name not in skipped]
    summaries.append(_facet("folder", Kind.TEXT, map(folders_of, chunks(Source("place", "path")))))
    return tuple(one for one in summaries if one.known)


def _own_names(kinds: Any, name: str) -> Sequence[str]:
    """Return the name if it is a stored column, not one derived from it (``day`` from ``taken_at``)."""
    return [name] if name in kinds or name.removeprefix("extra_") in kinds else []


def column_chunks(columns: ColumnCache, reader: Reader, types: Any, source: Source) -> Iterator[Any]:
    """Yield a column of all live images, about a million rows at a time."""
    column_reader = columns.read(reader, types)
    group: list[Any] = []
    rows = 0
    for shard in (*reader.current.shards, None):
        if group and (shard is None or rows + shard.rows > _ROWS_AT_ONCE):
            yield column_reader.table(group, [source])[1].column(0)
            group, rows = [], 0
        if shard is not None:
            group.append(shard)
            rows += shard.rows


def _facet(name: str, kind: Kind, chunks: Iterator[Any]) -> Facet:
    known = 0
    low: Any = None
    high: Any = None
    counts: Counter[str] | None = Counter()
    for chunk in chunks:
        known += len(chunk) - chunk.null_count
        if kind in NUMBERS | TIMES:
            bounds = pc.min_max(chunk).as_py()
            low = _extreme(min, low, bounds["min"])
            high = _extreme(max, high, bounds["max"])
        if kind in TIMES:
            months = pc.floor_temporal(chunk.cast(pa.timestamp("s"), safe=False), unit="month")
            chunk = pc.utf8_slice_codeunits(months.cast(pa.string()), 0, len("2023-05"))
        if counts is not None and kind is not Kind.FLOAT:
            texts = chunk.cast(pa.string()) if chunk.type != pa.string() else chunk
            if kind is Kind.LIST:
                texts = pc.list_flatten(pc.split_pattern(texts, "\n"))
            value_counts = pc.value_counts(texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts)
            if len(value_counts) > _MAX_DISTINCT:  # captions, for example
                counts = None
                continue
            values = zip(
                value_counts.field("values").to_pylist(), value_counts.field("counts").to_pylist(), strict=True
            )
            counts.update({value: n for value, n in values if value is not None})
            counts = None if len(counts) > _MAX_DISTINCT else counts
    if kind is Kind.INT and len(counts or ()) > min(_MAX_INTEGERS, max(_FEW_INTEGERS, known // 2)):
        counts = None
    by_frequency = sorted(counts.items(), key=lambda one: (-one[1], one[0])) if counts else []
    return Facet(
        name,
        kind,
        known,
        len(counts) if counts else None,
        tuple(by_frequency[:MAX_VALUES]),
        _day(low),
        _day(high),
    )


def _extreme(choose: Any, a: Any, b: Any) -> Any:
    return b if a is None else a if b is None else choose(a, b)


def _day(value: Any) -> Bound:
    if isinstance(value, datetime):
        return value.date()
    return None if value is None else value


def folders_of(paths: Any) -> Any:
    """Derive folders from paths, as the filter column ``folder`` does."""
    return pc.replace_substring_regex(paths, r"^[^/]*$|^(/)[^/]*$|^((?s:.+))/[^/]*$", r"\1\2")
