"""Check the facts of a model against the schema of its kind when it is loaded, so that its users need not.

A model may come from somebody else. A fact that is present must have the right type; code that needs a missing fact
reports it. Unknown kinds and facts, as of a later imseek, pass unchecked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final, TypeAlias

from imseek.data.json_object import JsonObject, number, text

#: Reads a member of an object; raises ValueError where it has another type.
Read: TypeAlias = Callable[[JsonObject, str], object]


def _names(found: JsonObject, name: str) -> object:
    """Read a list of texts, some of which may be null."""
    return [text(one, name) for one in found.items(name) if one is not None]


def _lists_of_texts(found: JsonObject, name: str) -> object:
    return [JsonObject({name: one}).texts(name) for one in found.items(name)]


def _settings(found: JsonObject, name: str) -> object:
    """Read an object of numbers and texts."""
    settings = found.object(name)
    values = {one: settings.get(one) for one in settings}
    return [number(value, one) for one, value in values.items() if not isinstance(value, str | None)]


def _optional(read: Read) -> Read:
    """Return a reader of a member that may be null."""
    return lambda found, name: None if found.get(name) is None else read(found, name)


def _object(members: Mapping[str, Read]) -> Read:
    return lambda found, name: _check(found.object(name), members)


def _objects(members: Mapping[str, Read]) -> Read:
    return lambda found, name: [_check(JsonObject(one), members) for one in found.items(name)]


def _check(found: JsonObject, members: Mapping[str, Read]) -> object:
    return [members[name](found, name) for name in found if name in members]


_TEXT, _TEXTS, _TRUTH = JsonObject.text, JsonObject.texts, JsonObject.truth
_WHOLE, _NUMBER = JsonObject.whole, JsonObject.number
_ESTIMATE: Final[Mapping[str, Read]] = {"value": _NUMBER, "low": _NUMBER, "high": _NUMBER}
_SCORE: Final[Mapping[str, Read]] = {
    "method": _TEXT,
    "settings": _settings,
    "accuracy": _optional(_object(_ESTIMATE)),
    "log_loss": _optional(_NUMBER),
    "ece": _optional(_NUMBER),
    "tested": _WHOLE,
}
_LABELS: Final[Mapping[str, Read]] = {
    "kind": _TEXT,
    "names": _TEXTS,
    "several": _TRUTH,
    "negatives": _optional(_TEXT),
}
#: Facts of every kind that belongs to one encoder.
_OF_ENCODER: Final[Mapping[str, Read]] = {"encoder": _TEXT, "fingerprint": _TEXT}
_SCALE: Final[Mapping[str, Read]] = {
    **_OF_ENCODER,
    "factor": _NUMBER,
    "bias": _optional(_NUMBER),
    "flat": _NUMBER,
}

_FACTS: Final[Mapping[str, Mapping[str, Read]]] = {
    "adapter": _OF_ENCODER,
    "probe": {
        **_OF_ENCODER,
        "method": _TEXT,
        "settings": _settings,
        "temperature": _NUMBER,
        "classes": _TEXTS,
        "counts": JsonObject.wholes,
        "labels": _object(_LABELS),
        "where": _optional(_TEXT),
        "dim": _WHOLE,
        "scores": _objects(_SCORE),
        "notes": _TEXTS,
    },
    "labels": {
        **_SCALE,
        "classes": _TEXTS,
        "words": _lists_of_texts,
        "templates": _TEXTS,
        "none": _TEXTS,
        "multi": _TRUTH,
        "top": _WHOLE,
        "threshold": _optional(_NUMBER),
        "centred": _TRUTH,
        "caution": _TRUTH,
        "where": _optional(_TEXT),
        "factor_source": _TEXT,
        "columns": _TRUTH,
        "tags": _TRUTH,
        "last_image_id": partial(JsonObject.whole, least=-1),
    },
    "temperature": _SCALE,
    "clusters": {
        **_OF_ENCODER,
        "method": _TEXT,
        "chosen": _TEXT,
        "names": _names,
        "where": _optional(_TEXT),
    },
    "map": {
        **_OF_ENCODER,
        "method": _TEXT,
        "seed": _WHOLE,
        "neighbours": _optional(_WHOLE),
        "min_dist": _optional(_NUMBER),
        "where": _optional(_TEXT),
        "fitted": _WHOLE,
        "placed": _WHOLE,
        "trustworthiness": _optional(_NUMBER),
        "trust_neighbours": _WHOLE,
        "trust_sample": _WHOLE,
    },
}
#: Facts of labels that a probe assigned; they are stored under the kind "labels" too.
_BY_PROBE: Final[Mapping[str, Read]] = {
    **_OF_ENCODER,
    "probe": _TEXT,
    "probe_created": _TEXT,
    "where": _optional(_TEXT),
    "threshold": _optional(_NUMBER),
    "classes": _TEXTS,
}


def check_facts(kind: str, facts: object) -> None:
    """Raise ValueError, naming the fact, where a fact of a model of this kind has the wrong type."""
    found = JsonObject(facts)
    _check(found, _BY_PROBE if kind == "labels" and "probe" in found else _FACTS.get(kind, {}))
