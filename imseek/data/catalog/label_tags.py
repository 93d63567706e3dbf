"""Replace all tags that a labelling method assigned."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from imseek.data.catalog import tags
from imseek.data.catalog.sql import Connection
from imseek.data.catalog.tags import ImageTag
from imseek.data.writing.writer import Change


def tags_change(
    prefix: str, provenance: Mapping[ImageTag, str], *, replace: bool, on_count: Callable[[int], None]
) -> Change:
    """Make a change that assigns tags, each with a provenance that begins with ``prefix``.

    With ``replace``, all tags whose provenance begins with it are removed first. Tags that an image has from elsewhere
    are unchanged. ``on_count`` receives the number of tags added.
    """

    def change(connection: Connection, generation: int) -> None:
        if replace:
            tags.end_by_provenance(connection, generation, prefix=prefix)
        on_count(len(tags.add(connection, generation, provenance)))

    return change
