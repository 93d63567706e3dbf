"""JSON Schema of a query, as imseek/search/query_json.py reads it."""

from __future__ import annotations

from typing import Any, Final

from imseek.search import OptionField, option_fields
from imseek.types.json_form import Json
from imseek.ui.render.json_schema import DIALECT, schema_of_type

_TEXT: Final = {"type": "string", "pattern": r"\S"}
_WORDS: Final = {**_TEXT, "description": "Words, whatever they look like."}
_IMAGE: Final = {"type": "integer", "minimum": 0, "description": "An image of the collection."}
_WEIGHT: Final = {"$ref": "#/$defs/weight"}
#: Members of a term; a term has exactly one of them.
_MEMBERS: Final[dict[str, dict[str, Any]]] = {
    "text": _TEXT,
    "path": {
        "type": "string",
        "minLength": 1,
        "description": "A picture file. Refused where the query comes from another machine.",
    },
    "url": {
        "type": "string",
        "pattern": "^[hH][tT][tT][pP][sS]?://",
        "description": "A picture on the web; private addresses are refused.",
    },
    "image_id": _IMAGE,
    "vector": {
        "type": "array",
        "items": {"type": "number"},
        "minItems": 1,
        "description": "In the collection's first space; any length above 0.",
    },
    "picture": {"type": "string", "contentEncoding": "base64", "description": "The bytes of a picture."},
}
_PICTURES: Final = ("path", "url", "image_id", "picture")


def region_schema() -> dict[str, Any]:
    """Return the JSON Schema of the region of a picture."""
    return {
        "type": "array",
        "items": {"type": "number", "minimum": 0},
        "minItems": 4,
        "maxItems": 4,
        "description": "Only this box of the picture: left, top, width and height, as shares of it if none exceeds 1, "
        "otherwise in pixels.",
    }


_DEFINITIONS: Final[dict[str, Any]] = {
    "region": region_schema(),
    "weight": {
        "type": "number",
        "exclusiveMinimum": 0,
        "description": "1 where it is left out; only the ratios of the weights of a query count.",
    },
    "words": {
        "anyOf": [
            _WORDS,
            {
                "type": "object",
                "properties": {"text": _TEXT, "weight": _WEIGHT},
                "required": ["text"],
                "additionalProperties": False,
            },
        ]
    },
    "object": {
        "type": "object",
        "properties": {**_MEMBERS, "weight": _WEIGHT, "region": {"$ref": "#/$defs/region"}},
        "oneOf": [{"required": [name]} for name in _MEMBERS],
        "dependentSchemas": {"region": {"anyOf": [{"required": [name]} for name in _PICTURES]}},
        "additionalProperties": False,
    },
    "like": {
        "anyOf": [
            {
                "type": "string",
                "minLength": 1,
                "description": "A URL where it starts like one, else the path of a file.",
            },
            _IMAGE,
            {"$ref": "#/$defs/object"},
        ]
    },
    "not": {"anyOf": [_WORDS, _IMAGE, {"$ref": "#/$defs/object"}]},
}


def query_schema() -> dict[str, Any]:
    """Return the JSON Schema of a query."""
    return {
        "$schema": DIALECT,
        "title": "A query: a line of `imseek search --queries`, and what is sent to a server",
        "type": "object",
        "properties": {
            "schema": {"const": 1},
            "text": _one_or_many("words", "What the picture shows."),
            "like": _one_or_many("like", "What it is like."),
            "not": _one_or_many("not", "What it is not like."),
            **{name: option_schema(one) for name, one in option_fields().items()},
        },
        "anyOf": [{"required": ["text"]}, {"required": ["like"]}],
        "additionalProperties": False,
        "$defs": _DEFINITIONS,
    }


def _one_or_many(name: str, description: str) -> dict[str, Any]:
    term = {"$ref": f"#/$defs/{name}"}
    return {"anyOf": [term, {"type": "array", "items": term}], "description": description}


def option_schema(option_field: OptionField) -> dict[str, Any]:
    """Return the JSON Schema of an option of a query."""
    form = Json(
        minimum=option_field.option.minimum,
        maximum=option_field.option.maximum,
        pattern=option_field.option.pattern or (r"\S" if option_field.kind is str else None),
    )
    default = {} if option_field.default in (None, ()) else {"default": option_field.default}
    return {**schema_of_type(option_field.hint, form), **default, "description": option_field.option.help}
