"""Arguments of tools: their JSON Schemas, and their check."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Final, Literal

from jsonschema import Draft202012Validator, ValidationError
from jsonschema.exceptions import best_match
from jsonschema.validators import extend

from imseek.errors import UsageError
from imseek.search import known_rerankers, option_fields
from imseek.types.json_form import Json
from imseek.ui.render.json_schema import schema_of_arguments
from imseek.ui.render.query_schema import option_schema, region_schema
from imseek.ui.render.words import printable
from imseek.ui.server.pictures import MAX_SIDE, MIN_SIDE
from imseek.ui.server.query_bounds import bounds_of
from imseek.ui.server.service import MAX_CHARACTERS, MAX_TERMS

#: Maximum number of hits and of groups in an answer, which an assistant reads as a whole.
MAX_LIMIT: Final = 100
#: Maximum number of images that one call tags.
MAX_TAGGED: Final = 1000
#: Maximum bytes of a picture in base64.
_MAX_PICTURE: Final = 24 << 20
#: Maximum number of characters of a name, a tag or a value in a message.
_MAX_NAME: Final = 200
#: Options of queries, besides `rerank`, whose values depend on plugins. The others are for measurements and programs.
_OPTIONS: Final = (
    "limit", "by", "where", "min_score", "cutoff", "sort", "group_by", "per_group", "diversity", "collapse", "page",
    "more", "less",
)  # fmt: skip
#: Bounds by their names in Pydantic and in JSON Schema, for texts and for lists.
_TEXT_BOUNDS: Final = {"ge": "minimum", "le": "maximum", "max_length": "maxLength"}
_LIST_BOUNDS: Final = {**_TEXT_BOUNDS, "max_length": "maxItems"}

_COLLECTION: Final = {
    "type": "string",
    "minLength": 1,
    "maxLength": _MAX_NAME,
    "description": "Name of a collection, as `collections` lists them; not needed where there is one.",
}
_TEXT: Final = {"type": "string", "pattern": r"\S", "maxLength": MAX_CHARACTERS}
_IMAGE: Final = {"type": "integer", "minimum": 0, "maximum": (1 << 63) - 1}


def _one_or_many(one: Mapping[str, Any], description: str) -> dict[str, Any]:
    several = {"type": "array", "items": one, "minItems": 1, "maxItems": MAX_TERMS}
    return {"anyOf": [one, several], "description": description}


#: Members of a query that hold its terms. Files and URLs are not accepted: text in a picture could make an assistant
#: name them, to read files that it should not, or to tell a site what it has read.
_WORDS: Final = {
    "text": _one_or_many(_TEXT, "What the picture shows, in words; several are combined."),
    "like": _one_or_many(_IMAGE, "Ids of stored images that it is like."),
    "not": _one_or_many({"anyOf": [_TEXT, _IMAGE]}, "What is not wanted: words, or ids of images."),
}
_PICTURE: Final = {
    "image_id": {**_IMAGE, "description": "The stored image to start from."},
    "picture": {
        "type": "string",
        "contentEncoding": "base64",
        "minLength": 1,
        "maxLength": _MAX_PICTURE,
        "description": "Or the bytes of a picture file, in base64.",
    },
    "region": region_schema(),
}


@cache
def query_arguments(tool: Literal["search", "similar"]) -> dict[str, Any]:
    """Return the schema of the arguments of a tool that searches."""
    terms, alternatives = (_WORDS, ["text", "like"]) if tool == "search" else (_PICTURE, ["image_id", "picture"])
    options = {name: _option(name) for name in _OPTIONS}
    options["rerank"] = {**_option("rerank"), "enum": [*known_rerankers(), None]}
    return {
        "type": "object",
        "properties": {"collection": _COLLECTION, **terms, **options},
        "anyOf": [{"required": [name]} for name in alternatives],
        "additionalProperties": False,
    }


def _option(name: str) -> dict[str, Any]:
    one = option_fields()[name]
    names = _LIST_BOUNDS if one.kind is tuple else _TEXT_BOUNDS
    bounds = {names[bound]: value for bound, value in bounds_of(name).items()}
    return {**option_schema(one), **bounds, **({"maximum": MAX_LIMIT} if name == "limit" else {})}


@dataclass(frozen=True, slots=True)
class ImageArguments:
    """An image, and the size of its thumbnail."""

    image_id: Annotated[int, Json(minimum=0, maximum=(1 << 63) - 1)]
    """Id of an image, from a hit or a group."""
    side: Annotated[int, Json(minimum=MIN_SIDE, maximum=MAX_SIDE)] = 512
    """Longer side of the thumbnail in pixels."""


@dataclass(frozen=True, slots=True)
class FacetArguments:
    """Columns, and how much of each."""

    column: str | None = None
    """One column, `tag` or `location`; all of them where it is left out."""
    where: str | None = None
    """Only images that match this condition."""
    values: Annotated[int, Json(minimum=0, maximum=200)] = 20
    """How many of the most frequent values of each are listed."""


@dataclass(frozen=True, slots=True)
class DuplicateArguments:
    """Kinds of duplicates, and a page."""

    kinds: tuple[Literal["exact", "same", "edited", "scene"], ...] = ("exact", "same")
    """*exact*: the same bytes. *same*: one image re-encoded, resized, recoloured, rotated, or slightly cropped.
    *edited*: one image with something added, covered or replaced; these are listed with *same*, and suggested for
    removal only if named. *scene*: two photos of one scene."""
    where: str | None = None
    """Only images that match this condition."""
    limit: Annotated[int, Json(minimum=1, maximum=MAX_LIMIT)] = 10
    """Maximum number of groups."""
    page: str | None = None
    """Continue after an earlier answer, by its `next_page`."""


@dataclass(frozen=True, slots=True)
class TagArguments:
    """A tag, and images."""

    tag: str
    """The tag, one line."""
    image_ids: tuple[Annotated[int, Json(minimum=0, maximum=(1 << 63) - 1)], ...]
    """Ids of images."""
    remove: bool = False
    """Remove the tag from them instead."""


#: Bounds of texts and lists, by their names.
_LENGTHS: Final[Mapping[str, Mapping[str, Any]]] = {
    "column": {"maxLength": _MAX_NAME},
    "image_ids": {"minItems": 1, "maxItems": MAX_TAGGED},
    "kinds": {"minItems": 1, "maxItems": 3},
    "page": {"maxLength": bounds_of("page")["max_length"]},
    "tag": {"minLength": 1, "maxLength": _MAX_NAME},
    "where": {"maxLength": bounds_of("where")["max_length"]},
}


def arguments_of(cls: type) -> dict[str, Any]:
    """Return the schema of arguments of a dataclass, beside the name of a collection."""
    schema = schema_of_arguments(cls)
    for name, member in schema["properties"].items():
        member.update(_LENGTHS.get(name, {}))
    schema["properties"] = {"collection": _COLLECTION, **schema["properties"]}
    return schema


#: JSON Schema takes 1.0 for an integer; ids and limits do not.
_Validator: Final = extend(
    Draft202012Validator,
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine(
        "integer", lambda _, value: isinstance(value, int) and not isinstance(value, bool)
    ),
)


def check_arguments(arguments: Mapping[str, Any], schema: Mapping[str, Any]) -> None:
    """Raise UsageError, which names the argument, unless the arguments meet the schema."""
    # Names come first: an object of a million members would give as many errors.
    if strange := next((name for name in arguments if name not in schema["properties"]), None):
        raise UsageError(
            f"there is no argument {_excerpt(strange)}", hint=f"there are {', '.join(schema['properties'])}"
        )
    if (error := best_match(_Validator(schema).iter_errors(arguments))) is not None:
        raise UsageError(_message_of(error, schema))


def _message_of(error: ValidationError, schema: Mapping[str, Any]) -> str:
    """Say what is wrong, without repeating a value of megabytes as the library does."""
    path = list(error.absolute_path)
    if not path:
        if error.validator == "required":
            return (
                f"the argument {error.validator_value[0]} is missing"
                if len(error.validator_value) == 1
                else (f"arguments are missing: {', '.join(error.validator_value)} are needed")
            )
        alternatives = [one["required"][0] for one in schema.get("anyOf", ())]
        return f"the call needs {' or '.join(alternatives)}" if alternatives else "the arguments are not an object"
    name = str(path[0]) + "".join(f"[{_excerpt(one)}]" for one in path[1:])
    match error.validator:
        case "type":
            kinds = error.validator_value
            expected = " or ".join(kinds) if isinstance(kinds, list) else kinds
            return f"{name} must be of type {expected}, not {_excerpt(error.instance)}"
        case "enum":
            return f"{name} is one of {', '.join(map(str, error.validator_value))}, not {_excerpt(error.instance)}"
        case "minimum":
            return f"{name} must be at least {error.validator_value}"
        case "maximum":
            return f"{name} must be at most {error.validator_value}"
        case "pattern" if name in option_fields():
            return option_fields()[name].refusal(error.instance, name)
        case "minLength" | "minItems" | "pattern":
            return f"{name} must not be empty"
        case "maxLength":
            return f"{name} has at most {error.validator_value:,} characters"
        case "maxItems":
            return f"{name} has at most {error.validator_value:,} elements"
    return f"{name} cannot be {_excerpt(error.instance)}"


def _excerpt(value: object) -> str:
    text = repr(value) if isinstance(value, str | int | float | bool) or value is None else f"a {type(value).__name__}"
    return printable(text if len(text) <= 80 else f"{text[:80]}…")
