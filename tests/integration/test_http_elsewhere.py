"""Parts of the HTTP service that another server uses: who may ask, and pictures of collections that come later."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.testclient import TestClient

import imseek
from imseek.errors import CollectionNotFoundError, UsageError
from imseek.ui.server.origins import Origins
from imseek.ui.server.picture_routes import picture_routes
from imseek.ui.server.pictures import ThumbnailCache
from imseek.ui.server.service import NotServedError, Service
from imseek.ui.server.settings import Settings


def _refused(origins: Origins, *headers: tuple[str, str]) -> int | None:
    raw = [(name.lower().encode(), value.encode()) for name, value in headers]
    refusal = origins.refusal(Headers(scope={"type": "websocket", "headers": raw}))
    return None if refusal is None else refusal[0]


def test_the_handshake_of_a_websocket_is_judged_as_a_request_is() -> None:
    origins = Origins("0.0.0.0", ("Pictures.example.org",), ("https://desk.example.org",))
    ours = ("Host", "pictures.example.org:8501")
    assert _refused(origins, ours, ("Origin", "https://pictures.example.org:8501")) is None
    assert _refused(origins, ours, ("Origin", "https://desk.example.org")) is None
    assert _refused(origins, ours) is None  # No browser: it sends an Origin.
    for foreign in ("http://evil.example", "null", "https://pictures.example.org", "file://", ""):
        assert _refused(origins, ours, ("Origin", foreign)) == 403, foreign
    for host in ("0.0.0.0:8501", "evil.example", "pictures.example.org.evil.example", ""):
        assert _refused(origins, ("Host", host), ("Origin", f"http://{host}")) == 421, host
    assert _refused(origins) == 421


@pytest.fixture
def service() -> Iterator[Service]:
    made = Service(Settings((), later=True))
    yield made
    asyncio.run(made.close())


@pytest.fixture
def client(service: Service) -> Iterator[TestClient]:
    """An application of Starlette's own, with the routes under a prefix."""
    routes = picture_routes(service, ThumbnailCache(service.settings.pixels), "/pictures")
    with TestClient(Starlette(routes=routes), raise_server_exceptions=False) as opened:
        yield opened


def _made(root: Path, files: list[Path]) -> Path:
    with imseek.create(root, encoder="fake") as collection:
        collection.index(names=files)
    return root


def test_a_service_may_begin_with_nothing(service: Service) -> None:
    assert service.names == ()
    for name in (None, "photos"):
        with pytest.raises(NotServedError):
            service.get(name)
    with pytest.raises(UsageError, match="no collection"):
        Settings(())


def test_a_collection_that_comes_later_and_one_that_takes_its_name(
    service: Service, tmp_path: Path, photo_files: list[Path]
) -> None:
    first, second = _made(tmp_path / "a", photo_files[:1]), _made(tmp_path / "b", photo_files[1:3])
    service.offer("photos", first)
    before = service.get("photos")
    assert service.get(None) is before
    assert before.collection.info().images == 1
    service.offer("photos", first)
    assert service.get("photos") is before
    service.offer("photos", second)
    assert service.get("photos").collection.info().images == 2
    assert before.collection.info().images == 1  # Requests under way go on.
    service.offer("photos", tmp_path / "nothing")
    for _ in range(2):
        with pytest.raises(CollectionNotFoundError):
            service.get("photos")
    service.offer("photos", first)
    assert service.get("photos").collection.info().images == 1
    assert service.names == ("photos",)


def test_collections_are_offered_while_others_are_asked_for(
    service: Service, tmp_path: Path, photo_files: list[Path]
) -> None:
    path = _made(tmp_path / "a", photo_files[:1])
    seen: list[int] = []

    def look() -> None:
        for _ in range(300):
            seen.append(len(service.names))
            if seen[-1]:
                service.get(None)

    with ThreadPoolExecutor(4) as pool:
        looking = [pool.submit(look) for _ in range(2)]
        offering = [pool.submit(service.offer, f"c{n}", path) for n in range(200)]
        for one in (*looking, *offering):
            one.result(60)
    assert len(service.names) == 200


def test_pictures_from_an_application_that_is_not_ours(
    client: TestClient, service: Service, tmp_path: Path, photo_files: list[Path]
) -> None:
    assert client.get("/pictures/photos/images/0").status_code == 404
    service.offer("photos", _made(tmp_path / "a", photo_files[:1]))
    data = photo_files[0].read_bytes()
    whole = client.get("/pictures/photos/images/0")
    assert whole.content == data
    assert whole.headers["x-content-type-options"] == "nosniff"
    assert client.get("/pictures/photos/images/0", headers={"Range": "bytes=0-9"}).content == data[:10]
    assert client.head("/pictures/photos/images/0").headers["content-length"] == str(len(data))
    small = client.get("/pictures/photos/images/0/thumbnail", params={"side": 64})
    assert max(Image.open(io.BytesIO(small.content)).size) == 64
    again = {"If-None-Match": small.headers["etag"]}
    assert client.get("/pictures/photos/images/0/thumbnail?side=64", headers=again).status_code == 304
    assert client.post("/pictures/photos/images/0").status_code == 405


@pytest.mark.parametrize("number", ["1", "-1", "x", "1.5", "١", "9" * 18, "9" * 5000, "%00", "..%2f1", "1;x"])
def test_ids_that_none_has(
    client: TestClient, service: Service, tmp_path: Path, photo_files: list[Path], number: str
) -> None:
    service.offer("photos", _made(tmp_path / "a", photo_files[:1]))
    for end in ("", "/thumbnail"):
        answer = client.get(f"/pictures/photos/images/{number}{end}")
        assert answer.status_code == 404
        assert str(tmp_path) not in answer.text


@pytest.mark.parametrize("side", ["0", "-1", "31", "1025", "x", "", "9" * 5000, "64.0"])
def test_sides_that_no_thumbnail_has(
    client: TestClient, service: Service, tmp_path: Path, photo_files: list[Path], side: str
) -> None:
    service.offer("photos", _made(tmp_path / "a", photo_files[:1]))
    answer = client.get("/pictures/photos/images/0/thumbnail", params={"side": side})
    assert answer.status_code == 422
    assert "from 32 to 1024" in answer.json()["detail"]


def test_a_file_that_changed_since_it_was_indexed(
    client: TestClient, service: Service, tmp_path: Path, photo_files: list[Path]
) -> None:
    """Nothing of it is sent, not even that it is the same; and all is as before once it is back."""
    one, two = tmp_path / "1.png", tmp_path / "2.png"
    Image.new("RGB", (64, 64), "red").save(one)
    Image.new("RGB", (64, 64), "blue").save(two)
    service.offer("photos", _made(tmp_path / "a", [one]))
    before = client.get("/pictures/photos/images/0").headers["etag"]
    red = one.read_bytes()
    one.write_bytes(two.read_bytes())
    for headers in ({}, {"If-None-Match": before}, {"If-Range": before, "Range": "bytes=0-9"}):
        changed = client.get("/pictures/photos/images/0", headers=headers)
        assert changed.status_code == 409
        assert changed.headers["content-type"] == "application/problem+json"
        assert changed.json()["detail"] == "this file changed since it was indexed: index again"
    assert client.head("/pictures/photos/images/0").status_code == 409
    assert client.get("/pictures/photos/images/0/thumbnail?side=32").status_code == 409
    one.write_bytes(red)
    assert client.get("/pictures/photos/images/0", headers={"If-None-Match": before}).status_code == 304
    assert _colour(client) == (255, 0, 0)
    one.write_bytes(two.read_bytes())
    assert _colour(client) == (255, 0, 0), "a thumbnail that was made is of what was indexed"


def _colour(client: TestClient) -> tuple[int, ...]:
    data = client.get("/pictures/photos/images/0/thumbnail?side=32").content
    with Image.open(io.BytesIO(data)) as picture:
        pixel = picture.convert("RGB").getpixel((16, 16))
    assert isinstance(pixel, tuple)
    return tuple(255 * round(part / 255) for part in pixel)
