"""``imseek extract``: write the original bytes of a picture."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

import imseek
from imseek.errors import ImseekError, UsageError
from imseek.ui.cli.collection_choice import choose_collection
from imseek.ui.cli.command_classes import Group
from imseek.ui.cli.common_options import CollectionOption
from imseek.ui.cli.image_arguments import find_image, parse_image
from imseek.ui.cli.output import say
from imseek.ui.render.words import format_size

app = Group()


@app.command("imseek extract 17 -o seventeen.jpg", "imseek extract photos.zip!/beach.jpg > beach.jpg")
def extract(
    image: Annotated[
        str, typer.Argument(metavar="IMAGE", help="An id, as `imseek search` shows it, or an indexed file or URL.")
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="The file to write (default: stdout)."),
    ] = None,
    collection: CollectionOption = None,
) -> None:
    """Write the original bytes of one picture, from a file, an archive, a table or the web."""
    if output is None and sys.stdout.isatty():
        raise UsageError("cannot write a picture to a terminal", hint="-o FILE, or > FILE")
    target = choose_collection(collection)
    with imseek.open(target.path) as handle:
        data = handle.read(find_image(target.path, parse_image(image)))
    if output is None:
        sys.stdout.buffer.write(data)
        return
    try:
        with output.open("xb") as file:
            file.write(data)
    except FileExistsError:
        raise UsageError(f"{output} is there already") from None
    except OSError as error:
        raise ImseekError(f"cannot write {output}: {error.strerror}") from error
    say(f"wrote {output} ({format_size(len(data))})")
