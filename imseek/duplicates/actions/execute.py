"""Act on one file, and complete interrupted actions. The journal records each action before it starts."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

from imseek.data import layout
from imseek.data.files import durable_files
from imseek.data.files.system_errors import translate_os_errors
from imseek.data.user_files import file_copies, file_moves, safe_path
from imseek.data.user_files.safe_path import ChangingError, Content, FolderEntry, SafePath
from imseek.duplicates.actions import trash
from imseek.duplicates.actions.journal import Journal
from imseek.duplicates.actions.journal_records import Intent
from imseek.duplicates.actions.plans import LINK_ACTIONS
from imseek.duplicates.actions.precheck import (
    CHANGED,
    GONE,
    NO_CLONES,
    LeftAloneError,
    describe_error,
    translate_errors,
)

#: Longest file name in bytes on nearly all file systems.
_NAME_MAX: Final = 255
#: Text of the marker file in a quarantine folder.
_MARKER: Final = """Pictures that `imseek duplicates apply` has put away lie here, in folders as they lay in before.

`imseek duplicates undo` brings them back to their places. While this file is here, imseek does not look for pictures
in this folder. Delete nothing here that you may want back.
"""


def prepare_quarantine(folder: bytes) -> None:
    """Create a quarantine folder with its marker, both durable; a new folder is private to its user.

    Raises StorageError and OSError, and LeftAloneError for a symbolic link.
    """
    path = Path(os.fsdecode(folder))
    if path.is_symlink():
        raise LeftAloneError(f"{path} is a symbolic link: nothing is put away there")
    above = durable_files.make_folder(path.parent)
    if not path.is_dir():
        with translate_os_errors(path):
            path.mkdir(mode=0o700, exist_ok=True)
        above.add(path.parent)
    durable_files.sync_folders(above)
    marker = path / layout.QUARANTINE_MARKER
    with suppress(FileExistsError):
        fd = os.open(marker, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        with os.fdopen(fd, "wb") as file:
            file.write(_MARKER.encode())
            file.flush()
            os.fsync(fd)
        durable_files.sync_folder(path)


def find_free_path(spot: SafePath, full: bytes, used_paths: set[bytes], reserved: Mapping[bytes, bytes]) -> SafePath:
    """Return ``spot``, or that path with a number appended, where no file is and none is planned.

    ``full`` is the present path of the file. ``reserved`` maps paths to the files that the journals reserve them for
    (:func:`imseek.duplicates.actions.journal.reserved_paths`), even before the file is there: another file there would
    be mistaken for the reserved one.
    """
    folder, name = os.path.split(spot.inner)
    stem, ending = os.path.splitext(name)
    number, free = 1, spot
    while free.full in used_paths or reserved.get(free.full, full) != full or os.path.lexists(free.full):
        number += 1
        suffix = b" (%d)" % number + ending
        free = SafePath(spot.base, os.path.join(folder, _truncate_stem(stem, _NAME_MAX - len(suffix)) + suffix))
    used_paths.add(free.full)
    return free


def _truncate_stem(stem: bytes, length: int) -> bytes:
    """Cut the stem to at most ``length`` bytes without splitting a UTF-8 character."""
    if len(stem) <= length:
        return stem
    while length > 1 and stem[length] & 0xC0 == 0x80:
        length -= 1
    return stem[: max(length, 1)]


def target_of(intent: Intent) -> SafePath:
    """Return where a file goes in quarantine."""
    return SafePath(intent.to_base, intent.inner_to)


def partial_name(journal: Journal, intent: Intent, ending: bytes = b"part") -> bytes:
    """Return the name of an unfinished file beside a file."""
    return b".imseek-%s-%d.%s" % (journal.undo_id.encode(), intent.n, ending)


def execute_intent(
    journal: Journal, intent: Intent, spot: SafePath, content: Content, unsynced: safe_path.UnsyncedFolders
) -> bytes | None:
    """Carry out an intent on a file; return its new path if it has moved. See :func:`file_moves.move`.

    ``content`` is the file as read a moment ago. Raises LeftAloneError, after restoring everything if the disk allows
    it (see :func:`is_touched`), and StorageError.
    """
    with translate_errors(), safe_path.open_parent(spot) as at:
        if intent.action == "quarantine":
            return _move_to_quarantine(journal, intent, at, content, unsynced)
        if intent.action == "trash":
            return _move_to_trash(journal, intent, at, spot, content)
        _replace_by_link(journal, intent, at, content)
    return None


def _move_to_quarantine(
    journal: Journal, intent: Intent, at: FolderEntry, content: Content, unsynced: safe_path.UnsyncedFolders
) -> bytes:
    with safe_path.open_parent(target_of(intent), make=True) as target:
        move(journal, intent, at, target, content, unsynced)
    return intent.to


def move(
    journal: Journal,
    intent: Intent,
    source: FolderEntry,
    target: FolderEntry,
    content: Content,
    unsynced: safe_path.UnsyncedFolders,
) -> None:
    """As :func:`file_moves.move`, in either direction; the journal records a copy that it makes."""
    partial = partial_name(journal, intent)
    file_moves.move(source, target, content, partial, unsynced, lambda copy: journal.note_copy(intent.n, copy.st_ino))


def _move_to_trash(journal: Journal, intent: Intent, at: FolderEntry, spot: SafePath, content: Content) -> bytes | None:
    # The trash takes a path: this one was just opened, and leads through no link.
    now = safe_path.stat_entry(at)
    if now is None or not safe_path.is_unchanged(now, content.info):
        raise ChangingError("it changed just now")
    try:
        to = trash.send(spot.full, content.sha256)
    except OSError as error:
        if safe_path.stat_entry(at) is not None:
            raise
        to = trash.find(spot.full, content.sha256)
        if to is None:
            raise LeftAloneError(f"the trash took it and failed: {describe_error(error)}") from error
    safe_path.sync_entries(at)
    if to is not None:
        journal.note_trashed(intent.n, to)
    return to


def _replace_by_link(journal: Journal, intent: Intent, at: FolderEntry, content: Content) -> None:
    replacement, backup = replacement_entries(journal, intent, at)
    file_moves.finish_replace(at, replacement, backup, content.sha256)
    keeper = SafePath.of(intent.keeper)
    with safe_path.open_parent(keeper) as source:
        if intent.action == "hard-link":
            os.link(
                source.name,
                replacement.name,
                src_dir_fd=source.folder,
                dst_dir_fd=replacement.folder,
                follow_symlinks=False,
            )
        else:
            try:
                file_copies.write_clone(source, replacement)
            except OSError as error:
                file_moves.unlink_durably(replacement)
                if error.errno in file_copies.CANNOT_CLONE:
                    raise LeftAloneError(NO_CLONES) from error
                raise
            file_copies.restore_attributes(replacement, intent.owner, intent.attributes)
            file_copies.restore_mode_and_mtime(replacement, intent.mode, intent.mtime_ns)
    try:
        if safe_path.read_content(replacement).sha256 != content.sha256:
            raise ChangingError("the keeper changed just now")
    except BaseException:
        file_moves.unlink_durably(replacement)
        raise
    file_moves.replace(at, replacement, backup, content)


def is_touched(journal: Journal, intent: Intent, spot: SafePath) -> bool:
    """Return whether a failed action may have changed something, judging by the disk."""
    if intent.action == "tag":
        return False
    try:
        with open_existing_parent(spot) as at:
            entry = None if at is None else safe_path.stat_entry(at)
            if intent.action == "trash":
                return entry is None
            if intent.action != "quarantine":
                return at is not None and _is_replaced(journal, intent, at, entry)
        with open_existing_parent(target_of(intent)) as target:
            return target is not None and safe_path.stat_entry(target) is not None
    except OSError as error:
        return error.errno != errno.ENAMETOOLONG  # No file can have such a name.


def _is_replaced(journal: Journal, intent: Intent, at: FolderEntry, entry: os.stat_result | None) -> bool:
    if safe_path.stat_entry(replacement_entries(journal, intent, at)[1]) is not None:
        return True
    with open_existing_parent(SafePath.of(intent.keeper)) as keeper:
        return keeper is not None and safe_path.is_same_inode(entry, safe_path.stat_entry(keeper))


def replacement_entries(journal: Journal, intent: Intent, at: FolderEntry) -> tuple[FolderEntry, FolderEntry]:
    """Return entries for the new file and for the replaced one, in the folder of ``at``."""
    return FolderEntry(at.folder, partial_name(journal, intent, b"new")), FolderEntry(
        at.folder, partial_name(journal, intent, b"old")
    )


def finish_interrupted(journal: Journal, intent: Intent, spot: SafePath) -> bool:
    """Complete an interrupted action; return whether it is done now, or False if it has yet to be done.

    Use it for intents of unknown outcome. Raises LeftAloneError if neither is possible, and StorageError.
    """
    sha256 = bytes.fromhex(intent.content_hash)
    if intent.action == "tag":
        return True
    with translate_errors():
        if intent.action in LINK_ACTIONS:
            return _finish_link(journal, intent, spot, sha256)
        with open_existing_parent(spot) as at:
            entry = None if at is None else safe_path.stat_entry(at)
            if intent.action == "trash":
                if entry is None and intent.n not in journal.trashed:
                    if (trash_path := trash.find(intent.full, sha256)) is None:
                        raise LeftAloneError(GONE)
                    journal.note_trashed(intent.n, trash_path)
                if entry is not None:
                    trash.remove_records(intent.full)
                return entry is None
            return _finish_move(journal, intent, at, sha256)


def _finish_move(journal: Journal, intent: Intent, at: FolderEntry | None, sha256: bytes) -> bool:
    original = None if at is None else safe_path.stat_entry(at)
    with open_existing_parent(target_of(intent)) as target:
        moved = None
        if target is not None:
            file_moves.unlink_durably(FolderEntry(target.folder, partial_name(journal, intent)))
            moved = safe_path.stat_entry(target)
        if original is None and moved is None:
            raise LeftAloneError(GONE)
        if target is None or moved is None:
            return False
        if at is None or original is None:
            return True
        if safe_path.is_same_inode(original, moved):
            if safe_path.read_content(at).sha256 != sha256:
                raise LeftAloneError(CHANGED)
            safe_path.sync_entries(target)
            file_moves.unlink_durably(at)
            return True
        # Copied to another disk, but the original still exists. If the copy is not ours, choose another name.
        if moved.st_ino not in journal.copies.get(intent.n, ()) or safe_path.read_content(target).sha256 != sha256:
            return False
        content = safe_path.read_content(at)
        if content.sha256 != sha256:
            raise LeftAloneError(CHANGED)
        safe_path.sync_entries(target)
        file_moves.remove_original(at, content)
        return True


def _finish_link(journal: Journal, intent: Intent, spot: SafePath, sha256: bytes) -> bool:
    with safe_path.open_parent(spot) as at:
        file_moves.finish_replace(at, *replacement_entries(journal, intent, at), sha256)
        entry = safe_path.stat_entry(at)
    if entry is None or intent.action == "reflink":
        return False
    with safe_path.open_parent(SafePath.of(intent.keeper)) as keeper:
        return safe_path.is_same_inode(entry, safe_path.stat_entry(keeper))


@contextmanager
def open_existing_parent(spot: SafePath | None) -> Iterator[FolderEntry | None]:
    """As :func:`safe_path.open_parent`, but yields None if the folder does not exist."""
    if spot is None:
        yield None
        return
    with ExitStack() as stack:
        try:
            at = stack.enter_context(safe_path.open_parent(spot))
        except FileNotFoundError:
            at = None
        yield at
