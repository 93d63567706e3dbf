"""Undo actions on files: move each back to its place, byte for byte, and make its image live again.

The journal says what was intended, the disk what happened; files are identified by their bytes. Nothing is overwritten:
if another file is at the place by now, the file stays where it was put, and the report says so.
"""

from __future__ import annotations

import os
import shlex
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Final

from imseek.data.catalog import quarantined_duplicates
from imseek.data.catalog.changeset import Changeset, Placement
from imseek.data.catalog.quarantined_duplicates import CatalogImage, live_sources, look_up_images, occupants
from imseek.data.current_generation import read_current
from imseek.data.files.system_errors import translate_os_errors
from imseek.data.trust import check_trusted
from imseek.data.user_files import safe_path
from imseek.data.writing.commit import commit
from imseek.data.writing.writer import Writer
from imseek.data.writing.writer_wait import open_writer
from imseek.duplicates.action_results import Action, ForeignJournal, Outcome, UndoneFile, UndoReport
from imseek.duplicates.actions import journal as journals
from imseek.duplicates.actions import metadata_transfer
from imseek.duplicates.actions.apply import BATCH
from imseek.duplicates.actions.journal import Journal
from imseek.duplicates.actions.journal_records import AWAY_STATES, Intent, State
from imseek.duplicates.actions.plans import LINK_ACTIONS, MOVE_ACTIONS
from imseek.duplicates.actions.precheck import LeftAloneError, current_placings
from imseek.duplicates.actions.revert import (
    GoneError,
    RevertResult,
    find_moved_file,
    remove_empty_quarantine,
    revert_file,
)
from imseek.duplicates.actions.undo_bounds import UndoBounds, quarantine_folder
from imseek.errors import CorruptCollectionError, UntrustedJournalError, UsageError
from imseek.progress import ProgressCallback, Task
from imseek.tilde_expansion import expand_user

#: States of files that undo handles. A file that was gone may have come back.
_UNDOABLE_STATES: Final = AWAY_STATES | {"gone"}


def undo(
    root: str | os.PathLike[str],
    id: str | None = None,  # noqa: A002 - what people call it
    dry_run: bool = True,
    progress: ProgressCallback | None = None,
    stop: threading.Event | None = None,
    *,
    trust: Callable[[ForeignJournal], bool] = lambda _: False,
) -> UndoReport:
    """Undo the latest plan, or the one with this id (``journal.list_``); ``dry_run`` only reports.

    Files that cannot be brought back now are left alone and reported; the same call retries them, and resumes an
    interrupted undo. A journal that this user's imseek did not write is followed only if ``trust`` returns True, which
    is asked before anything is locked; from then on it counts as this user's.

    Raises UsageError if there is nothing to undo, UntrustedJournalError, CollectionNotFoundError, LockedError if
    another writer does not finish within half a minute, ReadOnlyError and StorageError.
    """
    path = expand_user(root).absolute()
    generation = read_current(path).generation
    journal = _select_journal(path, id)
    if dry_run:
        run = _Run(path, journal, Task(progress, stop, interval=0))
        return run.report(generation, run.dry())
    agreed = journal.is_signed or _require_trust(path, journal, trust)
    with open_writer(path, "undo") as writer:
        # The journal may have changed meanwhile, and the user agreed only to what was shown.
        current = _select_journal(path, journal.undo_id)
        if not current.is_signed:
            if not agreed or current.digest != journal.digest:
                raise _untrusted_error(path, current)
            current.adopt(writer.staging)
        run = _Run(path, current, writer.begin_task(progress, stop))
        files = run.execute(writer)
        return run.report(writer.generation, files, dry=False)


def _require_trust(root: Path, journal: Journal, trust: Callable[[ForeignJournal], bool]) -> bool:
    """Return True if the user agrees to follow another user's journal. Raises UntrustedJournalError otherwise."""
    if not journal.is_whole:
        raise CorruptCollectionError(f"{journal.file} is too damaged to be obeyed", hint="move it away")
    if not trust(_describe(root, journal)):
        raise _untrusted_error(root, journal)
    return True


def _describe(root: Path, journal: Journal) -> ForeignJournal:
    bounds = UndoBounds(root, live_sources(root))
    intents = [intent for n, intent in journal.intents.items() if journal.states[n] in _UNDOABLE_STATES]
    sources, targets = set(), set()
    for recorded in intents:
        with suppress(LeftAloneError):
            intent, spot = bounds.locate(journal, recorded)
            if intent.action in MOVE_ACTIONS and (place := find_moved_file(journal, intent)) is not None:
                sources.add(quarantine_folder(intent) if intent.action == "quarantine" else place.base)
            targets.add(os.path.dirname(spot.full))
    return ForeignJournal(
        journal.undo_id,
        journal.begin.created,
        dict(Counter[Action](intent.action for intent in intents)),
        tuple(sorted(sources)),
        tuple(sorted(targets)),
        journal.digest,
    )


def _untrusted_error(root: Path, journal: Journal) -> UntrustedJournalError:
    command = f"imseek duplicates undo {journal.undo_id} -c {shlex.quote(str(root))}"
    return UntrustedJournalError(
        f"the journal {journal.undo_id} was written by another user, on another machine or by an earlier imseek: "
        "it is not obeyed unasked",
        hint=f"look at what it would do ({command}); if that is right: {command} --yes --trust-journal",
    )


def foreign_journal(root: Path, undo_id: str | None = None) -> ForeignJournal | None:
    """Return what :func:`undo` would ask ``trust`` about; None if this user's imseek wrote the journal.

    Raises as :func:`undo`, and UntrustedCollectionError before anyone is asked about a journal in such a collection.
    """
    journal = _select_journal(root, undo_id)
    if journal.is_signed:
        return None
    check_trusted(root, "writing to it")
    return _describe(root, journal)


def _select_journal(root: Path, undo_id: str | None) -> Journal:
    if undo_id is not None:
        return journals.find(root, undo_id)
    all_journals = journals.load_journals(root)
    for journal in all_journals:
        if AWAY_STATES & set(journal.states.values()):
            return journal
    damage = [
        note for journal in all_journals if journal.damaged or not journal.is_whole for note in journal.info().notes
    ]
    raise UsageError("; ".join(["there is nothing to undo", *damage]), hint="imseek duplicates undo --list")


@dataclass(frozen=True, slots=True)
class _Result:
    """Result for one file. ``back`` is None if the file was left alone, for this ``reason``."""

    intent: Intent
    back: RevertResult | None
    reason: str = ""
    gone: bool = False
    other: bool = False


class _Run:
    """One run of undo, dry or real."""

    def __init__(self, root: Path, journal: Journal, task: Task) -> None:
        self._root = root
        self._journal = journal
        self._task = task
        self._notes: list[str] = list(journal.info().notes)
        self._bounds = UndoBounds(root, live_sources(root))
        # Latest first.
        self._intents = [
            intent
            for n, intent in sorted(journal.intents.items(), reverse=True)
            if journal.states[n] in _UNDOABLE_STATES
        ]
        self._before = dict(journal.states)
        self._count = 0

    def report(self, generation: int, files: Sequence[UndoneFile], *, dry: bool = True) -> UndoReport:
        return UndoReport(
            dry,
            self._journal.undo_id,
            generation,
            tuple(files),
            tuple(self._notes),
            self._task.is_cancelled,
            len(self._journal.damaged),
        )

    def dry(self) -> list[UndoneFile]:
        results = self._results(self._intents, safe_path.UnsyncedFolders(), dry_run=True)
        return [_undone_file(result, "would") for result in results]

    def execute(self, writer: Writer) -> list[UndoneFile]:
        files: list[UndoneFile] = []
        states = self._journal.states
        for start in range(0, len(self._intents), BATCH):
            if self._task.is_cancelled:
                break
            batch = self._intents[start : start + BATCH]
            # A copy found at a place later is then known to be ours, not someone else's.
            returning: dict[int, State] = {i.n: "returning" for i in batch if states[i.n] == "done"}
            self._journal.note(returning)
            with translate_os_errors(self._root), safe_path.UnsyncedFolders() as unsynced:
                results = list(self._results(batch, unsynced, dry_run=False))
            self._record(writer, results)
            files += [_undone_file(result, "done") for result in results]
        return files

    def _results(
        self, intents: Sequence[Intent], unsynced: safe_path.UnsyncedFolders, *, dry_run: bool
    ) -> Iterator[_Result]:
        for recorded in intents:
            if self._task.is_cancelled:
                return
            intent = recorded
            try:
                intent, spot = self._bounds.locate(self._journal, recorded)
                yield _Result(intent, self._revert(intent, spot, unsynced, dry_run))
            except GoneError as error:
                yield _Result(intent, None, str(error), gone=True, other=error.other)
            except LeftAloneError as error:
                yield _Result(intent, None, str(error))
            self._count += 1
            self._task.report("undo", self._count, len(self._intents))

    def _revert(
        self, intent: Intent, spot: safe_path.SafePath, unsynced: safe_path.UnsyncedFolders, dry_run: bool
    ) -> RevertResult:
        before = self._before[intent.n]
        return revert_file(self._journal, intent, spot, before, lambda: self._copies, unsynced, dry_run=dry_run)

    @cached_property
    def _copies(self) -> Mapping[tuple[int, bytes], Set[int]]:
        return journals.copied_inodes(self._root)

    def _record(self, writer: Writer, results: Sequence[_Result]) -> None:
        """Record the files that are back, in the catalog first and then in the journal."""
        restored = [result.intent for result in results if result.back is not None]
        images = look_up_images(self._root, sorted({intent.image_id for intent in restored}))
        commit(writer, self._batch(restored, images))
        states = self._journal.states
        # If another file took its place, the next scan finds out what happened to the image.
        displaced_ids = [r.intent.image_id for r in results if r.other and r.intent.action in MOVE_ACTIONS]
        quarantined_duplicates.apply_change(
            writer, replace(metadata_transfer.reversal_change(writer, restored, self._journal), kept=displaced_ids)
        )
        outcomes: dict[int, State] = {intent.n: "undone" for intent in restored}
        outcomes |= {r.intent.n: "gone" for r in results if r.gone and states[r.intent.n] != "gone"}
        # Whatever is at their places, now or later, is not ours.
        left_alone = (r.intent.n for r in results if r.back is None and not r.gone)
        outcomes |= {n: "done" for n in left_alone if states[n] == "returning"}
        self._journal.note(outcomes)
        for intent in restored:
            remove_empty_quarantine(intent)

    def _batch(self, restored: Sequence[Intent], images: Mapping[int, CatalogImage]) -> Changeset:
        """Return the catalog changes for images whose files are at their places again, with their current stat."""
        changes = Changeset()
        files = [intent for intent in restored if intent.action in MOVE_ACTIONS or intent.action in LINK_ACTIONS]
        occupants_by_place = occupants(self._root, [(i.source_id, i.path) for i in files])
        for placing in current_placings(files):
            image = images.get(placing.image_id)
            occupant = occupants_by_place.get((placing.source_id, placing.path))
            if image is None:
                self._notes.append(
                    f"image {placing.image_id} has left the collection: `imseek index` takes its file in anew"
                )
            elif occupant == placing.image_id:
                changes.checked.append(placing)
            elif image.source_id is None:
                # Another file had its place and has left it: the image of that file is now waiting to be found
                # elsewhere.
                changes.moved.append(
                    Placement(placing.image_id, placing.source_id, placing.path, placing.stat, replaces=occupant)
                )
        return changes


def _undone_file(result: _Result, outcome_if_moved: Outcome) -> UndoneFile:
    intent = result.intent
    if result.back is None:
        return UndoneFile(intent.image_id, intent.full, intent.action, "left", result.reason)
    outcome: Outcome = outcome_if_moved if result.back.moved else "already"
    return UndoneFile(intent.image_id, intent.full, intent.action, outcome, result.back.note)
