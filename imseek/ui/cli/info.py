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
    chosen = choose_collection(collection, quiet=as_json)
    if image is not None:
        _show_image(chosen, find_image(chosen.path, parse_image(image)), as_json=as_json)
        return
    with imseek.open(chosen.path) as opened:
        found = opened.info()
    if as_json:
        print_answer(Overview(found, found.failures if failures else None), chosen)
        return
    print("\n".join(_lines(found)))
    if found.sources:
        print("\n" + sources_table(found.sources))
        for line in missing_source_lines(found.sources):
            say(line)
    if failures:
        print("\n" + (failures_table(found.failures) if found.failures else "no failures"))


def _show_image(chosen: ResolvedCollection, image_id: int, *, as_json: bool) -> None:
    """Print one image. Raises ImageNotFoundError."""
    from imseek.ocr import lines_of
    from imseek.ui.render.ocr_text import text_line_table

    with imseek.open(chosen.path) as opened:
        found = opened.get(image_id)
    lines = lines_of(found.metadata)
    if as_json:
        print_answer(ImageText(found, lines), chosen)
        return
    shown = {name: value for name, value in found.metadata.items() if name not in _TEXT_COLUMNS}
    facts = [
        ("path", "unknown" if found.place is None else found.place.display),
        ("tags", printable(", ".join(found.tags))),
        *((name, printable(str(value))) for name, value in shown.items()),
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
    known = _MODALITY_LABELS if first else {"image": _MODALITY_LABELS["image"]}  # text queries use the first space only
    facts += [worded for modality, worded in known.items() if modality in (summary.modalities or ())]
    return [("encoder" if first else "also", ", ".join(facts)), ("", printable(space.note or ""))]


def _other_space_fact(other: OtherSpace) -> str:
    made = f"space {other.space.space_id}, {printable(other.space.encoder)}, {format_size(other.bytes)}"
    if other.state == "building":
        return f"{made}: {format_count(other.images, 'image')} so far (`imseek maintain --reencode` goes on)"
    if other.state == "tokens":
        return f"{made}, for --rerank tokens: {format_count(other.images, 'image')} (`imseek maintain --no-tokens`)"
    from imseek.types.adapters import adapter_of

    named = adapter_of(other.space.encoder)
    again = "" if named is None else f"`imseek tune --use {named[0]}`, "
    return f"{made}: kept since {other.since} ({again}`imseek maintain --drop-space {other.space.space_id}`)"


def _lines(found: CollectionInfo) -> list[str]:
    from imseek.types.collection_info import IndexPolicy

    failures = sum(s.failures for s in found.sources)
    facts = [
        ("path", printable(found.path)),
        ("catalog", printable(found.catalog) if found.catalog else ""),
        ("images", f"{found.images:,}"),
        *(fact for n, summary in enumerate(found.spaces) for fact in _space_facts(summary, first=n == 0)),
        *(("" if n else "not in use", _other_space_fact(other)) for n, other in enumerate(found.other_spaces)),
        *(
            ("" if n else "index", line)
            for n, line in enumerate(
                line for built in found.indexes for line in (*index_facts(built), device_fact(built.kind))
            )
        ),
        ("" if found.indexes else "index", "" if found.indexes else found.index),
        ("indexing", "" if found.policy == IndexPolicy() else policy_line(found.policy)),
        (
            "on disk",
            f"{format_size(found.bytes_on_disk)}, {format_count(found.shards, 'shard')}, "
            f"{format_count(found.dead_rows, 'removed image')} not purged yet",
        ),
        ("generation", f"{found.generation:,}, format {found.format}, created {found.created}"),
        ("failures", f"{failures:,} (imseek info --failures)" if failures else "0"),
        ("writer", printable(found.writer) if found.writer else ""),
    ]
    return [f"{name:<12}{value}" for name, value in facts if value]
