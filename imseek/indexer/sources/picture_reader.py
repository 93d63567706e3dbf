"""Read pictures by their recorded places: the one way from the catalog to a picture, whatever holds it.

Only what was indexed leaves here. Meanwhile anybody who can write to the folder may have put anything in its place, and
the catalog itself may come from a stranger. See docs/decisions/0032-serving-pictures.md.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import threading
from dataclasses import dataclass
from typing import Final, Self

from imseek.data.catalog.place_paths import is_url
from imseek.data.reader import SourceRow
from imseek.data.user_files.file_stat import UNKNOWN_STAT, FileStat
from imseek.data.user_files.image_places import IndexedPlace
from imseek.errors import CONTENT_CHANGED, ContentChangedError, MediaError, PluginError, UnsafePathError
from imseek.indexer.sources import open_source, options_of
from imseek.indexer.sources.base import Content, Source
from imseek.indexer.sources.local_files import GONE_ERRNOS, FileOpener
from imseek.media.formats import sniff
from imseek.types.pictures import SkipReason

#: Error numbers of opening a path with a link in it, or with a file where a folder should be.
_LINK_ERRNOS: Final = frozenset({errno.ELOOP, errno.ENOTDIR})
#: Reasons that mean another file has replaced the indexed one: it is no file, or an archive or table without the
#: picture.
_REPLACED_REASONS: Final = frozenset(
    {
        SkipReason.NOT_A_FILE,
        SkipReason.CHANGED,
        SkipReason.EMPTY_FILE,
        SkipReason.CORRUPT,
        SkipReason.TRUNCATED,
        SkipReason.VANISHED,
    }
)


@dataclass(frozen=True, slots=True, eq=False)
class IndexedPicture:
    """A picture as it was indexed: its bytes, their format (:func:`imseek.media.formats.sniff`) and their sha256.

    ``stat`` is that of the file read, if it holds only the picture. ``is_verified`` is False for a picture that was
    never opened before, since its vector was imported.
    """

    data: bytes
    format: str
    sha256: bytes
    stat: FileStat | None
    is_verified: bool


class PlaceReader:
    """Reads pictures and keeps their sources open. Thread-safe."""

    def __init__(self) -> None:
        self._sources: dict[tuple[SourceRow, bool], Source] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for source in self._sources.values():
            source.close()

    def load(self, place: IndexedPlace) -> IndexedPicture:
        """Read the picture at a place and verify that it is the indexed one.

        Below the root of its source, links are followed only to a file of the indexed size and time. A file with the
        indexed stat is trusted, everything else is hashed; the verified bytes are those returned. For an imported
        vector, only checks that the bytes are a picture.

        Raises ContentChangedError where it is not what was indexed, MediaError where it is unavailable or no picture,
        MissingExtraError, OSError.
        """
        try:
            content = self._content(place)
        except UnsafePathError as error:
            raise MediaError(SkipReason.UNREADABLE, "its place on record leads out of its source") from error
        except OSError as error:
            if error.errno in GONE_ERRNOS:
                raise MediaError(SkipReason.VANISHED, "it is not there any more") from error
            raise
        except MediaError as error:
            if error.reason in _REPLACED_REASONS and not is_url(place.shown):
                raise _changed_error(place, error.reason) from error
            raise
        sha256 = _verify(place, content)
        if (kind := sniff(content.data)) is None:
            message = "the content matches no known image format"
            raise MediaError(SkipReason.NOT_AN_IMAGE, message)
        file = None if content.stat == UNKNOWN_STAT else content.stat
        return IndexedPicture(content.data, kind, sha256, file, place.has_picture_hash)

    def _content(self, place: IndexedPlace) -> Content:
        try:
            return self._read(place, follow_links=False)
        except OSError as error:
            if error.errno not in _LINK_ERRNOS:
                raise
        # Scans index links to files, and with --follow-symlinks folders behind links.
        if not _is_indexed_file(place):
            raise _changed_error(place, CONTENT_CHANGED)
        return self._read(place, follow_links=True)

    def _read(self, place: IndexedPlace, *, follow_links: bool) -> Content:
        if not place.may_be_fetched:
            raise MediaError(SkipReason.UNREADABLE, "it lies on another machine, and its collection is not trusted")
        row = place.source
        with self._lock:
            key = (row, follow_links)
            if key not in self._sources:
                opener = FileOpener(row.root, follow_links)
                try:
                    self._sources[key] = open_source(row.kind, row.root, options_of(row.options), opener=opener)
                except PluginError as error:
                    raise MediaError(SkipReason.UNREADABLE, str(error), hint=error.hint) from error
            source = self._sources[key]
            image = source.find(place.path)
        return source.load(image)


def _is_indexed_file(place: IndexedPlace) -> bool:
    """Tell whether the link's target has the indexed size and time, without opening it. Raises OSError."""
    info = os.stat(place.file)
    recorded = place.stat.size, place.stat.mtime_ns
    return stat.S_ISREG(info.st_mode) and (info.st_size, info.st_mtime_ns) == recorded


def _verify(place: IndexedPlace, content: Content) -> bytes:
    """Verify that the picture is the indexed one, and return its sha256. Raises ContentChangedError."""
    if not place.has_picture_hash:
        return hashlib.sha256(content.data).digest()
    is_same_file = content.stat != UNKNOWN_STAT and place.stat.same_as(content.stat)
    if not is_same_file and hashlib.sha256(content.data).digest() != place.content_hash:
        raise _changed_error(place, CONTENT_CHANGED)
    return place.content_hash


def _changed_error(place: IndexedPlace, reason: str) -> ContentChangedError:
    kind = "picture" if is_url(place.shown) else "file"
    return ContentChangedError(reason, f"this {kind} changed since it was indexed: index again")
