"""What a piece of work passes through: the functions of imseek that are called, and the values that are made."""

from __future__ import annotations

import ast
import sys
import threading
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import imseek

ROOT = Path(imseek.__file__).parent


class Called(NamedTuple):
    """A function, or a dataclass of which a value is made, by the file below imseek/ and its qualified name."""

    file: str
    name: str

    @property
    def is_named(self) -> bool:
        """Whether it is neither a property nor a comprehension, a lambda or a module."""
        return not self.name.rpartition(".")[2].startswith("<") and self.name not in _properties(self.file)


class Walk(NamedTuple):
    functions: Counter[Called]
    values: Counter[Called]

    def beyond(self, other: Walk, least: int) -> Walk:
        """Return what is called at least so many times more than in another walk."""
        more = (self.functions - other.functions, self.values - other.values)
        return Walk(*(Counter({one: n for one, n in counts.items() if n >= least}) for counts in more))

    @property
    def named(self) -> list[Called]:
        return [one for one in self.functions if one.is_named]

    @property
    def files(self) -> list[str]:
        return list(dict.fromkeys(one.file for one in self.named))

    def __str__(self) -> str:
        lines = [f"{len(self.files)} files, {len(self.named)} functions"]
        lines += [f"{file}: {', '.join(one.name for one in self.named if one.file == file)}" for file in self.files]
        return "\n".join([*lines, f"values: {', '.join(one.name for one in self.values)}"])


def record(work: Callable[[], Any], beneath: tuple[str, ...] = ()) -> Walk:
    """Call ``work`` and return what it passes through, in all threads, but for what functions ``beneath`` call."""
    functions: Counter[Called] = Counter()
    values: Counter[Called] = Counter()
    prefix = f"{ROOT}/"

    def note(frame: FrameType, event: str, _: object) -> None:
        if event != "call":
            return
        code, caller = frame.f_code, frame
        if code.co_filename == "<string>" and code.co_name == "__init__":  # of a dataclass
            kind = type(frame.f_locals["self"])
            if kind.__module__.startswith("imseek."):
                values[Called(kind.__module__, kind.__qualname__)] += 1
        if not code.co_filename.startswith(prefix):
            return
        while beneath and caller.f_back is not None:
            caller = caller.f_back
            if caller.f_code.co_name in beneath and caller.f_code.co_filename.startswith(prefix):
                return
        functions[Called(code.co_filename.removeprefix(prefix), code.co_qualname)] += 1

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]
    return Walk(functions, values)


@cache
def _properties(file: str) -> frozenset[str]:
    found = set()

    def visit(node: ast.AST, prefix: str) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.ClassDef):
                visit(child, f"{prefix}{child.name}.")
            elif isinstance(child, ast.FunctionDef):
                if any(ast.unparse(one) in ("property", "cached_property") for one in child.decorator_list):
                    found.add(prefix + child.name)
                visit(child, f"{prefix}{child.name}.<locals>.")
            else:
                visit(child, prefix)

    visit(ast.parse((ROOT / file).read_text()), "")
    return frozenset(found)
