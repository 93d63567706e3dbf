"""A model hub on this machine: enough of its protocol for the client, and the faults that networks have."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import json
import re
import threading
import urllib.parse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

LARGE = 10_000  # bytes; what is larger lies in the hub's store of large files, under its sha256


@dataclass
class FakeRepository:
    files: Mapping[str, bytes]
    card: Mapping[str, Any] | None = field(default_factory=lambda: {"license": "mit"})
    commit: str = "c" * 40


class FakeHub(http.server.ThreadingHTTPServer):
    """``cut_after`` breaks connections off after so many bytes of a file, ``cuts`` times; ``damage`` changes a byte.

    ``requests`` are the method, path and range of all that was asked.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self, repositories: Mapping[str, FakeRepository]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories = dict(repositories)
        self.requests: list[tuple[str, str, str | None]] = []
        self.cut_after: int | None = None
        self.cuts = 0
        self.damage = False
        self.stall: threading.Event | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that has gone is no error here."""


@contextlib.contextmanager
def serving(repositories: Mapping[str, FakeRepository]) -> Iterator[FakeHub]:
    hub = FakeHub(repositories)
    thread = threading.Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield hub
    finally:
        if hub.stall is not None:
            hub.stall.set()
        hub.shutdown()
        hub.server_close()
        thread.join()


class _Handler(http.server.BaseHTTPRequestHandler):
    server: FakeHub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path)
        self.server.requests.append((self.command, path, self.headers.get("Range")))
        if match := re.fullmatch(r"/api/models/(.+?)(/revision/.+)?", path):
            self._describe(match.group(1))
        elif match := re.fullmatch(r"/(.+)/resolve/([^/]+)/(.+)", path):
            self._file(match.group(1), match.group(3))
        else:
            self._refuse("RepoNotFound")

    def _describe(self, name: str) -> None:
        repository = self.server.repositories.get(name)
        if repository is None:
            self._refuse("RepoNotFound")
            return
        siblings: list[dict[str, Any]] = []
        for file, data in repository.files.items():
            sibling: dict[str, Any] = {"rfilename": file, "size": len(data), "blobId": _etag(data)}
            if len(data) > LARGE:
                sibling["lfs"] = {"sha256": _etag(data), "size": len(data), "pointerSize": 130}
            siblings.append(sibling)
        body: dict[str, Any] = {"id": name, "modelId": name, "sha": repository.commit, "siblings": siblings}
        body |= {"private": False, "downloads": 0, "tags": []}
        if repository.card is not None:
            body["cardData"] = dict(repository.card)
        self._send(200, json.dumps(body).encode(), {"Content-Type": "application/json"})

    def _file(self, name: str, file: str) -> None:
        repository = self.server.repositories.get(name)
        data = None if repository is None else repository.files.get(file)
        if repository is None or data is None:
            self._refuse("EntryNotFound" if repository is not None else "RepoNotFound")
            return
        headers = {"X-Repo-Commit": repository.commit, "ETag": f'"{_etag(data)}"'}
        if len(data) > LARGE:
            headers |= {"X-Linked-Etag": f'"{_etag(data)}"', "X-Linked-Size": str(len(data))}
        if self.server.damage and len(data) > LARGE:
            data = data[:-1] + bytes([data[-1] ^ 1])
        start = 0
        if asked := re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", "")):
            start = int(asked.group(1))
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        self._send(206 if start else 200, data[start:], headers)

    def _send(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        hub = self.server
        if hub.cut_after is not None and hub.cuts > 0 and len(body) > LARGE:
            hub.cuts -= 1
            self.wfile.write(body[: hub.cut_after])
            self.wfile.flush()
            if hub.stall is not None:
                hub.stall.wait(60)
            self.close_connection = True
            self.connection.close()
            return
        self.wfile.write(body)

    def _refuse(self, code: str) -> None:
        self._send(404, b"{}", {"X-Error-Code": code, "X-Error-Message": "not here"})

    def log_message(self, *_: object) -> None:
        pass


def _etag(data: bytes) -> str:
    large = len(data) > LARGE
    return hashlib.sha256(data).hexdigest() if large else hashlib.sha1(data, usedforsecurity=False).hexdigest()
