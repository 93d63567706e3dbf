"""Parse images as typed: 17 and id:17 are ids, anything else is a file or URL; `-` reads a list of these from stdin."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import typer

from imseek.errors import UsageError
from imseek.input_file import read_input
from imseek.tilde_expansion import expand_user

if TYPE_CHECKING:
    from imseek.search import Term

#: Means standard input, among images, paths and names of files.
STDIN: Final = "-"
#: `id:17`, or just 17.
_ID: Final = re.compile(r"(?:id:)?([0-9]{1,18})")


def parse_id(text: str) -> int | None:
    """Parse an image's id; None if the text is no id."""
    match = _ID.fullmatch(text)
    return None if match is None else int(match[1])


def parse_id_argument(text: str) -> int:
    """Parse an image's id on the command line. Raises BadParameter for anything else."""
    if (image_id := parse_id(text)) is None:
        raise typer.BadParameter(f"{text!r} is not an id of an image, such as 17 or id:17.")
    return image_id


def parse_picture_term(text: str, *, stdin: Callable[[], bytes] | None = None) -> Term:
    """Parse a term of a query that is a picture: like :func:`parse_image`, perhaps with a weight (``2:17``).

    ``stdin`` returns the bytes of standard input. Raises QueryError.
    """
    from imseek.search import parse_term, split_weight

    term = parse_term(text, picture=True, stdin=stdin)
    if (image_id := parse_id(split_weight(text)[1])) is None:
        return term
    return replace(term, picture=None, image_id=image_id)


def find_image(collection: Path, image: int | str) -> int:
    """Return the id of an image in a collection, which :func:`parse_image` returned. Raises ImageNotFoundError."""
    if isinstance(image, int):
        return image
    from imseek import overview

    return overview.find_image(collection, image)


def parse_image(text: str) -> int | str:
    """Parse an image: an id, or else a path or URL."""
    if (image_id := parse_id(text)) is not None:
        return image_id
    return text if "://" in text else str(expand_user(text))


def parse_images(texts: Iterable[str]) -> list[int | str]:
    """Parse images; ``-`` stands for the lines of standard input. Raises UsageError if that is a terminal."""
    images: list[int | str] = []
    for text in texts:
        if text != "-":
            images.append(parse_image(text))
            continue
        if sys.stdin.isatty():
            raise UsageError(
                "- reads images from stdin, but stdin is the terminal",
                hint="pipe ids or files into the command",
            )
        images += [parse_image(line.strip()) for line in sys.stdin if line.strip()]
    return images


def read_file(file: str, what: str) -> bytes:
    """Read a file, or standard input for ``-``. Raises UsageError with ``what`` it should be."""
    try:
        return sys.stdin.buffer.read() if file == STDIN else read_input(file)
    except OSError as error:
        raise UsageError(f"cannot read {what} {file}: {error.strerror}") from error


def read_ids(file: str) -> list[int]:
    """Read image ids from a file, one a line; ``-`` stands for standard input. Raises UsageError."""
    if file == "-" and sys.stdin.isatty():
        raise UsageError("- reads ids from stdin, but stdin is the terminal", hint="pipe ids into the command")
    try:
        data = sys.stdin.read() if file == "-" else read_input(file).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read the ids {file}: {getattr(error, 'strerror', None) or error}") from error
    ids = []
    for number, line in enumerate(data.removeprefix("\ufeff").split("\n"), start=1):
        if not line.strip():
            continue
        if (image_id := parse_id(line.strip())) is None:
            raise UsageError(
                f"line {number} of the ids is not an id: {line.strip()[:40]}",
                hint="write one whole number per line",
            )
        ids.append(image_id)
    return ids
