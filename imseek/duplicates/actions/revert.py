"""Bring one file back to its place, wherever its action or an earlier attempt to undo it stopped."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Set
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeAlias

from imseek.data import layout
from imseek.data.user_files import file_copies, file_moves, safe_path
from imseek.data.user_files.safe_path import Content, FolderEntry, SafePath
from imseek.duplicates.actions import trash
from imseek.duplicates.actions.execute import (
    move,
    open_existing_parent,
    partial_name,
    replacement_entries,
    target_of,
)
from imseek.duplicates.actions.journal import Journal
from imseek.duplicates.actions.journal_records import Intent, State
from imseek.duplicates.actions.plans import LINK_ACTIONS
from imseek.duplicates.actions.precheck import (
    CHANGED,
    LeftAloneError,
    check_picture,
    check_writable,
    translate_errors,
)
from imseek.duplicates.actions.undo_bounds import has_quarantine_marker, is_filled_folder, quarantine_folder
from imseek.types.pictures import display_path

#: Loads the recorded inodes of copies on demand, see :func:`imseek.duplicates.actions.journal.copied_inodes`.
LoadCopiedInodes: TypeAlias = Callable[[], Mapping[tuple[int, bytes], Set[int]]]

NOT_FOUND = "it is neither at its place nor where it was put"


class GoneError(LeftAloneError):
    """A file cannot be brought back, now or later. ``other`` says that another file is at its place."""

    def __init__(self, reason: str, *, other: bool = False) -> None:
        super().__init__(reason)
        self.other = other


@dataclass(frozen=True, slots=True)
class RevertResult:
    """Result of reverting one file: whether it had to be brought back, and a note about it."""

    moved: bool
    note: str = ""


def revert_file(
    journal: Journal,
    intent: Intent,
    spot: SafePath,
    before: State,
    copied: LoadCopiedInodes,
    unsynced: safe_path.UnsyncedFolders,
    *,
    dry_run: bool,
) -> RevertResult:
    """Bring a file back. ``before`` is its state before this attempt; ``copied`` returns the copies in all journals.

    The result is durable once ``unsynced`` has been synced.

    Raises LeftAloneError, GoneError and StorageError.
    """
    if intent.action == "tag":
        return RevertResult(True)
    with translate_errors():
        if intent.action in LINK_ACTIONS:
            return _separate_from_keeper(journal, intent, spot, dry_run)
        put_away = find_moved_file(journal, intent)
        with open_existing_parent(put_away) as away, open_existing_parent(spot) as home:
            result = _compare_places(journal, intent, before, copied, spot, (put_away, away, home), dry_run)
            if result is not None:
                if intent.action == "trash" and not dry_run:
                    trash_path = journal.trashed.get(intent.n)
                    if trash_path is None or not os.path.lexists(trash_path):
                        trash.remove_records(intent.full, trash_path)
                return result
        _move_back(journal, intent, put_away, spot, unsynced, dry_run)
    return RevertResult(True)


def remove_empty_quarantine(intent: Intent) -> None:
    """Remove the quarantine folders of a file that are empty now, except the marked folder itself."""
    if intent.action == "quarantine" and has_quarantine_marker(intent):
        folder = quarantine_folder(intent)
        safe_path.remove_empty_folders(folder, os.path.dirname(intent.to[len(folder) + 1 :]))


def _check_mounted(intent: Intent, spot: SafePath) -> None:
    """Raise LeftAloneError if a file may still exist on a disk that is not mounted now."""
    if not is_filled_folder(spot.base):
        raise LeftAloneError(f"{display_path(spot.base)} is not there, perhaps not mounted")
    if intent.action == "quarantine" and not has_quarantine_marker(intent):
        folder = quarantine_folder(intent)
        if not is_filled_folder(folder):
            raise LeftAloneError(f"{display_path(folder)} is not there, perhaps not mounted")
        raise LeftAloneError(
            f"{display_path(folder)} is not a quarantine: there is no file {layout.QUARANTINE_MARKER} in it"
        )


def find_moved_file(journal: Journal, intent: Intent) -> SafePath | None:
    """Return where a file was put, or None if unknown; it may no longer be there."""
    if intent.action == "quarantine":
        return target_of(intent) if has_quarantine_marker(intent) else None
    place = journal.trashed.get(intent.n)
    if place is None or not trash.is_trash_path(place) or not os.path.lexists(place):
        place = trash.find(intent.full, bytes.fromhex(intent.content_hash))
    return None if place is None else SafePath.of(place)


def _compare_places(
    journal: Journal,
    intent: Intent,
    before: State,
    copied: LoadCopiedInodes,
    spot: SafePath,
    places: tuple[SafePath | None, FolderEntry | None, FolderEntry | None],
    dry_run: bool,
) -> RevertResult | None:
    """Return the result if the file need not be moved back, or None if it must be.

    Handles a file that is at its place already, or is missing where it was put.
    """
    put_away, away, home = places
    if away is not None and not dry_run:
        file_moves.unlink_durably(FolderEntry(away.folder, partial_name(journal, intent)))
    away_info = None if away is None else safe_path.stat_entry(away)
    home_info = None if home is None else safe_path.stat_entry(home)
    sha256 = bytes.fromhex(intent.content_hash)
    is_home = home is not None and home_info is not None and _has_digest(home, sha256)
    if away_info is None or away is None or put_away is None:
        if is_home:
            return RevertResult(False)
        _check_mounted(intent, spot)
        raise GoneError(
            NOT_FOUND if home_info is None else f"{NOT_FOUND}: another file lies there", other=home_info is not None
        )
    if home_info is None:
        return None
    if not is_home:
        raise LeftAloneError(f"another file lies at its place; it is in {display_path(put_away.full)}")
    ours = intent.action == "quarantine" or intent.n in journal.trashed
    if safe_path.is_same_inode(away_info, home_info) or (
        ours and _is_own_copy(journal, intent, before, copied, away_info, home_info) and _has_digest(away, sha256)
    ):
        # Half moved: a second name of the file, or a copy on another disk whose original was not removed yet.
        if not dry_run:
            if home is not None:
                safe_path.sync_entries(home)
            file_moves.unlink_durably(away)
        return RevertResult(True)
    return RevertResult(False, f"it lies at its place; another copy is in {display_path(put_away.full)}")


def _is_own_copy(
    journal: Journal,
    intent: Intent,
    before: State,
    copied: LoadCopiedInodes,
    away_info: os.stat_result,
    home_info: os.stat_result,
) -> bool:
    """Return whether one of two files with the same bytes is a copy that we made of the other."""
    if away_info.st_mtime_ns != intent.mtime_ns or home_info.st_mtime_ns != intent.mtime_ns:
        return False
    copies = journal.copies.get(intent.n, set())
    if away_info.st_ino not in copies | {intent.inode}:
        return False  # Another file was put there, perhaps from another collection.
    if before == "meant" and home_info.st_ino == intent.inode:
        return True
    if before not in ("meant", "returning") or (home_info.st_mode ^ intent.mode) & file_copies.PICTURE_MODES:
        return False
    # A half-moved file may have been put away and brought back since, under another journal.
    return home_info.st_ino in copies or home_info.st_ino in copied().get((intent.source_id, intent.path), ())


def _has_digest(at: FolderEntry, sha256: bytes) -> bool:
    with suppress(OSError, safe_path.ChangingError):
        return safe_path.read_content(at).sha256 == sha256
    return False


def _move_back(
    journal: Journal,
    intent: Intent,
    put_away: SafePath | None,
    spot: SafePath,
    unsynced: safe_path.UnsyncedFolders,
    dry_run: bool,
) -> None:
    assert put_away is not None
    if not os.path.isdir(spot.base):
        raise LeftAloneError(f"{display_path(spot.base)} is not there, perhaps not mounted")
    with safe_path.open_parent(put_away) as away:
        content = _read_unchanged(away, intent, put_away)
        check_picture(away)
        check_writable(away)
        if dry_run:
            return
        with safe_path.open_parent(spot, make=True) as home:
            move(journal, intent, away, home, content, unsynced)
            file_copies.restore_mode_and_mtime(home, intent.mode, intent.mtime_ns)
    if intent.action == "trash":
        trash.remove_records(intent.full, put_away.full)


def _read_unchanged(at: FolderEntry, intent: Intent, put_away: SafePath) -> Content:
    content = safe_path.read_content(at)
    if content.sha256.hex() != intent.content_hash:
        raise LeftAloneError(f"it has changed where it was put: {display_path(put_away.full)}")
    return content


def _separate_from_keeper(journal: Journal, intent: Intent, spot: SafePath, dry_run: bool) -> RevertResult:
    """Replace a link to the keeper by a separate file with its former mode and mtime."""
    with open_existing_parent(spot) as at:
        if at is None or safe_path.stat_entry(at) is None:
            _check_mounted(intent, spot)
            raise GoneError("it is not there any more")
        new, old = replacement_entries(journal, intent, at)
        if not dry_run:
            file_moves.finish_replace(at, new, old, bytes.fromhex(intent.content_hash))
        content = safe_path.read_content(at)
        if content.sha256.hex() != intent.content_hash:
            raise LeftAloneError(CHANGED.replace("the plan was made", "it was linked"))
        if content.info.st_ino == intent.inode and content.info.st_dev == intent.device:
            return RevertResult(False)  # It was never replaced.
        check_picture(at)
        check_writable(at)
        if dry_run:
            return RevertResult(True)
        try:
            file_copies.write_copy(at, new)
            file_copies.restore_attributes(new, intent.owner, intent.attributes)
            file_copies.restore_mode_and_mtime(new, intent.mode, intent.mtime_ns)
            if safe_path.read_content(new).sha256 != content.sha256:
                raise LeftAloneError("its copy differs from what was read before")
        except BaseException:
            file_moves.unlink_durably(new)
            raise
        file_moves.replace(at, new, old, content)
    return RevertResult(True)
