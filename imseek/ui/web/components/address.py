"""The browser's URL: minor changes replace its history entry, and the collection stays in it."""

from __future__ import annotations

from collections.abc import Sequence

from imseek.ui.web.components import component


def address(collection: str, small: Sequence[str]) -> None:
    """Mount the component. Changes of only the ``small`` URL parameters add no history entry."""
    component("address")(key="address", data={"collection": collection, "small": list(small)})
