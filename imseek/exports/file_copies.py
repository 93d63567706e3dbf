"""Copy pictures into an export, or link them to their originals."""

from __future__ import annotations

import os
from pathlib import Path

from imseek.errors import CorruptCollectionError
from imseek.exports.base import ExportJob
from imseek.exports.picture_reader import Picture, Row
from imseek.exports.webdataset import key_of
from imseek.indexer.sources.local_files import file_stat


class FileCopies:
    """Copies or links pictures. Those that cannot be linked, as in an archive or on another disk, are copied.

    ``linked`` counts links. File names are ids, which collide on no file system and mean nothing else to any program.
    """

    def __init__(self, job: ExportJob) -> None:
        self._folder = job.path
        self._link = job.options.link
        self.linked = 0
        self.copied = 0

    def add(self, folder: str, row: Row, picture: Picture) -> str:
        """Add a picture to an existing folder of the export; return its path relative to the export.

        Raises CorruptCollectionError for a second image of the same id.
        """
        name = f"{folder}/{key_of(row['image_id'])}.{picture.ending}"
        path = self._folder / name
        if self._link is not None and self._try_link(picture, path):
            self.linked += 1
        else:
            try:
                # Never overwrite: it may be a link to a user's picture.
                with path.open("xb") as file:
                    file.write(picture.data)
            except FileExistsError as error:
                raise CorruptCollectionError(
                    f"the collection has two images of the id {row['image_id']}",
                    hint="imseek collection verify says more",
                ) from error
            self.copied += 1
        return name

    def notes(self) -> tuple[str, ...]:
        if self._link is None or not self.copied:
            return ()
        return (f"{self.copied:,} pictures could not be linked, and are copied",)

    def _try_link(self, picture: Picture, path: Path) -> bool:
        """Link ``path`` to the file that was read; return False, leaving no link, if that file has been replaced."""
        if picture.file is None or picture.stat is None:
            return False
        target = os.path.realpath(os.fsdecode(picture.file))
        try:
            if self._link == "symbolic":
                path.symlink_to(target)
            else:
                path.hardlink_to(target)
        except OSError:
            return False
        try:
            info = path.stat()
            # Hard-linking changes the ctime of the file.
            is_same = file_stat(info).has_bytes_of(picture.stat)
        except OSError:
            is_same = False
        if not is_same:
            path.unlink()
        return is_same
