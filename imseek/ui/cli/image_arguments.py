"""Parse images as typed: ids, files, or a list of these on standard input."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from imseek.errors import UsageError

#: `id:17`, or just 17.
_ID: Final = re.compile(r"(?:id:)?(\d{1,18})")


def parse_image(said: str) -> int | str:
    """Parse an image: an id, or else a path or URL."""
    match = _ID.fullmatch(said)
    if match is not None:
        return int(match[1])
    return said if "://" in said else str(Path(said).expanduser())


def parse_images(said: Iterable[str]) -> list[int | str]:
    """Parse images; ``-`` stands for the lines of standard input. Raises UsageError if that is a terminal."""
    found: list[int | str] = []
    for one in said:
        if one != "-":
            found.append(parse_image(one))
            continue
        if sys.stdin.isatty():
            raise UsageError(
                "- reads images from stdin, and that is the terminal", hint="pipe ids or files into it"
            )
        found += [parse_image(line.strip()) for line in sys.stdin if line.strip()]
    return found
