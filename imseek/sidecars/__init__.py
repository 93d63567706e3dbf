"""Write tags, captions and ratings into ``.xmp`` files beside pictures, where other programs read them, and undo that.

>>> imseek.sidecars.write("photos.imseek")                    # doctest: +SKIP
>>> imseek.sidecars.write("photos.imseek", apply=True)        # doctest: +SKIP

Tags that people gave become ``dc:subject``; tags of models do not. Captions and ratings are those that users state in
imseek (:mod:`imseek.edits`), and replace others. Everything else in an existing file stays. Pictures
themselves are never written to.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from imseek import edits
from imseek.data.catalog import tag_reader
from imseek.data.reader import Reader
from imseek.data.user_files.safe_path import ChangingError
from imseek.edits import ImageEdit
from imseek.errors import MediaError
from imseek.media.xmp_caption_rating import set_values
from imseek.media.xmp_keywords import add_keywords
from imseek.search.where import Filters
from imseek.sidecars import files
from imseek.sidecars.journal import Edit, Journal
from imseek.sidecars.results import Refusal as Refusal
from imseek.sidecars.results import SidecarReport as SidecarReport
from imseek.sidecars.results import SidecarUndo as SidecarUndo
from imseek.types.collection_arguments import AnyCollection, path_of

#: Files recorded and written at a time.
_BATCH: Final = 256


@dataclass(slots=True)
class _Target:
    """A file to write into, with tags, known keywords, caption and rating of the images that it lies beside."""

    images: int = 0
    tags: dict[str, None] = field(default_factory=dict)
    keywords: dict[str, None] = field(default_factory=dict)
    edit: ImageEdit = field(default_factory=ImageEdit)


def write(collection: AnyCollection, *, where: str | None = None, apply: bool = False) -> SidecarReport:
    """Write tags, captions and ratings of images, or of those that meet ``where``, into ``.xmp`` files beside pictures.

    For ``a.jpg`` that is ``a.jpg.xmp``, or ``a.xmp`` where only that exists. A file that states no keywords gets those
    that the image has as well, since it goes before the picture. Without ``apply``, nothing is written. Each file is
    replaced atomically, after its former content is in a journal. Raises QueryError, LockedError, StorageError.
    """
    root = path_of(collection)
    if not apply:
        plan = _Plan(Reader(root), where)
        edits = list(plan.edits())
        return plan.report(edits=len(edits), created=sum(edit.before is None for edit in edits), undo_id=None)
    from imseek.data.writing.writer_wait import open_writer

    with open_writer(root, "tag write-sidecars") as writer:
        plan = _Plan(Reader(root), where)
        journal: Journal | None = None
        edited = created = 0
        remaining = plan.edits()
        while batch := list(islice(remaining, _BATCH)):
            journal = journal or Journal.begin(root, writer.staging)
            journal.record((edit, files.digest(edit.after)) for edit in batch)
            for edit in batch:
                if plan.attempt(edit, f"imseek-{journal.undo_id}"):
                    edited += 1
                    created += edit.before is None
        return plan.report(edits=edited, created=created, undo_id=None if journal is None else journal.undo_id)


def undo(collection: AnyCollection, undo_id: str) -> SidecarUndo:
    """Restore the files that :func:`write` has changed, unless they have been changed again since.

    Once all are back, the journal is removed. Raises UsageError where there is no such journal, or another user's,
    LockedError, StorageError.
    """
    root = path_of(collection)
    from imseek.data.writing.writer_wait import open_writer

    with open_writer(root, "tag write-sidecars"):
        journal = Journal(root, undo_id)
        restored = removed = 0
        left: list[bytes] = []
        for record in reversed(journal.records()):
            try:
                now, before = files.read(record.path), record.before
                if now == before:  # not written, or put back already
                    restored += now is not None
                    removed += now is None
                elif now is None or files.digest(now) != record.sha256:
                    left.append(record.path)
                elif before is None:
                    files.remove(record.path, record.sha256)
                    removed += 1
                else:
                    files.write(record.path, now, before, f"imseek-{undo_id}")
                    restored += 1
            except (OSError, ValueError, ChangingError, MediaError):
                left.append(record.path)
            hashes = {record.sha256} if record.packed is None else {record.sha256, files.digest(record.before or b"")}
            files.discard_unfinished(record.path, f"imseek-{undo_id}", hashes)
        if not left:
            journal.remove()
        return SidecarUndo(undo_id, restored, removed, tuple(left))


class _Plan:
    """Sidecars to write, and counts of what was written and refused."""

    def __init__(self, reader: Reader, where: str | None) -> None:
        self._refused: Counter[Refusal] = Counter()
        self._unchanged = 0
        among = None if where is None else {*Filters().ids(reader, where).tolist()}
        tags, edits_by_id = _tags_of(reader, among), _edits_of(reader, among)
        self._images = len(tags.keys() | edits_by_id.keys())
        self._targets = self._find_targets(reader, tags, edits_by_id)
        self._is_dry = True

    def edits(self) -> Iterator[Edit]:
        """Yield the files to change, with their content before and after."""
        for path, target in self._targets.items():
            try:
                before = files.read(path)
                after = before
                if target.tags:
                    after = add_keywords(before, [*target.tags], [*target.keywords])
                if target.edit != ImageEdit():
                    after = set_values(after, caption=target.edit.caption, rating=target.edit.rating)
                assert after is not None
            except MediaError:
                self._refuse(path, "unreadable")
            except OSError as error:
                self._refuse(path, "missing" if isinstance(error, FileNotFoundError) else "unreadable")
            else:
                if after == before:
                    self._unchanged += 1
                elif not _is_writable(path, exists=before is not None):
                    self._refuse(path, "read_only")
                else:
                    yield Edit(path, before, after)

    def attempt(self, edit: Edit, name: str) -> bool:
        """Write a file; returns whether that was possible."""
        self._is_dry = False
        try:
            files.write(edit.path, edit.before, edit.after, name)
        except (ChangingError, FileExistsError):
            self._refuse(edit.path, "changed")
        except OSError:
            self._refuse(edit.path, "read_only")
        else:
            return True
        return False

    def report(self, *, edits: int, created: int, undo_id: str | None) -> SidecarReport:
        refused: Mapping[Refusal, int] = dict(sorted(self._refused.items()))
        return SidecarReport(self._images, edits, created, self._unchanged, refused, not self._is_dry, undo_id)

    def _refuse(self, path: bytes, why: Refusal) -> None:
        self._refused[why] += self._targets[path].images

    def _find_targets(
        self, reader: Reader, tags: Mapping[int, Iterable[str]], edits_by_id: Mapping[int, ImageEdit]
    ) -> Mapping[bytes, _Target]:
        """Group images by the file to write into; a raw and a JPEG, for example, may share one."""
        targets: dict[bytes, _Target] = defaultdict(_Target)
        ids = [*dict.fromkeys((*tags, *edits_by_id))]
        places = reader.indexed_places(ids)
        metadata = reader.metadata(ids)
        for image_id in ids:
            if (place := places.get(image_id)) is None:
                self._refused["missing"] += 1
            elif not place.is_whole_file:
                self._refused["url" if b"://" in place.shown else "archive"] += 1
            elif not os.path.isfile(place.file):
                self._refused["missing"] += 1
            else:
                target = targets[_sidecar_of(place.file)]
                target.images += 1
                target.tags.update(dict.fromkeys(tags.get(image_id, ())))
                edit = edits_by_id.get(image_id, ImageEdit())
                caption = target.edit.caption if edit.caption is None else edit.caption
                rating = target.edit.rating if edit.rating is None else edit.rating
                target.edit = ImageEdit(caption, rating)
                target.keywords.update(dict.fromkeys(metadata.get(image_id, {}).get("keywords", ())))
        return targets


def _tags_of(reader: Reader, among: Container[int] | None) -> Mapping[int, list[str]]:
    tags: dict[int, list[str]] = {}
    for image_id, tag in tag_reader.manual_tags(reader):
        if among is None or image_id in among:
            tags.setdefault(image_id, []).append(tag)
    return tags


def _edits_of(reader: Reader, among: Container[int] | None) -> Mapping[int, ImageEdit]:
    edits_by_id = edits.read(reader)
    living = reader.live_ids(edits_by_id)
    return {i: one for i, one in edits_by_id.items() if i in living and (among is None or i in among)}


def _is_writable(path: bytes, *, exists: bool) -> bool:
    # Replacing a file needs no right to write to it, but whoever took that away wants it to stay.
    return os.access(os.path.dirname(path), os.W_OK | os.X_OK) and (not exists or os.access(path, os.W_OK))


def _sidecar_of(picture: bytes) -> bytes:
    own, shared = picture + b".xmp", os.path.splitext(picture)[0] + b".xmp"
    return shared if os.path.lexists(shared) and not os.path.lexists(own) else own
