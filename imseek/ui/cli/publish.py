"""``imseek publish``: publish a collection to Milvus."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from imseek.errors import UsageError
from imseek.ui.cli.command_classes import Group
from imseek.ui.cli.command_run import Run
from imseek.ui.cli.common_options import CollectionOption, JsonOption
from imseek.ui.render.words import format_count, printable

if TYPE_CHECKING:
    from imseek.types.publish import PublishReport


app = Group()


@app.command(
    "imseek publish photos.db",
    "imseek publish -c photos milvus://milvus.example.org:19530/default/photos",
    "imseek search --server milvus:///srv/photos.db 'a red bicycle'",
)
def publish(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="[COLLECTION] ADDRESS",
            help="photos.db (Milvus Lite), http://host:19530, or milvus://host:19530/database/name. The token of a "
            "server is read from IMSEEK_MILVUS_TOKEN.",
        ),
    ],
    collection: CollectionOption = None,
    as_json: JsonOption = False,
) -> int:
    """Publish vectors and metadata to Milvus, or update what was published (docs/milvus.md).

    Only changes are sent, and removed images are deleted there. Search the result with `imseek search --server milvus://…`.
    """
    if len(names) > 2 or (len(names) == 2 and collection is not None):
        raise UsageError("publish takes one collection and one address", hint="imseek publish photos.db")
    address = names[-1]
    reference = names[0] if len(names) == 2 else collection
    run = Run.on(reference, as_json=as_json)
    from imseek.publish import to_milvus

    with run.work() as controls:
        report = to_milvus(run.path, address, **controls)
    run.finish(report, lambda: [_line(report)], notes=_notes(report))
    return run.exit_code(report.outcome == "interrupted")


def _line(report: PublishReport) -> str:
    where = printable(report.address)
    images = format_count(report.images, "image")
    if report.outcome == "already":
        return f"generation {report.generation} is published already: {images} at {where}"
    verb = "published" if report.outcome == "published" else "interrupted; the same command goes on:"
    return (
        f"{verb} generation {report.generation} at {where}: {images}, "
        f"{format_count(report.sent, 'row')} sent, {report.removed:,} removed, {report.seconds:.1f} s"
    )


def _notes(report: PublishReport) -> list[str]:
    out = []
    if report.anew:
        out.append("note: columns or encoders have changed, so that all rows were written anew")
    if report.shortened:
        out.append(f"note: {format_count(report.shortened, 'image')} had longer texts or more tags than Milvus takes")
    if report.left_out:
        names = printable(", ".join(report.left_out[:10]))
        out.append(f"note: Milvus has no field left for {format_count(len(report.left_out), 'column')}: {names}")
    return out
