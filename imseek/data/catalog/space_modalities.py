"""Read the JSON facts that the catalog records about a space."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from imseek.data.catalog.run_reader import parse_json_object
from imseek.data.files.checked_json import JsonObject

#: Key of a space formerly in use: the time when it was replaced.
KEPT_SINCE: Final = "kept_since"


def modalities_of(facts: str) -> tuple[str, ...] | None:
    """Return what the encoder of a space accepts, from the space's ``facts``; None if not recorded."""
    with suppress(ValueError):
        return JsonObject(parse_json_object(facts)).texts("modalities")
    return None
