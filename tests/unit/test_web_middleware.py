"""What lies between the browser and Streamlit: compressed scripts, the address of the server, requests given up."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import streamlit
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from imseek.ui.server.picture_routes import picture_routes
from imseek.ui.web import components, early_page_head
from imseek.ui.web.compressed_static import CompressedStatic
from imseek.ui.web.html_head import PageHeadMiddleware

SCRIPT = b"export const words = 'one, two, three';\n" * 200
PAGE = "<!DOCTYPE html><html><head><title>Streamlit</title></head><body>y</body></html>"


@pytest.fixture
def client() -> TestClient:
    async def script(request: Request) -> Response:
        if request.headers.get("if-none-match"):
            return Response(status_code=304)
        data = SCRIPT if "large" in request.url.path else b"1"
        return Response(data, media_type="text/javascript", headers={"ETag": '"1"'})

    async def page(request: Request) -> Response:
        return HTMLResponse(PAGE, headers={"ETag": '"1"'})

    async def data(request: Request) -> Response:
        return JSONResponse({"html": "<head>"})

    routes = [
        Route("/static/{name:path}", script),
        Route("/large.js", script),
        Route("/data", data),
        Route("/{page:path}", page),
    ]
    return TestClient(
        Starlette(
            routes=routes,
            middleware=[
                Middleware(
                    PageHeadMiddleware, style="p { margin: 0 }", links=lambda path: f"[{path}]", bar=early_page_head.bar
                ),
                Middleware(CompressedStatic),
            ],
        )
    )


def _get(client: TestClient, path: str, **headers: str) -> Any:
    return client.get(path, headers={name.replace("_", "-"): value for name, value in headers.items()})


def test_scripts_are_compressed_for_those_who_take_it(client: TestClient) -> None:
    for _ in range(2):  # The second one comes from memory.
        answer = _get(client, "/static/js/large.js", Accept_Encoding="gzip, br")
        assert answer.content == SCRIPT
        assert answer.headers["content-encoding"] == "gzip"
        assert int(answer.headers["content-length"]) < len(SCRIPT) / 10
        assert "Accept-Encoding" in answer.headers["vary"]


def test_a_component_comes_by_an_address_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    made: dict[str, Any] = {}
    monkeypatch.setattr(components.st.components.v2, "component", lambda name, **given: made.update(given))
    components.component.__wrapped__("viewer", *components.LARGE_VIEW)
    assert len(made["js"]) < 200
    address = re.search(r'"(/scripts/.*?\.js)"', made["js"])
    assert address is not None
    pages = TestClient(Starlette(routes=[components.script_route()], middleware=[Middleware(CompressedStatic)]))
    answer = _get(pages, address[1], Accept_Encoding="gzip")
    assert all(part in answer.text for part in ("class Viewer", "class Large", "function mounted"))
    assert answer.headers["content-type"].startswith("text/javascript")
    assert "immutable" in answer.headers["cache-control"]
    assert answer.headers["content-encoding"] == "gzip"
    assert _get(pages, f"{components.SCRIPTS_PATH}/{'0' * 32}.js").status_code == 404


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/static/js/large.js", {"Accept_Encoding": "identity"}),
        ("/static/js/large.js", {"Accept_Encoding": "gzip", "Range": "bytes=0-9"}),
        ("/static/js/small.js", {"Accept_Encoding": "gzip"}),
        ("/static/media/large.woff2", {"Accept_Encoding": "gzip"}),
        ("/large.js", {"Accept_Encoding": "gzip"}),
    ],
)
def test_other_files_are_sent_as_they_are(client: TestClient, path: str, headers: Mapping[str, str]) -> None:
    answer = _get(client, path, **headers)
    assert "content-encoding" not in answer.headers
    assert answer.content in (SCRIPT, b"1")


def test_what_a_browser_has_already_is_not_sent_again(client: TestClient) -> None:
    answer = _get(client, "/static/js/large.js", Accept_Encoding="gzip", If_None_Match='"1"')
    assert (answer.status_code, answer.content) == (304, b"")


def test_pages_say_where_the_server_is_and_have_our_style(client: TestClient) -> None:
    answer = _get(client, "/map", Accept="text/html,*/*", Accept_Encoding="gzip")
    assert answer.text.startswith("<!DOCTYPE html><html><head><script>window.__streamlit = { BACKEND_BASE_URL: ")
    assert "<title>imseek</title>[/map]</head><body><style>p { margin: 0 }</style><div " in answer.text
    assert answer.text.endswith("</div>\ny</body></html>")
    assert int(answer.headers["content-length"]) == len(answer.content)
    assert "etag" not in answer.headers
    assert _get(client, "/map", Accept="*/*").text == PAGE
    assert _get(client, "/data", Accept="text/html").json() == {"html": "<head>"}


def test_the_bar_is_there_before_any_script(client: TestClient) -> None:
    page = _get(client, "/map?c=%3Cb%3E%202%20%26%20more&c=other", Accept="text/html").text
    assert "&lt;b&gt; 2 &amp; more</span>" in page
    assert "<b> 2" not in page
    assert re.findall(r'<span class="here">(\w+)', page) == ["Map"]
    assert re.findall(r'<span class="here">(\w+)', _get(client, "/", Accept="text/html").text) == ["Search"]


def test_scripts_of_streamlits_widgets_are_requested_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the files of the Streamlit that is installed: a new one may name them otherwise, which this would show."""
    static = Path(streamlit.__file__).parent / "static"
    found = re.findall(r'href="(/static/js/[^"]+)"', early_page_head.links("/"))
    assert any("TextInput" in one for one in found)
    assert all((static / one.removeprefix("/")).is_file() for one in found)
    at_once = (static / "index.html").read_text("utf-8")
    assert not [one for one in found if one in at_once]
    assert "Selectbox" in early_page_head.links("/map")
    assert "Selectbox" not in early_page_head.links("/")
    monkeypatch.setattr(components, "_urls", {"grid": "/scripts/1.js", "scatter": "/scripts/2.js"})
    assert "/scripts/1.js" in early_page_head.links("/")
    assert "/scripts/2.js" not in early_page_head.links("/")
    assert "/scripts/2.js" in early_page_head.links("/map")


def test_a_thumbnail_that_nobody_waits_for_is_not_made() -> None:
    class Never:
        def get(self, name: str) -> None:
            return None

        async def thumbnail(self, *_: object) -> None:
            raise AssertionError("it was made")

    never: Any = Never()
    app = Starlette(routes=picture_routes(never, never))
    sent = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/c/images/1/thumbnail", "query_string": b"", "headers": []}
    asyncio.run(app({**scope, "root_path": "", "scheme": "http", "server": ("localhost", 80)}, receive, send))
    assert sent[0]["status"] == 499
