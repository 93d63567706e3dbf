"""The remote client, with servers that answer badly, late, once only, or by something else."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

import imseek
from imseek import remote
from imseek.errors import ImseekError, ServerError, UsageError
from imseek.remote import RemoteCollection
from imseek.search.query import Query, Term

ABOUT = {"name": "photos", "uuid": "u"}


def _reply(body: object, status: str = "200 OK", *, length: int | None = None) -> bytes:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    size = len(data) if length is None else length
    return f"HTTP/1.1 {status}\r\nContent-Length: {size}\r\n\r\n".encode() + data


class Talker:
    """Answers requests with what it was given, one after the other; ``None`` closes the connection instead."""

    def __init__(self, replies: Sequence[bytes | None]) -> None:
        self.requests: list[bytes] = []
        self._replies = list(replies)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while self._replies:
            try:
                talking, _ = self._socket.accept()
            except OSError:
                return
            with talking:
                while self._replies and (request := self._read(talking)):
                    reply = self._replies.pop(0)
                    if reply is None:
                        break
                    self.requests.append(request)
                    talking.sendall(reply)

    @staticmethod
    def _read(talking: socket.socket) -> bytes:
        data = b""
        while b"\r\n\r\n" not in data:
            part = talking.recv(1 << 16)
            if not part:
                return b""
            data += part
            if data[:1] == b"\x16":  # The hello of TLS.
                return data
        head, _, body = data.partition(b"\r\n\r\n")
        for line in head.split(b"\r\n"):
            name, _, value = line.partition(b": ")
            while name.lower() == b"content-length" and len(body) < int(value):
                body += talking.recv(1 << 16)
        return head + b"\r\n\r\n" + body

    def close(self) -> None:
        self._socket.close()


@contextmanager
def _opened(*replies: bytes | None) -> Iterator[RemoteCollection]:
    """A collection of a server that answers the questions after the first with ``replies``."""
    with (
        _talking(_reply(ABOUT), *replies) as talker,
        imseek.connect(f"{talker.url}/collections/photos") as opened,
    ):
        yield opened


@contextmanager
def _talking(*replies: bytes | None) -> Iterator[Talker]:
    talker = Talker(replies)
    try:
        yield talker
    finally:
        talker.close()


GARBAGE = [
    b"",
    b"<html>",
    b"\xff",
    b"null",
    b"[]",
    b"[" * 100_000,
    b'{"collections": []}',
    b'{"collections": 1}',
    b'{"name": "a"}',
    b'{"hits": [1], "groups": [], "uuid": "u"}',
]


@pytest.mark.parametrize("body", GARBAGE, ids=lambda body: repr(body[:20]))
@pytest.mark.parametrize("status", ["200 OK", "404 Not Found", "500 Oh", "302 Found"])
def test_what_is_no_answer_of_ours_is_told_so(body: bytes, status: str) -> None:
    asks: list[Callable[[RemoteCollection], object]] = [
        lambda c: c.search("red"),
        lambda c: c.search_many(["red"]),
        lambda c: c.get(1),
        lambda c: c.info(),
        lambda c: c.suggest("red"),
    ]
    with _opened(*[_reply(body, status)] * len(asks)) as opened:
        for ask in asks:
            with pytest.raises(ServerError, match="like an imseek server"):
                ask(opened)
    with _talking(_reply(body, status)) as talker, pytest.raises(ServerError, match="like an imseek server"):
        imseek.connect(talker.url)


def test_a_picture_that_breaks_off_is_no_picture() -> None:
    cut = _reply(b"half of it", length=20)
    with _opened(cut) as opened, pytest.raises(ServerError, match="no answer"):
        opened.read(1)


def test_an_answer_that_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "_MAX_RESPONSE_BYTES", 100)
    with _opened(_reply(b"x" * 101), _reply(b"x" * 100)) as opened:
        with pytest.raises(ServerError, match="too large"):
            opened.read(1)
        assert opened.read(1) == b"x" * 100


def test_a_server_that_was_started_anew_is_asked_again() -> None:
    with _opened(None, _reply(b"picture")) as opened:
        assert opened.read(1) == b"picture"
    with _opened(None, None) as opened, pytest.raises(ServerError, match="no answer"):
        opened.read(1)


def test_a_silent_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "_TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(ServerError, match="timed out"):
            imseek.connect(f"http://127.0.0.1:{port}")
        with pytest.raises(ServerError, match="timed out"):
            imseek.connect(f"https://127.0.0.1:{port}")


def test_https_to_a_server_without() -> None:
    with _talking(_reply(ABOUT)) as talker, pytest.raises(ServerError) as told:
        imseek.connect(talker.url.replace("http", "https"))
    assert "not https" in str(told.value.hint)


@pytest.mark.parametrize(
    "url",
    [
        "http://h:99999",
        "http://h:x",
        "http://[::1",
        "http://user:secret@h:99999",
        "http://:p@h",
        "http://a b",
        "http://h#x",
    ],
)
def test_addresses_that_cannot_be(url: str) -> None:
    with pytest.raises(UsageError) as told:
        imseek.connect(url)
    assert "secret" not in str(told.value)


@pytest.mark.parametrize("token", ["line\nbreak", "Schlüssel", "two words"])
def test_tokens_that_cannot_be_sent(token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMSEEK_TOKEN", token)
    with pytest.raises(UsageError, match="ASCII") as told:
        imseek.connect("http://127.0.0.1:9")
    assert token not in str(told.value)


def test_a_name_beyond_ascii_is_quoted() -> None:
    with _talking(_reply(ABOUT)) as talker:
        imseek.connect(f"{talker.url}/collections/Zoë 1").close()
    assert talker.requests[0].startswith(b"GET /collections/Zo%C3%AB%201 ")


def test_many_queries_are_sent_in_parts_that_a_server_takes() -> None:
    queries: list[Any] = [Query((Term(text="red"),), 10_000)] * 11 + [Query((Term(text="red"),), 1)] * 300
    parts = list(remote._batch_ranges(queries, vectors=False))
    assert parts == [(0, 10), (10, 266), (266, 311)]
    assert list(remote._batch_ranges(queries[:3], vectors=True)) == [(0, 1), (1, 2), (2, 3)]
    assert list(remote._batch_ranges([], vectors=False)) == []


def test_errors_of_a_server_have_its_words() -> None:
    told = {"title": "StorageError", "status": 500, "detail": "it failed", "hint": "see"}
    odd = {"title": [], "status": 500, "detail": {}, "hint": 5}
    with _opened(_reply(told, "500 Oh"), _reply(odd, "500 Oh")) as opened:
        with pytest.raises(ServerError, match="it failed"):
            opened.get(1)
        with pytest.raises(ImseekError, match="like an imseek server"):
            opened.get(1)
