"""The FAISS index of a snapshot: made from all live rows, or from the one before, and written as it is mapped later."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from imseek.data import durable
from imseek.data.reader import Reader
from imseek.data.vectors import lists
from imseek.data.vectors.base import Ids, Segment
from imseek.data.vectors.build import LiveRows, Tell, add, build
from imseek.data.vectors.facts import INDEX, LISTS, TABLE
from imseek.data.vectors.kinds import inverted_file
from imseek.data.vectors.snapshot import Snapshot, imbalance, loaded
from imseek.errors import CorruptCollectionError, UsageError
from imseek.types import SpaceInfo

#: The lists are laid out anew when there are so many times as many rows, or they are filled so much more unevenly.
GROWTH = 2.0
IMBALANCE = 1.7


@dataclass(frozen=True, slots=True, eq=False)
class Made:
    """A FAISS index in memory, with how many rows its lists were laid out for and how evenly they were filled then.

    ``before`` is the snapshot that it was added to.
    """

    index: Any
    factory: str
    trained: int
    imbalance: float
    before: Snapshot | None = None


def made_anew(rows: LiveRows, dim: int, factory: str, memory: int, spared: Ids, tell: Tell) -> Made:
    with usable(factory, len(rows), dim):
        index = build(rows, dim, factory, memory, spared, tell)
    return Made(index, factory, len(rows), imbalance(index))


@contextmanager
def usable(factory: str, rows: int, dim: int) -> Iterator[None]:
    """UsageError for what FAISS says of a kind: too few rows to train on, codes of a size that it cannot search."""
    try:
        yield
    except RuntimeError as error:
        reason = str(error).rpartition("\n")[2].rpartition(": ")[2] or str(error)
        raise UsageError(
            f"no {factory} index can be made of {rows:,} vectors of {dim} dimensions: {reason}",
            hint="`imseek maintain --index auto` picks one that fits",
        ) from error


def extended(reader: Reader, space: SpaceInfo, rows: int, tell: Tell) -> Made | None:
    """The lists there are and what has come since; None where they must be laid out anew. The dead stay until then."""
    try:
        snapshot = reader.snapshot(space.space_id)
    except CorruptCollectionError:
        return None
    folder = reader.snapshot_folder(space.space_id)
    if snapshot is None or folder is None or inverted_file(snapshot.index) is None:
        return None
    facts = snapshot.facts
    if rows > GROWTH * facts.trained:
        return None
    covered = [(s, snapshot.covered.has(s.ids)) for s in reader.segments(space.space_id)]
    young = [Segment(s.ids, s.rows, np.union1d(s.dead, np.flatnonzero(known))) for s, known in covered]
    index = loaded(folder)
    fresh = LiveRows(young)
    if len(fresh):
        add(index, fresh, tell)
    if imbalance(index) > IMBALANCE * facts.imbalance:
        return None
    return Made(index, facts.factory, facts.trained, facts.imbalance, snapshot)


def stage(index: Any, folder: Path) -> dict[str, durable.Written]:
    """Write an index as it is mapped later. Its lists may be gone from it after that."""
    written = {}
    if (blocks := lists.in_blocks(index)) is not None:
        table = lists.table_of(blocks)
        written[LISTS] = durable.stage(folder / LISTS, partial(_write_all, lists.contents(blocks, table)))
        written[TABLE] = durable.stage(folder / TABLE, partial(write_array, table))
        lists.emptied(blocks)
    written[INDEX] = durable.stage(folder / INDEX, partial(_write, index))
    return written


def _write_all(pieces: Iterable[Any], out: Any) -> None:
    for piece in pieces:
        out.write(piece)


def write_array(array: Any, out: Any) -> None:
    np.lib.format.write_array(out, array, version=(1, 0), allow_pickle=False)


def _write(index: Any, out: Any) -> None:
    """Through Python's file, which hashes what it is given. What the system says is raised as it says it."""
    trouble: list[OSError] = []

    def write(data: Any) -> int:
        try:
            out.write(data)
        except OSError as error:
            trouble.append(error)
            raise
        return len(data)

    try:
        faiss.write_index(index, faiss.PyCallbackIOWriter(write))
    except Exception as error:
        if trouble:
            raise trouble[0] from error
        raise
