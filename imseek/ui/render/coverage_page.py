"""Render what two collections lack of each other as one HTML page with pictures."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, TextIO

from imseek.dataset.results import CoverageReport
from imseek.overview import thumbnails
from imseek.ui.render.embedded_thumbnails import EmbeddedThumbnails
from imseek.ui.render.html_templates import render

if TYPE_CHECKING:
    from imseek.library import ResolvedCollection

#: Longer side of thumbnails, in pixels.
_THUMBNAIL_SIDE = 224


def write(file: TextIO, report: CoverageReport, collections: Sequence[ResolvedCollection]) -> None:
    """Write the page to ``file``, reading pictures of both collections from their places."""
    a, b = collections
    with ExitStack() as stack:
        sides = []
        for side, own, other in ((report.a, a, b), (report.b, b, a)):
            ids = [image.image_id for group in side.groups for image in group.images]
            thumbnail = stack.enter_context(thumbnails(own.path, ids, _THUMBNAIL_SIDE))
            sides.append((side, own.name, other.name, thumbnail))
        file.writelines(
            render(
                "coverage.html.j2",
                title=f"{a.name} and {b.name}",
                report=report,
                sides=sides,
                thumbnails=EmbeddedThumbnails(),
            )
        )
