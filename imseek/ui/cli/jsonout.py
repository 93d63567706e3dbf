"""JSON output of all commands. Tests check it against the schemas in imseek/ui/schemas."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from imseek.showing.words import printable

if TYPE_CHECKING:
    from imseek.types import (
        Place,
    )

SCHEMA = 1


def print_json(body: Mapping[str, Any], *, line: bool = False) -> None:
    """Print one JSON object on stdout, in ASCII for any terminal and locale; ``line`` keeps it on one line."""
    text = json.dumps({"schema": SCHEMA, **body}, indent=None if line else 1, allow_nan=False)
    print(text, file=sys.stdout, flush=line)


class Chosen(Protocol):
    """A collection that a command means: its name and place."""

    @property
    def name(self) -> str: ...

    @property
    def path(self) -> str | os.PathLike[str]: ...


def collection(chosen: Chosen) -> dict[str, Any]:
    return {"name": printable(chosen.name), **path(os.fsencode(chosen.path))}


def placed(place: Place | None) -> dict[str, Any]:
    if place is None:
        return {"source_id": None, "path": None, "uri": None}
    return {"source_id": place.source_id, **path(place.path), "uri": place.uri}


def path(raw: bytes) -> dict[str, str]:
    from imseek.types import path_json

    return path_json(raw)


def plain(value: Any) -> Any:
    """Convert metadata to JSON values: NumPy scalars become numbers, NaN becomes null."""
    if isinstance(value, Mapping):
        return {str(name): plain(member) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [plain(member) for member in value]
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, str | int | float | bool | None) else str(value)
