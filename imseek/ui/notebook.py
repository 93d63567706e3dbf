"""Show images, hits and reports as thumbnail grids in notebooks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from numbers import Integral
from typing import Protocol, TypeAlias

from imseek.clusters.results import ClusterReport, OutlierReport, SampleReport, Shown
from imseek.duplicates.results import Duplicate, DuplicateReport
from imseek.errors import UsageError
from imseek.showing import Section, Tile, name_of, render_page
from imseek.types.pictures import Image
from imseek.types.search_results import Hit, Pictures, describe_matches
from imseek.ui.render.words import SAMPLE_METHODS

Picture: TypeAlias = int | Hit | Image | Shown | Duplicate
Report: TypeAlias = SampleReport | OutlierReport | ClusterReport | DuplicateReport


class HasPictures(Protocol):
    """Interface shared by :class:`imseek.Collection` and :class:`imseek.RemoteCollection`."""

    @property
    def uuid(self) -> str: ...

    @property
    def pictures(self) -> Pictures: ...

    def get(self, image_id: int) -> Image: ...


@dataclass(frozen=True, slots=True)
class Grid:
    """Displays thumbnails in a notebook, as :class:`imseek.SearchResult` does."""

    head: str
    sections: tuple[Section, ...]
    notes: tuple[str, ...]
    pictures: Pictures = field(repr=False)

    def _repr_html_(self) -> str:
        return render_page(self.head, self.sections, self.notes, self.pictures.opened)


def show(collection: HasPictures, what: Picture | Iterable[Picture] | Report) -> Grid:
    """Show pictures of ``collection`` in a notebook: ids, hits, images, members of a group, or a whole report.

        >>> imseek.show(photos, imseek.clusters.sample(photos, 20))       # doctest: +SKIP

    Reports are those of samples, outliers, clusters or duplicates. The places of ids are looked up. Raises
    ImageNotFoundError, and UsageError for anything that names no pictures.
    """
    head, sections = _sections(collection, what)
    return Grid(head, tuple(sections), tuple(getattr(what, "notes", ())), collection.pictures)


def _sections(collection: HasPictures, what: Picture | Iterable[Picture] | Report) -> tuple[str, list[Section]]:
    uuid = collection.uuid
    if isinstance(what, SampleReport):
        tiles = [_tile(uuid, one.image, f"for {one.weight:,}") for one in what.sample]
        head = f"{len(tiles):,} of {what.images:,} images, chosen {SAMPLE_METHODS[what.method]}"
        return head, [_section(None, tiles)]
    if isinstance(what, OutlierReport):
        tiles = [_tile(uuid, image, f"{image.score:.3f}") for image in what.outliers]
        return f"{_count(len(tiles), 'outlier')} of {what.images:,} images, by {what.method}", [_section(None, tiles)]
    if isinstance(what, ClusterReport):
        sections = [
            _section(
                f"{cluster.number}. {cluster.name or 'no name'} ({cluster.size:,})",
                [_tile(uuid, image, f"{image.score:.3f}") for image in cluster.medoids],
            )
            for cluster in what.clusters
        ]
        return f"{_count(len(sections), 'cluster')} of {what.images:,} images, by {what.method}", sections
    if isinstance(what, DuplicateReport):
        sections = [
            _section(
                f"{n}. {group.kind} ({len(group.members):,})",
                [_tile(member.collection, member, "keep" if group.keeps(member) else "") for member in group.members],
            )
            for n, group in enumerate(what.groups, start=1)
        ]
        return f"{_count(len(sections), 'group')} of duplicates among {what.searched:,} images", sections
    if isinstance(what, str | bytes):
        raise _usage_error(what)
    images = what if isinstance(what, Iterable) else [what]
    tiles = [_tile_of(collection, one) for one in images]
    return _count(len(tiles), "image"), [_section(None, tiles)]


def _usage_error(what: object) -> UsageError:
    hint = "ids, hits, images, or a report such as of a sample"
    return UsageError(f"a {type(what).__name__} names no pictures", hint=hint)


def _tile_of(collection: HasPictures, one: Picture) -> Tile:
    if isinstance(one, Hit):
        return _tile(one.collection, one, f"{one.score:.3f}", describe_matches(one.matches))
    if isinstance(one, Duplicate):
        return _tile(one.collection, one, "")
    if isinstance(one, Image | Shown):
        return _tile(collection.uuid, one, "")
    if isinstance(one, Integral) and not isinstance(one, bool):
        return _tile(collection.uuid, collection.get(int(one)), "")
    raise _usage_error(one)


def _tile(uuid: str, image: Hit | Image | Shown | Duplicate, caption: str, below: str = "") -> Tile:
    line = " · ".join(part for part in (caption, f"id {image.image_id}") if part)
    alt = ", ".join(part for part in (name_of(image.place, image.image_id), caption) if part)
    return Tile(uuid, image.image_id, image.place, line, alt, below)


def _section(heading: str | None, tiles: Sequence[Tile]) -> Section:
    return Section(heading, tuple(tiles))


def _count(n: int, one: str) -> str:
    return f"{n:,} {one}" if n == 1 else f"{n:,} {one}s"
