"""Recording what a process does to a folder, from its system calls (strace): SQLite's as well as ours."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from durability.disk import (
    Acknowledge,
    Create,
    Disk,
    Exchange,
    Link,
    MakeFolder,
    Operation,
    RemoveFolder,
    Rename,
    Return,
    Sync,
    Truncate,
    Unlink,
    Write,
)

#: What can change a folder, and what must be seen to know where a write goes. Calls that this module does not
#: translate are traced too, so that one of them is an error and not a gap in the recording.
_TRACED = (
    "open,openat,openat2,creat,lseek,write,pwrite64,ftruncate,fsync,fdatasync,rename,unlink,unlinkat,mkdir,rmdir,"
    "writev,pwritev,pwritev2,truncate,fallocate,renameat,renameat2,mkdirat,link,linkat,symlink,symlinkat,"
    "sendfile,copy_file_range,mmap,msync,sync,syncfs,sync_file_range,dup,dup2,dup3"
)
_CALL = re.compile(r"(?P<name>\w+)\((?P<arguments>.*)\)\s+= (?P<result>-?\d+|0x[0-9a-f]+)")
_FD = re.compile(r"(?P<number>\d+|AT_FDCWD)<(?P<path>[^>]*)>(?P<deleted>\(deleted\))?")
_LONGEST = 1 << 26

RETURNED = b"returned"
_OF_TWO_NAMES: Final = {"rename": Rename, "link": Link, "exchange": Exchange}


def record(command: Sequence[str], root: Path, acknowledged: Path, env: dict[str, str]) -> list[Operation]:
    """Run ``command`` and return what it did to ``root``.

    It writes each generation that it acknowledges as a line to ``acknowledged``, and RETURNED at the end.

    Raises AssertionError where the command fails.
    """
    log = acknowledged.with_suffix(".trace")
    strace = [
        "strace",
        "-f",
        "-y",
        "-xx",
        "-z",
        f"-s{_LONGEST}",
        "--seccomp-bpf",
        f"-etrace={_TRACED}",
        f"-o{log}",
    ]
    before = Disk.of(root) if root.exists() else Disk({})
    done = subprocess.run([*strace, *command], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with log.open() as lines:
        operations = list(_Reader(root, acknowledged, before).read(lines))
    log.unlink()
    return operations


class _Reader:
    def __init__(self, root: Path, acknowledged: Path, disk: Disk) -> None:
        self._root = str(root)
        self._acknowledged = str(acknowledged)
        self._disk = disk
        self._positions: dict[str, int] = {}
        self._unfinished: dict[str, str] = {}

    def read(self, lines: Iterator[str]) -> Iterator[Operation]:
        for line in lines:
            for operation in self._line(line):
                # The shared-memory file is an index of the log that SQLite makes anew after every crash.
                if isinstance(operation, Acknowledge | Return) or not operation.path.endswith("-shm"):
                    self._disk.do(operation)
                    yield operation

    def _line(self, line: str) -> Iterator[Operation]:
        process, _, text = line.rstrip("\n").partition(" ")
        text = text.lstrip()
        if text.endswith("<unfinished ...>"):
            self._unfinished[process] = text.removesuffix("<unfinished ...>").rstrip()
            return
        if text.startswith("<... "):
            text = self._unfinished.pop(process, "") + text.partition("resumed>")[2]
        if (call := _CALL.match(text)) is not None:
            arguments = call["arguments"].split(", ")
            yield from self._call(call["name"], arguments, int(call["result"], 0), text)

    def _call(self, name: str, arguments: list[str], result: int, text: str) -> Iterator[Operation]:
        if name == "openat":
            yield from self._open(_joined(arguments[0], arguments[1]), arguments[2], str(result))
        elif name in ("write", "pwrite64", "ftruncate", "fsync", "fdatasync", "lseek"):
            yield from self._on_file(name, arguments, result)
        elif name in ("unlink", "mkdir", "rmdir", "rename"):
            yield from self._on_names(name, [_text(argument) for argument in arguments[:2]])
        elif name == "unlinkat":
            kind = "rmdir" if "AT_REMOVEDIR" in arguments[2] else "unlink"
            yield from self._on_names(kind, [_joined(arguments[0], arguments[1])])
        elif name == "mkdirat":
            yield from self._on_names("mkdir", [_joined(arguments[0], arguments[1])])
        elif name in ("renameat", "renameat2", "linkat"):
            paths = [_joined(arguments[0], arguments[1]), _joined(arguments[2], arguments[3])]
            swapped = name == "renameat2" and "RENAME_EXCHANGE" in arguments[4]
            yield from self._on_names("link" if name == "linkat" else "exchange" if swapped else "rename", paths)
        elif name == "mmap":
            shared = "MAP_SHARED" in arguments[3] and "PROT_WRITE" in arguments[2]
            mapped = _FD.match(arguments[4])
            if shared and mapped and self._inside(path := _path(mapped)):
                assert path.endswith("-shm"), text
        elif name.startswith("dup"):
            assert not any(self._inside(_path(found)) for found in _FD.finditer(text)), text
        else:
            assert self._root.encode().hex() not in text.replace("\\x", ""), f"not translated: {text[:500]}"

    def _open(self, path: str, flags: str, fd: str) -> Iterator[Operation]:
        fd = fd.partition("<")[0]
        self._positions[fd] = 0
        if (inner := self._inside(path)) is None:
            return
        assert "O_APPEND" not in flags
        if "O_CREAT" in flags and not self._disk.exists(inner):
            yield Create(inner)
        elif "O_TRUNC" in flags:
            yield Truncate(inner, 0)

    def _on_file(self, name: str, arguments: list[str], result: int) -> Iterator[Operation]:
        if (found := _FD.match(arguments[0])) is None:
            return
        fd, path = found["number"], _path(found)
        if name == "lseek":
            self._positions[fd] = result
            return
        if name in ("write", "pwrite64"):
            offset = int(arguments[3]) if name == "pwrite64" else self._positions.get(fd, 0)
            data = _bytes(arguments[1])[:result]
            if name == "write":
                self._positions[fd] = offset + result
            if path == self._acknowledged:
                yield from (Return() if line == RETURNED else Acknowledge(int(line)) for line in data.split())
            elif (inner := self._inside(path)) is not None:
                yield Write(inner, offset, data)
            return
        if (inner := self._inside(path)) is None:
            return
        if name == "ftruncate":
            yield Truncate(inner, int(arguments[1]))
        else:
            yield Sync(inner, ours=name == "fsync")

    def _on_names(self, name: str, paths: list[str]) -> Iterator[Operation]:
        inner = [self._inside(path) for path in paths if path.startswith("/")]
        if name in _OF_TWO_NAMES:
            path, target = inner
            if path is not None and target is not None:
                yield _OF_TWO_NAMES[name](path, target)
            else:
                assert path is target is None, "moved across the border of the folder"
        elif inner and (path := inner[0]) is not None:
            yield {"unlink": Unlink, "mkdir": MakeFolder, "rmdir": RemoveFolder}[name](path)

    def _inside(self, path: str) -> str | None:
        """The path within the root (the root itself: "."), None for others."""
        if path == self._root:
            return "."
        return path[len(self._root) + 1 :] if path.startswith(self._root + "/") else None


def _bytes(quoted: str) -> bytes:
    assert quoted.startswith('"'), quoted
    assert quoted.endswith('"'), "the string was cut off"
    return bytes.fromhex(quoted[1:-1].replace("\\x", ""))


def _text(quoted: str) -> str:
    return os.fsdecode(_bytes(quoted)) if quoted.startswith('"') else ""


def _path(descriptor: re.Match[str]) -> str:
    """Of an open file; empty where it has no name any more, or never had one (a pipe)."""
    path = descriptor["path"]
    if descriptor["deleted"] or not path.startswith("\\x"):
        return ""
    return os.fsdecode(bytes.fromhex(path.replace("\\x", "")))


def _joined(folder: str, quoted: str) -> str:
    path = _text(quoted)
    found = _FD.match(folder)
    return path if path.startswith("/") or found is None else f"{_path(found)}/{path}"
