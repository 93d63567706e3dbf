"""Render a duplicates report as one HTML page with the pictures side by side.

The page is self-contained and runs nothing: pictures are data URIs, there is no script, and its content security policy
forbids any. File names are untrusted; control and bidirectional characters are shown escaped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from html import escape
from typing import Final, TypeAlias

from imseek.duplicates.results import Duplicate, DuplicateGroup, DuplicatePair, DuplicateReport
from imseek.types.pictures import display_path
from imseek.ui.render.page_frame import escape_text, head, link_picture
from imseek.ui.render.thumbnail_data import EmbeddedThumbnails
from imseek.ui.render.words import format_count, format_size

#: Names of the kinds in the user interface.
KIND_LABELS: Final[Mapping[str, str]] = {
    "exact": "the same file",
    "same": "the same picture",
    "inside": "one inside the other",
    "scene": "the same scene",
}
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
) -> Iterator[str]:
    """Yield the page in pieces. ``names`` maps collection UUIDs to names."""
    pictures = EmbeddedThumbnails(bounds.pictures, bounds.bytes)
    shown = report.groups[: bounds.groups]
    several = len({member.collection for group in shown for member in group.members}) > 1
    body = [
        _section(number, group, pictures, thumbnail, names if several else {}, bounds.members)
        for number, group in enumerate(shown, start=1)
    ]
    hidden = sum(max(0, len(group.members) - bounds.members) for group in shown)
    yield head(title, _STYLE)
    yield f"<header><h1>{escape_text(title)}</h1>\n<p>{escape(totals(report))}</p>\n"
    left = [
        (len(report.groups) - len(shown), "groups"),
        (hidden, "images of larger groups"),
        (pictures.left_out, "thumbnails"),
    ]
    if said := ", ".join(f"{n:,} {what}" for n, what in left if n):
        yield f"<p>Left out of this page: {said}. The CSV and JSON reports have all.</p>\n"
    for note in report.notes:
        yield f"<p>{escape_text(note)}</p>\n"
    if report.interrupted:
        yield "<p>The search was interrupted; there may be more.</p>\n"
    yield "</header>\n<main>\n"
    yield from body
    yield "</main>\n</html>\n"


def totals(report: DuplicateReport) -> str:
    """Summarise the report in one line: groups by kind, and number and size of the images beside the keepers."""
    if not report.groups:
        return f"no duplicates among {format_count(report.searched, 'image')}"
    kinds = [group.kind for group in report.groups]
    by_kind = ", ".join(f"{kinds.count(kind):,} {kind}" for kind in KIND_LABELS if kind in kinds)
    surplus = f"{format_count(report.surplus, 'image')} beside the keepers, {format_size(report.bytes)}"
    return f"{format_count(len(kinds), 'group')} ({by_kind}) among {format_count(report.searched, 'image')}; {surplus}"


def percent(share: float) -> str:
    """Format a share as a percentage, rounded down so that only certainty gives 100 %."""
    return f"{int(100 * share + 1e-9)} %"


def _section(
    number: int,
    group: DuplicateGroup,
    pictures: EmbeddedThumbnails,
    thumbnail: Thumbnail,
    names: Mapping[str, str],
    most: int,
) -> str:
    read: dict[str, bytes | None] = {}

    def once(member: Duplicate) -> bytes | None:
        """Read the picture once for all its copies."""
        if member.content_hash not in read:
            read[member.content_hash] = thumbnail(member)
        return read[member.content_hash]

    keeper = _facts(group.keeper, names)
    cards = []
    for member in group.members[:most]:
        rows = "".join(
            f"<dt>{name}</dt><dd>{value if value == keeper[name] else f'<mark>{value}</mark>'}</dd>"
            for name, value in _facts(member, names).items()
        )
        rows += f"<dt>id</dt><dd>{member.image_id}</dd>"
        said = escape_text(group.reason) if member is group.keeper else _describe_pair(member.pair)
        said = f"keep: {said}" if group.keeps(member) else said
        picture = pictures.tag(partial(once, member), f"image {member.image_id}")
        cards.append(
            f"<figure{' class=keep' if group.keeps(member) else ''}>{link_picture(member.place, picture)}"
            f"<figcaption><p>{said}</p><dl>{rows}</dl></figcaption></figure>\n"
        )
    if len(group.members) > most:
        cards.append(f'<p class="more">and {len(group.members) - most:,} more</p>\n')
    freed = format_size(sum(member.bytes for member in group.surplus))
    heading = f"{number}. {KIND_LABELS[group.kind]}: {format_count(len(group.members), 'image')}"
    heading += f", {freed} beside the keeper" if group.surplus else ""
    return f'<section><h2>{escape(heading)}</h2>\n<div class="row">\n{"".join(cards)}</div></section>\n'


def _facts(member: Duplicate, names: Mapping[str, str]) -> dict[str, str]:
    """Return what is compared with the keeper, as HTML by name."""
    folder, name = ("place unknown", "") if member.place is None else _split_path(member.place.path)
    facts = {
        "pixels": f"{member.width:,} × {member.height:,}",
        "bytes": f"{member.bytes:,}",
        "format": escape_text(member.format),
        "taken": escape_text((member.taken_at or "not known").replace("T", " ")),
        "name": f"<bdi>{escape_text(name)}</bdi>",
        "folder": f"<bdi>{escape_text(folder)}</bdi>",
    }
    if names:
        facts["collection"] = escape_text(names.get(member.collection, member.collection))
    return facts


def _split_path(path: bytes) -> tuple[str, str]:
    folder, _, name = path.rpartition(b"/")
    return display_path(folder), display_path(name)


def _describe_pair(pair: DuplicatePair | None) -> str:
    if pair is None:
        return ""
    said = [KIND_LABELS[pair.kind]]
    if pair.kind != "exact":
        said.append("judged" if pair.judged else f"{percent(pair.confidence)} sure")
        known = (("cosine", pair.cosine), ("pixels correlate", pair.correlation))
        said += [f"{name} {value:.3f}" for name, value in known if value is not None]
        if pair.distance is not None:
            said.append(f"{pair.distance} of 64 bits differ")
        if pair.orientation:
            said.append(escape_text(pair.orientation))
    return ", ".join(said)


_STYLE: Final = """\
:root { color-scheme: light dark; --paper: #fff; --tile: #f4f4f3; --rule: #d9d9d6; --ink: #1f1f1e; --grey: #63625f;
  --keep: #17693a; --mark: #ffe9a8; --marked: #1f1f1e; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #191918; --tile: #242423; --rule: #3d3d3a; --ink: #ededeb; --grey: #a5a49f; --keep: #6fce95;
    --mark: #5c4a12; --marked: #fff3cf; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 90rem; background: var(--paper); color: var(--ink);
  font: 15px/1.45 system-ui, sans-serif; }
h1 { font-size: 1.3rem; margin: 0 0 .4rem; overflow-wrap: anywhere; }
h2 { font-size: 1rem; margin: 0 0 .6rem; }
header p { margin: .2rem 0; color: var(--grey); }
section { border-top: 1px solid var(--rule); padding: 1rem 0; margin-top: 1rem; content-visibility: auto;
  contain-intrinsic-size: auto 26rem; }
.row { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(15rem, 100%), 1fr)); gap: .8rem; }
figure { margin: 0; padding: .6rem; background: var(--tile); border: 2px solid transparent; border-radius: 6px;
  min-width: 0; }
figure.keep { border-color: var(--keep); }
figure.keep figcaption p { color: var(--keep); font-weight: 600; }
figure > a { display: block; }
img, .none { display: block; width: 100%; height: 12rem; object-fit: contain; }
.none { display: grid; place-items: center; border: 1px dashed var(--rule); color: var(--grey); }
figcaption p { margin: .5rem 0; font-size: .9rem; overflow-wrap: anywhere; }
dl { margin: 0; display: grid; grid-template-columns: auto minmax(0, 1fr); gap: .1rem .7rem; font-size: .85rem; }
dt { color: var(--grey); }
dd { margin: 0; overflow-wrap: anywhere; }
mark { background: var(--mark); color: var(--marked); border-radius: 3px; padding: 0 .2em;
  -webkit-box-decoration-break: clone; box-decoration-break: clone; }
.more { align-self: center; color: var(--grey); }
@media (max-width: 32rem) { .row { grid-template-columns: repeat(2, minmax(0, 1fr)); gap: .5rem; }
  body { padding: .6rem; } figure { padding: .4rem; } img, .none { height: 8rem; }
  dl { grid-template-columns: minmax(0, 1fr); } dt { margin-top: .25rem; font-size: .75rem; } }
"""
