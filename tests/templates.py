"""Collections that are indexed once in each process of tests and copied for each test that needs one."""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import imseek
from imseek.data import layout
from imseek.data.catalog.sqlite import catalog_checksums


class Templates:
    """``templates.indexed(root, folder)`` in place of ``create(root)`` and ``index([folder])``: a tenth of the time."""

    def __init__(self, base: Path) -> None:
        self._base = base

    def empty(self, root: Path) -> Path:
        """A collection at ``root`` with the fake encoder and no pictures."""
        template = self._base / "empty"
        if not template.exists():
            imseek.create(template, encoder="fake").close()
        return shutil.copytree(template, root)

    def made(self, root: Path, make: Callable[[Path], object]) -> Path:
        """At ``root`` a copy of what ``make`` makes at a path, once. Pictures stay where it put them."""
        template = self._base / f"{make.__module__}.{make.__qualname__}"
        if not template.exists():
            try:
                make(template)
            except BaseException:
                shutil.rmtree(template, ignore_errors=True)  # The next test shall meet the same error.
                raise
        return shutil.copytree(template, root)

    def indexed(self, root: Path, folder: Path, *, encoder: str = "fake", checked_ns: int | None = None) -> Path:
        """A collection at ``root`` of the pictures in ``folder``, with the stat that their files have now.

        ``checked_ns`` is the time at which the catalog says that it looked at them: now, unless it is given.
        """
        template = self._base / f"{encoder.replace(':', '-')}-{_digest(folder)}"
        if not template.exists():
            source = shutil.copytree(folder, template / "source")
            with imseek.create(template / "collection", encoder=encoder) as collection:
                collection.index([source])
        shutil.copytree(template / "collection", root)
        _lead(root, folder, time.time_ns() if checked_ns is None else checked_ns)
        return root


def _digest(folder: Path) -> str:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    pairs = [(str(path.relative_to(folder)), hashlib.sha256(path.read_bytes()).hexdigest()) for path in files]
    return hashlib.sha256(repr(pairs).encode()).hexdigest()


def _lead(root: Path, folder: Path, checked_ns: int) -> None:
    """Let the catalog say that its pictures are in ``folder``."""
    with closing(sqlite3.connect(root / layout.CATALOG)) as connection, connection:
        connection.execute("UPDATE sources SET root = ?", [os.fsencode(folder)])
        places = connection.execute("SELECT place_id, path FROM places").fetchall()
        for place_id, path in places:
            info = (folder / os.fsdecode(path)).stat()
            stat = (info.st_size, info.st_mtime_ns, info.st_ctime_ns, info.st_ino, checked_ns, place_id)
            connection.execute(
                "UPDATE places SET size = ?, mtime_ns = ?, ctime_ns = ?, inode = ?, checked_ns = ? WHERE place_id = ?",
                stat,
            )
    recorded = catalog_checksums.read(root).with_digest(layout.CATALOG, catalog_checksums.digest_catalog(root))
    (root / layout.CHECKSUMS).write_bytes(catalog_checksums.encode_checksums(recorded))
