"""A server as a process of its own, attacked with sockets: what dawdles, lies, goes away, or is more than it seems."""

from __future__ import annotations

import gzip
import io
import json
import select
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from serving.wire import Wire, heard, launched, rest, status_of

import imseek

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="what a process holds is read from /proc")

#: Seconds by the clock of the server, which tests move: none passes by itself while a test runs.
HEAD, READ, SECONDS = 200.0, 300.0, 800.0
MOST, BODY = 60, 4_000_000
HOST = b"Host: localhost\r\n"
HEALTH = b"GET /health HTTP/1.1\r\n" + HOST + b"\r\n"
SEARCH = b"/collections/photos/search"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, photo_files: list[Path]) -> Path:
    """Image 0 is larger than the buffers of a socket."""
    folder = tmp_path_factory.mktemp("wire")
    noise = np.random.default_rng(0).integers(0, 255, (2400, 2400, 3), dtype=np.uint8)
    Image.fromarray(noise).save(folder / "large.png", compress_level=0)
    with imseek.create(folder / "photos", encoder="fake") as collection:
        collection.index(names=[folder / "large.png"])
        collection.index(names=photo_files[:3])
    return folder / "photos"


@pytest.fixture(scope="module")
def wire(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wire]:
    patience = {"HEAD_SECONDS": HEAD, "READ_SECONDS": READ, "MAX_CONNECTIONS": MOST, "KEEP_ALIVE": 10**6}
    collections = [("photos", str(root))]
    folder = tmp_path_factory.mktemp("log")
    with launched(folder, patience=patience, collections=collections, seconds=SECONDS, body=BODY) as running:
        yield running


@pytest.fixture(autouse=True)
def _still_well(wire: Wire) -> Iterator[None]:
    """Whatever was tried: the server answers the next one, and has told of no failure of its own."""
    yield
    assert wire.is_well()
    assert wire.failures() == []


def _until(true: Callable[[], bool], seconds: float = 15.0) -> bool:
    end = time.monotonic() + seconds
    while not (found := true()) and time.monotonic() < end:
        time.sleep(0.05)
    return found


def _post(path: bytes, body: bytes, kind: bytes = b"application/json", *more: bytes) -> bytes:
    head = [b"POST " + path + b" HTTP/1.1", b"Host: localhost", b"Content-Type: " + kind, *more]
    return b"\r\n".join([*head, b"Content-Length: %d" % len(body), b"", body])


def test_an_answer_does_not_wait_to_be_acknowledged(wire: Wire) -> None:
    """Its head and its body are written one after the other: with Nagle's algorithm each takes 40 ms and more.

    bench/serve.py measures the milliseconds.
    """
    before = len(wire.nodelay())
    assert wire.is_well()
    assert wire.nodelay()[before:] == [1]


# -- slow ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", [b"evil.example", b"localhost"], ids=["refused", "read"])
def test_a_body_that_comes_a_byte_at_a_time(wire: Wire, host: bytes) -> None:
    """Whether its request is refused before it is read, or ends by time: the connection does too."""
    with wire.connect() as talking:
        talking.sendall(b"POST /metadata HTTP/1.1\r\nHost: " + host + b"\r\nContent-Length: 100000\r\n\r\n")
        if host == b"localhost":
            for _ in range(4):
                talking.sendall(b" ")
                assert wire.is_well()
                assert heard(talking) == (b"", True)
                wire.skip(SECONDS / 4)
        answer = talking.recv(1 << 16)
        for _ in range(3):
            talking.sendall(b" ")
            assert wire.is_well()
            more, is_open = heard(talking)
            answer += more
            assert is_open, "closed too early"
            wire.skip(HEAD / 4)
        wire.skip(HEAD / 4)
        answer += rest(talking)
    assert status_of(answer) == (421 if host == b"evil.example" else 503)


def test_a_body_that_stops_after_the_answer(wire: Wire) -> None:
    with wire.connect() as talking:
        talking.sendall(b"POST /metadata HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 100000\r\n\r\nx")
        assert status_of(wire.until_closed(talking, HEAD)) == 421


def test_connections_that_never_ask(wire: Wire) -> None:
    """Some more than there may be: those are closed at once, the others in time."""
    assert wire.is_well()  # What a server opens for its first requests is open.
    before = wire.sockets()

    def steady() -> bool:
        return MOST - 10 <= wire.sockets() - before <= MOST + 5

    with ExitStack() as stack:
        talking = [stack.enter_context(wire.connect()) for _ in range(MOST + 20)]
        assert _until(steady)
        wire.skip(HEAD / 2)
        assert steady()
        wire.skip(HEAD)  # One that waited to be accepted until now has its time from here.
        assert [rest(one) for one in talking] == [b""] * len(talking)
    assert _until(lambda: wire.sockets() <= before + 1)


UNREAD = {
    "kept": b"\r\n",
    "closed": b"Connection: close\r\n\r\n",
    "and-again": b"\r\nGET /collections/photos/images/0/file HTTP/1.1\r\n" + HOST + b"\r\n",
    "and-a-part": b"\r\nGET /hea",
}


@pytest.mark.parametrize("end", UNREAD.values(), ids=UNREAD)
def test_an_answer_that_nobody_reads(wire: Wire, end: bytes) -> None:
    before = wire.sockets()
    with wire.connect() as talking:
        talking.sendall(b"GET /collections/photos/images/0/file HTTP/1.1\r\n" + HOST + end)
        assert select.select([talking], [], [], 20)[0], "the answer has begun"
        wire.skip(READ / 2)
        assert wire.sockets() > before
        spent = READ / 2
        while wire.sockets() > before:
            assert spent < HEAD + SECONDS + READ
            wire.skip(READ / 2)
            spent += READ / 2
            time.sleep(0.05)


# -- lengths that are none -----------------------------------------------------------------------------------


def test_a_length_that_is_too_short_leaves_no_request_behind(wire: Wire) -> None:
    said = wire.said(_post(b"/metadata", b"{}") + b"GARBAGE\r\n\r\n")
    assert status_of(said) == 422
    assert said.count(b"HTTP/1.1 ") == 2
    assert b"HTTP/1.1 400 " in said


@pytest.mark.parametrize("path", [b"/metadata", b"/knn-service", SEARCH])
def test_a_length_that_is_too_long_and_a_client_that_goes(wire: Wire, path: bytes) -> None:
    """It is in the log of accesses, and no failure of the server."""
    before = len(wire.lines())
    with wire.connect() as talking:
        talking.sendall(b"POST " + path + b" HTTP/1.1\r\n" + HOST + b"Content-Length: 1000\r\n\r\n{")
        assert wire.is_well()  # The request has begun.

    def others() -> list[tuple[int, str]]:
        said = [(line["status"], line["path"]) for line in wire.lines()[before:]]
        return [one for one in said if one != (200, "/health")]

    assert _until(lambda: others() != [])
    assert others() == [(499, path.decode())]


@pytest.mark.parametrize("stated", [True, False], ids=["stated", "chunked"])
def test_a_body_beyond_the_limit_hides_no_request(wire: Wire, stated: bool) -> None:
    hidden = b"GET /metrics HTTP/1.1\r\n" + HOST + b"\r\n"
    with wire.connect() as talking:
        if stated:
            talking.sendall(b"POST /metadata HTTP/1.1\r\n" + HOST + b"Content-Length: 99999999\r\n\r\n")
            for _ in range(9):
                talking.sendall(hidden)
        else:
            chunk = b"10000\r\n" + hidden + b"x" * (65536 - len(hidden)) + b"\r\n"
            talking.sendall(b"POST /metadata HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n")
            for _ in range(100):
                talking.sendall(chunk)
        said = talking.recv(1 << 16)
        said += wire.until_closed(talking, HEAD)
    assert status_of(said) == 413
    assert said.count(b"HTTP/1.1 ") == 1
    assert b"application/problem+json" in said


def test_chunks_that_break_before_and_after_the_answer(wire: Wire) -> None:
    head = b"POST /metadata HTTP/1.1\r\n%sTransfer-Encoding: chunked\r\n\r\n"
    assert status_of(wire.said(head % HOST + b"2\r\n{}\r\n", b"zz\r\n", pause=0.2)) == 400
    said = wire.said(head % b"Host: evil.example\r\n", b"zz\r\n", pause=0.2)
    assert status_of(said) == 421
    assert said.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize("host", [b"localhost", b"evil.example"], ids=["read", "refused"])
def test_chunks_that_break_before_anything_is_looked_at(wire: Wire, host: bytes) -> None:
    """Head and chunk come in one piece: the request is not answered twice, and its failure is none of the server's."""
    head = b"POST /metadata HTTP/1.1\r\nHost: " + host + b"\r\nTransfer-Encoding: chunked\r\n\r\n"
    said = wire.said(head + b"zz\r\n")
    assert status_of(said) == 400
    assert said.count(b"HTTP/1.1 ") == 1


def test_requests_in_a_row_are_answered_in_order_errors_or_not(wire: Wire) -> None:
    foreign = b"GET /health HTTP/1.1\r\nHost: evil.example\r\n\r\n"
    last = HEALTH[:-2] + b"Connection: close\r\n\r\n"
    missing = b"GET /nope HTTP/1.1\r\n" + HOST + b"\r\n"
    said = wire.said(missing + HEALTH + _post(b"/metadata", b"[]") + foreign + last)
    statuses = [int(part[:3]) for part in said.split(b"HTTP/1.1 ")[1:]]
    assert statuses == [404, 200, 422, 421, 200]


# -- who goes away -------------------------------------------------------------------------------------------


def test_a_query_that_waits_is_dropped_with_its_client(root: Path, tmp_path: Path) -> None:
    query = b"GET " + SEARCH + b"?q=red HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"
    with launched(tmp_path, slow=3.0, collections=[("photos", str(root))]) as slow:
        with slow.connect() as first:
            first.sendall(query)
            assert _until(lambda: slow.searched() == [1])
            going = [slow.connect() for _ in range(30)]
            for one in going:
                one.sendall(query)
            time.sleep(0.4)
            for one in going:
                one.close()
            assert _until(lambda: [line["status"] for line in slow.lines()] == [499] * 30, 2.5)
            assert status_of(slow.said(query)) == 200
            assert status_of(rest(first)) == 200
        assert slow.searched() == [1, 1]
        figures = slow.said(b"GET /metrics HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n").decode()
        assert 'imseek_requests_total{route="/collections/{name}/search",status="cancelled"} 30.0' in figures
        assert 'status="500"' not in figures


def test_clients_that_leave_in_the_middle_of_a_picture(wire: Wire) -> None:
    """Nothing of it is kept: the memory of more of them is that of some."""
    request = b"GET /collections/photos/images/0/file HTTP/1.1\r\n" + HOST + b"\r\n"

    def leave(times: int) -> None:
        for _ in range(times):
            with wire.connect() as talking:
                talking.sendall(request)
                assert talking.recv(1000)

    sockets = wire.sockets()
    leave(20)
    before = wire.memory()
    leave(60)  # A gigabyte, if it stayed.
    assert _until(lambda: wire.sockets() <= sockets)
    assert wire.memory() < before + 150_000_000


def test_bodies_of_many_requests_at_once(root: Path, tmp_path: Path) -> None:
    """Sixteen of the largest are held; more are told to come later, and find room when those have gone."""
    head = b"POST /metadata HTTP/1.1\r\n" + HOST + b"Connection: close\r\nContent-Length: 100000\r\n\r\n"
    with launched(tmp_path, collections=[("photos", str(root))], body=100_000) as small, ExitStack() as stack:
        for _ in range(16):
            one = stack.enter_context(small.connect())
            one.sendall(head + b" " * 99_999)
        assert small.is_well()  # What was sent before is read by now.
        assert status_of(small.said(head, b" " * 99_999)) == 503
        stack.close()
        assert _until(lambda: [line["status"] for line in small.lines()].count(499) == 16)
        assert status_of(small.said(head, b" " * 100_000)) == 422


# -- larger than they seem -----------------------------------------------------------------------------------

MANY = 300_000
BOMBS = {
    "numbers-as-words": (SEARCH, b'{"text": [' + b"1," * MANY + b"1]}"),
    "members": (SEARCH, b"{" + b",".join(b'"%d":0' % n for n in range(MANY)) + b"}"),
    "empty-words": (SEARCH, b'{"text": [' + b'"",' * MANY + b'""]}'),
    "words-as-ids": (SEARCH, b'{"text": "a", "more": [' + b'"x",' * MANY + b'"x"]}'),
    "pictures": (SEARCH, b'{"like": [' + b"1," * MANY + b"1]}"),
    "vector": (SEARCH, b'{"like": {"vector": [' + b'"a",' * MANY + b"1]}}"),
    "queries": (b"/collections/photos/batch", b'{"queries": [' + b"1," * MANY + b"1]}"),
    "members-of-queries": (
        b"/collections/photos/batch",
        b'{"queries": [%s]}' % b",".join([b"{" + b",".join(b'"%d":0' % n for n in range(3000)) + b"}"] * 100),
    ),
    "embedding": (
        b"/knn-service",
        b'{"indice_name": "photos", "modality": "image", "num_images": 1, "embedding_input": ['
        + b'"a",' * MANY
        + b"1]}",
    ),
    "ids": (b"/metadata", b'{"indice_name": "photos", "ids": [' + b'"a",' * MANY + b"1]}"),
}


@pytest.mark.parametrize(("path", "body"), BOMBS.values(), ids=BOMBS)
def test_json_of_which_everything_is_wrong(wire: Wire, path: bytes, body: bytes) -> None:
    """Each wrong element costs a kilobyte and more to tell of: few are told."""
    assert len(body) < BODY
    before, start = wire.memory(), wire.cpu()
    said = wire.said(_post(path, body, b"application/json", b"Connection: close"))
    assert status_of(said) == 422
    assert len(said) < 40_000
    assert wire.cpu() - start < 10
    assert wire.memory() < before + 200_000_000


def test_forms_of_many_parts(wire: Wire) -> None:
    part = b'--x\r\nContent-Disposition: form-data; name="picture"; filename="a"\r\n\r\n\r\n'
    body = part * (BODY // len(part) - 1) + b"--x--\r\n"
    kind = b"multipart/form-data; boundary=x"
    start = wire.cpu()
    assert wire.status(_post(b"/collections/photos/similar", body, kind)) == 400
    assert wire.cpu() - start < 10


def test_a_body_is_not_unpacked(wire: Wire) -> None:
    bomb = gzip.compress(b" " * 200_000_000 + b"{}")
    before = wire.memory()
    packed = _post(SEARCH, bomb, b"application/json", b"Content-Encoding: gzip")
    assert wire.status(packed) in (400, 415, 422)
    assert wire.memory() < before + 50_000_000


@pytest.mark.parametrize("side", [20_000, 60_000])
def test_a_picture_of_many_pixels_and_few_bytes(wire: Wire, side: int) -> None:
    buffer = io.BytesIO()
    Image.new("1", (side, 20_000)).save(buffer, "PNG")
    head = b'--x\r\nContent-Disposition: form-data; name="picture"; filename="a.png"\r\n\r\n'
    form = head + buffer.getvalue() + b"\r\n--x--\r\n"
    before = wire.memory()
    said = wire.said(
        _post(b"/collections/photos/similar", form, b"multipart/form-data; boundary=x", b"Connection: close")
    )
    assert status_of(said) == 422
    assert "pixels" in json.loads(said.partition(b"\r\n\r\n")[2])["detail"]
    assert wire.memory() < before + 50_000_000


def test_the_head_of_a_request_has_an_end(wire: Wire) -> None:
    with wire.connect() as talking:
        try:
            for _ in range(40):
                talking.sendall(b"GET /health HTTP/1.1\r\nX: " + b"a" * 50_000)
        except OSError:
            pass
        answer = rest(talking)
    assert answer == b"" or status_of(answer) == 400
