"""Ways to name a collection in function arguments."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol, TypeAlias

from imseek.home import COLLECTION_NAME, named_collections
from imseek.tilde_expansion import expand_user


class HasPath(Protocol):
    """Anything with a path, such as :class:`imseek.Collection`."""

    @property
    def path(self) -> Path: ...


AnyCollection: TypeAlias = str | os.PathLike[str] | HasPath


def path_of(collection: AnyCollection) -> Path:
    """Return the absolute path of a collection's folder.

    A str without a slash may be the name of a collection, where nothing of that name is in the current folder.
    """
    if not isinstance(collection, str | os.PathLike):
        return collection.path
    path = expand_user(collection).absolute()
    if isinstance(collection, str) and COLLECTION_NAME.fullmatch(collection) and not os.path.lexists(path):
        named = named_collections(os.environ) / collection
        if named.is_dir():
            return named
    return path
