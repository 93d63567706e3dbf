"""A web server on the loopback interface: what it has, and what it was asked for."""

from __future__ import annotations

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote


class WebServer:
    """Serves ``pages`` (path without the leading slash → bytes) with sizes, ETags and ranges. ``asked`` lists GETs,
    ``requests`` counts HEADs too.

    Names in ``broken`` are answered with that status; the bytes of those in ``delays`` come once the event is set.
    """

    def __init__(self) -> None:
        self.pages: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.requests = 0
        self.broken: dict[str, int] = {}
        self.delays: dict[str, threading.Event] = {}
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                self._answer(body=False)

            def do_GET(self) -> None:
                site.asked.append(unquote(self.path.lstrip("/")))
                self._answer(body=True)

            def _answer(self, *, body: bool) -> None:
                site.requests += 1
                name = unquote(self.path.lstrip("/"))
                data = None if name in site.broken else site.pages.get(name)
                if data is None:
                    self.send_response(site.broken.get(name, 404))
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                etag = f'"{hashlib.sha256(data).hexdigest()[:16]}"'
                wanted = self.headers.get("Range", "").removeprefix("bytes=")
                first, last = 0, len(data) - 1
                if wanted:
                    start, _, end = wanted.partition("-")
                    first, last = int(start), min(int(end or last), last)
                self.send_response(206 if wanted else 200)
                if wanted:
                    self.send_header("Content-Range", f"bytes {first}-{last}/{len(data)}")
                self.send_header("Content-Length", str(last - first + 1))
                self.send_header("Accept-Ranges", "bytes")
                self.send_header("ETag", etag)
                self.end_headers()
                if body and (name not in site.delays or site.delays[name].wait(60)):
                    self.wfile.write(data[first : last + 1])

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def url(self, path: str = "") -> str:
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}/{path}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
