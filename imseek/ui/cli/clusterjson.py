"""JSON and CSV output of clusters, outliers and samples (imseek/ui/schemas)."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO

from imseek.ui.cli import jsonout

if TYPE_CHECKING:
    from imseek.library import ResolvedCollection
    from imseek.types import AssignReport, Cluster, ClusterReport, OutlierReport, SampleReport, Shown

_PLACE: Final = ("image_id", "path", "path_b64", "uri")
CLUSTERS: Final = ("cluster", "name", "size", "cohesion", "separation", "neighbour", "contrast", *_PLACE)
OUTLIERS: Final = ("score", "copies", *_PLACE)
SAMPLES: Final = ("weight", "score", *_PLACE)


def clusters(
    report: ClusterReport, chosen: ResolvedCollection, written: Mapping[str, Path]
) -> dict[str, Any]:
    """Return a cluster report as JSON. ``written`` maps kinds to output files."""
    return {
        **_head(report, chosen),
        "method": report.method,
        "images": report.images,
        "chosen": report.chosen,
        "saved": report.saved,
        "notes": list(report.notes),
        "written": {what: jsonout.path(os.fsencode(path.absolute())) for what, path in written.items()},
        "clusters": [_cluster(cluster) for cluster in report.clusters],
        "noise": None if report.noise is None else _cluster(report.noise),
    }


def assigned(report: AssignReport, chosen: ResolvedCollection) -> dict[str, Any]:
    return {
        "collection": jsonout.collection(chosen),
        "generation": report.generation,
        "name": report.name,
        "images": report.images,
        "added": {str(number): images for number, images in sorted(report.added.items())},
    }


def outliers(report: OutlierReport, chosen: ResolvedCollection) -> dict[str, Any]:
    return {
        **_head(report, chosen),
        "method": report.method,
        "images": report.images,
        "contents": report.contents,
        "neighbours": report.neighbours,
        "typical": _rounded(report.typical),
        "saved": report.saved,
        "notes": list(report.notes),
        "outliers": [
            {**_shown(image), "copies": report.copies.get(image.image_id, 0)} for image in report.outliers
        ],
    }


def sample(report: SampleReport, chosen: ResolvedCollection) -> dict[str, Any]:
    return {
        **_head(report, chosen),
        "method": report.method,
        "images": report.images,
        "farthest": _rounded(report.farthest),
        "mean": _rounded(report.mean),
        "notes": list(report.notes),
        "sample": [
            {**_shown(image), "weight": weight}
            for image, weight in zip(report.chosen, report.weights, strict=True)
        ],
    }


def write_clusters(report: ClusterReport, file: TextIO) -> None:
    """Write one row per cluster, with its most central image; images in no cluster are cluster 0."""
    every = [*report.clusters, *([] if report.noise is None else [report.noise])]
    rows = []
    for one in every:
        facts = _cluster(one)
        rows.append(
            {
                "cluster": one.number,
                **{name: facts[name] for name in CLUSTERS[1:7]},
                **_placed(one.medoids[0]),
            }
        )
    _write(CLUSTERS, rows, file)


def write_outliers(report: OutlierReport, file: TextIO) -> None:
    rows = [
        {"score": _rounded(one.score), "copies": report.copies.get(one.image_id, 0), **_placed(one)}
        for one in report.outliers
    ]
    _write(OUTLIERS, rows, file)


def write_sample(report: SampleReport, file: TextIO) -> None:
    pairs = zip(report.chosen, report.weights, strict=True)
    rows = [{"weight": weight, "score": _rounded(one.score), **_placed(one)} for one, weight in pairs]
    _write(SAMPLES, rows, file)


def _write(columns: Sequence[str], rows: Sequence[Mapping[str, Any]], file: TextIO) -> None:
    """Write CSV as in RFC 4180; unknown values are empty."""
    writer = csv.DictWriter(file, columns, restval="", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)


def _head(report: ClusterReport | OutlierReport | SampleReport, chosen: ResolvedCollection) -> dict[str, Any]:
    return {
        "collection": {"uuid": report.collection, **jsonout.collection(chosen)},
        "generation": report.generation,
        "encoder": report.encoder,
    }


def _cluster(cluster: Cluster) -> dict[str, Any]:
    return {
        "number": cluster.number,
        "size": cluster.size,
        "name": cluster.name,
        "contrast": _rounded(cluster.contrast),
        "cohesion": _rounded(cluster.cohesion),
        "separation": _rounded(cluster.separation),
        "neighbour": cluster.neighbour,
        "medoids": [_shown(image) for image in cluster.medoids],
    }


def _shown(image: Shown) -> dict[str, Any]:
    return {
        "image_id": image.image_id,
        "score": round(image.score, 6),
        **jsonout.placed(image.place),
    }


def _placed(image: Shown) -> dict[str, Any]:
    return {"image_id": image.image_id, **jsonout.placed(image.place)}


def _rounded(number: float | None) -> float | None:
    return None if number is None else round(number, 6)
