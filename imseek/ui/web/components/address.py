"""The address bar: small changes replace its entry in the browser's history, and the collection stays in it."""

from __future__ import annotations

from collections.abc import Sequence

from imseek.ui.web.components import component


def address(collection: str, small: Sequence[str]) -> None:
    """``small`` are names in the query of an address that make no entry of their own where only they change."""
    component("address")(key="address", data={"collection": collection, "small": list(small)})
