"""Plan the parts of a snapshot as a collection grows: which stay, and what new ones contain.

A part is a snapshot of its own, over other images than the other parts. New rows go into the last part while that is
small, then into a new one, so the cost of growth depends on what was added. Where there are many parts, the two
smallest are merged. A new part reuses the lists and codes of the previous one if they fit its rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np

from imseek.data.vectors.base import Segment
from imseek.data.vectors.build import LiveRows, ReportShare, add_rows, train_index
from imseek.data.vectors.faiss_snapshot import imbalance, load_empty_index
from imseek.data.vectors.index_info import IndexPart, IndexSnapshot
from imseek.data.vectors.index_kinds import (
    ROWS_PER_LIST,
    cagra_degree,
    inverted_file,
    list_count,
    make_index,
    with_lists,
)
from imseek.data.vectors.index_metadata import CoveredIds
from imseek.data.vectors.snapshot_build import (
    MAX_GROWTH,
    MAX_IMBALANCE,
    BuiltIndex,
    build_part,
    extend_part,
    translate_faiss_errors,
)
from imseek.types.collection_info import SpaceInfo
from imseek.unique_numbers import unique_numbers

#: A part with this many rows is not rewritten for new ones; smaller collections have one part.
PART_ROWS = 1 << 20
#: Maximum number of parts: every search asks each of them.
MAX_PARTS = 16
#: Share of dead rows in a part above which its live rows move to another part.
DEAD_SHARE = 0.2


@dataclass(frozen=True, slots=True)
class GrowthPlan:
    """A plan for the existing parts: the ``remaining`` ones, and the ``base`` that missing rows are added to (None: a
    new one).

    The other parts are dropped, and their live rows added again.
    """

    remaining: tuple[IndexPart, ...]
    base: IndexPart | None


def needs_several_parts(snapshot: IndexSnapshot) -> bool:
    """Whether a space has enough rows for several parts."""
    return len(snapshot.live) > PART_ROWS


def is_outgrown(snapshot: IndexSnapshot) -> bool:
    """Whether the lists must be trained again for the present number of rows.

    From some millions of rows on, the number of lists is at its maximum, and they stay.
    """
    trained, rows = max(part.facts.trained for part in snapshot.parts), len(snapshot.live)
    return rows > MAX_GROWTH * trained and (not needs_several_parts(snapshot) or list_count(rows) > list_count(trained))


def is_stale(part: IndexPart) -> bool:
    """Whether too many of a part's rows are dead."""
    return part.dead > DEAD_SHARE * part.rows


def plan_growth(snapshot: IndexSnapshot) -> GrowthPlan:
    """Plan which parts stay, and where the rows go that these lack."""
    remaining = [part for part in snapshot.parts if not is_stale(part)]
    fresh = len(snapshot.live) - sum(part.live for part in remaining)
    if not fresh or not remaining:
        return GrowthPlan(tuple(remaining), None)
    base = None
    if has_lists(remaining[-1]) and remaining[-1].rows + fresh <= PART_ROWS:
        base = remaining.pop()
    elif len(remaining) >= MAX_PARTS:
        smallest, base = sorted(remaining, key=lambda part: part.rows)[:2]
        remaining = [part for part in remaining if part is not smallest and part is not base]
        base = base if has_lists(base) else None
    return GrowthPlan(tuple(remaining), base)


def has_lists(part: IndexPart) -> bool:
    """Whether rows can be added to a part as it is."""
    if cagra_degree(part.facts.factory) is not None:
        return False
    return inverted_file(make_index(part.facts.factory, part.facts.dim)) is not None


def rows_missing_from(segments: Sequence[Segment], parts: Sequence[IndexPart]) -> LiveRows:
    """Return the live rows that are in none of ``parts``."""
    covered = CoveredIds.of_all([part.covered for part in parts])
    rows = [np.flatnonzero(covered.has(segment.ids)) for segment in segments]
    excluded = [unique_numbers(s.dead.astype(np.int64), k) for s, k in zip(segments, rows, strict=True)]
    return LiveRows([Segment(s.ids, s.rows, dead) for s, dead in zip(segments, excluded, strict=True)])


def build_grown_part(
    snapshot: IndexSnapshot,
    plan: GrowthPlan,
    rows: LiveRows,
    space: SpaceInfo,
    memory: int,
    auto: bool,
    report: ReportShare,
) -> BuiltIndex | None:
    """Build a part of ``rows`` and the part that they are added to.

    Returns None where they do not fit the lists of that part: it then stays too, and a new part must be built.
    """
    if plan.base is not None:
        return extend_part(snapshot.folder.beside(plan.base.name), plan.base, rows, report)
    last = plan.remaining[-1]
    can_train = ROWS_PER_LIST * list_count(len(rows)) <= len(rows)
    if has_lists(last):
        facts = last.facts
        index = load_empty_index(snapshot.folder.beside(last.name))
        add_rows(index, rows, lambda share: report(0.5 * share))
        if imbalance(index) <= MAX_IMBALANCE * facts.imbalance or not can_train:
            return BuiltIndex(index, facts.factory, facts.trained, facts.imbalance, facts.layout or last.name)
        del index
    factory = last.facts.factory
    if auto:
        factory = with_lists(factory, list_count(len(rows)))
    none = np.empty(0, np.int64)
    return build_part(rows, space.dim, factory, memory, none, lambda share: report(0.5 + 0.5 * share))


def build_parts(
    rows: LiveRows, dim: int, factory: str, memory: int, excluded: Any, report: ReportShare
) -> Iterator[tuple[BuiltIndex, LiveRows]]:
    """Build indexes of all ``rows``, one in memory at a time, and yield each with its rows.

    There are as many as needed for none to exceed ``memory``; all have the same lists and codes.
    """
    count = count_parts(len(rows), dim, factory, memory)
    if count == 1:
        yield build_part(rows, dim, factory, memory, excluded, report), rows
        return
    borders = [len(rows) * n // count for n in range(count + 1)]
    with translate_faiss_errors(factory, len(rows), dim):
        empty = train_index(rows, dim, factory, memory, excluded, lambda share: report(0.4 * share), room=borders[1])
    layout = faiss.serialize_index(empty)
    for n in range(count):
        part_rows = rows.section(borders[n], borders[n + 1])
        index = faiss.deserialize_index(layout) if n else empty
        add_rows(index, part_rows, lambda share, n=n: report(0.4 + 0.6 * (n + share) / count))  # type: ignore[misc]
        yield BuiltIndex(index, factory, len(rows), imbalance(index)), part_rows


def count_parts(rows: int, dim: int, factory: str, memory: int) -> int:
    """Return how many parts are needed for none to exceed ``memory`` bytes; at most ``MAX_PARTS``."""
    if cagra_degree(factory) is not None:
        return 1
    lists = inverted_file(index := make_index(factory, dim))
    size = rows * (lists.code_size + 8) if lists is not None else 0
    del index
    return min(MAX_PARTS, max(1, -(-size // memory)))
