"""Ways to name a collection in function arguments."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol, TypeAlias


class HasPath(Protocol):
    """Anything with a path, such as :class:`imseek.Collection`."""

    @property
    def path(self) -> Path: ...


AnyCollection: TypeAlias = str | os.PathLike[str] | HasPath


def path_of(collection: AnyCollection) -> Path:
    """Return the absolute path of a collection's folder."""
    if isinstance(collection, str | os.PathLike):
        return Path(collection).expanduser().absolute()
    return collection.path
