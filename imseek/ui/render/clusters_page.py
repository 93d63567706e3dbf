"""Render clusters as one HTML page, each with its representative pictures.

The page is self-contained and runs nothing: pictures are data URIs, there is no script, and its content security policy
forbids any. File names and vocabulary words are untrusted and shown escaped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from html import escape
from typing import Final

from imseek.clusters.results import Cluster, ClusterReport, Shown
from imseek.types.pictures import Place, display_path
from imseek.ui.render.page_frame import escape_text, head
from imseek.ui.render.thumbnail_data import EmbeddedThumbnails
from imseek.ui.render.words import format_count

#: Clusters on a page; 500 of five pictures each stay within the limit on thumbnails.
MAX_CLUSTERS: Final = 500


def page(report: ClusterReport, thumbnail: Callable[[int], bytes | None], *, title: str) -> Iterator[str]:
    """Yield the page in pieces. ``thumbnail`` returns an image's WebP by id, or None if it cannot be read."""
    pictures = EmbeddedThumbnails()
    shown = report.clusters[:MAX_CLUSTERS]
    sections = [_section(cluster, report, pictures, thumbnail) for cluster in shown]
    if report.noise is not None:
        sections.append(_section(report.noise, report, pictures, thumbnail))
    yield head(title, _STYLE)
    yield f"<header><h1>{escape_text(title)}</h1>\n<p>{escape(totals(report))}</p>\n"
    left = [(len(report.clusters) - len(shown), "clusters"), (pictures.left_out, "thumbnails")]
    if said := ", ".join(f"{n:,} {what}" for n, what in left if n):
        yield f"<p>Left out of this page: {said}. The CSV and JSON reports have all.</p>\n"
    for note in report.notes:
        yield f"<p>{escape_text(note)}</p>\n"
    yield "</header>\n<main>\n"
    yield from sections
    yield "</main>\n</html>\n"


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


def _section(
    cluster: Cluster,
    report: ClusterReport,
    pictures: EmbeddedThumbnails,
    thumbnail: Callable[[int], bytes | None],
) -> str:
    share = 100 * cluster.size / report.images
    facts = [format_count(cluster.size, "image"), f"{share:.1f} %"]
    if cluster.cohesion is not None:
        facts.append(f"cohesion {cluster.cohesion:.2f}")
    if cluster.separation is not None:
        facts.append(f"apart {cluster.separation:.2f}")
    if cluster.neighbour is not None:
        facts.append(f'next <a href="#c{cluster.neighbour}">{cluster.neighbour}</a>')
    if cluster.name is not None and cluster.contrast is not None:
        facts.append(f"name by {cluster.contrast:.1f} sd")
    cards = "".join(_card(image, pictures, thumbnail) for image in cluster.medoids)
    title = f"{cluster.number}. " if cluster.number else ""
    return (
        f'<section id="c{cluster.number}"><h2>{title}<bdi>{escape_text(heading(cluster))}</bdi> '
        f'<small>{" · ".join(facts)}</small></h2>\n<div class="row">\n{cards}</div></section>\n'
    )


def _card(image: Shown, pictures: EmbeddedThumbnails, thumbnail: Callable[[int], bytes | None]) -> str:
    picture = pictures.tag(partial(thumbnail, image.image_id), f"image {image.image_id}")
    name = "place unknown" if image.place is None else _name(image.place)
    full = "" if image.place is None else f' title="{escape_text(image.place.display)}"'
    return f"<figure{full}>{picture}<figcaption><bdi>{escape_text(name)}</bdi></figcaption></figure>\n"


def _name(place: Place) -> str:
    return display_path(place.path.rpartition(b"/")[2])


_STYLE: Final = """\
:root { color-scheme: light dark; --paper: #fff; --tile: #f4f4f3; --rule: #d9d9d6; --ink: #1f1f1e; --grey: #63625f; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #191918; --tile: #242423; --rule: #3d3d3a; --ink: #ededeb; --grey: #a5a49f; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 80rem; background: var(--paper); color: var(--ink);
  font: 15px/1.45 system-ui, sans-serif; }
h1 { font-size: 1.3rem; margin: 0 0 .4rem; overflow-wrap: anywhere; }
h2 { font-size: 1rem; margin: 0 0 .5rem; overflow-wrap: anywhere; }
small { font-weight: 400; font-size: .85rem; color: var(--grey); margin-left: .4rem; }
a { color: inherit; }
header p { margin: .2rem 0; color: var(--grey); }
section { border-top: 1px solid var(--rule); padding: .8rem 0; content-visibility: auto;
  contain-intrinsic-size: auto 14rem; }
.row { display: grid; grid-template-columns: repeat(5, minmax(0, 1fr)); gap: .6rem; }
figure { margin: 0; padding: .5rem; background: var(--tile); border-radius: 6px; min-width: 0; }
figure:first-child { outline: 1px solid var(--grey); outline-offset: -1px; }
img, .none { display: block; width: 100%; height: 9rem; object-fit: contain; }
.none { display: grid; place-items: center; border: 1px dashed var(--rule); color: var(--grey); }
figcaption { margin-top: .3rem; font-size: .8rem; color: var(--grey); overflow: hidden; text-overflow: ellipsis;
  white-space: nowrap; }
@media (max-width: 40rem) { body { padding: .6rem; } .row { grid-template-columns: repeat(3, minmax(0, 1fr));
  gap: .4rem; } img, .none { height: 6rem; } small { display: block; margin: 0; } figure { padding: .3rem; } }
"""
