"""``imseek info``: show what a collection holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

import imseek
from imseek.ocr.results import TextLine
from imseek.types.collection_info import CollectionInfo, OtherSpace, SourceInfo, SpaceSummary
from imseek.types.indexing_runs import Failure
from imseek.types.json_form import Json
from imseek.types.pictures import Image
from imseek.ui.cli.collection_choice import choose_collection
from imseek.ui.cli.command_classes import Group
from imseek.ui.cli.common_options import CollectionOption, JsonOption
from imseek.ui.cli.image_arguments import find_image, parse_image
from imseek.ui.cli.output import say
from imseek.ui.render.indexing_text import failures_table
from imseek.ui.render.result_json import print_answer
from imseek.ui.render.text import table
from imseek.ui.render.vector_index_text import device_fact, index_facts, policy_line
from imseek.ui.render.words import format_count, format_size, printable

if TYPE_CHECKING:
    from imseek.library import ResolvedCollection

#: Columns that are shown as lines of text.
_TEXT_COLUMNS = ("text", "has_text", "text_lines")
_MODALITY_LABELS = {"text": "words", "image": "pictures"}


@dataclass(frozen=True, slots=True)
class Overview:
    """An overview of a collection."""

    info: Annotated[CollectionInfo, Json(inline=True)]
    failures: Annotated[tuple[Failure, ...] | None, Json(omit_none=True)]
    """Files that could not be indexed; only with ``--failures``."""


@dataclass(frozen=True, slots=True)
class ImageText:
    """An image, and the text in it."""

    image: Annotated[Image, Json(inline=True)]
    text_lines: tuple[TextLine, ...] | None
    """From the top; null where the picture was not read (`imseek maintain --ocr`)."""


app = Group()


@app.command("imseek info", "imseek info --failures --json", "imseek info 17")
def info(
    image: Annotated[
        str | None,
        typer.Argument(metavar="[IMAGE]", help="Show this image instead, an id or a file, with its text."),
    ] = None,
    *,
    failures: Annotated[
        bool, typer.Option("--failures", help="List the files that could not be indexed, and why.")
    ] = False,
    collection: CollectionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what a collection holds, or an image."""
    target = choose_collection(collection, quiet=as_json)
    if image is not None:
        _show_image(target, find_image(target.path, parse_image(image)), as_json=as_json)
        return
    with imseek.open(target.path) as handle:
        details = handle.info()
    if as_json:
        print_answer(Overview(details, details.failures if failures else None), target)
        return
    print("\n".join(_lines(details)))
    if details.sources:
        print("\n" + sources_table(details.sources))
        for line in missing_source_lines(details.sources):
            say(line)
    if failures:
        print("\n" + (failures_table(details.failures) if details.failures else "no failures"))


def _show_image(target: ResolvedCollection, image_id: int, *, as_json: bool) -> None:
    """Print one image. Raises ImageNotFoundError."""
    from imseek.ocr import lines_of
    from imseek.ui.render.ocr_text import text_line_table

    with imseek.open(target.path) as collection:
        record = collection.get(image_id)
    lines = lines_of(record.metadata)
    if as_json:
        print_answer(ImageText(record, lines), target)
        return
    columns = {name: value for name, value in record.metadata.items() if name not in _TEXT_COLUMNS}
    facts = [
        ("path", "unknown" if record.place is None else record.place.display),
        ("tags", printable(", ".join(record.tags))),
        *((name, printable(str(value))) for name, value in columns.items()),
        ("text", "not read (`imseek maintain --ocr`)" if lines is None else "" if lines else "none"),
    ]
    print("\n".join(f"{name:<16}{value}" for name, value in facts if value))
    if lines:
        print("\n" + text_line_table(lines))


def missing_source_lines(sources: Sequence[SourceInfo]) -> list[str]:
    """Say what to do about sources that are not there now."""
    return [
        f"hint: source {one.source_id} is not there: mount its drive, or if it has moved, "
        f"`imseek source relocate {one.source_id} NEW`"
        for one in sources
        if not one.present
    ]


def sources_table(sources: Sequence[SourceInfo]) -> str:
    from imseek.types.pictures import display_path

    rows = [
        (
            str(s.source_id),
            s.kind,
            f"{s.images:,}",
            f"{s.failures:,}",
            "yes" if s.present else "no",
            display_path(s.path),
        )
        for s in sources
    ]
    return table(("source", "kind", "images", "failures", "present", "path"), rows, right=(0, 2, 3))


def _space_facts(summary: SpaceSummary, *, first: bool) -> list[tuple[str, str]]:
    space = summary.space
    if space.modality == "text":
        return [("captions", f"{printable(space.encoder)}, {space.dim} dimensions")]
    facts = [printable(space.encoder), f"{space.dim} dimensions", *summary.precisions]
    labels = (
        _MODALITY_LABELS if first else {"image": _MODALITY_LABELS["image"]}
    )  # text queries use the first space only
    facts += [worded for modality, worded in labels.items() if modality in (summary.modalities or ())]
    return [("encoder" if first else "also", ", ".join(facts)), ("", printable(space.note or ""))]


def _other_space_fact(other: OtherSpace) -> str:
    space = f"space {other.space.space_id}, {printable(other.space.encoder)}, {format_size(other.bytes)}"
    if other.state == "building":
        return f"{space}: {format_count(other.images, 'image')} so far (`imseek maintain --reencode` goes on)"
    if other.state == "tokens":
        return f"{space}, for --rerank tokens: {format_count(other.images, 'image')} (`imseek maintain --no-tokens`)"
    from imseek.types.adapters import adapter_of

    adapter = adapter_of(other.space.encoder)
    again = "" if adapter is None else f"`imseek tune --use {adapter[0]}`, "
    return f"{space}: kept since {other.since} ({again}`imseek maintain --drop-space {other.space.space_id}`)"


def _lines(details: CollectionInfo) -> list[str]:
    from imseek.types.collection_info import IndexPolicy

    failures = sum(s.failures for s in details.sources)
    facts = [
        ("path", printable(details.path)),
        ("catalog", printable(details.catalog) if details.catalog else ""),
        ("images", f"{details.images:,}"),
        *(fact for n, summary in enumerate(details.spaces) for fact in _space_facts(summary, first=n == 0)),
        *(("" if n else "not in use", _other_space_fact(other)) for n, other in enumerate(details.other_spaces)),
        *(
            ("" if n else "index", line)
            for n, line in enumerate(
                line for index in details.indexes for line in (*index_facts(index), device_fact(index.kind))
            )
        ),
        ("" if details.indexes else "index", "" if details.indexes else details.index),
        ("indexing", "" if details.policy == IndexPolicy() else policy_line(details.policy)),
        (
            "on disk",
            f"{format_size(details.bytes_on_disk)}, {format_count(details.shards, 'shard')}, "
            f"{format_count(details.dead_rows, 'removed image')} not purged yet",
        ),
        ("generation", f"{details.generation:,}, format {details.format}, created {details.created}"),
        ("failures", f"{failures:,} (imseek info --failures)" if failures else "0"),
        ("writer", printable(details.writer) if details.writer else ""),
    ]
    return [f"{name:<12}{value}" for name, value in facts if value]
