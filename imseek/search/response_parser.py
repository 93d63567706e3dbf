"""Build images and hits from JSON responses of a server. The caller has validated the JSON."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np

from imseek.types.pictures import Image, Place
from imseek.types.search_results import Hit, Match


def image_of(found: Mapping[str, Any]) -> Image:
    """Build an image from its JSON object."""
    return Image(found["image_id"], _place(found), found["content_hash"], found["metadata"], tuple(found["tags"]))


def hit_of(found: Mapping[str, Any], uuid: str, *, metadata: bool) -> Hit:
    """Build a hit of the collection ``uuid`` from its JSON object."""
    vector = found.get("vector")
    return Hit(
        collection=uuid,
        image_id=found["image_id"],
        score=found["score"],
        place=_place(found),
        metadata=found["metadata"] if metadata else {},
        duplicates=tuple(found["duplicates"]),
        group=found["group"],
        matches=tuple(
            Match(one["field"], tuple(one["words"]), one.get("excerpt"), one.get("score"))
            for one in found.get("matches", ())  # Earlier versions have none.
        ),
        vector=None if vector is None else np.asarray(vector, np.float32),
    )


def _place(found: Mapping[str, Any]) -> Place | None:
    if found["path"] is None:
        return None
    coded = found.get("path_b64")
    path = base64.b64decode(coded) if coded else found["path"].encode()
    return Place(found["source_id"], path, found["uri"] or "")
