"""Tags of images, each with its provenance: a person, a probe, zero-shot labels and so on.

>>> imseek.tags.add("photos.imseek", "boat", [17, "harbour.jpg"])      # doctest: +SKIP
>>> imseek.tags.counts("photos.imseek")                                # doctest: +SKIP

Filters can use tags (``tag('boat')``, docs/where.md), and probes learn from them (docs/probes.md).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np

from imseek.analysis.snapshot_session import run_with_reader
from imseek.data import image_refs
from imseek.data.catalog import tag_reader
from imseek.data.catalog.tag_reader import is_manual as is_manual
from imseek.data.reader import Reader
from imseek.errors import ImageNotFoundError, UsageError
from imseek.search.where import Filters
from imseek.types.collection_arguments import AnyCollection, path_of
from imseek.types.tags import Tag, TagCount, TagReport

#: An image: its id or its place (a file, a URL, ``a.zip!/b.jpg``).
AnyImage: TypeAlias = int | np.integer[Any] | str | bytes | os.PathLike[str]

#: The default provenance. A person's tag overrides any other.
PERSON: Final = "person"
#: The tag of favourites, which the pages and `imseek ui` show as a heart.
FAVOURITE: Final = "favourite"
#: Maximum length in characters of a tag or a provenance.
_MAX_LENGTH: Final = 200


def add(
    collection: AnyCollection,
    tag: str,
    images: Iterable[AnyImage] = (),
    *,
    where: str | None = None,
    provenance: str = PERSON,
) -> TagReport:
    """Tag images, and those that meet ``where`` (docs/where.md), all in one commit or not at all.

    A path means the image at that place, or else all images with that file's content. Raises UsageError (an invalid
    tag), ImageNotFoundError, QueryError, LockedError.
    """
    return add_all(collection, _given_tags(path_of(collection), tag, images, where), provenance=provenance, strict=True)


def add_all(
    collection: AnyCollection,
    image_tags: Iterable[tuple[AnyImage, str]],
    *,
    provenance: str = PERSON,
    strict: bool = False,
) -> TagReport:
    """Tag each image with its own tag, in one commit.

    Unknown images are listed in the report; with ``strict`` they raise ImageNotFoundError instead, and nothing is
    changed. Raises as :func:`add`.
    """
    from imseek.data.catalog import tags as stored
    from imseek.data.writing.writer_wait import open_writer

    _check_text("a provenance", provenance)
    root = path_of(collection)
    pairs, missing = _resolve_images(root, image_tags, strict)
    if not pairs:
        return TagReport(0, 0, Reader(root).generation, missing)
    with open_writer(root, "tag add") as writer:
        given_by = dict.fromkeys(pairs, provenance)
        generation, changed = stored.replace_tags(writer, (), given_by, over=provenance == PERSON)
    return TagReport(len(pairs), changed, generation, missing)


def remove(
    collection: AnyCollection,
    tag: str,
    images: Iterable[AnyImage] = (),
    *,
    where: str | None = None,
    everywhere: bool = False,
) -> TagReport:
    """Remove a tag from images, whoever gave it; with ``everywhere``, from all images.

    Raises as :func:`add`, and UsageError for a tag that no image has.
    """
    from imseek.data.catalog import tags as stored
    from imseek.data.writing.writer_wait import open_writer

    root = path_of(collection)
    tag_reader.check_known(root, [tag])
    if everywhere:
        reader = Reader(root)
        pairs = [(image_id, tag) for image_id, _, _ in tag_reader.rows(reader, [tag])]
    else:
        pairs, _ = _resolve_images(root, _given_tags(root, tag, images, where), strict=True)
    if not pairs:
        return TagReport(0, 0, Reader(root).generation)
    with open_writer(root, "tag remove") as writer:
        generation, changed = stored.replace_tags(writer, pairs, {})
    return TagReport(len(pairs), changed, generation)


def choose(
    collection: AnyCollection,
    chosen: Mapping[int, str | None],
    among: Iterable[str],
    *,
    provenance: str = PERSON,
    patience: float | None = None,
) -> TagReport:
    """Give each image exactly one of the tags ``among``, or none of them (None), in one commit.

    ``changed`` counts tags added and removed. Waits at most ``patience`` seconds (default 30) for another writer.
    Raises UsageError for a choice that is not ``among`` them, and as :func:`add`.
    """
    from imseek.data.catalog import tags as stored
    from imseek.data.writing.writer_wait import open_writer

    _check_text("a provenance", provenance)
    root = path_of(collection)
    classes = tuple(dict.fromkeys(tag.strip() for tag in among))
    for tag in classes:
        _check_text("a tag", tag)
    strange = next((tag for tag in chosen.values() if tag is not None and tag not in classes), None)
    if strange is not None:
        raise UsageError(f"{strange!r} is none of the tags to choose from", hint=", ".join(classes))
    if unknown := sorted(chosen.keys() - image_refs.filter_live(root, set(chosen))):
        raise ImageNotFoundError(f"no image {unknown[0]} in this collection")
    if not chosen:
        return TagReport(0, 0, Reader(root).generation)
    others = [(image_id, tag) for image_id, one in chosen.items() for tag in classes if tag != one]
    assignments = {(image_id, one): provenance for image_id, one in chosen.items() if one is not None}
    with open_writer(root, "tag choose", patience) as writer:
        generation, changed = stored.replace_tags(writer, others, assignments, over=provenance == PERSON)
    return TagReport(len(chosen), changed, generation)


def rename(collection: AnyCollection, tag: str, to: str) -> TagReport:
    """Rename a tag on all images, keeping its provenance, in one commit.

    Images that have both tags keep the existing one unchanged. An album (:mod:`imseek.albums`) stays one. Raises
    UsageError (a tag that no image has, an invalid name), LockedError.
    """
    from imseek.data.catalog import albums
    from imseek.data.catalog import tags as stored
    from imseek.data.writing.writer_wait import open_writer

    root = path_of(collection)
    to = to.strip()
    _check_text("a tag", to)
    if to == tag:
        raise UsageError(f"{tag!r} is already its name", hint="give another")
    with open_writer(root, "tag rename") as writer:
        tag_reader.check_known(root, [tag])
        reader = Reader(root)
        rows = tag_reader.rows(reader, [tag])
        manual_ids = {image_id for image_id, _, by in rows if tag_reader.is_manual(by)}
        learned = [
            one for one in tag_reader.rows(reader, [to]) if one[0] in manual_ids and not tag_reader.is_manual(one[2])
        ]
        removals = [(image_id, name) for image_id, name, _ in (*rows, *learned)]
        generation, _ = stored.replace_tags(
            writer, removals, {(i, to): by for i, _, by in rows}, also=albums.rename_change(reader, tag, to)
        )
    return TagReport(len(rows), len(rows), generation)


def counts(collection: AnyCollection) -> tuple[TagCount, ...]:
    """Count the live images of each tag, by name."""
    rows = tag_reader.count_tags(path_of(collection))
    return tuple(
        TagCount(tag, sum(n for _, n in by), dict(by))
        for tag, by in (
            (tag, [(provenance, n) for _, provenance, n in group]) for tag, group in groupby(rows, key=itemgetter(0))
        )
    )


def of(collection: AnyCollection, images: Iterable[AnyImage]) -> dict[int, tuple[Tag, ...]]:
    """Return the tags of images, by id; empty for images without tags. Raises ImageNotFoundError."""
    root = path_of(collection)
    pairs, _ = _resolve_images(root, ((image, "any") for image in images), strict=True)
    tags_by_id: dict[int, list[Tag]] = {image_id: [] for image_id, _ in pairs}
    for image_id, tag, provenance in run_with_reader(
        root, lambda reader: tag_reader.rows_of_images(reader, list(tags_by_id))
    ):
        tags_by_id[image_id].append(Tag(tag, provenance))
    return {image_id: tuple(tags) for image_id, tags in tags_by_id.items()}


def every(collection: AnyCollection) -> tuple[tuple[int, Tag], ...]:
    """Return all tags of all images, ordered by image and tag."""
    return tuple((image_id, Tag(tag, by)) for image_id, tag, by in run_with_reader(collection, tag_reader.rows))


def states(
    collection: AnyCollection, names: Iterable[str], images: Iterable[int] | None = None
) -> dict[tuple[int, str], str]:
    """Return who gave these tags (to ``images``), by image and tag: which :func:`restore` brings back."""
    name_list = list(names)
    ids = None if images is None else list(images)

    def read(reader: Reader) -> Iterable[tuple[int, str, str]]:
        return tag_reader.rows(reader, name_list) if ids is None else tag_reader.rows_of_images(reader, ids)

    return {(image_id, tag): by for image_id, tag, by in run_with_reader(collection, read) if tag in name_list}


def restore(collection: AnyCollection, before: Mapping[tuple[int, str], str | None]) -> TagReport:
    """Give tags the provenances that they had, by image and tag; None removes a tag. All in one commit.

    Images that are no longer in the collection are passed over. Raises UsageError (an invalid tag), LockedError.
    """
    from imseek.data.catalog import albums
    from imseek.data.writing.writer_wait import open_writer

    root = path_of(collection)
    for (_, tag), provenance in before.items():
        _check_text("a tag", tag)
        if provenance is not None:
            _check_text("a provenance", provenance)
    if not before:
        return TagReport(0, 0, Reader(root).generation)
    with open_writer(root, "tag restore") as writer:
        generation, changed = albums.replace(writer, {}, before)
    return TagReport(len(before), changed, generation)


def image_ids(
    collection: AnyCollection, images: Iterable[AnyImage] = (), *, where: str | None = None
) -> tuple[int, ...]:
    """Return the ids of images that are named as for :func:`add`, each once. Raises as that does."""
    root = path_of(collection)
    pairs, _ = _resolve_images(root, _given_tags(root, "any", images, where), strict=True)
    return tuple(image_id for image_id, _ in pairs)


def check_name(tag: str, what: str = "a tag") -> None:
    """Raise UsageError, about ``what`` it is to name, for text that cannot be a tag."""
    _check_text(what, tag)


def _given_tags(root: Path, tag: str, images: Iterable[AnyImage], where: str | None) -> Iterable[tuple[AnyImage, str]]:
    if isinstance(images, str | bytes | os.PathLike):
        raise UsageError(f"images are a list, not {images!r}")
    yield from ((image, tag) for image in images)
    if where is not None:
        ids = run_with_reader(root, lambda reader: Filters().ids(reader, where))
        yield from ((int(image_id), tag) for image_id in ids)


def _resolve_images(
    root: Path, tagged: Iterable[tuple[AnyImage, str]], strict: bool
) -> tuple[list[tuple[int, str]], tuple[str, ...]]:
    """Resolve images to unique (id, tag) pairs; also returns unknown images. Raises UsageError, ImageNotFoundError."""
    references = [(int(image) if isinstance(image, np.integer) else image, tag.strip()) for image, tag in tagged]
    for tag in {tag for _, tag in references}:
        _check_text("a tag", tag)
    ids = {image for image, _ in references if isinstance(image, int)}
    live = image_refs.filter_live(root, ids)
    paths = {image: os.fsencode(image) for image, _ in references if not isinstance(image, int)}
    ids_by_path = image_refs.find_ids(root, paths.values())
    pairs: dict[tuple[int, str], None] = {}
    missing: dict[str, None] = {}
    for image, tag in references:
        if isinstance(image, int):
            matches: Iterable[int] = (image,) if image in live else ()
        else:
            matches = ids_by_path[paths[image]]
        if not matches:
            missing[str(image) if isinstance(image, int) else os.fsdecode(image)] = None
        pairs.update(dict.fromkeys((image_id, tag) for image_id in matches))
    if missing and strict:
        first = next(iter(missing))
        more = f", and {len(missing) - 1:,} more" if len(missing) > 1 else ""
        subject = f"image {first}" if first.isdecimal() else f"image {first!r}"
        raise ImageNotFoundError(
            f"no {subject} in this collection{more}", hint="name ids, indexed files, or copies of indexed files"
        )
    return list(pairs), tuple(missing)


def _check_text(subject: str, text: str) -> None:
    """Raise UsageError for an invalid tag or provenance."""
    if not text.strip() or text != text.strip():
        raise UsageError(f"{subject} must not be empty, nor begin or end with a space")
    if len(text) > _MAX_LENGTH or not text.isprintable():
        raise UsageError(f"{subject} is one line of {_MAX_LENGTH} characters at most")
