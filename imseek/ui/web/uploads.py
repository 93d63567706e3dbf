"""Uploaded pictures under their SHA-256, where links and saved searches find them again.

They lie in ``<home>/uploads``, readable by this user only. The folder is bounded: the least recently used are removed.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Final

from imseek import media
from imseek.errors import ImseekError, MediaError, QueryError
from imseek.home import write_atomically
from imseek.media import Limits

#: Maximum bytes of one picture, and of all.
MAX_BYTES: Final = 32 << 20
MAX_TOTAL_BYTES: Final = 512 << 20
_LIMITS: Final = Limits(max_bytes=MAX_BYTES)
_HASH: Final = re.compile(r"[0-9a-f]{64}")


def save_upload(home: Path, data: bytes, label: str = "the picture") -> str:
    """Store a picture and return its SHA-256 in hex.

    Raises QueryError if it is no picture or too large, ImseekError if it cannot be written.
    """
    try:
        media.decode(data, min_side=64, limits=_LIMITS, measured=False)
    except MediaError as error:
        hint = error.hint or "try another file: JPEG, PNG, WebP, GIF, TIFF, BMP or AVIF"
        raise QueryError(f"cannot search with {label}: {error}", hint=hint) from error
    name = sha256(data).hexdigest()
    folder = home / "uploads"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        _make_room(folder, len(data), name)
        write_atomically(folder / name, data)
    except OSError as error:
        raise ImseekError(
            f"cannot keep the picture in {folder}: {error.strerror or error}",
            hint="make room, or set IMSEEK_HOME",
        ) from error
    return name


def load_upload(home: Path, name: str) -> bytes:
    """Read the picture with this SHA-256. Raises QueryError if it is not stored (any more)."""
    if _HASH.fullmatch(name):
        path = home / "uploads" / name
        with suppress(OSError):
            data = path.read_bytes()
            if sha256(data).hexdigest() == name:
                with suppress(OSError):
                    os.utime(path)  # Marks it as recently used.
                return data
    raise QueryError(
        "a picture of this search is not on this machine any more",
        hint="drop it on the page again, or remove it",
    )


def _make_room(folder: Path, size: int, name: str) -> None:
    """Remove the oldest pictures to make room for ``size`` bytes."""
    files = []
    for path in folder.iterdir():
        with suppress(OSError):  # Another page may remove it meanwhile.
            stat = path.stat()
            files.append((stat.st_mtime_ns, stat.st_size, path))
    used = sum(one[1] for one in files if one[2].name != name)
    for _, file_size, path in sorted(files):
        if used + size <= MAX_TOTAL_BYTES:
            return
        if path.name != name:
            with suppress(OSError):
                path.unlink()
            used -= file_size
