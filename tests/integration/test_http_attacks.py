"""What somebody sends who means no good: never a failure of the server, never a path of its own."""

from __future__ import annotations

import json
import logging
import select
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from starlette.testclient import TestClient

import imseek
from imseek.errors import EncoderUnavailableError, UsageError
from imseek.ui.http.app import make_app
from imseek.ui.server import connections
from imseek.ui.server.settings import Settings

TOKEN = "a-token-for-tests-0123456789"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
NAME = "Zoë #1 ?%"


def _made(root: Path, files: list[Path]) -> Path:
    with imseek.create(root, encoder="fake") as collection:
        collection.index(names=files)
    return root


@pytest.fixture
def root(tmp_path: Path, photo_files: list[Path]) -> Path:
    return _made(tmp_path / "photos", photo_files[:3])


def _client(root: Path, name: str = "photos", **settings: Any) -> TestClient:
    made = Settings(((name, root),), **{"token": TOKEN, **settings})
    return TestClient(make_app(made), base_url="http://localhost:1234", raise_server_exceptions=False)


@pytest.fixture
def client(root: Path) -> Iterator[TestClient]:
    with _client(root, rate=0) as opened:
        yield opened


def _at(path: str) -> str:
    return f"/collections/photos/{path}"


@pytest.mark.parametrize("number", [2**63, 2**70, -1, -(2**70)], ids=["2**63", "2**70", "-1", "-2**70"])
def test_numbers_that_no_id_has(client: TestClient, number: int) -> None:
    for path in ("", "/file", "/thumbnail", "/similar"):
        assert client.get(_at(f"images/{number}{path}")).status_code == 404, path
    assert client.get(_at(f"jobs/{number}")).status_code == 404
    assert client.delete(_at(f"jobs/{number}"), headers=BEARER).status_code == 404
    assert client.get(_at("search"), params={"q": "red", "limit": number}).status_code == 422
    for asked in ({"like": number}, {"text": "red", "more": [number]}, {"text": "red", "less": [number]}):
        assert client.post(_at("search"), json=asked).status_code in (404, 422), asked


@pytest.mark.parametrize(
    "body",
    [
        '{"not": {"text": "a", "weight": 1%s}, "text": "b"}' % ("0" * 400),
        '{"text": "a", "limit": 1%s}' % ("0" * 5000),
        '{"text": "a", "min_score": NaN}',
        '{"like": {"vector": [%s1e400]}}' % ("1," * 63),
        '{"like": {"vector": [%sNaN]}}' % ("1," * 63),
        "[" * 100_000,
        '{"like": %s}' % ("[" * 900 + "]" * 900),
        '{"text": "\\ud800"}',
        '{"text": "a", "where": "caption = \'\\ud800\'"}',
        json.dumps({"text": ["a"] * 65}),
        json.dumps({"text": "a" * 20_001}),
        json.dumps({"text": "a", "limit": 10_000, "group_by": "folder", "per_group": 100}),
        "",
    ],
    ids=lambda body: body[:40],
)
def test_bodies_that_no_client_sends(client: TestClient, body: str) -> None:
    response = client.post(_at("search"), content=body, headers={"Content-Type": "application/json"})
    assert response.status_code in (400, 422), response.text
    assert response.headers["content-type"] == "application/problem+json"


def test_a_batch_asks_for_no_more_than_an_answer_holds(client: TestClient) -> None:
    asked = {"queries": [{"text": "red", "limit": 10_000}] * 11}
    refused = client.post(_at("batch"), json=asked)
    assert refused.status_code == 422
    assert "100,000 hits" in refused.json()["detail"]
    with_vectors = {"queries": [{"text": "red", "limit": 6_000, "vectors": True}] * 2}
    assert client.post(_at("batch"), json=with_vectors).status_code == 422
    assert client.post(_at("batch"), json={"queries": [{"text": "red", "limit": 9}] * 256}).status_code == 200


@pytest.mark.parametrize("asked", ["0-%s", "%s-", "-%s"])
def test_ranges_of_thousands_of_digits(client: TestClient, asked: str) -> None:
    response = client.get(_at("images/1/file"), headers={"Range": "bytes=" + asked % ("9" * 5000)})
    assert response.status_code == 200


def test_hosts_that_only_look_like_ours(client: TestClient) -> None:
    for host in ("localhost:x@evil.example", "[::1]evil", "user@localhost", "localhost.", "localhost:1:2"):
        assert client.get("/health", headers={"Host": host}).status_code == 421, host
    two = client.build_request("GET", "/health")
    two.headers = type(two.headers)([("Host", "localhost"), ("Host", "evil.example")])
    assert client.send(two).status_code == 421


def test_pages_that_load_a_picture_send_no_origin(client: TestClient) -> None:
    for site in ("cross-site", "same-site"):
        loaded = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}
        assert client.get(_at("images/1/file"), headers=loaded).status_code == 403
        framed = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}
        assert client.get("/collections", headers=framed).status_code == 403
        followed = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
        assert client.get("/collections", headers=followed).status_code == 200
    own = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}
    assert client.get("/collections", headers=own).status_code == 200


def test_one_token_and_not_without_end(root: Path) -> None:
    with _client(root, rate=5) as client:
        two = client.build_request("DELETE", _at("jobs/1"))
        two.headers = type(two.headers)(
            [("Host", "localhost"), ("Authorization", f"Bearer {TOKEN}"), ("Authorization", "Bearer x")]
        )
        assert client.send(two).status_code == 401
        tried = [client.delete(_at("jobs/1"), headers={"Authorization": f"Bearer {n}"}).status_code for n in range(30)]
        assert 429 in tried
        assert client.delete(_at("jobs/99"), headers=BEARER).status_code == 404  # Who has it is not kept out.


@pytest.mark.parametrize("token", ["ein-Schlüssel-mit-Umlaut", "with spaces in between", "line\nbreak-0123456789"])
def test_tokens_that_no_header_holds(root: Path, token: str) -> None:
    with pytest.raises(UsageError, match="ASCII"):
        Settings((("photos", root),), token=token)


def test_a_name_that_urls_must_quote(root: Path) -> None:
    with _client(root, NAME) as client:
        hit = client.post("/knn-service", json=_knn(NAME)).json()[0]
        found = client.get("/collections/Zo%C3%AB%20%231%20%3F%25/search", params={"q": "red"}).json()["hits"][0]
        assert found["image_id"] == hit["id"]
        assert client.get(found["image"]).status_code == 200
        assert client.get(found["thumbnail"]).headers["content-type"] == "image/webp"


@pytest.mark.parametrize("member", ["num_images", "num_result_ids", "aesthetic_weight"])
def test_true_is_no_number_there_either(member: str, client: TestClient) -> None:
    response = client.post("/knn-service", json={**_knn("photos"), member: True})
    assert response.status_code == 422
    assert f"{member} must not be true or false" in response.text


def _knn(name: str) -> dict[str, Any]:
    return {"text": "red", "modality": "image", "num_images": 1, "indice_name": name}


# -- what happens to a collection under a running server -----------------------------------------------------


PATHS = ("", "/search?q=red", "/images/1", "/images/1/file", "/images/1/thumbnail", "/jobs", "/jobs/1")


def test_a_collection_that_goes_and_comes_back_as_another(
    client: TestClient, root: Path, photo_files: list[Path]
) -> None:
    before = client.get("/collections/photos").json()
    shutil.move(root, root.with_name("gone"))
    for path in PATHS:
        response = client.get(f"/collections/photos{path}")
        assert response.status_code == 404, path
        assert str(root) not in response.text
        assert response.json()["title"] == "CollectionNotFoundError"
    _made(root, photo_files)
    after = client.get("/collections/photos").json()
    assert after["uuid"] != before["uuid"]
    assert after["images"] == len(photo_files)
    for path in PATHS:
        assert client.get(f"/collections/photos{path}").status_code == 200, path


def test_no_answer_names_the_place_of_a_collection(client: TestClient, root: Path) -> None:
    for path in ("jobs/999", "images/999"):
        assert str(root.parent) not in client.get(_at(path)).text
    (root / "current.json").write_text("{garbage")
    for path in PATHS[:5]:
        response = client.get(f"/collections/photos{path}")
        assert response.status_code == 503
        assert str(root.parent) not in response.text


def test_an_encoder_that_cannot_be_loaded(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    from imseek.encoders import registry

    def fail(*_: object, **__: object) -> None:
        raise EncoderUnavailableError("no weights in /home/somebody/.cache")

    monkeypatch.setattr(registry, "load", fail)
    response = client.get(_at("search"), params={"q": "red"})
    assert response.status_code == 503
    assert "/home" not in response.text
    assert client.get(_at("images/1/similar")).status_code == 200


def test_a_failure_is_in_the_access_log_on_one_line(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(self: imseek.Collection) -> None:
        raise RuntimeError

    monkeypatch.setattr(imseek.Collection, "info", fail)
    with caplog.at_level(logging.INFO, "imseek.access"):
        client.get("/collections/photos")
        client.get("/x%0a%0d%1b[31m")
    lines = [record.getMessage() for record in caplog.records if record.name == "imseek.access"]
    assert [json.loads(line)["status"] for line in lines] == [500, 404]
    assert not any(char < " " for line in lines for char in line)


def test_a_slow_site_does_not_keep_words_waiting(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    from imseek.ui.server import service

    asked, go_on = threading.Event(), threading.Event()

    def slow(*_: object) -> tuple[bytes, str]:
        asked.set()
        go_on.wait(30)
        return b"none", "http://slow.example/"

    monkeypatch.setattr(service, "load_picture", slow)
    answers: list[int] = []

    def ask() -> None:
        answers.append(client.post(_at("search"), json={"like": "http://slow.example/"}).status_code)

    thread = threading.Thread(target=ask)
    thread.start()
    assert asked.wait(10)
    assert client.get(_at("search"), params={"q": "red"}).status_code == 200
    assert not answers
    go_on.set()
    thread.join()
    assert answers == [422]


# -- on the wire ---------------------------------------------------------------------------------------------


@pytest.fixture
def port(root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.3)
    config = uvicorn.Config(
        make_app(Settings((("photos", root),), token=TOKEN, rate=0)),
        http=connections.Connection,
        log_config=None,
        port=0,
        ws="none",
    )
    server = uvicorn.Server(config)
    bound = config.bind_socket()
    bound.listen()
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
    thread.start()
    yield bound.getsockname()[1]
    server.should_exit = True
    thread.join(20)


def _said(port: int, *parts: bytes, pause: float = 0.0) -> bytes:
    """All that the server says until it closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as talking:
        answer = b""
        try:
            for part in parts:
                talking.sendall(part)
                # What has come is taken: a reset, for what is sent after the end, would throw it away.
                if select.select([talking], [], [], pause)[0]:
                    answer += talking.recv(1 << 16)
                    time.sleep(pause)
            while data := talking.recv(1 << 16):
                answer += data
        except (BrokenPipeError, ConnectionResetError):
            pass
        return answer


def test_who_dawdles_over_the_head_of_a_request_is_cut_off(port: int) -> None:
    start = time.monotonic()
    assert _said(port) == b""
    assert _said(port, b"GET /health HTTP/1.1\r\n", *[b"X: y\r\n"] * 8, pause=0.1) == b""
    first = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
    again = _said(port, first, b"GET /health", b" ", b"H", b"T", pause=0.15)
    assert again.count(b"200 OK") == 1
    assert time.monotonic() - start < 8


@pytest.mark.parametrize(
    "head",
    [
        b"GET /health HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
        b"GET /health HTTP/1.1\r\n\r\n",
        b"POST /metadata HTTP/1.1\r\nHost: localhost\r\nContent-Length: 6\r\nContent-Length: 7\r\n\r\n{}",
        b"POST /metadata HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"POST /metadata HTTP/1.1\r\nHost: localhost\r\nContent-Length: +6\r\n\r\n{}",
        b"POST /metadata HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n{}",
    ],
    ids=["two-hosts", "no-host", "two-lengths", "unknown-coding", "signed-length", "long-length"],
)
def test_requests_of_two_meanings_are_none(port: int, head: bytes) -> None:
    assert _said(port, head).startswith(b"HTTP/1.1 400 ")
