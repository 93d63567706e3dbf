"""Files of a collection are reached through its root, without following a link, and read only as what they are."""

from __future__ import annotations

import ast
import errno
import io
import os
import pickle
import socket
import zipfile
from collections.abc import Callable, Iterator
from contextlib import chdir
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import imseek.data
from imseek.data.files import collection_files as files
from imseek.data.user_files import safe_path
from imseek.errors import CorruptCollectionError, UnsafePathError

#: Nobody waits at the other end of a pipe.
pytestmark = pytest.mark.timeout(20)

SECRET = b"what nobody else may see"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder like a collection's, with a file in ``dead``."""
    root = tmp_path / "collection"
    (root / "dead").mkdir(parents=True)
    (root / "dead/000000.1.npy").write_bytes(b"rows")
    return root


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder of the user's with a file that has the name of one of a collection."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "000000.1.npy").write_bytes(SECRET)
    return folder


def link_file(root: Path, outside: Path) -> None:
    (root / "dead/000000.1.npy").unlink()
    (root / "dead/000000.1.npy").symlink_to(outside / "000000.1.npy")


def link_folder(root: Path, outside: Path) -> None:
    (root / "dead/000000.1.npy").unlink()
    (root / "dead").rmdir()
    (root / "dead").symlink_to(outside)


def pipe(root: Path, outside: Path) -> None:
    (root / "dead/000000.1.npy").unlink()
    os.mkfifo(root / "dead/000000.1.npy")


def unix_socket(root: Path, outside: Path) -> None:
    (root / "dead/000000.1.npy").unlink()
    with socket.socket(socket.AF_UNIX) as made, chdir(root / "dead"):  # A path of a socket must be short.
        made.bind("000000.1.npy")


def folder(root: Path, outside: Path) -> None:
    (root / "dead/000000.1.npy").unlink()
    (root / "dead/000000.1.npy").mkdir()


def device(root: Path, outside: Path) -> None:
    (root / "dead/000000.1.npy").unlink()
    (root / "dead/000000.1.npy").symlink_to("/dev/zero")


LIES = [link_file, link_folder, pipe, unix_socket, folder, device]


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie.__name__)
@pytest.mark.parametrize(
    "read",
    [
        lambda root, name: files.open_file(root, name).close(),
        files.read_file,
        files.load_array,
        files.digest,
    ],
    ids=["open", "read", "array", "digest"],
)
def test_what_is_no_file_of_the_collection_is_not_opened(
    root: Path, outside: Path, lie: Callable[[Path, Path], None], read: Callable[[Path, str], object]
) -> None:
    lie(root, outside)
    with pytest.raises(CorruptCollectionError):
        read(root, "dead/000000.1.npy")


@pytest.mark.parametrize("name", ["../outside/000000.1.npy", "/etc/passwd", "dead/../../outside/000000.1.npy", "", "."])
def test_a_name_that_leads_out_is_no_name(root: Path, outside: Path, name: str) -> None:
    for use in (files.open_file, files.stat_file, lambda r, n: files.remove_files(r, [n])):
        with pytest.raises(UnsafePathError):
            use(root, name)
    assert (outside / "000000.1.npy").read_bytes() == SECRET


def test_the_root_itself_may_be_reached_through_a_link(root: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(root)
    assert files.read_file(tmp_path / "link", "dead/000000.1.npy") == b"rows"


def test_unlinking_ends_a_link_and_not_what_it_leads_to(root: Path, outside: Path) -> None:
    link_file(root, outside)
    assert files.remove_files(root, ["dead/000000.1.npy", "dead/000009.1.npy"], durable=True) == 1
    assert not (root / "dead/000000.1.npy").is_symlink()
    assert (outside / "000000.1.npy").read_bytes() == SECRET


def test_nothing_is_unlinked_through_a_link(root: Path, outside: Path) -> None:
    link_folder(root, outside)
    with pytest.raises(CorruptCollectionError, match="link"):
        files.remove_files(root, ["dead/000000.1.npy"])
    assert (outside / "000000.1.npy").read_bytes() == SECRET


def test_nothing_is_published_through_a_link(root: Path, outside: Path, tmp_path: Path) -> None:
    link_folder(root, outside)
    (tmp_path / "staged").write_bytes(b"new")
    with pytest.raises(CorruptCollectionError, match="link"):
        files.publish(root, [(tmp_path / "staged", "dead/000001.1.npy")])
    assert os.listdir(outside) == ["000000.1.npy"]


def test_folders_are_listed_without_links(root: Path, outside: Path) -> None:
    (root / "spaces").symlink_to(outside)
    (root / "dead/link").symlink_to(outside)
    os.mkfifo(root / "dead/pipe")
    found = files.find_files(root, "dead", "spaces", "models")
    assert (found.files, found.folders) == (["dead/000000.1.npy"], ["dead"])
    assert found.strange == {
        "dead/link": "a symbolic link",
        "dead/pipe": "a pipe",
        "spaces": "a symbolic link",
    }


def test_thousands_of_folders_in_each_other_are_not_walked(root: Path) -> None:
    deep = root / "models"
    for _ in range(40):
        deep = deep / "a"
    deep.mkdir(parents=True)
    found = files.find_files(root, "models")
    assert list(found.strange.values()) == ["a folder too many levels down"]


def test_a_file_larger_than_any_of_ours_is_not_read(root: Path) -> None:
    with (root / "current.json").open("wb") as file:
        file.truncate(files.MAX_JSON + 1)
    with pytest.raises(CorruptCollectionError, match="the limit is"):
        files.read_file(root, "current.json")


def header(text: str) -> bytes:
    out = io.BytesIO()
    data = text.encode().ljust(117) + b"\n"
    out.write(b"\x93NUMPY\x01\x00" + len(data).to_bytes(2, "little") + data)
    return out.getvalue()


def numpy_file(array: Any, **options: Any) -> bytes:
    out = io.BytesIO()
    np.save(out, array, **options)
    return out.getvalue()


class Malicious:
    """Unpickling it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


@pytest.mark.parametrize(
    "data",
    [
        header("{'descr': '<f2', 'fortran_order': False, 'shape': (1000000000000, 512)}"),
        header("{'descr': '<f2', 'fortran_order': False, 'shape': (-4, 2)}") + bytes(16),
        header("{'descr': '<f2', 'fortran_order': False, 'shape': (True, 2)}") + bytes(4),
        header("{'descr': '<f2', 'fortran_order': True, 'shape': (2, 2)}") + bytes(8),
        header("{'descr': '>f2', 'fortran_order': False, 'shape': (2, 2)}") + bytes(8),
        header("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}") + pickle.dumps([1]),
        header("{'descr': '<M8[s]', 'fortran_order': False, 'shape': (1,)}") + bytes(8),
        header("{'descr': [('a', '|O')], 'fortran_order': False, 'shape': (1,)}") + bytes(8),
        header("(" * 100),
        header("{'descr': '<f2', 'fortran_order': False, 'shape': (2, 2)}") + bytes(7),
        header("{'descr': '<f2', 'fortran_order': False, 'shape': (2, 2)}") + bytes(9),
        b"\x93NUMPY\x02\x00" + bytes(100),
        b"",
    ],
)
@pytest.mark.parametrize("mapped", [False, True])
def test_an_array_is_what_its_bytes_can_hold(root: Path, data: bytes, mapped: bool) -> None:
    (root / "dead/000000.1.npy").write_bytes(data)
    with pytest.raises(ValueError, match=r"."):
        files.load_array(root, "dead/000000.1.npy", mapped=mapped)


def test_a_pickle_never_runs(root: Path, tmp_path: Path) -> None:
    array = np.array([Malicious(tmp_path / "ran")], object)
    (root / "dead/000000.1.npy").write_bytes(numpy_file(array, allow_pickle=True))
    with pytest.raises(ValueError, match="object"):
        files.load_array(root, "dead/000000.1.npy")
    np.savez(root / "dead/arrays.npz", a=array)
    with (
        (root / "dead/arrays.npz").open("rb", buffering=0) as file,
        pytest.raises(ValueError, match="object"),
    ):
        files.read_arrays(file, ["a"])
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("mapped", [False, True])
@pytest.mark.parametrize(
    "array",
    [
        np.arange(12, dtype=np.float16).reshape(3, 4),
        np.empty((0, 4), np.float16),
        np.arange(5, dtype=np.int64),
        np.zeros(3, [("image_id", "<i8"), ("vector", "<f2", (4,))]),
    ],
    ids=["rows", "no rows", "ids", "records"],
)
def test_arrays_of_ours_come_back(root: Path, array: Any, mapped: bool) -> None:
    (root / "dead/of another name.npy").write_bytes(numpy_file(array))
    found = files.load_array(root, "dead/of another name.npy", mapped=mapped)
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, array)


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("dead/000000.1.npy", np.arange(3)),
        ("metadata/000000.ids.npy", np.arange(3.0)),
        ("metadata/000000.ids.npy", np.zeros((3, 1), np.int64)),
        ("spaces/0/img_emb/000000.npy", np.zeros(3, np.float16)),
        ("spaces/0/img_emb/000000.npy", np.zeros((3, 4), np.float32)),
        ("spaces/0/parts/000000.npy", np.float16(1)),
        ("spaces/0/index/7/lists.npy", np.uint64(1)),
    ],
)
def test_an_array_is_of_the_type_that_its_name_says(root: Path, name: str, array: Any) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_bytes(numpy_file(array))
    with pytest.raises(CorruptCollectionError, match="is damaged: an array of"):
        files.load_array(root, name)


def test_an_array_has_the_rows_that_are_stated(root: Path) -> None:
    (root / "dead/000000.1.npy").write_bytes(numpy_file(np.arange(3, dtype=np.uint32)))
    assert len(files.load_array(root, "dead/000000.1.npy", rows=3)) == 3
    with pytest.raises(CorruptCollectionError, match="is damaged"):
        files.load_array(root, "dead/000000.1.npy", rows=4)


def test_packed_arrays_are_refused(root: Path) -> None:
    """A few kilobytes may unpack to gigabytes; ours are never packed."""
    np.savez_compressed(root / "dead/arrays.npz", a=np.zeros(1 << 20))
    with (
        (root / "dead/arrays.npz").open("rb", buffering=0) as file,
        pytest.raises(ValueError, match="packed"),
    ):
        files.read_arrays(file, ["a"])


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
@pytest.mark.parametrize("mode", [0o700, 0o750, 0o755, 0o2775])
def test_new_files_are_for_those_who_may_read_the_folder(root: Path, umask: int, mode: int) -> None:
    root.chmod(mode)
    before = os.umask(umask)
    try:
        files.create_file(root, "cache/tiles/a.npz").close()
    finally:
        os.umask(before)
    assert (root / "cache/tiles/a.npz").stat().st_mode & 0o777 == mode & 0o666
    assert (root / "cache").stat().st_mode & 0o7777 == mode
    assert (root / "cache/tiles").stat().st_mode & 0o7777 == mode


#: Where a module of imseek.data may do what is otherwise for `collection_files` alone, and why.
ALLOWED = {
    (
        "catalog/sqlite/catalog_backups.py",
        "connect",
    ): "a copy of the catalog in staging, which has just been made",
    ("catalog/sqlite/catalog_file.py", "connect"): "it has looked at the files before",
    ("catalog/migrations.py", "connect"): "in memory",
    ("layout.py", "listdir"): "names in a folder that may be a collection",
    ("files/durable_files.py", "rmtree"): "of staging; it follows no link",
    ("files/collection_files.py", "rmtree"): "through a descriptor",
    ("archive/restore.py", "open"): "the null device",
    ("archive/restore.py", "iterdir"): "of a folder that is still to become a collection",
    ("archive/restore.py", "walk"): "of a folder that has just been made",
    ("archive/restore.py", "read_bytes"): "of a folder that has just been made",
    ("archive/generation_snapshot.py", "open"): "a copy of the catalog, which has just been made",
    ("writing/create.py", "iterdir"): "of a folder that is still to become a collection",
    ("files/disk_usage.py", "scandir"): "names at the top, with no link followed",
    ("vectors/snapshot_build.py", "open"): "what has just been written",
    ("files/durable_files.py", "open"): "what has just been written, or is about to be",
    ("files/durable_files.py", "unlink"): "of names that imseek has just given",
    ("files/durable_files.py", "rglob"): "of a folder that has just been made",
    ("catalog/sqlite/lock.py", "open"): "the lock, with no link followed",
    ("processes.py", "read_bytes"): "what Linux says of processes",
    ("processes.py", "read_text"): "what Linux says of the machine",
    ("files/write_check.py", "read_bytes"): "what Linux says of file systems",
    ("writing/purge.py", "listdir"): "names at the top",
    ("repair/repair.py", "listdir"): "names at the top",
    ("repair/catalog_recovery.py", "glob"): "names at the top",
    ("trust.py", "iterdir"): "the user's home",
    ("files/private_files.py", "open"): "the user's home, with no link followed",
    ("trust.py", "unlink"): "the user's home",
    ("vectors/mmap_residency.py", "open"): "what Linux says of the process",
    ("files/staging.py", "open"): "folders beside, with no link followed",
    ("files/staging.py", "iterdir"): "folders beside",
    ("user_files/file_copies.py", "open"): "files of users, by an open folder",
    ("user_files/file_moves.py", "unlink"): "files of users, by an open folder",
    ("user_files/safe_path.py", "open"): "it is what the rest relies on",
    ("files/collection_files.py", "open"): "it is what the rest relies on",
    ("files/collection_files.py", "scandir"): "it is what the rest relies on",
    ("files/mapped_arrays.py", "MappedArray"): "of a file that is open",
    ("vectors/faiss_snapshot.py", "read_index"): "of a file that is open",
    ("files/collection_files.py", "unlink"): "it is what the rest relies on",
    ("catalog/sqlite/catalog_file.py", "open"): "a catalog that is not there yet, with no link followed",
}
FORBIDDEN = frozenset(
    {
        "open", "read_bytes", "read_text", "write_bytes", "write_text", "load", "connect", "unlink", "rmtree",
        "walk", "rglob", "glob", "iterdir", "scandir", "listdir", "read_index", "memmap", "open_memmap",
    }
)  # fmt: skip
#: Names that are meant as functions of these modules only.
OF_MODULES = {"load": "np", "connect": "sqlite3"}
#: What has a method ``open`` that goes through `collection_files`.
NOT_FILES = {("open", "Snapshot"), ("open", "folder")}


def uses(path: Path) -> Iterator[str]:
    """The names of forbidden calls in a module."""
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call):
            continue
        called = node.func
        if isinstance(called, ast.Name) and called.id in ("open", "MappedArray"):
            yield called.id
        elif isinstance(called, ast.Attribute) and called.attr in FORBIDDEN:
            owner = called.value.id if isinstance(called.value, ast.Name) else ""
            if OF_MODULES.get(called.attr, owner) == owner and (called.attr, owner) not in NOT_FILES:
                yield called.attr


def test_nothing_in_storage_opens_files_of_a_collection_by_their_path() -> None:
    """A new module goes through `collection_files`, or says here why not."""
    top = Path(imseek.data.__file__).parent
    found = {
        (path.relative_to(top).as_posix(), name)
        for path in top.rglob("*.py")
        if not path.is_relative_to(top / "milvus")
        for name in uses(path)
    }
    assert found - ALLOWED.keys() == set()
    assert ALLOWED.keys() - found == set(), "no longer needed"


# -- files that change, and disks that fail ------------------------------------------------------------------


def test_a_file_that_grows_while_it_is_read_has_an_end(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "dead/000000.1.npy").write_bytes(bytes(10))

    class Growing(io.FileIO):
        def read(self, size: int | None = -1) -> bytes:
            with (root / "dead/000000.1.npy").open("ab") as more:
                more.write(bytes(10))
            return super().read(size)

    monkeypatch.setattr(files, "open_file", lambda folder, name: Growing(folder / name))
    with pytest.raises(CorruptCollectionError, match="grows while it is read"):
        files.read_file(root, "dead/000000.1.npy", 100)


def test_a_file_that_shrinks_while_it_is_read_is_no_array(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.arange(50))

    class Shrinking(io.FileIO):
        def readinto(self, buffer: Any) -> int:
            os.truncate(tmp_path / "a.npy", 200)
            return super().readinto(buffer) or 0

    with Shrinking(tmp_path / "a.npy") as file, pytest.raises(ValueError, match="it ends early"):
        files.read_array(file, mapped=False)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OSError(errno.EIO, "Input/output error"), OSError),
        (OSError(errno.EINVAL, "Invalid argument"), ValueError),
    ],
)
def test_a_disk_that_fails_is_no_damage_of_the_arrays_in_a_file(
    tmp_path: Path, error: OSError, kind: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    np.savez(tmp_path / "a.npz", a=np.arange(3))

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(zipfile.ZipFile, "read", fail)
    with io.FileIO(tmp_path / "a.npz") as file, pytest.raises(kind) as raised:
        files.read_arrays(file, ["a"])
    assert type(raised.value) is kind


def test_what_a_writer_removes_meanwhile_is_not_found(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "dead/000001.1.npy").write_bytes(b"rows")
    real = safe_path.stat_entry

    def remove(entry: safe_path.FolderEntry) -> os.stat_result | None:
        (root / "dead/000001.1.npy").unlink(missing_ok=True)
        return real(entry)

    monkeypatch.setattr(safe_path, "stat_entry", remove)
    found = files.find_files(root, "dead")
    assert (found.files, found.strange) == (["dead/000000.1.npy"], {})


def test_a_file_that_cannot_have_its_permissions_is_not_left_open(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "fchmod", refuse)
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(PermissionError, match=r"dead/000001\.1\.npy"):
        files.create_file(root, "dead/000001.1.npy")
    assert len(os.listdir("/proc/self/fd")) == before


def test_an_error_without_a_number_stays_what_it_is(root: Path) -> None:
    """As libraries raise it who read the file."""
    with pytest.raises(OSError, match=r"^of a library$"), files._translate_errors(root, "dead/000000.1.npy"):
        raise OSError("of a library")
    with (
        pytest.raises(OSError, match=r"No space left.*000000\.1"),
        files._translate_errors(root, "dead/000000.1.npy"),
    ):
        raise OSError(errno.ENOSPC, "No space left on device")
