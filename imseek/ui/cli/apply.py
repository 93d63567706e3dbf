"""``imseek duplicates apply`` and ``undo``: carry out a plan on files, and revert it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, TypeAlias

import typer

from imseek import library
from imseek.duplicates.action_results import (
    AppliedFile,
    ApplyReport,
    ForeignJournal,
    Outcome,
    RefusedFile,
    UndoInfo,
    UndoneFile,
    UndoReport,
)
from imseek.errors import UsageError
from imseek.ui.cli import common_options as options
from imseek.ui.cli import confirmation_prompt
from imseek.ui.cli.collection_choice import resolve_collection
from imseek.ui.cli.command_classes import Group
from imseek.ui.cli.command_run import Run
from imseek.ui.cli.common_options import CollectionOption, JsonOption, rare
from imseek.ui.cli.output import say_collection
from imseek.ui.render.text import table
from imseek.ui.render.words import format_count, format_size, printable

if TYPE_CHECKING:
    from imseek.library import ResolvedCollection

YesOption: TypeAlias = Annotated[bool, options.yes("Make the changes. Without this, only show what would be done.")]
LimitOption: TypeAlias = Annotated[int, options.limit("How many files to show.")]
#: Outcomes of files that an action applies to.
_ACTED_OUTCOMES: Final = ("would", "done")
#: Folders listed before asking whether files may move there.
_MAX_FOLDERS: Final = 20
#: Actions done to a file, in words.
_ACTION_LABELS: Final[Mapping[str, str]] = {
    "tag": "tagged",
    "quarantine": "moved to quarantine",
    "trash": "moved to the trash",
    "hard-link": "replaced by a hard link",
    "reflink": "replaced by a reflink",
}


@dataclass(frozen=True, slots=True)
class UndoList:
    """What was done and can be undone."""

    undoable: tuple[UndoInfo, ...]
    """The newest first."""


app = Group()


@app.command("imseek duplicates apply plan.json", "imseek duplicates apply plan.json --yes")
def apply(
    plan: Annotated[Path, typer.Argument(metavar="PLAN", help="A plan written by `imseek duplicates find --plan`.")],
    yes: YesOption = False,
    limit: LimitOption = 20,
    collection: CollectionOption = None,
    as_json: JsonOption = False,
) -> int:
    """Carry out a plan, after reading every file again to make sure. Exits with 1 if some files had to be left
    alone."""
    from imseek import duplicates

    parsed_plan = duplicates.load_plan(plan)
    target = _find_plan_collection(parsed_plan.collection, collection)
    if not as_json:
        say_collection(target)
    run = Run(target, as_json)
    with run.work() as controls:
        report = duplicates.apply(run.path, parsed_plan, dry_run=not yes, **controls)
    notes = _end_notes(report, "what was done is kept and can be undone")
    run.finish(report, lambda: _apply_lines(report, parsed_plan.refused, limit), notes=notes)
    return _exit_code(report, run)


@app.command(
    "imseek duplicates undo --list", "imseek duplicates undo", "imseek duplicates undo 20260301-120000-1f2e3d --yes"
)
def undo(
    run: Run,
    undo_id: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="The id that `--list` shows (default: the newest).")
    ] = None,
    yes: YesOption = False,
    listed: Annotated[bool, options.list_("List what was done and can be undone.")] = False,
    trust_journal: Annotated[
        bool,
        rare(
            "--trust-journal",
            help="Follow a journal written by another user, another machine or an earlier imseek, without asking.",
        ),
    ] = False,
    limit: LimitOption = 20,
) -> int:
    """Undo what `imseek duplicates apply` moved or replaced. Exits with 1 if some files had to be left
    alone, or if the journal is damaged, so that it may not list every file."""
    from imseek import duplicates

    if listed and (undo_id is not None or yes or trust_journal):
        raise UsageError(
            "--list only lists, so other options have no effect",
            hint="leave out ID, --yes and --trust-journal",
        )
    if listed:
        entries = duplicates.undoable(run.path)
        return run.finish(UndoList(entries), lambda: [_journal_table(entries)])
    agreed = None
    if yes and not trust_journal and confirmation_prompt.can_ask():
        agreed = duplicates.foreign_journal(run.path, undo_id)
        if agreed is not None:
            confirmation_prompt.ask(_journal_facts(agreed), "Bring these files back?")
    with run.work() as controls:
        report = duplicates.undo(
            run.path,
            undo_id,
            dry_run=not yes,
            trust_journal=lambda journal: trust_journal or journal == agreed,
            **controls,
        )
    notes = _end_notes(report, "what was brought back stays")
    run.finish(report, lambda: _undo_lines(report, limit), notes=notes)
    return _exit_code(report, run, left=report.damaged_lines > 0)


def _journal_facts(journal: ForeignJournal) -> list[str]:
    """Describe what a person must know before trusting someone else's journal."""
    actions = ", ".join(
        f"{format_count(n, 'file')} {_ACTION_LABELS.get(action, action)}" for action, n in journal.actions.items()
    )
    return [
        f"The journal {journal.undo_id} was not written by you on this machine. It says that at {journal.created}:",
        f"  {actions or 'nothing was done'}",
        *_folder_lines("They would come out of", journal.sources),
        *_folder_lines("and go to", journal.targets),
    ]


def _folder_lines(heading: str, folders: Sequence[bytes]) -> list[str]:
    from imseek.types.pictures import display_path

    lines = [f"  {display_path(folder)}" for folder in folders[:_MAX_FOLDERS]]
    more = [f"  and {len(folders) - _MAX_FOLDERS:,} more folders"] if len(folders) > _MAX_FOLDERS else []
    return [f"{heading}:", *(lines or ["  nowhere, as far as can be seen"]), *more]


def _end_notes(report: ApplyReport | UndoReport, stays: str) -> list[str]:
    notes = []
    if report.dry_run and report.files:
        able = any(file.outcome in _ACTED_OUTCOMES for file in report.files)
        notes.append("nothing was changed; --yes does it" if able else "there is nothing to do here now")
    if report.interrupted:
        notes.append(f"interrupted: {stays}; the same command goes on from here")
    return notes


def _exit_code(report: ApplyReport | UndoReport, run: Run, *, left: bool = False) -> int:
    """Return 1 if files were left alone. ``left``: there may be some that the report does not list."""
    if report.interrupted:
        return run.exit_code(interrupted=True)
    left = left or any(file.outcome == "left" for file in report.files)
    return int(left and not report.dry_run)


def _find_plan_collection(uuid: str, name: str | None) -> ResolvedCollection:
    """Find the collection of a plan: the given one, else the usual one or any in the library.

    Raises UsageError if none of them matches.
    """
    from imseek.errors import ImseekError
    from imseek.library import uuid_of

    if name is not None:
        # Applying the plan rejects a wrong one.
        return resolve_collection(name)
    candidates: list[ResolvedCollection] = []
    with suppress(UsageError):
        candidates.append(resolve_collection(None))
    candidates += [
        library.ResolvedCollection(entry.path, entry.name, "the plan's")
        for entry in library.list_collections(os.environ)
    ]
    for candidate in candidates:
        try:
            if uuid_of(candidate.path) == uuid:
                return candidate
        except ImseekError:
            continue
    raise UsageError("the plan is for a collection that is not here", hint="name that collection: --collection PATH")


def _apply_lines(report: ApplyReport, refused: Sequence[RefusedFile], limit: int) -> list[str]:
    from imseek.ui.render.duplicates_page import describe_confidences

    if not report.files:
        return [_nothing_line(refused), *map(printable, report.notes)]
    out = _file_lines(report.files, limit)
    verb = "would be " if report.dry_run else ""
    acted = [file for file in report.files if file.outcome in _ACTED_OUTCOMES]
    for action, label in _ACTION_LABELS.items():
        if files := [file for file in acted if file.action == action]:
            out.append(
                f"{format_count(len(files), 'file')} {verb}{label}, {format_size(sum(file.bytes for file in files))}"
            )
    if confidences := describe_confidences(report.sure):
        out.append(confidences)
    out += _rest_lines(report.counts)
    if report.freed and not report.dry_run:
        away = any(file.action in ("quarantine", "trash") for file in acted)
        once = " once quarantine or trash is emptied" if away else ""
        out.append(f"{format_size(report.freed)} are free{once}")
    out += map(printable, report.notes)
    if report.undo_id is not None and any(file.outcome != "left" for file in report.files):
        out.append(f"`imseek duplicates undo {report.undo_id} --yes` brings all back")
    return out


def _nothing_line(refused: Sequence[RefusedFile]) -> str:
    """Say that a plan names no file to act on, and why it leaves alone those that it knows."""
    nothing = "nothing in this plan can be done"
    if not refused:
        return nothing
    reasons = Counter(printable(file.reason) for file in refused)
    why = ", ".join(f"{n:,} {reason}" for reason, n in reasons.most_common())
    return f"{nothing}; {len(refused):,} left alone (reasons: {why})"


def _undo_lines(report: UndoReport, limit: int) -> list[str]:
    if not report.files:
        return ["nothing to undo", *map(printable, report.notes)]
    out = _file_lines(report.files, limit, "undoes")
    verb = "would be " if report.dry_run else ""
    acted = sum(file.outcome in _ACTED_OUTCOMES for file in report.files)
    return [
        *out,
        f"{printable(report.undo_id)}: {format_count(acted, 'file')} {verb}as before",
        *_rest_lines(report.counts),
        *map(printable, report.notes),
    ]


def _rest_lines(counts: Mapping[Outcome, int]) -> list[str]:
    labels: tuple[tuple[Outcome, str], ...] = (("already", "as it should be already"), ("left", "left alone"))
    return [f"{format_count(counts[outcome], 'file')} {words}" for outcome, words in labels if counts.get(outcome)]


def _file_lines(files: Sequence[AppliedFile] | Sequence[UndoneFile], limit: int, action: str = "action") -> list[str]:
    """Format files as lines, those left alone first, because they need attention."""
    from imseek.types.pictures import display_path

    ordered: list[AppliedFile | UndoneFile] = sorted(files, key=lambda file: file.outcome != "left")
    rows = []
    for file in ordered[:limit]:
        to: bytes | None = getattr(file, "to", None)
        beside = f": {printable(file.reason)}" if file.reason else ""
        beside += f" → {display_path(to)}" if to is not None else ""
        rows.append((file.outcome, file.action, str(file.image_id), f"{display_path(file.path)}{beside}"))
    out = [table(("", action, "id", "file"), rows, right=(2,))] if rows else []
    if limit and len(files) > limit:
        out.append(f"and {len(files) - limit:,} more (-n shows more, --json all)")
    return out


def _journal_table(entries: Sequence[UndoInfo]) -> str:
    if not entries:
        return "there is nothing to undo"
    rows = [
        (
            info.undo_id,
            printable(info.created),
            info.state,
            format_size(info.bytes),
            ", ".join(f"{n:,} {_ACTION_LABELS.get(action, action)}" for action, n in info.actions.items()) or "none",
        )
        for info in entries
    ]
    notes = [f"{info.undo_id}: {printable(note)}" for info in entries for note in info.notes]
    return "\n".join([table(("id", "when", "state", "size", "files"), rows, right=(3,)), *notes])
