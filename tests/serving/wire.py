"""A server in a process of its own with short patience, and sockets to talk to it byte for byte."""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TOKEN = "a-token-for-tests-0123456789"

#: What `imseek serve` runs, with patience that a test has as well; searches may take longer than they do, and are
#: counted on stderr. Each number on stdin moves the clock of its event loops on by as many seconds.
_LAUNCH = """
import asyncio, functools, json, socket, sys, threading, time
from pathlib import Path
from imseek.collection import Collection
from imseek.ui.http import server
from imseek.ui.server import connections, process
from imseek.ui.server.settings import Settings
given = json.loads(sys.argv[1])
def tell(**what):
    sys.stderr.write(json.dumps(what) + "\\n")
ahead, loops, real_time = 0.0, set(), asyncio.BaseEventLoop.time
def moved_time(loop):
    loops.add(loop)
    return real_time(loop) + ahead
asyncio.BaseEventLoop.time = moved_time
async def turns():
    for _ in range(20):
        await asyncio.sleep(0)
def hear():
    global ahead
    for line in sys.stdin:
        ahead += float(line)
        for loop in loops:
            if loop.is_running():
                asyncio.run_coroutine_threadsafe(turns(), loop).result()
        tell(ahead=ahead)
threading.Thread(target=hear, daemon=True).start()
connection_made = connections.Connection.connection_made
def noted(self, transport):
    connection_made(self, transport)
    talking = transport.get_extra_info("socket")
    tell(nodelay=talking.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
connections.Connection.connection_made = noted
patience = given.pop("patience")
if (keep := patience.pop("KEEP_ALIVE", None)) is not None:
    process.uvicorn.Config = functools.partial(process.uvicorn.Config, timeout_keep_alive=keep)
for name, value in patience.items():
    assert hasattr(connections, name)
    setattr(connections, name, value)
slow, search_many = given.pop("slow"), Collection.search_many
def counted(self, queries, **named):
    tell(searched=len(queries))
    time.sleep(slow)
    return search_many(self, queries, **named)
Collection.search_many = counted
if web := given.pop("web"):
    from imseek.media import fetcher, http_fetcher
    from imseek.ui.server import service
    names, real = web.pop("names"), http_fetcher.HttpFetcher
    def look_up(host, port, family=0, kind=0, proto=0, flags=0):
        turns = names.get(host.rstrip("."))
        if turns is None:
            return socket.getaddrinfo(host, port, family, kind, proto, flags | socket.AI_NUMERICHOST)
        found = turns.pop(0) if len(turns) > 1 else turns[0]
        return [row for one in found for row in socket.getaddrinfo(one, port, 0, kind, proto)]
    http_fetcher.HttpFetcher = lambda limits: real(limits, allow_networks=["127.0.0.1/32"], resolver=look_up)
    service._FETCH_LIMITS = fetcher.FetchLimits(**web)
given["collections"] = tuple((name, Path(path)) for name, path in given["collections"])
sys.exit(server.run(Settings(**given), None, lambda url: print(url, flush=True)))
"""


@dataclass(frozen=True, slots=True)
class Wire:
    """``log`` is all that the server said on stderr."""

    port: int
    process: subprocess.Popen[str]
    log: Path

    def connect(self, timeout: float = 20.0) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=timeout)

    def said(self, *parts: bytes, pause: float = 0.0, timeout: float = 20.0) -> bytes:
        """All that the server says until it closes; what it no longer reads is not sent."""
        with self.connect(timeout) as talking:
            try:
                for part in parts:
                    talking.sendall(part)
                    time.sleep(pause)
            except (BrokenPipeError, ConnectionResetError):
                pass
            return rest(talking)

    def skip(self, seconds: float) -> None:
        """Move the server's clock on; returns when what is due by then has been done."""
        assert self.process.stdin is not None
        before = len(self.skips())
        self.process.stdin.write(f"{seconds}\n")
        self.process.stdin.flush()
        while len(self.skips()) == before:
            assert self.process.poll() is None
            time.sleep(0.002)

    def skips(self) -> list[float]:
        """How far the clock was ahead, after each skip."""
        return [line["ahead"] for line in self._json() if "ahead" in line]

    def until_closed(self, talking: socket.socket, seconds: float) -> bytes:
        """All that the server says until it closes, ``seconds`` from now by its clock and not earlier."""
        assert self.is_well()  # What was sent before is read by now.
        self.skip(seconds / 2)
        answer, is_open = heard(talking)
        assert is_open, "closed too early"
        self.skip(seconds / 2)
        return answer + rest(talking)

    def nodelay(self) -> list[int]:
        """TCP_NODELAY of each connection that was made."""
        return [line["nodelay"] for line in self._json() if "nodelay" in line]

    def cpu(self) -> float:
        """Seconds that the server has computed for, in all its threads."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def status(self, request: bytes) -> int:
        """Of the answer to one request, after which the connection is closed."""
        head, _, body = request.partition(b"\r\n\r\n")
        return status_of(self.said(head + b"\r\nConnection: close\r\n\r\n" + body))

    def is_well(self) -> bool:
        return self.status(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n") == 200

    def memory(self) -> int:
        """Resident bytes."""
        pages = Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        return int(pages) * 4096

    def sockets(self) -> int:
        """That are open."""
        found = 0
        for one in Path(f"/proc/{self.process.pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                found += one.readlink().name.startswith("socket:")
        return found

    def lines(self) -> list[dict[str, Any]]:
        """Of the access log."""
        return [line for line in self._json() if "status" in line]

    def searched(self) -> list[int]:
        """How many queries went through the index together, each time."""
        return [line["searched"] for line in self._json() if "searched" in line]

    def _json(self) -> list[dict[str, Any]]:
        """Objects of the log's whole lines: the server may be writing the last one."""
        lines = self.log.read_text().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("\n")]

    def failures(self) -> list[str]:
        """What the server says of failures of its own."""
        said = self.log.read_text().splitlines()
        return [line for line in said if line.startswith(("imseek: error", "Traceback", "Exception"))]


def rest(talking: socket.socket) -> bytes:
    answer = b""
    try:
        while data := talking.recv(1 << 16):
            answer += data
    except (BrokenPipeError, ConnectionResetError):
        pass
    return answer


def heard(talking: socket.socket) -> tuple[bytes, bool]:
    """What has come by now, and whether the connection is still open."""
    answer = b""
    while select.select([talking], [], [], 0)[0]:
        try:
            data = talking.recv(1 << 16)
        except ConnectionResetError:
            return answer, False
        if not data:
            return answer, False
        answer += data
    return answer, True


def status_of(answer: bytes) -> int:
    assert answer.startswith(b"HTTP/1.1 "), answer[:200]
    return int(answer.split(b" ", 2)[1])


@contextmanager
def launched(
    folder: Path,
    *,
    patience: dict[str, float] | None = None,
    slow: float = 0.0,
    web: dict[str, Any] | None = None,
    **settings: Any,
) -> Iterator[Wire]:
    """``patience`` is of :mod:`imseek.ui.server.connections`, and ``KEEP_ALIVE`` uvicorn's; ``slow`` seconds for each
    search; ``settings`` as :class:`imseek.ui.server.settings.Settings` has them, with paths as text.

    ``web`` makes 127.0.0.1 the one address outside: it is :class:`imseek.media.fetcher.FetchLimits`, and ``names`` with
    the addresses that each look-up finds, one after the other; the last stay."""
    given = {
        "port": 0,
        "token": TOKEN,
        "rate": 0,
        "patience": patience or {},
        "slow": slow,
        "web": web,
        **settings,
    }
    log = folder / "server.log"
    command = [sys.executable, "-P", "-c", _LAUNCH, json.dumps(given)]
    with log.open("wb") as stderr:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, log.read_text()
        yield Wire(int(line.rsplit(":", 1)[1]), process, log)
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        assert process.stdin is not None
        process.stdout.close()
        process.stdin.close()
