"""Pictures as files of an export: copied, or linked to where they lie."""

from __future__ import annotations

import os
from pathlib import Path

from imseek.exports.base import Job
from imseek.exports.pictures import Picture, Row
from imseek.exports.webdataset import key_of


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
        """Puts it into a folder of the export, which is there. Returns its name from the folder of the export."""
        name = f"{folder}/{key_of(row['image_id'])}.{picture.ending}"
        made = self._folder / name
        if self._link is not None and picture.file is not None and self._linked(picture.file, made):
            self.linked += 1
        else:
            made.write_bytes(picture.data)
            self.copied += 1
        return name

    def notes(self) -> tuple[str, ...]:
        if self._link is None or not self.copied:
            return ()
        return (f"{self.copied:,} pictures could not be linked, and are copied",)

    def _linked(self, file: bytes, made: Path) -> bool:
        try:
            if self._link == "symbolic":
                made.symlink_to(os.path.realpath(os.fsdecode(file)))
            else:
                made.hardlink_to(os.path.realpath(os.fsdecode(file)))
        except OSError:
            return False
        return True
