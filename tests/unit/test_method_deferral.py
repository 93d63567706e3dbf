"""Dataclasses whose methods are compiled at their first call behave as all others do."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from imseek._method_deferral import defer_methods

pytestmark = pytest.mark.skipif(sys.version_info >= (3, 13), reason="nothing is deferred")


def define() -> dict[str, type[Any]]:
    """Dataclasses of each kind that imseek has."""

    @dataclasses.dataclass(frozen=True, slots=True, order=True)
    class Point:
        x: int
        y: float = 0.5

    @dataclasses.dataclass(frozen=True, slots=True)
    class Named(Point):
        name: str = dataclasses.field(default="p", compare=False)

    @dataclasses.dataclass(frozen=True)
    class Open:
        items: tuple[int, ...] = ()

    @dataclasses.dataclass(slots=True)
    class Changing:
        inner: Any = None
        values: list[int] = dataclasses.field(default_factory=list, repr=False)

    @dataclasses.dataclass(frozen=True, slots=True, eq=False)
    class Identical:
        x: int = 0

    @dataclasses.dataclass(frozen=True, slots=True)
    class Empty: ...

    return {one.__name__: one for one in (Point, Named, Open, Changing, Identical, Empty)}


@pytest.fixture
def deferred(monkeypatch: pytest.MonkeyPatch) -> tuple[dict[str, type[Any]], list[str]]:
    """The same dataclasses with deferred methods, and the names of methods compiled so far."""
    compiled: list[str] = []
    create: Callable[..., Any] = vars(dataclasses)["_create_fn"]

    def counted(name: str, *arguments: Any, **options: Any) -> Any:
        compiled.append(name)
        return create(name, *arguments, **options)

    monkeypatch.setattr(dataclasses, "_create_fn", counted)
    defer_methods()
    classes = define()
    assert compiled == ["__init__"] * len(classes)
    return classes, compiled


def outcome(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except (AttributeError, TypeError) as error:
        return type(error), str(error)


#: What can be seen of the classes.
CASES: list[Callable[[dict[str, type[Any]]], Any]] = [
    lambda c: repr(c["Point"](1)),
    lambda c: repr(c["Named"](1, name="n")),
    lambda c: [repr(c["Changing"](c["Empty"]())), repr(c["Open"]((1, 2)))],
    lambda c: [c["Point"](1) == c["Point"](1), c["Point"](1) == c["Point"](2), c["Point"](1) == 1],
    lambda c: c["Point"](1).__eq__(1) is NotImplemented,
    lambda c: [c["Named"](1, name="a") == c["Named"](1, name="b"), c["Named"](1) == c["Point"](1)],
    lambda c: [
        c["Point"](1) < c["Point"](2),
        c["Point"](1) >= c["Point"](2),
        sorted([c["Point"](2), c["Point"](1)])[0].x,
    ],
    lambda c: outcome(lambda: c["Point"](1) < 3),
    lambda c: [hash(c["Point"](1)) == hash(c["Point"](1)), len({c["Open"]((1,)), c["Open"]((1,)), c["Open"]()})],
    lambda c: outcome(lambda: hash(c["Changing"]())),
    lambda c: c["Identical"]() == c["Identical"](),
    lambda c: outcome(lambda: setattr(c["Point"](1), "x", 2)),
    lambda c: outcome(lambda: delattr(c["Point"](1), "x")),
    lambda c: outcome(lambda: setattr(c["Named"](1), "name", "q")),
    lambda c: outcome(lambda: setattr(c["Open"](), "other", 1)),
    lambda c: outcome(lambda: c["Point"]()),
    lambda c: [str(inspect.signature(one)) for one in c.values()],
    lambda c: repr(dataclasses.replace(c["Named"](1), y=2.0)),
    lambda c: [dataclasses.asdict(c["Named"](1)), copy.deepcopy(c["Point"](3)) == c["Point"](3)],
    lambda c: [one.__match_args__ for one in c.values()],
    lambda c: [one.__repr__.__name__ for one in c.values()],
]


@pytest.mark.parametrize("case", CASES)
def test_deferred_methods_do_the_same(
    case: Callable[[dict[str, type[Any]]], Any], deferred: tuple[dict[str, type[Any]], list[str]]
) -> None:
    # Twice: a method is compiled at the first call only.
    first = case(deferred[0])
    again = case(deferred[0])
    assert first == again == case(ORDINARY)


def test_a_method_is_compiled_once(deferred: tuple[dict[str, type[Any]], list[str]]) -> None:
    classes, compiled = deferred
    compiled.clear()
    for _ in range(3):
        repr(classes["Point"](1))
    assert compiled == ["__repr__"]


def test_a_value_that_holds_itself(deferred: tuple[dict[str, type[Any]], list[str]]) -> None:
    one = deferred[0]["Changing"]()
    one.inner = one
    assert repr(one).endswith("Changing(inner=...)")


def test_a_command_defers_and_the_library_does_not() -> None:
    script = "import sys, dataclasses, imseek.collection; print(dataclasses._create_fn.__module__)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "dataclasses\n"
    script = (
        "import sys, dataclasses, imseek.__main__\n"
        "sys.argv = ['imseek', '--version']; imseek.__main__.main(); print(dataclasses._create_fn.__module__)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "imseek._method_deferral"


#: Defined when nothing is patched.
ORDINARY = define()
