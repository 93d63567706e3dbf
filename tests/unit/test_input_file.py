"""Files that a user names: pipes end, devices are refused, holes and arrays are no larger than they are."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import numpy as np
import pytest

from imseek import remote
from imseek.input_file import map_array, open_input, read_input
from imseek.search.query import Query, Term
from imseek.showing import sheet
from imseek.types.search_results import SearchResult


def test_a_file_is_read_up_to_its_limit(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"x" * 100)
    assert read_input(path, most=100) == b"x" * 100
    with pytest.raises(OSError, match="larger than") as caught:
        read_input(path, most=99)
    assert caught.value.errno == errno.EFBIG


def test_a_name_may_begin_with_a_tilde(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As of a copy that an editor has kept; there is no such user."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    Path("~kept.jpg").write_bytes(b"kept")
    for name in ("~kept.jpg", "~/~kept.jpg", Path("~kept.jpg")):
        assert read_input(name) == b"kept"
        open_input(name).close()
    with pytest.raises(FileNotFoundError):
        open_input("~nobody/a.jpg")


def test_a_pipe_that_somebody_writes_to_is_read_to_its_end(tmp_path: Path) -> None:
    """As of ``<(command)``."""
    reading, writing = os.pipe()

    def write() -> None:
        with os.fdopen(writing, "wb") as file:
            for _ in range(300):
                file.write(b"y" * 1000)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        assert read_input(f"/proc/self/fd/{reading}") == b"y" * 300_000
    finally:
        thread.join()
        os.close(reading)


def test_a_pipe_without_an_end_is_not_read_further_than_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    fd = os.open(path, os.O_RDWR)
    try:
        os.write(fd, b"z" * 5000)
        with pytest.raises(OSError, match="larger than"):
            read_input(path, most=1000)
    finally:
        os.close(fd)


def test_a_pipe_that_nobody_writes_to_is_empty(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert read_input(tmp_path / "pipe") == b""
    with pytest.raises(OSError, match="not a regular file"):
        open_input(tmp_path / "pipe")


@pytest.mark.parametrize("path", ["/dev/zero", "/dev/random"])
def test_devices_are_refused(path: str) -> None:
    for read in (read_input, open_input, map_array):
        with pytest.raises(OSError, match=r"neither a file nor a pipe|not a regular file"):
            read(path)


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        read_input(tmp_path)


def test_a_hole_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.touch()
    os.truncate(path, 1 << 40)
    with pytest.raises(OSError, match="larger than 1,024 MiB"):
        read_input(path)


@pytest.mark.parametrize("dtype", ["<f4", ">f8", "<f2", "<i8", "|u1"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_an_array_is_mapped_as_numpy_has_written_it(tmp_path: Path, dtype: str, order: str) -> None:
    array = np.asarray(np.arange(12).reshape(3, 4), dtype, order=order)  # type: ignore[call-overload]
    np.save(tmp_path / "a.npy", array)
    found = map_array(tmp_path / "a.npy")
    assert found.dtype == array.dtype
    assert np.array_equal(found, array)
    assert isinstance(found, np.memmap)


def test_an_array_in_version_2_is_mapped(tmp_path: Path) -> None:
    with (tmp_path / "a.npy").open("wb") as file:
        np.lib.format.write_array(file, np.arange(3.0), version=(2, 0))
    assert map_array(tmp_path / "a.npy").tolist() == [0, 1, 2]


def test_an_array_without_numbers_is_one(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.empty((0, 16), np.float32))
    assert map_array(tmp_path / "a.npy").shape == (0, 16)


def test_an_array_that_says_it_is_larger_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((4, 4), np.float32))
    data = (tmp_path / "a.npy").read_bytes()
    for lie in (b"(5, 4), }  ", b"(9999, 4), }"):
        (tmp_path / "a.npy").write_bytes(data.replace(b"(4, 4), }" + b" " * (len(lie) - 9), lie))
        with pytest.raises(ValueError, match="ends before the last number"):
            map_array(tmp_path / "a.npy")


@pytest.mark.timeout(20)
def test_a_query_by_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    """Neither where it is sent to a server, nor where its picture is to be shown again: the first look emptied it."""
    os.mkfifo(tmp_path / "pipe")
    result = SearchResult((), 0, 0, "fake")
    assert remote._read_picture(tmp_path / "pipe") == b""
    assert sheet._query_picture(Query((Term(picture=tmp_path / "pipe"),)), result, lambda *_: b"") is None
