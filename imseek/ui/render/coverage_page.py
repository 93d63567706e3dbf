"""Render what two collections lack of each other as one HTML page with pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, TextIO

from imseek.dataset.results import CoverageReport, CoverageSide
from imseek.overview import thumbnails
from imseek.ui.render.page_frame import bar, card, escape_text, head
from imseek.ui.render.thumbnail_data import EmbeddedThumbnails
from imseek.ui.render.words import format_count

if TYPE_CHECKING:
    from imseek.library import ResolvedCollection

#: Longer side of thumbnails, in pixels.
_THUMBNAIL_SIDE = 224


def write(file: TextIO, report: CoverageReport, both: Sequence[ResolvedCollection]) -> None:
    """Write the page to ``file``, reading pictures of both collections from their places."""
    first, second = (one.name for one in both)
    pictures = EmbeddedThumbnails()
    file.write(head(f"{first} and {second}"))
    file.write(f"<header><h1>{escape_text(first)} and {escape_text(second)}</h1>\n")
    distance = "" if report.mmd is None else f"; distance of the two (MMD × 1000): {report.mmd:.3f}"
    file.write(
        f"<p>Compared by {escape_text(report.encoder)}. {report.expected:.0%} of images would be "
        "listed if nothing were "
        f"lacking{distance}.</p>\n"
    )
    for note in report.notes:
        file.write(f"<p class=warn>{escape_text(note)}</p>\n")
    file.write("</header>\n<main>\n")
    for side, chosen, other in ((report.a, both[0], second), (report.b, both[1], first)):
        ids = [image.image_id for group in side.groups for image in group.images]
        with thumbnails(chosen.path, ids, _THUMBNAIL_SIDE) as read:
            _section(file, side, chosen.name, other, pictures, read)
    file.write("</main>\n</html>\n")


def _section(
    file: TextIO,
    side: CoverageSide,
    mine: str,
    other: str,
    pictures: EmbeddedThumbnails,
    read: Callable[[int], bytes | None],
) -> None:
    file.write(f"<section><h2>In {escape_text(mine)}, lacking in {escape_text(other)}</h2>\n")
    sampled = "" if side.asked == side.images else f", which were drawn from {side.images:,}"
    file.write(f"<p>{side.lacking:,} of {format_count(side.asked, 'image')}{sampled} ({side.share:.1%})")
    file.write(f".</p>{bar(side.share)}\n")
    shown = sum(group.count for group in side.groups)
    for number, group in enumerate(side.groups, start=1):
        file.write(f"<h3>{number}. {format_count(group.count, 'image')}</h3>\n<div class=row>")
        for image in group.images:
            cosine = image.values.get("cosine")
            picture = pictures.tag(partial(read, image.image_id), f"image {image.image_id}")
            file.write(card(image.place, picture, "" if cosine is None else f"nearest {cosine:.3f}"))
        file.write("</div>\n")
    if shown < side.lacking:
        file.write(f"<p class=grey>{side.lacking - shown:,} more are in no group that is shown.</p>")
    file.write("</section>\n")
