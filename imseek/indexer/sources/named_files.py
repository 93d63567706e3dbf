"""Single files and URLs as a source, from the command line, standard input or a file of names."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from imseek.data.catalog.place_paths import is_url
from imseek.data.user_files.file_stat import UNKNOWN_STAT
from imseek.errors import MediaError
from imseek.indexer.sources.base import (
    MISSING,
    Container,
    Content,
    FoundImage,
    SidecarContent,
    UnreachableEntry,
)
from imseek.indexer.sources.folder import quarantine_of
from imseek.indexer.sources.local_files import (
    FileOpener,
    SidecarFinder,
    find_file,
    load_sidecars,
    read_file,
    trouble_at,
    with_sidecars,
)
from imseek.indexer.sources.web import FETCH_THREADS, WEB_STAT, WebReader
from imseek.types.pictures import SkipReason, display_path


class FileList:
    """A list of absolute paths and URLs. Reads a named file whatever its ending."""

    def __init__(
        self, names: Sequence[bytes], *, allow_private: bool = False, opener: FileOpener | None = None
    ) -> None:
        self._names = names
        self._opener = FileOpener(b"") if opener is None else opener
        self._web = WebReader(allow_private=allow_private)
        self.notes: list[str] = []
        self._folders: dict[bytes, bytes | None] = {}
        self._beside = SidecarFinder()
        self.threads = FETCH_THREADS if any(map(is_url, names)) else 0

    def trouble(self) -> str | None:
        return None

    def scan(self) -> Iterator[FoundImage | Container | UnreachableEntry]:
        for name in self._names:
            if not is_url(name) and (away := self._put_away(os.path.dirname(name))) is not None:
                self.notes.append(f"{display_path(name)} lies in {display_path(away)}, where pictures are put away")
                continue
            try:
                yield FoundImage(name, WEB_STAT) if is_url(name) else self._beside.add(find_file(name, name), name)
            except MediaError as error:
                # `is_gone` reports files that disappeared; this one may never have existed.
                yield UnreachableEntry(name, SkipReason(error.reason), str(error))
            except OSError as error:
                yield UnreachableEntry(name, SkipReason.UNREADABLE, str(error.strerror))

    def _put_away(self, folder: bytes) -> bytes | None:
        if folder not in self._folders:
            self._folders[folder] = quarantine_of(folder)
        return self._folders[folder]

    def expand(self, container: Container) -> Iterator[FoundImage | UnreachableEntry]:
        return iter(())

    def load(self, image: FoundImage) -> Content:
        if is_url(image.path):
            return self._web.load(image)
        return with_sidecars(read_file(self._opener.open_named(image.path)), image, image.path)

    def load_sidecars(self, image: FoundImage) -> SidecarContent:
        return load_sidecars(image, image.path)

    def portable(self, image: FoundImage) -> FoundImage | Content:
        return image

    def find(self, path: bytes) -> FoundImage:
        return FoundImage(path, UNKNOWN_STAT)

    def is_gone(self, path: bytes) -> bool:
        """Tell whether a file has disappeared; only if its folder exists, since a disk may not be mounted."""
        return not is_url(path) and trouble_at(path) == MISSING and trouble_at(os.path.dirname(path)) is None

    def close(self) -> None:
        self._web.close()
