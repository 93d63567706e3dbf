"""Spare a command the methods of dataclasses that it never calls.

A frozen dataclass compiles six methods from text, 0.5 ms in all, and a command imports a hundred of them. Of most it
calls only ``__init__``. Python 3.13 compiles them in one go.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from typing import Any, Final

#: Not deferred: each instance needs it, and its signature is the class's.
_NEEDED: Final = "__init__"


def defer_methods() -> None:
    """Have methods of dataclasses to come compiled at their first call, as long as this process lives.

    This is for commands only, not for the library: it replaces a private function of the standard library.
    """
    create: Callable[..., Callable[..., Any]] | None = getattr(dataclasses, "_create_fn", None)
    if sys.version_info >= (3, 13) or create is None:
        return

    def create_later(name: str, *arguments: Any, **options: Any) -> Callable[..., Any]:
        if name == _NEEDED:
            return create(name, *arguments, **options)
        compiled: Callable[..., Any] | None = None

        def method(*values: Any) -> Any:
            nonlocal compiled
            if compiled is None:
                compiled = create(name, *arguments, **options)
            return compiled(*values)

        method.__name__ = method.__qualname__ = name
        return method

    setattr(dataclasses, "_create_fn", create_later)  # noqa: B010 - unknown to type checkers
