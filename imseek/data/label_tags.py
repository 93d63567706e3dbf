"""Tags that a way of labelling gives: all of them at once, in the place of those that it gave before."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from sqlalchemy import Connection, update

from imseek.data import columns, model_files, tags
from imseek.data import schema as t
from imseek.data.catalog import live
from imseek.data.patience import writing
from imseek.data.tags import Tagged
from imseek.data.writer import Change


def giving(prefix: str, given: Mapping[Tagged, str], *, replace: bool, told: Callable[[int], None]) -> Change:
    """Give tags, each with where it comes from, which begins with ``prefix``; first, with ``replace``, take away all
    whose provenance begins so. Tags that an image has from elsewhere stay as they are. ``told`` hears how many were
    given."""

    def change(connection: Connection, generation: int) -> None:
        if replace:
            _end(connection, generation, prefix)
        told(len(tags.add(connection, generation, given)))

    return change


def forget(root: Path, name: str, prefix: str | None) -> tuple[int, int]:
    """A model goes; with ``prefix`` the columns of its name and the tags whose provenance begins so go too, as one
    commit. Returns the generation and how many tags there were. Raises LockedError, ReadOnlyError, StorageError."""
    ended = [0]
    with writing(root, "forget") as writer:
        changes: list[Change] = [partial(model_files.retire, name=name)]
        if prefix is not None:
            changes.append(columns.replacing(writer, name, {}))

        def change(connection: Connection, generation: int) -> None:
            for one in changes:
                one(connection, generation)
            if prefix is not None:
                ended[0] = _end(connection, generation, prefix)

        return writer.apply(change), ended[0]


def _end(connection: Connection, generation: int, prefix: str) -> int:
    mine = t.tags.c.provenance.startswith(prefix, autoescape=True) & live(t.tags)
    return connection.execute(update(t.tags).where(mine).values(died=generation)).rowcount
