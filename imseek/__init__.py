"""Semantic search over your own images.

    >>> import imseek
    >>> with imseek.create("photos.imseek") as photos:      # doctest: +SKIP
    ...     photos.index("~/Pictures")
    ...     for hit in photos.search("a dog on a beach"):
    ...         print(hit.score, hit.path)

Names are imported on first use, so that ``import imseek`` costs almost nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from imseek._lazy import lazy_names
from imseek._version import __version__

if TYPE_CHECKING:
    from imseek import (
        albums,
        backup,
        captions,
        clusters,
        dataset,
        duplicates,
        edits,
        encoders,
        errors,
        evaluate,
        export,
        jobs,
        labels,
        maintenance,
        maps,
        overview,
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
    from imseek.embedding import Embedder, load_encoder
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
    from imseek.types.albums import Album, AlbumInfo, AlbumReport
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


__all__ = [
    "Album", "AlbumInfo", "AlbumReport", "ApplyReport", "AssignReport", "BackupInfo", "BackupReport", "Balance",
    "BuildReport", "CaptionReport", "CatalogReport", "Cluster", "ClusterReport", "Collection", "CollectionInfo",
    "CollectionReport", "CompareReport", "CoverageReport", "DiskUse", "DropReport", "Due", "Duplicate",
    "DuplicateGroup", "DuplicatePair", "DuplicateReport", "Embedder", "Estimate", "ExportOptions", "ExportReport",
    "Failure", "ForeignJournal", "Hit", "HitGroup", "Image", "IndexInfo", "IndexPolicy", "IndexReport", "Judgement",
    "KnownPicture", "LeakReport", "MapInfo", "MapReport", "MeasureReport", "MergeReport", "MissingPicture",
    "NeighbourReport", "OtherSpace", "OutlierReport", "Place", "Problem", "Progress", "PublishReport",
    "PublishedCollection", "PurgeReport", "QualityReport", "Query", "Ray", "ReencodeReport", "RemoteCollection",
    "RepairReport", "RestoreReport", "RetrievalReport", "Runtime", "SampleReport", "SearchResult", "Searchable",
    "Searched", "Shown", "SkippedPicture", "SourceInfo", "SourceOptions", "SpaceInfo", "SpaceRun", "SpaceShare",
    "SpaceSummary", "Tag", "TagCount", "TagReport", "Term", "UndoInfo", "UndoReport", "VerifyReport", "__version__",
    "albums", "backup", "captions", "clusters", "connect", "create", "dataset", "duplicates", "edits", "encoders",
    "errors", "evaluate", "export", "jobs", "labels", "load_encoder", "maintenance", "maps", "open", "overview",
    "probes", "publish", "report", "search_all", "show", "tags", "tune", "upkeep", "watch",
]  # fmt: skip


if not TYPE_CHECKING:
    __getattr__ = lazy_names(
        __name__,
        {
            "imseek.clusters.results": "AssignReport Cluster ClusterReport OutlierReport SampleReport Shown",
            "imseek.collection": "Collection create open",
            "imseek.dataset.results": "Balance CoverageReport LeakReport QualityReport",
            "imseek.duplicates.action_results": "ApplyReport ForeignJournal UndoInfo UndoReport",
            "imseek.duplicates.results": "Duplicate DuplicateGroup DuplicatePair DuplicateReport",
            "imseek.embedding": "Embedder load_encoder",
            "imseek.encoders.runtime": "Runtime",
            "imseek.evaluate.results": "CompareReport NeighbourReport RetrievalReport",
            "imseek.exports.results": "ExportOptions ExportReport SkippedPicture",
            "imseek.maps.results": "MapInfo MapReport",
            "imseek.metrics.estimate": "Estimate",
            "imseek.progress": "Progress",
            "imseek.published": "PublishedCollection",
            "imseek.remote": "RemoteCollection connect",
            "imseek.report.results": "CollectionReport",
            "imseek.search.query": "Query Term",
            "imseek.search.searchable": "Searchable",
            "imseek.several": "search_all",
            "imseek.types.albums": "Album AlbumInfo AlbumReport",
            "imseek.types.backup": "BackupInfo BackupReport RestoreReport",
            "imseek.types.collection_info": (
                "CollectionInfo IndexInfo IndexPolicy OtherSpace SourceInfo SpaceInfo SpaceSummary"
            ),
            "imseek.types.duplicate_judgements": "Judgement",
            "imseek.types.executors": "Ray",
            "imseek.types.indexing_runs": "Failure IndexReport KnownPicture SourceOptions SpaceRun",
            "imseek.types.maintenance_reports": (
                "BuildReport CaptionReport CatalogReport DiskUse DropReport Due MeasureReport "
                "MergeReport MissingPicture Problem PurgeReport ReencodeReport RepairReport "
                "VerifyReport"
            ),
            "imseek.types.pictures": "Image Place",
            "imseek.types.publish": "PublishReport",
            "imseek.types.search_results": "Hit HitGroup SearchResult Searched SpaceShare",
            "imseek.types.tags": "Tag TagCount TagReport",
            "imseek.ui.notebook": "show",
        },
        submodules=__all__,
    )


def __dir__() -> list[str]:
    return sorted(__all__)
