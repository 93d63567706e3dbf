"""Bring one file back to its place, wherever its action or an earlier attempt to undo it stopped."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Set
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeAlias

from imseek.curate.actions import trash
from imseek.curate.actions.execute import beside, folder_of, move, part_of, target_of
from imseek.curate.actions.journal import Journal
from imseek.curate.actions.journal_records import Intent, State
from imseek.curate.actions.plans import LINKING
from imseek.curate.actions.precheck import CHANGED, LeftAloneError, check_picture, check_writable, explained
from imseek.curate.actions.undo_bounds import holds_something, is_marked, quarantine_folder
from imseek.data import file_copies, file_moves, layout, safe_path
from imseek.data.safe_path import Content, FolderEntry, SafePath
from imseek.types import display_path

#: Loads the recorded inodes of copies on demand, see :func:`imseek.curate.actions.journal.copied`.
Copied: TypeAlias = Callable[[], Mapping[tuple[int, bytes], Set[int]]]

NEITHER = "it is neither at its place nor where it was put"


class GoneError(LeftAloneError):
    """A file cannot be brought back, now or later. ``other`` says that another file is at its place."""

    def __init__(self, reason: str, *, other: bool = False) -> None:
        super().__init__(reason)
        self.other = other


@dataclass(frozen=True, slots=True)
class Back:
    """Result of reverting one file: whether it had to be brought back, and a note about it."""

    moved: bool
    note: str = ""


def bring_back(
    journal: Journal,
    intent: Intent,
    spot: SafePath,
    before: State,
    copied: Copied,
    unsynced: safe_path.Unsynced,
    *,
    dry_run: bool,
) -> Back:
    """Bring a file back. ``before`` is its state before this attempt; ``copied`` returns the copies in all journals.

    The result is durable once ``unsynced`` has been synced.

    Raises LeftAloneError, GoneError and StorageError.
    """
    if intent.action == "tag":
        return Back(True)
    with explained():
        if intent.action in LINKING:
            return _part_from_keeper(journal, intent, spot, dry_run)
        kept = where(journal, intent)
        with folder_of(kept) as there, folder_of(spot) as here:
            back = _compare(journal, intent, before, copied, spot, (kept, there, here), dry_run)
            if back is not None:
                if intent.action == "trash" and not dry_run:
                    place = journal.trashed.get(intent.n)
                    if place is None or not os.path.lexists(place):
                        trash.forget(intent.full, place)
                return back
        _move_back(journal, intent, kept, spot, unsynced, dry_run)
    return Back(True)


def tidy(intent: Intent) -> None:
    """Remove the quarantine folders of a file that are empty now, except the marked folder itself."""
    if intent.action == "quarantine" and is_marked(intent):
        folder = quarantine_folder(intent)
        safe_path.remove_empty_folders(folder, os.path.dirname(intent.to[len(folder) + 1 :]))


def _check_mounted(intent: Intent, spot: SafePath) -> None:
    """Raise LeftAloneError if a file may still exist on a disk that is not mounted now."""
    if not holds_something(spot.base):
        raise LeftAloneError(f"{display_path(spot.base)} is not there, perhaps not mounted")
    if intent.action == "quarantine" and not is_marked(intent):
        folder = quarantine_folder(intent)
        if not holds_something(folder):
            raise LeftAloneError(f"{display_path(folder)} is not there, perhaps not mounted")
        raise LeftAloneError(
            f"{display_path(folder)} is no quarantine: there is no file {layout.QUARANTINE_MARKER} in it"
        )


def where(journal: Journal, intent: Intent) -> SafePath | None:
    """Return where a file was put, or None if unknown; it may no longer be there."""
    if intent.action == "quarantine":
        return target_of(intent) if is_marked(intent) else None
    place = journal.trashed.get(intent.n)
    if place is None or not trash.is_place(place) or not os.path.lexists(place):
        place = trash.find(intent.full, bytes.fromhex(intent.content_hash))
    return None if place is None else SafePath.of(place)


def _compare(
    journal: Journal,
    intent: Intent,
    before: State,
    copied: Copied,
    spot: SafePath,
    places: tuple[SafePath | None, FolderEntry | None, FolderEntry | None],
    dry_run: bool,
) -> Back | None:
    """Return the result if the file need not be moved back, or None if it must be.

    Handles a file that is at its place already, or is missing where it was put.
    """
    kept, there, here = places
    if there is not None and not dry_run:
        file_moves.drop(FolderEntry(there.folder, part_of(journal, intent)))
    held = None if there is None else safe_path.stat_entry(there)
    lies = None if here is None else safe_path.stat_entry(here)
    sha256 = bytes.fromhex(intent.content_hash)
    same = here is not None and lies is not None and _is(here, sha256)
    if held is None or there is None or kept is None:
        if same:
            return Back(False)
        _check_mounted(intent, spot)
        raise GoneError(
            NEITHER if lies is None else f"{NEITHER}: another file lies there", other=lies is not None
        )
    if lies is None:
        return None
    if not same:
        raise LeftAloneError(f"another file lies at its place; it is in {display_path(kept.full)}")
    ours = intent.action == "quarantine" or intent.n in journal.trashed
    if safe_path.same_inode(held, lies) or (
        ours and _is_ours(journal, intent, before, copied, held, lies) and _is(there, sha256)
    ):
        # Half moved: a second name of the file, or a copy on another disk whose original was not removed yet.
        if not dry_run:
            if here is not None:
                safe_path.sync_entries(here)
            file_moves.drop(there)
        return Back(True)
    return Back(False, f"it lies at its place; another copy is in {display_path(kept.full)}")


def _is_ours(
    journal: Journal,
    intent: Intent,
    before: State,
    copied: Copied,
    held: os.stat_result,
    lies: os.stat_result,
) -> bool:
    """Return whether one of two files with the same bytes is a copy that we made of the other."""
    if held.st_mtime_ns != intent.mtime_ns or lies.st_mtime_ns != intent.mtime_ns:
        return False
    copies = journal.copies.get(intent.n, set())
    if held.st_ino not in copies | {intent.inode}:
        return False  # Another file was put there, perhaps from another collection.
    if before == "meant" and lies.st_ino == intent.inode:
        return True
    if before not in ("meant", "returning") or (lies.st_mode ^ intent.mode) & file_copies.PICTURE_MODES:
        return False
    # A half-moved file may have been put away and brought back since, under another journal.
    return lies.st_ino in copies or lies.st_ino in copied().get((intent.source_id, intent.path), ())


def _is(at: FolderEntry, sha256: bytes) -> bool:
    with suppress(OSError, safe_path.ChangingError):
        return safe_path.read_content(at).sha256 == sha256
    return False


def _move_back(
    journal: Journal,
    intent: Intent,
    kept: SafePath | None,
    spot: SafePath,
    unsynced: safe_path.Unsynced,
    dry_run: bool,
) -> None:
    assert kept is not None
    if not os.path.isdir(spot.base):
        raise LeftAloneError(f"{display_path(spot.base)} is not there, perhaps not mounted")
    with safe_path.open_parent(kept) as there:
        content = _unchanged(there, intent, kept)
        check_picture(there)
        check_writable(there)
        if dry_run:
            return
        with safe_path.open_parent(spot, make=True) as here:
            move(journal, intent, there, here, content, unsynced)
            file_copies.restore_facts(here, intent.mode, intent.mtime_ns)
    if intent.action == "trash":
        trash.forget(intent.full, kept.full)


def _unchanged(at: FolderEntry, intent: Intent, kept: SafePath) -> Content:
    content = safe_path.read_content(at)
    if content.sha256.hex() != intent.content_hash:
        raise LeftAloneError(f"it has changed where it was put: {display_path(kept.full)}")
    return content


def _part_from_keeper(journal: Journal, intent: Intent, spot: SafePath, dry_run: bool) -> Back:
    """Replace a link to the keeper by a separate file with its former mode and mtime."""
    with folder_of(spot) as at:
        if at is None or safe_path.stat_entry(at) is None:
            _check_mounted(intent, spot)
            raise GoneError("it is not there any more")
        new, old = beside(journal, intent, at)
        if not dry_run:
            file_moves.settle_replaced(at, new, old, bytes.fromhex(intent.content_hash))
        content = safe_path.read_content(at)
        if content.sha256.hex() != intent.content_hash:
            raise LeftAloneError(CHANGED.replace("the plan was made", "it was linked"))
        if content.info.st_ino == intent.inode and content.info.st_dev == intent.device:
            return Back(False)  # It was never replaced.
        check_picture(at)
        check_writable(at)
        if dry_run:
            return Back(True)
        try:
            file_copies.write_copy(at, new)
            file_copies.restore_attributes(new, intent.owner, intent.attributes)
            file_copies.restore_facts(new, intent.mode, intent.mtime_ns)
            if safe_path.read_content(new).sha256 != content.sha256:
                raise LeftAloneError("its copy is not what was read before")
        except BaseException:
            file_moves.drop(new)
            raise
        file_moves.replace(at, new, old, content)
    return Back(True)
