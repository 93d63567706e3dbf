"""Transfer metadata from removed duplicates to their keeper: tags, the caption and values from sources.

A keeper's own values win, and tags that mark duplicates are not transferred. Values of ``extra`` columns (a rating, a
title) go into a set of derived columns under their own names, and a caption into ``inherited_caption`` there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from typing import Any, Final

from imseek.data import layout
from imseek.data.catalog import tags
from imseek.data.catalog.quarantined_duplicates import QuarantineChange
from imseek.data.reader import Reader
from imseek.data.shards import derived_columns, shard_files
from imseek.data.shards.metadata_columns import DUPLICATES_PREFIX, is_duplicate_mark
from imseek.data.writing.writer import Writer
from imseek.duplicates.actions.journal import Journal
from imseek.duplicates.actions.journal_records import AWAY_STATES, Intent

#: Name of the set of derived columns.
COLUMN_SET: Final = layout.INHERITED
CAPTION_COLUMN: Final = "inherited_caption"


class MetadataHeirs:
    """Tracks the metadata of keepers while duplicates are processed one by one."""

    def __init__(self, writer: Writer, pairs: Iterable[tuple[int, int]], undo_id: str) -> None:
        ids = sorted({image_id for pair in pairs for image_id in pair})
        with writer.catalog.transaction() as connection:
            held = tags.current_tags(connection, ids)
        # Ignore metadata transferred under this journal: it records what each duplicate gives.
        mark = _provenance_mark(undo_id)
        self._tags = {
            image_id: {
                tag for tag, provenance in of.items() if mark not in provenance and not is_duplicate_mark(provenance)
            }
            for image_id, of in held.items()
        }
        with closing(Reader(writer.root)) as reader:
            self._facts = reader.intrinsics(ids) if ids else {}
            given = derived_columns.read_columns(reader, COLUMN_SET)
        for name, values in given.items():
            for image_id in ids:
                if image_id in values:
                    self._facts.setdefault(image_id, {})[name] = values[image_id]

    def of(self, keeper_id: int, image_id: int) -> tuple[tuple[str, ...], dict[str, Any]]:
        """Return the tags and values that the keeper gains from a duplicate."""
        mine = self._tags.get(image_id, set()) - self._tags.get(keeper_id, set())
        kept = self._facts.setdefault(keeper_id, {})
        values: dict[str, Any] = {}
        for name, value in self._facts.get(image_id, {}).items():
            if name == "caption":
                if not kept.get("caption") and CAPTION_COLUMN not in kept:
                    values[CAPTION_COLUMN] = value
            elif name not in shard_files.INTRINSIC_SCHEMA.names and name not in kept:
                values[name] = value
        kept.update(values)
        return tuple(sorted(mine)), values


def transfer_change(writer: Writer, intents: Sequence[Intent], undo_id: str) -> QuarantineChange:
    """Return the catalog change that gives keepers their metadata, and images their own tags."""
    given = {
        (i.keeper_id, tag): f"inherited from {i.image_id} {_provenance_mark(undo_id)}"
        for i in intents
        if i.keeper_id is not None
        for tag in i.tags
    }
    given |= {(i.image_id, i.tag): f"{DUPLICATES_PREFIX} {_provenance_mark(undo_id)}" for i in intents if i.tag}
    new = {(i.keeper_id, n): v for i in intents if i.keeper_id is not None for n, v in i.columns.items()}
    return QuarantineChange(tags=given, columns=_changed_columns(writer, new, {}), column_set=COLUMN_SET)


def reversal_change(writer: Writer, intents: Sequence[Intent], journal: Journal) -> QuarantineChange:
    """Return the change that reverses :func:`transfer_change`, except what keepers also gained from files that are
    still away."""
    numbers = {intent.n for intent in intents}
    still = [i for n, i in journal.intents.items() if n not in numbers and journal.states[n] in AWAY_STATES]
    kept = {(i.keeper_id, tag) for i in still for tag in i.tags}
    held = {(i.keeper_id, name): value for i in still for name, value in i.columns.items()}
    lost = [(i.image_id, i.tag) for i in intents if i.tag]
    gone: dict[tuple[int, str], Any] = {}
    for i in intents:
        if i.keeper_id is not None:
            lost += [(i.keeper_id, tag) for tag in i.tags if (i.keeper_id, tag) not in kept]
            gone |= {
                (i.keeper_id, name): value
                for name, value in i.columns.items()
                if held.get((i.keeper_id, name)) != value
            }
    # Remove only tags of this journal: someone may have added one again.
    with writer.catalog.transaction() as connection:
        now = tags.current_tags(connection, sorted({image_id for image_id, _ in lost}))
    mark = _provenance_mark(journal.undo_id)
    mine = [one for one in dict.fromkeys(lost) if mark in now.get(one[0], {}).get(one[1], "")]
    return QuarantineChange(untagged=tuple(mine), columns=_changed_columns(writer, {}, gone), column_set=COLUMN_SET)


def _changed_columns(
    writer: Writer, given: Mapping[tuple[int, str], Any], gone: Mapping[tuple[int, str], Any]
) -> Mapping[str, Mapping[int, Any]] | None:
    """Return the derived columns with values added, or with the ``gone`` values removed if they are unchanged."""
    if not given and not gone:
        return None
    with closing(Reader(writer.root)) as reader:
        stored = derived_columns.read_columns(reader, COLUMN_SET)
    for (image_id, name), value in given.items():
        stored.setdefault(name, {})[image_id] = value
    for (image_id, name), value in gone.items():
        now = stored.get(name, {}).get(image_id)
        if now == value or str(now) == str(value):  # A column of mixed numbers and strings stores strings.
            del stored[name][image_id]
    return {name: values for name, values in stored.items() if values}


def _provenance_mark(undo_id: str) -> str:
    return f"[undo {undo_id}]"
