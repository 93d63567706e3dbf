"""The OpenAPI document and one answer of each route, field by field: what programs that call the service rely on.

After a change that is meant: ``pytest tests/integration/test_http_output.py --snapshot-update``, and read the
difference.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from masks import JsonFile, mask
from probing import album
from starlette.testclient import TestClient

import imseek
from imseek.ui.http.app import make_app
from imseek.ui.server.settings import Settings

TOKEN = "a-token-for-tests-0123456789"

#: Name of the snapshot, method, path below the collection's and body.
REQUESTS: tuple[tuple[str, str, str, Any], ...] = (
    ("collection", "GET", "", None),
    ("search", "GET", "/search?q=red&limit=2", None),
    ("search-filtered", "GET", "/search?q=red&limit=1&where=folder LIKE '%25lime'", None),
    ("search-query", "POST", "/search", {"text": "red", "not": "blue", "limit": 2, "group_by": "folder"}),
    ("search-bad-filter", "GET", "/search?q=red&where=width >", None),
    ("search-bad-query", "POST", "/search", {"text": "red", "limit": -1}),
    ("batch", "POST", "/batch", {"queries": [{"text": "red", "limit": 1}, {"text": "blue", "limit": 1}]}),
    ("image", "GET", "/images/0", None),
    ("image-missing", "GET", "/images/999", None),
    ("image-similar", "GET", "/images/0/similar?limit=2", None),
    ("albums", "GET", "/albums", None),
    ("album", "GET", "/albums/best/of", None),
    ("album-missing", "GET", "/albums/none", None),
    ("jobs", "GET", "/jobs", None),
    ("job-missing", "GET", "/jobs/9", None),
    ("job-without-token", "POST", "/jobs", {}),
)


@pytest.fixture
def client(tmp_path: Path) -> Any:
    root = tmp_path / "photos"
    with imseek.create(root, encoder="fake", captions=True) as collection:
        collection.index([album(tmp_path / "album", 2)])
        imseek.albums.create(collection, "best/of", [1, 0])
    app = make_app(Settings((("photos", root),), token=TOKEN, rate=0))
    with TestClient(app, base_url="http://localhost:1234", raise_server_exceptions=False) as opened:
        yield opened


def test_openapi(client: TestClient, snapshot: Any) -> None:
    document = client.get("/openapi.json").json()
    assert mask(document, {imseek.__version__: "VERSION"}) == snapshot.use_extension(JsonFile)


def test_answers(client: TestClient, tmp_path: Path, snapshot: Any) -> None:
    snapshot = snapshot.use_extension(JsonFile)
    requests = [("collections", "GET", "/collections", None), ("no-route", "GET", "/nowhere", None)]
    requests += [(name, way, f"/collections/photos{path}", body) for name, way, path, body in REQUESTS]
    requests += [
        ("indices-list", "GET", "/indices-list", None),
        (
            "knn-service",
            "POST",
            "/knn-service",
            {"text": "red", "num_images": 2, "modality": "image", "indice_name": "photos"},
        ),
        ("metadata", "POST", "/metadata", {"ids": [0, 1], "indice_name": "photos"}),
        ("embed", "POST", "/embed", {"texts": ["red"]}),
    ]
    differences = []
    for name, method, path, body in requests:
        response = client.request(method, path, json=body)
        answer = {"request": f"{method} {path}", "body": body, "status": response.status_code}
        answer["type"] = response.headers["content-type"]
        text = mask(answer | {"answer": response.json()}, {str(tmp_path): "TMP"})
        if text != snapshot(name=name):
            differences.append(f"{name}: {text}")
    assert not differences, "\n\n".join(differences)


@pytest.mark.parametrize(
    ("parameters", "body"),
    [
        ("cutoff=auto", {"cutoff": "auto"}),
        (
            "by=image&group_by=folder&per_group=1&collapse=true",
            {"by": "image", "group_by": "folder", "per_group": 1, "collapse": True},
        ),
        ("more=1&more=2&less=0", {"more": [1, 2], "less": [0]}),
        ("not=blue&min_score=0.2&sort=date", {"not": ["blue"], "min_score": 0.2, "sort": "date"}),
    ],
)
def test_an_address_takes_the_options_of_a_body(client: TestClient, parameters: str, body: dict[str, Any]) -> None:
    plain = client.get("/collections/photos/search?q=red").json()
    address = client.get(f"/collections/photos/search?q=red&{parameters}").json()
    assert address == client.post("/collections/photos/search", json={"text": "red", **body}).json()
    assert address != plain


def test_an_address_with_a_cutoff_that_is_none_is_refused(client: TestClient) -> None:
    answer = client.get("/collections/photos/search?q=red&cutoff=ten")
    assert (answer.status_code, answer.json()["detail"]) == (
        422, "cutoff is auto, or a share of the relevant images to lose at most, such as 10%, not 'ten'"
    )  # fmt: skip
