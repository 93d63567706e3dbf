"""What a request names, on the wire: paths that climb, hosts and origins of others, upgrades, ranges, tags, and what is
written in names of files and captions."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import pytest
from PIL import Image
from serving.wire import TOKEN, Wire, launched, status_of

import imseek

SCRIPT = "red </script><img src=x onerror=alert(1)>"  # What begins with < is taken for no caption.
NAME = f'a"; filename=b.html\r\nSet-Cookie: a=b\r\n\r\n{SCRIPT.replace("/", "")}.png'
DRAWING = (
    '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="64" height="64" '
    'onload="alert(1)"><script>alert(1)</script><image xlink:href="http://127.0.0.1:9/a.png" width="9" height="9"/>'
    '<foreignObject><iframe src="javascript:alert(1)"/></foreignObject><rect width="64" height="64" fill="red"/></svg>'
)


@pytest.fixture(scope="module")
def wire(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wire]:
    """Image 0 has a name that is a header, and a caption that is a script; image 1 is a drawing with scripts."""
    folder = tmp_path_factory.mktemp("targets")
    exif = Image.Exif()
    exif[0x010E] = SCRIPT
    Image.new("RGB", (64, 64), "red").save(folder / NAME, exif=exif)
    (folder / "drawing.svg").write_text(DRAWING)
    with imseek.create(folder / "photos", encoder="fake", captions=True) as collection:
        collection.index(names=[folder / NAME, folder / "drawing.svg"])
    collections = [("photos", str(folder / "photos"))]
    with launched(tmp_path_factory.mktemp("log"), patience={"HEAD_SECONDS": 1.0}, collections=collections) as running:
        yield running


@pytest.fixture(autouse=True)
def _still_well(wire: Wire) -> Iterator[None]:
    yield
    assert wire.is_well()
    assert wire.failures() == []


def _ask(
    wire: Wire, target: str, *headers: str, method: str = "GET", body: bytes = b"", host: str = "localhost"
) -> tuple[int, dict[str, str], bytes]:
    length = [f"Content-Length: {len(body)}"] if body else []
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", "Connection: close", *length, *headers, "", ""]
    said = wire.said("\r\n".join(lines).encode("latin-1") + body)
    head, _, answer = said.partition(b"\r\n\r\n")
    found = [line.split(": ", 1) for line in head.decode("latin-1").split("\r\n")[1:]]
    assert len({name.lower() for name, _ in found}) == len(found), found  # None twice.
    return status_of(said), {name.lower(): value for name, value in found}, answer


# -- paths ---------------------------------------------------------------------------------------------------

CLIMBING = [
    "..", "../..", "..%2f..%2fetc%2fpasswd", "%2e%2e%2f%2e%2e%2fetc%2fpasswd", "..%252f..%252fetc%252fpasswd",
    "%252e%252e", "..%5c..%5cetc", "..;/..;/etc/passwd", "..;", ".%00.", "%00", "0%00.png", "0%2500", "0%0d%0aX:y",
    "%c0%ae%c0%ae%c0%af", "%ff%fe", "....//....//etc", "/etc/passwd", "//etc/passwd", "file:///etc/passwd",
    "~root", "$HOME", "0/../1", "0/./file", "0%2f..%2f1", "٠", "0x0", "1e0", "%u002e%u002e", "*", "0;a=b", "0,1",
]  # fmt: skip
PLACES = [
    "/collections/{}", "/collections/{}/search?q=red", "/collections/{}/images/0/file", "/collections/photos/images/{}",
    "/collections/photos/images/{}/file", "/collections/photos/images/{}/thumbnail",
    "/collections/photos/images/{}/similar", "/collections/photos/jobs/{}", "/{}", "/{}/health",
]  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
def test_paths_that_climb_lead_nowhere(wire: Wire, place: str) -> None:
    for part in CLIMBING:
        target = place.format(part.encode().decode("latin-1"))
        if any(char > "~" for char in target):
            assert status_of(wire.said(f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())) == 400
            continue
        status, headers, body = _ask(wire, target)
        assert status in (307, 404, 422), (target, status)
        assert b"root:" not in body
        assert "location" not in headers or headers["location"].startswith("http://localhost/"), target


@pytest.mark.parametrize("target", ["//evil.example/", "/\\evil.example/", "//evil.example/%2e%2e", "/collections/"])
def test_no_redirect_leads_elsewhere(wire: Wire, target: str) -> None:
    status, headers, _ = _ask(wire, target)
    assert status in (307, 404)
    assert headers.get("location", "http://localhost/").startswith("http://localhost/")


# -- who asks ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:1234", "127.0.0.1.evil.example", "localhost.evil.example", "127.1", "2130706433",
     "0x7f.0.0.1", "0.0.0.0", "[::]", "[::ffff:127.0.0.1]", "localhost#.evil", "localhost\\evil", "localhost%2eevil",
     ""],
)  # fmt: skip
def test_another_name_for_this_address(wire: Wire, host: str) -> None:
    """DNS rebinding: a page of evil.example, whose name now leads here."""
    for headers in (
        [],
        [f"Origin: http://{host}"],
        ["X-Forwarded-Host: localhost", "Forwarded: host=localhost"],
    ):
        assert _ask(wire, "/collections", *headers, host=host)[0] == 421


def test_a_target_with_a_host_of_its_own(wire: Wire) -> None:
    """It is no route, whatever the Host says."""
    for target in (
        "http://evil.example/health",
        "http://localhost/health",
        "https://evil.example:1/collections",
    ):
        assert _ask(wire, target)[0] == 404
        assert _ask(wire, target, host="evil.example")[0] == 421
    assert _ask(wire, "*", method="OPTIONS")[0] in (404, 405)
    assert _ask(wire, "evil.example:443", method="CONNECT")[0] == 401


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://localhost:9", "file://", "http://localhost@evil"]
)
@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"])
def test_forms_that_pages_of_others_can_send(wire: Wire, origin: str, kind: str) -> None:
    """No preflight comes before them."""
    job = b'{"command": "index", "ignored": "="}'
    for path in ("/collections/photos/jobs", "/collections/photos/search", "/knn-service", "/metadata"):
        sent = (f"Content-Type: {kind}", f"Origin: {origin}")
        assert _ask(wire, path, *sent, method="POST", body=job)[0] == 403
        token = f"Authorization: Bearer {TOKEN}"
        assert _ask(wire, path, *sent, token, method="POST", body=job)[0] == 403


def test_forms_of_no_page_and_of_our_own_change_nothing_without_the_token(wire: Wire) -> None:
    job = b'{"command": "index"}'
    own = ("Origin: http://localhost", "Sec-Fetch-Site: same-origin")
    for sent in (
        (),
        own,
        ("Cookie: token=" + TOKEN,),
        ("X-HTTP-Method-Override: GET",),
        ("Authorization: Basic OmE=",),
    ):
        for path in ("", "?token=" + TOKEN, "/", "%2Fsearch", "%3F/search", ";/search", "/1/../search"):
            status, _, _ = _ask(wire, f"/collections/photos/jobs{path}", *sent, method="POST", body=job)
            # What ends in /search is a question, which takes no token, and is no route.
            assert status == 401 or (status in (404, 405) and path.endswith("search")), (path, status)
    assert json.loads(_ask(wire, "/collections/photos/jobs")[2])["jobs"][0]["job_id"] == 1  # That of the fixture.


def test_a_preflight_permits_nothing(wire: Wire) -> None:
    asked = ("Access-Control-Request-Method: POST", "Access-Control-Request-Private-Network: true")
    for origin, refused in (("http://evil.example", 403), ("http://localhost", 405)):
        status, headers, _ = _ask(wire, "/collections/photos/search", f"Origin: {origin}", *asked, method="OPTIONS")
        assert status == refused
        assert not [name for name in headers if name.startswith("access-control")]


WEBSOCKET = ("Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")


@pytest.mark.parametrize(("headers", "host", "status"), [
    (("Origin: http://localhost",), "localhost", 404),
    (("Origin: http://evil.example",), "localhost", 403),
    (("Origin: http://evil.example",), "evil.example", 421),
])  # fmt: skip
def test_no_websocket_is_opened(wire: Wire, headers: Sequence[str], host: str, status: int) -> None:
    lines = ["GET /ws HTTP/1.1", f"Host: {host}", "Connection: Upgrade, close", *WEBSOCKET, *headers, "", ""]
    assert wire.status("\r\n".join(lines).encode()) == status


# -- pictures ------------------------------------------------------------------------------------------------

FILE = "/collections/photos/images/0/file"


@pytest.mark.parametrize(
    "asked",
    ["bytes=" + ",".join(["0-"] * 5000), "bytes=0-0,1-1,2-2", "bytes=0-0, -1", "bytes=0-0,", "bytes=,", "bytes=--1",
     "bytes=-", "bytes", "bytes=a-b", "items=0-1", "bytes=5-2", "bytes=0-9\t", "bytes=%s-" % ("9" * 30), "bytes=٠-٩"],
)  # fmt: skip
def test_ranges_that_are_none_or_many_give_the_whole(wire: Wire, asked: str) -> None:
    whole = _ask(wire, FILE)[2]
    status, headers, body = _ask(wire, FILE, f"Range: {asked}".encode().decode("latin-1"))
    if asked == "bytes=0-9\t":  # White space around a value is no part of it.
        assert (status, body) == (206, whole[:10])
    else:
        assert (status, body) == (200, whole)
        assert headers["content-length"] == str(len(whole))


def test_ranges_at_the_edges(wire: Wire) -> None:
    size = len(_ask(wire, FILE)[2])
    for asked, status, length in (
        (f"0-{10**17}", 206, size),
        (f"-{10**17}", 206, size),
        (f"{size - 1}-", 206, 1),
        (f"{size}-", 416, 0),
        ("-0", 416, 0),
        (f"{10**17}-{10**17}", 416, 0),
    ):
        found, _, body = _ask(wire, FILE, f"Range: bytes={asked}")
        assert (found, len(body)) == (status, length), asked


def test_tags_that_match_and_that_do_not(wire: Wire) -> None:
    _, headers, whole = _ask(wire, FILE)
    tag = headers["etag"]
    for given in (tag, f"W/{tag}", "*", f'"x", {tag}', ",".join(['"x"'] * 5000 + [tag])):
        status, _, body = _ask(wire, FILE, f"If-None-Match: {given}")
        assert (status, body) == (304, b""), given[:20]
    for given in (tag.strip('"'), f"{tag}x", "", '"*"', "W/", tag.upper(), '"' * 5000):
        assert _ask(wire, FILE, f"If-None-Match: {given}")[0] == 200, given[:20]
    for given in (f"W/{tag}", '"x"', "Wed, 25 Nov 2026 00:00:00 GMT", "*"):
        status, _, body = _ask(wire, FILE, f"If-Range: {given}", "Range: bytes=0-9")
        assert (status, body) == (200, whole), given


def test_a_name_that_is_a_header_and_a_caption_that_is_a_script(wire: Wire) -> None:
    for target in (FILE, "/collections/photos/images/0/thumbnail", "/collections/photos/images/0"):
        status, headers, body = _ask(wire, target)
        assert status == 200
        assert "set-cookie" not in headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["content-type"] in ("image/png", "image/webp", "application/json")
    told = json.loads(body)
    assert told["path"].endswith(NAME)
    assert told["metadata"]["caption"] == SCRIPT
    found = _ask(wire, "/collections/photos/search?q=red")
    assert found[1]["content-type"] == "application/json"
    assert found[1]["x-content-type-options"] == "nosniff"


def test_a_page_is_told_of_nothing_that_it_sent(wire: Wire) -> None:
    """What is refused is not sent back as a page, nor as anything that a browser takes for one."""
    asked = "%3Cscript%3Ealert(1)%3C/script%3E"
    for target in (
        f"/{asked}",
        f"/collections/{asked}",
        f"/collections/photos/images/{asked}",
        f"/collections/photos/search?q=red&where={asked}",
        f"/collections/photos/search?q=red&limit={asked}",
    ):
        status, headers, _ = _ask(wire, target)
        assert status in (404, 422), target
        assert headers["content-type"] == "application/problem+json"
        assert headers["x-content-type-options"] == "nosniff"


def test_a_drawing_comes_as_bytes_and_its_thumbnail_as_pixels(wire: Wire) -> None:
    _, headers, body = _ask(wire, "/collections/photos/images/1/file")
    assert body == DRAWING.encode()
    assert headers["content-type"] == "image/svg+xml"
    assert headers["content-disposition"] == "attachment"
    assert headers["content-security-policy"] == "default-src 'none'; sandbox"
    _, headers, body = _ask(wire, "/collections/photos/images/1/thumbnail?side=32")
    assert headers["content-type"] == "image/webp"
    assert body[:4] == b"RIFF"


def test_a_long_path_is_a_short_line_in_the_log(wire: Wire) -> None:
    assert _ask(wire, "/" + "a" * 50_000)[0] == 404
    assert max(len(line["path"]) for line in wire.lines()) == 1000


# -- heads of two meanings -----------------------------------------------------------------------------------


def test_a_folded_header_is_no_name_of_ours(wire: Wire) -> None:
    assert status_of(wire.said(b"GET /health HTTP/1.1\r\nHost: localhost\r\n evil\r\nConnection: close\r\n\r\n")) == 421
    assert status_of(wire.said(b"GET /health HTTP/1.1\r\nHost : localhost\r\n\r\n")) == 400
    assert status_of(wire.said(b"GET /health HTTP/1.1\nHost: evil.example\nHost: localhost\n\n")) == 400


def test_of_a_length_and_chunks_the_chunks_count(wire: Wire) -> None:
    head = "POST /metadata HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"
    last = "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    said = wire.said(f"{head}2\r\n[]\r\n0\r\n\r\n{last}".encode())
    assert [int(part[:3]) for part in said.split(b"HTTP/1.1 ")[1:]] == [422, 200]


@pytest.mark.parametrize(
    "given", ["Bearer \xff\xfe", "Bearer", "", "Bearer  ", f"Bearer {TOKEN}\xe9", "bearer x" * 5000]
)
def test_tokens_that_are_none(wire: Wire, given: str) -> None:
    path = "/collections/photos/jobs/1"
    assert _ask(wire, path, f"Authorization: {given}", method="DELETE")[0] == 401


NO_HTTP = [
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00",
    b"GET /health\r\n\r\n",
    b"\x00" * 100 + b"\r\n\r\n",
    b"GET  /health HTTP/1.1\r\n\r\n",
    b"SSH-2.0-x\r\n\r\n",
]


@pytest.mark.parametrize("start", NO_HTTP, ids=["http-2", "tls", "http-0.9", "zeros", "two-spaces", "ssh"])
def test_what_is_no_http_of_this_server(wire: Wire, start: bytes) -> None:
    said = wire.said(start, timeout=15)
    assert said == b"" or status_of(said) in (400, 421)
