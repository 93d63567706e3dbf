"""The files beside a picture: which they are, and whether they have changed since they were read."""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Container, Iterable, Iterator, Sequence
from typing import Final

from imseek.data.user_files.file_stat import RACY_NS, UNKNOWN_SIDECARS
from imseek.indexer.sources.filters import IMAGE_SUFFIXES, looks_like_picture

#: Endings of files that lie beside a picture.
SIDECAR_ENDINGS: Final = (b".txt", b".json", b".xmp")

#: Text that Google Takeout puts between the name of a picture and ``.json``, and the length to which it cuts names.
_TAKEOUT: Final = ".supplemental-metadata"
_TAKEOUT_LENGTH: Final = 46
#: The number that Takeout gives to a second picture of the same name, and where it stands.
_NUMBERED: Final = re.compile(r"(.+)(\(\d+\))(\.[^.]+)")


def is_sidecar(name: bytes) -> bool:
    """Tell whether a file, by its name, may lie beside a picture."""
    return name.endswith(SIDECAR_ENDINGS)


class SidecarNames(frozenset[bytes]):
    """Names in a folder of files that may lie beside pictures; ``endings`` are those that occur, in their order."""

    endings: Sequence[bytes]

    def __new__(cls, names: Iterable[bytes] = ()) -> SidecarNames:
        """Choose among ``names``, those of all files in the folder."""
        sidecars = super().__new__(cls, (name for name in names if name.endswith(SIDECAR_ENDINGS)))
        sidecars.endings = [ending for ending in SIDECAR_ENDINGS if any(name.endswith(ending) for name in sidecars)]
        return sidecars


def find_sidecars(
    picture: bytes, names: Container[bytes], key: bytes = b"", endings: Sequence[bytes] = SIDECAR_ENDINGS
) -> dict[bytes, bytes]:
    """Find the files beside ``picture``, a name or path, among ``names``; by ending, at most one of each.

    For ``a.jpg`` these are ``a.txt``, else ``a.jpg.txt``; ``a.json``, else ``a.jpg.json``, else a name as Google
    Takeout gives it; ``a.jpg.xmp``, else ``a.xmp``. If none exists, files named ``key`` count, if given. Only those
    with one of ``endings`` are looked for.
    """
    sidecars = {}
    stem = os.path.splitext(picture)[0]
    for ending in endings:
        stems = [picture, stem] if ending == b".xmp" else [stem, picture]
        if ending == b".json":
            stems += _takeout_stems(picture)
        for candidate in (*stems, key) if key else stems:
            if candidate + ending in names:
                sidecars[ending] = candidate + ending
                break
    return sidecars


def sidecars_of(full: bytes, names: SidecarNames) -> tuple[bytes, ...]:
    """Return the paths of the files beside the picture at ``full``, given the names in its folder."""
    folder, name = os.path.split(full)
    sidecars = find_sidecars(name, names, endings=names.endings)
    return tuple(os.path.join(folder, beside) for beside in sidecars.values())


def pictures_beside(sidecar: bytes) -> list[bytes]:
    """Return the pictures that a file lies beside, whether it exists or not. Lists no folder.

    Names that Google Takeout has numbered are not found.
    """
    stem = os.path.splitext(sidecar)[0]
    stems = [stem]
    while (stem := os.path.splitext(stem)[0]) != stems[-1]:
        stems.append(stem)
    endings = [b"", *IMAGE_SUFFIXES, *(ending.upper() for ending in IMAGE_SUFFIXES)]
    candidates = (stem + ending for stem in stems for ending in (endings if stem == stems[0] else [b""]))
    return [
        picture
        for picture in candidates
        if looks_like_picture(picture) and os.path.exists(picture) and find_sidecars(picture, {sidecar})
    ]


def names_in(folder: bytes) -> SidecarNames:
    """Return the names in a folder of files that may lie beside pictures; none if it cannot be read."""
    try:
        return SidecarNames(os.listdir(folder))
    except OSError:
        return SidecarNames()


def stat_sidecars(paths: Sequence[bytes]) -> str:
    """Return a digest of the stats of these files, which changes when one does; empty if there are none."""
    stats = list(_stats(paths))
    return hashlib.blake2b(repr(stats).encode(), digest_size=16).hexdigest() if stats else ""


def settled_stat(paths: Sequence[bytes]) -> str:
    """Return :func:`stat_sidecars`, to record for files that are read next.

    It is unknown where one has been changed so recently that it may change again without a new time stamp.
    """
    newest = max((max(mtime, ctime) for _, _, mtime, ctime, _ in _stats(paths)), default=0)
    return UNKNOWN_SIDECARS if newest > time.time_ns() - RACY_NS else stat_sidecars(paths)


def _stats(paths: Sequence[bytes]) -> Iterator[tuple[bytes, int, int, int, int]]:
    for path in paths:
        try:
            info = os.stat(path)
        except OSError:
            continue
        yield os.path.basename(path), info.st_size, info.st_mtime_ns, info.st_ctime_ns, info.st_ino


def _takeout_stems(picture: bytes) -> Iterator[bytes]:
    """Yield the names, without ending, that Google Takeout may give to the JSON of a picture."""
    folder, slash, name = picture.rpartition(b"/")
    text = name.decode("utf-8", "surrogateescape")
    numbered = _NUMBERED.fullmatch(text)
    for base, number in ((text, ""), *(((numbered[1] + numbered[3], numbered[2]),) if numbered else ())):
        full_name = base + _TAKEOUT
        shortened = range(min(_TAKEOUT_LENGTH, len(full_name)), min(len(base), _TAKEOUT_LENGTH - 1), -1)
        for length in (len(full_name), *shortened, *([len(base)] if number else [])):
            yield folder + slash + (full_name[:length] + number).encode("utf-8", "surrogateescape")
