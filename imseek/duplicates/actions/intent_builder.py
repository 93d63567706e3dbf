"""Turn checked files of a plan into intents: where each goes, and what metadata its keeper gains."""

from __future__ import annotations

import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import cast

from imseek.data.user_files import file_copies, safe_path
from imseek.data.writing.writer import Writer
from imseek.duplicates.action_results import Action, PlannedFile
from imseek.duplicates.actions import execute
from imseek.duplicates.actions import journal as journals
from imseek.duplicates.actions.journal_records import Intent
from imseek.duplicates.actions.metadata_transfer import MetadataHeirs
from imseek.duplicates.actions.plans import LINK_ACTIONS, MOVE_ACTIONS, Plan
from imseek.duplicates.actions.precheck import CheckedFile, LeftAloneError, quarantine_path, translate_errors
from imseek.errors import StorageError


@dataclass(frozen=True, slots=True)
class PlanItem:
    """File number ``n`` of a plan, with its keeper."""

    n: int
    file: PlannedFile
    keeper: PlannedFile


class IntentBuilder:
    """Makes the intents of one run. No two files get the same destination, nor one that the journals reserve for
    another file."""

    def __init__(self, root: Path, plan: Plan) -> None:
        self._root = root
        self._plan = plan
        self._used_paths: set[bytes] = set()

    def preview_target(self, item: PlanItem, checked: CheckedFile) -> bytes | None:
        """Return where a file would go; None if it stays, or if only the trash knows."""
        if item.file.action != "quarantine":
            return None
        spot, _ = self._quarantine(checked)
        return self._free(spot, checked).full

    def intents(
        self, writer: Writer, undo_id: str, ready: Sequence[tuple[PlanItem, CheckedFile]]
    ) -> tuple[dict[int, Intent], list[tuple[PlanItem, LeftAloneError]]]:
        """Return the intents by number, and the files left alone because there is no place for them."""
        pairs = [(i.keeper.image_id, i.file.image_id) for i, _ in ready if _transfers_metadata(i)]
        heirs = MetadataHeirs(writer, pairs, undo_id)
        intents: dict[int, Intent] = {}
        left_alone: list[tuple[PlanItem, LeftAloneError]] = []
        for item, checked in ready:
            try:
                intents[item.n] = self._intent(heirs, item, checked)
            except LeftAloneError as error:
                left_alone.append((item, error))
        return intents, left_alone

    def _intent(self, heirs: MetadataHeirs, item: PlanItem, checked: CheckedFile) -> Intent:
        base, to = self._target(item, checked)
        attributes = _attributes(item, checked)
        is_own_keeper = item.keeper.collection is None
        tags, columns = heirs.of(item.keeper.image_id, item.file.image_id) if _transfers_metadata(item) else ((), {})
        info = checked.content.info
        with translate_errors():
            return Intent(
                n=item.n,
                action=cast(Action, item.file.action),
                image_id=item.file.image_id,
                source_id=checked.source.source_id,
                path=checked.image.path,
                full=checked.spot.full,
                content_hash=item.file.content_hash,
                size=info.st_size,
                mode=stat.S_IMODE(info.st_mode),
                mtime_ns=info.st_mtime_ns,
                device=info.st_dev,
                inode=info.st_ino,
                owner=(info.st_uid, info.st_gid),
                attributes=attributes,
                keeper_id=item.keeper.image_id if is_own_keeper else None,
                keeper=item.keeper.path,
                to=to,
                to_base=base,
                tag=self._plan.tag if item.file.action == "tag" else "",
                tags=tags,
                columns=columns,
            )

    def _target(self, item: PlanItem, checked: CheckedFile) -> tuple[bytes, bytes]:
        if item.file.action != "quarantine":
            return b"", b""
        with translate_errors():
            spot, folder = self._quarantine(checked)
            try:
                execute.prepare_quarantine(folder)
            except StorageError as error:  # The disk of the quarantine, not that of the collection.
                raise LeftAloneError(f"its quarantine cannot be made: {error}") from error
            free = self._free(spot, checked)
        return free.base, free.full

    def _quarantine(self, checked: CheckedFile) -> tuple[safe_path.SafePath, bytes]:
        return quarantine_path(checked.source, checked.spot, checked.content.info.st_dev, self._plan.to)

    def _free(self, spot: safe_path.SafePath, checked: CheckedFile) -> safe_path.SafePath:
        return execute.find_free_path(spot, checked.spot.full, self._used_paths, self._reserved_paths)

    @cached_property
    def _reserved_paths(self) -> Mapping[bytes, bytes]:
        return journals.reserved_paths(self._root)


def _attributes(item: PlanItem, checked: CheckedFile) -> dict[str, bytes]:
    """Return the extended attributes of a file that will be replaced; its bytes do not include them."""
    if item.file.action not in LINK_ACTIONS:
        return {}
    with translate_errors(), safe_path.open_parent(checked.spot) as at:
        return file_copies.read_attributes(at)


def _transfers_metadata(item: PlanItem) -> bool:
    return item.keeper.collection is None and item.file.action in MOVE_ACTIONS
