"""What every fetcher promises, and of the real one: the addresses it must not reach, whatever leads to them.

Nothing leaves the machine: an audit hook of the interpreter refuses, and records, every connection that is not to
loopback. It sees what the socket is asked to do, whatever the libraries above it say.
"""

from __future__ import annotations

import asyncio
import atexit
import gzip
import http.server
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imseek.errors import MediaError, UsageError
from imseek.media import http_fetcher
from imseek.media.fetcher import FakeFetcher, Fetcher, FetchLimits, FetchResult
from imseek.media.http_fetcher import HttpFetcher
from imseek.types.pictures import SkipReason

PICTURE = b"\x89PNG the bytes of a picture"
PUBLIC = "93.184.216.34"
QUICK = FetchLimits(total=5.0, connect=2.0, stall=2.0, back_off=0.01)

attempts: list[str] = []
_watching = False


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.connect" and _watching and isinstance(arguments[1], tuple):
        address = arguments[1][0]
        attempts.append(address)
        if address != "127.0.0.1":
            raise ConnectionRefusedError(f"a test must not connect to {address}")


sys.addaudithook(_hook)


@pytest.fixture(autouse=True)
def _no_way_out(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    global _watching
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    attempts.clear()
    _watching = True
    yield
    _watching = False


Answer = Callable[[http.server.BaseHTTPRequestHandler], None]


class Server:
    """An HTTP server on loopback; ``asked`` counts the requests by path, ``headers`` are those of the last one."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.headers: Mapping[str, str] = {}
        self.answers: dict[str, Answer] = {}
        self.stopping = threading.Event()
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                server.asked[self.path] += 1
                server.headers = dict(self.headers.items())
                answer = server.answers.get(self.path, lambda request: reply(request, 404))
                try:
                    answer(self)
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True

            def log_message(self, *_: Any) -> None:
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.http.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.05})
        self.thread.start()

    def close(self) -> None:
        self.stopping.set()
        self.http.shutdown()
        self.thread.join()
        self.http.server_close()


def reply(request: http.server.BaseHTTPRequestHandler, status: int, body: bytes = b"", **headers: str) -> None:
    request.send_response(status)
    for name, value in {"Content-Length": str(len(body)), **headers}.items():
        request.send_header(name.replace("_", "-"), value)
    request.end_headers()
    request.wfile.write(body)


def answering(status: int, body: bytes = b"", **headers: str) -> Answer:
    return lambda request: reply(request, status, body, **headers)


def in_turn(*answers: Answer) -> Answer:
    """The first answer to the first request, and so on; the last one stays."""
    left = list(answers)
    return lambda request: (left.pop(0) if len(left) > 1 else left[0])(request)


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


def resolver(names: Mapping[str, Sequence[str] | Callable[[], Sequence[str]]]) -> Any:
    """``getaddrinfo`` over a table; ``resolver.asked`` lists the names it was asked for. Literals are themselves."""

    def look_up(host: str, port: int, family: int = 0, kind: int = 0, proto: int = 0, flags: int = 0) -> Any:
        if flags & socket.AI_NUMERICHOST:
            return socket.getaddrinfo(host, port, family, kind, proto, flags)
        look_up.asked.append(host)  # type: ignore[attr-defined]
        if host.rstrip(".") not in names:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        found = names[host.rstrip(".")]
        rows = []
        for address in found() if callable(found) else found:
            six = ":" in address
            place = (address, port, 0, 0) if six else (address, port)
            rows.append((socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_STREAM, 6, "", place))
        return rows

    look_up.asked = []  # type: ignore[attr-defined]
    return look_up


@pytest.fixture
def fetcher() -> Iterator[HttpFetcher]:
    with HttpFetcher(QUICK, allow_private=True) as fetcher:
        yield fetcher


def refused(fetcher: Fetcher, url: str) -> MediaError:
    with pytest.raises(MediaError) as caught:
        fetcher.fetch(url)
    return caught.value


# -- every fetcher -------------------------------------------------------------------------------------


@pytest.fixture(params=["http", "fake"])
def either(request: pytest.FixtureRequest, server: Server) -> Iterator[tuple[Fetcher, str]]:
    """A fetcher for which /a and /b are there and nothing else, and the beginning of its URLs."""
    if request.param == "fake":
        made: Fetcher = FakeFetcher({"http://pictures/a": PICTURE, "http://pictures/b": b"b"})
        yield made, "http://pictures"
    else:
        server.answers.update({"/a": answering(200, PICTURE), "/b": answering(200, b"b")})
        made = HttpFetcher(QUICK, allow_private=True)
        yield made, server.url
    made.close()


def test_a_url_gives_its_bytes_and_where_they_were(either: tuple[Fetcher, str]) -> None:
    fetcher, root = either
    assert fetcher.fetch(f"{root}/a") == FetchResult(PICTURE, f"{root}/a")


def test_what_is_not_there_is_said_so(either: tuple[Fetcher, str]) -> None:
    fetcher, root = either
    error = refused(fetcher, f"{root}/c")
    assert (error.reason, "404" in str(error)) == (SkipReason.FETCH_FAILED, True)


def test_many_threads_may_ask_at_once(either: tuple[Fetcher, str]) -> None:
    fetcher, root = either
    with ThreadPoolExecutor(16) as pool:
        found = pool.map(lambda n: fetcher.fetch(f"{root}/{'ab'[n % 2]}").data, range(64))
        assert list(found) == [PICTURE, b"b"] * 32


def test_a_closed_fetcher_refuses(either: tuple[Fetcher, str]) -> None:
    fetcher, root = either
    fetcher.close()
    fetcher.close()
    with pytest.raises(RuntimeError, match="closed"):
        fetcher.fetch(f"{root}/a")


def test_a_fake_raises_what_it_was_given_and_remembers_what_it_was_asked() -> None:
    late = MediaError(SkipReason.TIMEOUT, "late")
    fake = FakeFetcher({"http://a/": late, "http://b/": FetchResult(b"", "http://c/", etag='"1"')})
    with pytest.raises(MediaError) as caught:
        fake.fetch("http://a/")
    assert caught.value is late
    assert fake.fetch("http://b/").url == "http://c/"
    assert fake.asked == ["http://a/", "http://b/"]


# -- addresses that must not be reached ------------------------------------------------------------------

HOSTILE = [
    "http://127.0.0.1/", "http://127.1.2.3/", "http://localhost/", "http://LOCALHOST./", "http://sub.localhost/",
    "http://0.0.0.0/", "http://0/", "http://127.1/", "http://2130706433/", "http://0x7f000001/", "http://0x7f.0.0.1/",
    "http://017700000001/", "http://0177.0.0.1/", "http://127.0.0.1./", "http://①②⑦.⓪.⓪.①/", "http://127。0。0。1/",
    "http://10.0.0.1/", "http://172.16.0.1/", "http://172.31.255.255/", "http://192.168.1.1/", "http://100.64.0.1/",
    "http://169.254.169.254/latest/meta-data/", "http://224.0.0.1/", "http://239.255.255.250/", "http://240.0.0.1/",
    "http://255.255.255.255/", "http://192.0.2.1/", "http://198.18.0.1/", "http://[::1]/", "http://[::]/",
    "http://[::ffff:127.0.0.1]/", "http://[::ffff:7f00:1]/", "http://[::127.0.0.1]/", "http://[64:ff9b::7f00:1]/",
    "http://[2002:7f00:1::]/", "http://[fe80::1]/", "http://[fe80::1%25eth0]/", "http://[fc00::1]/",
    "http://[fd00:ec2::254]/", "http://[fec0::1]/", "http://[ff02::1]/", "http://[2001:db8::1]/",
    "http://public.test@127.0.0.1/", "http://127.0.0.1@public.test/", "http://public.test#@127.0.0.1:80@x/",
    "http://public.test\\@127.0.0.1/", "http://127.0.0.1\\@public.test/", "http://127.0.0.1%00.public.test/",
    "http://public.test%2f@127.0.0.1/", "http://pub\tlic.test/", "http://public.test:25/", "http://public.test:22/",
    "file:///etc/passwd", "ftp://public.test/", "gopher://127.0.0.1:6379/_", "data:image/png;base64,AA==",
    "//127.0.0.1/", "http:///a", "http://", "", "http://private.test/", "http://private.test./", "http://private6.test/",
    "http://mapped.test/", "http://nat64.test/", "http://metadata.test/", "http://mixed.test/", "http://multicast.test/",
]  # fmt: skip
NAMES = {
    "public.test": [PUBLIC],
    "localhost": ["127.0.0.1", "::1"],
    "sub.localhost": ["127.0.0.1"],
    "private.test": ["10.1.2.3"],
    "private6.test": ["fd00::1"],
    "mapped.test": ["::ffff:192.168.0.1"],
    "nat64.test": ["64:ff9b::a00:1"],
    "metadata.test": ["169.254.169.254"],
    "mixed.test": [PUBLIC, "10.0.0.1"],
    "multicast.test": ["224.0.0.251"],
    # What resolvers of some systems make of other ways to write a number.
    "0": ["0.0.0.0"],
    "127.1": ["127.0.0.1"],
    "2130706433": ["127.0.0.1"],
    "0x7f000001": ["127.0.0.1"],
    "0x7f.0.0.1": ["127.0.0.1"],
    "017700000001": ["127.0.0.1"],
    "0177.0.0.1": ["127.0.0.1"],
    "127.0.0.1": ["127.0.0.1"],
}


@pytest.mark.parametrize("url", HOSTILE)
def test_no_connection_is_tried_to_a_hostile_url(url: str) -> None:
    with HttpFetcher(QUICK, resolver=resolver(NAMES)) as fetcher:
        error = refused(fetcher, url)
    if "public.test#" in url or url == "http://127.0.0.1\\@public.test/":
        # The host is the public one, or no host at all, depending on who reads it: neither may lead inside.
        assert set(attempts) <= {PUBLIC}
    else:
        assert attempts == []
        assert error.reason == SkipReason.FORBIDDEN_ADDRESS


@settings(max_examples=60)
@given(
    st.text(max_size=8),
    st.sampled_from(["127.0.0.1", "0x7f.1", "private.test", "[::1]", "[::ffff:10.0.0.1]", "２130706433"]),
    st.text(max_size=12),
)
def test_whatever_surrounds_a_private_address_it_is_refused_as_what_it_is(before: str, host: str, after: str) -> None:
    """Never another error; and where such a text names some other host, that one does not exist here."""
    attempts.clear()
    for url in (
        f"http://{before}{host}{after}",
        f"http://{host}{after}",
        f"{before}{host}",
        f"http://x/{after}",
    ):
        with pytest.raises(MediaError) as caught:
            shared().fetch(url)
        assert caught.value.reason in (SkipReason.FORBIDDEN_ADDRESS, SkipReason.FETCH_FAILED)
    assert attempts == []


@cache
def shared() -> HttpFetcher:
    fetcher = HttpFetcher(QUICK, resolver=resolver({**NAMES, "public.test": ["10.0.0.1"]}))
    atexit.register(fetcher.close)
    return fetcher


@pytest.mark.parametrize("url", ["http://\udcff.test/", "http://gone.test/\udcff\ud800", "http://" + "ä." * 200])
def test_what_is_no_text_is_refused_like_any_other_bad_url(url: str) -> None:
    assert refused(shared(), url).reason in (SkipReason.FORBIDDEN_ADDRESS, SkipReason.FETCH_FAILED)
    assert attempts == []


def test_the_matrix_can_fail_a_public_name_is_connected_to_at_the_address_that_was_checked() -> None:
    names = resolver(NAMES)
    with HttpFetcher(QUICK, resolver=names) as fetcher:
        error = refused(fetcher, "https://public.test./a.jpg")
    assert error.reason == SkipReason.FETCH_FAILED  # the hook refused the connection
    assert attempts == [PUBLIC] * QUICK.attempts
    assert names.asked == ["public.test."] * QUICK.attempts  # one look-up for each connection


def test_a_name_that_changes_after_it_was_checked_is_checked_again(server: Server) -> None:
    server.answers["/a"] = answering(200, PICTURE, Connection="close")
    turns = iter([["127.0.0.1"], ["127.0.0.2"]])
    names = resolver({"moving.test": lambda: next(turns)})
    with HttpFetcher(QUICK, allow_networks=["127.0.0.1/32"], resolver=names) as fetcher:
        url = f"http://moving.test:{server.port}/a"
        assert fetcher.fetch(url).data == PICTURE
        assert refused(fetcher, url).reason == SkipReason.FORBIDDEN_ADDRESS
    assert (attempts, server.asked["/a"]) == (["127.0.0.1"], 1)


@pytest.mark.parametrize(
    "target",
    ["http://127.0.0.2/", "http://169.254.169.254/", "http://[::1]/", "http://private.test/", "file:///etc/passwd",
     "http://2130706434/", "//10.0.0.1/", "http://mixed.test/", "http://user:word@127.0.0.1/"],
)  # fmt: skip
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_leads_nowhere_that_the_url_itself_could_not(server: Server, status: int, target: str) -> None:
    server.answers["/a"] = answering(status, Location=target)
    with HttpFetcher(QUICK, allow_networks=["127.0.0.1/32"], resolver=resolver(NAMES)) as fetcher:
        error = refused(fetcher, f"{server.url}/a")
    assert error.reason == SkipReason.FORBIDDEN_ADDRESS
    assert (attempts, server.asked) == (["127.0.0.1"], Counter({"/a": 1}))


def test_allow_private_still_refuses_disguises() -> None:
    with HttpFetcher(QUICK, allow_private=True) as fetcher:
        for url in ("file:///etc/passwd", "http://a@127.0.0.1/", "http://127.1/"):
            assert refused(fetcher, url).reason == SkipReason.FORBIDDEN_ADDRESS
    assert attempts == []


def test_a_proxy_of_the_environment_is_named_and_not_gone_around(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.test:3128")
    with pytest.raises(UsageError, match=r"proxy\.test"):
        HttpFetcher(QUICK)


def test_a_wrong_network_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="allow_networks"):
        HttpFetcher(QUICK, allow_networks=["10.0.0.1/8"])


def test_a_certificate_is_that_of_the_name_though_the_address_is_pinned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Server
) -> None:
    if (openssl := shutil.which("openssl")) is None:
        pytest.skip("openssl, which makes the certificate, is not installed")
    key, certificate = str(tmp_path / "key.pem"), str(tmp_path / "cert.pem")
    request = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=photos.test"]
    names_in_it = ["-addext", "subjectAltName=DNS:photos.test", "-keyout", key, "-out", certificate]
    subprocess.run([openssl, *request, *names_in_it], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.http.socket = context.wrap_socket(server.http.socket, server_side=True)
    server.answers["/a"] = answering(200, PICTURE)
    monkeypatch.setenv("SSL_CERT_FILE", certificate)
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    names = resolver({"photos.test": ["127.0.0.1"], "other.test": ["127.0.0.1"]})
    with HttpFetcher(QUICK, allow_networks=["127.0.0.1/32"], resolver=names) as fetcher:
        assert fetcher.fetch(f"https://photos.test:{server.port}/a").data == PICTURE
        error = refused(fetcher, f"https://other.test:{server.port}/a")
    assert (error.reason, "certificate" in str(error).lower()) == (SkipReason.FETCH_FAILED, True)
    assert names.asked == ["photos.test", "other.test"]  # a wrong certificate is not tried again


# -- redirects, headers ------------------------------------------------------------------------------------


def test_redirects_are_followed_and_the_last_url_is_told(server: Server, fetcher: HttpFetcher) -> None:
    server.answers["/a"] = answering(302, Location="b?x=1")
    server.answers["/b?x=1"] = answering(200, PICTURE, ETag='W/"1"', Last_Modified="Mon, 01 Jan 2024 00:00:00 GMT")
    assert fetcher.fetch(f"{server.url}/a") == FetchResult(
        PICTURE, f"{server.url}/b?x=1", 'W/"1"', "Mon, 01 Jan 2024 00:00:00 GMT"
    )


@pytest.mark.parametrize(("hops", "works"), [(5, True), (6, False)])
def test_redirects_have_an_end(server: Server, fetcher: HttpFetcher, hops: int, works: bool) -> None:
    for n in range(hops):
        server.answers[f"/{n}"] = answering(302, Location=f"/{n + 1}")
    server.answers[f"/{hops}"] = answering(200, PICTURE)
    if works:
        assert fetcher.fetch(f"{server.url}/0").data == PICTURE
    else:
        error = refused(fetcher, f"{server.url}/0")
        assert (error.reason, str(error)) == (SkipReason.FETCH_FAILED, "more than 5 redirects")
        assert server.asked["/6"] == 0


def test_the_body_of_a_redirect_is_not_read(server: Server, fetcher: HttpFetcher) -> None:
    sent = []

    def endless(request: http.server.BaseHTTPRequestHandler) -> None:
        request.send_response(302)
        request.send_header("Location", "/b")
        request.end_headers()
        while not server.stopping.is_set() and len(sent) < 1000:
            request.wfile.write(bytes(2**20))
            sent.append(1)

    server.answers.update({"/a": endless, "/b": answering(200, PICTURE)})
    assert fetcher.fetch(f"{server.url}/a").data == PICTURE
    assert len(sent) < 100


def test_it_says_who_it_is_and_keeps_no_cookies(server: Server, fetcher: HttpFetcher) -> None:
    server.answers["/a"] = answering(200, PICTURE, Set_Cookie="who=you")
    for _ in range(2):
        fetcher.fetch(f"{server.url}/a")
    assert server.headers["User-Agent"].startswith("imseek/")
    assert "(+https://github.com/imseek/imseek)" in server.headers["User-Agent"]
    assert "Cookie" not in server.headers
    with HttpFetcher(QUICK, allow_private=True, user_agent="photo club, mail@club.test") as named:
        named.fetch(f"{server.url}/a")
    assert server.headers["User-Agent"] == "photo club, mail@club.test"


def test_spaces_in_a_path_are_quoted(server: Server, fetcher: HttpFetcher) -> None:
    server.answers["/my%20cat.png"] = answering(200, PICTURE)
    assert fetcher.fetch(f" {server.url}/my cat.png\n").data == PICTURE


# -- sizes ---------------------------------------------------------------------------------------------------

SMALL = FetchLimits(max_bytes=100_000, total=5.0, back_off=0.01)


@pytest.fixture
def small() -> Iterator[HttpFetcher]:
    with HttpFetcher(SMALL, allow_private=True) as fetcher:
        yield fetcher


def endless_body(server: Server, sent: list[int]) -> Answer:
    def answer(request: http.server.BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()  # no length: until the connection ends
        request.close_connection = True
        while not server.stopping.is_set():
            request.wfile.write(bytes(10_000))
            sent.append(10_000)

    return answer


def test_a_body_is_cut_off_while_it_streams(server: Server, small: HttpFetcher) -> None:
    sent: list[int] = []
    server.answers["/a"] = endless_body(server, sent)
    assert refused(small, f"{server.url}/a").reason == SkipReason.TOO_MANY_BYTES
    assert server.asked["/a"] == 1


def test_a_body_of_just_the_limit_is_taken_and_one_more_is_not(server: Server, small: HttpFetcher) -> None:
    server.answers["/a"] = answering(200, bytes(100_000))
    server.answers["/b"] = answering(200, bytes(100_001))
    assert len(small.fetch(f"{server.url}/a").data) == 100_000
    assert refused(small, f"{server.url}/b").reason == SkipReason.TOO_MANY_BYTES


def test_a_stated_size_above_the_limit_is_enough(server: Server, small: HttpFetcher) -> None:
    def stated(request: http.server.BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(10**12))
        request.end_headers()
        server.stopping.wait(60)  # Who waits for the body meets the deadline.

    server.answers["/a"] = stated
    assert refused(small, f"{server.url}/a").reason == SkipReason.TOO_MANY_BYTES


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_bomb_goes_off_at_the_limit(
    server: Server, small: HttpFetcher, encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    unpacked: list[int] = []

    class Counted:
        def __init__(self, bits: int) -> None:
            self._real = zlib.decompressobj(bits)

        def decompress(self, data: bytes, longest: int = 0) -> bytes:
            found = self._real.decompress(data, longest)
            unpacked.append(len(found))
            return found

    names = SimpleNamespace(decompressobj=Counted, MAX_WBITS=zlib.MAX_WBITS, error=zlib.error)
    monkeypatch.setattr(http_fetcher, "zlib", names)
    bomb = (gzip.compress if encoding == "gzip" else zlib.compress)(bytes(20 * 2**20))
    assert len(bomb) < 30_000
    server.answers["/a"] = answering(200, bomb[:-9], Content_Encoding=encoding)
    assert refused(small, f"{server.url}/a").reason == SkipReason.TOO_MANY_BYTES
    assert sum(unpacked) == SMALL.max_bytes + 1


def test_a_compressed_body_is_unpacked_though_none_was_asked_for(server: Server, small: HttpFetcher) -> None:
    server.answers["/a"] = answering(200, gzip.compress(PICTURE), Content_Encoding="gzip")
    server.answers["/cut"] = answering(200, gzip.compress(PICTURE)[:-9], Content_Encoding="gzip")
    server.answers["/no"] = answering(200, PICTURE, Content_Encoding="gzip")
    server.answers["/br"] = answering(200, PICTURE, Content_Encoding="br")
    assert small.fetch(f"{server.url}/a").data == PICTURE
    assert server.headers["Accept-Encoding"] == "identity"
    for path, word in {"/cut": "early", "/no": "broken", "/br": "br"}.items():
        error = refused(small, f"{server.url}{path}")
        assert (error.reason, word in str(error), server.asked[path]) == (SkipReason.FETCH_FAILED, True, 1)


# -- time -----------------------------------------------------------------------------------------------------


class Times:
    """The clock of a fetcher's loop, which a test moves on. Pauses between attempts do so by themselves: ``pauses``."""

    def __init__(self, fetcher: HttpFetcher, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pauses: list[float] = []
        self._loop = fetcher._loop
        self._ahead = 0.0
        real_time, real_sleep = self._loop.time, asyncio.sleep
        monkeypatch.setattr(self._loop, "time", lambda: real_time() + self._ahead)

        async def sleep(seconds: float) -> None:
            self.pauses.append(seconds)
            self._ahead += seconds
            await real_sleep(0)

        monkeypatch.setattr(asyncio, "sleep", sleep)
        self._real_sleep = real_sleep

    def skip(self, seconds: float) -> None:
        """Returns when what is due by then has been done."""

        async def turns() -> None:
            self._ahead += seconds
            for _ in range(10):
                await self._real_sleep(0)

        asyncio.run_coroutine_threadsafe(turns(), self._loop).result(60)


#: Only the deadline ends these.
PATIENT = FetchLimits(total=3000.0, connect=10_000.0, stall=10_000.0)


def dripping(server: Server, head: bytes, drop: bytes, begun: threading.Event) -> Answer:
    def answer(request: http.server.BaseHTTPRequestHandler) -> None:
        request.close_connection = True
        request.wfile.write(head)
        request.wfile.write(drop)
        begun.set()
        while not server.stopping.wait(0.01):
            request.wfile.write(drop)

    return answer


def meets_the_deadline(fetcher: HttpFetcher, url: str, begun: threading.Event, times: Times) -> bool:
    """Whether a fetch goes on until ten seconds before the deadline, and ends with a timeout once that has passed."""
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(refused, fetcher, url)
        assert begun.wait(60)
        times.skip(PATIENT.total - 10)
        assert not waiting.done()
        times.skip(10)
        return waiting.result(timeout=10).reason == SkipReason.TIMEOUT


@pytest.mark.parametrize(
    ("head", "drop"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 999999\r\n\r\n", b"x"),
        (b"HTTP/1.1 200 OK\r\nX: ", b"y"),
        (b"", b""),
    ],
    ids=["body", "headers", "silence"],
)
def test_a_slow_server_meets_the_deadline(
    server: Server, head: bytes, drop: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = threading.Event()
    server.answers["/a"] = dripping(server, head, drop, begun)
    with HttpFetcher(PATIENT, allow_private=True) as fetcher:
        assert meets_the_deadline(fetcher, f"{server.url}/a", begun, Times(fetcher, monkeypatch))


def test_a_look_up_that_hangs_meets_the_deadline_too(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, let_go = threading.Event(), threading.Event()

    def hanging(*_: Any) -> Any:
        begun.set()
        let_go.wait(60)
        raise socket.gaierror(socket.EAI_AGAIN, "try again")

    with HttpFetcher(PATIENT, resolver=hanging) as fetcher:
        try:
            assert meets_the_deadline(fetcher, "http://slow.test/", begun, Times(fetcher, monkeypatch))
        finally:
            let_go.set()


def test_a_silent_server_is_tried_again_and_then_a_timeout(server: Server) -> None:
    server.answers["/a"] = lambda _: server.stopping.wait(5)  # type: ignore[assignment,return-value]
    limits = FetchLimits(total=5.0, stall=0.2, attempts=2, back_off=0.01)
    with HttpFetcher(limits, allow_private=True) as fetcher:
        error = refused(fetcher, f"{server.url}/a")
    assert (error.reason, server.asked["/a"]) == (SkipReason.TIMEOUT, 2)


def test_closing_ends_what_is_under_way(server: Server) -> None:
    begun = threading.Event()
    server.answers["/a"] = dripping(server, b"", b"", begun)
    fetcher = HttpFetcher(PATIENT, allow_private=True)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(fetcher.fetch, f"{server.url}/a")
        assert begun.wait(60)
        fetcher.close()
        with pytest.raises(RuntimeError, match="closed"):
            waiting.result(timeout=3)


# -- trying again -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_what_may_pass_is_tried_again(server: Server, fetcher: HttpFetcher, status: int) -> None:
    server.answers["/a"] = in_turn(answering(status), answering(status), answering(200, PICTURE))
    assert fetcher.fetch(f"{server.url}/a").data == PICTURE
    assert server.asked["/a"] == 3


def test_attempts_have_an_end(server: Server, fetcher: HttpFetcher) -> None:
    server.answers["/a"] = answering(503)
    error = refused(fetcher, f"{server.url}/a")
    assert (error.reason, str(error)) == (SkipReason.FETCH_FAILED, "503 Service Unavailable (3 attempts)")
    assert server.asked["/a"] == 3


@pytest.mark.parametrize("status", [304, 400, 401, 403, 404, 410, 451])
def test_what_will_not_pass_is_not_tried_again(server: Server, fetcher: HttpFetcher, status: int) -> None:
    server.answers["/a"] = answering(status)
    error = refused(fetcher, f"{server.url}/a")
    assert (error.reason, str(error)[:3], server.asked["/a"]) == (SkipReason.FETCH_FAILED, str(status), 1)


def test_a_connection_that_breaks_is_tried_again(server: Server, fetcher: HttpFetcher) -> None:
    def breaking(request: http.server.BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", "100")
        request.end_headers()
        request.wfile.write(b"half")
        request.close_connection = True

    server.answers["/a"] = in_turn(breaking, answering(200, PICTURE))
    assert fetcher.fetch(f"{server.url}/a").data == PICTURE
    assert server.asked["/a"] == 2


def test_a_name_that_does_not_exist_is_asked_for_once() -> None:
    names = resolver({})
    with HttpFetcher(QUICK, resolver=names) as fetcher:
        error = refused(fetcher, "http://gone.test/a.jpg")
    assert (error.reason, names.asked) == (SkipReason.FETCH_FAILED, ["gone.test"])


@pytest.mark.parametrize("dated", [False, True])
def test_retry_after_is_waited_for(
    server: Server, fetcher: HttpFetcher, dated: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1_700_000_000
    monkeypatch.setattr(http_fetcher, "time", SimpleNamespace(time=lambda: now))
    value = formatdate(now + 2, usegmt=True) if dated else "2"
    server.answers["/a"] = in_turn(answering(429, Retry_After=value), answering(200, PICTURE))
    times = Times(fetcher, monkeypatch)
    assert fetcher.fetch(f"{server.url}/a").data == PICTURE
    assert times.pauses == [2]
    assert server.asked["/a"] == 2


def test_a_host_that_asked_for_a_pause_is_left_alone_by_all(
    server: Server, fetcher: HttpFetcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.answers.update({"/a": answering(503, Retry_After="3600"), "/b": answering(200, PICTURE)})
    times = Times(fetcher, monkeypatch)
    assert "after the time limit" in str(refused(fetcher, f"{server.url}/a"))
    times.skip(3590)
    assert "pause" in str(refused(fetcher, f"{server.url}/b"))
    assert times.pauses == []
    assert server.asked == Counter({"/a": 1})
    times.skip(10)
    assert fetcher.fetch(f"{server.url}/b").data == PICTURE


def test_pauses_grow(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.answers["/a"] = answering(500)
    limits = FetchLimits(total=1000.0, attempts=9, back_off=0.2)
    with HttpFetcher(limits, allow_private=True) as fetcher:
        times = Times(fetcher, monkeypatch)
        refused(fetcher, f"{server.url}/a")
    assert len(times.pauses) == 8
    for n, pause in enumerate(times.pauses):
        longest = min(30, 0.2 * 2**n)
        assert longest / 2 <= pause <= longest
    assert len({pause / 2**n for n, pause in enumerate(times.pauses)}) > 1, "they are random"


def test_one_host_is_asked_for_few_at_a_time(server: Server) -> None:
    lock, now, most = threading.Lock(), [0], [0]

    def counting(request: http.server.BaseHTTPRequestHandler) -> None:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.05)
        with lock:
            now[0] -= 1
        reply(request, 200, PICTURE)

    server.answers["/a"] = counting
    with HttpFetcher(FetchLimits(per_host=2), allow_private=True) as fetcher, ThreadPoolExecutor(10) as pool:
        assert list(pool.map(lambda _: fetcher.fetch(f"{server.url}/a").data, range(10))) == [PICTURE] * 10
    assert most[0] == 2


@pytest.mark.parametrize("wrong", [{"max_bytes": 0}, {"total": 0}, {"attempts": 0}, {"redirects": -1}, {"per_host": 0}])
def test_limits_that_mean_nothing_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="positive"):
        FetchLimits(**wrong)
