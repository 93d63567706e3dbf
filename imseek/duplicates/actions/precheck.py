"""Check files immediately before acting on them: they must still be what the plan says."""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from imseek.data import layout
from imseek.data.catalog.catalog_writer import LIVE, QUARANTINED
from imseek.data.catalog.changeset import Placement
from imseek.data.catalog.quarantined_duplicates import CatalogImage, LiveSource
from imseek.data.user_files import file_copies, safe_path
from imseek.data.user_files.file_stat import FileStat
from imseek.data.user_files.safe_path import ChangingError, Content, FolderEntry, SafePath
from imseek.duplicates.action_results import PlannedFile
from imseek.duplicates.actions.journal_records import Intent
from imseek.duplicates.actions.plans import LINK_ACTIONS, OTHER_DEVICE, locate_file
from imseek.errors import UnsafePathError
from imseek.media.formats import sniff
from imseek.types.indexing_runs import FOLDER_KINDS
from imseek.types.pictures import display_path

GONE: Final = "it is not there any more"
CHANGED: Final = "it has changed since the plan was made"
NO_CLONES: Final = "this file system cannot share blocks between files"
#: Number of leading bytes read to recognise a picture.
_HEAD: Final = 4096
#: A file modified this shortly before it was read may change again without a new timestamp.
_RACY_NS: Final = 2_000_000_000


class LeftAloneError(Exception):
    """A file is left alone, for this reason. Never raised outside this package."""


class AlreadyDoneError(LeftAloneError):
    """The action on a file is already done."""


@dataclass(frozen=True, slots=True)
class CheckedFile:
    """A file that passed the checks: its catalog entry, its source, its path and its content when read."""

    image: CatalogImage
    source: LiveSource
    spot: SafePath
    content: Content


class Prechecker:
    """Reads and checks files and their keepers. A keeper that is unchanged since it was read is not read again.

    ``tagged`` are the images that already have the plan's tag.
    """

    def __init__(
        self, sources: Mapping[int, LiveSource], images: Mapping[int, CatalogImage], tagged: Collection[int]
    ) -> None:
        self._tagged = tagged
        self._sources = dict(sources)
        self._images = images
        self._keepers: dict[bytes, tuple[Content, int]] = {}
        #: By file system: whether files can share blocks.
        self._clones: dict[int, bool] = {}

    def spot(self, file: PlannedFile) -> SafePath:
        """Return the path of a file according to the catalog. Raises LeftAloneError."""
        image, source, _ = self._place(file.image_id)
        return safe_path_of(source, image.path)

    def _place(self, image_id: int) -> tuple[CatalogImage, LiveSource, bytes]:
        """Return an image's catalog entry, source and path. Raises LeftAloneError."""
        image = self._images.get(image_id)
        path, trouble = locate_file(image, self._sources)
        if trouble:
            raise LeftAloneError(trouble)
        assert image is not None
        assert image.source_id is not None
        return image, self._sources[image.source_id], path

    def _place_by_plan(self, file: PlannedFile) -> tuple[CatalogImage, LiveSource]:
        """As :meth:`_place`, for a file that must be where the plan says. Raises LeftAloneError."""
        image, source, path = self._place(file.image_id)
        if path != file.path:
            raise LeftAloneError(f"it lies elsewhere now: {display_path(path)}")
        return image, source

    def is_already_done(self, file: PlannedFile) -> bool:
        """Return whether the action is done: the image is quarantined and its file gone from its place, or it has the
        tag."""
        image = self._images.get(file.image_id)
        if image is None or image.content_hash.hex() != file.content_hash:
            return False
        if file.action == "tag" and file.image_id in self._tagged:
            return True
        return image.state == QUARANTINED and (image.source_id is None or self.is_absent(file))

    def is_absent(self, file: PlannedFile) -> bool:
        """Return whether nothing is at the place of a file. Raises LeftAloneError."""
        with translate_errors():
            try:
                with safe_path.open_parent(self.spot(file)) as at:
                    return safe_path.stat_entry(at) is None
            except FileNotFoundError:
                return True

    def ready(self, file: PlannedFile, keeper: PlannedFile) -> CheckedFile:
        """Check a file and its keeper before acting on the file. Raises LeftAloneError."""
        image, source = self._place_by_plan(file)
        if image.content_hash.hex() != file.content_hash:
            raise LeftAloneError("the collection has other bytes of it by now")
        if image.state not in (LIVE, QUARANTINED):
            raise LeftAloneError(f"it is {image.state}")
        spot = safe_path_of(source, image.path)
        with translate_errors(), safe_path.open_parent(spot) as at:
            content = self.check(at, file.content_hash)
            if file.action != "tag":
                check_writable(at)
        self.verify_keeper(keeper, None if file.action == "tag" else content, file)
        if file.action == "reflink" and not self._can_clone(content.info.st_dev, spot, keeper):
            raise LeftAloneError(NO_CLONES)
        return CheckedFile(image, source, spot, content)

    def _can_clone(self, device: int, spot: SafePath, keeper: PlannedFile) -> bool:
        """Return whether a file, on this device, can share the blocks of its keeper there. Raises LeftAloneError."""
        if device not in self._clones:
            with (
                translate_errors(),
                safe_path.open_parent(spot) as at,
                safe_path.open_parent(SafePath.of(keeper.path)) as source,
            ):
                self._clones[device] = file_copies.can_clone(source, at.folder)
        return self._clones[device]

    def check(self, at: FolderEntry, content_hash: str) -> Content:
        """Read a file. Raises LeftAloneError if its hash differs or it is not a picture, OSError, ChangingError."""
        info = safe_path.stat_entry(at)
        if info is None:
            raise LeftAloneError(GONE)
        if stat.S_ISLNK(info.st_mode):
            raise LeftAloneError("it is a symbolic link: the picture lies elsewhere")
        if not stat.S_ISREG(info.st_mode):
            raise LeftAloneError("it is not a regular file")
        content = safe_path.read_content(at)
        if content.sha256.hex() != content_hash:
            raise LeftAloneError(CHANGED)
        check_picture(at)
        return content

    def verify_keeper(self, keeper: PlannedFile, content: Content | None, file: PlannedFile) -> Content:
        """Check that the keeper is intact, in its place and not the very file to be removed. Raises LeftAloneError."""
        try:
            if keeper.collection is None:
                image, _ = self._place_by_plan(keeper)
                if image.state != LIVE:
                    raise LeftAloneError(f"it is {image.state}")
            keeper_content = self._keeper(keeper)
        except LeftAloneError as error:
            raise LeftAloneError(f"its keeper: {error}") from error
        if content is not None and os.path.samestat(content.info, keeper_content.info):
            reason = "it is the keeper under another name (a hard link): there are no two copies"
            raise AlreadyDoneError(reason) if file.action == "hard-link" else LeftAloneError(reason)
        if content is not None and file.action in LINK_ACTIONS:
            if content.sha256 != keeper_content.sha256:
                raise LeftAloneError("it has other bytes than the keeper")
            if content.info.st_dev != keeper_content.info.st_dev:
                raise LeftAloneError(OTHER_DEVICE)
        return keeper_content

    def _keeper(self, keeper: PlannedFile) -> Content:
        with translate_errors(), safe_path.open_parent(SafePath.of(keeper.path)) as at:
            if (before := self._keepers.get(keeper.path)) is not None:
                content, read_ns = before
                info = safe_path.stat_entry(at)
                racy = max(content.info.st_mtime_ns, content.info.st_ctime_ns) > read_ns - _RACY_NS
                if info is not None and safe_path.is_unchanged(info, content.info) and not racy:
                    return content
            now = time.time_ns()
            content = self.check(at, keeper.content_hash)
            self._keepers[keeper.path] = content, now
            return content


def safe_path_of(source: LiveSource, path: bytes) -> SafePath:
    """Return the path of a source's file. Below the root of a folder source, links are not followed."""
    if source.kind in FOLDER_KINDS:
        return SafePath(source.root, path)
    return SafePath.of(os.path.join(source.root, path) if path else source.root)


def quarantine_path(source: LiveSource, spot: SafePath, device: int, to: bytes | None) -> tuple[SafePath, bytes]:
    """Return where a file goes in quarantine, provided nothing is there, and the quarantine folder.

    By default the quarantine is in the topmost folder of the source on the file's own disk, so that moving is one
    rename.
    """
    if to is not None:
        return SafePath(to, spot.inner), to
    top, inner = os.path.dirname(spot.full), os.path.basename(spot.full)
    while top != spot.base:
        above = os.path.dirname(top)
        if os.stat(above).st_dev != device:
            break
        top, inner = above, os.path.join(os.path.basename(top), inner)
    folder = os.fsencode(layout.QUARANTINE)
    return SafePath(top, os.path.join(folder, inner)), os.path.join(top, folder)


def current_placings(intents: Sequence[Intent]) -> Iterator[Placement]:
    """Yield the current stat of the files of intents; missing files are skipped."""
    for intent in intents:
        try:
            info = os.lstat(intent.full)
        except OSError:
            continue
        inode = info.st_ino & (2**63 - 1)
        file_stat = FileStat(info.st_size, info.st_mtime_ns, info.st_ctime_ns, inode, time.time_ns())
        yield Placement(intent.image_id, intent.source_id, intent.path, file_stat)


def check_picture(at: FolderEntry) -> None:
    """Raise LeftAloneError for a file that is not a picture, which no scan would index. Raises OSError, ChangingError.

    A catalog, plan or journal written by someone else may name any file.
    """
    if sniff(safe_path.read_head(at, _HEAD)) is None:
        raise LeftAloneError("it is not a picture")


def check_writable(at: FolderEntry) -> None:
    """Raise LeftAloneError if the system says that entries of the folder cannot be changed."""
    if not os.access(b".", os.W_OK | os.X_OK, dir_fd=at.folder):
        raise LeftAloneError("its folder cannot be written")


@contextmanager
def translate_errors() -> Iterator[None]:
    """Convert system and path errors to LeftAloneError."""
    try:
        yield
    except (ChangingError, UnsafePathError) as error:
        raise LeftAloneError(str(error)) from error
    except FileExistsError as error:
        raise LeftAloneError("something lies where it was to go") from error
    except OSError as error:
        raise LeftAloneError(describe_error(error)) from error


def describe_error(error: OSError) -> str:
    if error.errno == errno.ELOOP or (error.errno == errno.ENOTDIR):
        return "a symbolic link, or a file, lies on the way to it"
    if error.errno == errno.ENOENT:
        return GONE
    if error.errno == errno.ENOSPC:
        return "there is no room left on the disk"
    return str(error.strerror or error)
