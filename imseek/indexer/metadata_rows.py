"""Metadata rows of images: what is kept of them, and what a copy says of itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from imseek.data.shard_files import INTRINSIC, MEASURES, extra_name
from imseek.errors import UsageError
from imseek.indexer.sources.base import Scalar

#: Columns that a user may drop: those that may be null.
_OPTIONAL: Final = tuple(
    field.name for field in INTRINSIC if field.nullable and field.name not in MEASURES.names
)


class Columns:
    """Which metadata columns are kept: all, those that are named, or all but those named with a minus before.

    Columns that say what the picture is (its size, format, hashes) always stay. Raises UsageError for a mixture.
    """

    def __init__(self, names: Sequence[str] = ()) -> None:
        dropped = {name[1:] for name in names if name.startswith("-")}
        if dropped and len(dropped) < len(set(names)):
            raise UsageError("columns are either all named to be kept, or all to be dropped (-NAME)")
        self._kept = None if dropped or not names else set(names)
        self._dropped = dropped

    def of(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """The row without what is not kept."""
        if self._kept is None and not self._dropped:
            return dict(row)
        return {name: value for name, value in row.items() if self._keeps(name)}

    def _keeps(self, name: str) -> bool:
        if name in INTRINSIC.names and name not in _OPTIONAL:
            return True
        # A date without its zone is another one.
        named = {name, "taken_at"} if name == "taken_at_zone" else {name}
        return not named & self._dropped and (self._kept is None or bool(named & self._kept))


def row_of_copy(row: Mapping[str, Any], caption: str | None, extra: Mapping[str, Scalar]) -> dict[str, Any]:
    """The row of an image whose content is stored already: what the picture says, and what its own source says."""
    own = {name: value for name, value in row.items() if name in INTRINSIC.names}
    if caption is not None:
        own["caption"] = caption
    return {**own, **{extra_name(name): value for name, value in extra.items()}}
