"""Pictures as files of an export: copied, or linked to where they lie."""

from __future__ import annotations

import os
from pathlib import Path

from imseek.errors import CorruptCollectionError
from imseek.exports.base import Job
from imseek.exports.image_files import Picture, Row
from imseek.exports.webdataset import key_of
from imseek.indexer.sources.files import file_stat


class Copies:
    """``linked`` is how many are links; what cannot be linked, as it lies in an archive or on another disk, is copied.

    Names are ids: they meet no other, on no file system, and no program takes them for anything else.
    """

    def __init__(self, job: Job) -> None:
        self._folder = job.path
        self._link = job.options.link
        self.linked = 0
        self.copied = 0

    def add(self, folder: str, row: Row, picture: Picture) -> str:
        """Puts it into a folder of the export, which is there. Returns its name from the folder of the export.

        Raises CorruptCollectionError for a second image of the same id.
        """
        name = f"{folder}/{key_of(row['image_id'])}.{picture.ending}"
        made = self._folder / name
        if self._link is not None and self._linked(picture, made):
            self.linked += 1
        else:
            try:
                # Never over what is there: that may be a link to a picture of the user.
                with made.open("xb") as file:
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

    def _linked(self, picture: Picture, made: Path) -> bool:
        """Whether ``made`` is a link to the very file that was read; there is none where something else lies there."""
        if picture.file is None or picture.stat is None:
            return False
        target = os.path.realpath(os.fsdecode(picture.file))
        try:
            if self._link == "symbolic":
                made.symlink_to(target)
            else:
                made.hardlink_to(target)
        except OSError:
            return False
        try:
            info = made.stat()
            # A hard link is a change (ctime) of the file it leads to.
            is_same = file_stat(info).has_bytes_of(picture.stat)
        except OSError:
            is_same = False
        if not is_same:
            made.unlink()
        return is_same
