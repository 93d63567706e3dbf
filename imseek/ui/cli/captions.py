"""``imseek captions``: which captions do not fit their pictures."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from imseek import library
from imseek.ui.cli import jsonout
from imseek.ui.cli.output import count, say_collection, table
from imseek.ui.cli.texts import CollectionOption, JsonOption, current_folder, examples, shortened

if TYPE_CHECKING:
    from imseek.captions import Agreement, AgreementSummary

_WIDTH = 60


def register(app: typer.Typer) -> None:
    app.command("captions", epilog=examples("imseek captions", "imseek captions --limit 100 --json"))(
        captions
    )


def captions(
    limit: Annotated[int, typer.Option("--limit", "-n", metavar="N", min=0, help="How many images.")] = 10,
    collection: CollectionOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the images whose caption agrees least with the picture, the worst first."""
    from imseek.captions import summary

    chosen = library.resolve(collection, cwd=current_folder(), environ=os.environ)
    if not as_json:
        say_collection(chosen)
    found = summary(chosen.path, limit=limit)
    if as_json:
        jsonout.print_json(jsonout.agreement(found, chosen))
    else:
        print("\n".join(_lines(found)))


def _lines(found: AgreementSummary) -> list[str]:
    lines = [f"{found.captions:,} of {count(found.images, 'image')} have a caption"]
    if found.median is None:
        return lines
    lines[0] += f"; median agreement {found.median:.3f} (cosine, {found.encoder})"
    if found.worst:
        rows = [(f"{row.score:.3f}", shortened(row.caption, _WIDTH), _place(row)) for row in found.worst]
        lines.append(table(("score", "caption", "image"), rows, right=(0,)))
    return lines


def _place(row: Agreement) -> str:
    return row.place.display if row.place is not None else f"(image {row.image_id}: place unknown)"
