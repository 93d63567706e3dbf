"""Functions that do one forbidden thing each, so that the watch itself can be tested. They run in a child."""

from __future__ import annotations

import ctypes
import os
import pickle
import socket
import subprocess
import time
from pathlib import Path


def nothing(path: str) -> int:
    Path(path)
    return 0


def read(path: str) -> int:
    Path(path).read_bytes()
    return 0


def read_natively(path: str) -> int:
    """As a library in C does: Python's audit hook sees nothing of it."""
    libc = ctypes.CDLL(None)
    fd = libc.open(os.fsencode(path), os.O_RDONLY)
    assert fd >= 0
    return int(libc.close(fd))


def list_folder(path: str) -> int:
    os.listdir(Path(path).parent)
    return 0


def show(path: str) -> int:
    print(Path(path).read_text())
    return 0


def write(path: str) -> int:
    Path(path).write_bytes(b"")
    return 0


def chmod(path: str) -> int:
    Path(path).chmod(0o777)
    return 0


def delete(path: str) -> int:
    Path(path).unlink()
    return 0


def delete_by_descriptor(path: str) -> int:
    folder = os.open(Path(path).parent, os.O_PATH)
    os.unlink(Path(path).name, dir_fd=folder)
    return 0


def create(path: str) -> int:
    (Path(path).parent / "new").write_bytes(b"new")
    return 0


def connect(port: int) -> int:
    with socket.create_connection(("127.0.0.1", port)):
        return 0


def connect_natively(port: int) -> int:
    libc = ctypes.CDLL(None)
    fd = libc.socket(socket.AF_INET, socket.SOCK_STREAM, 0)
    address = bytes([socket.AF_INET, 0, *port.to_bytes(2, "big"), 127, 0, 0, 1]) + bytes(8)
    return int(libc.connect(fd, address, len(address)))


def start(path: str) -> int:
    subprocess.run(["true", path], check=True)
    return 0


def unpickle(path: str) -> int:
    pickle.loads(pickle.dumps(Path(path)))
    return 0


def sleep(path: str) -> int:
    time.sleep(60)
    return len(path)


def spin(path: str) -> int:
    while path:
        pass
    return 0


def fill(path: str) -> int:
    return len(bytearray(3 << 30) + path.encode())


def fail(path: str) -> int:
    raise KeyError(path)


def crash(path: str) -> int:
    return int(ctypes.string_at(len(path))[0])
