"""Check the facts of a model against the schema of its kind when it is loaded, so that its users need not.

A model may come from somebody else. A fact that is present must have the right type; code that needs a missing fact
reports it. Unknown kinds and facts, as of a later imseek, pass unchecked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final, TypeAlias

from imseek.data.files.checked_json import JsonObject, check_number, check_text

#: Reads a member of an object; raises ValueError where it has another type.
ReadMember: TypeAlias = Callable[[JsonObject, str], object]


def _check_names(document: JsonObject, name: str) -> object:
    """Read a list of texts, leaving out nulls."""
    return [check_text(item, name) for item in document.items(name) if item is not None]


def _check_text_lists(document: JsonObject, name: str) -> object:
    return [JsonObject({name: item}).texts(name) for item in document.items(name)]


def _check_settings(document: JsonObject, name: str) -> object:
    """Read an object of numbers and texts."""
    settings = document.object(name)
    values = {key: settings.get(key) for key in settings}
    return [check_number(value, key) for key, value in values.items() if not isinstance(value, str | None)]


def _optional(read: ReadMember) -> ReadMember:
    return lambda document, name: None if document.get(name) is None else read(document, name)


def _object(members: Mapping[str, ReadMember]) -> ReadMember:
    return lambda document, name: _check(document.object(name), members)


def _objects(members: Mapping[str, ReadMember]) -> ReadMember:
    return lambda document, name: [_check(JsonObject(item), members) for item in document.items(name)]


def _check(document: JsonObject, members: Mapping[str, ReadMember]) -> object:
    return [members[name](document, name) for name in document if name in members]


_TEXT, _TEXTS, _BOOL = JsonObject.text, JsonObject.texts, JsonObject.truth
_INT, _NUMBER = JsonObject.whole, JsonObject.number
_ESTIMATE: Final[Mapping[str, ReadMember]] = {"value": _NUMBER, "low": _NUMBER, "high": _NUMBER}
_SCORE: Final[Mapping[str, ReadMember]] = {
    "method": _TEXT,
    "settings": _check_settings,
    "accuracy": _optional(_object(_ESTIMATE)),
    "log_loss": _optional(_NUMBER),
    "ece": _optional(_NUMBER),
    "tested": _INT,
}
_LABELS: Final[Mapping[str, ReadMember]] = {
    "kind": _TEXT,
    "names": _TEXTS,
    "several": _BOOL,
    "negatives": _optional(_TEXT),
}
#: Facts of every kind that belongs to one encoder.
_ENCODER_FACTS: Final[Mapping[str, ReadMember]] = {"encoder": _TEXT, "fingerprint": _TEXT}
_SCALE: Final[Mapping[str, ReadMember]] = {
    **_ENCODER_FACTS,
    "factor": _NUMBER,
    "bias": _optional(_NUMBER),
    "flat": _NUMBER,
}

_FACTS_BY_KIND: Final[Mapping[str, Mapping[str, ReadMember]]] = {
    "adapter": _ENCODER_FACTS,
    "probe": {
        **_ENCODER_FACTS,
        "method": _TEXT,
        "version": _INT,
        "settings": _check_settings,
        "temperature": _NUMBER,
        "classes": _TEXTS,
        "counts": JsonObject.wholes,
        "labels": _object(_LABELS),
        "where": _optional(_TEXT),
        "dim": _INT,
        "scores": _objects(_SCORE),
        "notes": _TEXTS,
    },
    "labels": {
        **_SCALE,
        "classes": _TEXTS,
        "words": _check_text_lists,
        "templates": _TEXTS,
        "none": _TEXTS,
        "multi": _BOOL,
        "top": _INT,
        "threshold": _optional(_NUMBER),
        "centred": _BOOL,
        "caution": _BOOL,
        "where": _optional(_TEXT),
        "factor_source": _TEXT,
        "columns": _BOOL,
        "tags": _BOOL,
        "last_image_id": partial(JsonObject.whole, least=-1),
    },
    "temperature": _SCALE,
    "ocr": {"recognisers": _TEXTS},
    "reranker": {**_ENCODER_FACTS, "version": _INT, "weight": _NUMBER},
    "cutoff": {
        **_ENCODER_FACTS,
        "images": _INT,
        "queries": _object({"auto": _INT, "image": _INT, "picture": _INT}),
        "captions_from": _TEXT,
    },
    "clusters": {
        **_ENCODER_FACTS,
        "method": _TEXT,
        "chosen": _TEXT,
        "names": _check_names,
        "where": _optional(_TEXT),
    },
    "map": {
        **_ENCODER_FACTS,
        "method": _TEXT,
        "seed": _INT,
        "neighbours": _optional(_INT),
        "min_dist": _optional(_NUMBER),
        "where": _optional(_TEXT),
        "fitted": _INT,
        "placed": _INT,
        "trustworthiness": _optional(_NUMBER),
        "trust_neighbours": _INT,
        "trust_sample": _INT,
    },
}
#: Facts of labels that a probe assigned; they are stored under the kind "labels" too.
_PROBE_LABEL_FACTS: Final[Mapping[str, ReadMember]] = {
    **_ENCODER_FACTS,
    "probe": _TEXT,
    "probe_created": _TEXT,
    "where": _optional(_TEXT),
    "threshold": _optional(_NUMBER),
    "classes": _TEXTS,
}


def check_facts(kind: str, facts: object) -> None:
    """Raise ValueError, naming the fact, where a fact of a model of this kind has the wrong type."""
    document = JsonObject(facts)
    _check(document, _PROBE_LABEL_FACTS if kind == "labels" and "probe" in document else _FACTS_BY_KIND.get(kind, {}))
