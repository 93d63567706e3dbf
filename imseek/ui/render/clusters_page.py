"""Render clusters as one HTML page, each with its representative pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from imseek.clusters.results import Cluster, ClusterReport
from imseek.ui.render.embedded_thumbnails import EmbeddedThumbnails
from imseek.ui.render.html_templates import render
from imseek.ui.render.words import format_count

#: Clusters on a page; 500 of five pictures each stay within the limit on thumbnails.
MAX_CLUSTERS: Final = 500
#: Explanation of the measures of a cluster.
COLUMNS_NOTE: Final = (
    "cohesion: how alike the pictures of a cluster are (1: all the same); apart: how far it is from the next one "
    "(0: they touch); next: the number of that one"
)


def page(report: ClusterReport, thumbnail: Callable[[int], bytes | None], *, title: str) -> Iterator[str]:
    """Yield the page in pieces. ``thumbnail`` returns an image's WebP by id, or None if it cannot be read."""
    clusters = report.clusters[:MAX_CLUSTERS]
    return render(
        "clusters.html.j2",
        title=title,
        report=report,
        totals=totals(report),
        shown=clusters if report.noise is None else (*clusters, report.noise),
        hidden=len(report.clusters) - len(clusters),
        heading=heading,
        columns_note=COLUMNS_NOTE,
        thumbnails=EmbeddedThumbnails(),
        read=thumbnail,
    )


def totals(report: ClusterReport) -> str:
    """Summarise the report in one line: clusters, images and method."""
    if not report.images:
        return "no images"
    noise = 0 if report.noise is None else report.noise.size
    outside = f", {format_count(noise, 'image')} in none" if noise else ""
    clusters = format_count(len(report.clusters), "cluster")
    return f"{clusters} of {format_count(report.images, 'image')}{outside}; {report.method}, {report.chosen}"


def heading(cluster: Cluster) -> str:
    if cluster.number == 0:
        return "in no cluster"
    return cluster.name or "(no name)"
