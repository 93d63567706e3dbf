"""Move users' files without ever replacing one or losing a byte to a power cut.

A move is one rename that refuses to replace (``renameat2`` with ``RENAME_NOREPLACE``), else a hard link followed by an
unlink. To another file system it is a copy, made durable, read back and compared; only then the original is removed.

System errors are raised unchanged (OSError), so that callers can report each file.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from imseek.data.user_files.file_copies import write_copy
from imseek.data.user_files.safe_path import (
    ChangingError,
    Content,
    FolderEntry,
    UnsyncedFolders,
    is_same_inode,
    is_unchanged,
    read_content,
    stat_entry,
    stat_key_without_ctime,
    sync_entries,
)

_RENAME_NOREPLACE: Final = 1
_RENAME_EXCHANGE: Final = 2
#: Errors where the system or file system cannot rename without replacing, or swap names.
_NO_RENAME: Final = frozenset({errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP})
#: Errors where it cannot create a hard link.
_NO_LINK: Final = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})


def move(
    source: FolderEntry,
    target: FolderEntry,
    content: Content,
    part: bytes,
    unsynced: UnsyncedFolders,
    note_copy: Callable[[os.stat_result], None],
) -> None:
    """Move the file that was read as ``content``; ``part`` names an unfinished copy in the target's folder.

    If it has to be copied, ``note_copy`` receives the stat of the copy before that gets its name, so that it can be
    recognised.

    A power cut may undo a rename until ``unsynced`` is fsynced, but never loses the file; all else is durable. Raises
    FileExistsError where the target exists, ChangingError where another file was at the source in the end (it is moved
    back), OSError. If killed half-way, both names may exist, for one file or for two equal ones.
    """
    try:
        _rename(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        copy(source, target, content.sha256, part, note_copy)
        try:
            remove_original(source, content)
        except BaseException:
            if is_same_inode(stat_entry(source), content.info):
                unlink_durably(target)  # The original still exists, perhaps with later changes.
            raise
        return
    info = stat_entry(target)
    if info is None or stat_key_without_ctime(info) != stat_key_without_ctime(content.info):
        _rename(target, source)
        raise ChangingError("it was changed, or another file took its place, just now")
    unsynced.add(target, source)


def _rename(source: FolderEntry, target: FolderEntry) -> None:
    """Rename without replacing. Raises OSError, with EXDEV also where the file system has no way to do that."""
    try:
        rename_noreplace(source, target)
        return
    except OSError as error:
        if error.errno not in _NO_RENAME:
            raise
    try:
        os.link(
            source.name,
            target.name,
            src_dir_fd=source.folder,
            dst_dir_fd=target.folder,
            follow_symlinks=False,
        )
    except OSError as error:
        if error.errno in _NO_LINK:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV)) from error
        raise
    sync_entries(target)
    try:
        os.unlink(source.name, dir_fd=source.folder)
    except OSError:
        os.unlink(target.name, dir_fd=target.folder)
        raise


def rename_noreplace(source: FolderEntry, target: FolderEntry) -> None:
    """Rename without replacing.

    Raises OSError: FileExistsError where the target exists, ENOSYS where the system has no such call.
    """
    _renameat2(source, target, _RENAME_NOREPLACE)


def exchange(first: FolderEntry, second: FolderEntry) -> None:
    """Swap two names atomically.

    Raises OSError: FileNotFoundError where one is missing, ENOSYS where the system has no such call.
    """
    _renameat2(first, second, _RENAME_EXCHANGE)


def _renameat2(source: FolderEntry, target: FolderEntry, flags: int) -> None:
    call = getattr(_libc(), "renameat2", None)
    if call is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    if call(source.folder, source.name, target.folder, target.name, ctypes.c_uint(flags)):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), os.fsdecode(target.name))


def _libc() -> Any:
    return ctypes.CDLL(None, use_errno=True)


def copy(
    source: FolderEntry,
    target: FolderEntry,
    sha256: bytes,
    part: bytes,
    note_copy: Callable[[os.stat_result], None],
) -> None:
    """Copy a file with times, mode and attributes, durably; verify the copy, and only then give it its name.

    Raises FileExistsError, ChangingError where the copy has another sha256, OSError (ENOSPC).
    """
    unfinished = FolderEntry(target.folder, part)
    with suppress(FileNotFoundError):
        os.unlink(part, dir_fd=target.folder)  # Left by an interrupted copy.
    if stat_entry(target) is not None:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), os.fsdecode(target.name))
    try:
        write_copy(source, unfinished)
        copied = read_content(unfinished)
        if copied.sha256 != sha256:
            raise ChangingError("its copy differs from what was read before")
        note_copy(copied.info)
        rename_part(unfinished, target)
    except BaseException:
        with suppress(OSError):
            os.unlink(part, dir_fd=target.folder)
        raise
    sync_entries(target)


def rename_part(unfinished: FolderEntry, target: FolderEntry) -> None:
    """Rename within one folder. Where no-replace is unsupported, only an existence check protects the target."""
    try:
        _rename(unfinished, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        if stat_entry(target) is not None:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), os.fsdecode(target.name)) from None
        os.rename(unfinished.name, target.name, src_dir_fd=unfinished.folder, dst_dir_fd=target.folder)


def remove_original(source: FolderEntry, content: Content) -> None:
    """Remove a file that was copied. Raises ChangingError where it changed since."""
    info = stat_entry(source)
    if info is None or not is_unchanged(info, content.info):
        raise ChangingError("it changed while it was copied")
    os.unlink(source.name, dir_fd=source.folder)
    sync_entries(source)


def unlink_durably(entry: FolderEntry) -> None:
    """Remove a name of ours durably, if it exists."""
    with suppress(FileNotFoundError):
        os.unlink(entry.name, dir_fd=entry.folder)
        sync_entries(entry)


def replace(target: FolderEntry, new: FolderEntry, backup: FolderEntry, content: Content) -> None:
    """Replace the file that was read as ``content`` with the file ``new``, all in one folder.

    The old file stays as ``backup`` until it is certain that it did not change meanwhile. Where it did, or another file
    had taken its place, that file is put back and ChangingError is raised. (Where the system cannot swap names, a file
    that takes its place at the last moment is overwritten.) If killed half-way, see :func:`finish_replace`. Raises
    OSError.
    """
    try:
        os.link(target.name, backup.name, src_dir_fd=target.folder, dst_dir_fd=backup.folder, follow_symlinks=False)
        sync_entries(backup)
        # The fsync takes time, so check what is there as late as possible.
        if not is_same_inode(stat_entry(backup), content.info) or not is_same_inode(stat_entry(target), content.info):
            unlink_durably(backup)
            raise ChangingError("another file took its place")
        own_info = stat_entry(new)
        _swap_in(new, target, backup)
    except (OSError, ChangingError):
        unlink_durably(new)  # Until the swap, ``new`` is ours.
        raise
    if (swapped_info := stat_entry(new)) is not None and not is_same_inode(swapped_info, content.info):
        _swap_back(target, new, own_info)
        unlink_durably(backup)
        raise ChangingError("another file took its place")
    sync_entries(target)
    finish_replace(target, new, backup, content.sha256)


def _swap_in(new: FolderEntry, target: FolderEntry, backup: FolderEntry) -> None:
    """Swap ``new`` with the target; afterwards ``new`` is the old file, or missing."""
    try:
        exchange(new, target)
    except FileNotFoundError:
        unlink_durably(backup)  # Someone removed it meanwhile.
        raise
    except OSError as error:
        if error.errno not in _NO_RENAME:
            raise
        os.rename(new.name, target.name, src_dir_fd=new.folder, dst_dir_fd=target.folder)


def _swap_back(target: FolderEntry, new: FolderEntry, own_info: os.stat_result | None) -> None:
    """Put back a file that had taken the target's place and was swapped out. Raises ChangingError, OSError."""
    exchange(new, target)
    if not is_same_inode(stat_entry(new), own_info):
        exchange(new, target)  # It was saved again: the latest version belongs there.
        raise _left_beside_error(new)
    sync_entries(target)
    unlink_durably(new)


def finish_replace(target: FolderEntry, new: FolderEntry, backup: FolderEntry, sha256: bytes) -> None:
    """Finish an interrupted :func:`replace`, or roll it back, from any state it may have left.

    Raises ChangingError where the file to replace has other bytes now, or another file had taken its place: that file
    is put back.
    """
    backup_info, target_info = stat_entry(backup), stat_entry(target)
    if backup_info is not None:
        new_info = stat_entry(new)
        if is_same_inode(backup_info, new_info):
            unlink_durably(new)
            new_info = None
        if is_same_inode(backup_info, target_info):
            unlink_durably(backup)  # It had not been replaced yet.
        elif new_info is not None and _has_content(target, sha256) and not _has_content(new, sha256):
            _swap_back(target, new, target_info)
            raise _left_beside_error(backup)
        elif target_info is not None and read_content(backup).sha256 == sha256 == read_content(target).sha256:
            unlink_durably(backup)
        elif target_info is None or read_content(target).sha256 == sha256:
            os.rename(backup.name, target.name, src_dir_fd=backup.folder, dst_dir_fd=target.folder)
            sync_entries(target)
            raise ChangingError("it changed while it was replaced")
        else:
            raise _left_beside_error(backup)
    unlink_durably(new)


def _left_beside_error(entry: FolderEntry) -> ChangingError:
    return ChangingError(f"it changed, and its previous content is in the same folder: {os.fsdecode(entry.name)}")


def _has_content(entry: FolderEntry, sha256: bytes) -> bool:
    with suppress(OSError, ChangingError):
        return read_content(entry).sha256 == sha256
    return False
