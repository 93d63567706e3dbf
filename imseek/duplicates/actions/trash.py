"""The desktop's trash: send files there with send2trash, and find them again by the trash's record of each.

On Linux this is the freedesktop.org Trash specification: ``files/<name>`` with ``info/<name>.trashinfo``, in the user's
home, and in ``.Trash/<uid>`` or ``.Trash-<uid>`` at the top of other file systems.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final
from urllib.parse import unquote_to_bytes

from imseek.data.user_files import safe_path
from imseek.data.user_files.safe_path import ChangingError, SafePath

_INFO_SUFFIX: Final = b".trashinfo"
#: Number of bytes read of a record; a path has at most 4,096 bytes before quoting.
_RECORD_BYTES: Final = 1 << 16


def send(path: bytes, sha256: bytes) -> bytes | None:
    """Move a file to the trash; return its path there, or None if it cannot be found. Raises OSError."""
    from send2trash import send2trash

    send2trash(os.fsdecode(path))
    place = find(path, sha256)
    if place is not None:
        _sync(place)
    return place


def find(path: bytes, sha256: bytes) -> bytes | None:
    """Return the path in the trash of the latest file deleted from ``path`` with these bytes, or None."""
    dated_paths = []
    for trash, top in _trash_folders(path):
        for name, deletion_date in _find_records(trash, top, path):
            dated_paths.append((deletion_date, os.path.join(trash, b"files", name)))
    places = [place for _, place in sorted(dated_paths, reverse=True)]
    for place in places or _find_without_record(path):
        with suppress(OSError, ChangingError), safe_path.open_parent(SafePath.of(place)) as at:
            if safe_path.read_content(at).sha256 == sha256:
                return place
    return None


def _find_without_record(path: bytes) -> list[bytes]:
    """List files in the trash whose names start like ``path`` and that have no record, as after a power cut."""
    paths = []
    stem = os.path.splitext(os.path.basename(path))[0]
    for trash, _ in _trash_folders(path):
        for folder in (os.path.join(trash, b"files"), trash):  # The latter is for macOS.
            with suppress(OSError):
                for name in sorted(os.listdir(folder)):
                    if name.startswith(stem) and not _read_record(os.path.join(trash, b"info", name + _INFO_SUFFIX)):
                        paths.append(os.path.join(folder, name))
    return paths


def _sync(place: bytes) -> None:
    """Make a file in the trash and its record durable where the system allows it."""
    folder, name = os.path.split(place)
    info = os.path.join(os.path.dirname(folder), b"info")
    for path in (os.path.join(info, name + _INFO_SUFFIX), info, folder):
        with suppress(OSError):
            fd = os.open(path, os.O_RDONLY)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)


def is_trash_path(place: bytes) -> bool:
    """Return whether a path is directly inside the user's trash or a trash of the path's file system."""
    folder = os.path.dirname(place)
    return any(folder in (os.path.join(trash, b"files"), trash) for trash, _ in _trash_folders(place))


def remove_records(path: bytes, place: bytes | None = None) -> None:
    """Delete the record of a file taken out of its ``place`` in the trash.

    If the place is unknown, delete all records of files from ``path`` that are not in the trash: a kill came between
    the record and the move.
    """
    if place is not None and is_trash_path(place):
        folder, name = os.path.split(place)
        with suppress(OSError):
            os.unlink(os.path.join(os.path.dirname(folder), b"info", name + _INFO_SUFFIX))
        return
    for trash, top in _trash_folders(path):
        for name, _ in _find_records(trash, top, path):
            if not os.path.lexists(os.path.join(trash, b"files", name)):
                with suppress(OSError):
                    os.unlink(os.path.join(trash, b"info", name + _INFO_SUFFIX))


def _trash_folders(path: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the trash folders that a file may be in, each with the folder that paths in its records are relative to."""
    home = os.path.expanduser(os.environb.get(b"XDG_DATA_HOME", b"~/.local/share"))
    yield os.path.join(home, b"Trash"), home
    yield os.path.expanduser(b"~/.Trash"), home  # macOS; its records are not readable to us.
    top = Path(os.fsdecode(os.path.realpath(os.path.dirname(path))))
    while not top.is_mount() and top != top.parent:
        top = top.parent
    root, user = os.fsencode(top), str(os.getuid()).encode()
    yield os.path.join(root, b".Trash", user), root
    yield os.path.join(root, b".Trash-" + user), root


def _find_records(trash: bytes, top: bytes, path: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the names in the trash of files from ``path``, with their deletion dates as recorded."""
    folder = os.path.join(trash, b"info")
    try:
        names = os.listdir(folder)
    except OSError:
        return
    stem = os.path.splitext(os.path.basename(path))[0]
    for name in names:
        if not name.endswith(_INFO_SUFFIX) or not name.startswith(stem):  # A number may follow the stem.
            continue
        facts = _read_record(os.path.join(folder, name))
        place = os.path.join(top, unquote_to_bytes(facts.get(b"Path", b"")))
        if os.path.normpath(place) in (path, os.path.realpath(path)):
            yield name.removesuffix(_INFO_SUFFIX), facts.get(b"DeletionDate", b"")


def _read_record(record: bytes) -> dict[bytes, bytes]:
    """Read a record; empty if it is missing or empty."""
    try:
        with safe_path.open_parent(SafePath.of(record)) as at:
            lines = safe_path.read_head(at, _RECORD_BYTES).splitlines()
    except (OSError, ChangingError):
        return {}
    return dict(line.split(b"=", 1) for line in lines if b"=" in line)
