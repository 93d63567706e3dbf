"""Who may come in, as sockets see it: the process of the pages, and its door alone."""

from __future__ import annotations

import asyncio
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

pytest.importorskip("streamlit", reason="streamlit is not installed")
from browsing import Pages, pages
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient

from imseek.ui.server.origins import Origins
from imseek.ui.web import auth as door_module
from imseek.ui.web.auth import AuthMiddleware, OneTimeCode

TOKEN = "a token of this test only"


@pytest.fixture(scope="module")
def ui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pages]:
    """The pages over an empty library, told to open a browser, which writes down what it was told."""
    folder = tmp_path_factory.mktemp("ui")
    browser = folder / "bin" / "xdg-open"
    browser.parent.mkdir()
    browser.write_text(f'#!/bin/sh\necho "$1" > {folder}/opened.part; mv {folder}/opened.part {folder}/opened\n')
    browser.chmod(0o755)
    environment = {"PATH": f"{browser.parent}:/usr/bin:/bin", "IMSEEK_TOKEN": TOKEN.replace(" ", "-")}
    with pages(folder, folder / "home", "--browser", environment=environment) as running:
        yield running


def status(ui: Pages, path: str, *headers: str, method: str = "GET") -> tuple[int, str]:
    """The status of an answer, and its head."""
    at = urlsplit(ui.url)
    asked = "\r\n".join([f"{method} {path} HTTP/1.1", f"Host: {at.netloc}", "Connection: close", *headers, "", ""])
    with socket.create_connection((at.hostname, at.port), timeout=20) as wire:
        wire.sendall(asked.encode("latin-1"))
        answer = b""
        while b"\r\n\r\n" not in answer and (part := wire.recv(65536)):
            answer += part
    head = answer.partition(b"\r\n\r\n")[0].decode("latin-1")
    return int(head.split(" ")[1]), head


def cookie(ui: Pages) -> str:
    return f"Cookie: imseek={ui.entrance.partition('token=')[2]}"


UPGRADE = (
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)


def test_the_browser_is_given_a_link_that_logs_in_once(ui: Pages) -> None:
    opened = ui.log.parent / "opened"
    for _ in range(200):
        if opened.exists():
            break
        time.sleep(0.05)
    link = opened.read_text().strip()
    assert link.startswith(f"{ui.url}/?token=")
    assert ui.entrance.partition("token=")[2] not in link
    path = link.removeprefix(ui.url)
    assert status(ui, path, "Accept: text/html")[0] == 303
    assert status(ui, path, "Accept: text/html")[0] == 401


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/duplicates", "/static/js/x.js", "/favicon.png", "/media/x", "/component/a/b", "/arrays/x"),
        *("/_stcore/health", "/_stcore/host-config", "/_stcore/metrics", "/_stcore/upload_file/a/b"),
        *(
            "/names/photos/1",
            "/pictures/photos/tags",
            "/pictures/photos/images/1/about",
            "/taken/x/pictures.zip",
        ),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD"])
def test_no_route_answers_without_the_cookie(ui: Pages, path: str, method: str) -> None:
    assert status(ui, path, method=method)[0] == 401
    assert status(ui, path, "Cookie: imseek=wrong", method=method)[0] == 401


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ((), 403),
        (("Cookie: imseek=wrong",), 403),
        (("COOKIE",), 101),
        (("COOKIE", "Origin: OWN"), 101),
        (("COOKIE", "Origin: null"), 403),
        (("COOKIE", "Origin: http://127.0.0.1:1"), 403),
        (("COOKIE", "Origin: http://elsewhere.example"), 403),
    ],
)
def test_the_websocket_takes_a_cookie_and_no_other_site(ui: Pages, headers: tuple[str, ...], code: int) -> None:
    said = [one.replace("COOKIE", cookie(ui)).replace("OWN", ui.url) for one in headers]
    assert status(ui, "/_stcore/stream", *UPGRADE, *said)[0] == code
    assert status(ui, f"/_stcore/stream?token={cookie(ui)[15:]}", *UPGRADE)[0] == 403  # By the cookie alone.


@pytest.mark.parametrize(
    "path",
    [
        "//evil.example/",
        "/\\evil.example/",
        "/%09/evil.example",
        "/%2f%2fevil.example",
        "/%0d%0aX-Bad:1",
        "/?a=%0d%0aX-Bad:1",
    ],
)
def test_logging_in_leads_nowhere_else(ui: Pages, path: str) -> None:
    token = ui.entrance.partition("token=")[2]
    code, head = status(ui, f"{path}{'&' if '?' in path else '?'}token={token}")
    assert code == 303
    to = next(line[10:] for line in head.splitlines() if line.lower().startswith("location: "))
    assert to.startswith("/")
    assert not to.startswith(("//", "/\\"))
    assert token not in to
    assert "\nx-bad" not in head.lower()
    assert "httponly" in head.lower()
    assert "samesite=lax" in head.lower()


def test_no_site_of_streamlit_steers_the_pages(ui: Pages) -> None:
    asked = urllib.request.Request(f"{ui.url}/_stcore/host-config", headers=dict([cookie(ui).split(": ")]))
    with urllib.request.urlopen(asked) as answer:
        assert b'"allowedOrigins":[]' in answer.read()
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]


def test_the_log_holds_the_token_once(ui: Pages) -> None:
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(f"{ui.url}/?token=wrong-but-secret")
    said = ui.log.read_text()
    assert said.count(ui.entrance.partition("token=")[2]) == 1
    assert "wrong-but-secret" not in said


def test_a_form_that_never_ends_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door_module, "_PATIENCE", 0.1)
    sent: list[Any] = []

    async def receive() -> Any:
        await asyncio.sleep(60)

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/login", "raw_path": b"/login", "query_string": b""}
    scope |= {"headers": [(b"host", b"localhost")], "scheme": "http", "server": ("localhost", 80)}
    door = AuthMiddleware(Starlette(), Origins(), TOKEN, OneTimeCode())
    asyncio.run(asyncio.wait_for(door(scope, receive, send), 10))
    assert sent[0]["status"] == 408


def test_a_code_is_good_once_and_not_for_long() -> None:
    def door(once: OneTimeCode) -> TestClient:
        app = Starlette()
        app.add_route("/", lambda _: PlainTextResponse("in"))
        return TestClient(AuthMiddleware(app, Origins(), TOKEN, once), base_url="http://localhost")

    once, late = OneTimeCode(), OneTimeCode(seconds=0)
    first, second = door(once), TestClient(door(once).app, base_url="http://localhost")
    assert first.get(f"/?token={once.code}").text == "in"
    assert second.get(f"/?token={once.code}").status_code == 401
    assert door(late).get(f"/?token={late.code}").status_code == 401
    assert door(OneTimeCode()).get("/", headers={"Cookie": f"imseek={once.code}"}).status_code == 401


@pytest.mark.parametrize(("path", "to"), [("/search", "/"), ("/search?c=a&q=b%20c", "/?c=a&q=b%20c")])
def test_the_first_page_has_its_name_too(ui: Pages, path: str, to: str) -> None:
    code, head = status(ui, path, cookie(ui))
    assert code == 307
    assert f"\r\nlocation: {to}\r\n" in head + "\r\n"
