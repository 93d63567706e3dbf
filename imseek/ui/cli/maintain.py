"""``imseek maintain``: maintain a collection, or change its encoders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

import imseek
from imseek.errors import UsageError
from imseek.ocr.results import OcrReport
from imseek.types.json_form import Json
from imseek.types.maintenance_reports import (
    BuildReport,
    CaptionReport,
    CatalogReport,
    DropReport,
    MeasureReport,
    MergeReport,
    MissingPicture,
    PurgeReport,
    ReencodeReport,
    TokenReport,
)
from imseek.ui.cli import common_options as options
from imseek.ui.cli import index_build
from imseek.ui.cli.command_classes import Group
from imseek.ui.cli.command_run import Run
from imseek.ui.cli.common_options import rare, refuse_both_forms
from imseek.ui.cli.index_build import IndexOption, MemoryOption, RecallOption, RenewOption
from imseek.ui.cli.output import say
from imseek.ui.cli.runtime_flags import with_runtime
from imseek.ui.render.ocr_text import earlier_recogniser_lines, ocr_lines
from imseek.ui.render.result_json import print_answer
from imseek.ui.render.text import table
from imseek.ui.render.vector_index_text import build_lines
from imseek.ui.render.words import format_count, format_size, printable

if TYPE_CHECKING:
    from imseek import Runtime

_MAX_MISSING: Final = 20


@dataclass(slots=True)
class Maintenance:
    """What was done; null for tasks that were not requested."""

    merge: MergeReport | None = None
    purge: PurgeReport | None = None
    captions: CaptionReport | None = None
    measured: MeasureReport | None = None
    ocr: Annotated[OcrReport | None, Json(omit_none=True)] = None
    """Only where the text in pictures was to be read."""
    tokens: Annotated[TokenReport | None, Json(omit_none=True)] = None
    """Only where tokens were to be made."""
    reencode: ReencodeReport | None = None
    dropped: DropReport | None = None
    index: tuple[BuildReport, ...] | None = None
    """A report for each space."""
    catalog: Annotated[CatalogReport | None, Json(omit_none=True)] = None
    """Only where it was to be moved."""


app = Group()


@app.command(
    "imseek maintain",
    "imseek maintain --purge",
    "imseek maintain --ocr",
    "imseek maintain --tokens",
    "imseek maintain --reencode default",
    "imseek maintain --add-space timm:vit_small_patch14_dinov2.lvd142m",
    "imseek maintain --drop-space 0",
    "imseek maintain --catalog postgresql://imseek@db.example/pictures",
    "imseek maintain --index auto --memory 4GB --recall 0.95",
)
@with_runtime()
def maintain(
    run: Run,
    merge: Annotated[bool, typer.Option("--merge", help="Merge small shards, as `imseek index` also does.")] = False,
    purge: Annotated[
        bool,
        typer.Option(
            "--purge",
            help="Erase every byte of images that were removed from the collection, including its own backup files.",
        ),
    ] = False,
    reencode: Annotated[
        str | None,
        typer.Option(
            "--reencode",
            metavar="REFERENCE",
            help="Encode every picture with another encoder, then use its vectors for search; the old ones are kept.",
        ),
    ] = None,
    add_space: Annotated[
        str | None,
        typer.Option(
            "--add-space",
            metavar="REFERENCE",
            help="Encode every picture with one more encoder, beside those in use.",
        ),
    ] = None,
    space: Annotated[
        int | None,
        options.space("The vector space that --reencode replaces, if there are several.", metavar="N"),
    ] = None,
    allow_missing: Annotated[bool, options.allow_missing("Switch even if many pictures cannot be read now.")] = False,
    drop_space: Annotated[
        int | None,
        typer.Option(
            "--drop-space",
            metavar="N",
            help="Drop a vector space, the vectors of one encoder (`imseek info` lists them).",
        ),
    ] = None,
    captions: Annotated[
        bool,
        typer.Option(
            "--captions",
            help="Embed the collection's captions, for `search --by caption`; no picture is read.",
        ),
    ] = False,
    ocr: Annotated[
        bool | None,
        typer.Option(
            "--ocr/--no-ocr",
            help="Read the text in pictures that was not read yet, and from then on that of new pictures when they "
            "are indexed; --no-ocr deletes it.",
            show_default=False,
            callback=refuse_both_forms,
        ),
    ] = None,
    tokens: Annotated[
        bool | None,
        typer.Option(
            "--tokens/--no-tokens",
            help="Make tokens of pictures that have none yet, for `search --rerank tokens`, by the model that "
            "`imseek tune --reranker` learned (49 kB a picture with `builtin`); --no-tokens deletes both.",
            show_default=False,
            callback=refuse_both_forms,
        ),
    ] = None,
    measure: Annotated[
        bool,
        rare("--measure", help="Measure the quality of pictures indexed by an early version of imseek."),
    ] = False,
    catalog: Annotated[
        str | None,
        rare(
            "--catalog",
            metavar="URL|sqlite",
            help="Move the catalog to this PostgreSQL database, or back to SQLite; or give the new "
            "address of its database.",
        ),
    ] = None,
    index: IndexOption = None,
    memory: MemoryOption = None,
    recall: RecallOption = None,
    renew: RenewOption = None,
    *,
    runtime: Runtime,
) -> int:
    """Tidy a collection, or change its encoders. Without an option, do what is due: merge shards, delete old
    files, build the index."""
    from imseek import maintenance
    from imseek.ocr import check_installed

    if index is None and (memory, recall, renew) != (None, None, None):
        raise UsageError("--memory, --recall and --renew go with --index")
    index_build.check(memory, recall)
    if ocr:
        check_installed()  # before minutes of other work
    if reencode is not None and add_space is not None:
        raise UsageError("--reencode and --add-space exclude each other")
    if reencode is None and (space is not None or (allow_missing and add_space is None)):
        raise UsageError("--space and --allow-missing go with --reencode")
    if drop_space is not None:
        _check_space(run.path, drop_space)  # before minutes of other work
    answer = Maintenance()
    code = 0
    if catalog is not None:
        answer.catalog = maintenance.move_catalog(run.path, catalog)
        run.print_lines([_catalog_line(answer.catalog)])
    reference = add_space if reencode is None else reencode
    if reference is not None:
        with run.work() as controls:
            answer.reencode = maintenance.reencode(
                run.path,
                reference,
                space=space,
                add=add_space is not None,
                allow_missing=allow_missing,
                runtime=runtime,
                notify=say,
                **controls,
            )
        outcome = answer.reencode.outcome
        code = 1 if outcome == "refused" else run.exit_code(outcome == "interrupted")
        run.print_lines(reencode_lines(answer.reencode))
    if drop_space is not None and not code:
        answer.dropped = maintenance.drop_space(run.path, drop_space)
        run.print_lines([_drop_line(answer.dropped)])
    if captions and not code:
        with run.work() as controls:
            answer.captions = maintenance.embed_captions(run.path, runtime=runtime, notify=say, **controls)
        code = run.exit_code(answer.captions.outcome == "interrupted")
        run.print_lines(_caption_lines(answer.captions))
    if measure and not code:
        with run.work() as controls:
            answer.measured = maintenance.measure(run.path, **controls)
        code = run.exit_code(answer.measured.interrupted)
        run.print_lines([_measured_line(answer.measured)])
    if ocr is not None and not code:
        code = _read_texts(run, answer) if ocr else _forget_texts(run)
    if tokens is not None and not code:
        code = _make_tokens(run, answer, runtime) if tokens else _forget_tokens(run)
    if index is not None and not code:
        policy = index_build.new_policy(run.path, index, memory, recall, renew)
        with run.work() as controls:
            answer.index = maintenance.build_index(run.path, policy, **controls)
        code = run.exit_code(any(report.outcome == "interrupted" for report in answer.index))
        run.print_lines(build_lines(answer.index))
    choices = (drop_space, reference, index, catalog, ocr, tokens)
    has_option = purge or captions or measure or any(option is not None for option in choices)
    if (merge or not has_option) and not code:
        with run.work() as controls:
            answer.merge = maintenance.merge(run.path, **controls)
        code = run.exit_code(run.stop.is_set())
        run.print_lines(_merge_lines(answer.merge))
    if purge and not code:
        with run.work() as controls:
            answer.purge = maintenance.purge(run.path, **controls)
        run.print_lines([_purge_line(answer.purge), *map(printable, answer.purge.notes)])
    if run.as_json:
        print_answer(answer, run.target)
    return code


def _read_texts(run: Run, answer: Maintenance) -> int:
    from imseek.ocr import recognise

    with run.work() as controls:
        answer.ocr = recognise(run.path, **controls)
    run.print_lines([*ocr_lines(answer.ocr), *earlier_recogniser_lines(answer.ocr)])
    return run.exit_code(answer.ocr.interrupted)


def _forget_texts(run: Run) -> int:
    from imseek import ocr

    was_active = ocr.is_active(run.path)
    if was_active:
        ocr.forget(run.path)
    run.print_lines(["deleted the text of pictures; new pictures are not read" if was_active else "nothing to delete"])
    return 0


def _make_tokens(run: Run, answer: Maintenance, runtime: Runtime) -> int:
    from imseek import maintenance

    with run.work() as controls:
        answer.tokens = maintenance.make_tokens(run.path, runtime=runtime, notify=say, **controls)
    run.print_lines(_token_lines(answer.tokens))
    return 1 if answer.tokens.outcome == "refused" else run.exit_code(answer.tokens.outcome == "interrupted")


def _forget_tokens(run: Run) -> int:
    from imseek import maintenance

    existed = maintenance.forget_tokens(run.path)
    run.print_lines(["deleted the tokens of pictures and their model" if existed else "nothing to delete"])
    return 0


def _check_space(path: Path, space_id: int) -> None:
    with imseek.open(path) as collection:
        info = collection.info()
    space_ids = [summary.space.space_id for summary in info.spaces]
    space_ids += [other.space.space_id for other in info.other_spaces]
    if space_id not in space_ids:
        raise UsageError(
            f"no space {space_id} in this collection (there are: {', '.join(map(str, sorted(space_ids)))})"
        )


def reencode_lines(report: ReencodeReport) -> list[str]:
    """Format a re-encoding report for the user."""
    encoder = printable(report.encoder)
    summary = f"{report.encoded:,} of {format_count(report.images, 'image')} encoded in {report.seconds:.1f} s"
    if report.copied:
        summary += f", {format_count(report.copied, 'copy', 'copies')}"
    if report.before:
        summary += f", {report.before:,} were there before"
    previous = f"; space {report.replaced} is kept (`--drop-space {report.replaced}`)"
    lines = {
        "switched": f"now searched by {encoder} (space {report.space_id}): {summary}"
        + ("" if report.replaced is None else previous),
        "already": f"searched by {encoder} already (space {report.space_id})",
        "interrupted": f"interrupted: {summary}; what was built is kept, and the same command goes on from here",
        "refused": f"not switched to {encoder}: {summary}",
    }
    return [lines[report.outcome], *_missing_lines(report.missing), *map(printable, report.notes)]


def _missing_lines(pictures: Sequence[MissingPicture]) -> list[str]:
    rows = [
        (
            picture.reason,
            f"{'' if picture.place is None else picture.place.display}: {printable(picture.message)}",
        )
        for picture in pictures[:_MAX_MISSING]
    ]
    lines = [table(("reason", "picture"), rows)] if rows else []
    if len(pictures) > _MAX_MISSING:
        lines.append(f"and {len(pictures) - _MAX_MISSING:,} more (--json lists all)")
    return lines


def _token_lines(report: TokenReport) -> list[str]:
    count = report.encoded + report.copied
    size = f"{format_size(report.bytes_each)} each, {format_size(report.bytes_each * report.images)} in all"
    line = {
        "made": f"made tokens of {format_count(count, 'picture')} ({size}; {report.seconds:.1f} s)",
        "already": f"all of {format_count(report.images, 'picture')} have tokens already ({size})",
        "interrupted": f"interrupted: {format_count(count, 'picture')} got tokens; the same command goes on from here",
        "refused": f"not finished: {format_count(count, 'picture')} got tokens, {len(report.missing):,} could not be "
        "read; make them readable, or `imseek index` where files were deleted or changed, then the same command goes "
        "on",
    }[report.outcome]
    return [line, *_missing_lines(report.missing)]


def _catalog_line(report: CatalogReport) -> str:
    where = "in the collection's folder (SQLite)" if report.catalog == "sqlite" else f"at {report.catalog}"
    copied = f": {format_count(report.rows, 'row')} copied" if report.rows else ""
    return f"the catalog is {printable(where)}{copied}"


def _drop_line(report: DropReport) -> str:
    freed = f"{format_count(report.files, 'file')} ({format_size(report.bytes)})"
    return f"dropped space {report.space_id} ({printable(report.encoder)}): {freed} go with time, or with --purge"


def _caption_lines(report: CaptionReport) -> list[str]:
    if report.outcome == "interrupted":
        return ["interrupted: what was embedded is kept; the same command goes on from here"]
    coverage = f"{report.captions:,} of {format_count(report.images, 'image')} have a caption"
    already = f"captions are embedded already with {printable(report.encoder)}: {coverage}"
    new = f"embedded captions with {printable(report.encoder)}: {coverage} ({report.seconds:.1f} s)"
    return [already if report.outcome == "already" else new, *map(printable, report.notes)]


def _measured_line(report: MeasureReport) -> str:
    if not report.missing:
        return f"all of {format_count(report.images, 'image')} are measured"
    summary = f"measured {report.measured:,} of {format_count(report.missing, 'image')} ({report.seconds:.1f} s)"
    if report.unreadable:
        summary += f"; {report.unreadable:,} could not be read, or have changed"
    return f"interrupted: {summary}; the same command goes on from here" if report.interrupted else summary


def _merge_lines(report: MergeReport) -> list[str]:
    lines = []
    if report.merges:
        lines.append(f"merged: {format_count(report.shards_before, 'shard')} before, {report.shards:,} now")
    if report.removed:
        lines.append(f"removed {format_count(report.removed, 'file')} that nothing uses any more")
    lines += map(printable, report.notes)
    return lines or ["nothing to do"]


def _purge_line(report: PurgeReport) -> str:
    counts = (
        (report.images, format_count(report.images, "image")),
        (report.records, format_count(report.records, "row")),
        (report.shards, f"{format_count(report.shards, 'shard')} written anew"),
        (report.files, f"{format_count(report.files, 'file')} ({format_size(report.bytes)})"),
    )
    summary = ", ".join(text for number, text in counts if number)
    return f"purged{': ' if summary else ''}{summary}; no file holds anything of what has left the collection"
