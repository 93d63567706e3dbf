"""What the facts of a model are, by its kind: looked at where a model is read, so that who uses it need not ask.

A model may come from somebody else. What is there has to be of its type; what is missing is for who needs it to tell.
Kinds and facts that are not listed here, of a later imseek too, are let through.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from imseek.data.json_object import JsonObject

#: Reads a member of an object; raises ValueError for one that is no such value.
Read: TypeAlias = Callable[[JsonObject, str], object]


def _number(found: JsonObject, name: str) -> object:
    return found.number(name)


def _id_or_none(found: JsonObject, name: str) -> object:
    return found.whole(name, least=-1)


def _texts(found: JsonObject, name: str) -> object:
    for n, one in enumerate(found.items(name)):
        JsonObject({f"{name}[{n}]": one}).text(f"{name}[{n}]")
    return None


def _names(found: JsonObject, name: str) -> object:
    return _texts(JsonObject({name: [one for one in found.items(name) if one is not None]}), name)


def _lists_of_texts(found: JsonObject, name: str) -> object:
    for one in found.items(name):
        _texts(JsonObject({name: one}), name)
    return None


def _settings(found: JsonObject, name: str) -> object:
    settings = found.object(name)
    for one in settings:
        if one in settings and not isinstance(settings.get(one), str):
            settings.number(one)
    return None


def _optional(read: Read) -> Read:
    """A member that may be null, but is there."""
    return lambda found, name: None if found.get(name) is None else read(found, name)


def _object(members: Mapping[str, Read]) -> Read:
    return lambda found, name: _check(found.object(name), members)


def _objects(members: Mapping[str, Read]) -> Read:
    def read(found: JsonObject, name: str) -> object:
        for one in found.items(name):
            _check(JsonObject(one), members)
        return None

    return read


_TEXT, _TRUTH, _WHOLE = JsonObject.text, JsonObject.truth, JsonObject.whole
_ESTIMATE: Final[Mapping[str, Read]] = {"value": _number, "low": _number, "high": _number}
_SCORE: Final[Mapping[str, Read]] = {
    "method": _TEXT,
    "settings": _settings,
    "accuracy": _optional(_object(_ESTIMATE)),
    "log_loss": _optional(_number),
    "ece": _optional(_number),
    "tested": _WHOLE,
}
_LABELS: Final[Mapping[str, Read]] = {
    "kind": _TEXT,
    "names": _texts,
    "several": _TRUTH,
    "negatives": _optional(_TEXT),
}
#: Of all kinds that are of one encoder.
_OF_ENCODER: Final[Mapping[str, Read]] = {"encoder": _TEXT, "fingerprint": _TEXT}
_SCALE: Final[Mapping[str, Read]] = {
    **_OF_ENCODER,
    "factor": _number,
    "bias": _optional(_number),
    "flat": _number,
}

_FACTS: Final[Mapping[str, Mapping[str, Read]]] = {
    "adapter": _OF_ENCODER,
    "probe": {
        **_OF_ENCODER,
        "method": _TEXT,
        "settings": _settings,
        "temperature": _number,
        "classes": _texts,
        "counts": JsonObject.wholes,
        "labels": _object(_LABELS),
        "where": _optional(_TEXT),
        "dim": _WHOLE,
        "scores": _objects(_SCORE),
        "notes": _texts,
    },
    "labels": {
        **_SCALE,
        "classes": _texts,
        "words": _lists_of_texts,
        "templates": _texts,
        "none": _texts,
        "multi": _TRUTH,
        "top": _WHOLE,
        "threshold": _optional(_number),
        "centred": _TRUTH,
        "caution": _TRUTH,
        "where": _optional(_TEXT),
        "factor_source": _TEXT,
        "columns": _TRUTH,
        "tags": _TRUTH,
        "last_image_id": _id_or_none,
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
        "min_dist": _optional(_number),
        "where": _optional(_TEXT),
        "fitted": _WHOLE,
        "placed": _WHOLE,
        "trustworthiness": _optional(_number),
        "trust_neighbours": _WHOLE,
        "trust_sample": _WHOLE,
    },
}
#: Labels that a probe gave are on record under the same kind.
_BY_PROBE: Final[Mapping[str, Read]] = {
    **_OF_ENCODER,
    "probe": _TEXT,
    "probe_created": _TEXT,
    "where": _optional(_TEXT),
    "threshold": _optional(_number),
    "classes": _texts,
}


def check_facts(kind: str, facts: object) -> None:
    """Raise ValueError, which names the fact, where the facts of a model of this kind are not what imseek stores."""
    found = JsonObject(facts)
    _check(found, _BY_PROBE if kind == "labels" and "probe" in found else _FACTS.get(kind, {}))


def _check(found: JsonObject, members: Mapping[str, Read]) -> None:
    for name in found:
        if name in members:
            members[name](found, name)
