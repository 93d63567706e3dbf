"""Write duplicate reports as CSV for other programs."""

from __future__ import annotations

import csv
from typing import Any, Final, Protocol

from imseek.duplicates.results import Duplicate, DuplicateGroup, DuplicateReport
from imseek.types.pictures import path_json

#: Attributes of an image that are columns by the same name.
_IMAGE_COLUMNS: Final = ("content_hash", "width", "height", "bytes", "format", "taken_at")
COLUMNS: Final = (
    *("group", "kind", "keep", "reason", "collection", "image_id", "path", "path_b64", "uri"),
    *_IMAGE_COLUMNS,
    *("pair_kind", "confidence", "cosine", "distance", "correlation", "orientation", "judged"),
    *("link", "source_id"),
)


class Writable(Protocol):
    """A file opened for text."""

    def write(self, text: str, /) -> object: ...


def write_csv(report: DuplicateReport, file: Writable) -> None:
    """Write one row per image, group by group, keeper first (``keep`` is 1), below a header of :data:`COLUMNS`.

    Follows RFC 4180, with CR LF line endings. ``path`` is exact, even if it contains line breaks; if it is not UTF-8 it
    is escaped, and ``path_b64`` holds its bytes. Unknown values are empty. A URL may contain characters that UTF-8
    cannot encode: open the file with ``errors="backslashreplace"`` and ``newline=""``.
    """
    rows = csv.DictWriter(file, COLUMNS, restval="")
    rows.writeheader()
    for number, group in enumerate(report.groups, start=1):
        for member in group.members:
            rows.writerow({"group": number, **_row(group, member)})


def _row(group: DuplicateGroup, member: Duplicate) -> dict[str, Any]:
    place, pair = member.place, member.pair
    row: dict[str, Any] = {
        "kind": group.kind,
        "keep": int(group.keeps(member)),
        "reason": group.reason if member is group.keeper else "",
        "collection": member.collection,
        "image_id": member.image_id,
        **({} if place is None else {**path_json(place.path), "uri": place.uri, "source_id": place.source_id}),
        **{name: getattr(member, name) for name in _IMAGE_COLUMNS},
        "link": member.link,
    }
    if pair is not None:
        row |= {
            "pair_kind": pair.kind,
            "confidence": round(pair.confidence, 4),
            "cosine": None if pair.cosine is None else round(pair.cosine, 6),
            "distance": pair.distance,
            "correlation": None if pair.correlation is None else round(pair.correlation, 6),
            "orientation": pair.orientation,
            "judged": int(pair.judged),
        }
    return row
