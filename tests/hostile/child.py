"""Fork server: run functions in children of a process that has imported everything, under limits and an audit hook.

``python -P -m hostile.child MODULE…`` imports the modules, then answers a JSON request a line on stdin with a JSON
reply a line on stdout. A forked child costs milliseconds where a new interpreter costs half a second. The audit hook
sees what Python does; what native code opens is seen by the inotify watch of :mod:`hostile.watch`.
"""

from __future__ import annotations

import gc
import json
import os
import pkgutil
import resource
import select
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NoReturn
from urllib.parse import unquote, urlsplit

#: Address space that a child may add to that of the server, in bytes.
_ADDRESS_SPACE: Final = 3 << 30
#: Largest file that a child may write, in bytes: what copies /dev/zero must not fill the disk.
_FILE_SIZE: Final = 1 << 30
#: A child that neither ran nor waited for a processor for so many seconds waits for what never comes.
_BLOCKED: Final = 3.0
#: How often to look, in seconds.
_POLL: Final = 0.25
_WRITING: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

_SOCKETS: Final = frozenset(
    {
        "socket.bind",
        "socket.connect",
        "socket.getaddrinfo",
        "socket.gethostbyname",
        "socket.sendmsg",
        "socket.sendto",
    }
)
_PROCESSES: Final = frozenset({"os.exec", "os.fork", "os.posix_spawn", "os.system", "subprocess.Popen"})
#: Events of names in folders: position of each path among the arguments, and of the descriptor it is relative to.
_NAMES: Final[dict[str, tuple[tuple[int, int], ...]]] = {
    "os.chmod": ((0, 2),),
    "os.chown": ((0, 3),),
    "os.link": ((1, 3),),
    "os.mkdir": ((0, 2),),
    "os.remove": ((0, 1),),
    "os.rename": ((0, 2), (1, 3)),
    "os.rmdir": ((0, 1),),
    "os.setxattr": ((0, -1),),
    "os.symlink": ((1, 2),),
    "os.truncate": ((0, -1),),
    "os.utime": ((0, 3),),
}
#: Events that follow a link at the end of a path. `os.utime` does not say; a canary that it changes is seen afterwards.
_FOLLOWING: Final = frozenset({"os.chmod", "os.chown", "os.setxattr", "os.truncate"})
_FOLDERS: Final = frozenset({"os.listdir", "os.scandir"})
#: What paths come to, as far as this child has asked.
_REAL_FOLDERS: Final[dict[str, str]] = {}


class AuditHook:
    """Write a JSON line to ``fd`` for each thing that a child does outside the folders it may use.

    ``reads`` and ``writes`` are real paths; below them reading, or reading and writing, is no finding. Neither is
    opening or listing one of ``folders`` itself.
    """

    def __init__(self, fd: int, reads: Sequence[str], writes: Sequence[str], folders: Sequence[str]) -> None:
        self._fd = fd
        self._folders = frozenset(folders)
        self._writes = tuple(writes)
        self._reads = (*reads, *writes)
        self._local = threading.local()
        self._seen: set[tuple[str, str]] = set()

    def __call__(self, event: str, args: tuple[Any, ...]) -> None:
        if getattr(self._local, "busy", False):
            return
        self._local.busy = True
        try:
            self._look(event, args)
        finally:
            self._local.busy = False

    def _look(self, event: str, args: tuple[Any, ...]) -> None:
        if event == "open":
            self._check_open(args[0], args[1], args[2])
        elif event in _FOLDERS:
            self._check("outside read", event, _real(args[0] if args[0] is not None else "."), self._reads)
        elif event in _NAMES:
            if event == "os.link":
                self._check("outside read", event, _real(args[0], args[2], follow=False), self._reads)
            for path_at, folder_at in _NAMES[event]:
                folder = args[folder_at] if 0 <= folder_at < len(args) else -1
                path = _real(args[path_at], folder, follow=event in _FOLLOWING)
                self._check("outside write", event, path, self._writes)
        elif event == "sqlite3.connect":
            if (path := _database(args[0])) is not None:
                self._check("outside read", event, _real(path), self._reads)
        elif event in _SOCKETS:
            self._report("socket", f"{event} {args[1:]!r}")
        elif event in _PROCESSES:
            self._report("process", f"{event} {args[:2]!r}")
        elif event == "os.kill" and args[1]:
            self._report("process", f"{event} {args!r}")
        elif event == "pickle.find_class":
            self._report("code", f"{event} {args!r}")
        elif event == "ctypes.dlopen" and args[0] is not None:
            self._check("code", event, _real(args[0]), self._reads)

    def _check_open(self, path: Any, mode: str | None, flags: int) -> None:
        if isinstance(path, int):
            return
        writing = flags & _WRITING if mode is None else not {"w", "a", "x", "+"}.isdisjoint(mode)
        kind, allowed = ("outside write", self._writes) if writing else ("outside read", self._reads)
        self._check(kind, "open", _real(path, follow=not flags & (os.O_NOFOLLOW | os.O_EXCL)), allowed)

    def _check(self, kind: str, event: str, path: str, allowed: Sequence[str]) -> None:
        reading = kind == "outside read" and path in self._folders
        if path and not reading and not any(path == one or path.startswith(f"{one}/") for one in allowed):
            self._report(kind, f"{event} {path}")

    def _report(self, kind: str, what: str) -> None:
        if (kind, what) not in self._seen:
            self._seen.add((kind, what))
            os.write(self._fd, json.dumps([kind, what]).encode() + b"\n")


def _real(path: Any, folder: int = -1, *, follow: bool = True) -> str:
    """The path that the kernel would come to; of a name in a folder, that of the folder and the name."""
    if isinstance(path, int):
        return _descriptor(path)
    text = os.fsdecode(path)
    if folder is not None and folder >= 0 and not text.startswith("/"):
        above = _descriptor(folder)
        if not above:
            return ""
        text = f"{above}/{text}"
    if "\0" in text:
        return text
    if follow:
        return _real_folder(text)
    head, tail = os.path.split(text.rstrip("/"))
    return f"{_real_folder(head or '.')}/{tail}"


def _real_folder(path: str) -> str:
    """As :func:`os.path.realpath`, which asks about every step: of a deep tree that is walked, only the last is new."""
    if path not in _REAL_FOLDERS:
        head, _, tail = path.rpartition("/")
        if head in _REAL_FOLDERS and tail not in ("", ".", ".."):
            full = f"{_REAL_FOLDERS[head]}/{tail}"
            _REAL_FOLDERS[path] = os.path.realpath(full) if Path(full).is_symlink() else full
        else:
            _REAL_FOLDERS[path] = os.path.realpath(path)
    return _REAL_FOLDERS[path]


def _descriptor(fd: int) -> str:
    try:
        return str(Path(f"/proc/self/fd/{fd}").readlink())
    except OSError:  # Its name is longer than a path may be.
        return ""


def _database(name: Any) -> str | None:
    """The file that SQLite opens by this name or URI; None for a database in memory."""
    text = os.fsdecode(name)
    if text.startswith("file:"):
        text = unquote(urlsplit(text).path)
    return None if text in ("", ":memory:") else text


def main(modules: Sequence[str]) -> None:
    """Import ``modules``, then answer requests until stdin ends."""
    for module in modules:
        with suppress(AttributeError, ImportError):  # What a package calls a module may be none.
            pkgutil.resolve_name(module)
    # What a command is first to import would be compiled into the environment, which is outside the folders it may use.
    sys.dont_write_bytecode = True
    gc.freeze()
    print(json.dumps({"memory": _memory()}), flush=True)
    for line in sys.stdin:
        print(json.dumps(_answer(json.loads(line))), flush=True)


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    """Run one request in a child: see :meth:`hostile.watch.Runner.run`."""
    pid = os.fork()
    if pid == 0:
        _run(request)
    return _supervise(pid, request["seconds"])


def _run(request: dict[str, Any]) -> NoReturn:
    """The child: limits, streams and hook, then the function; its return value is the exit code."""
    code = 1
    try:
        os.setsid()
        _limit(request["seconds"])
        findings = os.open(request["findings"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        for number, (path, flags) in enumerate(
            [
                ("/dev/null", os.O_RDONLY),
                (request["out"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
                (request["err"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
            ]
        ):
            os.dup2(os.open(path, flags, 0o600), number)
        os.chdir(request["cwd"])
        os.environ.pop("IMSEEK_TRUSTED_FOLDERS", None)  # Tests of durability, which the server imports, set it.
        os.environ.update(request["env"])
        signal.signal(signal.SIGINT, signal.default_int_handler)
        function: Callable[..., int] = pkgutil.resolve_name(request["function"])
        sys.addaudithook(AuditHook(findings, *(request[name] for name in ("reads", "writes", "folders"))))
        code = int(function(**request["arguments"]) or 0)
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:
        with suppress(BaseException):
            traceback.print_exc()
        code = 1
    finally:
        with suppress(BaseException):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code & 0xFF)


def _limit(seconds: float) -> None:
    space = _status("VmSize") + _ADDRESS_SPACE
    cpu = int(2 * seconds) + 1
    resource.setrlimit(resource.RLIMIT_AS, (space, space))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu + 1))
    resource.setrlimit(resource.RLIMIT_FSIZE, (_FILE_SIZE, _FILE_SIZE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _supervise(pid: int, seconds: float) -> dict[str, Any]:
    """Wait for a child. It hangs where it uses more CPU than ``seconds``, or sleeps without an end: the time on the
    clock says nothing, since the machine may be busy with others."""
    begin = awake = time.monotonic()
    used, hang = 0.0, False
    process = os.pidfd_open(pid)
    try:
        while not select.select([process], [], [], _POLL)[0]:
            state, cpu = _progress(pid)
            if cpu > used or state == b"R":
                used, awake = cpu, time.monotonic()
            if cpu > seconds or time.monotonic() - awake > min(seconds, _BLOCKED):
                hang = True
                with suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGKILL)
                select.select([process], [], [])
    finally:
        os.close(process)
    _, status, usage = os.wait4(pid, 0)
    with suppress(ProcessLookupError, PermissionError):  # Processes that it left behind.
        os.killpg(pid, signal.SIGKILL)
    return {
        "code": os.waitstatus_to_exitcode(status),
        "hang": hang,
        "seconds": time.monotonic() - begin,
        "cpu": usage.ru_utime + usage.ru_stime,
        "memory": usage.ru_maxrss * 1024,
    }


def _progress(pid: int) -> tuple[bytes, float]:
    """State and CPU seconds of a process; of one that has just ended, whatever lets it be asked again."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return b"R", 0.0
    return fields[0], (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _status(name: str) -> int:
    """A figure of this process in /proc/self/status, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def _memory() -> int:
    return _status("VmRSS")


if __name__ == "__main__":
    main(sys.argv[1:])
