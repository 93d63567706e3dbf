"""The HTTP service, without a socket: what it answers, and whom it refuses."""

from __future__ import annotations

import base64
import html
import io
import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

import imseek
from imseek import overview
from imseek.errors import UsageError
from imseek.ui.http.app import make_app
from imseek.ui.render.result_json import to_json
from imseek.ui.server.settings import Settings

TOKEN = "a-token-for-tests-0123456789"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, photo_files: list[Path]) -> Path:
    made = tmp_path_factory.mktemp("served") / "photos"
    with imseek.create(made, encoder="fake", captions=True) as collection:
        collection.index(names=photo_files)
    return made


def _client(root: Path, **settings: object) -> TestClient:
    made = Settings((("photos", root),), **{"token": TOKEN, **settings})  # type: ignore[arg-type]
    return TestClient(make_app(made), base_url="http://localhost:1234", raise_server_exceptions=False)


@pytest.fixture(scope="module")
def client(root: Path) -> Iterator[TestClient]:
    with _client(root, rate=0) as opened:
        yield opened


def _at(path: str) -> str:
    return f"/collections/photos/{path}"


# -- searching -----------------------------------------------------------------------------------------------


def test_words_find_what_the_library_finds(client: TestClient, root: Path) -> None:
    with imseek.open(root) as collection:
        expected = collection.search("red", limit=3)
    found = client.get(_at("search"), params={"q": "red", "limit": 3}).json()
    assert [hit["image_id"] for hit in found["hits"]] == [hit.image_id for hit in expected]
    assert [hit["score"] for hit in found["hits"]] == [round(hit.score, 6) for hit in expected]
    assert found["hits"][0]["path"] == expected[0].path
    assert found["uuid"] == expected[0].collection
    assert found["searched"] == expected.searched


def test_facets_are_those_of_the_command(client: TestClient, root: Path) -> None:
    expected = overview.summarise_facets(root, where="format = 'PNG'", values=2)
    found = client.get(_at("facets"), params={"where": "format = 'PNG'", "values": 2}).json()
    assert found == json.loads(json.dumps(to_json(expected), default=str))
    some = client.get(_at("facets"), params={"column": ["format", "tag"]}).json()
    assert [one["column"] for one in some["columns"]] == ["format"]
    assert client.get(_at("facets"), params={"column": "fromat"}).status_code == 422
    assert client.get(_at("facets"), params={"where": "fromat = 1"}).status_code == 422
    assert client.get(_at("facets"), params={"values": 201}).status_code == 422
    assert client.get("/collections/nothing/facets").status_code == 404


def test_words_that_are_typed_go_on(client: TestClient, root: Path) -> None:
    found = client.get(_at("suggest"), params={"q": "Roc", "limit": 1}).json()
    assert found == {"suggestions": [{"text": "rocket", "kind": "name"}]}
    assert client.get(_at("suggest"), params={"q": ""}).json() == {"suggestions": []}
    for kinds, count in ((["name"], 1), (["tag", "name"], 1), (["tag", "word"], 0)):
        some = client.get(_at("suggest"), params={"q": "Roc", "limit": 1, "kind": kinds}).json()
        assert len(some["suggestions"]) == count
    assert client.get(_at("suggest"), params={"q": "a", "kind": "colour"}).status_code == 422
    assert client.get(_at("suggest")).status_code == 422
    assert client.get(_at("suggest"), params={"q": "a" * 201}).status_code == 422
    assert client.get(_at("suggest"), params={"q": "a", "limit": 51}).status_code == 422
    assert client.get("/collections/nothing/suggest", params={"q": "a"}).status_code == 404


def test_texts_and_pictures_are_encoded(client: TestClient, root: Path, photo_files: list[Path]) -> None:
    data = [path.read_bytes() for path in photo_files[:2]]
    body = {"texts": ["red", "blue"], "pictures": [base64.b64encode(one).decode() for one in data]}
    encoder = imseek.load_encoder("fake")
    for collection in ({}, {"collection": "photos"}):
        found = client.post("/embed", json=body | collection).json()
        assert (found["encoder"], found["fingerprint"], found["dim"]) == ("fake", encoder.fingerprint(), 64)
        assert np.allclose(found["texts"], encoder.texts(["red", "blue"]), atol=1e-7)
        assert np.allclose(found["pictures"], encoder.images(data), atol=1e-7)
    only = client.post("/embed", json={"texts": ["red"]}).json()
    assert (len(only["texts"]), only["pictures"]) == (1, [])


@pytest.mark.parametrize(
    ("body", "status", "detail"),
    [
        ({}, 422, "1 to 64 texts and pictures"),
        ({"texts": ["a"] * 65}, 422, "1 to 64 texts and pictures"),
        ({"texts": ["a" * 20_001]}, 422, "at most 20,000 characters"),
        ({"texts": [" "]}, 422, "the text is empty"),
        ({"texts": "red"}, 422, "form"),
        ({"texts": ["red"], "limit": 1}, 422, "form"),
        ({"texts": [True]}, 422, "form"),
        ({"pictures": ["?"]}, 422, "pictures are base64"),
        ({"pictures": [base64.b64encode(b"GIF89a").decode()]}, 422, "picture 0: "),
        ({"texts": ["red"], "collection": "nothing"}, 404, "no collection 'nothing' is served"),
    ],
)
def test_what_cannot_be_encoded_is_refused(client: TestClient, body: object, status: int, detail: str) -> None:
    found = client.post("/embed", json=body)
    assert (found.status_code, found.headers["content-type"]) == (status, "application/problem+json")
    assert detail in found.json()["detail"]


def test_a_bad_request_spoils_no_other_that_is_encoded_with_it(client: TestClient) -> None:
    texts = ["red", "", "blue", "green"] * 8
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda text: client.post("/embed", json={"texts": [text]}), texts))
    assert [one.status_code for one in found] == [200 if text else 422 for text in texts]
    expected = imseek.load_encoder("fake").texts(["red", "blue", "green"])
    for one, text in zip(found, texts, strict=True):
        if text:
            assert np.allclose(one.json()["texts"], expected[["red", "blue", "green"].index(text)], atol=1e-7)


def test_a_large_picture_is_not_encoded(root: Path) -> None:
    shown = io.BytesIO()
    Image.new("RGB", (40, 30)).save(shown, "PNG")
    with _client(root, pixels=1000) as small:
        found = small.post("/embed", json={"pictures": [base64.b64encode(shown.getvalue()).decode()]})
    assert found.status_code == 422
    assert "more than the limit of 1,000" in found.json()["detail"]


def test_encoding_takes_the_token_elsewhere(root: Path) -> None:
    with _client(root, host="192.0.2.1", hosts=("localhost",)) as opened:
        assert opened.post("/embed", json={"texts": ["red"]}).status_code == 401
        assert opened.post("/embed", json={"texts": ["red"]}, headers=BEARER).status_code == 200


def test_a_whole_query(client: TestClient, root: Path) -> None:
    query = imseek.Query((imseek.Term(text="red"), imseek.Term(text="blue", weight=-0.5)), limit=2, where="width > 400")
    with imseek.open(root) as collection:
        expected = collection.search(query, vectors=True)
    asked = {"text": "red", "not": "blue", "limit": 2, "where": "width > 400", "vectors": True}
    found = client.post(_at("search"), json=asked).json()
    assert [hit["image_id"] for hit in found["hits"]] == [hit.image_id for hit in expected]
    assert expected[0].vector is not None
    assert np.allclose(found["hits"][0]["vector"], expected[0].vector, atol=1e-7)


def test_pages_go_on(client: TestClient) -> None:
    everything = client.get(_at("search"), params={"q": "red", "limit": 6}).json()["hits"]
    first = client.get(_at("search"), params={"q": "red", "limit": 3}).json()
    second = client.get(_at("search"), params={"q": "red", "limit": 3, "page": first["next_page"]}).json()
    assert [h["image_id"] for h in first["hits"] + second["hits"]] == [h["image_id"] for h in everything]


def test_a_batch_answers_in_order(client: TestClient) -> None:
    words = ["red", "blue", "green"]
    asked = {"queries": [{"text": word, "limit": 2} for word in words]}
    found = client.post(_at("batch"), json=asked).json()["answers"]
    alone = [client.get(_at("search"), params={"q": word, "limit": 2}).json() for word in words]
    assert [one["hits"] for one in found] == [one["hits"] for one in alone]


def test_one_bad_query_does_not_fail_the_others_that_came_with_it(root: Path) -> None:
    import asyncio

    from imseek.search.query import Query, Term
    from imseek.ui.server.service import Service

    async def ask() -> list[object]:
        served = Service(Settings((("photos", root),), token=TOKEN)).get(None)
        queries = [Query((Term(text="red"),)), Query((Term(image_id=10**6),)), Query((Term(text="blue"),))]
        try:
            return await asyncio.gather(*(served.search(q) for q in queries), return_exceptions=True)
        finally:
            await served.batcher.close()
            served.collection.close()

    first, bad, last = asyncio.run(ask())
    assert isinstance(first, imseek.SearchResult)
    assert isinstance(bad, imseek.errors.ImageNotFoundError)
    assert isinstance(last, imseek.SearchResult)
    with imseek.open(root) as collection:
        assert [h.image_id for h in last] == [h.image_id for h in collection.search("blue")]


def test_a_picture_finds_itself(client: TestClient, photo_files: list[Path]) -> None:
    with photo_files[2].open("rb") as picture:
        found = client.post(_at("similar"), files={"picture": picture}, params={"limit": 1}).json()
    assert found["hits"][0]["path"] == str(photo_files[2])
    assert found["hits"][0]["score"] > 0.999
    image_id = found["hits"][0]["image_id"]
    again = client.get(_at(f"images/{image_id}/similar"), params={"limit": 1}).json()
    assert again["hits"][0]["image_id"] == image_id


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"text": ""}, "empty"),
        ({"text": "red", "where": "nope = 1"}, "nope"),
        ({"text": "red", "where": "1=1; drop table images"}, ""),
        ({"like": {"path": "/etc/passwd"}}, "cannot name files"),
        ({"like": "/etc/passwd"}, "cannot name files"),
        ({"like": {"picture": "bm9wZQ=="}}, "matches no known image"),
        ({"like": {"picture": "%%%"}}, "base64"),
        ({"like": {"image_id": 10**9}}, "no image"),
        ({"like": {"vector": [1.0, 2.0]}}, "dim"),
        ({"page": "nope", "text": "red"}, "page"),
        ({}, "at least one term"),
        ({"text": "red", "limit": 0}, ""),
        ({"text": "red", "limit": True}, ""),
        ({"text": "red", "diversity": False}, ""),
        ({"text": "red", "more": [0, True]}, ""),
        ({"text": "red", "nope": 1}, ""),
    ],
)
def test_what_cannot_be_asked_is_told_as_a_problem(client: TestClient, asked: object, says: str) -> None:
    response = client.post(_at("search"), json=asked)
    assert response.status_code in (404, 422), response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert says in response.json()["detail"]
    assert "/tmp" not in response.text


def test_metadata_of_many_is_looked_up_at_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with imseek.open(root) as collection:
        last, first = collection.get(2), collection.get(0)

    def one_by_one(*_: object) -> None:
        raise AssertionError("one at a time")

    monkeypatch.setattr(imseek.Collection, "get", one_by_one)
    asked = {"indice_name": "photos", "ids": [2, 10**30, 0, 999, 2]}
    with _client(root) as opened:
        found = opened.post("/metadata", json=asked).json()
    assert [one["id"] for one in found] == [2, 0, 2]
    for one, image in zip(found, (last, first, last), strict=True):
        assert image.place is not None
        assert one["metadata"]["image_path"] == image.place.display
        assert one["metadata"]["width"] == image.metadata["width"]


def test_no_such_collection_or_image(client: TestClient) -> None:
    for path in (
        "/collections/nope",
        "/collections/nope/search?q=x",
        _at("images/999"),
        _at("images/999/file"),
    ):
        response = client.get(path)
        assert response.status_code == 404, path
        assert response.json()["status"] == 404


# -- pictures ------------------------------------------------------------------------------------------------


def test_a_picture_comes_as_it_is_whole_and_in_parts(client: TestClient, photo_files: list[Path]) -> None:
    hit = client.get(_at("search"), params={"q": "red", "limit": 1}).json()["hits"][0]
    data = Path(hit["path"]).read_bytes()
    whole = client.get(hit["image"])
    assert whole.content == data
    assert whole.headers["content-type"] in ("image/png", "image/jpeg")
    assert whole.headers["x-content-type-options"] == "nosniff"
    for asked, part in (("bytes=0-9", data[:10]), ("bytes=10-", data[10:]), ("bytes=-7", data[-7:])):
        response = client.get(hit["image"], headers={"Range": asked})
        assert response.status_code == 206, asked
        assert response.content == part, asked
    beyond = client.get(hit["image"], headers={"Range": f"bytes={len(data)}-"})
    assert beyond.status_code == 416
    assert beyond.headers["content-range"] == f"bytes */{len(data)}"
    assert client.get(hit["image"], headers={"If-None-Match": whole.headers["etag"]}).status_code == 304
    head = client.head(hit["image"])
    assert (head.content, head.headers["content-length"]) == (b"", str(len(data)))
    stale = client.get(hit["image"], headers={"Range": "bytes=0-9", "If-Range": '"other"'})
    assert (stale.status_code, stale.content) == (200, data)


def test_a_thumbnail_is_small(client: TestClient) -> None:
    hit = client.get(_at("search"), params={"q": "red", "limit": 1}).json()["hits"][0]
    response = client.get(hit["thumbnail"], params={"side": 64})
    assert response.headers["content-type"] == "image/webp"
    with Image.open(io.BytesIO(response.content)) as picture:
        assert max(picture.size) == 64
    assert client.get(hit["thumbnail"], params={"side": 100_000}).status_code == 422


def test_an_svg_cannot_run_anything(tmp_path: Path) -> None:
    drawing = tmp_path / "evil.svg"
    drawing.write_text(
        '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><script>alert(1)</script>'
        '<rect width="9" height="9" fill="red"/></svg>'
    )
    with imseek.create(tmp_path / "made", encoder="fake") as collection:
        assert collection.index(names=[drawing]).added == 1
    with _client(tmp_path / "made") as client:
        hit = client.get(_at("search"), params={"q": "red"}).json()["hits"][0]
        response = client.get(hit["image"])
    assert response.headers["content-type"] == "image/svg+xml"
    assert response.headers["content-disposition"] == "attachment"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in response.headers["content-security-policy"]


def test_a_picture_that_has_gone(tmp_path: Path, photo_files: list[Path]) -> None:
    copy = tmp_path / "gone.png"
    copy.write_bytes(photo_files[0].read_bytes())
    with imseek.create(tmp_path / "made", encoder="fake") as collection:
        collection.index(names=[copy])
    copy.unlink()
    with _client(tmp_path / "made") as client:
        hit = client.get(_at("search"), params={"q": "red"}).json()["hits"][0]
        for path in (hit["image"], hit["thumbnail"]):
            response = client.get(path)
            assert response.status_code == 422
            assert str(tmp_path) not in response.text


# -- who may ask ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/health", "/collections", "/collections/photos/search?q=red", "/openapi.json"])
def test_another_name_is_refused_on_every_route(client: TestClient, path: str) -> None:
    for host in ("evil.example", "localhost.evil.example", "127.0.0.1.nip.example:1234", ""):
        assert client.get(path, headers={"Host": host}).status_code == 421, host
    for host in ("localhost", "127.0.0.1:1234", "[::1]:1234", "LOCALHOST:1"):
        assert client.get(path, headers={"Host": host}).status_code == 200, host


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_pages_of_other_sites_are_refused(client: TestClient, method: str) -> None:
    for origin in (
        "http://evil.example",
        "null",
        "http://localhost:9999",
        "https://localhost:1234.evil.example",
    ):
        response = client.request(method, "/collections", headers={"Origin": origin})
        assert response.status_code == 403, origin
    own = client.get("/collections", headers={"Origin": "http://localhost:1234"})
    assert own.status_code == 200
    assert "access-control-allow-origin" not in own.headers


def test_what_changes_something_takes_the_token(client: TestClient) -> None:
    for headers in (
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": TOKEN},
        {"Cookie": f"token={TOKEN}"},
    ):
        refused = client.post(_at("jobs"), json={}, headers=headers)
        assert refused.status_code == 401, headers
        assert refused.headers["www-authenticate"] == "Bearer"
    assert client.delete(_at("jobs/1")).status_code == 401


def test_a_browser_is_told_what_this_is(client: TestClient, root: Path) -> None:
    start, routes = client.get("/"), client.get("/docs")
    for page in (start, routes):
        assert page.status_code == 200
        assert page.headers["content-type"].startswith("text/html")
        assert "HTTP service of imseek" in page.text
        assert "<script" not in page.text
        for target in re.findall(r'href="([^"]+)"', page.text):
            assert client.get(target).status_code == 200, target
    for path, operations in client.get("/openapi.json").json()["paths"].items():
        assert f"<code>{path}</code>" in routes.text
        assert all(one["summary"] in html.unescape(routes.text) for one in operations.values())
    with _client(root, host="0.0.0.0", hosts=("pictures.example.org",)) as beyond:
        for path in ("/", "/docs"):
            found = beyond.get(path, headers={"Host": "pictures.example.org"})
            assert found.status_code == 200
            assert "photos" not in found.text, "names of collections are nobody else's business"


SITE = "https://gallery.example.org"


def test_pages_of_an_allowed_site_can_read_the_answers(root: Path) -> None:
    with _client(root, origins=(SITE,)) as client:
        found = client.get(_at("search"), params={"q": "red"}, headers={"Origin": SITE})
        assert found.status_code == 200
        assert found.headers["access-control-allow-origin"] == SITE
        assert "Origin" in found.headers["vary"]
        asked = {
            "Origin": SITE,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type",
        }
        permitted = client.options(_at("jobs"), headers=asked)
        assert permitted.status_code == 200
        assert "POST" in permitted.headers["access-control-allow-methods"]
        assert "authorization" in permitted.headers["access-control-allow-headers"].lower()
        refused = client.post(_at("jobs"), json={}, headers={"Origin": SITE})
        assert refused.status_code == 401, "the site may ask, and still needs the token"
        assert refused.headers["access-control-allow-origin"] == SITE
        for foreign in ("https://evil.example", "null", SITE.replace("https", "http"), SITE + ":8443"):
            answer = client.get(_at("search"), params={"q": "red"}, headers={"Origin": foreign})
            assert answer.status_code == 403
            assert "access-control-allow-origin" not in answer.headers
            preflight = client.options(_at("jobs"), headers={**asked, "Origin": foreign})
            assert preflight.status_code in (400, 403)
            assert "access-control-allow-origin" not in preflight.headers
        assert (
            client.options(_at("jobs"), headers={**asked, "Host": "evil.example"}).headers.get(
                "access-control-allow-credentials"
            )
            is None
        )


def test_beyond_loopback_an_allowed_site_is_permitted_to_send_the_token(root: Path) -> None:
    with _client(root, host="0.0.0.0", hosts=("pictures.example.org",), origins=(SITE,)) as client:
        headers = {"Host": "pictures.example.org", "Origin": SITE}
        asked = {**headers, "Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization"}
        assert client.options(_at("search"), headers=asked).status_code == 200
        assert client.get(_at("search"), params={"q": "red"}, headers={**headers, **BEARER}).status_code == 200
        assert client.get(_at("search"), params={"q": "red"}, headers=headers).status_code == 401


@pytest.mark.parametrize("origin", ["*", "gallery.example.org", "https://a.example/path", "https://", "null", ""])
def test_what_is_no_site_is_refused(root: Path, origin: str) -> None:
    with pytest.raises(UsageError, match="is not the address of a web site"):
        Settings((("photos", root),), token=TOKEN, origins=(origin,))


def test_beyond_loopback_everything_takes_the_token(root: Path) -> None:
    with _client(root, host="0.0.0.0", hosts=("pictures.example.org",)) as client:
        asked = {"Host": "pictures.example.org"}
        assert client.get("/health", headers=asked).status_code == 200
        assert client.get("/collections", headers=asked).status_code == 401
        assert client.get("/openapi.json", headers=asked).status_code == 401
        found = client.get(_at("search"), params={"q": "red"}, headers={**asked, **BEARER})
        assert found.status_code == 200
        assert found.json()["hits"][0]["path"] is None  # Where pictures lie is nobody else's business.
        assert found.json()["hits"][0]["uri"] is None
        named = client.get(_at("suggest"), params={"q": "roc"}, headers={**asked, **BEARER})
        assert named.json() == {"suggestions": []}
        named = client.get(_at("suggest"), params={"q": "roc", "kind": "name"}, headers={**asked, **BEARER})
        assert named.json() == {"suggestions": []}


def test_an_address_beyond_loopback_without_a_token_is_refused(root: Path) -> None:
    with pytest.raises(UsageError, match="takes a token"):
        Settings((("photos", root),), host="0.0.0.0")
    with pytest.raises(UsageError, match="16 characters"):
        Settings((("photos", root),), token="short")
    with pytest.raises(UsageError, match="no collection"):
        Settings(())
    with pytest.raises(UsageError, match="one name"):
        Settings((("photos", root), ("photos", root)))


def test_bodies_have_a_limit_stated_or_not(root: Path) -> None:
    with _client(root, body=1000) as client:
        assert client.post(_at("search"), json={"text": "x" * 2000}).status_code == 413

        def unstated() -> Iterator[bytes]:
            for _ in range(100):
                yield b"x" * 100

        assert client.post(_at("search"), content=unstated()).status_code == 413


def test_a_bomb_is_refused(root: Path) -> None:
    buffer = io.BytesIO()
    Image.new("1", (12_000, 12_000)).save(buffer, "PNG")
    with _client(root, pixels=1_000_000) as client:
        response = client.post(_at("similar"), files={"picture": buffer.getvalue()})
        picture = base64.b64encode(buffer.getvalue()).decode()
        whole = client.post(_at("search"), json={"like": {"picture": picture}})
    assert response.status_code == 422
    assert "pixels" in response.json()["detail"]
    assert whole.status_code == 422


def test_a_client_has_so_many_requests_a_second(root: Path) -> None:
    with _client(root, rate=5) as client:
        statuses = [client.get("/health").status_code for _ in range(30)]
    assert statuses[:10] == [200] * 10
    assert 429 in statuses


def test_what_takes_too_long_is_ended(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    monkeypatch.setattr(imseek.Collection, "info", lambda self: time.sleep(1))
    with _client(root, seconds=0.2) as client:
        assert client.get("/collections/photos").status_code == 503


def test_an_error_of_our_own_is_told_by_a_reference_only(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: imseek.Collection) -> None:
        raise RuntimeError("secret /tmp/place")

    monkeypatch.setattr(imseek.Collection, "info", fail)
    with _client(root) as client:
        response = client.get("/collections/photos")
    assert response.status_code == 500
    assert "secret" not in response.text
    assert len(response.json()["reference"]) == 12


def test_health_readiness_and_figures(client: TestClient, root: Path, tmp_path: Path) -> None:
    assert client.get("/health").json() == {"status": "ok"}
    assert client.get("/ready").json() == {"status": "ok"}
    client.get(_at("search"), params={"q": "red"})
    assert 'imseek_requests_total{route="/collections/{name}/search",status="200"}' in client.get("/metrics").text
    with TestClient(
        make_app(Settings((("gone", tmp_path / "gone"),), token=TOKEN)), base_url="http://localhost"
    ) as broken:
        assert broken.get("/health").status_code == 200
        assert broken.get("/ready").status_code == 503


def test_nothing_is_started_or_stopped_in_a_collection_that_is_not_trusted(
    tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with imseek.create(tmp_path / "made", encoder="fake") as collection:
        collection.index([photos])
    monkeypatch.delenv("IMSEEK_TRUSTED_FOLDERS")
    monkeypatch.setenv("IMSEEK_HOME", str(tmp_path / "home of the server"))
    with _client(tmp_path / "made") as client:
        answer = client.post(_at("jobs"), json={}, headers=BEARER)
        assert (answer.status_code, answer.json()["title"]) == (403, "UntrustedCollectionError")
        assert "is not trusted" in answer.json()["detail"]
        assert str(tmp_path) not in answer.text
        assert client.get(_at("search"), params={"q": "red"}).status_code == 200


def test_runs_are_started_watched_and_refused(tmp_path: Path, photos: Path) -> None:
    import time

    with imseek.create(tmp_path / "made", encoder="fake") as collection:
        collection.index([photos])
    (photos / "new.png").write_bytes((photos / "coffee.png").read_bytes())
    with _client(tmp_path / "made") as client:
        started = client.post(_at("jobs"), json={}, headers=BEARER)
        assert started.status_code == 202
        job = started.json()
        for _ in range(300):
            job = client.get(_at(f"jobs/{job['job_id']}")).json()
            if job["state"] != "running":
                break
            time.sleep(0.1)
        assert job["state"] == "done"
        assert client.get(_at("jobs")).json()["jobs"][0]["job_id"] == job["job_id"]
        assert client.delete(_at(f"jobs/{job['job_id']}"), headers=BEARER).status_code == 422
        assert client.get(_at("jobs/999")).status_code == 404
        found = client.get(_at("search"), params={"q": "red", "limit": 100}).json()
        assert len(found["hits"]) == sum(path.is_file() for path in photos.rglob("*"))
