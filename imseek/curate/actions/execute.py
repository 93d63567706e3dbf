"""What is done to one file, and how what was begun is brought to its end. The journal has it on record before."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

from imseek.curate.actions import trash
from imseek.curate.actions.journal import Journal
from imseek.curate.actions.journal_records import Intent
from imseek.curate.actions.plans import LINKING
from imseek.curate.actions.precheck import CHANGED, GONE, LeftAloneError, explained, said
from imseek.data import durable_files, file_copies, file_moves, layout, safe_path
from imseek.data.safe_path import ChangingError, Content, FolderEntry, SafePath
from imseek.data.system_errors import explained as durably

#: Bytes in a name, as nearly all file systems have it.
_NAME_MAX: Final = 255
#: What the marker of a folder of quarantine says.
_MARKER: Final = """Pictures that `imseek apply` has put away lie here, in folders as they lay in before.

`imseek undo` brings them back to their places. While this file is here, imseek does not look for pictures in this
folder. Delete nothing here that you may want back.
"""


def prepare_quarantine(folder: bytes) -> None:
    """Make a folder of quarantine, with its marker, both durable; a new one is for its user only.

    Raises StorageError, OSError.
    """
    path = Path(os.fsdecode(folder))
    if path.is_symlink():
        raise LeftAloneError(f"{path} is a symbolic link: nothing is put away there")
    above = durable_files.make_folder(path.parent)
    if not path.is_dir():
        with durably(path):
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


def free_name(spot: SafePath, full: bytes, taken: set[bytes], promised: Mapping[bytes, bytes]) -> SafePath:
    """The spot for the file at ``full``, or one beside it with a number, where nothing lies and nothing else is to go.

    ``promised`` are places that belong to files by the journals (:func:`imseek.curate.actions.journal.promised`), also
    where nothing lies yet: what lay there would be taken for that file.
    """
    folder, name = os.path.split(spot.inner)
    stem, ending = os.path.splitext(name)
    number, free = 1, spot
    while free.full in taken or promised.get(free.full, full) != full or os.path.lexists(free.full):
        number += 1
        behind = b" (%d)" % number + ending
        free = SafePath(spot.base, os.path.join(folder, _cut(stem, _NAME_MAX - len(behind)) + behind))
    taken.add(free.full)
    return free


def _cut(stem: bytes, length: int) -> bytes:
    """The stem, at most so long, without half a character of UTF-8 at its end."""
    if len(stem) <= length:
        return stem
    while length > 1 and stem[length] & 0xC0 == 0x80:
        length -= 1
    return stem[: max(length, 1)]


def target_of(intent: Intent) -> SafePath:
    """Where a file is put away."""
    return SafePath(intent.to_base, intent.inner_to)


def part_of(journal: Journal, intent: Intent, ending: bytes = b"part") -> bytes:
    """A name of ours beside a file, for what is not finished."""
    return b".imseek-%s-%d.%s" % (journal.undo_id.encode(), intent.n, ending)


def act(
    journal: Journal, intent: Intent, spot: SafePath, content: Content, unsynced: safe_path.Unsynced
) -> bytes | None:
    """Do to a file what is meant; returns where it lies then, if it has moved. See :func:`moving.move`.

    It was read as ``content`` a moment ago. Raises LeftAloneError, with everything as it was if the disk lets us, see
    :func:`is_touched`; StorageError.
    """
    with explained(), safe_path.open_parent(spot) as at:
        if intent.action == "quarantine":
            return _put_away(journal, intent, at, content, unsynced)
        if intent.action == "trash":
            return _throw(journal, intent, at, spot, content)
        _link(journal, intent, at, content)
    return None


def _put_away(
    journal: Journal, intent: Intent, at: FolderEntry, content: Content, unsynced: safe_path.Unsynced
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
    unsynced: safe_path.Unsynced,
) -> None:
    """:func:`moving.move`, there or back, with a copy that it makes on record."""
    part = part_of(journal, intent)
    file_moves.move(
        source, target, content, part, unsynced, lambda copy: journal.note_copy(intent.n, copy.st_ino)
    )


def _throw(
    journal: Journal, intent: Intent, at: FolderEntry, spot: SafePath, content: Content
) -> bytes | None:
    # The trash works with paths: this one leads through no link, as it was opened just now.
    now = safe_path.stat_entry(at)
    if now is None or not safe_path.same(now, content.info):
        raise ChangingError("it changed just now")
    try:
        to = trash.send(spot.full, content.sha256)
    except OSError as error:
        if safe_path.stat_entry(at) is not None:
            raise
        to = trash.find(spot.full, content.sha256)
        if to is None:
            raise LeftAloneError(f"the trash took it and failed: {said(error)}") from error
    safe_path.sync_entries(at)
    if to is not None:
        journal.note_trashed(intent.n, to)
    return to


def _link(journal: Journal, intent: Intent, at: FolderEntry, content: Content) -> None:
    new, kept = beside(journal, intent, at)
    file_moves.settle_replaced(at, new, kept, content.sha256)
    keeper = SafePath.of(intent.keeper)
    with safe_path.open_parent(keeper) as source:
        if intent.action == "hard-link":
            os.link(
                source.name,
                new.name,
                src_dir_fd=source.folder,
                dst_dir_fd=new.folder,
                follow_symlinks=False,
            )
        else:
            try:
                file_copies.write_clone(source, new)
            except OSError as error:
                file_moves.drop(new)
                if error.errno in (errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.ENOTTY, errno.ENOSYS):
                    raise LeftAloneError("this file system cannot share blocks between files") from error
                raise
            file_copies.restore_attributes(new, intent.owner, intent.attributes)
            file_copies.restore_facts(new, intent.mode, intent.mtime_ns)
    try:
        if safe_path.read_content(new).sha256 != content.sha256:
            raise ChangingError("the keeper changed just now")
    except BaseException:
        file_moves.drop(new)
        raise
    file_moves.replace(at, new, kept, content)


def is_touched(journal: Journal, intent: Intent, spot: SafePath) -> bool:
    """Whether an act that has failed may have done something already, as far as the disk tells."""
    if intent.action == "tag":
        return False
    try:
        with folder_of(spot) as at:
            here = None if at is None else safe_path.stat_entry(at)
            if intent.action == "trash":
                return here is None
            if intent.action != "quarantine":
                return at is not None and _is_replaced(journal, intent, at, here)
        with folder_of(target_of(intent)) as target:
            return target is not None and safe_path.stat_entry(target) is not None
    except OSError as error:
        return error.errno != errno.ENAMETOOLONG  # Nothing can lie under such a name.


def _is_replaced(journal: Journal, intent: Intent, at: FolderEntry, here: os.stat_result | None) -> bool:
    if safe_path.stat_entry(beside(journal, intent, at)[1]) is not None:
        return True
    with folder_of(SafePath.of(intent.keeper)) as keeper:
        return keeper is not None and safe_path.same_inode(here, safe_path.stat_entry(keeper))


def beside(journal: Journal, intent: Intent, at: FolderEntry) -> tuple[FolderEntry, FolderEntry]:
    """Names for the new file and for the old one, in the folder of what is replaced."""
    return FolderEntry(at.folder, part_of(journal, intent, b"new")), FolderEntry(
        at.folder, part_of(journal, intent, b"old")
    )


def settle(journal: Journal, intent: Intent, spot: SafePath) -> bool:
    """Whether what was meant is done, once what was begun has been brought to its end; else it is to be done yet.

    For an intent of which it is not known what came. Raises LeftAloneError where neither can be, StorageError.
    """
    sha256 = bytes.fromhex(intent.content_hash)
    if intent.action == "tag":
        return True
    with explained():
        if intent.action in LINKING:
            return _settle_link(journal, intent, spot, sha256)
        with folder_of(spot) as at:
            here = None if at is None else safe_path.stat_entry(at)
            if intent.action == "trash":
                if here is None and intent.n not in journal.trashed:
                    if (found := trash.find(intent.full, sha256)) is None:
                        raise LeftAloneError(GONE)
                    journal.note_trashed(intent.n, found)
                if here is not None:
                    trash.forget(intent.full)
                return here is None
            return _settle_move(journal, intent, at, sha256)


def _settle_move(journal: Journal, intent: Intent, at: FolderEntry | None, sha256: bytes) -> bool:
    here = None if at is None else safe_path.stat_entry(at)
    with folder_of(target_of(intent)) as target:
        there = None
        if target is not None:
            file_moves.drop(FolderEntry(target.folder, part_of(journal, intent)))
            there = safe_path.stat_entry(target)
        if here is None and there is None:
            raise LeftAloneError(GONE)
        if target is None or there is None:
            return False
        if at is None or here is None:
            return True
        if safe_path.same_inode(here, there):
            if safe_path.read_content(at).sha256 != sha256:
                raise LeftAloneError(CHANGED)
            safe_path.sync_entries(target)
            file_moves.drop(at)
            return True
        # Copied to another disk, and the original not ended yet; if that copy is not ours, another name is taken.
        if (
            there.st_ino not in journal.copies.get(intent.n, ())
            or safe_path.read_content(target).sha256 != sha256
        ):
            return False
        content = safe_path.read_content(at)
        if content.sha256 != sha256:
            raise LeftAloneError(CHANGED)
        safe_path.sync_entries(target)
        file_moves.end_original(at, content)
        return True


def _settle_link(journal: Journal, intent: Intent, spot: SafePath, sha256: bytes) -> bool:
    with safe_path.open_parent(spot) as at:
        file_moves.settle_replaced(at, *beside(journal, intent, at), sha256)
        here = safe_path.stat_entry(at)
    if here is None or intent.action == "reflink":
        return False
    with safe_path.open_parent(SafePath.of(intent.keeper)) as keeper:
        return safe_path.same_inode(here, safe_path.stat_entry(keeper))


@contextmanager
def folder_of(spot: SafePath | None) -> Iterator[FolderEntry | None]:
    """As :func:`safe_path.open_parent`; None where the folder is not there."""
    if spot is None:
        yield None
        return
    with ExitStack() as stack:
        try:
            at = stack.enter_context(safe_path.open_parent(spot))
        except FileNotFoundError:
            at = None
        yield at
