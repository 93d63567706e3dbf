"""``imseek dataset``: picture quality, class balance, and leaks between parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from imseek.dataset.results import Balance, LeakReport, QualityKind, QualityReport
from imseek.errors import UsageError
from imseek.tilde_expansion import expand_user
from imseek.types.json_form import Count, Json
from imseek.ui.cli import common_options as options
from imseek.ui.cli.collection_choice import choose_collection, choose_two
from imseek.ui.cli.command_classes import Group
from imseek.ui.cli.command_run import Run
from imseek.ui.cli.common_options import CollectionOption, JsonOption, WhereOption
from imseek.ui.cli.flag_groups import with_groups
from imseek.ui.cli.list_output_flags import LIST_FLAGS, ListFlags
from imseek.ui.cli.output import say
from imseek.ui.render.result_json import print_answer, to_json
from imseek.ui.render.text import table
from imseek.ui.render.words import format_count, printable, shorten

if TYPE_CHECKING:
    from imseek.types.pictures import Place

app = Group(
    "Check a collection as a dataset: quality, balance, leakage.",
    "imseek dataset quality",
    "imseek dataset balance --by folder",
    "imseek dataset leakage --split part",
)
_WIDTH = 60
#: Images shown per group.
_MEMBERS = 6


@dataclass(frozen=True, slots=True)
class QualityAnswer:
    """Quality lists, and what was stored of them."""

    report: Annotated[QualityReport, Json(inline=True)]
    tagged: Annotated[Mapping[QualityKind, Count] | None, Json(omit_none=True)] = None
    """With ``--tag``: number of images that have each tag now."""
    saved: Annotated[Mapping[str, Count] | None, Json(omit_none=True)] = None
    """With ``--save``: number of images by column that is true of them."""


LimitOption = Annotated[int, options.limit("How many entries of each list to show.")]


@app.command(
    "imseek dataset quality",
    "imseek dataset quality --blurred --dark -n 50",
    "imseek dataset quality --empty --tag",
    "imseek dataset quality --save quality && imseek search --where quality_blurred",
)
def quality(
    blurred: Annotated[
        bool, typer.Option("--blurred", help="Show only blurred pictures, which have no sharp edge.")
    ] = False,
    dark: Annotated[bool, typer.Option("--dark", help="Show only dark pictures.")] = False,
    bright: Annotated[
        bool,
        typer.Option("--bright", help="Show only pictures that are overexposed or on a white background."),
    ] = False,
    empty: Annotated[bool, typer.Option("--empty", help="Show only pictures with almost nothing on them.")] = False,
    where: WhereOption = None,
    limit: LimitOption = 10,
    tag: Annotated[bool, options.tag("Tag the images of each list: blurred, dark, bright, empty.")] = False,
    save: Annotated[
        str | None,
        options.save("Store the results as true-or-false columns (NAME_blurred and so on), for use in --where."),
    ] = None,
    collection: CollectionOption = None,
    as_json: JsonOption = False,
) -> None:
    """List pictures that are blurred, dark, overexposed or nearly empty. No picture is opened."""
    from imseek import dataset

    if tag and save is not None:
        raise UsageError("--tag and --save exclude each other")
    if save is not None:
        from imseek.dataset import check_save_name

        check_save_name(save)
    flags = {"blurred": blurred, "dark": dark, "bright": bright, "empty": empty}
    kinds: list[QualityKind] = [kind for kind in dataset.KINDS if flags[kind] or not any(flags.values())]
    target = choose_collection(collection, quiet=as_json)
    report = dataset.quality(target.path, kinds=kinds, where=where, limit=limit)
    tagged = saved = None
    if tag:
        tagged = dataset.tag_quality(target.path, kinds=kinds, where=where)
    if save is not None:
        saved = {
            f"{save}_{kind}": n for kind, n in dataset.save_quality(target.path, save, kinds=kinds, where=where).items()
        }
    if as_json:
        print_answer(QualityAnswer(report, tagged, saved), target)
        return
    print("\n".join(quality_lines(report)))
    if report.unknown:
        say(
            f"{format_count(report.unknown, 'image')} of {report.images:,} were never measured: "
            "`imseek maintain --measure` does it"
        )
    if tagged is not None:
        say("tagged: " + ", ".join(f"{n:,} {kind}" for kind, n in tagged.items()))
    if saved is not None:
        say("saved: " + ", ".join(f"{name} ({n:,} true)" for name, n in saved.items()))


def quality_lines(report: QualityReport) -> list[str]:
    """Format a quality report for the user."""
    measured_images = report.images - report.unknown
    lines = []
    for listing in report.lists:
        share = f", {listing.count / measured_images:.1%}" if measured_images else ""
        lines.append(f"{listing.kind}: {format_count(listing.count, 'image')}{share} ({listing.rule})")
        if listing.worst:
            rows = [
                [
                    *(_number(image.values.get(name)) for name in _QUALITY_COLUMNS),
                    str(image.image_id),
                    _place(image.place),
                ]
                for image in listing.worst
            ]
            head = [*(name.removeprefix("luma_") for name in _QUALITY_COLUMNS), "id", "image"]
            lines.append(table(head, rows, right=range(len(head) - 1)))
            if listing.count > len(listing.worst):
                lines.append(f"and {listing.count - len(listing.worst):,} more (-n shows more)")
    return lines


_QUALITY_COLUMNS = ("luma_blur", "luma_mean", "luma_sd", "luma_dark", "luma_bright", "luma_edges")


@app.command(
    "imseek dataset balance",
    "imseek dataset balance --by folder --duplicates",
    "imseek dataset balance --by camera --where 'year >= 2020' --json",
)
@with_groups(output=LIST_FLAGS)
def balance(
    by: Annotated[
        str,
        typer.Option(
            "--by",
            metavar="tag|COLUMN",
            help="What defines a class: tag, folder, or any column (docs/where.md).",
        ),
    ] = "tag",
    duplicates: Annotated[bool, typer.Option("--duplicates", help="Also count duplicates in each class.")] = False,
    looks: Annotated[
        int, options.looks("With --duplicates: compare the pixels of at most this many candidate pairs.")
    ] = 0,
    where: WhereOption = None,
    limit: LimitOption = 20,
    collection: CollectionOption = None,
    *,
    output: ListFlags,
) -> int:
    """Count the images of each class, and measure how even the classes are."""
    from imseek import dataset

    if looks and not duplicates:
        raise UsageError("--looks goes with --duplicates")
    run = Run.on(collection, as_json=output.as_json)
    with run.work() as controls:
        report = dataset.balance(
            run.path,
            by,
            where=where,
            duplicates=duplicates,
            looks=looks,
            **controls,
        )
    output.write(("name", "count", "share", "duplicates"), map(to_json, report.classes))
    run.finish(report, output.lines(lambda: balance_lines(report, limit)), notes=map(printable, report.notes))
    return run.exit_code(run.stop.is_set())


def balance_lines(report: Balance, limit: int) -> list[str]:
    """Format a balance report for the user."""
    if not report.classes:
        return [f"none of {format_count(report.images, 'image')} has a value of {printable(report.by)}"]
    assert report.effective is not None
    assert report.ratio is not None
    lines = [
        f"{format_count(len(report.classes), 'class', 'classes')} by {printable(report.by)}, as mixed "
        f"as {report.effective:.1f} "
        f"equal ones; the largest is {report.ratio:,.1f} times the smallest"
    ]
    classes = report.classes[:limit]
    has_duplicates = any(one.duplicates is not None for one in classes)
    rows = [
        [
            f"{one.count:,}",
            f"{one.share:.1%}",
            *([f"{one.duplicates:,}"] if one.duplicates is not None else []),
            shorten(one.name, _WIDTH),
        ]
        for one in classes
    ]
    if rows:
        lines.append(
            table(
                ["images", "share", *(["repeated"] if has_duplicates else []), "class"],
                rows,
                right=(0, 1, 2)[: 2 + has_duplicates],
            )
        )
    if len(report.classes) > len(classes) and limit:
        lines.append(
            f"and {format_count(len(report.classes) - len(classes), 'more class', 'more classes')} (-n shows more)"
        )
    if report.without:
        lines.append(f"{format_count(report.without, 'image')} of {report.images:,} in none")
    return lines


@app.command(
    "imseek dataset leakage --split part",
    "imseek dataset leakage --folders ~/data/train,~/data/test",
    "imseek dataset leakage -c test --against train",
)
def leakage(
    split: Annotated[
        str | None,
        typer.Option("--split", metavar="COLUMN", help="The column that holds the part that each image belongs to."),
    ] = None,
    folders: Annotated[
        str | None,
        typer.Option("--folders", metavar="A,B", help="Use these folders as the parts."),
    ] = None,
    against: Annotated[str | None, options.against("Use another collection as the other part.")] = None,
    where: WhereOption = None,
    looks: Annotated[int, options.looks("Compare the pixels of at most this many candidate pairs.")] = 10_000,
    limit: LimitOption = 10,
    collection: CollectionOption = None,
    as_json: JsonOption = False,
) -> int:
    """Find images of one part of a dataset (such as test) that also occur in another part (such as train)."""
    from imseek import dataset

    if sum(option is not None for option in (split, folders, against)) != 1:
        raise UsageError(
            "name the parts in one way",
            hint="--split COLUMN, --folders A,B, or --against COLLECTION",
        )
    target, other = choose_two(collection, against, quiet=as_json)
    run = Run(target, as_json, "interrupted: there may be more; the same command goes on from here")
    with run.work() as controls:
        if other is not None:
            report = dataset.leakage_against(
                target.path,
                other.path,
                names=(printable(target.name), printable(other.name)),
                where=where,
                looks=looks,
                **controls,
            )
        else:
            report = dataset.leakage(
                target.path,
                split if split is not None else _parse_parts(folders or ""),
                where=where,
                looks=looks,
                **controls,
            )
    notes = map(printable, report.notes)
    return run.finish(report, lambda: leak_lines(report, limit), notes=notes, interrupted=report.interrupted)


def _parse_parts(folders: str) -> dict[str, list[str]]:
    """Map each part's name to its folder. Raises UsageError."""
    parts = [folder.strip() for folder in folders.split(",") if folder.strip()]
    if len(set(parts)) < 2:
        raise UsageError("leakage needs at least two folders", hint="--folders train,test")
    for folder in parts:
        if not expand_user(folder).exists():
            raise UsageError(f"no folder {folder}")
    return {printable(folder): [str(expand_user(folder))] for folder in parts}


def leak_lines(report: LeakReport, limit: int) -> list[str]:
    """Format a leakage report for the user."""
    from imseek.ui.render.duplicates_page import percent

    parts = ", ".join(f"{printable(name)} {n:,}" for name, n in report.splits.items())
    lines = [f"parts: {parts}" + (f"; {format_count(report.without, 'image')} in none" if report.without else "")]
    if not report.counts:
        return [*lines, "no image of one part is in another"]
    rows = [
        [f"{one.exact:,}", f"{one.same:,}", f"{printable(one.split)} → {printable(one.other)}"] for one in report.counts
    ]
    lines.append(table(("same file", "same picture", "images of … that are in …"), rows, right=(0, 1)))
    for number, group in enumerate(report.groups[:limit], start=1):
        match = "the same file" if group.kind == "exact" else "the same picture"
        confidence = "" if group.kind == "exact" else f", {percent(group.confidence)} sure"
        lines.append(f"{number}. {match}{confidence}, {format_count(len(group.images), 'image')}")
        rows = [[shorten(one.split, _WIDTH), str(one.image_id), _place(one.place)] for one in group.images[:_MEMBERS]]
        lines += ["   " + row for row in table(("part", "id", "image"), rows, right=(1,)).split("\n")[1:]]
        if len(group.images) > _MEMBERS:
            lines.append(f"   and {len(group.images) - _MEMBERS:,} more")
    if len(report.groups) > limit and limit:
        lines.append(f"and {format_count(len(report.groups) - limit, 'more group')} (-n shows more, --json has all)")
    return lines


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _place(place: Place | None) -> str:
    return "(place unknown)" if place is None else place.display
