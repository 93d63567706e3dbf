"""Generate docs/json.md from the schemas of answers: ``python -P -m imseek.ui.cli.json_reference docs/json.md``."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias

from imseek.types.pictures import SkipReason
from imseek.ui.cli.json_schemas import commands_of, schemas

Schema: TypeAlias = Mapping[str, Any]

_HEAD: Final = """\
# JSON

Generated from the types of results by `make json-docs`; a test holds it current.

With `--json` a result is one object on stdout, in ASCII, with `"schema": 1`; `imseek watch`,
`imseek search --queries` and `imseek duplicates find --jsonl` print one a line. Its members are in no promised order,
and later versions may add some. An error is one object on stderr. Exit codes are in [cli.md](cli.md). Each answer has a
JSON Schema (draft 2020-12) in [schemas](schemas), from which its table is made.

*optional*: left out where there is nothing to say. A *path* is an object with the member `path`, in which bytes that
are not UTF-8 are escaped; the exact bytes are then in `path_b64` beside it, in base64. So it is with every member
`path`; the tables leave `path_b64` out.
"""
_TABLE: Final = "| member | type | meaning |\n|---|---|---|"
_PATH: Final = {"path", "path_b64"}


def page() -> str:
    """Render docs/json.md: a table for each answer, then the objects in them."""
    answers = schemas()
    shared: dict[str, Schema] = {SkipReason.__name__: _reasons()}
    for schema in answers.values():
        for name, definition in schema.get("$defs", {}).items():
            if shared.setdefault(name, definition) != definition:
                raise ValueError(f"two different objects are called {name}: rename a class")
    parts = [_HEAD]
    for name in sorted(answers, key=_heading):
        parts.append(f"## {_heading(name)}\n\n[Schema](schemas/{name}.json)\n\n{_table(answers[name], shared)}\n")
    parts.append("## Objects and codes\n")
    for name, inner in sorted(shared.items()):
        values = f"One of {_type(inner)}." if "enum" in inner else _table(inner, shared)
        parts.append(f"### {name}\n\n{_linked(inner['description'], shared)}\n\n{values}\n")
    return "\n".join(parts)


def _reasons() -> Schema:
    summary = " ".join((SkipReason.__doc__ or "").split())
    return {"description": summary, "enum": [str(reason) for reason in SkipReason]}


def _heading(name: str) -> str:
    return ", ".join(f"imseek {words}" for words in commands_of(name)) or f"{name.capitalize()}s"


def _table(schema: Schema, shared: Iterable[str]) -> str:
    rows = [
        f"| `{name}` | {_type(member)}{optional} | {_linked(member.get('description', ''), shared)} |"
        for name, member, optional in _members(schema)
    ]
    return "\n".join([_TABLE, *rows])


def _members(schema: Schema, prefix: str = "") -> Iterator[tuple[str, Schema, str]]:
    """Yield the members of an object and of those that are written out in it: name, schema, whether it is optional."""
    for name, member in schema["properties"].items():
        if name == "path_b64" or member == {"const": 1}:
            continue
        yield f"{prefix}{name}", member, "" if name in schema.get("required", ()) else ", *optional*"
        inner: Schema = member
        dots = "."
        while inner.get("items"):
            inner, dots = inner["items"], f"[]{dots}"
        if "properties" in inner and not _is_path(inner):
            yield from _members(inner, f"{prefix}{name}{dots}")


def _type(schema: Schema) -> str:
    """Describe the type of a member in a few words."""
    match schema:
        case {"$ref": str() as reference}:
            name = reference.rpartition("/")[2]
            return f"[{name}](#{name.lower()})"
        case {"enum": values}:
            return ", ".join(f"`{value if isinstance(value, str) else json.dumps(value)}`" for value in values)
        case {"anyOf": choices}:
            return " or ".join(map(_type, choices))
        case {"type": [*kinds]}:
            return " or ".join(_type({**schema, "type": kind}) for kind in kinds)
        case {"type": "array", "prefixItems": items}:
            return f"[{', '.join(map(_type, items))}]"
        case {"type": "array", "items": item}:
            return f"list of {_plural(_type(item))}"
        case {"type": "array"}:
            return "list"
        case {"type": "object", "additionalProperties": {} as value} if value:
            names = f" by {_type(schema['propertyNames'])}" if "propertyNames" in schema else ""
            return f"object of {_plural(_type(value))}{names}"
        case {"type": "object"}:
            return "path" if _is_path(schema) else "object"
        case {"type": "integer" | "number" as kind}:
            return f"{kind}{_bounds(schema)}"
        case {"type": str() as kind}:
            return kind
    return "any value"


def _bounds(schema: Schema) -> str:
    """Describe bounds, except a minimum of 0 alone: most numbers count or measure something."""
    low, high = schema.get("minimum"), schema.get("maximum")
    if high is not None:
        return f" ≤ {high:g}" if low is None else f" {low:g} … {high:g}"
    return f" ≥ {low:g}" if low else ""


def _plural(kind: str) -> str:
    return re.sub(r"^(boolean|integer|list|number|object|path|string|any value)\b", r"\1s", kind)


def _is_path(schema: Schema) -> bool:
    return set(schema.get("properties", ())) == _PATH


def _linked(text: str, shared: Iterable[str]) -> str:
    """Return a description as it stands in a table; names of objects lead to them."""

    def link(code: re.Match[str]) -> str:
        return f"[{code[0]}](#{code[1].lower()})" if code[1] in shared else code[0]

    text = re.sub(r"`(?:[\w.]+\.)?(\w+)`", link, text)
    return text.replace("|", r"\|")


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
