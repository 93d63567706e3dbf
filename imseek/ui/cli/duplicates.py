"""``imseek duplicates``: pictures that are there more than once."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal, cast

import typer

import imseek
from imseek import library
from imseek.errors import ImseekError, UsageError
from imseek.ui.cli import dupjson, jsonout
from imseek.ui.cli.newfile import check_new, new_file
from imseek.ui.cli.output import count, say, say_collection, size, table
from imseek.ui.cli.progress import StopSignals, progress_bar
from imseek.ui.cli.texts import CollectionOption, JsonOption, current_folder, examples, printable

if TYPE_CHECKING:
    from imseek import Collection
    from imseek.library import Resolved
    from imseek.types import Duplicate, DuplicateGroup, DuplicateKind, DuplicateReport
    from imseek.ui.duplicates_page import Thumbnail

_KINDS: Final = ("exact", "same")
#: Pixels.
_THUMBNAIL: Final = 320


def register(app: typer.Typer) -> None:
    app.command(
        "duplicates",
        epilog=examples(
            "imseek duplicates",
            "imseek duplicates --kind exact --kind same --kind scene --html duplicates.html",
            "imseek duplicates --keep oldest --protect ~/Pictures/albums --csv duplicates.csv",
        ),
    )(duplicates)


def duplicates(
    kind: Annotated[
        list[str] | None,
        typer.Option(
            "--kind",
            metavar="KIND",
            help="exact: the same file; same: the same picture; scene: another shot. May be repeated "
            "(default: exact and same).",
        ),
    ] = None,
    inside: Annotated[
        bool, typer.Option("--inside", help="Crops and pictures inside pictures too: slower.")
    ] = False,
    keep: Annotated[
        Literal["best", "largest", "oldest", "newest", "path-priority"],
        typer.Option(
            "--keep", help="Which one of a group is to stay; best: resolution, then metadata, then file size."
        ),
    ] = "best",
    prefer: Annotated[
        list[Path] | None,
        typer.Option(
            "--prefer", metavar="FOLDER", help="Keep what lies there, the first named first; may be repeated."
        ),
    ] = None,
    protect: Annotated[
        list[Path] | None,
        typer.Option("--protect", metavar="FOLDER", help="What lies there stays; may be repeated."),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option("--against", metavar="COLLECTION", help="What another collection has of this one."),
    ] = None,
    where: Annotated[
        str | None,
        typer.Option("--where", metavar="EXPR", help="Only images that meet this (docs/where.md)."),
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", "-n", metavar="N", min=0, help="How many groups the table shows.")
    ] = 20,
    csv: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="Write all groups as CSV, an image a row.")
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="Write a page with the pictures side by side."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over files that are there already.")] = False,
    collection: CollectionOption = None,
    as_json: JsonOption = False,
) -> int:
    """Find pictures that are there more than once, and which of them to keep. Nothing is changed."""
    files = _Files(csv, html, force)
    files.check()
    chosen = library.resolve(collection, cwd=current_folder(), environ=os.environ)
    other = None if against is None else library.resolve(against, cwd=current_folder(), environ=os.environ)
    if not as_json:
        say_collection(chosen)
    from imseek.duplicates import find

    with StopSignals() as signals, progress_bar() as progress:
        report = find(
            chosen.path,
            kinds=cast("Sequence[DuplicateKind]", [*(kind or _KINDS), *(["inside"] if inside else [])]),
            keep=keep,
            prefer=prefer or (),
            protect=protect or (),
            against=None if other is None else other.path,
            where=where,
            progress=progress,
            stop=signals.event,
        )
    collections = [chosen] if other is None else [chosen, other]
    names = dict(
        zip((report.collection, report.against or ""), (one.name for one in collections), strict=False)
    )
    written = files.write(report, names, collections)
    if as_json:
        jsonout.print_json(dupjson.duplicates(report, chosen, other, written))
    else:
        print("\n".join(lines(report, limit, names)))
        for what, path in written.items():
            say(f"wrote {printable(str(path))} ({what})")
    if report.interrupted:
        say("interrupted: there may be more; the same command goes on from here")
    return signals.exit_code if report.interrupted else 0


@dataclass(frozen=True, slots=True)
class _Files:
    """Where reports are to be written."""

    csv: Path | None
    html: Path | None
    force: bool

    def check(self) -> None:
        """Before the search. Raises UsageError and ImseekError."""
        named = [path for path in (self.csv, self.html) if path is not None]
        if len({path.absolute() for path in named}) < len(named):
            raise UsageError(f"{named[0]} is named twice")
        for path in named:
            check_new(path, force=self.force)

    def write(
        self, report: DuplicateReport, names: Mapping[str, str], collections: Sequence[Resolved]
    ) -> dict[str, Path]:
        """What was written, by kind."""
        written = {}
        if self.csv is not None:
            from imseek.curate.reports import write_csv

            with new_file(self.csv, force=self.force) as file:
                write_csv(report, file)
            written["csv"] = self.csv
        if self.html is not None:
            from imseek.ui.duplicates_page import page

            with ExitStack() as stack:
                opened = [stack.enter_context(imseek.open(one.path)) for one in collections]
                thumbnail = _thumbnails({one.uuid: one for one in opened})
                file = stack.enter_context(new_file(self.html, force=self.force))
                title = f"Duplicates in {collections[0].name}"
                file.writelines(page(report, thumbnail, title=title, names=names))
            written["html"] = self.html
        return written


def _thumbnails(opened: Mapping[str, Collection]) -> Thumbnail:
    """From the pictures themselves, by the UUID of their collection."""
    from imseek.media import decode, thumbnail

    def make(member: Duplicate) -> bytes | None:
        try:
            data = opened[member.collection].read(member.image_id)
            return thumbnail(decode(data, min_side=_THUMBNAIL).pixels, _THUMBNAIL)
        except ImseekError:  # It has gone, changed, or its codec has.
            return None

    return make


def lines(report: DuplicateReport, limit: int, names: Mapping[str, str]) -> list[str]:
    """What a user reads: the first groups, and what all of them come to."""
    from imseek.ui.duplicates_page import totals

    shown = report.groups[:limit]
    out = _groups(shown, names if report.against is not None else {}) if shown else []
    out.append(totals(report))
    if report.judged:
        out.append(f"{count(report.judged, 'pair')} left out that you have called different (`imseek judge`)")
    hidden = len(report.groups) - len(shown)
    if hidden and limit:
        out.append(f"{count(hidden, 'more group')} (-n shows more, --html and --csv have all)")
    return out + [printable(note) for note in report.notes]


def _groups(groups: Sequence[DuplicateGroup], names: Mapping[str, str]) -> list[str]:
    from imseek.ui.duplicates_page import WORDS

    head = ["", "kind", "sure", "pixels", "size", "format", "id", *(["collection"] if names else []), "image"]
    rows = [_row(group, member, names) for group in groups for member in group.members]
    first, *rest = table(head, rows, right=(2, 3, 4, 6)).split("\n")
    out = [first]
    for number, group in enumerate(groups, start=1):
        freed = size(sum(member.bytes for member in group.others))
        images = f"{count(len(group.members), 'image')}, {freed} beside the keeper"
        out.append(f"{number}. {WORDS[group.kind]}, {images}; kept: {printable(group.reason)}")
        out += rest[: len(group.members)]
        del rest[: len(group.members)]
    return out


def _row(group: DuplicateGroup, member: Duplicate, names: Mapping[str, str]) -> list[str]:
    from imseek.ui.duplicates_page import percent

    pair = member.pair
    return [
        "keep" if member is group.keeper else "",
        "" if pair is None else pair.kind,
        "" if pair is None else "judged" if pair.judged else percent(pair.confidence),
        f"{member.width}×{member.height}",
        size(member.bytes),
        printable(member.format),
        str(member.image_id),
        *([printable(names.get(member.collection, member.collection))] if names else []),
        f"(image {member.image_id}: place unknown)" if member.place is None else member.place.display,
    ]
