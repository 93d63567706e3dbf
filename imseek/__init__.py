"""Semantic search over your own images.

    >>> import imseek
    >>> with imseek.create("photos.imseek") as photos:      # doctest: +SKIP
    ...     photos.index(["~/Pictures"])
    ...     for hit in photos.search("a dog on a beach"):
    ...         print(hit.score, hit.path)

Names are imported when they are first used, so that ``import imseek`` costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from imseek._version import __version__

if TYPE_CHECKING:
    from imseek import captions, duplicates, errors, evaluate, jobs, upkeep, watch
    from imseek.collection import Collection, create, open  # noqa: A004 - imseek.open, as in gzip.open
    from imseek.encoders.runtime import Runtime
    from imseek.search.query import Query, Term
    from imseek.several import search_all
    from imseek.types import (
        ApplyReport,
        BuildReport,
        CaptionReport,
        CollectionInfo,
        CompareReport,
        DropReport,
        Duplicate,
        DuplicateGroup,
        DuplicatePair,
        DuplicateReport,
        Estimate,
        Failure,
        Hit,
        HitGroup,
        Image,
        IndexInfo,
        IndexPolicy,
        IndexReport,
        Judgement,
        KnownPicture,
        MergeReport,
        MissingPicture,
        NeighbourReport,
        OtherSpace,
        Place,
        Problem,
        Progress,
        PurgeReport,
        ReencodeReport,
        RepairReport,
        RetrievalReport,
        Searched,
        SearchResult,
        SourceInfo,
        SourceOptions,
        SpaceInfo,
        SpaceRun,
        SpaceShare,
        SpaceSummary,
        UndoInfo,
        UndoReport,
        VerifyReport,
    )

_HOMES = {
    "Collection": "imseek.collection",
    "create": "imseek.collection",
    "open": "imseek.collection",
    "Query": "imseek.search.query",
    "Runtime": "imseek.encoders.runtime",
    "Term": "imseek.search.query",
    "search_all": "imseek.several",
    "CaptionReport": "imseek.types",
    "CollectionInfo": "imseek.types",
    "Failure": "imseek.types",
    "Hit": "imseek.types",
    "HitGroup": "imseek.types",
    "Image": "imseek.types",
    "IndexReport": "imseek.types",
    "KnownPicture": "imseek.types",
    "IndexPolicy": "imseek.types",
    "IndexInfo": "imseek.types",
    "BuildReport": "imseek.types",
    "MergeReport": "imseek.types",
    "Place": "imseek.types",
    "Problem": "imseek.types",
    "Progress": "imseek.types",
    "PurgeReport": "imseek.types",
    "RepairReport": "imseek.types",
    "DropReport": "imseek.types",
    "MissingPicture": "imseek.types",
    "OtherSpace": "imseek.types",
    "ReencodeReport": "imseek.types",
    "SearchResult": "imseek.types",
    "Searched": "imseek.types",
    "SourceInfo": "imseek.types",
    "SourceOptions": "imseek.types",
    "SpaceInfo": "imseek.types",
    "SpaceRun": "imseek.types",
    "SpaceShare": "imseek.types",
    "SpaceSummary": "imseek.types",
    "ApplyReport": "imseek.types",
    "Duplicate": "imseek.types",
    "DuplicateGroup": "imseek.types",
    "DuplicatePair": "imseek.types",
    "DuplicateReport": "imseek.types",
    "Judgement": "imseek.types",
    "UndoInfo": "imseek.types",
    "UndoReport": "imseek.types",
    "VerifyReport": "imseek.types",
    "CompareReport": "imseek.types",
    "Estimate": "imseek.types",
    "NeighbourReport": "imseek.types",
    "RetrievalReport": "imseek.types",
}
_MODULES = ("captions", "duplicates", "errors", "evaluate", "jobs", "upkeep", "watch")

__all__ = [
    "ApplyReport",
    "BuildReport",
    "CaptionReport",
    "Collection",
    "CollectionInfo",
    "CompareReport",
    "DropReport",
    "Duplicate",
    "DuplicateGroup",
    "DuplicatePair",
    "DuplicateReport",
    "Estimate",
    "Failure",
    "Hit",
    "HitGroup",
    "Image",
    "IndexInfo",
    "IndexPolicy",
    "IndexReport",
    "Judgement",
    "KnownPicture",
    "MergeReport",
    "MissingPicture",
    "NeighbourReport",
    "OtherSpace",
    "Place",
    "Problem",
    "Progress",
    "PurgeReport",
    "Query",
    "ReencodeReport",
    "RepairReport",
    "RetrievalReport",
    "Runtime",
    "SearchResult",
    "Searched",
    "SourceInfo",
    "SourceOptions",
    "SpaceInfo",
    "SpaceRun",
    "SpaceShare",
    "SpaceSummary",
    "Term",
    "UndoInfo",
    "UndoReport",
    "VerifyReport",
    "__version__",
    "captions",
    "create",
    "duplicates",
    "errors",
    "evaluate",
    "jobs",
    "open",
    "search_all",
    "upkeep",
    "watch",
]


def __getattr__(name: str) -> object:
    if name in _MODULES:
        return importlib.import_module(f"imseek.{name}")
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'imseek' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
