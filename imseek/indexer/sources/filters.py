"""Choose files of a source by globs, and exclude hidden ones by default."""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Sequence
from typing import Final

#: Endings that count as pictures. The content decides what a file really holds; formats that need a missing codec are
#: listed too, so that they are skipped with a reason rather than silently.
IMAGE_SUFFIXES: Final = frozenset(
    b".jpg .jpeg .jpe .jfif .png .apng .webp .gif .tif .tiff .bmp .dib .avif .avifs .heic .heif .jxl "
    b".jp2 .j2k .jpx .ppm .pgm .pbm .pnm .tga .ico .qoi .heics .heifs .hif .svg "
    b".dng .nef .nrw .arw .cr2 .cr3 .crw .orf .rw2 .raf .pef .srw .3fr .mrw .x3f".split()
)
#: Folders of photo servers and tools that hold thumbnails or code, besides everything hidden.
EXCLUDED_FOLDERS: Final = frozenset({b"@eaDir", b"#recycle", b"node_modules", b"__MACOSX", b"$RECYCLE.BIN"})


class Filter:
    """Include and exclude globs over paths within a source, and whether to include hidden names.

    A pattern without a slash is matched against each name in the path, one with a slash against the whole path and its
    parent folders; ``*`` also matches slashes. Exclusion takes precedence.
    """

    def __init__(self, include: Sequence[str] = (), exclude: Sequence[str] = (), *, hidden: bool = False) -> None:
        self._include = [_Glob(pattern) for pattern in include]
        self._exclude = [_Glob(pattern) for pattern in exclude]
        self._hidden = hidden

    @property
    def has_patterns(self) -> bool:
        """Whether globs are given."""
        return bool(self._include or self._exclude)

    def enters(self, path: bytes) -> bool:
        """Tell whether to descend into a folder, by its path within the source."""
        name = os.path.basename(path)
        if self._is_hidden(name) or (not self._hidden and name in EXCLUDED_FOLDERS):
            return False
        return not any(glob.matches(path) for glob in self._exclude)

    def takes(self, path: bytes) -> bool:
        """Tell whether to take a file, by its path within the source; its folders have been entered."""
        if self._is_hidden(os.path.basename(path)) or any(glob.matches(path) for glob in self._exclude):
            return False
        return not self._include or any(glob.matches(path) for glob in self._include)

    def reaches(self, path: bytes, *, folder: bool = False) -> bool:
        """Tell whether a scan would reach a file (or a ``folder``): through all parent folders."""
        parts = path.split(b"/")
        above = [b"/".join(parts[: n + 1]) for n in range(len(parts) - 1)]
        return all(map(self.enters, above)) and (self.enters if folder else self.takes)(path)

    def _is_hidden(self, name: bytes) -> bool:
        """Tell whether a name counts as hidden; "." and "..", which names in archives may contain, do not."""
        return not self._hidden and name.startswith(b".") and name.strip(b".") != b""


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
    """Tell whether a file name has the ending of a picture."""
    return os.path.splitext(path)[1].lower() in IMAGE_SUFFIXES
