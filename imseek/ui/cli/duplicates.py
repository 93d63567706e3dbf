"""``imseek duplicates``: find duplicate pictures and plan actions on them; registers the group's other commands."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal, TypeAlias, cast, get_args

import typer

from imseek.duplicates.action_results import Action, RefusedFile
from imseek.duplicates.results import (
    KIND_FACTS,
    ConfidenceCount,
    Duplicate,
    DuplicateGroup,
    DuplicateKind,
    DuplicateReport,
    DuplicateTotals,
)
from imseek.errors import UsageError
from imseek.progress import Progress, ProgressCallback
from imseek.tilde_expansion import expand_user
from imseek.types.json_form import Count, Json
from imseek.ui.cli import apply, judge
from imseek.ui.cli import common_options as options
from imseek.ui.cli.collection_choice import choose_two
from imseek.ui.cli.command_classes import Group
from imseek.ui.cli.command_run import Run
from imseek.ui.cli.common_options import CollectionOption, ForceFilesOption, JsonOption, WhereOption
from imseek.ui.cli.output import say
from imseek.ui.cli.output_files import check_csv, check_new, new_file, stream_of
from imseek.ui.cli.progress import thumbnail_progress
from imseek.ui.cli.quantities import parse_share
from imseek.ui.render.result_json import CollectionName, print_json
from imseek.ui.render.text import format_place, table
from imseek.ui.render.words import format_count, format_size, printable

if TYPE_CHECKING:
    from imseek.duplicates import Plan
    from imseek.library import ResolvedCollection
    from imseek.ui.render.duplicates_page import Thumbnail

app = Group(
    "Find duplicates, review them, and set them aside reversibly.",
    "imseek duplicates",
    "imseek duplicates judge 17 23 --different",
    "imseek duplicates find --kind exact --plan plan.json --action quarantine",
    "imseek duplicates apply plan.json --yes",
    "imseek duplicates undo --yes",
    default="find",
)


def _describe_kinds() -> str:
    """Describe the kinds that `--kind` names; `--inside` has its own option."""
    return "; ".join(f"{kind}: {facts.label}" for kind, facts in KIND_FACTS.items() if kind != "inside")


_KINDS: Final = ("exact", "same")
#: Images shown per group.
_MEMBERS: Final = 12
#: Files shown that a plan leaves alone.
_MAX_REFUSED: Final = 20
#: A kind of file that is written.
_FileKind: TypeAlias = Literal["csv", "html", "plan"]


@dataclass(frozen=True, slots=True)
class PlanSummary:
    """What a plan would do."""

    action: Action
    files: Count
    """Number of files to act on."""
    bytes: Count
    """Total size of these files; links count nothing."""
    sure: tuple[ConfidenceCount, ...]
    """These files by how sure it is that they are duplicates, the surest first."""
    refused: tuple[RefusedFile, ...]
    """Duplicates that cannot be acted on, with the reason."""


@dataclass(frozen=True, slots=True)
class DuplicatesAnswer:
    """Duplicates, and the files that were written."""

    report: Annotated[DuplicateReport, Json(inline=True)]
    against: CollectionName | None
    """The other collection (``--against``)."""
    written: Mapping[_FileKind, Path]
    """Absolute paths of the files."""
    plan: PlanSummary | None
    """Null without ``--plan``."""


@dataclass(frozen=True, slots=True)
class DuplicatesSummary:
    """The numbers of a search for duplicates, and the files that were written."""

    collection: CollectionName
    totals: Annotated[DuplicateTotals, Json(inline=True)]
    against: CollectionName | None
    """The other collection (``--against``)."""
    written: Mapping[_FileKind, Path]
    """Absolute paths of the files."""
    plan: PlanSummary | None
    """Null without ``--plan``."""


@dataclass(frozen=True, slots=True)
class DuplicatesLine:
    """A line of ``--jsonl``: a group as soon as it is found, or the summary, which is the last line."""

    group: Annotated[DuplicateGroup | None, Json(omit_none=True)] = None
    summary: Annotated[DuplicatesSummary | None, Json(omit_none=True)] = None


@app.command(
    "imseek duplicates find",
    "imseek duplicates find --kind exact --kind same --kind scene --html duplicates.html",
    "imseek duplicates find --keep oldest --protect ~/Pictures/albums --csv duplicates.csv",
    "imseek duplicates find --kind exact --plan plan.json --action quarantine",
    "imseek duplicates find --sure 99% --plan plan.json --action trash",
    "imseek duplicates find --jsonl | jq -r '.group.members[]? | select(.keep | not).path'",
)
def find(
    kind: Annotated[
        list[str] | None,
        typer.Option(
            "--kind",
            metavar="KIND",
            help=f"What counts as a duplicate. {_describe_kinds()}. May be repeated (default: exact and same; edited "
            "pictures are shown with same, and are in a plan only if named here).",
        ),
    ] = None,
    inside: Annotated[
        bool, typer.Option("--inside", help="Also find crops and pictures inside other pictures (slower).")
    ] = False,
    keep: Annotated[
        Literal["best", "largest", "oldest", "newest", "path-priority"],
        typer.Option(
            "--keep",
            help="Which picture of each group to keep; best: by resolution, then compression, metadata and file size.",
        ),
    ] = "best",
    prefer: Annotated[
        list[str] | None,
        typer.Option(
            "--prefer",
            metavar="FOLDER",
            help="Prefer to keep pictures in this folder; may be repeated, in order of preference.",
        ),
    ] = None,
    protect: Annotated[
        list[str] | None,
        typer.Option("--protect", metavar="FOLDER", help="Always keep every picture in this folder; may be repeated."),
    ] = None,
    against: Annotated[
        str | None, options.against("Find pictures of this collection that another collection has too.")
    ] = None,
    sure: Annotated[
        str | None,
        typer.Option(
            "--sure",
            metavar="SHARE",
            help="Leave out pictures that are less sure to be duplicates, such as 95% or 0.95 (default: show all, plan "
            "for those from 80% on).",
        ),
    ] = None,
    where: WhereOption = None,
    looks: Annotated[
        int,
        options.looks("Compare the pixels of at most this many candidate pairs, the most promising first."),
    ] = 100_000,
    fast: Annotated[
        bool, typer.Option("--fast", help="Judge by hash and vector alone, without opening pictures: less sure.")
    ] = False,
    limit: Annotated[int, options.limit("How many groups to show.")] = 20,
    csv: Annotated[Path | None, options.csv("Write all groups as CSV, one image per row.")] = None,
    html: Annotated[Path | None, options.html("Write an HTML page with the pictures side by side.")] = None,
    plan: Annotated[
        Path | None,
        typer.Option(
            "--plan",
            metavar="FILE",
            help="Write a plan of what to do with all but the pictures to keep, for `imseek duplicates apply`.",
        ),
    ] = None,
    action: Annotated[
        Literal["tag", "quarantine", "trash", "hard-link", "reflink"] | None,
        typer.Option("--action", help="With --plan: what to do with them. Links need files with the same bytes."),
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option(
            "--to",
            metavar="FOLDER",
            help="With --action quarantine: the folder to move files to (default: beside the pictures).",
        ),
    ] = None,
    tag: Annotated[
        str | None,
        typer.Option("--tag", metavar="TAG", help="With --action tag: the tag to add (default: duplicate)."),
    ] = None,
    force: ForceFilesOption = False,
    collection: CollectionOption = None,
    as_json: JsonOption = False,
    as_lines: Annotated[
        bool,
        typer.Option("--jsonl", help="Print JSON Lines: each group as soon as it is found, then a summary."),
    ] = False,
) -> int:
    """Find pictures that occur more than once, and suggest which to keep. Nothing is changed."""
    _check_action(plan, action, to, tag)
    least = None if sure is None else parse_share(sure)
    _check_folders([*(prefer or ()), *(protect or ())])
    files = _ReportFiles(csv, html, plan, force)
    if as_json and as_lines:
        raise UsageError("--json and --jsonl exclude each other", hint="choose one of them")
    quiet = as_json or as_lines
    files.check(rivals={"--json": as_json, "--jsonl": as_lines})
    target, other = choose_two(collection, against, quiet=quiet)
    unplanned = "" if action is None else ", so no plan was written"
    run = Run(target, quiet, f"interrupted: there may be more{unplanned}; the same command goes on from here")
    from imseek import duplicates

    kinds = cast("Sequence[DuplicateKind]", [*(kind or _KINDS), *(["inside"] if inside else [])])
    group_progress = _GroupProgress(least, as_lines)
    with run.work() as controls:
        if other is None and not quiet and sys.stderr.isatty() and "exact" in kinds and set(kinds) != {"exact"}:
            _say_identical(duplicates.find(target.path, kinds=["exact"], protect=protect or (), where=where))
        report = duplicates.find(
            target.path,
            kinds=kinds,
            keep=keep,
            prefer=prefer or (),
            protect=protect or (),
            against=None if other is None else other.path,
            where=where,
            looks=0 if fast else looks,
            on_group=group_progress if group_progress.is_shown(controls["progress"]) else None,
            progress=group_progress.progress(controls["progress"]),
            stop=controls["stop"],
        )
    unsure = 0
    if least is not None:
        total = sum(len(group.others) for group in report.groups)
        report = report.at_least(least)
        unsure = total - sum(len(group.others) for group in report.groups)
    collections = [target] if other is None else [target, other]
    names = dict(zip((report.collection, report.against or ""), (one.name for one in collections), strict=False))
    at_least = duplicates.LEAST_CONFIDENCE if least is None else least
    planned = None
    if action is not None and not report.interrupted:
        planned = duplicates.plan(
            target.path,
            report,
            action,
            to=to,
            tag=duplicates.TAG if tag is None else tag,
            protect=protect or (),
            at_least=at_least,
        )
    paths = files.write(report, planned, names, collections, at_least)
    rest = (
        None if other is None else CollectionName.of(other, report.against),
        {file_kind: path.absolute() for file_kind, path in paths.items()},
        None
        if planned is None
        else PlanSummary(planned.action, len(planned.files), planned.bytes, planned.sure, planned.refused),
    )
    if as_lines:
        name = CollectionName.of(target, report.collection)
        print_json(DuplicatesLine(summary=DuplicatesSummary(name, report.totals, *rest)), line=True)
        if report.interrupted:
            say(run.interrupted)
        return run.exit_code(report.interrupted)
    answer = DuplicatesAnswer(report, *rest)
    next_step = f"look at it, then: imseek duplicates apply {printable(shlex.quote(str(plan)))}"
    return run.finish(
        answer,
        lambda: [
            *lines(report, limit, names, at_least),
            *(
                [f"{format_count(unsure, 'image')} left out that {'is' if unsure == 1 else 'are'} less sure (--sure)"]
                if unsure
                else []
            ),
            *(_offer_links(report) if planned is None else _plan_lines(planned, report)),
        ],
        written=paths,
        notes=[next_step] if planned is not None and planned.files else [],
        uuid=report.collection,
        interrupted=report.interrupted,
    )


app.add_typer(judge.app)
app.add_typer(apply.app)


class _GroupProgress:
    """Shows the groups as they are found: as lines of JSON, or as numbers beside the progress."""

    def __init__(self, least: float | None, as_lines: bool) -> None:
        """Groups without a member as certain as ``least`` are left out."""
        self._least, self._as_lines = least, as_lines
        self._groups = self._bytes = 0

    def __call__(self, group: DuplicateGroup) -> None:
        sure_part = group if self._least is None else group.at_least(self._least)
        if sure_part is None:
            return
        if self._as_lines:
            print_json(DuplicatesLine(group=sure_part), line=True)
        self._groups += 1
        self._bytes += sure_part.surplus_bytes

    def is_shown(self, show: ProgressCallback | None) -> bool:
        """Whether anybody sees groups before the end. Finding them early takes a tenth of the time."""
        return self._as_lines or self._is_beside(show)

    def _is_beside(self, show: ProgressCallback | None) -> bool:
        return show is not None and sys.stderr.isatty()

    def progress(self, show: ProgressCallback | None) -> ProgressCallback | None:
        """Return a callback that adds the numbers to what ``show`` shows on a terminal."""
        if show is None or not self._is_beside(show):
            return show

        def add(progress: Progress) -> None:
            if self._groups:
                tally = f"{format_count(self._groups, 'group')}, {format_size(self._bytes)} so far"
                progress = replace(progress, phase=f"{progress.phase} ({tally})")
            show(progress)

        return add


def _say_identical(report: DuplicateReport) -> None:
    """Say at once how many files are identical, since comparing pictures takes a while."""
    from imseek.ui.render.duplicates_page import totals

    if report.groups:
        say(f"identical files: {totals(report)}")


def _check_action(plan: Path | None, action: str | None, to: Path | None, tag: str | None) -> None:
    if plan is not None and action is None:
        *most, last = get_args(Action)
        hint = f"add --action {', '.join(most)} or {last}"
        raise UsageError("a plan needs an action", hint=hint)
    if action is not None and plan is None:
        raise UsageError(
            "--action needs a file for its plan",
            hint="add --plan FILE, then run `imseek duplicates apply FILE`",
        )
    if to is not None and action != "quarantine":
        raise UsageError("--to goes with --action quarantine")
    if tag is not None and action != "tag":
        raise UsageError("--tag goes with --action tag")
    if tag is not None and not tag.strip():
        raise UsageError("a tag must not be empty")


def _check_folders(folders: Sequence[str]) -> None:
    """Raise UsageError for a missing folder: a misspelt one would protect nothing."""
    for folder in folders:
        if "://" not in folder and not expand_user(folder).exists():
            raise UsageError(f"no folder {folder}")


def _plan_lines(plan: Plan, report: DuplicateReport) -> list[str]:
    """Describe what the plan would do, and the first files that it leaves alone."""
    from imseek.duplicates import LINK_ACTIONS
    from imseek.ui.render.duplicates_page import describe_confidences

    out = [f"plan: {plan.action} {format_count(len(plan.files), 'file')}, {format_size(plan.bytes)}"]
    if confidences := describe_confidences(plan.sure):
        out.append(confidences)
    if plan.refused:
        out.append(f"{format_count(len(plan.refused), 'file')} it leaves alone:")
        own_members = (m for group in report.groups for m in group.members if m.collection == report.collection)
        where = {member.image_id: format_place(member.place, member.image_id) for member in own_members}
        rows = [
            (printable(one.reason), str(one.image_id), where.get(one.image_id, ""))
            for one in plan.refused[:_MAX_REFUSED]
        ]
        out.append(table(("why", "id", "image"), rows, right=(1,)))
        if len(plan.refused) > _MAX_REFUSED:
            out.append(f"and {len(plan.refused) - _MAX_REFUSED:,} more (the plan has all)")
        if plan.action in LINK_ACTIONS and any(
            group.kind != "exact" and group.has_suggestion for group in report.groups
        ):
            out.append("links are for files of the same bytes: with --kind exact, groups are of those alone")
    return out


@dataclass(frozen=True, slots=True)
class _ReportFiles:
    """The report files to write."""

    csv: Path | None
    html: Path | None
    plan: Path | None
    force: bool

    def check(self, rivals: Mapping[str, bool]) -> None:
        """Check the files before the search; a CSV on stdout excludes ``rivals``. Raises UsageError and ImseekError."""
        paths = [path for path in (self.csv, self.html, self.plan) if path is not None]
        if len({path.absolute() for path in paths}) < len(paths):
            raise UsageError(f"{paths[0]} is named twice")
        if self.plan is not None and stream_of(self.plan) is not None:
            raise UsageError("the plan cannot be written to stdout", hint="name a file")
        check_csv(self.csv, force=self.force, rivals=rivals)
        for path in paths:
            check_new(path, force=self.force)

    def write(
        self,
        report: DuplicateReport,
        plan: Plan | None,
        names: Mapping[str, str],
        collections: Sequence[ResolvedCollection],
        at_least: float,
    ) -> dict[_FileKind, Path]:
        """Write the files; returns them by kind. ``at_least`` is the confidence that a plan asks for."""
        paths: dict[_FileKind, Path] = {}
        if plan is not None and self.plan is not None:
            check_new(self.plan, force=self.force)
            plan.save(self.plan)
            paths["plan"] = self.plan
        if self.csv is not None:
            from imseek.duplicates import write_csv

            with new_file(self.csv, force=self.force) as file:
                write_csv(report, file)
            paths["csv"] = self.csv
        if self.html is not None:
            from imseek.ui.render.duplicates_page import page, pictures_of

            with ExitStack() as stack:
                pictures = pictures_of(report)
                make = _thumbnails(stack, pictures, collections)
                thumbnail = stack.enter_context(thumbnail_progress(make, len(pictures)))
                file = stack.enter_context(new_file(self.html, force=self.force))
                title = "Duplicates in " + ", against ".join(one.name for one in collections)
                file.writelines(page(report, thumbnail, title=title, names=names, at_least=at_least))
            paths["html"] = self.html
        return paths


def _thumbnails(
    stack: ExitStack, pictures: Sequence[Duplicate], collections: Sequence[ResolvedCollection]
) -> Thumbnail:
    """Return a reader of the thumbnails of ``pictures``, valid while ``stack`` is open."""
    from imseek.library import uuid_of
    from imseek.overview import thumbnails

    make = {}
    for where in collections:
        uuid = uuid_of(where.path)
        ids = [member.image_id for member in pictures if member.collection == uuid]
        make[uuid] = stack.enter_context(thumbnails(where.path, ids))
    return lambda member: make[member.collection](member.image_id)


def _offer_links(report: DuplicateReport) -> list[str]:
    """Name the actions that free the space of identical files and leave them at their places."""
    from imseek.overview import place_kind

    def is_file(member: Duplicate) -> bool:
        return member.place is not None and place_kind(member.place) == "file"

    freed_bytes = [
        other.bytes
        for group in report.groups
        if is_file(group.keeper)
        for other in group.surplus
        if other.pair is not None and other.pair.kind == "exact" and other.link is None and is_file(other)
    ]
    if not freed_bytes or report.against is not None:
        return []
    files = format_count(len(freed_bytes), "identical file")
    return [
        f"--kind exact --plan FILE --action hard-link (or reflink) frees the {format_size(sum(freed_bytes))} of "
        f"{files} and leaves every name in place"
    ]


def lines(report: DuplicateReport, limit: int, names: Mapping[str, str], at_least: float) -> list[str]:
    """Format the first groups and the totals for the user. ``at_least`` is the confidence that a plan asks for."""
    from imseek.ui.render.duplicates_page import describe_confidences, describe_unsure, totals

    groups = report.groups[:limit]
    out = _groups(groups, names if report.against is not None else {}) if groups else []
    out.append(totals(report))
    if confidences := describe_confidences(report.sure):
        out.append(f"{confidences} (--sure 95% leaves out what is less sure)")
    if unsure := describe_unsure(report, at_least):
        out.append(f"{unsure} (`imseek duplicates judge`)")
    if report.judged:
        out.append(
            f"{format_count(report.judged, 'pair')} left out that you have called different (`imseek duplicates judge`)"
        )
    more = len(report.groups) - len(groups)
    if more and limit:
        out.append(f"{format_count(more, 'more group')} (-n shows more, --html and --csv have all)")
    return out + [printable(note) for note in report.notes]


def _groups(groups: Sequence[DuplicateGroup], names: Mapping[str, str]) -> list[str]:
    from imseek.ui.render.duplicates_page import KIND_LABELS

    differs = any(group.boxes_in(member) for group in groups for member in group.members)
    head = ["", "kind", "sure", "pixels", "size", "format", "id"]
    head += [*(["collection"] if names else []), *(["where it differs"] if differs else []), "image"]
    rows = [_row(group, member, names, differs) for group in groups for member in group.members[:_MEMBERS]]
    first, *rest = table(head, rows, right=(2, 3, 4, 6)).split("\n")
    out = [first]
    for number, group in enumerate(groups, start=1):
        freed = format_size(group.surplus_bytes)
        surplus = f", {freed} could be freed; kept" if group.surplus else ""
        images = format_count(len(group.members), "image")
        out.append(f"{number}. {KIND_LABELS[group.kind]}, {images}{surplus}: {printable(group.reason)}")
        out += rest[: len(group.members[:_MEMBERS])]
        del rest[: len(group.members[:_MEMBERS])]
        if len(group.members) > _MEMBERS:
            out.append(f"      and {len(group.members) - _MEMBERS:,} more")
    return out


def _row(group: DuplicateGroup, member: Duplicate, names: Mapping[str, str], differs: bool) -> list[str]:
    from imseek.ui.render.duplicates_page import describe_boxes, percent

    pair = member.pair
    return [
        "keep" if group.keeps(member) else "",
        "" if pair is None else f"{member.link} link" if member.link else pair.kind,
        "" if pair is None else "judged" if pair.judged else percent(pair.confidence),
        f"{member.width}×{member.height}",
        format_size(0 if member.link else member.bytes),
        printable(member.format),
        str(member.image_id),
        *([printable(names.get(member.collection, member.collection))] if names else []),
        *([describe_boxes(group.boxes_in(member)).removeprefix("differs at ")] if differs else []),
        format_place(member.place, member.image_id),
    ]
