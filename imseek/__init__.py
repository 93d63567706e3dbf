"""Semantic search over your own images.

    >>> import imseek
    >>> with imseek.create("photos.imseek") as photos:      # doctest: +SKIP
    ...     photos.index(["~/Pictures"])
    ...     for hit in photos.search("a dog on a beach"):
    ...         print(hit.score, hit.path)

Names are imported on first use, so that ``import imseek`` costs almost nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from imseek._version import __version__

if TYPE_CHECKING:
    from imseek import (
        backup,
        captions,
        clusters,
        dataset,
        duplicates,
        errors,
        evaluate,
        export,
        jobs,
        labels,
        maintenance,
        maps,
        probes,
        publish,
        report,
        tags,
        tune,
        watch,
    )
    from imseek import maintenance as upkeep
    from imseek.clusters.results import (
        AssignReport,
        Cluster,
        ClusterReport,
        OutlierReport,
        SampleReport,
        Shown,
    )
    from imseek.collection import Collection, create, open  # noqa: A004 - imseek.open, as in gzip.open
    from imseek.dataset.results import Balance, CoverageReport, LeakReport, QualityReport
    from imseek.duplicates.action_results import ApplyReport, ForeignJournal, UndoInfo, UndoReport
    from imseek.duplicates.results import Duplicate, DuplicateGroup, DuplicatePair, DuplicateReport
    from imseek.encoders.runtime import Runtime
    from imseek.evaluate.results import CompareReport, NeighbourReport, RetrievalReport
    from imseek.exports.results import ExportOptions, ExportReport, SkippedPicture
    from imseek.maps.results import MapInfo, MapReport
    from imseek.metrics.estimate import Estimate
    from imseek.progress import Progress
    from imseek.published import PublishedCollection
    from imseek.remote import RemoteCollection, connect
    from imseek.report.results import CollectionReport
    from imseek.search.query import Query, Term
    from imseek.search.searchable import Searchable
    from imseek.several import search_all
    from imseek.types.backup import BackupInfo, BackupReport, RestoreReport
    from imseek.types.collection_info import (
        CollectionInfo,
        IndexInfo,
        IndexPolicy,
        OtherSpace,
        SourceInfo,
        SpaceInfo,
        SpaceSummary,
    )
    from imseek.types.duplicate_judgements import Judgement
    from imseek.types.executors import Ray
    from imseek.types.indexing_runs import Failure, IndexReport, KnownPicture, SourceOptions, SpaceRun
    from imseek.types.maintenance_reports import (
        BuildReport,
        CaptionReport,
        CatalogReport,
        DiskUse,
        DropReport,
        Due,
        MeasureReport,
        MergeReport,
        MissingPicture,
        Problem,
        PurgeReport,
        ReencodeReport,
        RepairReport,
        VerifyReport,
    )
    from imseek.types.pictures import Image, Place
    from imseek.types.publish import PublishReport
    from imseek.types.search_results import Hit, HitGroup, Searched, SearchResult, SpaceShare
    from imseek.types.tags import Tag, TagCount, TagReport
    from imseek.ui.notebook import show

_HOMES = {
    "Collection": "imseek.collection",
    "create": "imseek.collection",
    "open": "imseek.collection",
    "Query": "imseek.search.query",
    "Runtime": "imseek.encoders.runtime",
    "Term": "imseek.search.query",
    "PublishedCollection": "imseek.published",
    "RemoteCollection": "imseek.remote",
    "Searchable": "imseek.search.searchable",
    "connect": "imseek.remote",
    "search_all": "imseek.several",
    "show": "imseek.ui.notebook",
    "CaptionReport": "imseek.types.maintenance_reports",
    "CatalogReport": "imseek.types.maintenance_reports",
    "CollectionInfo": "imseek.types.collection_info",
    "ExportOptions": "imseek.exports.results",
    "ExportReport": "imseek.exports.results",
    "SkippedPicture": "imseek.exports.results",
    "Failure": "imseek.types.indexing_runs",
    "ForeignJournal": "imseek.duplicates.action_results",
    "Hit": "imseek.types.search_results",
    "HitGroup": "imseek.types.search_results",
    "Image": "imseek.types.pictures",
    "IndexReport": "imseek.types.indexing_runs",
    "KnownPicture": "imseek.types.indexing_runs",
    "IndexPolicy": "imseek.types.collection_info",
    "IndexInfo": "imseek.types.collection_info",
    "BuildReport": "imseek.types.maintenance_reports",
    "DiskUse": "imseek.types.maintenance_reports",
    "Due": "imseek.types.maintenance_reports",
    "MapInfo": "imseek.maps.results",
    "MapReport": "imseek.maps.results",
    "MergeReport": "imseek.types.maintenance_reports",
    "Place": "imseek.types.pictures",
    "Problem": "imseek.types.maintenance_reports",
    "Progress": "imseek.progress",
    "PublishReport": "imseek.types.publish",
    "PurgeReport": "imseek.types.maintenance_reports",
    "Ray": "imseek.types.executors",
    "RepairReport": "imseek.types.maintenance_reports",
    "DropReport": "imseek.types.maintenance_reports",
    "MissingPicture": "imseek.types.maintenance_reports",
    "OtherSpace": "imseek.types.collection_info",
    "ReencodeReport": "imseek.types.maintenance_reports",
    "SearchResult": "imseek.types.search_results",
    "Searched": "imseek.types.search_results",
    "SourceInfo": "imseek.types.collection_info",
    "SourceOptions": "imseek.types.indexing_runs",
    "SpaceInfo": "imseek.types.collection_info",
    "SpaceRun": "imseek.types.indexing_runs",
    "SpaceShare": "imseek.types.search_results",
    "SpaceSummary": "imseek.types.collection_info",
    "Tag": "imseek.types.tags",
    "TagCount": "imseek.types.tags",
    "TagReport": "imseek.types.tags",
    "ApplyReport": "imseek.duplicates.action_results",
    "Duplicate": "imseek.duplicates.results",
    "DuplicateGroup": "imseek.duplicates.results",
    "DuplicatePair": "imseek.duplicates.results",
    "DuplicateReport": "imseek.duplicates.results",
    "Judgement": "imseek.types.duplicate_judgements",
    "UndoInfo": "imseek.duplicates.action_results",
    "UndoReport": "imseek.duplicates.action_results",
    "VerifyReport": "imseek.types.maintenance_reports",
    "BackupInfo": "imseek.types.backup",
    "BackupReport": "imseek.types.backup",
    "RestoreReport": "imseek.types.backup",
    "Balance": "imseek.dataset.results",
    "CoverageReport": "imseek.dataset.results",
    "LeakReport": "imseek.dataset.results",
    "MeasureReport": "imseek.types.maintenance_reports",
    "QualityReport": "imseek.dataset.results",
    "CollectionReport": "imseek.report.results",
    "AssignReport": "imseek.clusters.results",
    "Cluster": "imseek.clusters.results",
    "ClusterReport": "imseek.clusters.results",
    "OutlierReport": "imseek.clusters.results",
    "SampleReport": "imseek.clusters.results",
    "Shown": "imseek.clusters.results",
    "CompareReport": "imseek.evaluate.results",
    "Estimate": "imseek.metrics.estimate",
    "NeighbourReport": "imseek.evaluate.results",
    "RetrievalReport": "imseek.evaluate.results",
}
_MODULES = (
    "backup",
    "captions",
    "clusters",
    "dataset",
    "duplicates",
    "errors",
    "evaluate",
    "export",
    "jobs",
    "labels",
    "maintenance",
    "maps",
    "probes",
    "publish",
    "report",
    "tags",
    "tune",
    "upkeep",
    "watch",
)

__all__ = [
    "ApplyReport",
    "AssignReport",
    "BackupInfo",
    "BackupReport",
    "Balance",
    "BuildReport",
    "CaptionReport",
    "CatalogReport",
    "Cluster",
    "ClusterReport",
    "Collection",
    "CollectionInfo",
    "CollectionReport",
    "CompareReport",
    "CoverageReport",
    "DiskUse",
    "DropReport",
    "Due",
    "Duplicate",
    "DuplicateGroup",
    "DuplicatePair",
    "DuplicateReport",
    "Estimate",
    "ExportOptions",
    "ExportReport",
    "Failure",
    "ForeignJournal",
    "Hit",
    "HitGroup",
    "Image",
    "IndexInfo",
    "IndexPolicy",
    "IndexReport",
    "Judgement",
    "KnownPicture",
    "LeakReport",
    "MapInfo",
    "MapReport",
    "MeasureReport",
    "MergeReport",
    "MissingPicture",
    "NeighbourReport",
    "OtherSpace",
    "OutlierReport",
    "Place",
    "Problem",
    "Progress",
    "PublishReport",
    "PublishedCollection",
    "PurgeReport",
    "QualityReport",
    "Query",
    "Ray",
    "ReencodeReport",
    "RemoteCollection",
    "RepairReport",
    "RestoreReport",
    "RetrievalReport",
    "Runtime",
    "SampleReport",
    "SearchResult",
    "Searchable",
    "Searched",
    "Shown",
    "SkippedPicture",
    "SourceInfo",
    "SourceOptions",
    "SpaceInfo",
    "SpaceRun",
    "SpaceShare",
    "SpaceSummary",
    "Tag",
    "TagCount",
    "TagReport",
    "Term",
    "UndoInfo",
    "UndoReport",
    "VerifyReport",
    "__version__",
    "backup",
    "captions",
    "clusters",
    "connect",
    "create",
    "dataset",
    "duplicates",
    "errors",
    "evaluate",
    "export",
    "jobs",
    "labels",
    "maintenance",
    "maps",
    "open",
    "probes",
    "publish",
    "report",
    "search_all",
    "show",
    "tags",
    "tune",
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
