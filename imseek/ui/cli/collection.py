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
    found = [(named, _image_count(named)) for named in library.list_collections(os.environ)]
    listed = tuple(ListedCollection(named.name, os.fsencode(named.path), *state) for named, state in found)
    output.write(_COLUMNS, map(to_json, listed))
    if output.as_json:
        print_json(CollectionList(listed))
        return
    if not found:
        say("no collection yet: `imseek index FOLDER` creates one")
        return
    rows = [
        (named.name, "?" if images is None else f"{images:,}", printable(problem or str(named.path)))
        for named, (images, problem) in found
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
    new = library.locate(name, cwd=current_folder(), environ=os.environ)
    if library.is_collection(new.path):
        raise CollectionExistsError(f"there is already a collection {new.name!r}")
    say_waiting("loading the encoder …")
    with download_bar():
        made = imseek.create(
            new.path,
            encoder=encoder or configured_encoder(),
            also=also or (),
            captions=captions,
            catalog=catalog,
            notify=say,
        )
    with made:
        encoder_is = encoder_lines(made.info())
    print(f"created {printable(new.name)} in {printable(str(new.path))}")
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
    given = merge_names(name, collection)
    if given is None:  # a default would be a trap
        raise UsageError("no collection is named", hint="imseek collection delete NAME")
    doomed = library.locate(given, cwd=current_folder(), environ=os.environ)
    if not library.is_collection(doomed.path):
        raise CollectionNotFoundError(
            f"no collection {given!r}", hint="`imseek collection list` shows the existing ones"
        )
    images, problem = _image_count(doomed)
    held = problem if images is None else format_count(images, "image")
    if not yes:
        typer.confirm(f"Delete the collection in {printable(str(doomed.path))} ({held})?", abort=True, err=True)
    library.delete(doomed.path, doomed.name)
    print(f"deleted {printable(doomed.name)}; the pictures are untouched")


@app.command("imseek collection verify", "imseek collection verify holidays --json")
def verify(name: NameArgument = None, collection: CollectionOption = None, as_json: JsonOption = False) -> int:
    """Check every file of a collection against its checksum. Exits with 1 if there is a problem."""
    from imseek import maintenance

    chosen = _find_for_maintenance(merge_names(name, collection), quiet=as_json)
    report = maintenance.verify(chosen.path)
    if as_json:
        print_answer(report, chosen)
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

    given = merge_names(name, collection)
    if listing:
        if given is not None or forget or force:
            raise UsageError(
                "--list only lists, so other options have no effect",
                hint="leave out COLLECTION, --forget and --force",
            )
        found = maintenance.trusted_collections()
        if as_json:
            print_json(TrustList(found))
        else:
            print("\n".join(printable(one.path) for one in found) or "none yet")
        return 0
    if forget:
        if force:
            raise UsageError("--forget and --force exclude each other", hint="use one of the two")
        return _forget_trust(given, as_json)
    chosen = _find_for_maintenance(given, quiet=as_json)
    problems = maintenance.trust(chosen.path, force=force).problems
    trusted = maintenance.is_trusted(chosen.path)
    if as_json:
        print_answer(TrustReport(trusted, problems), chosen)
    else:
        for problem in problems:
            print(f"{problem.kind}  {printable(problem.file)}: {printable(problem.message)}")
        print(f"{printable(chosen.name)} is {'trusted' if trusted else 'not trusted'}")
        if problems and not trusted:
            say("hint: ask the person who gave you this collection, or trust it anyway with --force")
    return int(bool(problems) and not trusted)


def _forget_trust(name: str | None, as_json: bool) -> int:
    """Withdraw trust in a collection, which may be gone: whatever appears in its place must not be trusted."""
    from imseek import maintenance

    chosen = _find_missing_trusted(name) or _find_for_maintenance(name, quiet=as_json)
    maintenance.distrust(chosen.path)
    trusted = chosen.path.is_dir() and maintenance.is_trusted(chosen.path)
    if as_json:
        print_answer(TrustReport(trusted), chosen)
        return int(trusted)
    print(f"{printable(chosen.name)} is {'trusted' if trusted else 'not trusted'}")
    if trusted:
        say("hint: it is below a folder in IMSEEK_TRUSTED_FOLDERS: remove that folder from the list")
    return int(trusted)


def _find_missing_trusted(name: str | None) -> ResolvedCollection | None:
    """Find a trusted collection whose folder is gone."""
    from imseek import maintenance

    if name is None:
        return None
    named = library.locate(name, cwd=current_folder(), environ=os.environ)
    known = {one.path for one in maintenance.trusted_collections()}
    for path in (named.path, named.path / library.LOCAL_FOLDER):
        if not path.exists() and os.path.realpath(path) in known:
            return ResolvedCollection(path, named.name if path == named.path else str(path), "given", exists=False)
    return None


@app.command("imseek collection repair holidays")
def repair(name: NameArgument = None, collection: CollectionOption = None, as_json: JsonOption = False) -> int:
    """Repair a collection. Reports what was restored from where and what is lost. Exits with 1 if problems remain."""
    from imseek import maintenance

    chosen = _find_for_maintenance(merge_names(name, collection), quiet=as_json)
    report = maintenance.repair(chosen.path)
    if as_json:
        print_answer(report, chosen)
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
        chosen = resolve_collection(None)
    else:
        named = library.locate(name, cwd=current_folder(), environ=os.environ)
        if named.path.is_file():
            raise CollectionNotFoundError(
                f"{named.path} is a file, and a collection is a folder",
                hint="`imseek backup restore` makes a collection from a backup",
            )
        if not named.path.is_dir():
            hint = library.path_hint(name, current_folder())
            raise CollectionNotFoundError(
                f"no collection {name!r}", hint=hint or "`imseek collection list` shows the existing ones"
            )
        chosen = ResolvedCollection(named.path, named.name, "given")
    if not quiet:
        say_collection(chosen)
    return chosen


def _image_count(named: NamedCollection) -> tuple[int | None, str | None]:
    """Count the images of a collection, or say why that fails."""
    try:
        with imseek.open(named.path) as opened:
            return opened.info().images, None
    except ImseekError as error:
        return None, str(error)
