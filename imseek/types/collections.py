"""How a collection is named to functions that take one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol, TypeAlias


class HasPath(Protocol):
    """A :class:`imseek.Collection`."""

    @property
    def path(self) -> Path: ...


AnyCollection: TypeAlias = str | os.PathLike[str] | HasPath


def path_of(collection: AnyCollection) -> Path:
    """Its folder, absolute."""
    if isinstance(collection, str | os.PathLike):
        return Path(collection).expanduser().absolute()
    return collection.path
