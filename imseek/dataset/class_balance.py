"""Class balance: how evenly images are distributed over classes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np

from imseek.data.catalog.read_connection import connect_read_only
from imseek.data.reader import Reader
from imseek.data.shards.metadata_columns import is_duplicate_mark
from imseek.data.vectors.base import Ids, IdSet
from imseek.search.where.column_values import resolve_kinds, values
from imseek.search.where.columns_and_functions import Kind

TAG: Final = "tag"


class ClassMembership:
    """Class membership: (n,) class numbers and ids, one row for each image in each of its classes.

    ``by`` is ``"tag"``, or a column available in filters, including ``folder``. Images without a value are in no class.
    Raises QueryError for an unknown column.
    """

    def __init__(self, reader: Reader, by: str, allowed: IdSet | None = None) -> None:
        numbers: dict[str, int] = {}
        members: list[tuple[Ids, Ids]] = [(np.empty(0, np.int64), np.empty(0, np.int64))]
        for ids, texts in _iter_tags(reader) if by == TAG else _iter_column(reader, by):
            if allowed is not None:
                is_allowed = allowed.marks(ids)
                ids, texts = ids[is_allowed], [text for text, keep in zip(texts, is_allowed, strict=True) if keep]
            class_numbers = np.array(
                [-1 if text is None else numbers.setdefault(text, len(numbers)) for text in texts], np.int64
            )
            members.append((class_numbers[class_numbers >= 0], ids[class_numbers >= 0]))
        self.names = tuple(numbers)
        self.number, self.ids = (np.concatenate(part) for part in zip(*members, strict=True))

    def sizes(self) -> Ids:
        """Number of images in each class (classes,)."""
        return np.bincount(self.number, minlength=len(self.names))


def effective_class_count(sizes: Sequence[int]) -> float | None:
    """Hill number of order 1, exp(−Σ p log p) (M. O. Hill, "Diversity and evenness", 1973); None where all sizes are
    0."""
    total = sum(sizes)
    if not total:
        return None
    return math.exp(-sum(n / total * math.log(n / total) for n in sizes if n))


def imbalance_ratio(sizes: Iterable[int]) -> float | None:
    """Size of the largest class over that of the smallest non-empty one; None without any."""
    nonzero = [n for n in sizes if n]
    return max(nonzero) / min(nonzero) if nonzero else None


def _iter_column(reader: Reader, by: str) -> Iterable[tuple[Ids, list[str | None]]]:
    (kind,) = resolve_kinds(reader, [by])
    for ids, (column,) in values(reader, [by]):
        if kind is Kind.LIST:  # an image is in the class of each entry, as of each tag
            pairs = [(n, entry) for n, entries in enumerate(column.to_pylist()) for entry in entries or (None,)]
            yield ids[[n for n, _ in pairs]], [entry for _, entry in pairs]
            continue
        yield ids, [None if value is None else _format_value(value, kind) for value in column.to_pylist()]


def _format_value(value: Any, kind: Kind) -> str:
    if kind is Kind.BOOL:
        return "true" if value else "false"
    return f"{value:g}" if kind is Kind.FLOAT else str(value)


def _iter_tags(reader: Reader) -> Iterable[tuple[Ids, list[str | None]]]:
    """Yield tags of live images, without those that mark duplicates."""
    live = np.concatenate(
        [np.empty(0, np.int64)] + [np.delete(reader.shard_ids(s), reader.dead_rows(s)) for s in reader.current.shards]
    )
    live_set = IdSet(live)
    with connect_read_only(reader.root) as connection:
        rows = connection.execute(
            "SELECT DISTINCT image_id, tag, provenance FROM tags WHERE born <= ? AND died > ?",
            (reader.generation, reader.generation),
        ).fetchall()
        reader.check_history(connection)
    pairs = sorted({(image_id, tag) for image_id, tag, source in rows if not is_duplicate_mark(source or "")})
    ids = np.array([image_id for image_id, _ in pairs], np.int64)
    is_live = live_set.marks(ids)
    yield ids[is_live], [tag for (_, tag), keep in zip(pairs, is_live, strict=True) if keep]
