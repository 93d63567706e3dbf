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

from imseek.data import moving
from imseek.data.moving import ChangingError, Spot

_INFO: Final = b".trashinfo"


def send(path: bytes, sha256: bytes) -> bytes | None:
    """Move a file to the trash; returns where it lies there, None if it cannot be found. Raises OSError."""
    from send2trash import send2trash

    send2trash(os.fsdecode(path))
    return find(path, sha256)


def find(path: bytes, sha256: bytes) -> bytes | None:
    """Where a file that lay at ``path`` lies in the trash: the last one deleted from there, with these bytes."""
    found = []
    for trash, top in _trashes(path):
        for name, deleted in _records(trash, top, path):
            found.append((deleted, os.path.join(trash, b"files", name)))
    for _, place in sorted(found, reverse=True):
        with suppress(OSError, ChangingError), moving.opened(spot(place)) as at:
            if moving.read(at).sha256 == sha256:
                return place
    return None


def forget(path: bytes, place: bytes | None = None) -> None:
    """Clear away the record of a file that was taken out of its ``place``, or, where that is not known, all records of
    files that lay at ``path`` and are not in the trash: a kill came between the record and the move."""
    if place is not None:
        folder, name = os.path.split(place)
        with suppress(OSError):
            os.unlink(os.path.join(os.path.dirname(folder), b"info", name + _INFO))
        return
    for trash, top in _trashes(path):
        for name, _ in _records(trash, top, path):
            if not os.path.lexists(os.path.join(trash, b"files", name)):
                with suppress(OSError):
                    os.unlink(os.path.join(trash, b"info", name + _INFO))


def spot(place: bytes) -> Spot:
    return Spot(os.path.dirname(place), os.path.basename(place))


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
        with suppress(OSError):
            lines = Path(os.fsdecode(os.path.join(folder, name))).read_bytes().splitlines()
            facts = dict(line.split(b"=", 1) for line in lines if b"=" in line)
            place = os.path.join(top, unquote_to_bytes(facts.get(b"Path", b"")))
            if os.path.normpath(place) in (path, os.path.realpath(path)):
                yield name.removesuffix(_INFO), facts.get(b"DeletionDate", b"")
