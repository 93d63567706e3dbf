"""Carry out a plan such that, whatever happens on the way, every file survives and can be brought back.

Files are processed in batches: all are read and compared with the plan; the intended actions are written durably to the
journal; one catalog commit marks their images as quarantined; then each file is read once more and moved; then the
outcomes are written to the journal. After an interruption at any point, the same plan resumes, and ``undo`` brings back
what was done: both look for each file on disk and identify it by its bytes.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Final, cast

from imseek.data.catalog import quarantined_duplicates
from imseek.data.catalog.changeset import Changeset
from imseek.data.catalog.quarantined_duplicates import QuarantineChange, live_sources, look_up_images
from imseek.data.current_generation import read_current
from imseek.data.files.system_errors import translate_os_errors
from imseek.data.reader import Reader
from imseek.data.shards import metadata_columns
from imseek.data.user_files import safe_path
from imseek.data.writing.commit import commit
from imseek.data.writing.writer import Writer
from imseek.data.writing.writer_wait import open_writer
from imseek.duplicates.action_results import Action, AppliedFile, ApplyReport, Outcome
from imseek.duplicates.actions import execute, metadata_transfer
from imseek.duplicates.actions import journal as journals
from imseek.duplicates.actions.intent_builder import IntentBuilder, PlanItem
from imseek.duplicates.actions.journal import Journal
from imseek.duplicates.actions.journal_records import Intent, State
from imseek.duplicates.actions.plan_scope_check import check_plan
from imseek.duplicates.actions.plans import LINK_ACTIONS, MOVE_ACTIONS, Plan, size_of
from imseek.duplicates.actions.precheck import (
    AlreadyDoneError,
    CheckedFile,
    LeftAloneError,
    Prechecker,
    current_placings,
    translate_errors,
)
from imseek.duplicates.results import count_by_confidence
from imseek.progress import ProgressCallback, Task
from imseek.tilde_expansion import expand_user

#: Number of files that share one journal write and one catalog commit.
BATCH: Final = 256


def apply(
    collection: str | os.PathLike[str] | Writer,
    plan: Plan,
    dry_run: bool = True,
    progress: ProgressCallback | None = None,
    stop: threading.Event | None = None,
) -> ApplyReport:
    """Carry out a plan, or with ``dry_run`` check every file and report what would be done.

    ``collection`` is its folder, or a writer of it. Files that have changed or gone since the plan was made are left
    alone, as are those whose keeper has. Each file and its keeper are read just before the file is touched. If an
    earlier call with this plan was interrupted, this call resumes it; setting ``stop`` ends it between two files.

    Raises PlanError for a plan that cannot be trusted, before anything is touched; CollectionNotFoundError; LockedError
    if another writer does not finish within half a minute; ReadOnlyError; and StorageError if the disk of the
    collection is full or fails: what was done is in the journal.
    """
    root = collection.root if isinstance(collection, Writer) else expand_user(collection).absolute()
    check_plan(root, plan)
    task = Task(progress, stop, interval=0)
    if dry_run:
        return _Run(root, plan, task).dry()
    if isinstance(collection, Writer):
        return _Run(root, plan, task).execute(collection)
    with open_writer(root, "apply") as writer:
        return _Run(root, plan, writer.begin_task(progress, stop)).execute(writer)


class _Run:
    """One run of a plan, dry or real."""

    def __init__(self, root: Path, plan: Plan, task: Task) -> None:
        self._root = root
        self._plan = plan
        self._task = task
        self._files: list[AppliedFile] = []
        self._freed = 0
        self._confidence_sizes: list[tuple[float, int]] = []
        #: By inode: how many of its names were processed, and how many it had at most.
        self._names: dict[tuple[int, int], tuple[int, int]] = {}
        self._left_alone = 0
        self._untraceable = 0
        self._bytes_read = 0
        self._builder = IntentBuilder(root, plan)
        items: list[PlanItem] = []
        for group in plan.groups:
            items += [PlanItem(n, file, group.keeper) for n, file in enumerate(group.files, start=len(items))]
        self._items = [item for item in items if item.file.action != "keep"]

    # -- dry -------------------------------------------------------------------------------------------

    def dry(self) -> ApplyReport:
        for prechecker, item in self._iterate_items():
            try:
                checked = self._check(prechecker, item)
            except LeftAloneError as error:
                self._report_left_alone(item, error)
                continue
            if checked is None:
                self._files.append(_acted_file(item, "already"))
            else:
                self._report_acted(item, "would", checked.content.info, self._builder.preview_target(item, checked))
            self._report_progress()
        notes = () if self._find_unfinished() is None else ("an earlier run of this plan was cut short: it goes on",)
        return self._report(None, read_current(self._root).generation, notes, dry=True)

    def _iterate_items(self) -> Iterator[tuple[Prechecker, PlanItem]]:
        for batch in _batches(self._items):
            prechecker = self._make_prechecker(batch)
            for item in batch:
                if self._task.is_cancelled:
                    return
                yield prechecker, item

    # -- real ------------------------------------------------------------------------------------------

    def execute(self, writer: Writer) -> ApplyReport:
        self._writer = writer
        unfinished = self._find_unfinished()
        self._journal = unfinished
        notes: tuple[str, ...] = ()
        if unfinished is not None:
            notes = ("an earlier run of this plan was cut short: this one went on with it",)
        for batch in _batches(self._items):
            if self._task.is_cancelled:
                break
            self._process_batch(batch)
        if self._journal is not None and not self._task.is_cancelled:
            self._journal.end()
        undo_id = None if self._journal is None else self._journal.undo_id
        if self._untraceable:
            notes += (
                f"the trash does not tell where it has put {self._untraceable} of them: only you can take them out",
            )
        return self._report(undo_id, writer.generation, notes, dry=False)

    def _find_unfinished(self) -> Journal | None:
        """Return the unfinished journal of an earlier run of this plan by this user, if there is one."""
        digest = self._plan.digest
        for journal in journals.load_journals(self._root):
            if journal.is_signed and journal.plan == digest and journal.state == "unfinished":
                return journal
        return None

    def _process_batch(self, batch: Sequence[PlanItem]) -> None:
        prechecker = self._make_prechecker(batch)
        ready: list[tuple[PlanItem, CheckedFile]] = []
        settled: list[PlanItem] = []
        for item in batch:
            try:
                if self._is_settled(prechecker, item):
                    settled.append(item)
                elif (checked := self._check(prechecker, item)) is not None:
                    ready.append((item, checked))
                else:
                    self._files.append(_acted_file(item, "already"))
            except LeftAloneError as error:
                self._report_left_alone(item, error)
        if settled:
            self._record_settled(settled)
        if ready:
            self._act_on_batch(prechecker, ready)

    def _is_settled(self, prechecker: Prechecker, item: PlanItem) -> bool:
        """Return whether an earlier run did this, after completing an action that was interrupted."""
        journal = self._journal
        if journal is None or (intent := journal.intents.get(item.n)) is None:
            return False
        match journal.states[item.n]:
            case "done" if intent.action in MOVE_ACTIONS:
                return prechecker.is_absent(item.file)  # Otherwise someone has put it back.
            case "done":
                return intent.action != "hard-link"  # The keeper check tells whether it still is one.
            case "meant":
                return execute.finish_interrupted(journal, intent, prechecker.spot(item.file))
        return False

    def _record_settled(self, items: Sequence[PlanItem]) -> None:
        """Record in the catalog and journal what an earlier run did but may not have recorded."""
        journal = cast(Journal, self._journal)
        intents = [journal.intents[item.n] for item in items]
        quarantined_duplicates.apply_change(self._writer, self._change(intents))
        self._refresh([i for i in intents if i.action in LINK_ACTIONS])
        journal.note({item.n: "done" for item in items if journal.states[item.n] != "done"})
        for item in items:
            intent = journal.intents[item.n]
            to = intent.to or journal.trashed.get(item.n)
            self._files.append(_acted_file(item, "already", to=to))

    def _act_on_batch(self, prechecker: Prechecker, ready: Sequence[tuple[PlanItem, CheckedFile]]) -> None:
        if self._journal is None:
            self._journal = journals.begin(self._root, self._writer.staging, self._plan.digest)
        journal = self._journal
        intents, refused = self._builder.intents(self._writer, journal.undo_id, ready)
        for item, error in refused:
            self._report_left_alone(item, error)
        journal.record_intents(intents.values())
        quarantined_duplicates.apply_change(self._writer, self._change(list(intents.values())))
        states: dict[int, State] = dict.fromkeys(intents, "left")
        with translate_os_errors(self._root), safe_path.UnsyncedFolders() as unsynced:
            for item, checked in ready:
                if item.n not in intents or self._task.is_cancelled:
                    continue
                intent = intents[item.n]
                try:
                    to = self._act_on_file(prechecker, item, intent, checked, unsynced)
                except LeftAloneError as error:
                    # If the disk failed half-way, the outcome is unknown: the next run, or undo, finds out.
                    is_touched = execute.is_touched(journal, intent, checked.spot)
                    if is_touched:
                        states[item.n] = "meant"
                    self._report_left_alone(item, error)
                else:
                    states[item.n] = "done"
                    self._untraceable += intent.action == "trash" and to is None
                    self._report_acted(item, "done", checked.content.info, to)
                self._report_progress()
        unmoved = [intent for n, intent in intents.items() if states[n] == "left"]
        if unmoved:
            self._roll_back(journal, unmoved)
        self._refresh([i for n, i in intents.items() if states[n] == "done" and i.action in LINK_ACTIONS])
        journal.note({n: state for n, state in states.items() if state != "meant"})

    def _act_on_file(
        self,
        prechecker: Prechecker,
        item: PlanItem,
        intent: Intent,
        checked: CheckedFile,
        unsynced: safe_path.UnsyncedFolders,
    ) -> bytes | None:
        if intent.action == "tag":
            return None
        with translate_errors(), safe_path.open_parent(checked.spot) as at:
            content = prechecker.check(at, intent.content_hash)
        prechecker.verify_keeper(item.keeper, content, item.file)
        self._bytes_read += content.info.st_size
        return execute.execute_intent(cast(Journal, self._journal), intent, checked.spot, content, unsynced)

    def _roll_back(self, journal: Journal, intents: Sequence[Intent]) -> None:
        """Undo the catalog changes for files that were not moved: make their images live again, remove inherited
        metadata."""
        revived_ids = [intent.image_id for intent in intents if intent.action in MOVE_ACTIONS]
        quarantined_duplicates.apply_change(
            self._writer,
            replace(metadata_transfer.reversal_change(self._writer, intents, journal), kept=revived_ids),
        )

    def _change(self, intents: Sequence[Intent]) -> QuarantineChange:
        transfer = metadata_transfer.transfer_change(self._writer, intents, cast(Journal, self._journal).undo_id)
        moved_ids = [intent.image_id for intent in intents if intent.action in MOVE_ACTIONS]
        return replace(transfer, put_away=moved_ids)

    def _refresh(self, intents: Sequence[Intent]) -> None:
        """Record the new inodes and times of replaced files, so that the next scan need not read them."""
        commit(self._writer, Changeset(checked=list(current_placings(intents))))

    # -- checking and reporting ------------------------------------------------------------------------

    def _make_prechecker(self, batch: Sequence[PlanItem]) -> Prechecker:
        ids = {item.file.image_id for item in batch}
        ids |= {item.keeper.image_id for item in batch if item.keeper.collection is None}
        return Prechecker(live_sources(self._root), look_up_images(self._root, sorted(ids)), self._tagged_ids)

    @cached_property
    def _tagged_ids(self) -> frozenset[int]:
        """Images that already have the plan's tag, if the plan adds one. It cannot change while the writer lock is
        held."""
        if all(item.file.action != "tag" for item in self._items):
            return frozenset()
        with closing(Reader(self._root)) as reader:
            return frozenset(metadata_columns.ids_with_tag(reader, self._plan.tag).tolist())

    def _check(self, prechecker: Prechecker, item: PlanItem) -> CheckedFile | None:
        """Check a file before acting on it; None if the action is already done. Raises LeftAloneError."""
        if prechecker.is_already_done(item.file):
            return None
        checked = prechecker.ready(item.file, item.keeper)
        self._bytes_read += checked.content.info.st_size
        return checked

    def _report_left_alone(self, item: PlanItem, error: LeftAloneError) -> None:
        outcome: Outcome = "already" if isinstance(error, AlreadyDoneError) else "left"
        self._files.append(_acted_file(item, outcome, reason=str(error)))
        self._left_alone += outcome == "left"

    def _report_acted(self, item: PlanItem, outcome: Outcome, info: os.stat_result, to: bytes | None = None) -> None:
        self._files.append(_acted_file(item, outcome, to=to))
        if item.file.confidence is not None:
            self._confidence_sizes.append((item.file.confidence, 0 if item.file.is_link else info.st_size))
        if item.file.action != "tag":
            inode = info.st_dev, info.st_ino
            count, link_count = self._names.get(inode, (0, 0))
            count, link_count = self._names[inode] = count + 1, max(link_count, info.st_nlink)
            if count == link_count:
                self._freed += info.st_size

    def _report_progress(self) -> None:
        count, total = len(self._files), len(self._items)
        self._task.report("apply", count, total, skipped=self._left_alone, bytes_read=self._bytes_read)

    def _report(self, undo_id: str | None, generation: int, notes: tuple[str, ...], *, dry: bool) -> ApplyReport:
        return ApplyReport(
            dry,
            undo_id,
            generation,
            tuple(self._files),
            self._freed,
            notes,
            self._task.is_cancelled,
            count_by_confidence(self._confidence_sizes),
        )


def _acted_file(item: PlanItem, outcome: Outcome, to: bytes | None = None, reason: str = "") -> AppliedFile:
    file = item.file
    action = cast(Action, file.action)
    return AppliedFile(file.image_id, file.path, action, outcome, to, reason, size_of(file))


def _batches(items: Sequence[PlanItem]) -> Iterator[Sequence[PlanItem]]:
    iterator = iter(items)
    while batch := list(islice(iterator, BATCH)):
        yield batch
