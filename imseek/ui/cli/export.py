"""``imseek export``: export images, metadata and vectors for other tools."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, BinaryIO, Final, Literal

import typer

from imseek.errors import UsageError
from imseek.ui.cli import common_options as options
from imseek.ui.cli.collection_choice import choose_collection
from imseek.ui.cli.command_classes import Group
from imseek.ui.cli.common_options import CollectionOption, JsonOption, rare
from imseek.ui.cli.flag_groups import flag_group, with_groups
from imseek.ui.cli.image_arguments import read_ids
from imseek.ui.cli.output import say, stdout_bytes
from imseek.ui.cli.progress import stoppable
from imseek.ui.cli.quantities import parse_size
from imseek.ui.cli.query_flags import QueryFlags, query_flags
from imseek.ui.cli.runtime_flags import runtime_flags
from imseek.ui.render.result_json import print_answer
from imseek.ui.render.words import format_count, format_size, printable

if TYPE_CHECKING:
    from imseek import ExportOptions, ExportReport, Runtime
    from imseek.search import Query

#: Flags of `imseek search` that select images.
_QUERY_FLAGS: Final = (
    *("like", "unlike", "vector", "more", "less"),
    *("by", "where", "min_score", "cutoff", "exact"),
)
#: Unreadable pictures named in a message.
_MAX_SKIPPED: Final = 10


@dataclass(frozen=True, slots=True)
class ExportFlags:
    """Flags of single formats, by the field of :class:`imseek.ExportOptions` that each sets."""

    half: Annotated[
        bool,
        rare("--half", help="For faiss: store float16, at half the size; scores change by up to 0.001."),
    ] = False
    copy: Annotated[
        bool,
        rare("--copy", help="For clip-retrieval: copy vectors instead of linking to the collection's files."),
    ] = False
    spreadsheet: Annotated[
        bool,
        rare("--spreadsheet", help="For csv: keep spreadsheets from reading text as formulas."),
    ] = False
    link: Annotated[
        Literal["hard", "symbolic"] | None,
        typer.Option("--link", help="For imagefolder, fiftyone: link to picture files instead of copying them."),
    ] = None
    classes: Annotated[
        str | None,
        typer.Option(
            "--classes",
            metavar="COLUMN",
            help="For imagefolder: make a folder for each value of this column; tags: for each tag.",
        ),
    ] = None
    shard_images: Annotated[
        int | None,
        rare(
            "--shard-images",
            metavar="N",
            min=1,
            help="For webdataset: maximum number of pictures in a tar (default: 10000).",
        ),
    ] = None
    shard_size: Annotated[
        str | None,
        rare(
            "--shard-size",
            metavar="SIZE",
            help="For webdataset: maximum size of a tar (default: 1GB).",
        ),
    ] = None
    ending: Annotated[
        str | None,
        rare(
            "--ending",
            metavar="ENDING",
            help="For webdataset: give all pictures this file ending, for readers that expect one; their "
            "bytes do not change.",
        ),
    ] = None

    def options(self) -> ExportOptions:
        """Return the options. Raises UsageError for an invalid size."""
        from imseek import ExportOptions

        size = None if self.shard_size is None else parse_size(self.shard_size)
        return ExportOptions(**{**asdict(self), "shard_size": size})


app = Group()


@app.command(
    "imseek export photos.csv",
    "imseek export - --format jsonl --where \"format = 'JPEG'\" | jq .path",
    "imseek export beach.jsonl --text 'a beach' -n 200",
    "imseek export cats --format imagefolder --tag cat --link hard",
    "imseek sample --diverse 100 --json | jq '.sample[].image_id' | imseek export hundred.csv --ids -",
)
@with_groups(
    flags=query_flags(*_QUERY_FLAGS),
    options=flag_group(ExportFlags, ExportFlags.options),
    runtime=runtime_flags("device", "precision"),
)
def export(
    target: Annotated[
        str, typer.Argument(metavar="TARGET", help="The file or folder to write; - for stdout (csv, jsonl).")
    ],
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="FORMAT",
            help="clip-retrieval, csv, faiss, fiftyone, imagefolder, jsonl, parquet, projector, webdataset "
            "(docs/exports.md), or that of a plugin; by default the ending of the file's name tells.",
        ),
    ] = None,
    text: Annotated[
        list[str] | None,
        typer.Option("--text", metavar="TEXT", help="Export the hits of a search for these words; may be repeated."),
    ] = None,
    limit: Annotated[int | None, options.limit("Maximum number of hits (default: 1000).", min=1)] = None,
    tag: Annotated[
        list[str] | None,
        typer.Option("--tag", metavar="TAG", help="Only images with this tag; may be repeated."),
    ] = None,
    ids: Annotated[
        str | None,
        typer.Option(
            "--ids",
            metavar="FILE",
            help="Only the images with the ids in this file, one per line; - for stdin.",
        ),
    ] = None,
    space: Annotated[
        int | None,
        options.space("The vector space to export, if there are several (`imseek info` lists them).", metavar="ID"),
    ] = None,
    force: Annotated[bool, options.force("Overwrite an existing file, or a folder that was exported before.")] = False,
    strict: Annotated[bool, options.strict("Exit with 3 if a picture could not be read.")] = False,
    collection: CollectionOption = None,
    as_json: JsonOption = False,
    *,
    flags: QueryFlags,
    options: ExportOptions,
    runtime: Runtime,
) -> int:
    """Export images, metadata and vectors to other tools: all images, those that match a condition, or the hits of a
    search (docs/exports.md)."""
    is_search = bool(text) or flags.has_terms
    if not is_search:
        _check_no_query(flags, limit)
    if is_search and ids is not None:
        raise UsageError("--ids and a search both choose the images", hint="leave out one of them")
    streamed = target == "-"
    if streamed and as_json:
        raise UsageError("the export and --json cannot both go to stdout", hint="name a file")
    if streamed and sys.stdout.isatty() and form not in ("csv", "jsonl"):
        raise UsageError("cannot write this to a terminal", hint="name a file, or pipe it")
    id_list = None if ids is None else read_ids(ids)
    query = _query(flags, text or [], limit) if is_search else None
    source = choose_collection(collection, quiet=as_json)
    import imseek
    from imseek import export as exporting

    out: str | BinaryIO = stdout_bytes() if streamed else target
    with (
        stoppable("interrupted: nothing was written") as controls,
        imseek.open(source.path, runtime=runtime, notify=say) as handle,
    ):
        report = exporting.write(
            handle,
            out,
            format=form,
            where=None if query is not None else flags.options.where,
            tags=tag or (),
            ids=id_list,
            query=query,
            space=space,
            options=options,
            force=force,
            **controls,
        )
    if as_json:
        print_answer(report, source, uuid=report.collection)
    else:
        _say_report(report)
    return 3 if strict and report.skipped else 0


def _check_no_query(flags: QueryFlags, limit: int | None) -> None:
    """Raise UsageError for flags that need a query."""
    options = flags.options
    for value, flag in (
        (options.min_score, "--min-score"),
        (flags.cutoff, "--cutoff"),
        (options.exact, "--exact"),
    ):
        if value:
            raise UsageError(f"{flag} goes with a search", hint="--text WORDS, or --like PICTURE")
    if limit is not None or options.by != "auto":
        raise UsageError(
            f"{'--limit' if limit is not None else '--by'} goes with a search",
            hint="--text WORDS, or --like PICTURE; `imseek sample` chooses a few of many",
        )


def _query(flags: QueryFlags, texts: Sequence[str], limit: int | None) -> Query:
    from imseek.export import LIMIT

    limited = flags.with_limit(limit or LIMIT)
    for note in limited.notes(texts):
        say(note)
    return limited.query(texts)


def _say_report(report: ExportReport) -> None:
    for one in report.skipped[:_MAX_SKIPPED]:
        location = "" if one.place is None else f", {one.place.display}"
        say(f"cannot read the picture of image {one.image_id}{location}: {printable(one.message)}")
    if (more := len(report.skipped) - _MAX_SKIPPED) > 0:
        say(f"no picture of {format_count(more, 'more image')} (all of them with --json)")
    for note in report.notes:
        say(printable(note))
    if report.target == b"-":
        return
    files = "" if report.files == 1 else f" in {format_count(report.files, 'file')}"
    linked = f", {report.linked:,} of them linked" if report.linked else ""
    say(
        f"wrote {printable(os.fsdecode(report.target))} ({report.format}): {format_count(report.images, 'image')}, "
        f"{format_size(report.bytes)}{files}{linked}"
    )
