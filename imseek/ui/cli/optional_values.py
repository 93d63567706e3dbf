"""Options whose value may be omitted. Typer has none, so the missing value is inserted before it parses a command."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

#: The value of `--none` without one.
NONE_DEFAULT: Final = "default"


def insert_values(arguments: Sequence[str]) -> list[str]:
    """Insert the values that are left out: 1 after `--open`, NONE_DEFAULT after `--none`."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    labels = list(arguments[:1]) == ["label"] or list(arguments[:2]) == ["evaluate", "zeroshot"]
    out: list[str] = []
    for at, argument in enumerate(arguments):
        out.append(argument)
        following = arguments[at + 1] if at + 1 < len(arguments) else "-"
        if at >= end:
            continue
        if argument == "--open" and not following.isdecimal():
            out.append("1")
        elif argument == "--none" and labels and following.startswith("-"):
            out.append(NONE_DEFAULT)
    return out
