"""The desktop's trash: files go there through send2trash, and are found again by the record that it keeps of each.

On Linux that is the Trash specification of freedesktop.org: ``files/<name>`` with ``info/<name>.trashinfo`` beside, in
the user's home, and in ``.Trash/<uid>`` or ``.Trash-<uid>`` at the top of other file systems.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final
from urllib.parse import unquote_to_bytes

from imseek.data import safe_path
from imseek.data.safe_path import ChangingError, SafePath

_INFO: Final = b".trashinfo"
#: Bytes of a record that are read: a path is quoted, and has 4,096 bytes at most.
_RECORD_BYTES: Final = 1 << 16


def send(path: bytes, sha256: bytes) -> bytes | None:
    """Move a file to the trash; returns where it lies there, None if it cannot be found. Raises OSError."""
    from send2trash import send2trash

    send2trash(os.fsdecode(path))
    place = find(path, sha256)
    if place is not None:
        _sync(place)
    return place


def find(path: bytes, sha256: bytes) -> bytes | None:
    """Where a file that lay at ``path`` lies in the trash: the last one deleted from there, with these bytes."""
    found = []
    for trash, top in _trashes(path):
        for name, deleted in _records(trash, top, path):
            found.append((deleted, os.path.join(trash, b"files", name)))
    places = [place for _, place in sorted(found, reverse=True)]
    for place in places or _without_record(path):
        with suppress(OSError, ChangingError), safe_path.open_parent(SafePath.of(place)) as at:
            if safe_path.read_content(at).sha256 == sha256:
                return place
    return None


def _without_record(path: bytes) -> list[bytes]:
    """Files in the trash by the name that a file had, of which no record tells where they were: a power cut."""
    found = []
    stem = os.path.splitext(os.path.basename(path))[0]
    for trash, _ in _trashes(path):
        for folder in (os.path.join(trash, b"files"), trash):  # The latter on macOS.
            with suppress(OSError):
                for name in sorted(os.listdir(folder)):
                    if name.startswith(stem) and not _facts(os.path.join(trash, b"info", name + _INFO)):
                        found.append(os.path.join(folder, name))
    return found


def _sync(place: bytes) -> None:
    """Make a file in the trash durable, with its record, as far as that can be done."""
    folder, name = os.path.split(place)
    info = os.path.join(os.path.dirname(folder), b"info")
    for path in (os.path.join(info, name + _INFO), info, folder):
        with suppress(OSError):
            fd = os.open(path, os.O_RDONLY)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)


def is_place(place: bytes) -> bool:
    """Whether a path is one that a trash gives to files: in the user's own, or at the top of the path's file system."""
    folder = os.path.dirname(place)
    return any(folder in (os.path.join(trash, b"files"), trash) for trash, _ in _trashes(place))


def forget(path: bytes, place: bytes | None = None) -> None:
    """Clear away the record of a file that was taken out of its ``place`` in a trash, or, where that is not known, all
    records of files that lay at ``path`` and are not in the trash: a kill came between the record and the move."""
    if place is not None and is_place(place):
        folder, name = os.path.split(place)
        with suppress(OSError):
            os.unlink(os.path.join(os.path.dirname(folder), b"info", name + _INFO))
        return
    for trash, top in _trashes(path):
        for name, _ in _records(trash, top, path):
            if not os.path.lexists(os.path.join(trash, b"files", name)):
                with suppress(OSError):
                    os.unlink(os.path.join(trash, b"info", name + _INFO))


def _trashes(path: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Folders of trash that a file may be in, with the folder that their records are relative to."""
    home = os.path.expanduser(os.environb.get(b"XDG_DATA_HOME", b"~/.local/share"))
    yield os.path.join(home, b"Trash"), home
    yield os.path.expanduser(b"~/.Trash"), home  # macOS, which keeps no records that we can read.
    top = Path(os.fsdecode(os.path.realpath(os.path.dirname(path))))
    while not top.is_mount() and top != top.parent:
        top = top.parent
    root, user = os.fsencode(top), str(os.getuid()).encode()
    yield os.path.join(root, b".Trash", user), root
    yield os.path.join(root, b".Trash-" + user), root


def _records(trash: bytes, top: bytes, path: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Names of files that lay at ``path``, and when they were deleted, as written there."""
    folder = os.path.join(trash, b"info")
    try:
        names = os.listdir(folder)
    except OSError:
        return
    stem = os.path.splitext(os.path.basename(path))[0]
    for name in names:
        if not name.endswith(_INFO) or not name.startswith(stem):  # A number may stand behind it.
            continue
        facts = _facts(os.path.join(folder, name))
        place = os.path.join(top, unquote_to_bytes(facts.get(b"Path", b"")))
        if os.path.normpath(place) in (path, os.path.realpath(path)):
            yield name.removesuffix(_INFO), facts.get(b"DeletionDate", b"")


def _facts(record: bytes) -> dict[bytes, bytes]:
    """What a record says; nothing where it is not there, or empty."""
    try:
        with safe_path.open_parent(SafePath.of(record)) as at:
            lines = safe_path.read_head(at, _RECORD_BYTES).splitlines()
    except (OSError, ChangingError):
        return {}
    return dict(line.split(b"=", 1) for line in lines if b"=" in line)
