"""Write files that must survive a power cut. No other module does.

Each call returns only when its effect would survive one: data is fsynced before it gets its final name, and the folder
after that. SQLite does the same for the catalog (``synchronous=FULL``). System errors become StorageError, including
those of fsync, which is never retried: a second fsync may report success although the data was lost.
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import shutil
import stat
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from operator import methodcaller
from pathlib import Path
from typing import Any, BinaryIO, Final

from imseek.data.files.system_errors import system_error, translate_os_errors

#: Files of a tree that are fsynced concurrently.
_SYNC_THREADS: Final = 8


@dataclass(frozen=True, slots=True)
class FileDigest:
    """Size in bytes and hex sha256 of a file on disk."""

    size: int
    sha256: str


class _HashingFile(io.RawIOBase):
    """A binary file for writing that hashes the data written."""

    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw
        self._hash = hashlib.sha256()
        self._size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        self._raw.write(view)
        self._hash.update(view)
        self._size += view.nbytes
        return view.nbytes

    def digest(self) -> FileDigest:
        return FileDigest(self._size, self._hash.hexdigest())


def stage(path: Path, write: Callable[[Any], object]) -> FileDigest:
    """Write ``path`` through ``write(file)`` and fsync it. It still has to be published."""
    with translate_os_errors(path), _create(path) as raw:
        out = _HashingFile(raw)
        write(out)
        raw.flush()
        os.fsync(raw.fileno())
    return out.digest()


def _create(path: Path) -> BinaryIO:
    """Open a file for writing, truncating an existing one; a link in its place is refused.

    Only those who may read its folder can read it, regardless of the umask. Raises OSError.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    fd = os.open(path, flags, 0o600)
    try:
        os.fchmod(fd, os.stat(path.parent).st_mode & 0o666)
        return os.fdopen(fd, "wb")
    except BaseException:
        os.close(fd)
        raise


def stage_unhashed(path: Path, write: Callable[[Any], object]) -> None:
    """As :func:`stage`, for a file that needs no digest."""
    with translate_os_errors(path), _create(path) as raw:
        write(raw)
        raw.flush()
        os.fsync(raw.fileno())


def publish(moves: Iterable[tuple[Path, Path]]) -> None:
    """Rename staged files to their final names, then fsync their folders."""
    sync_folders(move(moves))


def move(moves: Iterable[tuple[Path, Path]]) -> set[Path]:
    """Rename staged files to their final names; returns the folders that still need an fsync."""
    folders: set[Path] = set()
    for staged, final in moves:
        folders |= make_folder(final.parent)
        if staged != final:  # Else it is adopted in place.
            with translate_os_errors(final):
                staged.rename(final)
        folders.add(final.parent)
    return folders


def write_file(path: Path, data: bytes, *, staging: Path) -> None:
    """Replace ``path`` with ``data`` atomically."""
    write_files({path: data}, staging=staging)


def write_files(contents: Mapping[Path, bytes], *, staging: Path) -> None:
    """Replace each path with its data. Each is atomic on its own: a power cut may leave some new and some old."""
    moves = []
    for path, data in contents.items():
        staged = staging / f"{path.name}.{os.getpid()}"
        stage(staged, methodcaller("write", data))
        moves.append((staged, path))
    publish(moves)


def append(path: Path, data: bytes, *, sync: bool = True) -> None:
    """Append lines to an existing file and fsync it. An incomplete last line, left by a kill, is first terminated.

    Without ``sync``, the lines survive a kill but not a power cut. Raises StorageError, also for a file with a second
    name (a hard link), which would change too.
    """
    with translate_os_errors(path):
        fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            info = os.fstat(fd)
            if info.st_nlink > 1:
                raise OSError(errno.EMLINK, "it has another name too (a hard link)")
            end = info.st_size
            if end and os.pread(fd, 1, end - 1) != b"\n":
                data = b"\n" + data
            count = 0
            while count < len(data):
                count += os.pwrite(fd, data[count:], end + count)
            if sync:
                os.fsync(fd)
        finally:
            os.close(fd)


def make_folder(path: Path, mode: int = 0o777) -> set[Path]:
    """Create ``path`` and its parents; returns the folders that gained an entry and still need an fsync."""
    missing = []
    while not path.is_dir():
        missing.append(path)
        path = path.parent
    for folder in reversed(missing):
        with translate_os_errors(folder):
            folder.mkdir(mode, exist_ok=True)
    return {folder.parent for folder in missing}


def sync_above(path: Path) -> None:
    """Fsync the folders above ``path``, up to the root of its file system.

    Unreadable folders are skipped: someone else made their entries.
    """
    for folder in path.parents:
        if os.access(folder, os.R_OK):
            sync_folder(folder)
        if folder.is_mount():
            break


def remove_files(paths: Iterable[Path]) -> int:
    """Unlink files durably, ignoring missing ones. Returns how many were removed."""
    removed_paths = [path for path in paths if _unlink(path)]
    sync_folders({path.parent for path in removed_paths})
    return len(removed_paths)


def discard_files(paths: Iterable[Path]) -> int:
    """Unlink files that a power cut may harmlessly bring back. Returns how many were removed."""
    return sum(_unlink(path) for path in paths)


def _unlink(path: Path) -> bool:
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise system_error(error, path) from error
    return True


def recreate_folder(path: Path) -> None:
    """Delete and recreate a folder for unfinished work, with the permissions of its parent.

    It keeps the parent's set-group-ID bit, since its files move there. Not fsynced, since it need not survive. Raises
    StorageError, also where a link has its name.
    """
    remove_tree(path)
    with translate_os_errors(path):
        with suppress(FileExistsError):  # A file in it could not be removed.
            path.mkdir(0o700)
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            os.fchmod(fd, os.stat(path.parent).st_mode & (stat.S_ISGID | 0o777))
        finally:
            os.close(fd)


def remove_tree(path: Path) -> None:
    """Remove a folder of unfinished work; what cannot be removed is left to the next writer.

    Links in it are removed, not followed; a folder that is itself a link stays.
    """
    with suppress(RecursionError):  # Thousands of nested folders: not ours.
        shutil.rmtree(path, ignore_errors=True)


def sync_folders(paths: Iterable[Path]) -> None:
    """Fsync folders, each once."""
    for path in sorted(paths):
        sync_folder(path)


def sync_folder(path: Path) -> None:
    with translate_os_errors(path):
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def digest_of(path: Path) -> FileDigest:
    """Compute size and sha256 of a file on disk."""
    with path.open("rb") as file:
        return digest_of_file(file)


def digest_of_file(file: io.FileIO | io.BufferedReader) -> FileDigest:
    """Compute size and sha256 of a file that is open at its beginning."""
    digest = hashlib.file_digest(file, "sha256")
    return FileDigest(os.fstat(file.fileno()).st_size, digest.hexdigest())


def add_checksum(document: Mapping[str, Any]) -> bytes:
    """Encode JSON with a ``sha256`` member over the rest, so that damage is detected on reading."""
    body = json.dumps(document, sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(body.encode()).hexdigest()
    return (json.dumps({**document, "sha256": digest}, indent=1) + "\n").encode()


def strip_checksum(data: bytes) -> dict[str, Any]:
    """Decode the output of :func:`add_checksum`. Raises ValueError for anything but exactly those bytes."""
    try:
        document = json.loads(data)
    except RecursionError as error:  # Nested too deeply to be ours.
        raise ValueError("not a JSON object") from error
    if not isinstance(document, dict):
        raise ValueError("not a JSON object")
    document.pop("sha256", None)
    if data != add_checksum(document):
        raise ValueError("its checksum does not match")
    return document


def sync_tree(folder: Path) -> None:
    """Fsync a folder that other code wrote, recursively. Links are not followed.

    Files are synced in parallel: a disk batches them, while thousands in sequence would each wait for it.
    """
    from concurrent.futures import ThreadPoolExecutor  # Imported here: no search needs it.

    paths = [path for path in folder.rglob("*") if not path.is_symlink()]
    with ThreadPoolExecutor(_SYNC_THREADS) as pool:
        list(pool.map(sync_file, [path for path in paths if path.is_file()]))
    sync_folders({folder, *(path for path in paths if path.is_dir())})


def sync_file(path: Path) -> None:
    """Fsync a file that another library wrote (SQLite, FAISS)."""
    with translate_os_errors(path):
        fd = os.open(path, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
