"""Builds the metadata rows of images: selects columns, and derives the row of a copy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from imseek.data.shards.shard_files import INTRINSIC_SCHEMA, LUMA_COLUMNS, extra_name
from imseek.errors import UsageError
from imseek.indexer.sources.base import Scalar

#: Columns that a user may drop: the nullable ones.
_OPTIONAL: Final = tuple(
    field.name for field in INTRINSIC_SCHEMA if field.nullable and field.name not in LUMA_COLUMNS.names
)


class ColumnSelection:
    """Selects the metadata columns to keep: all, the named ones, or all but those named with a leading minus.

    Columns that describe the picture (size, format, hashes) are always kept. Raises UsageError for a mixture of both
    forms.
    """

    def __init__(self, names: Sequence[str] = ()) -> None:
        dropped = {name[1:] for name in names if name.startswith("-")}
        if dropped and len(dropped) < len(set(names)):
            raise UsageError("columns are either all named to be kept, or all to be dropped (-NAME)")
        self._kept = None if dropped or not names else set(names)
        self._dropped = dropped

    def of(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Return the row without the dropped columns."""
        if self._kept is None and not self._dropped:
            return dict(row)
        return {name: value for name, value in row.items() if self._keeps(name)}

    def _keeps(self, name: str) -> bool:
        if name in INTRINSIC_SCHEMA.names and name not in _OPTIONAL:
            return True
        # A time is wrong without its zone.
        named = {name, "taken_at"} if name == "taken_at_zone" else {name}
        return not named & self._dropped and (self._kept is None or bool(named & self._kept))


def row_of_copy(row: Mapping[str, Any], caption: str | None, extra: Mapping[str, Scalar]) -> dict[str, Any]:
    """Return the row of an image whose content is already stored.

    It combines what the picture contains with the values of the image's own source.
    """
    own = {name: value for name, value in row.items() if name in INTRINSIC_SCHEMA.names}
    if caption is not None:
        own["caption"] = caption
    return {**own, **{extra_name(name): value for name, value in extra.items()}}
