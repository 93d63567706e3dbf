"""Tags that a way of labelling gives: all of them at once, in the place of those that it gave before."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sqlalchemy import Connection

from imseek.data import tags
from imseek.data.tags import Tagged
from imseek.data.writer import Change


def giving(prefix: str, given: Mapping[Tagged, str], *, replace: bool, told: Callable[[int], None]) -> Change:
    """Give tags, each with where it comes from, which begins with ``prefix``; first, with ``replace``, take away all
    whose provenance begins so. Tags that an image has from elsewhere stay as they are. ``told`` hears how many were
    given."""

    def change(connection: Connection, generation: int) -> None:
        if replace:
            tags.end_from(connection, generation, prefix=prefix)
        told(len(tags.add(connection, generation, given)))

    return change
