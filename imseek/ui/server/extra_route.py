"""A route that another interface adds to the service, behind its guard."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TypeAlias

from starlette.types import ASGIApp

from imseek.ui.server.pictures import ThumbnailCache
from imseek.ui.server.service import Service


@dataclass(frozen=True, slots=True)
class ExtraRoute:
    """An application at ``path`` that answers POST requests while the context of ``lifespan`` is open.

    A request that cannot change anything (``read_only``) needs no token on loopback.
    """

    path: str
    endpoint: ASGIApp
    lifespan: Callable[[], AbstractAsyncContextManager[None]]
    read_only: bool


#: Makes a route over the collections of the service.
MakeRoute: TypeAlias = Callable[[Service, ThumbnailCache], ExtraRoute]
