"""Spare a command two packages that SQLAlchemy imports and that imseek's use of it does not need.

asyncio, with TLS and sockets, and importlib.metadata, with a parser of e-mail, take a quarter of the time to import
SQLAlchemy.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module  # noqa: TID251 - for two modules of the standard library, named below
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any, Final

_SPARED: Final = ("asyncio", "importlib.metadata")
#: Modules of SQLAlchemy that import them, with all that these import.
_IMPORTERS: Final = ("sqlalchemy", "sqlalchemy.dialects.sqlite")


class StandIn(ModuleType):
    """A module that is imported when something in it is first used."""

    def __getattr__(self, name: str) -> Any:
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(import_module(self.__name__), name)


class _Asyncio(StandIn):
    """Stands in for asyncio. SQLAlchemy stores this one function as it is imported."""

    def iscoroutine(self, value: object) -> bool:
        return bool(self.__getattr__("iscoroutine")(value))


class _Loader:
    """Loads a module of SQLAlchemy while stand-ins are in the place of what it need not import."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def exec_module(self, module: ModuleType) -> None:
        made = [_Asyncio(name) if name == "asyncio" else StandIn(name) for name in _SPARED if name not in sys.modules]
        for one in made:
            sys.modules[one.__name__] = one
            package, _, name = one.__name__.rpartition(".")
            if package:  # stays until the module itself takes its place
                setattr(sys.modules[package], name, one)
        try:
            self._loader.exec_module(module)
        finally:
            for one in made:
                if sys.modules.get(one.__name__) is one:
                    del sys.modules[one.__name__]


class SqlalchemyImports:
    """An import hook that loads SQLAlchemy without asyncio and importlib.metadata, until it uses them.

    Whoever else imports these gets them. This is for commands only.
    """

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of a module that imports them, with our loader; None for others."""
        if name not in _IMPORTERS:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None:
            spec.loader = _Loader(spec.loader)  # type: ignore[assignment] # passes on all but one method
        return spec
