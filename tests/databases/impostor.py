"""What listens like a PostgreSQL server, asks whoever connects to log in, and takes down all that it is told.

Messages are those of PostgreSQL's documentation, chapter 53 (Frontend/Backend Protocol).
"""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from imseek.data import layout
from imseek.data.files import durable_files

#: By name, what a server may ask for: the payload of a message `R`.
CHALLENGES: Final = {
    "md5": struct.pack("!I", 5) + b"salt",
    "cleartext": struct.pack("!I", 3),
    "kerberos": struct.pack("!I", 2),
    "gss": struct.pack("!I", 7),
    "sspi": struct.pack("!I", 9),
    "oauth": struct.pack("!I", 10) + b"OAUTHBEARER\0\0",
    "scram": struct.pack("!I", 10) + b"SCRAM-SHA-256\0\0",
}
_SSL, _GSS = 80877103, 80877104
#: What no client of PostgreSQL says: with it the server's own connection makes itself known.
_OWN = struct.pack("!II", 8, 0)


class Impostor:
    """Listens on loopback until the end of its ``with``."""

    def __init__(self, challenge: str) -> None:
        self._challenge = CHALLENGES[challenge]
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._socket.settimeout(0.05)
        self.port: int = self._socket.getsockname()[1]
        self._connections = 0
        self._answers: list[bytes] = []
        self._own = threading.Event()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    @property
    def connections(self) -> int:
        """How many have connected so far."""
        self._settle()
        return self._connections

    @property
    def answers(self) -> list[bytes]:
        """What each client has said to the challenge so far."""
        self._settle()
        return list(self._answers)

    def url(self, more: str = "") -> str:
        return f"postgresql://me@127.0.0.1:{self.port}/pictures{more}"

    def __enter__(self) -> Impostor:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._settle()
        self._end.set()
        self._thread.join()
        self._socket.close()

    def _settle(self) -> None:
        """Wait until all that have connected are served: they are served in turn, and this connection is the last."""
        if self._end.is_set():
            return
        self._own.clear()
        with socket.create_connection(("127.0.0.1", self.port)) as own:
            own.sendall(_OWN)
        assert self._own.wait(30)

    def _serve(self) -> None:
        while not self._end.is_set():
            with suppress(TimeoutError):
                client, _ = self._socket.accept()
                with client:
                    client.settimeout(5)
                    try:
                        answer = self._answer(client)
                    except OSError:
                        self._connections += 1
                        continue
                if answer == _OWN:
                    self._own.set()
                else:
                    self._connections += 1
                    self._answers.append(answer)

    def _answer(self, client: socket.socket) -> bytes:
        """What a client says to the challenge. Until then it has said only who it is."""
        while True:
            start = self._exactly(client, 8)
            if start == _OWN:
                return start
            length, code = struct.unpack("!II", start)
            self._exactly(client, length - 8)
            if code not in (_SSL, _GSS):
                break
            client.sendall(b"N")
        client.sendall(b"R" + struct.pack("!I", len(self._challenge) + 4) + self._challenge)
        said = b""
        while part := client.recv(4096):
            said += part
            if said.startswith(b"p"):  # It has answered: that is all there is to see.
                break
        return said

    def _exactly(self, client: socket.socket, size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = client.recv(size - len(data))
            if not part:
                raise ConnectionError
            data += part
        return data


def name_server(root: Path, url: Any) -> None:
    """Have the collection at ``root``, whose catalog is a file, say that its catalog is on a server."""
    identity = json.loads((root / layout.COLLECTION).read_bytes())
    identity.pop("sha256")
    address = {"format": layout.FORMAT_SERVER_CATALOG, "uuid": identity["uuid"], "url": url}
    (root / layout.ADDRESS).write_bytes(durable_files.add_checksum(address))
    (root / layout.COLLECTION).write_bytes(
        durable_files.add_checksum({**identity, "format": layout.FORMAT_SERVER_CATALOG})
    )
    for name in (
        layout.CATALOG,
        *layout.CATALOG_COMPANIONS,
        *layout.BACKUPS,
        layout.CHECKSUMS,
        layout.CURRENT,
    ):
        (root / name).unlink(missing_ok=True)


@contextmanager
def listening(challenge: str = "md5") -> Iterator[Impostor]:
    with Impostor(challenge) as server:
        yield server
