"""What this process knows of the duplicates of a collection: the search, its answer, decisions, and work on files.

It is kept by collection, not by page: so it survives reloads, and several tabs see the same.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast, get_args

from imseek import duplicates
from imseek.curate.actions.plans import Plan
from imseek.curate.candidates.candidate_limit import LOOKS
from imseek.data.current_file import read_current, read_identity
from imseek.errors import ImseekError, UsageError
from imseek.home import home
from imseek.types import (
    Action,
    ApplyReport,
    DuplicateKind,
    DuplicateReport,
    KeepRule,
    UndoReport,
)
from imseek.ui.web.background import Task
from imseek.ui.web.hub import hub
from imseek.ui.web.pages.duplicates.kept import Kept
from imseek.ui.web.pages.duplicates.review import chosen

#: Seconds that a page may wait for work that is mostly short, before it shows that there is some.
_MOMENT: Final = 0.5
_RULES: Final = get_args(KeepRule)


@dataclass(frozen=True, slots=True)
class Asked:
    """What is looked for; see :func:`imseek.duplicates.find`. Folders as they were typed; ``against`` is the name of a
    collection, "" for none."""

    kinds: tuple[DuplicateKind, ...] = ("exact", "same")
    keep: KeepRule = "best"
    prefer: tuple[str, ...] = ()
    protect: tuple[str, ...] = ()
    where: str = ""
    looks: int = LOOKS
    against: str = ""

    def to_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Asked:
        """From what :meth:`to_json` has made, perhaps of another version: what is not understood is left out."""
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
        """Raises UsageError for folders that are not there: a name with a mistake in it would protect nothing."""
        for folder in (*self.prefer, *self.protect):
            path = Path(folder).expanduser()
            if not path.is_absolute():
                raise UsageError(f"{folder} is no full path", hint="name folders from / or ~ on")
            if not path.is_dir():
                raise UsageError(f"there is no folder {folder}", hint="one folder a line")


class Desk:
    """``report`` is what was found last, ``asked`` what for. ``on_file`` is what is being done, or was done last, to
    files."""

    def __init__(self, root: Path, kept: Path) -> None:
        self.root = root
        self.kept = Kept(root, kept, self._judged)
        self.asked = Asked.of(self.kept.settings)
        self.finding: Task[DuplicateReport] | None = None
        self.report: DuplicateReport | None = None
        self.checking: Task[ApplyReport] | None = None
        self.planned: Plan | None = None
        self.applying: Task[ApplyReport] | None = None
        self.recalling: Task[UndoReport] | None = None
        self._seen = -1
        self._against = ""
        self._moving = False
        self._made: tuple[DuplicateReport, tuple[object, ...], Plan] | None = None
        # Pages of several tabs may ask for the same at once.
        self._beginning = threading.Lock()

    def find(self, asked: Asked) -> None:
        """Begin to look. Raises UsageError."""
        asked.check()
        against = _path_of(asked.against)

        def work(task: Task[DuplicateReport]) -> DuplicateReport:
            return duplicates.find(
                self.root,
                kinds=asked.kinds,
                keep=asked.keep,
                prefer=asked.prefer,
                protect=asked.protect,
                against=against,
                where=asked.where or None,
                looks=asked.looks,
                progress=task.tell,
                stop=task.stop_asked,
            )

        with self._beginning:
            if self.finding is not None and self.finding.running:
                return
            self.asked = asked
            self.kept.set_up(asked.to_json())
            self.planned = self.checking = None
            self.finding = Task("looking for duplicates", work)

    def follow(self) -> None:
        """Once files were moved, look for the same anew: most of it was kept, so that it is quick."""
        if not self._moving or self.at_work:
            return
        self._moving = False
        if self.outdated:
            with suppress(ImseekError):  # A folder that has gone: the form tells.
                self.find(self.asked)
                self.wait()

    def wait(self) -> None:
        """A moment for short searches, whose progress need not be shown."""
        task = self.finding
        if task is not None:  # Another page may take its answer meanwhile.
            task.wait(_MOMENT)

    def take(self) -> None:
        """Take the answer of a search that has ended. Raises what it ended with, once."""
        task = self.finding
        if task is None or task.running:
            return
        self.finding = None
        if task.stopped:
            return
        report = task.result()
        self.report, self._seen = report, report.generation
        self._against = self.asked.against

    def names(self, name: str) -> Callable[[str], str | None]:
        """Gives the names of the collections of a report by their UUIDs; ``name`` is that of this one."""
        report = self.report
        known = {} if report is None else {report.collection: name, report.against or "": self._against}
        return lambda uuid: known.get(uuid)

    def images(self) -> int:
        """How many pictures there are now. Raises CorruptCollectionError and others."""
        return read_current(self.root).images

    @property
    def outdated(self) -> bool:
        """Whether the collection has changed since, beside by what was judged here."""
        if self.report is None or self.kept.storing:  # Of that, it is told in a moment.
            return False
        return read_current(self.root).generation != self._seen

    def _judged(self, before: int, after: int) -> None:
        if before == self._seen:
            self._seen = after

    def plan(
        self,
        report: DuplicateReport,
        suggested: tuple[DuplicateKind, ...],
        action: Action,
        to: str | None,
        tag: str,
    ) -> Plan:
        """What is to be done by the decisions; made anew only where something of it has changed. Raises UsageError."""
        generation = read_current(self.root).generation
        protect = self.asked.protect
        asked = (self.kept.version, generation, suggested, action, to, tag, protect)
        made = self._made
        if made is None or made[0] is not report or made[1] != asked:
            wanted = chosen(report, self.kept.states, suggested)
            plan = duplicates.plan(self.root, wanted, action, to=to, tag=tag, protect=protect)
            made = self._made = report, asked, plan
        return made[2]

    # -- files -----------------------------------------------------------------------------------------

    @property
    def at_work(self) -> bool:
        """Whether files are being moved now."""
        return any(task is not None and task.running for task in (self.applying, self.recalling))

    def check(self, plan: Plan) -> None:
        """Begin to read all files of a plan, and to tell what would be done."""
        if self.checking is not None:
            self.checking.stop()
        self.planned = plan
        checking = self.checking = Task(
            "checking files",
            lambda task: duplicates.apply(self.root, plan, progress=task.tell, stop=task.stop_asked),
        )
        checking.wait(_MOMENT)

    def apply(self, plan: Plan) -> None:
        """Begin to do what a plan says."""
        with self._beginning:
            if self.at_work:
                return
            task = self.applying = Task(
                "acting on files",
                lambda task: duplicates.apply(
                    self.root, plan, dry_run=False, progress=task.tell, stop=task.stop_asked
                ),
            )
            self.planned = self.checking = None
            self._moving = True
        task.wait(_MOMENT)

    def undo(self, undo_id: str) -> None:
        """Begin to bring back."""
        with self._beginning:
            if self.at_work:
                return
            task = self.recalling = Task(
                "bringing files back",
                lambda task: duplicates.undo(
                    self.root, undo_id, dry_run=False, progress=task.tell, stop=task.stop_asked
                ),
            )
            self._moving = True
        task.wait(_MOMENT)


def _path_of(name: str) -> Path | None:
    """Raises UsageError."""
    if not name:
        return None
    for one in hub().collections():
        if one.name == name:
            return one.path
    raise UsageError(f"there is no collection {name!r} any more", hint="choose another one")


_desks: dict[tuple[str, str], Desk] = {}
_lock = threading.Lock()


def desk(root: Path) -> Desk:
    """That of a collection, whatever it is called."""
    uuid = read_identity(root).uuid
    with _lock:
        key = (str(root), uuid)
        if key not in _desks:
            kept = home(os.environ) / "ui" / "duplicates" / f"{uuid}.json"
            _desks[key] = Desk(root, kept)
        return _desks[key]
