"""Open, list, publish and remove the files of a collection, all through its root and without following links.

A collection may come from somebody else, and its folder may be writable by others. So a name is split into its parts,
and each part is one ``openat`` with ``O_NOFOLLOW`` from the folder before it (:mod:`imseek.data.safe_path`): no link
among a collection's own files is followed, whether it was there or has just been put there. What is opened is a
regular file; a pipe or a device is refused before anything waits for it. The root itself is a path of the user's, which
links may lead to. Nothing else in ``imseek.data`` opens, lists or unlinks files of a collection
(``tests/unit/test_collection_files.py`` holds that).
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

from imseek.data import layout, safe_path
from imseek.data.durable_files import Written, digest_of_file
from imseek.data.safe_path import FOLDER, ChangingError, FolderEntry
from imseek.data.system_errors import explained
from imseek.errors import CorruptCollectionError

#: Bytes of a sealed JSON file that is read: a collection of a hundred million images has less.
MAX_JSON: Final = 1 << 24
#: Bytes of a file that holds what was learned, or all judgements.
MAX_LARGE_JSON: Final = 1 << 30

#: What :func:`kind_of` says of a folder.
A_FOLDER: Final = "a folder"
#: What :func:`find_files` says of a folder below which it does not look.
TOO_DEEP: Final = "a folder too many levels down"
#: What :func:`check_top` says of a file with two names, as ``cp -al`` makes them.
HARD_LINK: Final = "a hard link to a file that has another name"
#: What the system says where a link, or a file, lies in the place of a folder.
_LINKS: Final = frozenset({errno.ELOOP, errno.ENOTDIR, errno.EMLINK})
#: Folders within each other, below one of the top: the deepest of ours is that of a snapshot, or of a cache.
_MAX_DEPTH: Final = 8
#: Kinds of the types of arrays that a collection and its caches hold: truth values, numbers, text.
_KINDS: Final = "biufU"
#: What `zipfile` raises at damage, besides OSError where a member is said to lie before the beginning.
_ZIP_DAMAGE: Final = (
    zipfile.BadZipFile, KeyError, OverflowError, NotImplementedError, RuntimeError, EOFError, struct.error,
)  # fmt: skip
#: By the kind of a listed file, the type of its array and the number of its dimensions.
_TYPES: Final = {
    "ids": (np.dtype(np.int64), 1),
    "vectors": (np.dtype(np.float16), 2),
    "dead": (np.dtype(np.uint32), 1),
}
#: Characters of the header of an array. That of a structured one is the longest.
_MAX_HEADER: Final = 4096


class DamagedFileError(CorruptCollectionError, ValueError):
    """A file of a collection does not hold what its name says."""


class FoundFiles(NamedTuple):
    """What lies in some folders: ``files`` and ``folders`` by their path below the root, and what is neither.

    ``strange`` has the path of each such thing with what it is (``"a symbolic link"``).
    """

    files: list[str]
    folders: list[str]
    strange: dict[str, str]


def open_file(root: Path, name: str) -> FileIO:
    """Open a file of a collection for reading, unbuffered.

    Raises FileNotFoundError, OSError where the system refuses, UnsafePathError for a name that leads out of the
    collection, and CorruptCollectionError where a link or anything but a regular file lies there, or on the way.
    """
    with _entry(root, name) as entry:
        return FileIO(safe_path.open_regular(entry), "rb")


def path_of(file: BinaryIO | FileIO, root: Path, name: str) -> str:
    """A path for libraries that open files by name only: it leads to the open ``file`` itself where the system has such
    paths (Linux), else to its name."""
    path = f"/proc/self/fd/{file.fileno()}"
    return path if os.path.exists(path) else str(root / name)


def read_file(root: Path, name: str, limit: int = MAX_JSON) -> bytes:
    """The content of a file of a collection. Raises as :func:`open_file`, and CorruptCollectionError where it has more
    than ``limit`` bytes."""
    with open_file(root, name) as file:
        size = os.fstat(file.fileno()).st_size
        if size > limit:
            raise _corrupt(root, f"{root / name} has {size:,} bytes; {limit:,} are the most")
        data = bytearray()
        while block := file.read(1 << 20):
            data += block
            if len(data) > limit:
                raise _corrupt(root, f"{root / name} grows while it is read")
    return bytes(data)


def digest(root: Path, name: str, stated: int | None = None) -> Written:
    """Size and SHA-256 of a file of a collection; of one that is not of the ``stated`` size, the size alone.

    Raises as :func:`open_file`.
    """
    with open_file(root, name) as file:
        size = os.fstat(file.fileno()).st_size
        return digest_of_file(file) if stated in (None, size) else Written(size, "")


def load_array(root: Path, name: str, *, mapped: bool = True, rows: int | None = None) -> npt.NDArray[Any]:
    """The array in a ``.npy`` file of a collection, mapped read-only into memory or read.

    Raises as :func:`open_file`, and DamagedFileError where it is no array of numbers that the file holds in full, or is
    not of the type that a file of this name has, or a single number, or has not as many ``rows``.
    """
    with open_file(root, name) as file:
        try:
            array = read_array(file, mapped=mapped)
            listed = layout.parse(name)
            wanted = None if listed is None else _TYPES.get(listed.kind)
            is_wanted = array.ndim > 0 and wanted in (None, (array.dtype, array.ndim))
            if not is_wanted or rows not in (None, len(array)):
                raise ValueError(f"an array of {array.dtype} and shape {array.shape}")
        except ValueError as error:
            raise damaged_file(root, name, error) from error
    return array


def read_array(file: FileIO, *, mapped: bool) -> npt.NDArray[Any]:
    """The array in an open ``.npy`` file. Raises ValueError where it is none, or does not end where it says.

    NumPy's own ``load`` believes the header: it would set aside whatever memory that asks for. Here the shape must be
    that of the bytes which are there.
    """
    size = os.fstat(file.fileno()).st_size
    shape, dtype = _read_header(file, size)
    if mapped and 0 not in shape:
        return np.memmap(file, dtype, "r", file.tell(), shape)
    return _array(_read_rest(file, size - file.tell()), dtype, shape)


def read_arrays(file: FileIO, names: Iterable[str]) -> tuple[npt.NDArray[Any], ...]:
    """Arrays of an open ``.npz`` file, by their names in it.

    Raises ValueError where one is missing or damaged (its CRC-32 tells), or packed: what is there must be as long as it
    says.
    """
    found = []
    try:
        with zipfile.ZipFile(file) as archive:
            for name in names:
                member = archive.getinfo(f"{name}.npy")
                if member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size:
                    raise ValueError(f"{name} is packed")
                data = io.BytesIO(archive.read(member))
                shape, dtype = _read_header(data, member.file_size)
                found.append(_array(data.read(), dtype, shape))
    except _ZIP_DAMAGE as error:
        raise ValueError(str(error)) from error
    except OSError as error:
        if error.errno not in (None, errno.EINVAL):
            raise
        raise ValueError("its members lie before its beginning") from error
    return tuple(found)


def _read_header(file: FileIO | io.BytesIO, size: int) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and type of the array in a ``.npy`` file of ``size`` bytes, whose content comes next. Raises ValueError."""
    try:
        if (version := np.lib.format.read_magic(file)) != (1, 0):
            raise ValueError(f"version {version} of the format")
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(file, max_header_size=_MAX_HEADER)
    except Exception as error:  # What damaged bytes make NumPy raise is not documented.
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
    view, at = memoryview(data), 0
    while at < size:
        if not (count := file.readinto(view[at:])):
            raise ValueError("it ends early")
        at += count
    return data


def _array(data: bytes | bytearray, dtype: np.dtype[Any], shape: tuple[int, ...]) -> npt.NDArray[Any]:
    return np.frombuffer(data, dtype).reshape(shape)


def _is_plain(dtype: np.dtype[Any]) -> bool:
    """Whether an array of this type holds nothing but numbers and text, in the order of bytes that we write."""
    if dtype.fields is not None:
        return all(_is_plain(field.base) for field, *_ in dtype.fields.values())
    return dtype.kind in _KINDS and dtype == dtype.newbyteorder("<") and dtype.itemsize > 0


def stat_file(root: Path, name: str) -> os.stat_result | None:
    """Stat the entry with this name in a collection, without following a link; None where there is none.

    Raises as :func:`open_file` where a link lies on the way.
    """
    try:
        with _entry(root, name) as entry:
            return safe_path.stat_entry(entry)
    except FileNotFoundError:
        return None


def is_file(root: Path, name: str) -> bool:
    """Whether a name is that of a regular file. Raises as :func:`open_file` where a parent folder is a link."""
    found = stat_file(root, name)
    return found is not None and stat.S_ISREG(found.st_mode)


def find_files(root: Path, *folders: str) -> FoundFiles:
    """Everything in these folders of a collection, at any depth, in order. A folder that is missing holds nothing.

    Raises OSError where the system refuses to list one, and CorruptCollectionError where a link leads to it.
    """
    found = FoundFiles([], [], {})
    for folder in folders:
        above, _, _ = folder.rpartition("/")
        with suppress(FileNotFoundError), _named(root, folder):
            fd = _open_folder(root, above)
            try:
                _walk(fd, folder, found)
            finally:
                os.close(fd)
    for names in (found.files, found.folders):
        names.sort()
    return found


def _walk(above: int, path: str, found: FoundFiles) -> None:
    """Add the folder at ``path``, whose parent is open as ``above``, and all that is in it."""
    entry = FolderEntry(above, os.fsencode(path.rpartition("/")[2]))
    if path.count("/") > _MAX_DEPTH:
        found.strange[path] = TOO_DEEP
        return
    try:
        fd = os.open(entry.name, FOLDER | os.O_NOFOLLOW, dir_fd=above)
    except FileNotFoundError:
        return
    except OSError as error:
        if error.errno not in _LINKS:
            raise
        if (info := safe_path.stat_entry(entry)) is not None:
            found.strange[path] = kind_of(info)
        return
    try:
        found.folders.append(path)
        with os.scandir(fd) as entries:
            names = sorted((inner.name, inner.is_dir(follow_symlinks=False)) for inner in entries)
        for name, is_folder in names:
            below = f"{path}/{name}"
            if is_folder:
                _walk(fd, below, found)
            elif (info := safe_path.stat_entry(FolderEntry(fd, os.fsencode(name)))) is None:
                continue  # A writer has removed it meanwhile.
            elif stat.S_ISREG(info.st_mode):
                found.files.append(below)
            else:
                found.strange[below] = kind_of(info)
    finally:
        os.close(fd)


def check_top(root: Path) -> dict[str, str]:
    """Names of the layout at the top of a collection under which something else lies, each with what it is: a link in
    place of a folder, a pipe in place of a file, or a file that has another name too and is written in place (another
    collection may be changed with it, or any file of the user's). Raises OSError."""
    strange = {}
    with os.scandir(root) as entries:
        for entry in entries:
            if not layout.is_ours(entry.name):
                continue
            wanted = stat.S_ISDIR if entry.name in layout.FOLDERS else stat.S_ISREG
            info = entry.stat(follow_symlinks=False)
            if not wanted(info.st_mode):
                strange[entry.name] = kind_of(info)
            elif entry.name in layout.IN_PLACE and info.st_nlink > 1:
                strange[entry.name] = HARD_LINK
    return strange


def refuse_strange(root: Path, strange: dict[str, str]) -> None:
    """Raise CorruptCollectionError where anything strange was found among the files of a collection."""
    for name, kind in strange.items():
        raise not_ours(root, name, kind)


def not_ours(root: Path, name: str, kind: str) -> CorruptCollectionError:
    """The error for something among the files of a collection that imseek never makes there."""
    if kind == HARD_LINK:
        return CorruptCollectionError(
            f"{root / name} is {HARD_LINK}: whoever writes to it would change another one with it",
            hint=f"imseek collection repair {root} makes a file of its own of it",
        )
    return CorruptCollectionError(
        f"{root / name} is {kind}, where a collection has a {'folder' if name in layout.FOLDERS else 'file'}",
        hint="imseek did not make that: remove it, or ask whoever gave you this collection",
    )


def kind_of(info: os.stat_result) -> str:
    """What a path leads to, for people."""
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
    """Create a file of a collection for writing, with the folders above it. Nothing about it is durable.

    Raises OSError, FileExistsError among them, and as :func:`open_file` where a link lies on the way.
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


def separate_file(root: Path, name: str) -> None:
    """Put a copy of a file in its place, so that it has no other name. Raises as :func:`create_file`."""
    staged = f"{layout.STAGING}/{name}"
    remove_files(root, [staged])
    with open_file(root, name) as source, create_file(root, staged) as target:
        shutil.copyfileobj(source, target)
        os.fsync(target.fileno())
    sync_folders(root, publish(root, [(root / staged, name)]))


def rename_file(root: Path, name: str, new: str) -> None:
    """Give a file another name in the same folder, in place of what had it. Raises as :func:`create_file`."""
    with _entry(root, name) as entry:
        last = os.fsencode(new.rpartition("/")[2])
        os.rename(entry.name, last, src_dir_fd=entry.folder, dst_dir_fd=entry.folder)


def remove_folder(root: Path, name: str) -> None:
    """Remove a folder with all that is in it; links in it are removed and not followed. Raises as :func:`open_file`."""
    with suppress(FileNotFoundError), _entry(root, name) as entry:
        shutil.rmtree(entry.name, dir_fd=entry.folder)


def touch(root: Path, name: str) -> None:
    """Set the time of a file or folder to now. Raises as :func:`open_file`."""
    with _entry(root, name) as entry:
        os.utime(entry.name, dir_fd=entry.folder, follow_symlinks=False)


def publish(root: Path, moves: Iterable[tuple[Path, str]]) -> set[str]:
    """Rename staged files to their names in a collection; returns the folders that still have to be fsynced.

    ``moves`` are pairs of a path in staging and a name below the root. A name whose file is there already, since it is
    taken up where it lies, has that very path. Missing folders are made. Raises StorageError, and as :func:`open_file`.
    """
    folders: set[str] = set()
    for staged, name in moves:
        with explained(root / name):
            folders |= _make_folders(root, name)
            with _entry(root, name) as entry:
                if staged != root / name:
                    os.rename(staged, entry.name, dst_dir_fd=entry.folder)
        folders.add(name.rpartition("/")[0])
    return folders


def _make_folders(root: Path, name: str) -> set[str]:
    """Make the folders above a name; returns those with new names in them."""
    parts, changed = name.split("/"), set()
    for depth in range(1, len(parts)):
        with suppress(FileExistsError):
            make_folder(root, "/".join(parts[:depth]))
            changed.add("/".join(parts[: depth - 1]))
    return changed


def make_folder(root: Path, name: str) -> None:
    """Make a folder of a collection, with the permissions of the collection's own, whatever the umask is.

    Raises as :func:`create_file`.
    """
    with _entry(root, name) as entry:
        os.mkdir(entry.name, 0o700, dir_fd=entry.folder)
        fd = os.open(entry.name, FOLDER | os.O_NOFOLLOW, dir_fd=entry.folder)
        try:
            os.fchmod(fd, permissions(root, folder=True))
        finally:
            os.close(fd)


def sync_folders(root: Path, folders: Iterable[str]) -> None:
    """Fsync the names in folders of a collection (``""`` is the root), each once. Raises StorageError."""
    for folder in sorted(set(folders)):
        with explained(root / folder):
            fd = _open_folder(root, folder)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)


def remove_files(root: Path, names: Iterable[str], *, durable: bool = False) -> int:
    """Unlink files of a collection; those that are gone are fine. Returns how many there were.

    ``durable``: for good, so that a power cut does not bring them back. A link is unlinked itself. Raises StorageError,
    UnsafePathError for a name that leads elsewhere, and as :func:`open_file` where a link lies on the way.
    """
    removed, folders = 0, set()
    for name in names:
        with explained(root / name), suppress(FileNotFoundError), _entry(root, name) as entry:
            os.unlink(entry.name, dir_fd=entry.folder)
            removed += 1
            folders.add(name.rpartition("/")[0])
    if durable:
        sync_folders(root, folders)
    return removed


def permissions(root: Path, *, folder: bool = False) -> int:
    """The mode of new files in a collection: who may read its folder may read them, and nobody else.

    Of new folders, which hand its group on to files where it does (set-group-ID).
    """
    mode = os.stat(root).st_mode
    return mode & (stat.S_ISGID | 0o777) if folder else mode & 0o666


@contextmanager
def _entry(root: Path, name: str) -> Iterator[FolderEntry]:
    """The open folder that a name lies in, and its last part; errors in the ``with`` name the file."""
    parts = safe_path.check_parts(os.fsencode(name))
    with _named(root, name):
        fd, last = safe_path.enter_parent(os.fspath(root), parts)
        try:
            yield FolderEntry(fd, last)
        finally:
            os.close(fd)


def _open_folder(root: Path, folder: str) -> int:
    if not folder:
        return os.open(root, FOLDER)
    with _entry(root, folder) as entry:
        return os.open(entry.name, FOLDER | os.O_NOFOLLOW, dir_fd=entry.folder)


@contextmanager
def _named(root: Path, name: str) -> Iterator[None]:
    """Name the file in what the system says; of a link, or what is no regular file, raise CorruptCollectionError."""
    try:
        yield
    except ChangingError as error:
        raise _corrupt(root, f"{root / name} is no regular file") from error
    except OSError as error:
        if error.errno is None:
            raise
        if error.errno in _LINKS and os.path.isdir(root):
            raise _corrupt(root, f"{root / name} is a link, or lies behind a link or a file") from error
        raise OSError(error.errno, error.strerror, str(root / name)) from error


def damaged_file(root: Path, name: str, error: Exception) -> DamagedFileError:
    """The error for a file whose bytes made a library raise ``error``."""
    return DamagedFileError(f"{root / name} is damaged: {error}", hint=f"imseek collection repair {root}")


def _corrupt(root: Path, message: str) -> CorruptCollectionError:
    return CorruptCollectionError(message, hint=f"imseek collection verify {root}")
