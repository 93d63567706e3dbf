"""``imseek backup``: write a collection to one archive, verify it, and restore it."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Annotated, TypeAlias

import typer

from imseek import library
from imseek.errors import ImseekError, UsageError
from imseek.types.backup import BackupInfo, BackupReport, RestoreReport
from imseek.types.json_form import Json
from imseek.ui.cli import common_options as options
from imseek.ui.cli.collection_choice import choose_collection
from imseek.ui.cli.command_classes import Group
from imseek.ui.cli.common_options import CollectionOption, JsonOption, current_folder
from imseek.ui.cli.output import say, stdout_bytes
from imseek.ui.cli.progress import stoppable
from imseek.ui.render.result_json import CollectionName, print_answer, print_json
from imseek.ui.render.words import format_count, format_size, printable

if TYPE_CHECKING:
    from imseek.library import NamedCollection

app = Group(
    "Back up a collection to one archive, verify it, restore it.",
    "imseek backup create photos.tar",
    "imseek backup verify photos.tar",
    "imseek backup restore photos.tar photos",
    default="create",
)

ArchiveArgument: TypeAlias = Annotated[
    str, typer.Argument(metavar="ARCHIVE", help="A file, a URL (s3://…), or - for a pipe.")
]


@dataclass(frozen=True, slots=True)
class BackupAnswer:
    """An archive that was written or verified."""

    collection: CollectionName | None
    """Null for `imseek backup verify`."""
    archive: bytes
    """The file, or the URL."""
    report: Annotated[BackupReport, Json(inline=True)]


@dataclass(frozen=True, slots=True)
class RestoreAnswer:
    """A collection restored from an archive."""

    report: Annotated[RestoreReport, Json(inline=True)]
    notes: tuple[str, ...]


@app.command(
    "imseek backup create photos.tar",
    "imseek backup create --no-index -c holidays s3://bucket/holidays.tar",
    "imseek backup create - | ssh nas 'cat > photos.tar'",
)
def create(
    archive: ArchiveArgument,
    verify_only: Annotated[
        bool, typer.Option("--verify", hidden=True, help="Earlier spelling of `imseek backup verify`.")
    ] = False,
    no_index: Annotated[
        bool, typer.Option("--no-index", help="Leave out approximate indexes, which can be rebuilt.")
    ] = False,
    force: Annotated[bool, options.force("Overwrite an existing archive.")] = False,
    collection: CollectionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Back up a collection to one archive, even while it is in use. The pictures are not included."""
    import imseek

    if verify_only and (no_index or force or collection is not None):
        raise UsageError("--verify takes only ARCHIVE and --json")
    if verify_only:
        verify(archive, as_json)
        return
    target = _target(archive, as_json)
    source = choose_collection(collection, quiet=as_json)
    with stoppable("interrupted: no backup was made") as controls:
        report = imseek.backup.write(source.path, target, index=not no_index, replace=force, **controls)
    if as_json:
        print_json(BackupAnswer(CollectionName.of(source), os.fsencode(archive), report))
        return
    line = f"backed up {_describe_backup(report.backup)}: {format_size(report.size)} in {report.seconds:.1f} s"
    if archive == "-":
        sys.stdout.buffer.flush()
        say(line)
    else:
        print(line)


@app.command("imseek backup verify photos.tar", "ssh nas 'cat photos.tar' | imseek backup verify -")
def verify(archive: ArchiveArgument, as_json: JsonOption = False) -> None:
    """Check every file in an archive against its checksum. Nothing is written."""
    import imseek

    with stoppable("interrupted: not all was read") as controls:
        report = imseek.backup.verify(_source(archive), **controls)
    if as_json:
        print_json(BackupAnswer(None, os.fsencode(archive), report))
    else:
        print(f"sound: {_describe_backup(report.backup)}: {format_size(report.size)}")


@app.command(
    "imseek backup restore photos.tar photos",
    "imseek backup restore photos.tar /srv/photos/.imseek",
    "imseek backup restore --copy photos.tar experiment",
    "imseek backup restore --with-undo photos.tar photos",
    "ssh nas 'cat photos.tar' | imseek backup restore - photos",
)
def restore(
    archive: ArchiveArgument,
    name: Annotated[
        str,
        typer.Argument(metavar="NAME|PATH", help="A name for the collection, or a folder to create it in."),
    ],
    copy: Annotated[
        bool,
        typer.Option("--copy", help="Restore an independent copy, to use beside the original collection."),
    ] = False,
    with_undo: Annotated[
        bool,
        typer.Option(
            "--with-undo",
            help="Also restore the journals that `imseek duplicates undo` needs.",
        ),
    ] = False,
    trust: Annotated[
        bool,
        typer.Option(
            "--trust",
            help="Trust the archive, because you know who made it: the collection can be written to at once.",
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Restore a collection from an archive, in a new or empty folder. Everything is checked first."""
    import imseek

    new = library.locate(name, cwd=current_folder(), environ=os.environ)
    with stoppable("interrupted: nothing was restored") as controls:
        report = imseek.backup.restore(
            _source(archive),
            new.path,
            new_identity=copy,
            with_undo=with_undo,
            trust=trust,
            **controls,
        )
    twins = [] if copy else _collections_with_uuid(report.uuid, new)
    same = "is the same collection" if len(twins) == 1 else "are the same collection"
    notes = [f"{', '.join(twins)} {same}: `imseek backup restore --copy` makes another one"] if twins else []
    if report.journals_left_out and not copy:
        left = format_count(report.journals_left_out, "undo journal")
        notes.append(
            f"{left} left out: `imseek backup restore --with-undo` takes them, if you trust who made the archive"
        )
    from imseek import maintenance
    from imseek.maintenance import trust_command

    if not maintenance.is_trusted(new.path):
        notes.append(
            f"it is searched and not written to until you trust it; if you know who made it: {trust_command(new.name)}"
        )
    if as_json:
        print_answer(RestoreAnswer(report, tuple(notes)), new, uuid=report.uuid)
        return
    alias = "" if new.name == str(new.path) else f"as {printable(new.name)} "
    print(f"restored {_describe_backup(report.backup)} {alias}in {printable(str(new.path))}")
    for note in notes:
        say(f"note: {printable(note)}")


def _describe_backup(info: BackupInfo) -> str:
    lack = "" if info.index else ", without indexes"
    return f"{format_count(info.images, 'image')} as of {info.committed} (generation {info.generation}{lack})"


def _target(archive: str, as_json: bool) -> str | IO[bytes]:
    if archive != "-":
        return archive
    if as_json:
        raise UsageError("--json and - would both write to stdout", hint="name a file")
    if sys.stdout.isatty():
        raise UsageError("cannot write an archive to a terminal", hint="name a file, or | another command")
    return stdout_bytes()


def _source(archive: str) -> str | IO[bytes]:
    if archive != "-":
        return archive
    if sys.stdin.isatty():
        raise UsageError("cannot read an archive from a terminal", hint="name a file, or pipe one in")
    return sys.stdin.buffer


def _collections_with_uuid(uuid: str, new: NamedCollection) -> list[str]:
    """List other collections of the library with the same uuid."""
    from imseek.library import uuid_of

    twins = []
    for other in library.list_collections(os.environ):
        if other.path == new.path:
            continue
        try:
            if uuid_of(other.path) == uuid:
                twins.append(other.name)
        except ImseekError:
            continue
    return twins
