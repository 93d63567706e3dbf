"""Tags that a way of labelling gives: all of them at once, in the place of those that it gave before."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from sqlalchemy import Connection, update

from imseek.data import schema as t
from imseek.data import tags
from imseek.data.catalog import live
from imseek.data.tags import Tagged

Change: TypeAlias = Callable[[Connection, int], None]


def giving(prefix: str, given: Mapping[Tagged, str], *, replace: bool, told: Callable[[int], None]) -> Change:
    """Give tags, each with where it comes from, which begins with ``prefix``; first, with ``replace``, take away all
    whose provenance begins so. Tags that an image has from elsewhere stay as they are. ``told`` hears how many were
    given."""

    def change(connection: Connection, generation: int) -> None:
        if replace:
            provenance = t.tags.c.provenance
            mine = provenance.startswith(prefix, autoescape=True) & live(t.tags)
            connection.execute(update(t.tags).where(mine).values(died=generation))
        told(len(tags.add(connection, generation, given)))

    return change
