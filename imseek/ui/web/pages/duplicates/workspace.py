"""State of the duplicates page for one collection: the search, its report, decisions, and tasks on files.

It is kept by collection, not by page, so it survives reloads, and several tabs share it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any, Final, cast, get_args

import imseek
from imseek import duplicates
from imseek.duplicates import DEFAULT_LOOKS, Plan
from imseek.duplicates.action_results import Action, ApplyReport, UndoReport
from imseek.duplicates.results import DuplicateGroup, DuplicateKind, DuplicateReport, KeepRule
from imseek.errors import ImseekError, UsageError
from imseek.home import home
from imseek.library import uuid_of
from imseek.overview import read_state
from imseek.tilde_expansion import expand_user
from imseek.ui.web.app_state import current_app
from imseek.ui.web.background import BackgroundTask
from imseek.ui.web.pages.duplicates.decision_store import DecisionStore
from imseek.ui.web.pages.duplicates.decisions import Key, apply_decisions, key_of

#: Seconds to wait for short tasks before showing their progress.
_SHORT_WAIT: Final = 0.5
_RULES: Final = get_args(KeepRule)


@dataclass(frozen=True, slots=True)
class FindOptions:
    """Options of a search for duplicates; see :func:`imseek.duplicates.find`.

    Folders are as typed; ``against`` is the name of a collection, "" for none.
    """

    kinds: tuple[DuplicateKind, ...] = ("exact", "same")
    keep: KeepRule = "best"
    prefer: tuple[str, ...] = ()
    protect: tuple[str, ...] = ()
    where: str = ""
    looks: int = DEFAULT_LOOKS
    against: str = ""

    def to_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> FindOptions:
        """Load from the result of :meth:`to_json`, perhaps of another version: unknown members are left out."""
        usual = cls()
        kinds = tuple(kind for kind in duplicates.KINDS if kind in (stored.get("kinds") or ()))
        keep, looks = stored.get("keep"), stored.get("looks")
        return cls(
            kinds or usual.kinds,
            cast(KeepRule, keep) if keep in _RULES else usual.keep,
            tuple(map(str, stored.get("prefer") or ())),
            tuple(map(str, stored.get("protect") or ())),
            str(stored.get("where") or ""),
            looks if isinstance(looks, int) and looks >= 0 else usual.looks,
            str(stored.get("against") or ""),
        )

    def check(self) -> None:
        """Raise UsageError for missing folders: a misspelt name would protect nothing."""
        for folder in (*self.prefer, *self.protect):
            path = expand_user(folder)
            if not path.is_absolute():
                raise UsageError(f"{folder} is not a full path", hint="name folders from / or ~ on")
            if not path.is_dir():
                raise UsageError(f"there is no folder {folder}", hint="name one folder per line")


class Workspace:
    """State of one collection: ``report`` is the latest result, ``options`` those of its search, with ``decisions``.

    While a first search is running, ``report`` has the groups found so far. Tasks on files are ``checking``,
    ``applying`` and ``recalling``.
    """

    def __init__(self, root: Path, file: Path) -> None:
        self.root = root
        self.decisions = DecisionStore(root, file, self._note_judgements)
        self.options = FindOptions.of(self.decisions.settings)
        self.finding: BackgroundTask[DuplicateReport] | None = None
        #: The last result of a search, as it was.
        self._result: DuplicateReport | None = None
        self._groups_so_far: list[DuplicateGroup] = []
        self.checking: BackgroundTask[ApplyReport] | None = None
        self.planned: Plan | None = None
        self.applying: BackgroundTask[ApplyReport] | None = None
        self.recalling: BackgroundTask[UndoReport] | None = None
        self._so_far: DuplicateReport | None = None
        self._present: frozenset[int] | None = None
        self._present_report: tuple[DuplicateReport, frozenset[int], DuplicateReport] | None = None
        self._generation = -1
        self._against = ""
        self._moving = False
        self._numbers: dict[Key, int] = {}
        self._next_number = count()
        self._plan_cache: tuple[DuplicateReport, tuple[object, ...], Plan] | None = None
        # Several tabs may start the same task at once.
        self._beginning = threading.Lock()

    def find(self, options: FindOptions) -> None:
        """Start a search. Raises UsageError."""
        options.check()
        against = _path_of(options.against)

        groups: list[DuplicateGroup] = []

        def work(task: BackgroundTask[DuplicateReport]) -> DuplicateReport:
            return duplicates.find(
                self.root,
                kinds=options.kinds,
                keep=options.keep,
                prefer=options.prefer,
                protect=options.protect,
                against=against,
                where=options.where or None,
                looks=options.looks,
                on_group=groups.append,
                progress=task.tell,
                stop=task.stop_event,
            )

        with self._beginning:
            if self.finding is not None and self.finding.running:
                return
            self.options = options
            self.decisions.save_settings(options.to_json())
            self.planned = self.checking = None
            self._groups_so_far, self._so_far = groups, None
            self.finding = BackgroundTask("looking for duplicates", work)

    def follow(self) -> None:
        """Bring the report up to date after files were moved: repeat the search, which is mostly cached.

        A search that was stopped is not started again: what is gone is left out of its report.
        """
        searching = self.finding is not None and self.finding.running
        if not self._moving or self.is_moving_files or searching or self.decisions.is_storing:
            return
        self._moving = False
        if self._result is not None and self._result.interrupted:
            self._present = self._ids_present(self._result)
        elif self.is_outdated:
            with suppress(ImseekError):  # A folder that has gone; the form reports it.
                self.find(self.options)
                self.wait()

    def _ids_present(self, report: DuplicateReport) -> frozenset[int] | None:
        """Return the ids of this collection's images that are in the report and still exist."""
        ids = [one.image_id for group in report.groups for one in group.members if one.collection == report.collection]
        with suppress(ImseekError), imseek.open(self.root) as collection:
            return frozenset(collection.get_many(ids))
        return None

    @property
    def report(self) -> DuplicateReport | None:
        """The latest result, without images whose files have been moved since; during a first search, the groups so
        far. None before that."""
        result = self._result
        if result is None:
            return self._report_so_far()
        present = self._present
        if present is None:
            return result
        if (
            self._present_report is None
            or self._present_report[0] is not result
            or self._present_report[1] is not present
        ):
            self._present_report = result, present, _without_missing(result, present)
        return self._present_report[2]

    def number_of(self, group: DuplicateGroup) -> int:
        """Return the number of a group, the same in every report that has the group."""
        return self._numbers.setdefault(key_of(group), next(self._next_number))

    @property
    def group_count(self) -> int:
        """The number of groups that the running search has found so far."""
        return len(self._groups_so_far)

    def _report_so_far(self) -> DuplicateReport | None:
        groups = self._groups_so_far[:]
        if not groups:
            return None
        if self._so_far is None or len(self._so_far.groups) != len(groups):
            state = read_state(self.root)
            self._so_far = DuplicateReport(state.uuid, state.generation, state.images, tuple(groups))
        return self._so_far

    def wait(self) -> None:
        """Wait a moment for short searches, whose progress need not be shown."""
        task = self.finding
        if task is not None:  # Another tab may take the result meanwhile.
            task.wait(_SHORT_WAIT)

    def take(self) -> None:
        """Take the report of a search that has ended. Raises its error, once."""
        task = self.finding
        if task is None or task.running:
            return
        self.finding, self._groups_so_far = None, []
        if task.stopped:
            return
        report = task.result()
        self._result, self._present, self._generation = report, None, report.generation
        self._against = self.options.against

    def names(self, name: str) -> Callable[[str], str | None]:
        """Return a function from the UUID of a collection in the report to its name; ``name`` is that of this one."""
        report = self.report
        names_by_uuid = {} if report is None else {report.collection: name, report.against or "": self._against}
        return lambda uuid: names_by_uuid.get(uuid)

    def images(self) -> int:
        """Return the number of images now. Raises CorruptCollectionError and others."""
        return read_state(self.root).images

    @property
    def is_outdated(self) -> bool:
        """Whether the collection has changed since the search, other than by judgements from here."""
        if self._result is None or self.decisions.is_storing:  # Its commit is reported in a moment.
            return False
        return read_state(self.root).generation != self._generation

    def _note_judgements(self, before: int, after: int) -> None:
        if before == self._generation:
            self._generation = after

    def plan(
        self,
        report: DuplicateReport,
        suggested: tuple[DuplicateKind, ...],
        action: Action,
        to: str | None,
        tag: str,
    ) -> Plan:
        """Return the plan for the decisions, recomputed only if something has changed. Raises UsageError."""
        generation = read_state(self.root).generation
        protect = self.options.protect
        key = (self.decisions.version, generation, suggested, action, to, tag, protect)
        cached = self._plan_cache
        if cached is None or cached[0] is not report or cached[1] != key:
            chosen_groups = apply_decisions(report, self.decisions.states, suggested)
            # What was decided needs no confidence.
            plan = duplicates.plan(self.root, chosen_groups, action, to=to, tag=tag, protect=protect, at_least=0)
            cached = self._plan_cache = report, key, plan
        return cached[2]

    # -- files -----------------------------------------------------------------------------------------

    @property
    def is_moving_files(self) -> bool:
        """Whether files are being moved now."""
        return any(task is not None and task.running for task in (self.applying, self.recalling))

    def check(self, plan: Plan) -> None:
        """Start to read all files of a plan, without changing them."""
        if self.checking is not None:
            self.checking.stop()
        self.planned = plan
        checking = self.checking = BackgroundTask(
            "checking files",
            lambda task: duplicates.apply(self.root, plan, progress=task.tell, stop=task.stop_event),
        )
        checking.wait(_SHORT_WAIT)

    def apply(self, plan: Plan) -> None:
        """Start to carry out a plan."""
        with self._beginning:
            if self.is_moving_files:
                return
            task = self.applying = BackgroundTask(
                "acting on files",
                lambda task: duplicates.apply(self.root, plan, dry_run=False, progress=task.tell, stop=task.stop_event),
            )
            self.planned = self.checking = None
            self._moving = True
        task.wait(_SHORT_WAIT)

    def undo(self, undo_id: str) -> None:
        """Start to bring files back."""
        with self._beginning:
            if self.is_moving_files:
                return
            task = self.recalling = BackgroundTask(
                "bringing files back",
                lambda task: duplicates.undo(
                    self.root, undo_id, dry_run=False, progress=task.tell, stop=task.stop_event
                ),
            )
            self._moving = True
        task.wait(_SHORT_WAIT)


def _without_missing(report: DuplicateReport, present: frozenset[int]) -> DuplicateReport:
    """Return the report without images of its collection that are not ``present``, and without groups of one."""
    groups = []
    for group in report.groups:
        members = tuple(one for one in group.members if one.collection != report.collection or one.image_id in present)
        if len(members) > 1 and members[0] is group.keeper:
            groups.append(replace(group, members=members))
        elif len(members) > 1:  # Another image becomes the keeper, and its pairs are unknown.
            keeper, *others = members
            groups.append(replace(group, members=(replace(keeper, pair=None), *others)))
    return replace(report, groups=tuple(groups))


def _path_of(name: str) -> Path | None:
    """Return the path of a collection by name, None for "". Raises UsageError."""
    if not name:
        return None
    for one in current_app().collections():
        if one.name == name:
            return one.path
    raise UsageError(f"there is no collection {name!r} any more", hint="choose another one")


_workspaces: dict[tuple[str, str], Workspace] = {}
_lock = threading.Lock()


def open_workspace(root: Path) -> Workspace:
    """Return the state of a collection, whatever its name."""
    uuid = uuid_of(root)
    with _lock:
        key = (str(root), uuid)
        if key not in _workspaces:
            file = home(os.environ) / "ui" / "duplicates" / f"{uuid}.json"
            _workspaces[key] = Workspace(root, file)
        return _workspaces[key]
