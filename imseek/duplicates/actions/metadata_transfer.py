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
            tags_by_id = tags.current_tags(connection, ids)
        # Ignore metadata transferred under this journal: it records what each duplicate gives.
        mark = _provenance_mark(undo_id)
        self._tags = {
            image_id: {
                tag
                for tag, provenance in provenances.items()
                if mark not in provenance and not is_duplicate_mark(provenance)
            }
            for image_id, provenances in tags_by_id.items()
        }
        with closing(Reader(writer.root)) as reader:
            self._facts = reader.intrinsics(ids) if ids else {}
            inherited = derived_columns.read_columns(reader, COLUMN_SET)
        for name, values in inherited.items():
            for image_id in ids:
                if image_id in values:
                    self._facts.setdefault(image_id, {})[name] = values[image_id]

    def of(self, keeper_id: int, image_id: int) -> tuple[tuple[str, ...], dict[str, Any]]:
        """Return the tags and values that the keeper gains from a duplicate."""
        new_tags = self._tags.get(image_id, set()) - self._tags.get(keeper_id, set())
        keeper_facts = self._facts.setdefault(keeper_id, {})
        values: dict[str, Any] = {}
        for name, value in self._facts.get(image_id, {}).items():
            if name == "caption":
                if not keeper_facts.get("caption") and CAPTION_COLUMN not in keeper_facts:
                    values[CAPTION_COLUMN] = value
            elif name not in shard_files.INTRINSIC_SCHEMA.names and name not in keeper_facts:
                values[name] = value
        keeper_facts.update(values)
        return tuple(sorted(new_tags)), values


def transfer_change(writer: Writer, intents: Sequence[Intent], undo_id: str) -> QuarantineChange:
    """Return the catalog change that gives keepers their metadata, and images their own tags."""
    provenances = {
        (i.keeper_id, tag): f"inherited from {i.image_id} {_provenance_mark(undo_id)}"
        for i in intents
        if i.keeper_id is not None
        for tag in i.tags
    }
    provenances |= {(i.image_id, i.tag): f"{DUPLICATES_PREFIX} {_provenance_mark(undo_id)}" for i in intents if i.tag}
    columns = {(i.keeper_id, n): v for i in intents if i.keeper_id is not None for n, v in i.columns.items()}
    return QuarantineChange(tags=provenances, columns=_changed_columns(writer, columns, {}), column_set=COLUMN_SET)


def reversal_change(writer: Writer, intents: Sequence[Intent], journal: Journal) -> QuarantineChange:
    """Return the change that reverses :func:`transfer_change`, except what keepers also gained from files that are
    still away."""
    numbers = {intent.n for intent in intents}
    pending = [i for n, i in journal.intents.items() if n not in numbers and journal.states[n] in AWAY_STATES]
    pending_tags = {(i.keeper_id, tag) for i in pending for tag in i.tags}
    pending_values = {(i.keeper_id, name): value for i in pending for name, value in i.columns.items()}
    tags_to_remove = [(i.image_id, i.tag) for i in intents if i.tag]
    values_to_remove: dict[tuple[int, str], Any] = {}
    for i in intents:
        if i.keeper_id is not None:
            tags_to_remove += [(i.keeper_id, tag) for tag in i.tags if (i.keeper_id, tag) not in pending_tags]
            values_to_remove |= {
                (i.keeper_id, name): value
                for name, value in i.columns.items()
                if pending_values.get((i.keeper_id, name)) != value
            }
    # Remove only tags of this journal: someone may have added one again.
    with writer.catalog.transaction() as connection:
        present_tags = tags.current_tags(connection, sorted({image_id for image_id, _ in tags_to_remove}))
    mark = _provenance_mark(journal.undo_id)
    own_tags = [one for one in dict.fromkeys(tags_to_remove) if mark in present_tags.get(one[0], {}).get(one[1], "")]
    return QuarantineChange(
        untagged=tuple(own_tags), columns=_changed_columns(writer, {}, values_to_remove), column_set=COLUMN_SET
    )


def _changed_columns(
    writer: Writer, added: Mapping[tuple[int, str], Any], removed: Mapping[tuple[int, str], Any]
) -> Mapping[str, Mapping[int, Any]] | None:
    """Return the derived columns with values added, or with the ``removed`` values removed if they are unchanged."""
    if not added and not removed:
        return None
    with closing(Reader(writer.root)) as reader:
        columns = derived_columns.read_columns(reader, COLUMN_SET)
    for (image_id, name), value in added.items():
        columns.setdefault(name, {})[image_id] = value
    for (image_id, name), value in removed.items():
        present = columns.get(name, {}).get(image_id)
        if present == value or str(present) == str(value):  # A column of mixed numbers and strings stores strings.
            del columns[name][image_id]
    return {name: values for name, values in columns.items() if values}


def _provenance_mark(undo_id: str) -> str:
    return f"[undo {undo_id}]"
