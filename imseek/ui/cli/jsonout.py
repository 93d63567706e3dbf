"""JSON output of all commands. Tests check it against the schemas in imseek/ui/schemas."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Protocol

from imseek.showing.words import printable

if TYPE_CHECKING:
    from imseek.captions import Agreement, AgreementSummary
    from imseek.errors import ImseekError
    from imseek.library import ResolvedCollection
    from imseek.types import (
        Hit,
        Place,
        SearchResult,
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


def search(result: SearchResult, *chosen: Chosen, line: int | None = None) -> dict[str, Any]:
    """Return a search result as JSON.

    ``chosen`` lists the collections searched; ``line`` is the query's line number in a file.
    """
    body = {
        "collection": collection(chosen[0]),
        "encoder": result.encoder,
        "generation": result.generation,
        "searched": result.searched,
        "spaces": [{**asdict(share), "weight": round(share.weight, 6)} for share in result.spaces],
        "notes": list(result.notes),
        "approximate": result.approximate,
        "cut": result.cut,
        "next_page": result.next_page,
        "collections": [
            {
                "uuid": one.collection,
                **collection(where),
                "generation": one.generation,
                "searched": one.images,
            }
            for one, where in zip(result.collections, chosen, strict=False)
        ],
        "groups": [
            {"name": group.name, "size": group.size, "hits": len(group.hits)} for group in result.groups
        ],
        "hits": [_hit(hit) for hit in result.hits],
    }
    return body if line is None else {"line": line, **body}


def failed(error: ImseekError, line: int) -> dict[str, Any]:
    """Return the error of the query on a line of a file, in place of its result."""
    kind = type(error).__name__
    return {"line": line, "error": {"type": kind, "message": str(error), "hint": error.hint}}


def agreement(found: AgreementSummary, chosen: ResolvedCollection) -> dict[str, Any]:
    return {
        "collection": collection(chosen),
        "measure": "cosine",
        "encoder": found.encoder,
        "generation": found.generation,
        "images": found.images,
        "captions": found.captions,
        "median": None if found.median is None else round(found.median, 6),
        "worst": [agreeing(row) for row in found.worst],
    }


def agreeing(row: Agreement) -> dict[str, Any]:
    return {
        "image_id": row.image_id,
        "score": round(row.score, 6),
        "caption": row.caption,
        **placed(row.place),
    }


def _hit(hit: Hit) -> dict[str, Any]:
    body = {
        "collection": hit.collection,
        "image_id": hit.image_id,
        "score": round(hit.score, 6),
        **placed(hit.place),
        "duplicates": list(hit.duplicates),
        "metadata": plain(hit.metadata),
    }
    if hit.vector is not None:
        body["vector"] = [round(number, 8) for number in hit.vector.tolist()]
    return body


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
