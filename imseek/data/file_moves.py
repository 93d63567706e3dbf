"""Files of users, moved so that nothing is ever replaced, and no byte is lost to a power cut.

A move is one rename that refuses to replace (``renameat2`` with
``RENAME_NOREPLACE``), else a second name and the end of the first. To another file system it is a copy, made durable,
read again and compared, and only then the end of the original.

Errors of the system are raised as they come (OSError): who moves many files tells of each.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from imseek.data.file_copies import write_copy
from imseek.data.safe_path import (
    ChangingError,
    Content,
    FolderEntry,
    Unsynced,
    bytes_key,
    read_content,
    same,
    same_inode,
    stat_entry,
    sync_entries,
)

_RENAME_NOREPLACE: Final = 1
_RENAME_EXCHANGE: Final = 2
#: What the system says where it or the file system cannot rename without replacing, or swap names.
_NO_RENAME: Final = frozenset({errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP})
#: The same for a second name of a file.
_NO_LINK: Final = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})


def move(
    source: FolderEntry,
    target: FolderEntry,
    content: Content,
    part: bytes,
    unsynced: Unsynced,
    copied: Callable[[os.stat_result], None],
) -> None:
    """Move the file that was read as ``content``; ``part`` is a name for an unfinished copy in the target's folder.

    Where it has to be copied, ``copied`` is told of the copy before that has its name, so that it is known again.

    A rename may be undone by a power cut until ``unsynced`` is fsynced, but never loses the file; all else is durable.
    Raises FileExistsError where something lies at the target, ChangingError where another file lay at the source in
    the end (it is back there), OSError. Killed half-way, both names may be there, of one file or of two equal ones.
    """
    try:
        _rename(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        copy(source, target, content.sha256, part, copied)
        try:
            end_original(source, content)
        except BaseException:
            if same_inode(stat_entry(source), content.info):
                drop(target)  # The original is there, with what was written to it since.
            raise
        return
    moved = stat_entry(target)
    if moved is None or bytes_key(moved) != bytes_key(content.info):
        _rename(target, source)
        raise ChangingError("it was changed, or another file took its place, just now")
    unsynced.add(target, source)


def _rename(source: FolderEntry, target: FolderEntry) -> None:
    """Never replaces. Raises OSError, with EXDEV also where the file system knows no way."""
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
    """Raises OSError: FileExistsError where something lies at the target, ENOSYS where there is no such call."""
    _renameat2(source, target, _RENAME_NOREPLACE)


def exchange(one: FolderEntry, other: FolderEntry) -> None:
    """Swap two names. Raises OSError: FileNotFoundError where one is not there, ENOSYS where there is no such call."""
    _renameat2(one, other, _RENAME_EXCHANGE)


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
    copied: Callable[[os.stat_result], None],
) -> None:
    """A copy with the times, mode and attributes of the source, durable, read again, and only then under its name.

    Raises FileExistsError, ChangingError where the copy has another sha256, OSError (ENOSPC).
    """
    unfinished = FolderEntry(target.folder, part)
    with suppress(FileNotFoundError):
        os.unlink(part, dir_fd=target.folder)  # Of an earlier one that was cut short.
    if stat_entry(target) is not None:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), os.fsdecode(target.name))
    try:
        write_copy(source, unfinished)
        made = read_content(unfinished)
        if made.sha256 != sha256:
            raise ChangingError("its copy is not what was read before")
        copied(made.info)
        _name(unfinished, target)
    except BaseException:
        with suppress(OSError):
            os.unlink(part, dir_fd=target.folder)
        raise
    sync_entries(target)


def _name(unfinished: FolderEntry, target: FolderEntry) -> None:
    """Within one folder; where the file system knows no other way, it has been seen that nothing lies there."""
    try:
        _rename(unfinished, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        if stat_entry(target) is not None:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), os.fsdecode(target.name)) from None
        os.rename(unfinished.name, target.name, src_dir_fd=unfinished.folder, dst_dir_fd=target.folder)


def end_original(source: FolderEntry, content: Content) -> None:
    """The end of a file of which there is a copy. Raises ChangingError where it is not what was copied any more."""
    now = stat_entry(source)
    if now is None or not same(now, content.info):
        raise ChangingError("it changed while it was copied")
    os.unlink(source.name, dir_fd=source.folder)
    sync_entries(source)


def drop(at: FolderEntry) -> None:
    """The end of a name that we have made, durably; where it is gone, nothing."""
    with suppress(FileNotFoundError):
        os.unlink(at.name, dir_fd=at.folder)
        sync_entries(at)


def replace(target: FolderEntry, new: FolderEntry, kept: FolderEntry, content: Content) -> None:
    """Put the file ``new`` in the place of the one that was read as ``content``, all in one folder.

    What lay there stays under the name ``kept`` until it is certain that it was not changed meanwhile; where it was,
    or where another file had taken its place, that lies there again, and ChangingError is raised. (Where the system
    cannot swap names, another file that takes its place in the last moment is replaced.) Killed half-way, see
    :func:`settle_replaced`. Raises OSError.
    """
    try:
        os.link(
            target.name, kept.name, src_dir_fd=target.folder, dst_dir_fd=kept.folder, follow_symlinks=False
        )
        sync_entries(kept)
        # Making that durable takes its time: what lies there is looked at after it, as late as can be.
        if not same_inode(stat_entry(kept), content.info) or not same_inode(stat_entry(target), content.info):
            drop(kept)
            raise ChangingError("another file took its place")
        ours = stat_entry(new)
        _put(new, target, kept)
    except (OSError, ChangingError):
        drop(new)  # Until the names are swapped, that is ours.
        raise
    if (swapped := stat_entry(new)) is not None and not same_inode(swapped, content.info):
        _swap_back(target, new, ours)
        drop(kept)
        raise ChangingError("another file took its place")
    sync_entries(target)
    settle_replaced(target, new, kept, content.sha256)


def _put(new: FolderEntry, target: FolderEntry, kept: FolderEntry) -> None:
    """After it, ``new`` is what lay at the target, or nothing."""
    try:
        exchange(new, target)
    except FileNotFoundError:
        drop(kept)  # Somebody has ended it meanwhile.
        raise
    except OSError as error:
        if error.errno not in _NO_RENAME:
            raise
        os.rename(new.name, target.name, src_dir_fd=new.folder, dst_dir_fd=target.folder)


def _swap_back(target: FolderEntry, new: FolderEntry, ours: os.stat_result | None) -> None:
    """For another file that had taken the place, and was swapped out. Raises ChangingError, OSError."""
    exchange(new, target)
    if not same_inode(stat_entry(new), ours):
        exchange(new, target)  # It was saved once more: the last one is to lie there.
        raise _left_beside(new)
    sync_entries(target)
    drop(new)


def settle_replaced(target: FolderEntry, new: FolderEntry, kept: FolderEntry, sha256: bytes) -> None:
    """Bring :func:`replace` to its end, or back to its beginning, from wherever it was left.

    Raises ChangingError where what was to be replaced has other bytes now, or another file had taken its place: that
    lies there again.
    """
    old, now = stat_entry(kept), stat_entry(target)
    if old is not None:
        swapped = stat_entry(new)
        if same_inode(old, swapped):
            drop(new)
            swapped = None
        if same_inode(old, now):
            drop(kept)  # It had not been replaced yet.
        elif swapped is not None and _holds(target, sha256) and not _holds(new, sha256):
            _swap_back(target, new, now)
            raise _left_beside(kept)
        elif now is not None and read_content(kept).sha256 == sha256 == read_content(target).sha256:
            drop(kept)
        elif now is None or read_content(target).sha256 == sha256:
            os.rename(kept.name, target.name, src_dir_fd=kept.folder, dst_dir_fd=target.folder)
            sync_entries(target)
            raise ChangingError("it changed while it was replaced")
        else:
            raise _left_beside(kept)
    drop(new)


def _left_beside(at: FolderEntry) -> ChangingError:
    return ChangingError(f"it changed, and what it was before lies beside it: {os.fsdecode(at.name)}")


def _holds(at: FolderEntry, sha256: bytes) -> bool:
    with suppress(OSError, ChangingError):
        return read_content(at).sha256 == sha256
    return False
