"""What a collection says of its approximate indexes, read without opening them."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np

from imseek.data.catalog_file import connect_read_only
from imseek.data.reader import Reader
from imseek.data.vectors.facts import Covered, read_facts
from imseek.errors import CorruptCollectionError
from imseek.types import IndexInfo, IndexPolicy

#: Name in ``meta``.
POLICY = "index_policy"


def policy_of(root: Path) -> IndexPolicy:
    with connect_read_only(root) as connection:
        row = connection.execute("SELECT value FROM meta WHERE name = ?", (POLICY,)).fetchone()
    return IndexPolicy() if row is None else IndexPolicy(**json.loads(row[0]))


def policy_text(policy: IndexPolicy) -> str:
    """As it is stored."""
    return json.dumps(asdict(policy), sort_keys=True)


def infos(reader: Reader) -> tuple[IndexInfo, ...]:
    """Of the spaces in use that have a sound snapshot, in their order."""
    found = [info_of(reader, space.space_id) for space in reader.current.spaces]
    return tuple(info for info in found if info is not None)


def info_of(reader: Reader, space_id: int) -> IndexInfo | None:
    """None where the space is scanned, since it has no snapshot or a damaged one."""
    folder = reader.snapshot_folder(space_id)
    if folder is None:
        return None
    try:
        facts = read_facts(folder)
        covered = Covered.read(folder, facts.rows)
    except (CorruptCollectionError, FileNotFoundError):
        return None
    inside = [int(np.count_nonzero(covered.has(s.ids) & s.searchable())) for s in reader.segments(space_id)]
    live = sum(len(s.ids) - len(s.dead) for s in reader.segments(space_id))
    return IndexInfo(
        space_id=space_id,
        kind=facts.factory,
        rows=facts.rows,
        tail=live - sum(inside),
        dead=facts.rows - sum(inside),
        bytes=sum(facts.sizes.values()),
        built=facts.built,
        seconds=facts.seconds,
        target=facts.target,
        image_recall=facts.image.recall,
        text_recall=facts.text.recall,
        image_probe=facts.image.effort.probe,
        text_probe=facts.text.effort.probe,
        queries=facts.image.queries,
        texts=facts.texts,
    )
