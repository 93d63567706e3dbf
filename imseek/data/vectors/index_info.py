"""Describe a collection's approximate indexes without opening them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from imseek.data.reader import Reader
from imseek.data.vectors.base import Ids
from imseek.data.vectors.index_metadata import (
    CoveredIds,
    IndexFolder,
    IndexMetadata,
    pack_bits,
    part_folders,
    read_index_metadata,
)
from imseek.errors import CorruptCollectionError
from imseek.types.collection_info import IndexInfo


def index_infos(reader: Reader) -> tuple[IndexInfo, ...]:
    """Describe the indexes of the spaces in use that have a sound snapshot, in the order of the spaces."""
    infos = [info_of(reader, space.space_id) for space in reader.current.spaces]
    return tuple(info for info in infos if info is not None)


@dataclass(frozen=True, slots=True, eq=False)
class IndexPart:
    """An index on disk; ``name`` is its folder among those of its space. ``live`` counts its rows that are not dead."""

    name: str
    facts: IndexMetadata
    covered: CoveredIds
    live: int

    @property
    def rows(self) -> int:
        return self.facts.rows

    @property
    def dead(self) -> int:
        return self.rows - self.live


@dataclass(frozen=True, slots=True, eq=False)
class IndexSnapshot:
    """A snapshot on disk and its parts; one without separate parts counts as its own only part.

    ``live`` (n,) are the ids of all live rows of the space, ascending.
    """

    folder: IndexFolder
    facts: IndexMetadata
    parts: tuple[IndexPart, ...]
    live: Ids

    @property
    def tail(self) -> int:
        """Number of live rows that no part covers."""
        return len(self.live) - sum(part.live for part in self.parts)


def read_index_snapshot(reader: Reader, space_id: int, *, excluded: str = "") -> IndexSnapshot | None:
    """Read the snapshot of a space; None where it has none or a damaged one, and is scanned instead.

    The part named ``excluded``, which may be damaged, is left out.
    """
    folder = reader.snapshot_folder(space_id)
    if folder is None:
        return None
    try:
        facts = read_index_metadata(folder)
        folders = [
            (part_folder, read_index_metadata(part_folder))
            for part_folder in part_folders(folder, facts)
            if part_folder.last != excluded or part_folder == folder
        ]
        covered = [CoveredIds.read(part_folder, part_facts.rows) for part_folder, part_facts in folders]
    except (CorruptCollectionError, FileNotFoundError):
        return None
    live = np.concatenate([np.empty(0, np.int64), *(s.ids[s.searchable()] for s in reader.segments(space_id))])
    # Ids far beyond those covered need no bit.
    covered_ids = live[live < 8 * max((len(ids.marks) for ids in covered), default=0)]
    marks = pack_bits(covered_ids, int(covered_ids.max(initial=0)) // 8 * 8 + 8)
    parts = [
        IndexPart(part_folder.last, part_facts, ids, ids.both(marks))
        for (part_folder, part_facts), ids in zip(folders, covered, strict=True)
    ]
    return IndexSnapshot(folder, facts, tuple(parts), np.sort(live))


def info_of(reader: Reader, space_id: int) -> IndexInfo | None:
    """Describe the index of a space; None where it has none or a damaged one, and is scanned instead."""
    snapshot = read_index_snapshot(reader, space_id)
    if snapshot is None:
        return None
    facts = snapshot.facts
    part_bytes = sum(sum(part.facts.sizes.values()) for part in snapshot.parts)
    return IndexInfo(
        space_id=space_id,
        kind=facts.factory,
        rows=facts.rows,
        tail=snapshot.tail,
        dead=sum(part.dead for part in snapshot.parts),
        bytes=part_bytes + (sum(facts.sizes.values()) if facts.parts else 0),
        built=facts.built,
        seconds=facts.seconds,
        target=facts.target,
        image_recall=facts.image.recall,
        text_recall=facts.text.recall,
        image_probe=facts.image.effort.probe,
        text_probe=facts.text.effort.probe,
        queries=facts.image.queries,
        texts=facts.texts,
        parts=len(snapshot.parts),
    )
