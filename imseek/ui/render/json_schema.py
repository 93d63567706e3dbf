"""JSON Schemas of results, made from their dataclasses by the rules of imseek/ui/render/result_json.py.

JSON Schema, draft 2020-12.
"""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
import typing
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from datetime import date
from enum import Enum
from functools import cache
from pathlib import PurePath
from typing import Any, Final, Literal, TypeVar

from imseek.types.json_form import Json
from imseek.ui.render.result_json import SCHEMA, Member, bare, form_of, is_union, members_of, without_none

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_PLAIN: Final = {bool: "boolean", int: "integer", float: "number", str: "string", date: "string"}
_VALUES: Final = {"None": "null", "True": "true", "False": "false"}
_PATH: Final = {
    "path": {"type": "string", "description": "The path; escaped where its bytes are not UTF-8."},
    "path_b64": {
        "type": "string",
        "contentEncoding": "base64",
        "description": "The exact bytes, only where they are not UTF-8.",
    },
}


def schema_of(answer: Any, title: str) -> dict[str, Any]:
    """Return the JSON Schema of an answer, a dataclass or ``Answer[...]``, as ``print_json`` writes it."""
    definitions: dict[str, Any] = {}
    body = _Schemas(definitions).object_of(answer)
    properties = {"schema": {"const": SCHEMA}, **body.pop("properties")}
    required = ["schema", *body.pop("required")]
    schema = {"$schema": DIALECT, "title": title, **body, "properties": properties, "required": required}
    return {**schema, "$defs": dict(sorted(definitions.items()))} if definitions else schema


def schema_of_type(hint: Any, form: Json | None = None) -> dict[str, Any]:
    """Return the JSON Schema of a type that holds no dataclass."""
    return _Schemas({}).of(hint, form)


def schema_of_arguments(cls: type) -> dict[str, Any]:
    """Return the JSON Schema of the arguments of a call, a dataclass; those with a default may be left out."""
    schema = _Schemas({}).object_of(cls)
    defaults = {one.name: one.default for one in fields(cls) if one.default is not MISSING}
    for name, default in defaults.items():
        if default not in (None, ()):
            schema["properties"][name]["default"] = default
    return {**schema, "required": [name for name in schema["required"] if name not in defaults]}


class _Schemas:
    """Schemas of types; those of dataclasses are collected in ``definitions`` and referred to by name."""

    def __init__(self, definitions: dict[str, Any]) -> None:
        self._definitions = definitions
        self._types: dict[str, Any] = {}

    def object_of(self, hint: Any) -> dict[str, Any]:
        """Return the schema of a dataclass, of one of several, or of a path."""
        if _is_path(hint):
            return _closed(dict(_PATH), ["path"])
        if is_union(hint):
            return _join([self.object_of(one) for one in typing.get_args(hint)])
        properties: dict[str, Any] = {}
        required: list[str] = []
        for member, kind in _typed_members(hint):
            inner, nullable = without_none(kind)
            doc, optional = _docs_of(hint).get(member.attribute), member.form.omit_none
            if not member.form.inline:
                properties[member.name] = self._member(member, kind, doc)
                required += [] if optional else [member.name]
                continue
            body = self.object_of(inner)
            members = body["properties"]
            if doc is not None and _is_path(inner):
                members["path"] = {**members["path"], "description": doc}
            nullable = nullable and not optional
            null = body["required"] if nullable else []
            properties.update({k: _nullable(v) if k in null else v for k, v in members.items()})
            required += [] if optional else body["required"]
        return _closed(properties, required)

    def _member(self, member: Member, kind: Any, doc: str | None) -> dict[str, Any]:
        if member.form.omit_none:
            kind, _ = without_none(kind)
        if member.form.key is not None:
            row = self.object_of(typing.get_args(without_none(kind)[0])[1])
            key = self.of(typing.get_args(without_none(kind)[0])[0])
            row = _closed({member.form.key: key, **row["properties"]}, [member.form.key, *row["required"]])
            schema: dict[str, Any] = {"type": "array", "items": row}
            schema = _nullable(schema) if without_none(kind)[1] else schema
        else:
            schema = self.of(kind, member.form)
        return schema if doc is None else {**schema, "description": doc}

    def of(self, hint: Any, form: Json | None = None) -> dict[str, Any]:
        """Return the schema of a type."""
        form = form_of(hint) if form is None else form
        inner, nullable = without_none(hint)
        schema = self._not_null(inner, form)
        return _nullable(schema) if nullable or (form.nan_null and inner is float) else schema

    def _not_null(self, hint: Any, form: Json) -> dict[str, Any]:
        origin, arguments = typing.get_origin(hint), typing.get_args(hint)
        if is_union(hint):
            return {"anyOf": [self.of(one) for one in arguments]}
        if origin is Literal:
            return {"enum": list(arguments)}
        if isinstance(hint, type) and issubclass(hint, Enum):
            return {"enum": [str(one) for one in hint]}
        if _is_path(hint):
            return self.object_of(hint)
        if typing.is_typeddict(hint):
            members = typing.get_type_hints(hint, include_extras=True)
            return {"type": "object", "properties": {name: self.of(kind) for name, kind in members.items()}}
        if is_dataclass(origin or hint):
            return self._reference(hint)
        if hint in _PLAIN:
            bounds = {"minimum": form.minimum, "maximum": form.maximum, "pattern": form.pattern}
            return {"type": _PLAIN[hint], **{k: v for k, v in bounds.items() if v is not None}}
        if origin is tuple and arguments[-1] is not Ellipsis:
            items = [self.of(one) for one in arguments]
            return {"type": "array", "prefixItems": items, "minItems": len(items), "items": False}
        if getattr(origin or hint, "__module__", "").partition(".")[0] == "numpy":
            number = self._not_null(float, form)  # With bounds it is an array of one dimension.
            return {"type": "array", "items": number} if len(number) > 1 else {"type": "array"}
        if isinstance(origin, type) and issubclass(origin, Mapping):
            key, value = map(self.of, arguments)
            names = {"propertyNames": key} if "enum" in key else {}
            values = {"additionalProperties": value} if value else {}
            return {"type": "object", **names, **values}
        if isinstance(origin, type) and issubclass(origin, Iterable):
            return {"type": "array", "items": self.of(arguments[0])}
        if hint is Any or hint is object:
            return {}
        raise TypeError(f"no JSON Schema for {hint!r}")

    def _reference(self, hint: Any) -> dict[str, Any]:
        cls = typing.get_origin(hint) or hint
        name = cls.__name__.removeprefix("_")
        if self._types.setdefault(name, hint) != hint:
            raise TypeError(f"two types are called {name}: {hint!r} and {self._types[name]!r}")
        if name not in self._definitions:
            self._definitions[name] = {}  # Of a type that contains itself.
            self._definitions[name] = {"description": _summary(cls), **self.object_of(hint)}
        return {"$ref": f"#/$defs/{name}"}


def _typed_members(hint: Any) -> Iterable[tuple[Member, Any]]:
    """Yield the members of a dataclass with their types; type variables have the values that ``hint`` gives them."""
    cls = typing.get_origin(hint) or hint
    values = dict(zip(getattr(cls, "__parameters__", ()), typing.get_args(hint), strict=False))
    for member in members_of(cls):
        kind = bare(member.hint)
        yield member, values.get(kind, kind) if isinstance(kind, TypeVar) else member.hint


def _closed(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _join(objects: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the schema of an object that is one of several: it has the members that all of them require."""
    properties = {name: member for one in objects for name, member in one["properties"].items()}
    required = [name for name in properties if all(name in one["required"] for one in objects)]
    return _closed(properties, required)


def _is_path(hint: Any) -> bool:
    hint = bare(hint)
    return isinstance(hint, type) and (hint is bytes or issubclass(hint, PurePath))


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema that allows null too."""
    description = {k: v for k, v in schema.items() if k == "description"}
    schema = {k: v for k, v in schema.items() if k != "description"}
    match schema:
        case _ if not schema:
            either: dict[str, Any] = {}
        case {"type": "null"}:
            either = schema
        case {"type": str() as kind}:
            either = {**schema, "type": [kind, "null"]}
        case {"type": list()}:
            either = schema
        case {"enum": values}:
            either = {"enum": list(dict.fromkeys([*values, None]))}
        case {"anyOf": choices} if {"type": "null"} in choices:
            either = schema
        case {"anyOf": choices}:
            either = {"anyOf": [*choices, {"type": "null"}]}
        case _:
            either = {"anyOf": [schema, {"type": "null"}]}
    return {**either, **description}


@cache
def _docs_of(hint: Any) -> Mapping[str, str]:
    """Return the docstrings of the fields and properties of a class, of its bases too."""
    docs: dict[str, str] = {}
    bases: tuple[Any, ...] = (typing.get_origin(hint) or hint).__mro__
    for cls in reversed([base for base in bases if "__dataclass_fields__" in vars(base)]):
        (definition,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
        assert isinstance(definition, ast.ClassDef)
        for statement, following in zip(definition.body, [*definition.body[1:], None], strict=True):
            match statement, following:
                case ast.AnnAssign(target=ast.Name(name)), ast.Expr(value=ast.Constant(value=str(text))):
                    docs[name] = _prose(text)
                case ast.FunctionDef(name=name), _ if doc := ast.get_docstring(statement):
                    docs[name] = _prose(doc)
    return docs


def _summary(cls: type) -> str:
    return _prose(inspect.getdoc(cls) or "")


def _prose(doc: str) -> str:
    """Return the first paragraph of a docstring with code and values as Markdown and JSON write them."""
    text = " ".join(doc.partition("\n\n")[0].split())
    text = re.sub(r"(?::\w+:)?`{1,2}~?([^`]+)`{1,2}", r"`\1`", text)
    return re.sub(r"\b(None(?! of)|True|False)\b", lambda match: _VALUES[match[1]], text)
