"""Types of the JSON output of `imseek search`.

They need NumPy, which the help of the command must not load.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from imseek.types.json_form import Json
from imseek.types.search_results import Searched, SearchResult
from imseek.ui.render.result_json import CollectionName, HasPath


@dataclass(frozen=True, slots=True)
class SearchedCollection:
    """A collection that answered a query."""

    collection: Annotated[CollectionName, Json(inline=True)]
    searched: Annotated[Searched, Json(inline=True)]


@dataclass(frozen=True, slots=True)
class SearchAnswer:
    """An answer to a query."""

    line: Annotated[int | None, Json(minimum=1, omit_none=True)]
    """Of ``--queries``: the number of the line that held the query."""
    collection: CollectionName
    """The first of ``collections``."""
    result: Annotated[SearchResult, Json(inline=True)]
    collections: tuple[SearchedCollection, ...]
    """Those that answered. ``generation`` is that of the first; ``searched`` counts the images of all."""

    @classmethod
    def of(cls, result: SearchResult, targets: Sequence[HasPath], line: int | None = None) -> SearchAnswer:
        """Make the answer of the collections that were searched."""
        names = [CollectionName.of(one) for one in targets]
        collections = map(SearchedCollection, names, result.collections)
        return cls(line, names[0], result, tuple(collections))
