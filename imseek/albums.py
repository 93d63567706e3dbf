"""Albums: tags with a cover and an order.

>>> imseek.albums.create("photos.imseek", "Lisbon", where="path LIKE '%/lisbon/%'")      # doctest: +SKIP
>>> imseek.albums.get("photos.imseek", "Lisbon").image_ids                               # doctest: +SKIP

The images of an album are those with the tag of its name, so filters, exports and sidecars know albums as tags
(``tag('Lisbon')``). What makes a tag an album is a record in the catalog with its cover and its order
(docs/decisions/0044-albums.md). Images that were not put in order follow the others, as they were added.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from imseek import tags
from imseek.analysis.snapshot_session import run_with_reader
from imseek.data.catalog import album_reader, tag_reader
from imseek.data.catalog.album_reader import AlbumRow
from imseek.data.reader import Reader
from imseek.errors import UsageError
from imseek.tags import AnyImage
from imseek.types.albums import Album as Album
from imseek.types.albums import AlbumInfo as AlbumInfo
from imseek.types.albums import AlbumReport as AlbumReport
from imseek.types.collection_arguments import AnyCollection, path_of

_NAME: Final = "the name of an album"


@dataclass(frozen=True, slots=True)
class AlbumState:
    """Former albums and tags of images, for :func:`restore`."""

    rows: Mapping[str, AlbumRow | None]
    tags: Mapping[tuple[int, str], str | None]


def every(collection: AnyCollection) -> tuple[AlbumInfo, ...]:
    """Return all albums, by name."""

    def read(reader: Reader) -> tuple[AlbumInfo, ...]:
        albums = ((row, album_reader.images(reader, row)) for row in album_reader.rows(reader))
        return tuple(AlbumInfo(row.tag, len(ids), _cover(row, ids)) for row, ids in albums)

    return run_with_reader(collection, read)


def get(collection: AnyCollection, name: str) -> Album:
    """Return an album with its images in order. Raises AlbumNotFoundError."""

    def read(reader: Reader) -> Album:
        row = album_reader.find(reader, name)
        ids = album_reader.images(reader, row)
        return Album(name, _cover(row, ids), ids)

    return run_with_reader(collection, read)


def create(
    collection: AnyCollection, name: str, images: Iterable[AnyImage] = (), *, where: str | None = None
) -> AlbumReport:
    """Create an album with these images, and those that meet ``where``.

    A tag of that name becomes the album, with the images that have it. Raises UsageError for a name that is an album
    already or cannot be a tag, and as :func:`imseek.tags.add`.
    """
    name = name.strip()
    tags.check_name(name, _NAME)
    ids = tags.image_ids(collection, images, where=where)

    def change(reader: Reader) -> _Change:
        if any(row.tag == name for row in album_reader.rows(reader)):
            raise UsageError(f"there is an album {name!r} already", hint=f"imseek album add {name!r} IMAGE…")
        return {name: AlbumRow(name, None, ())}, {(image_id, name): tags.PERSON for image_id in ids}

    return _write(collection, "album create", name, change)


def add(
    collection: AnyCollection, name: str, images: Iterable[AnyImage] = (), *, where: str | None = None
) -> AlbumReport:
    """Add images to the end of an album. Raises AlbumNotFoundError, and as :func:`imseek.tags.add`."""
    return _tag_members(collection, "album add", name, tags.image_ids(collection, images, where=where), tags.PERSON)


def remove(
    collection: AnyCollection, name: str, images: Iterable[AnyImage] = (), *, where: str | None = None
) -> AlbumReport:
    """Remove images from an album; it remains if it is empty then. Raises as :func:`add`."""
    return _tag_members(collection, "album remove", name, tags.image_ids(collection, images, where=where), None)


def _tag_members(
    collection: AnyCollection, kind: str, name: str, ids: Iterable[int], provenance: str | None
) -> AlbumReport:
    def change(reader: Reader) -> _Change:
        album_reader.find(reader, name)
        return {}, {(image_id, name): provenance for image_id in ids}

    return _write(collection, kind, name, change)


def arrange(collection: AnyCollection, name: str, images: Iterable[AnyImage]) -> AlbumReport:
    """Put images of an album in this order, before its others. Raises UsageError for images that it lacks."""
    ids = tags.image_ids(collection, images)

    def change(reader: Reader) -> _Change:
        row = album_reader.find(reader, name)
        members = _check_members(reader, row, ids)
        return {name: replace(row, positions=album_reader.order(members, ids))}, {}

    return _write(collection, "album arrange", name, change)


def set_cover(collection: AnyCollection, name: str, image: AnyImage | None) -> AlbumReport:
    """Choose the image that stands for an album, None for the first one. Raises as :func:`arrange`."""
    ids = tags.image_ids(collection, () if image is None else (image,))[:1]  # Several images may have one path.

    def change(reader: Reader) -> _Change:
        row = album_reader.find(reader, name)
        _check_members(reader, row, ids)
        return {name: replace(row, cover=next(iter(ids), None))}, {}

    return _write(collection, "album cover", name, change)


def rename(collection: AnyCollection, name: str, to: str) -> AlbumReport:
    """Rename an album and its tag. Raises AlbumNotFoundError, and UsageError if an album has the new name already."""
    row = run_with_reader(collection, lambda reader: album_reader.find(reader, name))
    to = to.strip()
    tags.check_name(to, _NAME)
    if any(other.tag == to for other in run_with_reader(collection, album_reader.rows)):
        raise UsageError(f"there is an album {to!r} already", hint="choose another name")
    if any(one.tag == name for one in tags.counts(collection)):
        report = tags.rename(collection, name, to)
        return AlbumReport(to, len(get(collection, to).image_ids), report.changed, report.generation)

    def change(reader: Reader) -> _Change:  # No searchable image has the tag, but others may.
        states: dict[tuple[int, str], str | None] = {}
        for image_id, _, by in tag_reader.rows(reader, [name]):
            states[image_id, name], states[image_id, to] = None, by
        return {name: None, to: replace(row, tag=to)}, states

    return _write(collection, "album rename", to, change)


def delete(collection: AnyCollection, name: str) -> AlbumReport:
    """Delete an album and remove its tag from all images; these remain. Raises AlbumNotFoundError."""

    def change(reader: Reader) -> _Change:
        album_reader.find(reader, name)
        return {name: None}, {(image_id, name): None for image_id, _, _ in tag_reader.rows(reader, [name])}

    return _write(collection, "album delete", name, change)


def state(collection: AnyCollection, names: Iterable[str], images: Iterable[int] = ()) -> AlbumState:
    """Return albums and tags of these names for :func:`restore`; ``images`` are others that may get them."""
    name_list = list(names)

    def read(reader: Reader) -> dict[str, AlbumRow]:
        # All positions: otherwise an image that is removed and restored would move to the end.
        rows = (row for row in album_reader.rows(reader) if row.tag in name_list)
        return {row.tag: replace(row, positions=album_reader.images(reader, row)) for row in rows}

    albums = run_with_reader(collection, read)
    tag_states = tags.states(collection, name_list)
    ids = dict.fromkeys((*images, *(image_id for image_id, _ in tag_states)))
    untagged: dict[tuple[int, str], str | None] = {(image_id, name): None for image_id in ids for name in name_list}
    return AlbumState({name: albums.get(name) for name in name_list}, {**untagged, **tag_states})


def restore(collection: AnyCollection, before: AlbumState) -> None:
    """Bring albums and tags back as they were at :func:`state`, in one commit. Raises LockedError."""
    from imseek.data.catalog import albums
    from imseek.data.writing.writer_wait import open_writer

    if before.rows or before.tags:
        with open_writer(path_of(collection), "album restore") as writer:
            albums.replace(writer, before.rows, before.tags)


#: Albums by name, None for none, and who gives which tag to which image, None for nobody.
_Change: TypeAlias = tuple[Mapping[str, AlbumRow | None], Mapping[tuple[int, str], str | None]]


def _write(collection: AnyCollection, kind: str, name: str, change: Callable[[Reader], _Change]) -> AlbumReport:
    """Store in one commit what ``change`` makes of the albums and tags as they are then, and report on an album."""
    from imseek.data.catalog import albums
    from imseek.data.writing.writer_wait import open_writer

    root = path_of(collection)
    with open_writer(root, kind) as writer:
        with closing(Reader(root)) as reader:
            rows, states = change(reader)
            generation = reader.generation
        generation, changed = albums.replace(writer, rows, states) if rows or states else (generation, 0)

    def count(reader: Reader) -> int:
        rows_of_name = [row for row in album_reader.rows(reader) if row.tag == name]
        return len(album_reader.images(reader, rows_of_name[0])) if rows_of_name else 0

    return AlbumReport(name, run_with_reader(root, count), changed, generation)


def _cover(row: AlbumRow, ids: tuple[int, ...]) -> int | None:
    return row.cover if row.cover in ids else next(iter(ids), None)


def _check_members(reader: Reader, row: AlbumRow, ids: Iterable[int]) -> tuple[int, ...]:
    """Return the images of an album. Raises UsageError if ``ids`` are not among them."""
    images = album_reader.images(reader, row)
    members = set(images)
    if strange := [image_id for image_id in ids if image_id not in members]:
        raise UsageError(
            f"image {strange[0]} is not in the album {row.tag!r}", hint=f"imseek album add {row.tag!r} IMAGE…"
        )
    return images
