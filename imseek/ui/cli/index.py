"""``imseek index``: index pictures into a collection, or update it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

import imseek
from imseek import library
from imseek.errors import CollectionExistsError, ImseekError, MissingExtraError, UsageError
from imseek.library import ResolvedCollection
from imseek.ocr.results import OcrReport
from imseek.types.indexing_runs import IndexReport
from imseek.types.json_form import Json
from imseek.types.truncated_encoder_references import truncated_reference
from imseek.ui.cli import common_options as options
from imseek.ui.cli import notice_history
from imseek.ui.cli.collection_choice import resolve_collection
from imseek.ui.cli.command_classes import Group
from imseek.ui.cli.common_options import CollectionOption, JsonOption, current_folder, rare, refuse_both_forms
from imseek.ui.cli.configured_defaults import configured_defaults, configured_encoder
from imseek.ui.cli.download_progress import download_bar
from imseek.ui.cli.executor_flags import EXECUTOR_FLAGS
from imseek.ui.cli.flag_groups import with_groups
from imseek.ui.cli.output import say, say_collection, say_waiting
from imseek.ui.cli.progress import StopSignals, progress_bar
from imseek.ui.cli.runtime_flags import runtime_flags
from imseek.ui.cli.skip_known_flags import SKIP_KNOWN_FLAGS, SkipKnown
from imseek.ui.cli.source_flags import (
    SOURCE_FLAGS,
    check_paths,
    check_quotes,
    read_names,
    split_stdin,
    with_named_encoder,
)
from imseek.ui.render.indexing_text import encoder_lines, plan_summary, summary
from imseek.ui.render.result_json import print_answer
from imseek.ui.render.words import printable

if TYPE_CHECKING:
    from imseek import Collection, Ray, Runtime, SourceOptions

AlsoOption: TypeAlias = Annotated[
    list[str] | None,
    rare(
        "--also",
        metavar="REFERENCE",
        help="For a new collection: another encoder, used when pictures are compared; may be repeated.",
    ),
]

CaptionsOption: TypeAlias = Annotated[
    bool,
    typer.Option("--captions", help="For a new collection: also embed captions, for `search --by caption`."),
]

UntrustedOption: TypeAlias = Annotated[
    bool, rare("--untrusted", help="Decode every format in a confined process (this run only).")
]
OcrOption: TypeAlias = Annotated[
    bool | None,
    typer.Option(
        "--ocr/--no-ocr",
        help="Then read the text in pictures (the collection remembers this); --no-ocr: not in this run.",
        show_default=False,
        callback=refuse_both_forms,
    ),
]

NOTHING_INDEXED = 3


@dataclass(frozen=True, slots=True)
class IndexRun:
    """One run of `imseek index` or `imseek watch`."""

    report: Annotated[IndexReport, Json(inline=True)]
    created: bool = False
    """True where this run made the collection, and something came into it."""
    dry_run: bool = False
    """True where nothing was read or changed: ``added`` counts what is new, ``changed`` what may have changed,
    ``removed`` what is gone from its place."""
    ocr: Annotated[OcrReport | None, Json(omit_none=True)] = None
    """Only where the text in pictures is read."""


app = Group()


@app.command(
    "imseek index ~/Pictures",
    "imseek index ~/Scans -c scans --ocr",
    "imseek index /media/disk/photos --here",
    "imseek index ~/shards dataset.parquet https://example.org/photo.jpg",
    "find ~/Pictures -name '*.jpg' -print0 | imseek index - -0",
    "imseek index ~/Pictures --exclude thumbnails --dry-run",
    "imseek index",
    "imseek index /media/card --skip-known",
    "imseek index ~/new -c new --skip-known-in photos",
    "imseek index ~/Downloads -c downloads --untrusted",
    "imseek index ~/Pictures --background",
    "imseek index /shared/photos -c photos --executor ray --address auto",
)
@with_groups(runtime=runtime_flags(), source=SOURCE_FLAGS, skip_known=SKIP_KNOWN_FLAGS, executor=EXECUTOR_FLAGS)
def index(
    context: typer.Context,
    paths: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PATH...",
            help="Folders, pictures, archives, tables or URLs; - reads names from stdin. Without any, "
            "update all sources.",
        ),
    ] = None,
    files_from: Annotated[
        list[str] | None,
        typer.Option("--files-from", metavar="FILE", help="Read names and URLs of pictures from FILE, one per line."),
    ] = None,
    null: Annotated[bool, options.null("Names in lists end in a NUL byte instead of a newline.")] = False,
    collection: CollectionOption = None,
    here: Annotated[
        bool,
        typer.Option(
            "--here",
            help="Create the collection in PATH/.imseek, with relative paths, so that both can move together.",
        ),
    ] = False,
    encoder: Annotated[
        str | None,
        typer.Option(
            "--encoder",
            metavar="REFERENCE",
            help="For a new collection: its encoder (default: auto, see `imseek config`).",
        ),
    ] = None,
    dim: Annotated[
        int | None,
        rare(
            "--dim",
            metavar="N",
            min=1,
            help="With --encoder: keep the first N numbers of its vectors; only for models trained for that length.",
        ),
    ] = None,
    also: AlsoOption = None,
    captions: CaptionsOption = False,
    ocr: OcrOption = None,
    limit: Annotated[
        int | None,
        typer.Option("--limit", metavar="N", min=1, help="Read at most N pictures; a later run continues from there."),
    ] = None,
    dry_run: Annotated[bool, options.dry_run("Show what would be done, without changing anything.")] = False,
    rehash: Annotated[
        bool, rare("--rehash", help="Read every file again, even if its size and times are unchanged.")
    ] = False,
    retry_failed: Annotated[bool, rare("--retry-failed", help="Try again to read files that failed before.")] = False,
    follow_symlinks: Annotated[bool, rare("--follow-symlinks", help="Follow symbolic links to folders.")] = False,
    untrusted: UntrustedOption = False,
    strict: Annotated[bool, options.strict("Exit with 3 if anything was skipped.")] = False,
    background: Annotated[
        bool, typer.Option("--background", help="Return at once and run in the background (see imseek jobs).")
    ] = False,
    as_json: JsonOption = False,
    *,
    runtime: Runtime,
    source: SourceOptions | None,
    skip_known: SkipKnown,
    executor: Ray | None,
) -> int:
    """Index pictures. The first run creates the collection; later runs read only new and changed files."""
    inputs, from_stdin = split_stdin(paths or [])
    check_quotes(inputs)
    if background and (from_stdin or dry_run):
        raise UsageError("--background takes neither names from stdin nor --dry-run")
    names = read_names([*(files_from or []), *(["-"] if from_stdin else [])], null=null)
    has_list = bool(files_from) or from_stdin
    if has_list and not names and not inputs:
        raise UsageError("the list contains no names")
    if ocr:
        _check_ocr()
    target = _local_collection(inputs, collection) if here else choose_for_index(inputs, has_list, collection)
    source, encoder = with_named_encoder(source, inputs, _with_dim(encoder, dim))
    skip_known.folders(target.path)  # Detect a misspelt name before anything is created.
    opening = partial(
        open_for_index, target, inputs, encoder, also or [], runtime, captions=captions, here=here, quiet=as_json
    )
    if background:
        # Created here, to show encoder errors and long downloads at once.
        with opening(dry_run=False):
            pass
        in_background(target, context.obj, as_json=as_json)
        return 0
    with opening(dry_run=dry_run) as handle, StopSignals() as signals:
        with progress_bar() as progress:
            report = handle.index(
                inputs,
                names=names,
                source=source,
                limit=limit,
                dry_run=dry_run,
                progress=progress,
                rehash=rehash,
                retry_failed=retry_failed,
                follow_symlinks=follow_symlinks,
                skip_known=skip_known.folders(target.path),
                untrusted=untrusted,
                executor=executor,
                stop=signals.event,
            )
        if not as_json:
            print("\n".join(plan_summary(report) if dry_run else summary(report)), flush=True)
        texts = None
        if not dry_run and not report.interrupted:
            texts = _read_texts(target, signals, ocr=ocr, quiet=as_json)
        created = not target.exists and not dry_run
        fruitless = created and not (report.live or report.skipped or report.interrupted)
        if as_json:
            print_answer(IndexRun(report, created and not fruitless, dry_run, texts), target)
        if report.interrupted or (texts is not None and texts.interrupted):
            return signals.exit_code
    if fruitless and _delete_empty(target) and not as_json:
        say(f"the new collection {printable(target.name)} is empty, and was deleted again")
    return _exit_code(report, strict=strict)


def index_folder(folder: Path, collection: str | None, runtime: Runtime) -> ResolvedCollection:
    """Index a folder as `imseek index FOLDER` does, with its report on stderr; returns the collection.

    Raises typer.Exit when interrupted.
    """
    target = choose_for_index([str(folder)], False, collection)
    opening = open_for_index(
        target, [str(folder)], None, [], runtime, captions=False, here=False, quiet=False, dry_run=False
    )
    settings = configured_defaults("index", ("ocr", "untrusted"), quiet=True)
    with opening as handle, StopSignals() as signals:
        with progress_bar() as progress:
            untrusted = settings.get("untrusted", False)
            report = handle.index([folder], untrusted=untrusted, progress=progress, stop=signals.event)
        say("\n".join(summary(report)))
        if not report.interrupted:
            _read_texts(target, signals, ocr=settings.get("ocr"), quiet=True)
    if report.interrupted:
        raise typer.Exit(signals.exit_code)
    return target


def _with_dim(encoder: str | None, dim: int | None) -> str | None:
    if dim is None:
        return encoder
    if encoder is None or encoder == "auto":
        raise UsageError("--dim is for an encoder that --encoder names")
    return truncated_reference(dim, encoder)


def _check_ocr() -> None:
    from imseek.ocr import check_installed

    check_installed()


def _read_texts(target: ResolvedCollection, signals: StopSignals, *, ocr: bool | None, quiet: bool) -> OcrReport | None:
    """Read the text in new pictures, which can be found already; None where the collection is not read."""
    from imseek.ocr import is_active, recognise
    from imseek.ui.render.ocr_text import ocr_lines

    if not (is_active(target.path) if ocr is None else ocr):
        return None
    try:
        with progress_bar() as progress:
            report = recognise(target.path, progress=progress, stop=signals.event)
    except MissingExtraError as error:
        if ocr:
            raise
        say(f"the text in new pictures is not read: {error} ({error.hint})")
        return None
    if not quiet:
        print("\n".join(ocr_lines(report)))
    return report


def in_background(target: ResolvedCollection, arguments: Sequence[str], *, as_json: bool) -> None:
    """Run the command line ``arguments``, without ``--background``, as a job, and say how to follow it."""
    import imseek.jobs
    from imseek.ui.cli.job_answers import JobAnswer
    from imseek.ui.cli.jobs import started_lines

    command = list(arguments)
    command.remove("--background")  # The first one: what follows `--` is a path.
    job = imseek.jobs.start(target.path, command)
    if as_json:
        print_answer(JobAnswer(job), target)
    else:
        print("\n".join(started_lines(job)))


def _local_collection(paths: list[str], collection: str | None) -> ResolvedCollection:
    if collection is not None:
        raise UsageError("--here and --collection exclude each other")
    if len(paths) != 1 or not Path(paths[0]).is_dir():
        raise UsageError("--here takes exactly one folder", hint="imseek index FOLDER --here")
    path = Path(paths[0]).absolute() / library.LOCAL_FOLDER
    return ResolvedCollection(path, str(path), "--here", exists=library.is_collection(path))


def choose_for_index(paths: list[str], has_list: bool, collection: str | None) -> ResolvedCollection:
    """Resolve the collection to index ``paths`` into; without paths or a list of them, it must exist."""
    if not paths and not has_list:
        return resolve_collection(collection)
    return library.resolve_for_index(collection, cwd=current_folder(), environ=os.environ)


@contextmanager
def open_for_index(
    target: ResolvedCollection,
    paths: list[str],
    encoder: str | None,
    also: list[str],
    runtime: Runtime,
    *,
    captions: bool,
    here: bool,
    quiet: bool,
    dry_run: bool,
) -> Iterator[Collection]:
    """Open the collection to index into, and create it if it is new; tells the user its place and encoders."""
    if not target.exists:
        check_paths(paths)  # before creating anything; Collection.index handles absent disks
    if dry_run and not target.exists:
        # A placeholder: what would be indexed does not depend on the encoder.
        from imseek.collection import temporary_collection

        with temporary_collection() as collection:
            yield collection
        return
    new_collection = None
    if not target.exists:
        new_collection = _create(target, encoder, also, runtime, captions=captions, here=here, quiet=quiet)
    try:
        with new_collection or imseek.open(target.path, runtime=runtime, notify=say) as collection:
            if new_collection is None:
                _check_encoders(collection, target, encoder, also, captions=captions)
                if not quiet:
                    say_collection(target)
            yield collection
    except ImseekError:
        if new_collection is not None:
            _delete_empty(target)
        raise


def _delete_empty(target: ResolvedCollection) -> bool:
    """Delete a collection that a run has just created, if nothing came into it; returns whether it was deleted."""
    from imseek import overview

    try:
        if overview.read_state(target.path).images:
            return False
        library.delete(target.path, target.name)
    except (ImseekError, OSError):
        return False
    return True


def _create(
    target: ResolvedCollection,
    encoder: str | None,
    also: list[str],
    runtime: Runtime,
    *,
    captions: bool,
    here: bool,
    quiet: bool,
) -> Collection | None:
    """Create a collection; returns None if another process has just created it."""
    if not quiet:
        say_waiting("loading the encoder …")
    try:
        with download_bar():
            collection = imseek.create(
                target.path,
                encoder=encoder or configured_encoder(),
                also=also,
                captions=captions,
                here=here,
                runtime=runtime,
                notify=say,
            )
    except CollectionExistsError:
        if not library.is_collection(target.path):
            raise
        return None
    if not quiet:
        say(f"new collection: {printable(target.name)} in {printable(str(target.path))}")
        lines = encoder_lines(collection.info())
        say("\n".join(lines))
        notice_history.record_basic(lines)
    return collection


def _check_encoders(
    collection: Collection, target: ResolvedCollection, encoder: str | None, also: list[str], *, captions: bool
) -> None:
    """Raise UsageError if the collection was made with other encoders than requested."""
    if encoder in (None, "auto") and not also and not captions:
        return
    from imseek.encoders import AUTO, canonical

    spaces = [summary.space for summary in collection.info().spaces]
    main, *more = [space.encoder for space in spaces if space.modality == "image"]
    if captions and not any(space.modality == "text" for space in spaces):
        raise UsageError(
            f"the captions of {target.name} are not embedded",
            hint="`imseek maintain --captions` embeds them; later runs will then embed new captions too",
        )
    if encoder not in (None, AUTO) and canonical(encoder) != main:
        raise UsageError(
            f"{target.name} is encoded with {main}, not with {encoder}",
            hint=f"`imseek maintain --reencode {encoder}` switches to it; `-c NAME` creates another collection",
        )
    if missing := [one for one in also if one != AUTO and canonical(one) not in more]:
        raise UsageError(
            f"{target.name} has no space of {missing[0]}, only of {' and '.join([main, *more])}",
            hint=f"`imseek maintain --add-space {missing[0]}` adds one; every picture is encoded again for it",
        )


def _exit_code(report: IndexReport, *, strict: bool) -> int:
    touched = report.added + report.changed + report.moved + report.copied + report.unchanged + report.removed
    touched += report.known
    if touched == 0 or (strict and report.skipped):
        return NOTHING_INDEXED
    return 0
