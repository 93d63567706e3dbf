"""Open, list, publish and remove the files of a collection, always through its root and without following links.

A collection may come from someone else, and others may be able to write to its folder. So each part of a name is opened
with ``openat`` and ``O_NOFOLLOW`` from the folder before it (:mod:`imseek.data.user_files.safe_path`): no link among a
collection's own files is followed, even one created concurrently. Only regular files are opened; a pipe or device is
refused before it can block. The root itself is the user's path and may contain links. Nothing else in ``imseek.data``
opens, lists or unlinks files of a collection (``tests/unit/test_collection_files.py`` enforces that).
"""

from __future__ import annotations

import errno
import io
import math
import os
import shutil
import stat
import struct
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from imseek.data import layout
from imseek.data.files.durable_files import FileDigest, digest_of_file
from imseek.data.files.mapped_arrays import map_array
from imseek.data.files.system_errors import translate_os_errors
from imseek.data.user_files import safe_path
from imseek.data.user_files.safe_path import FOLDER_FLAGS, ChangingError, FolderEntry
from imseek.errors import CorruptCollectionError, repair_command

#: Maximum bytes of a JSON file with a checksum: a collection of a hundred million images needs less.
MAX_JSON: Final = 1 << 24
#: Maximum bytes of a file of a model, or of all judgements.
MAX_LARGE_JSON: Final = 1 << 30

#: What :func:`kind_of` returns for a folder.
A_FOLDER: Final = "a folder"
#: What :func:`find_files` reports for a folder that is nested too deeply to list.
TOO_DEEP: Final = "a folder too many levels down"
#: What :func:`find_strange_at_top` reports for a file with two names, as ``cp -al`` makes them.
HARD_LINK: Final = "a hard link to a file that has another name"
#: Errors of the system where a link or a file takes the place of a folder.
_LINK_ERRORS: Final = frozenset({errno.ELOOP, errno.ENOTDIR, errno.EMLINK})
#: Maximum nesting below a top-level folder: the deepest of ours are those of snapshots and caches.
_MAX_DEPTH: Final = 8
#: NumPy dtype kinds in a collection and its caches: booleans, numbers, text.
_KINDS: Final = "biufU"
#: Exceptions of `zipfile` for damage, besides OSError where a member's offset is before the file's start.
_ZIP_DAMAGE: Final = (
    zipfile.BadZipFile, KeyError, OverflowError, NotImplementedError, RuntimeError, EOFError, struct.error,
)  # fmt: skip
#: By the kind of a listed file, dtype and number of dimensions of its array.
_TYPES: Final = {
    "ids": (np.dtype(np.int64), 1),
    "vectors": (np.dtype(np.float16), 2),
    "dead": (np.dtype(np.uint32), 1),
}
#: Maximum characters of an array's header. Structured arrays have the longest.
_MAX_HEADER: Final = 4096


class DamagedFileError(CorruptCollectionError, ValueError):
    """The content of a collection's file does not match its name."""


class FoundFiles(NamedTuple):
    """The content of some folders: ``files`` and ``folders`` by path below the root.

    ``strange`` maps the path of anything else to what it is (``"a symbolic link"``).
    """

    files: list[str]
    folders: list[str]
    strange: dict[str, str]


def open_file(root: Path, name: str) -> FileIO:
    """Open a file of a collection for reading, unbuffered.

    Raises FileNotFoundError, OSError where the system refuses, UnsafePathError for a name that leads out of the
    collection, and CorruptCollectionError for a link or anything but a regular file there or on the way.
    """
    with _entry(root, name) as entry:
        return FileIO(safe_path.open_regular(entry), "rb")


def path_of(file: BinaryIO | FileIO, root: Path, name: str) -> str:
    """Return a path for libraries that open files by name only.

    On Linux it leads to the open ``file`` itself, elsewhere to its name.
    """
    path = f"/proc/self/fd/{file.fileno()}"
    return path if os.path.exists(path) else str(root / name)


def read_file(root: Path, name: str, limit: int = MAX_JSON) -> bytes:
    """Read a file of a collection. Raises as :func:`open_file`, and CorruptCollectionError above ``limit`` bytes."""
    with open_file(root, name) as file:
        size = os.fstat(file.fileno()).st_size
        if size > limit:
            raise _corrupt(root, f"{root / name} has {size:,} bytes; the limit is {limit:,}")
        data = bytearray()
        while block := file.read(1 << 20):
            data += block
            if len(data) > limit:
                raise _corrupt(root, f"{root / name} grows while it is read")
    return bytes(data)


def digest(root: Path, name: str, expected_size: int | None = None) -> FileDigest:
    """Compute size and SHA-256 of a file; only the size where it differs from ``expected_size``.

    Raises as :func:`open_file`.
    """
    with open_file(root, name) as file:
        size = os.fstat(file.fileno()).st_size
        return digest_of_file(file) if expected_size in (None, size) else FileDigest(size, "")


def load_array(root: Path, name: str, *, mapped: bool = True, rows: int | None = None) -> npt.NDArray[Any]:
    """Load the array of a ``.npy`` file, memory-mapped read-only or read into memory.

    Raises as :func:`open_file`, and DamagedFileError where the file does not hold a complete numeric array, or the
    array is zero-dimensional, does not have the dtype and dimensions for this file name, or does not have ``rows``
    rows.
    """
    with open_file(root, name) as file:
        try:
            array = read_array(file, mapped=mapped)
            listed_file = layout.parse(name)
            expected = None if listed_file is None else _TYPES.get(listed_file.kind)
            is_expected = array.ndim > 0 and expected in (None, (array.dtype, array.ndim))
            if not is_expected or rows not in (None, len(array)):
                raise ValueError(f"an array of {array.dtype} and shape {array.shape}")
        except ValueError as error:
            raise damaged_file_error(root, name, error) from error
    return array


def read_array(file: FileIO, *, mapped: bool) -> npt.NDArray[Any]:
    """Read the array of an open ``.npy`` file. Raises ValueError where it is invalid or its length does not match.

    NumPy's own ``load`` trusts the header and would allocate whatever memory that asks for. Here the shape must match
    the bytes that are there.
    """
    size = os.fstat(file.fileno()).st_size
    shape, dtype = _read_header(file, size)
    if mapped and 0 not in shape:
        return map_array(file, dtype, shape)
    return _array(_read_rest(file, size - file.tell()), dtype, shape)


def read_arrays(file: FileIO, names: Iterable[str]) -> tuple[npt.NDArray[Any], ...]:
    """Read arrays of an open ``.npz`` file by name.

    Raises ValueError where one is missing, damaged (by its CRC-32) or compressed: the size must match the bytes that
    are there.
    """
    arrays = []
    try:
        with zipfile.ZipFile(file) as archive:
            for name in names:
                member = archive.getinfo(f"{name}.npy")
                if member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size:
                    raise ValueError(f"{name} is packed")
                data = io.BytesIO(archive.read(member))
                shape, dtype = _read_header(data, member.file_size)
                arrays.append(_array(data.read(), dtype, shape))
    except _ZIP_DAMAGE as error:
        raise ValueError(str(error)) from error
    except OSError as error:
        if error.errno not in (None, errno.EINVAL):
            raise
        raise ValueError("its members lie before its beginning") from error
    return tuple(arrays)


def _read_header(file: FileIO | io.BytesIO, size: int) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Read shape and dtype of a ``.npy`` file of ``size`` bytes; its data follows. Raises ValueError."""
    try:
        if (version := np.lib.format.read_magic(file)) != (1, 0):
            raise ValueError(f"version {version} of the format")
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(file, max_header_size=_MAX_HEADER)
    except Exception as error:  # NumPy does not document what damaged bytes raise.
        raise ValueError(str(error)) from error
    if fortran or not _is_plain(dtype):
        raise ValueError(f"an array of {dtype}")
    if not all(type(side) is int and side >= 0 for side in shape):
        raise ValueError(f"an array of shape {shape}")
    if file.tell() + math.prod(shape) * dtype.itemsize != size:
        raise ValueError(f"{size:,} bytes do not hold an array of shape {shape}")
    return shape, dtype


def _read_rest(file: FileIO, size: int) -> bytearray:
    data = bytearray(size)
    view, position = memoryview(data), 0
    while position < size:
        if not (count := file.readinto(view[position:])):
            raise ValueError("it ends early")
        position += count
    return data


def _array(data: bytes | bytearray, dtype: np.dtype[Any], shape: tuple[int, ...]) -> npt.NDArray[Any]:
    return np.frombuffer(data, dtype).reshape(shape)


def _is_plain(dtype: np.dtype[Any]) -> bool:
    """Whether a dtype holds only numbers and text, in the byte order that we write."""
    if dtype.fields is not None:
        return all(_is_plain(field.base) for field, *_ in dtype.fields.values())
    return dtype.kind in _KINDS and dtype == dtype.newbyteorder("<") and dtype.itemsize > 0


def stat_file(root: Path, name: str) -> os.stat_result | None:
    """Stat an entry of a collection without following a link; None where it does not exist.

    Raises as :func:`open_file` where a link lies on the way.
    """
    try:
        with _entry(root, name) as entry:
            return safe_path.stat_entry(entry)
    except FileNotFoundError:
        return None


def stat_regular(root: Path, name: str) -> os.stat_result | None:
    """Stat a regular file; None for anything else, and behind a link.

    It opens nothing, so it costs little, and tells only whether a file is still one that :func:`open_file` opened.
    """
    path = os.fspath(root)
    *folders, last = name.split("/")
    try:
        for folder in folders:
            path = f"{path}/{folder}"
            if not stat.S_ISDIR(os.lstat(path).st_mode):
                return None
        info = os.lstat(f"{path}/{last}")
    except OSError:
        return None
    return info if stat.S_ISREG(info.st_mode) else None


def is_file(root: Path, name: str) -> bool:
    """Whether a name is that of a regular file. Raises as :func:`open_file` where a parent folder is a link."""
    info = stat_file(root, name)
    return info is not None and stat.S_ISREG(info.st_mode)


def find_files(root: Path, *folders: str) -> FoundFiles:
    """List everything in these folders recursively, sorted. A missing folder counts as empty.

    Raises OSError where the system refuses to list one, and CorruptCollectionError where a link leads to it.
    """
    listing = FoundFiles([], [], {})
    for folder in folders:
        parent, _, _ = folder.rpartition("/")
        with suppress(FileNotFoundError), _translate_errors(root, folder):
            fd = _open_folder(root, parent)
            try:
                _walk(fd, folder, listing)
            finally:
                os.close(fd)
    for names in (listing.files, listing.folders):
        names.sort()
    return listing


def _walk(parent: int, path: str, listing: FoundFiles) -> None:
    """Add the folder at ``path``, whose parent is open as ``parent``, and all its content."""
    entry = FolderEntry(parent, os.fsencode(path.rpartition("/")[2]))
    if path.count("/") > _MAX_DEPTH:
        listing.strange[path] = TOO_DEEP
        return
    try:
        fd = os.open(entry.name, FOLDER_FLAGS | os.O_NOFOLLOW, dir_fd=parent)
    except FileNotFoundError:
        return
    except OSError as error:
        if error.errno not in _LINK_ERRORS:
            raise
        if (info := safe_path.stat_entry(entry)) is not None:
            listing.strange[path] = kind_of(info)
        return
    try:
        listing.folders.append(path)
        with os.scandir(fd) as entries:
            names = sorted((inner.name, inner.is_dir(follow_symlinks=False)) for inner in entries)
        for name, is_folder in names:
            below = f"{path}/{name}"
            if is_folder:
                _walk(fd, below, listing)
            elif (info := safe_path.stat_entry(FolderEntry(fd, os.fsencode(name)))) is None:
                continue  # A writer has removed it meanwhile.
            elif stat.S_ISREG(info.st_mode):
                listing.files.append(below)
            else:
                listing.strange[below] = kind_of(info)
    finally:
        os.close(fd)


def find_strange_at_top(root: Path) -> dict[str, str]:
    """Find top-level entries of the wrong type, with a description of each.

    That is a link instead of a folder, a pipe instead of a file, or a hard link to a file that is written in place
    (which would change another collection or a user's file). Raises OSError.
    """
    strange = {}
    with os.scandir(root) as entries:
        for entry in entries:
            if not layout.is_ours(entry.name):
                continue
            is_expected = stat.S_ISDIR if entry.name in layout.FOLDERS else stat.S_ISREG
            try:
                info = entry.stat(follow_symlinks=False)
            except FileNotFoundError:  # SQLite's log goes as its last connection closes, perhaps in another process.
                continue
            if not is_expected(info.st_mode):
                strange[entry.name] = kind_of(info)
            elif entry.name in layout.IN_PLACE and info.st_nlink > 1:
                strange[entry.name] = HARD_LINK
    return strange


def refuse_strange(root: Path, strange: dict[str, str]) -> None:
    """Raise CorruptCollectionError if ``strange`` is not empty."""
    for name, kind in strange.items():
        raise foreign_file_error(root, name, kind)


def foreign_file_error(root: Path, name: str, kind: str) -> CorruptCollectionError:
    """Build the error for something in a collection that imseek never creates there."""
    if kind == HARD_LINK:
        return CorruptCollectionError(
            f"{root / name} is {HARD_LINK}: writing to it would change the other file too",
            hint=f"`{repair_command(root)}` replaces it with a separate copy",
        )
    return CorruptCollectionError(
        f"{root / name} is {kind}, where a collection has a {'folder' if name in layout.FOLDERS else 'file'}",
        hint="imseek did not create it: remove it, or contact the person who gave you this collection",
    )


def kind_of(info: os.stat_result) -> str:
    """Describe the type of a file to the user."""
    for matches, kind in (
        (stat.S_ISLNK, "a symbolic link"),
        (stat.S_ISDIR, A_FOLDER),
        (stat.S_ISFIFO, "a pipe"),
        (stat.S_ISSOCK, "a socket"),
        (stat.S_ISREG, "a file"),
    ):
        if matches(info.st_mode):
            return kind
    return "a device"


def create_file(root: Path, name: str) -> FileIO:
    """Create a file of a collection for writing, and its parent folders. Nothing is made durable.

    Raises OSError, including FileExistsError, and as :func:`open_file` where a link lies on the way.
    """
    _make_folders(root, name)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with _entry(root, name) as entry:
        file = FileIO(os.open(entry.name, flags, 0o600, dir_fd=entry.folder), "wb")
        try:
            os.fchmod(file.fileno(), permissions(root))
        except BaseException:
            file.close()
            raise
        return file


def break_hard_link(root: Path, name: str) -> None:
    """Replace a hard-linked file with a copy, so that it has only one name. Raises as :func:`create_file`."""
    staged = f"{layout.STAGING}/{name}"
    remove_files(root, [staged])
    with open_file(root, name) as source, create_file(root, staged) as target:
        shutil.copyfileobj(source, target)
        os.fsync(target.fileno())
    sync_folders(root, publish(root, [(root / staged, name)]))


def rename_file(root: Path, name: str, new_name: str) -> None:
    """Rename a file within its folder, replacing any file of that name. Raises as :func:`create_file`."""
    with _entry(root, name) as entry:
        last = os.fsencode(new_name.rpartition("/")[2])
        os.rename(entry.name, last, src_dir_fd=entry.folder, dst_dir_fd=entry.folder)


def remove_folder(root: Path, name: str) -> None:
    """Remove a folder recursively, without following links. Raises as :func:`open_file`."""
    with suppress(FileNotFoundError), _entry(root, name) as entry:
        shutil.rmtree(entry.name, dir_fd=entry.folder)


def touch(root: Path, name: str) -> None:
    """Set the mtime of a file or folder to now. Raises as :func:`open_file`."""
    with _entry(root, name) as entry:
        os.utime(entry.name, dir_fd=entry.folder, follow_symlinks=False)


def publish(root: Path, moves: Iterable[tuple[Path, str]]) -> set[str]:
    """Rename staged files to their names in a collection; returns the folders that still need an fsync.

    ``moves`` are pairs of a path in staging and a name below the root; both are the same path for a file adopted in
    place. Missing folders are created. Raises StorageError, and as :func:`open_file`.
    """
    folders: set[str] = set()
    for staged, name in moves:
        with translate_os_errors(root / name):
            folders |= _make_folders(root, name)
            with _entry(root, name) as entry:
                if staged != root / name:
                    os.rename(staged, entry.name, dst_dir_fd=entry.folder)
        folders.add(name.rpartition("/")[0])
    return folders


def _make_folders(root: Path, name: str) -> set[str]:
    """Create the folders above a name; returns the folders that gained an entry."""
    parts, changed = name.split("/"), set()
    for depth in range(1, len(parts)):
        with suppress(FileExistsError):
            make_folder(root, "/".join(parts[:depth]))
            changed.add("/".join(parts[: depth - 1]))
    return changed


def make_folder(root: Path, name: str) -> None:
    """Create a folder of a collection with the permissions of the collection's root, regardless of the umask.

    Raises as :func:`create_file`.
    """
    with _entry(root, name) as entry:
        os.mkdir(entry.name, 0o700, dir_fd=entry.folder)
        fd = os.open(entry.name, FOLDER_FLAGS | os.O_NOFOLLOW, dir_fd=entry.folder)
        try:
            os.fchmod(fd, permissions(root, folder=True))
        finally:
            os.close(fd)


def sync_folders(root: Path, folders: Iterable[str]) -> None:
    """Fsync folders of a collection (``""`` is the root), each once. Raises StorageError."""
    for folder in sorted(set(folders)):
        with translate_os_errors(root / folder):
            fd = _open_folder(root, folder)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)


def remove_files(root: Path, names: Iterable[str], *, durable: bool = False) -> int:
    """Unlink files of a collection, ignoring missing ones. Returns how many were removed.

    With ``durable``, a power cut does not bring them back. A link itself is unlinked. Raises StorageError,
    UnsafePathError for a name that leads elsewhere, and as :func:`open_file` where a link lies on the way.
    """
    count, folders = 0, set()
    for name in names:
        with translate_os_errors(root / name), suppress(FileNotFoundError), _entry(root, name) as entry:
            os.unlink(entry.name, dir_fd=entry.folder)
            count += 1
            folders.add(name.rpartition("/")[0])
    if durable:
        sync_folders(root, folders)
    return count


def permissions(root: Path, *, folder: bool = False) -> int:
    """Return the mode for new files of a collection: readable by those who may read its root, and nobody else.

    For new folders the set-group-ID bit is kept, so that files inherit the group.
    """
    mode = os.stat(root).st_mode
    return mode & (stat.S_ISGID | 0o777) if folder else mode & 0o666


@contextmanager
def _entry(root: Path, name: str) -> Iterator[FolderEntry]:
    """Open the parent folder of a name and yield it with the last part; errors in the ``with`` name the file."""
    parts = safe_path.check_parts(os.fsencode(name))
    with _translate_errors(root, name):
        fd, last = safe_path.enter_parent(os.fspath(root), parts)
        try:
            yield FolderEntry(fd, last)
        finally:
            os.close(fd)


def _open_folder(root: Path, folder: str) -> int:
    if not folder:
        return os.open(root, FOLDER_FLAGS)
    with _entry(root, folder) as entry:
        return os.open(entry.name, FOLDER_FLAGS | os.O_NOFOLLOW, dir_fd=entry.folder)


@contextmanager
def _translate_errors(root: Path, name: str) -> Iterator[None]:
    """Put the file's name into system errors; raise CorruptCollectionError for a link or non-regular file."""
    try:
        yield
    except ChangingError as error:
        raise _corrupt(root, f"{root / name} is not a regular file") from error
    except OSError as error:
        if error.errno is None:
            raise
        if error.errno in _LINK_ERRORS and os.path.isdir(root):
            raise _corrupt(root, f"{root / name} is a link, or its path leads through a link or a file") from error
        raise OSError(error.errno, error.strerror, str(root / name)) from error


def damaged_file_error(root: Path, name: str, error: Exception) -> DamagedFileError:
    """Build the error for a file whose bytes made a library raise ``error``."""
    return DamagedFileError(f"{root / name} is damaged: {error}", hint=repair_command(root))


def _corrupt(root: Path, message: str) -> CorruptCollectionError:
    return CorruptCollectionError(message, hint=f"imseek collection verify {root}")
