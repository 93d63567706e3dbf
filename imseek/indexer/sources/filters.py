"""Which files of a source are looked at: globs, and what is left out unless asked for."""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Sequence
from typing import Final

#: Endings that are taken for pictures. What such a file really holds is told from its content; formats that
#: need a codec we lack are listed too, so that they are skipped with a reason and not in silence.
IMAGE_SUFFIXES: Final = frozenset(
    b".jpg .jpeg .jpe .jfif .png .apng .webp .gif .tif .tiff .bmp .dib .avif .avifs .heic .heif .jxl "
    b".jp2 .j2k .jpx .ppm .pgm .pbm .pnm .tga .ico .qoi".split()
)
#: Folders of photo servers and tools that hold thumbnails or code, beside everything hidden.
EXCLUDED_FOLDERS: Final = frozenset({b"@eaDir", b"#recycle", b"node_modules", b"__MACOSX", b"$RECYCLE.BIN"})


class Filter:
    """Include and exclude globs over paths within a source, and whether hidden names count.

    A pattern without a slash is compared with each name of the path, one with a slash with the whole path and with the
    paths of the folders above; ``*`` stands for slashes too. What is excluded is not included, whatever else matches.
    """

    def __init__(
        self, include: Sequence[str] = (), exclude: Sequence[str] = (), *, hidden: bool = False
    ) -> None:
        self._include = [_Glob(pattern) for pattern in include]
        self._exclude = [_Glob(pattern) for pattern in exclude]
        self._hidden = hidden

    @property
    def chooses(self) -> bool:
        """Whether globs are given."""
        return bool(self._include or self._exclude)

    def enters(self, path: bytes) -> bool:
        """Whether to look into a folder, by its path within the source."""
        name = os.path.basename(path)
        if self._is_hidden(name) or (not self._hidden and name in EXCLUDED_FOLDERS):
            return False
        return not any(glob.matches(path) for glob in self._exclude)

    def takes(self, path: bytes) -> bool:
        """Whether to take a file, by its path within the source; its folders have been entered."""
        if self._is_hidden(os.path.basename(path)) or any(glob.matches(path) for glob in self._exclude):
            return False
        return not self._include or any(glob.matches(path) for glob in self._include)

    def reaches(self, path: bytes, *, folder: bool = False) -> bool:
        """Whether a scan would come to a file (or a ``folder``): to all folders above it, and to it."""
        parts = path.split(b"/")
        above = [b"/".join(parts[: n + 1]) for n in range(len(parts) - 1)]
        return all(map(self.enters, above)) and (self.enters if folder else self.takes)(path)

    def _is_hidden(self, name: bytes) -> bool:
        return not self._hidden and name.startswith(b".")


class _Glob:
    def __init__(self, pattern: str) -> None:
        self._whole = "/" in pattern.rstrip("/")
        self._compiled = re.compile(fnmatch.translate(pattern.strip("/")))

    def matches(self, path: bytes) -> bool:
        text = os.fsdecode(path)
        if not self._whole:
            return any(map(self._compiled.match, text.split("/")))
        parts = text.split("/")
        return any(self._compiled.match("/".join(parts[: n + 1])) for n in range(len(parts)))


def looks_like_picture(path: bytes) -> bool:
    return os.path.splitext(path)[1].lower() in IMAGE_SUFFIXES
