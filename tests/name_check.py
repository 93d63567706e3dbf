"""A check of Python code without running it: do its imports and attributes exist, and do its calls fit?

It follows values through assignments, loops and ``with`` by the annotations of functions, methods and dataclasses. What
it cannot follow (values of other packages, names that code before it has made) it passes over.
"""

from __future__ import annotations

import ast
import collections.abc
import importlib
import inspect
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Any

import imseek
from imseek.search.query import Question

_MISSING = object()


@dataclass(frozen=True, slots=True)
class Instance:
    """A value of which the type is known: a class, or an annotation such as ``tuple[Hit, ...]``."""

    annotation: Any

    @property
    def type(self) -> Any:
        return typing.get_origin(self.annotation) or self.annotation


class NameCheck(ast.NodeVisitor):
    """``problems`` of the code that was visited; ``names`` are what it may use, by objects or instances. With
    ``partial``, arguments may be left out."""

    def __init__(self, names: Mapping[str, object], *, partial: bool = False) -> None:
        self.names = dict(names)
        self._partial = partial
        self.problems: list[str] = []

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            if alias.name.partition(".")[0] == "imseek":
                module = self._imported(alias.name)
                self.names[alias.asname or "imseek"] = module if alias.asname else self._imported("imseek")

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        if node.module is None or node.module.partition(".")[0] != "imseek":
            return
        module = self._imported(node.module)
        for alias in node.names:
            found = getattr(module, alias.name, _MISSING)
            self.names[alias.asname or alias.name] = (
                self._imported(f"{node.module}.{alias.name}") if found is _MISSING else found
            )

    def visit_Assign(self, node: ast.Assign) -> None:
        value = self._value(node.value)
        for target in node.targets:
            self._bind(target, value)

    def visit_For(self, node: ast.For) -> None:
        self._bind(node.target, self._element(self._value(node.iter)))
        for statement in node.body:
            self.visit(statement)

    def visit_With(self, node: ast.With) -> None:
        for item in node.items:
            value = self._value(item.context_expr)
            if item.optional_vars is not None:
                self._bind(item.optional_vars, value)
        for statement in node.body:
            self.visit(statement)

    def visit_ListComp(self, node: ast.ListComp) -> None:
        self._comprehension(node, node.generators)

    visit_GeneratorExp = visit_ListComp  # type: ignore[assignment]  # noqa: N815 - the names are those of ast

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self._value(node)

    def visit_Call(self, node: ast.Call) -> None:
        self._value(node)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        self._value(node)

    def _comprehension(self, node: Any, generators: list[ast.comprehension]) -> None:
        for generator in generators:
            self._bind(generator.target, self._element(self._value(generator.iter)))
        self.visit(node.elt)

    def _bind(self, target: ast.expr, value: object) -> None:
        if isinstance(target, ast.Name):
            self.names[target.id] = value

    def _value(self, node: ast.expr) -> object:
        """What is known of an expression, None for nothing; its parts are checked."""
        match node:
            case ast.Name():
                return self.names.get(node.id)
            case ast.Attribute():
                return self._attribute(self._value(node.value), node.attr, ast.unparse(node))
            case ast.Call():
                return self._call(node)
            case ast.Subscript():
                self.visit(node.slice)
                return self._element(self._value(node.value))
            case _:
                self.generic_visit(node)
                return None

    def _attribute(self, value: object, name: str, text: str) -> object:
        if value is None:
            return None
        if not isinstance(value, Instance):
            found = getattr(value, name, _MISSING)
            if found is _MISSING and inspect.ismodule(value):
                return self._imported(f"{value.__name__}.{name}", text)
            if found is _MISSING:
                self.problems.append(f"{text}: no such attribute")
                return None
            return found
        hints = _hints(value.type)
        if name in hints:
            return _instance(hints[name])
        member = inspect.getattr_static(value.type, name, _MISSING)
        if member is _MISSING:
            self.problems.append(f"{text}: {value.type.__name__} has no such attribute")
            return None
        if isinstance(member, property):
            return _instance(_hints(member.fget).get("return"))
        return _Method(member, value) if inspect.isfunction(member) else None

    def _call(self, node: ast.Call) -> object:
        function = self._value(node.func)
        arguments = [*node.args, *(keyword.value for keyword in node.keywords)]
        for argument in arguments:
            self.visit(argument)
        if function is None or isinstance(function, Instance):
            return None
        own = (None,) if isinstance(function, _Method) else ()
        called: Any = function.function if isinstance(function, _Method) else function
        if not any(isinstance(one, ast.Starred) for one in node.args) and all(keyword.arg for keyword in node.keywords):
            given = [one for one in node.args if not _is_ellipsis(one)]
            keywords = {str(keyword.arg): None for keyword in node.keywords}
            signature = inspect.signature(called)
            bind = signature.bind_partial if self._partial else signature.bind
            try:
                bind(*own, *given, **keywords)
            except TypeError as error:
                self.problems.append(f"{ast.unparse(node)}: {error}")
        if inspect.isclass(called):
            return Instance(called)
        returned = _hints(called).get("return")
        return function.owner if isinstance(function, _Method) and returned is typing.Self else _instance(returned)

    def _element(self, value: object) -> object:
        """What an iteration over a value gives, or an index in it; of a mapping its values."""
        if not isinstance(value, Instance):
            return None
        arguments = [one for one in typing.get_args(value.annotation) if one is not Ellipsis]
        if not arguments and inspect.isclass(value.type):
            arguments = [_hints(getattr(value.type, "__getitem__", None)).get("return")]
        return _instance(arguments[-1]) if arguments else None

    def _imported(self, name: str, text: str = "") -> object:
        try:
            return importlib.import_module(name)  # noqa: TID251 - the name comes from a page
        except ImportError:
            self.problems.append(f"{text or name}: no such module or attribute")
            return None


@dataclass(frozen=True, slots=True)
class _Method:
    function: Any
    owner: Instance


@cache
def _public() -> dict[str, Any]:
    """What annotations name that is imported for type checkers only."""
    ours = {name: getattr(imseek, name) for name in imseek.__all__}
    return vars(collections.abc) | ours | {"Question": Question}


def _hints(thing: Any) -> dict[str, Any]:
    try:
        return typing.get_type_hints(thing, localns=None if inspect.isclass(thing) else _public())
    except (NameError, TypeError, AttributeError):  # a name that is not public, or no annotations at all
        return {}


def _instance(annotation: Any) -> Instance | None:
    """None where the annotation does not name one class of imseek, or a collection of something."""
    if typing.get_origin(annotation) in (typing.Union, UnionType):
        (annotation, *others) = [one for one in typing.get_args(annotation) if one is not NoneType]
        if others:
            return None
    origin = typing.get_origin(annotation) or annotation
    if not inspect.isclass(origin):
        return None
    is_ours = origin.__module__.partition(".")[0] == "imseek"
    return Instance(annotation) if is_ours or issubclass(origin, collections.abc.Iterable) else None


def _is_ellipsis(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is Ellipsis
