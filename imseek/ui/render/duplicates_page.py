"""Render a duplicates report as one HTML page with the pictures side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeAlias

from imseek.duplicates.results import (
    KIND_FACTS,
    LEAST_CONFIDENCE,
    Box,
    ConfidenceCount,
    Duplicate,
    DuplicatePair,
    DuplicateReport,
)
from imseek.types.pictures import display_path
from imseek.ui.render.embedded_thumbnails import EmbeddedThumbnails
from imseek.ui.render.html_templates import render
from imseek.ui.render.words import format_count, format_size

#: Names of the kinds in the user interface.
KIND_LABELS: Final[Mapping[str, str]] = {kind: facts.label for kind, facts in KIND_FACTS.items()}
#: Colour of the outlines of places where pictures differ.
DIFFERENCE_COLOUR: Final = KIND_FACTS["edited"].colour
#: Confidence from which a duplicate is certain: the bytes are the same, or a person has said so.
_CERTAIN: Final = 1.0
#: Returns a small picture as WebP (:func:`imseek.media.thumbnail`); None if it cannot be read.
Thumbnail: TypeAlias = Callable[[Duplicate], bytes | None]


@dataclass(frozen=True, slots=True)
class PageLimits:
    """Limits of a page: groups, images per group, thumbnails, and total bytes of thumbnails before base64."""

    groups: int = 500
    members: int = 12
    pictures: int = 2_000
    bytes: int = 24_000_000


def page(
    report: DuplicateReport,
    thumbnail: Thumbnail,
    *,
    title: str,
    names: Mapping[str, str],
    bounds: PageLimits = PageLimits(),
    at_least: float = LEAST_CONFIDENCE,
) -> Iterator[str]:
    """Yield the page in pieces. ``names`` maps collection UUIDs to names; ``at_least`` is as for
    :func:`describe_unsure`."""
    groups = report.groups[: bounds.groups]
    several = len({member.collection for group in groups for member in group.members}) > 1
    return render(
        "duplicates.html.j2",
        title=title,
        report=report,
        totals=totals(report),
        sure=describe_confidences(report.sure),
        unsure=describe_unsure(report, at_least),
        groups=((group, _read_once(thumbnail)) for group in groups),
        most=bounds.members,
        hidden_groups=len(report.groups) - len(groups),
        hidden_images=sum(max(0, len(group.members) - bounds.members) for group in groups),
        kinds=KIND_LABELS,
        facts=partial(_facts, names=names if several else {}),
        describe_pair=_describe_pair,
        describe_boxes=describe_boxes,
        difference_colour=DIFFERENCE_COLOUR,
        thumbnails=EmbeddedThumbnails(bounds.pictures, bounds.bytes),
    )


def pictures_of(report: DuplicateReport, bounds: PageLimits = PageLimits()) -> list[Duplicate]:
    """Return the images whose thumbnails a page reads, in order; of copies in a group, only the first."""
    members = [
        (n, one) for n, group in enumerate(report.groups[: bounds.groups]) for one in group.members[: bounds.members]
    ]
    pictures: dict[tuple[int, str], Duplicate] = {}
    for n, member in members[: bounds.pictures]:
        pictures.setdefault((n, member.content_hash), member)
    return list(pictures.values())


def totals(report: DuplicateReport) -> str:
    """Summarise the report in one line: groups by kind, and number and size of the images that can go."""
    if not report.groups:
        return f"no duplicates among {format_count(report.searched, 'image')}"
    kinds = [group.kind for group in report.groups]
    by_kind = ", ".join(f"{kinds.count(kind):,} {kind}" for kind in KIND_LABELS if kind in kinds)
    surplus = f"{format_count(report.surplus, 'image')} can go, {format_size(report.bytes)}"
    return f"{format_count(len(kinds), 'group')} ({by_kind}) among {format_count(report.searched, 'image')}; {surplus}"


def describe_confidences(counts: Sequence[ConfidenceCount]) -> str:
    """Summarise in one line how sure it is that images are duplicates; "" if all are certain."""
    if all(one.at_least >= _CERTAIN for one in counts):
        return ""
    return "of these: " + ", ".join(f"{one.images:,} {_confidence_range(one.at_least)}" for one in counts)


def describe_unsure(report: DuplicateReport, at_least: float = LEAST_CONFIDENCE, noun: str = "image") -> str:
    """Say in one sentence how many of the images that can go a plan leaves out; "" if none.

    It leaves out those with a lower confidence than ``at_least``, 0 to 1.
    """
    count = report.count_unsure(at_least)
    if not count:
        return ""
    verb, duplicates, pronoun = ("is", "a duplicate", "it") if count == 1 else ("are", "duplicates", "them")
    return (
        f"{format_count(count, noun)} {verb} less than {percent(at_least)} sure to be {duplicates}; "
        f"a plan leaves {pronoun} out unless you confirm {pronoun}"
    )


def _confidence_range(least: float) -> str:
    if least >= _CERTAIN:
        return "certain"
    return f"at least {percent(least)} sure" if least else "less sure"


def describe_boxes(boxes: Sequence[Box]) -> str:
    """Say where a picture differs: the first place, in shares of its sides, and how many more there are."""
    if not boxes:
        return ""
    first = boxes[0]
    across, down = ((start, start + size) for start, size in ((first.left, first.width), (first.top, first.height)))
    first_place = f"differs at {_share_range(*across)} across, {_share_range(*down)} down"
    return first_place if len(boxes) == 1 else f"{first_place}, and in {len(boxes) - 1:,} more"


def _share_range(start: float, stop: float) -> str:
    return f"{round(100 * start)}–{round(100 * stop)} %"


def percent(share: float) -> str:
    """Format a share as a percentage, rounded down so that only certainty gives 100 %."""
    return f"{int(100 * share + 1e-9)} %"


def _read_once(thumbnail: Thumbnail) -> Thumbnail:
    """Read each picture once for all its copies."""
    thumbnails: dict[str, bytes | None] = {}

    def once(member: Duplicate) -> bytes | None:
        if member.content_hash not in thumbnails:
            thumbnails[member.content_hash] = thumbnail(member)
        return thumbnails[member.content_hash]

    return once


def _facts(member: Duplicate, names: Mapping[str, str]) -> dict[str, str]:
    """Return the facts to compare with the keeper's, by name."""
    folder, name = ("place unknown", "") if member.place is None else _split_path(member.place.path)
    facts = {
        "pixels": f"{member.width:,} × {member.height:,}",
        "bytes": f"0 (a {member.link} link)" if member.link else f"{member.bytes:,}",
        "format": member.format,
        "taken": (member.taken_at or "not known").replace("T", " "),
        "name": name,
        "folder": folder,
    }
    if names:
        facts["collection"] = names.get(member.collection, member.collection)
    return facts


def _split_path(path: bytes) -> tuple[str, str]:
    folder, _, name = path.rpartition(b"/")
    return display_path(folder), display_path(name)


def _describe_pair(pair: DuplicatePair | None) -> str:
    if pair is None:
        return ""
    parts = [KIND_LABELS[pair.kind]]
    if pair.kind != "exact":
        parts.append("judged" if pair.judged else f"{percent(pair.confidence)} sure")
        measures = (("cosine", pair.cosine), ("pixels correlate", pair.correlation))
        parts += [f"{name} {value:.3f}" for name, value in measures if value is not None]
        if pair.distance is not None:
            parts.append(f"{pair.distance} of 64 bits differ")
        if pair.orientation:
            parts.append(pair.orientation)
    return ", ".join(parts)
