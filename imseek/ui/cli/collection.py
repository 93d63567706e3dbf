"""``imseek collection``: manage, verify and repair collections."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Annotated, Final, TypeAlias

import typer

import imseek
from imseek import library
from imseek.errors import CollectionExistsError, CollectionNotFoundError, ImseekError, UsageError
from imseek.library import NamedCollection, ResolvedCollection
from imseek.types.json_form import Count, FilePath, Printable
from imseek.types.maintenance_reports import Problem
from imseek.types.trust import TrustRecord
from imseek.ui.cli import common_options as options
from imseek.ui.cli import notice_history
from imseek.ui.cli.collection_choice import merge_names, resolve_collection
from imseek.ui.cli.command_classes import Group
from imseek.ui.cli.common_options import CollectionOption, JsonOption, current_folder
from imseek.ui.cli.configured_defaults import configured_encoder
from imseek.ui.cli.download_progress import download_bar
from imseek.ui.cli.flag_groups import with_groups
from imseek.ui.cli.index import AlsoOption, CaptionsOption
from imseek.ui.cli.list_output_flags import LIST_FLAGS, ListFlags
from imseek.ui.cli.output import say, say_collection, say_waiting
from imseek.ui.render.indexing_text import encoder_lines
from imseek.ui.render.result_json import print_answer, print_json, to_json
from imseek.ui.render.text import table
from imseek.ui.render.words import format_count, format_size, printable

app = Group(
    "List, create, rename, delete, verify and repair collections.",
    "imseek collection list",
    "imseek collection verify holidays",
)

_COLUMNS: Final = ("name", "path", "path_b64", "images", "problem")
NameArgument: TypeAlias = Annotated[
    str | None,
    typer.Argument(metavar="COLLECTION", help="Name or path (default: the one a search would use)."),
]


@dataclass(frozen=True, slots=True)
class ListedCollection:
    """A named collection."""

    name: Printable
    path: FilePath
    images: Count | None
    problem: str | None
    """Why it does not open."""


@dataclass(frozen=True, slots=True)
class CollectionList:
    """The named collections."""

    collections: tuple[ListedCollection, ...]


@dataclass(frozen=True, slots=True)
class TrustReport:
    """Whether a collection is trusted."""

    trusted: bool
    """Whether it is trusted now."""
    problems: tuple[Problem, ...] = ()
    """What verifying it found; empty with ``--forget``."""


@dataclass(frozen=True, slots=True)
class TrustList:
    """The trusted collections."""

    trusted: tuple[TrustRecord, ...]


@app.command("imseek collection list", "imseek collection list --csv collections.csv", name="list")
@with_groups(output=LIST_FLAGS)
def list_(*, output: ListFlags) -> None:
    """List the named collections."""
    states = [(entry, _image_count(entry)) for entry in library.list_collections(os.environ)]
    collections = tuple(ListedCollection(entry.name, os.fsencode(entry.path), *state) for entry, state in states)
    output.write(_COLUMNS, map(to_json, collections))
    if output.as_json:
        print_json(CollectionList(collections))
        return
    if not states:
        say("no collection yet: `imseek index FOLDER` creates one")
        return
    rows = [
        (entry.name, "?" if images is None else f"{images:,}", printable(problem or str(entry.path)))
        for entry, (images, problem) in states
    ]
    output.print_list(table(("name", "images", "path"), rows, right=(1,)))


@app.command(
    "imseek collection create holidays",
    "imseek collection create new --encoder builtin",
    "imseek collection create shared --catalog postgresql://imseek@db.example/pictures",
    "imseek collection create two --encoder default --also timm:vit_small_patch14_dinov2.lvd142m",
)
def create(
    name: Annotated[
        str,
        typer.Argument(metavar="NAME|PATH", help="The name of the collection, or a folder to create it in."),
    ],
    encoder: Annotated[
        str | None,
        typer.Option(
            "--encoder", metavar="REFERENCE", help="The encoder of the collection (default: auto, see `imseek config`)."
        ),
    ] = None,
    also: AlsoOption = None,
    captions: CaptionsOption = False,
    catalog: Annotated[
        str | None,
        typer.Option(
            "--catalog",
            metavar="URL",
            help="Keep the catalog in this PostgreSQL database, so that several hosts can share it. The "
            "URL must not contain a password.",
        ),
    ] = None,
) -> None:
    """Create an empty collection."""
    target = library.locate(name, cwd=current_folder(), environ=os.environ)
    if library.is_collection(target.path):
        raise CollectionExistsError(f"there is already a collection {target.name!r}")
    say_waiting("loading the encoder …")
    with download_bar():
        collection = imseek.create(
            target.path,
            encoder=encoder or configured_encoder(),
            also=also or (),
            captions=captions,
            catalog=catalog,
            notify=say,
        )
    with collection:
        encoder_is = encoder_lines(collection.info())
    print(f"created {printable(target.name)} in {printable(str(target.path))}")
    print("\n".join(encoder_is))
    notice_history.record_basic(encoder_is)


@app.command("imseek collection rename holidays holidays-2025")
def rename(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The current name of the collection.")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="The new name of the collection.")],
) -> None:
    """Rename a collection."""
    library.rename(name, new, os.environ)
    print(f"{name} is now {new}")


@app.command("imseek collection delete holidays", "imseek collection delete old --yes")
def delete(
    name: Annotated[str | None, typer.Argument(metavar="NAME|PATH", help="The name or path of the collection.")] = None,
    yes: Annotated[bool, options.yes("Delete without asking.")] = False,
    collection: CollectionOption = None,
) -> None:
    """Delete a collection. The pictures it was made from stay."""
    name_or_path = merge_names(name, collection)
    if name_or_path is None:  # a default would be a trap
        raise UsageError("no collection is named", hint="imseek collection delete NAME")
    doomed = library.locate(name_or_path, cwd=current_folder(), environ=os.environ)
    if not library.is_collection(doomed.path):
        raise CollectionNotFoundError(
            f"no collection {name_or_path!r}", hint="`imseek collection list` shows the existing ones"
        )
    images, problem = _image_count(doomed)
    contents = problem if images is None else format_count(images, "image")
    if not yes:
        typer.confirm(f"Delete the collection in {printable(str(doomed.path))} ({contents})?", abort=True, err=True)
    library.delete(doomed.path, doomed.name)
    print(f"deleted {printable(doomed.name)}; the pictures are untouched")


@app.command("imseek collection verify", "imseek collection verify holidays --json")
def verify(name: NameArgument = None, collection: CollectionOption = None, as_json: JsonOption = False) -> int:
    """Check every file of a collection against its checksum. Exits with 1 if there is a problem."""
    from imseek import maintenance

    target = _find_for_maintenance(merge_names(name, collection), quiet=as_json)
    report = maintenance.verify(target.path)
    if as_json:
        print_answer(report, target)
        return 0 if report.ok else 1
    for problem in report.problems:
        print(f"{problem.kind}  {printable(problem.file)}: {printable(problem.message)}")
    print(
        f"{format_count(len(report.problems), 'problem')} in {format_count(report.files_checked, 'file')}"
        f" ({format_size(report.bytes_checked)})"
    )
    if not report.ok:
        say("hint: `imseek collection repair` repairs what it can, and reports what is lost")
    return 0 if report.ok else 1


@app.command("imseek collection trust /srv/photos/.imseek", "imseek collection trust --list")
def trust(
    name: NameArgument = None,
    listing: Annotated[bool, options.list_("List the trusted collections, without changing anything.")] = False,
    forget: Annotated[bool, typer.Option("--forget", help="Stop trusting the collection.")] = False,
    force: Annotated[bool, options.force("Trust it even if the checks find problems.")] = False,
    collection: CollectionOption = None,
    as_json: JsonOption = False,
) -> int:
    """Trust a collection, because you know who made it, so that it can be written to (docs/security.md).

    Collections made on this machine are trusted already. Every file is checked first. Exits with 1 if a check fails.
    """
    from imseek import maintenance

    name_or_path = merge_names(name, collection)
    if listing:
        if name_or_path is not None or forget or force:
            raise UsageError(
                "--list only lists, so other options have no effect",
                hint="leave out COLLECTION, --forget and --force",
            )
        collections = maintenance.trusted_collections()
        if as_json:
            print_json(TrustList(collections))
        else:
            print("\n".join(printable(one.path) for one in collections) or "none yet")
        return 0
    if forget:
        if force:
            raise UsageError("--forget and --force exclude each other", hint="use one of the two")
        return _forget_trust(name_or_path, as_json)
    target = _find_for_maintenance(name_or_path, quiet=as_json)
    problems = maintenance.trust(target.path, force=force).problems
    trusted = maintenance.is_trusted(target.path)
    if as_json:
        print_answer(TrustReport(trusted, problems), target)
    else:
        for problem in problems:
            print(f"{problem.kind}  {printable(problem.file)}: {printable(problem.message)}")
        print(f"{printable(target.name)} is {'trusted' if trusted else 'not trusted'}")
        if problems and not trusted:
            say("hint: ask the person who gave you this collection, or trust it anyway with --force")
    return int(bool(problems) and not trusted)


def _forget_trust(name: str | None, as_json: bool) -> int:
    """Withdraw trust in a collection, which may be gone: whatever appears in its place must not be trusted."""
    from imseek import maintenance

    target = _find_missing_trusted(name) or _find_for_maintenance(name, quiet=as_json)
    maintenance.distrust(target.path)
    trusted = target.path.is_dir() and maintenance.is_trusted(target.path)
    if as_json:
        print_answer(TrustReport(trusted), target)
        return int(trusted)
    print(f"{printable(target.name)} is {'trusted' if trusted else 'not trusted'}")
    if trusted:
        say("hint: it is below a folder in IMSEEK_TRUSTED_FOLDERS: remove that folder from the list")
    return int(trusted)


def _find_missing_trusted(name: str | None) -> ResolvedCollection | None:
    """Find a trusted collection whose folder is gone."""
    from imseek import maintenance

    if name is None:
        return None
    location = library.locate(name, cwd=current_folder(), environ=os.environ)
    trusted_paths = {one.path for one in maintenance.trusted_collections()}
    for path in (location.path, location.path / library.LOCAL_FOLDER):
        if not path.exists() and os.path.realpath(path) in trusted_paths:
            return ResolvedCollection(
                path, location.name if path == location.path else str(path), "given", exists=False
            )
    return None


@app.command("imseek collection repair holidays")
def repair(name: NameArgument = None, collection: CollectionOption = None, as_json: JsonOption = False) -> int:
    """Repair a collection. Reports what was restored from where and what is lost. Exits with 1 if problems remain."""
    from imseek import maintenance

    target = _find_for_maintenance(merge_names(name, collection), quiet=as_json)
    report = maintenance.repair(target.path)
    if as_json:
        print_answer(report, target)
        return 0 if report.after.ok else 1
    for line in report.restored:
        print(f"restored  {printable(line)}")
    for line in report.lost:
        print(f"lost      {printable(line)}")
    print("sound now" if report.after.ok else f"{format_count(len(report.after.problems), 'problem')} left")
    return 0 if report.after.ok else 1


def _find_for_maintenance(name: str | None, *, quiet: bool) -> ResolvedCollection:
    """Find the collection to check or repair; a given folder need not look like a collection any more."""
    if name is None:
        target = resolve_collection(None)
    else:
        location = library.locate(name, cwd=current_folder(), environ=os.environ)
        if location.path.is_file():
            raise CollectionNotFoundError(
                f"{location.path} is a file, and a collection is a folder",
                hint="`imseek backup restore` makes a collection from a backup",
            )
        if not location.path.is_dir():
            hint = library.path_hint(name, current_folder())
            raise CollectionNotFoundError(
                f"no collection {name!r}", hint=hint or "`imseek collection list` shows the existing ones"
            )
        target = ResolvedCollection(location.path, location.name, "given")
    if not quiet:
        say_collection(target)
    return target


def _image_count(entry: NamedCollection) -> tuple[int | None, str | None]:
    """Count the images of a collection, or say why that fails."""
    try:
        with imseek.open(entry.path) as collection:
            return collection.info().images, None
    except ImseekError as error:
        return None, str(error)
