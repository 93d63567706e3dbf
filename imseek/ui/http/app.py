"""The FastAPI application: routes behind the guard, health checks and metrics."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from time import perf_counter

from fastapi import FastAPI
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import imseek
from imseek.errors import ImseekError
from imseek.ui.http import clip_retrieval, routes
from imseek.ui.http.body_schemas import Status
from imseek.ui.http.guards import Guard
from imseek.ui.render import service_page
from imseek.ui.server import problems
from imseek.ui.server.batching import OverloadedError
from imseek.ui.server.extra_route import MakeRoute
from imseek.ui.server.pictures import ThumbnailCache
from imseek.ui.server.service import Service
from imseek.ui.server.settings import Settings


def make_app(
    settings: Settings, runtime: imseek.Runtime | None = None, make_routes: Sequence[MakeRoute] = ()
) -> FastAPI:
    """Create an ASGI application that serves ``settings.collections``, and the routes that others add."""
    service = Service(settings, runtime)
    pictures = ThumbnailCache(settings.pixels)
    extra = [make(service, pictures) for make in make_routes]

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        for name in service.names:
            with contextlib.suppress(ImseekError):  # A request for it reports the error.
                await asyncio.to_thread(service.get, name)
        async with contextlib.AsyncExitStack() as stack:
            for route in extra:
                await stack.enter_async_context(route.lifespan())
            yield
        await service.close()

    app = FastAPI(
        title="imseek",
        version=imseek.__version__,
        description="Semantic search over one's own images.",
        lifespan=lifespan,
        docs_url=None,  # FastAPI's load scripts from other sites; ours is below.
        redoc_url=None,
        # clip-retrieval's client sends no Content-Type. The Origin check refuses pages of other sites.
        strict_content_type=False,
    )
    app.state.service = service
    app.state.pictures = pictures
    problems.install(app)

    async def overloaded(*_: object) -> Response:
        response = problems.problem(503, "too many queries wait already")
        response.headers["Retry-After"] = "1"
        return response

    app.add_exception_handler(OverloadedError, overloaded)
    app.include_router(routes.router)
    app.include_router(clip_retrieval.router)
    metrics = _Metrics(service)

    @app.get("/", include_in_schema=False)
    async def start() -> HTMLResponse:
        return HTMLResponse(service_page.start_page())

    @app.get("/docs", include_in_schema=False)
    async def documentation() -> HTMLResponse:
        return HTMLResponse(service_page.routes_page(app.openapi()))

    @app.get("/health", summary="Whether the process answers")
    async def health() -> Status:
        return Status(status="ok")

    @app.get(
        "/ready",
        summary="Whether every collection can be searched",
        responses=problems.problem_responses(503),
    )
    async def ready() -> Response:
        for name in service.names:
            try:
                await asyncio.to_thread(service.get(name).collection.info)
            except ImseekError:
                return problems.problem(503, f"the collection {name} cannot be opened")
        return Response('{"status":"ok"}', media_type="application/json")

    @app.get("/metrics", summary="Figures for Prometheus", response_class=Response)
    async def figures() -> Response:
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    app.add_middleware(_MetricsMiddleware, metrics=metrics)
    for route in extra:
        app.router.routes.append(Route(route.path, route.endpoint, methods=["POST"]))
    app.add_middleware(Guard, settings=settings, read_only=[route.path for route in extra if route.read_only])
    if settings.origins:
        # Around the guard, so that those pages can read refusals, too. It permits nothing that the guard refuses.
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.origins,
            allow_methods=("GET", "POST", "DELETE"),
            allow_headers=("Authorization", "Content-Type"),
            expose_headers=("ETag", "Retry-After", "X-Imseek-Ignored"),
        )
    return app


class _Metrics:
    def __init__(self, service: Service) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "imseek_requests", "Requests by route and status.", ["route", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "imseek_request_seconds",
            "Time until the answer was sent.",
            ["route"],
            registry=self.registry,
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60),
        )
        self.running = Gauge("imseek_requests_running", "Requests under way.", registry=self.registry)
        collections = Gauge("imseek_collections", "Collections served.", registry=self.registry)
        collections.set(len(service.names))


class _MetricsMiddleware:
    """Middleware that counts and times requests by route.

    The label is the route, not the path, so that ids and collection names do not become labels.
    """

    def __init__(self, app: ASGIApp, metrics: _Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = "500"
        start = perf_counter()

        async def send_and_count(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
            await send(message)

        with self._metrics.running.track_inprogress():
            try:
                await self._app(scope, receive, send_and_count)
            except asyncio.CancelledError:  # It timed out, or the client disconnected.
                status = "cancelled"
                raise
            finally:
                route = getattr(scope.get("route"), "path", "none")
                self._metrics.requests.labels(route, status).inc()
                self._metrics.seconds.labels(route).observe(perf_counter() - start)
