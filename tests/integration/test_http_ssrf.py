"""Queries that name pictures of the web, sent to a server on the wire: it asks nobody on this machine or its network.

Nothing but loopback can be reached here. So 127.0.0.1 stands for the web where one is needed, with names of its own,
and 127.0.0.2 and ::1 for what lies inside: whoever connects there is caught.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from serving.wire import Wire, launched, status_of

import imseek

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="127.0.0.2 is of this machine there only")

LIMIT, TOTAL = 300_000, 4.0


class Listening:
    """Answers each connection by ``answers``, by path; ``asked`` are the paths, in order."""

    def __init__(self, address: str, port: int = 0) -> None:
        self.asked: list[str] = []
        self.answers: dict[str, Callable[[socket.socket], None]] = {}
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._socket = socket.create_server((address, port), family=family)
        self.port: int = self._socket.getsockname()[1]
        self._closed = threading.Event()
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                talking, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(talking,), daemon=True).start()

    def _answer(self, talking: socket.socket) -> None:
        with talking, contextlib.suppress(OSError):
            talking.settimeout(10)
            head = b""
            while b"\r\n\r\n" not in head and (data := talking.recv(1 << 16)):
                head += data
            path = head.split(b" ")[1].decode() if head else ""
            self.asked.append(path)
            self.answers.get(path, reply(404))(talking)

    def close(self) -> None:
        self._closed.set()
        self._socket.close()

    def dripping(self, head: bytes, drop: bytes) -> Callable[[socket.socket], None]:
        """Without end, but that of the test."""

        def drip(talking: socket.socket) -> None:
            talking.sendall(head)
            while not self._closed.wait(0.05):
                talking.sendall(drop)

        return drip


def reply(status: int, body: bytes = b"", *headers: str) -> Callable[[socket.socket], None]:
    lines = [f"HTTP/1.1 {status} Said", f"Content-Length: {len(body)}", "Connection: close", *headers, "", ""]
    return lambda talking: talking.sendall("\r\n".join(lines).encode() + body)


def _picture(size: tuple[int, int] = (64, 64), mode: str = "RGB") -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, size).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, photo_files: list[Path]) -> Path:
    made = tmp_path_factory.mktemp("ssrf") / "photos"
    with imseek.create(made, encoder="fake") as collection:
        collection.index(names=photo_files[:2])
    return made


@pytest.fixture
def web() -> Iterator[Listening]:
    made = Listening("127.0.0.1")
    yield made
    made.close()


@pytest.fixture
def inside(web: Listening) -> Iterator[list[Listening]]:
    """At the same port, so that a name alone leads there."""
    made = [Listening("127.0.0.2", web.port)]
    with contextlib.suppress(OSError):  # Not every machine has IPv6.
        made.append(Listening("::1", web.port))
    yield made
    for one in made:
        one.close()


NAMES = {
    "site.test": [["127.0.0.1"]],
    "private.test": [["127.0.0.2"]],
    "private6.test": [["::1"]],
    "mixed.test": [["127.0.0.1", "127.0.0.2"]],
    "metadata.test": [["169.254.169.254"]],
    "moving.test": [["127.0.0.1"], ["127.0.0.2"]],
    "turning.test": [["127.0.0.1"], ["127.0.0.2"]],
}


@pytest.fixture(scope="module")
def faked(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wire]:
    web = {"names": NAMES, "max_bytes": LIMIT, "total": TOTAL, "stall": 1.0, "back_off": 0.01}
    collections = [("photos", str(root))]
    with launched(tmp_path_factory.mktemp("log"), web=web, collections=collections, pixels=10**6) as running:
        yield running
        assert running.failures() == []


@pytest.fixture(scope="module")
def real(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wire]:
    with launched(tmp_path_factory.mktemp("log"), collections=[("photos", str(root))]) as running:
        yield running
        assert running.failures() == []


def _asked(wire: Wire, body: dict[str, Any], path: str = "/collections/photos/search") -> tuple[int, str]:
    data = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\n"
    said = wire.said(f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data)
    answer = json.loads(said.partition(b"\r\n\r\n")[2])
    return status_of(said), answer["detail"] if isinstance(answer, dict) and "detail" in answer else ""


def _like(wire: Wire, url: str) -> tuple[int, str]:
    """The same by each way that a URL can come."""
    return _asked(wire, {"like": {"url": url}})


# -- the server as it is -------------------------------------------------------------------------------------

FORMS = [
    "http://127.0.0.1:{}/a", "http://localhost:{}/a", "http://LOCALHOST.:{}/a", "http://127.0.0.2:{}/a", "http://127.1:{}/a",
    "http://2130706433:{}/a", "http://0x7f000001:{}/a", "http://0x7f.0.0.1:{}/a", "http://017700000001:{}/a",
    "http://0177.0.0.01:{}/a", "http://0:{}/a", "http://0.0.0.0:{}/a", "http://[::1]:{}/a", "http://[::]:{}/a",
    "http://[0:0:0:0:0:0:0:1]:{}/a", "http://[::ffff:127.0.0.1]:{}/a", "http://[::ffff:7f00:1]:{}/a",
    "http://[::127.0.0.1]:{}/a", "http://[64:ff9b::7f00:1]:{}/a", "http://[2002:7f00:1::]:{}/a", "http://[::1%25lo]:{}/a",
    "http://127。0。0。1:{}/a", "http://①②⑦.⓪.⓪.①:{}/a", "http://ⓛocalhost:{}/a", "http://public.example@127.0.0.1:{}/a",
    "http://127.0.0.1:{}@public.example/a", "http://user:word@127.0.0.1:{}/a", "http://public.example#@127.0.0.1:{}/a",
    "http://127.0.0.1:{}\\@public.example/a", "http://127.0.0.1%00.public.example:{}/a", "http://127.0.0.1:{}#.public.example",
    "http://169.254.169.254/latest/meta-data/?{}", "http://[fd00:ec2::254]/?{}", "http://10.0.0.1:{}/a",
    "http://192.168.0.1:{}/a", "http://172.16.0.1:{}/a", "http://100.64.0.1:{}/a", "http://[fe80::1]:{}/a",
    "http://224.0.0.1:{}/a", "http://127.0.0.1:0{}/a", "HTTP://127.0.0.1:{}/a", "https://127.0.0.1:{}/a",
    "http:/127.0.0.1:{}/a", "http:127.0.0.1:{}/a", "http:///127.0.0.1:{}/a", "//127.0.0.1:{}/a", "file:///etc/passwd?{}",
    "file://localhost/etc/passwd?{}", "ftp://127.0.0.1:{}/a", "gopher://127.0.0.1:{}/_GET", "dict://127.0.0.1:{}/a",
    "data:image/png;base64,{}", "javascript:{}", "unix:///run/docker.sock?{}", "http+unix://%2frun%2fdocker.sock/?{}",
    "http://127.0.0.1:{}/a\r\nX: y", "http://127.0.0.1\t:{}/a", "/etc/passwd?{}", "",
]  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_no_url_leads_to_this_machine(real: Wire, web: Listening, inside: list[Listening], form: str) -> None:
    url = form.replace("{}", str(web.port))
    for body, path in (
        ({"like": {"url": url}}, "/collections/photos/search"),
        ({"like": url}, "/collections/photos/search"),
        ({"text": "red", "not": [{"url": url}]}, "/collections/photos/search"),
        ({"queries": [{"like": [{"url": url, "weight": 0.5}]}]}, "/collections/photos/batch"),
        ({"indice_name": "photos", "modality": "image", "num_images": 1, "image_url": url}, "/knn-service"),
    ):
        status, detail = _asked(real, body, path)
        assert status == 422, (path, detail)
        assert "root:" not in detail
    assert web.asked == []
    assert [one.asked for one in inside] == [[]] * len(inside)


# -- 127.0.0.1 as the web ------------------------------------------------------------------------------------

INSIDE = [
    "http://127.0.0.2:{}/secret", "http://[::1]:{}/secret", "http://private.test:{}/secret", "http://private6.test:{}/secret",
    "http://mixed.test:{}/secret", "//private.test:{}/secret", "http://2130706434:{}/secret", "http://0x7f000002:{}/secret",
    "http://[::ffff:127.0.0.2]:{}/secret", "http://metadata.test/latest/?{}", "http://169.254.169.254/latest/?{}",
    "http://10.0.0.1:{}/", "http://user:word@site.test:{}/secret", "http://site.test:22/?{}", "file:///etc/passwd?{}",
    "ftp://127.0.0.2:{}/", "data:image/png;base64,AA?{}", "gopher://127.0.0.2:{}/_", "http://127.0.0.2\\@site.test:{}/",
]  # fmt: skip


def test_the_outside_can_be_reached(faked: Wire, web: Listening) -> None:
    """Else nothing here would mean anything."""
    web.answers["/a.png"] = reply(200, _picture())
    web.answers["/moved"] = reply(302, b"", f"Location: http://site.test:{web.port}/a.png")
    assert _like(faked, f"http://site.test:{web.port}/moved") == (200, "")
    assert web.asked == ["/moved", "/a.png"]


@pytest.mark.parametrize("status", [301, 303, 307, 308])
@pytest.mark.parametrize("target", INSIDE)
def test_a_redirect_leads_to_nothing_inside(
    faked: Wire, web: Listening, inside: list[Listening], target: str, status: int
) -> None:
    web.answers["/a"] = reply(status, b"", "Location: " + target.replace("{}", str(web.port)))
    found, detail = _like(faked, f"http://site.test:{web.port}/a")
    assert found == 422
    assert "root:" not in detail
    assert web.asked == ["/a"]
    assert [one.asked for one in inside] == [[]] * len(inside)


def test_redirects_in_a_circle_have_an_end(faked: Wire, web: Listening) -> None:
    web.answers["/a"] = reply(302, b"", "Location: /b")
    web.answers["/b"] = reply(302, b"", "Location: /a")
    found, detail = _like(faked, f"http://site.test:{web.port}/a")
    assert (found, "more than 5 redirects" in detail) == (422, True)
    assert len(web.asked) == 6


def test_a_name_that_is_outside_first_and_inside_then(faked: Wire, web: Listening, inside: list[Listening]) -> None:
    """For the next query, and for the next connection of the same one."""
    web.answers["/a.png"] = reply(200, _picture())
    assert _like(faked, f"http://moving.test:{web.port}/a.png")[0] == 200
    assert _like(faked, f"http://moving.test:{web.port}/a.png")[0] == 422
    web.answers["/again"] = reply(302, b"", "Location: /a.png")
    assert _like(faked, f"http://turning.test:{web.port}/again")[0] == 422
    assert web.asked == ["/a.png", "/again"]
    assert [one.asked for one in inside] == [[]] * len(inside)


@pytest.mark.parametrize("name", ["private.test", "private6.test", "mixed.test", "metadata.test"])
def test_names_of_what_is_inside(faked: Wire, web: Listening, inside: list[Listening], name: str) -> None:
    assert _like(faked, f"http://{name}:{web.port}/secret")[0] == 422
    assert web.asked == []
    assert [one.asked for one in inside] == [[]] * len(inside)


def _endless(talking: socket.socket) -> None:
    talking.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(10_000):
        talking.sendall(b"10000\r\n" + b"x" * 65536 + b"\r\n")


def _headers(talking: socket.socket) -> None:
    talking.sendall(b"HTTP/1.1 200 OK\r\n")
    for _ in range(10_000):
        talking.sendall(b"X: " + b"a" * 10_000 + b"\r\n")


def _packed(body: bytes) -> Callable[[socket.socket], None]:
    return reply(200, gzip.compress(body), "Content-Encoding: gzip")


BAD: dict[str, tuple[Callable[[socket.socket], None], str]] = {
    "stated": (reply(200, b"x" * (LIMIT + 1)), "more than 300,000 bytes"),
    "endless": (_endless, "more than 300,000 bytes"),
    "endless-head": (_headers, ""),
    "packed": (_packed(b"x" * 100_000_000), "more than 300,000 bytes"),
    "packed-twice": (reply(200, b"x", "Content-Encoding: gzip, gzip"), "not requested"),
    "pixels": (reply(200, _picture((9000, 9000), "1")), "pixels"),
    "page": (reply(200, b"<html>root:x</html>", "Content-Type: image/png"), "matches no known image"),
    "nothing": (reply(200), ""),
    "no-http": (lambda talking: talking.sendall(b"220 smtp ESMTP\r\n"), ""),
    "cut": (lambda talking: talking.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nx"), ""),
    "script": (lambda talking: talking.sendall(b"HTTP/1.1 404 <script>\r\nContent-Length: 0\r\n\r\n"), "404"),
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize(("answer", "says"), BAD.values(), ids=BAD)
def test_answers_that_are_too_much_or_no_picture(
    faked: Wire, web: Listening, answer: Callable[[socket.socket], None], says: str
) -> None:
    web.answers["/a"] = answer
    before = faked.memory()
    status, detail = _like(faked, f"http://site.test:{web.port}/a")
    assert status == 422
    assert says in detail
    assert "root:" not in detail
    assert faked.memory() < before + 60_000_000


@pytest.mark.parametrize(
    ("head", "drop"),
    [
        (b"", b""),
        (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b"x"),
    ],
    ids=["silent", "head", "body"],
)
def test_sites_that_dawdle_keep_nobody_waiting(faked: Wire, web: Listening, head: bytes, drop: bytes) -> None:
    """More of them than are asked at once: words and pictures are answered meanwhile."""
    web.answers["/a"] = web.dripping(head, drop)
    found: list[int] = []

    def ask() -> None:
        found.append(_like(faked, f"http://site.test:{web.port}/a")[0])

    asking = [threading.Thread(target=ask) for _ in range(8)]
    for one in asking:
        one.start()
    time.sleep(0.5)
    for path in ("search?q=red", "images/0/file", "images/1/thumbnail"):
        request = f"GET /collections/photos/{path} HTTP/1.1\r\nHost: localhost\r\n\r\n"
        assert faked.status(request.encode()) == 200, path
    assert found == []
    for one in asking:
        one.join(20)
    assert found == [422] * 8


def test_a_query_names_few_pictures_and_a_batch_no_more(faked: Wire, web: Listening) -> None:
    """A request of some kilobytes would have gigabytes fetched, and held."""
    web.answers["/a.png"] = reply(200, _picture() + bytes(LIMIT // 2))
    url = f"http://site.test:{web.port}/a.png"
    status, detail = _asked(faked, {"like": [url] * 20})
    assert (status, "together" in detail) == (422, True)
    assert len(web.asked) == 2
    status, detail = _asked(faked, {"queries": [{"like": url}] * 65}, "/collections/photos/batch")
    assert (status, "of the web" in detail) == (422, True)
    assert len(web.asked) == 2
