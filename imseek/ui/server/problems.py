"""Errors as ``application/problem+json`` (RFC 9457), without any path of this machine."""

from __future__ import annotations

import json
import logging
import secrets
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import Response

from imseek.errors import (
    CollectionNotFoundError,
    ContentChangedError,
    CorruptCollectionError,
    EncoderError,
    EncoderMismatchError,
    ExpiredPageError,
    FormatVersionError,
    ImageNotFoundError,
    ImseekError,
    JobNotFoundError,
    LockedError,
    MediaError,
    MissingExtraError,
    QueryError,
    StorageError,
    UnknownEncoderError,
    UntrustedCollectionError,
    UsageError,
)
from imseek.maintenance import diagnose
from imseek.ui.server.service import NotServedError

MEDIA_TYPE: Final = "application/problem+json"
_log = logging.getLogger("imseek.http")

#: Errors of the request, whose messages may be sent. The first matching class decides, after `_HERE`.
_CLIENT_ERRORS: Final[tuple[tuple[type[ImseekError], int], ...]] = (
    (ExpiredPageError, 410),
    (ImageNotFoundError, 404),
    (QueryError, 422),
    (ContentChangedError, 409),
    (MediaError, 422),
    (UsageError, 422),
)
#: Errors of this server, without their messages, which may hold paths.
_SERVER_ERRORS: Final[tuple[tuple[type[ImseekError], int, str], ...]] = (
    (CollectionNotFoundError, 404, "the collection has gone from its place"),
    (JobNotFoundError, 404, "no such run in this collection"),
    (LockedError, 409, "another writer is at work on this collection"),
    (EncoderMismatchError, 503, "the encoder of this collection is not available in the same form"),
    (UnknownEncoderError, 503, "this imseek does not know the encoder of this collection"),
    (
        EncoderError,
        503,
        "the encoder of this collection cannot be loaded here; the log of the server says why",
    ),
    (CorruptCollectionError, 503, "the collection is damaged; the log of the server says how"),
    (FormatVersionError, 503, "a newer imseek made this collection"),
    (
        UntrustedCollectionError,
        403,
        "the collection was not made here and is not trusted; the log of the server says what it asked for",
    ),
    (StorageError, 503, "the collection cannot be read here; the log of the server says why"),
    (MissingExtraError, 501, "this server lacks an optional part that the request needs"),
)


class Problem(BaseModel):
    """``title`` names the kind, ``detail`` says what is wrong, ``hint`` what can be done; ``reference`` finds an error
    of the server's own in its log."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    hint: str | None = None
    reference: str | None = None
    errors: list[dict[str, Any]] | None = None


def problem(status: int, detail: str, *, title: str | None = None, **more: Any) -> Response:
    body = {
        "type": "about:blank",
        "title": title or HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
    }
    body.update({name: value for name, value in more.items() if value is not None})
    return Response(json.dumps(body), status, media_type=MEDIA_TYPE)


def of_error(error: ImseekError) -> Response:
    if isinstance(error, NotServedError):
        return problem(404, str(error), title=CollectionNotFoundError.__name__, hint=error.hint)
    for here, status, detail in _SERVER_ERRORS:
        if isinstance(error, here) and not isinstance(error, ExpiredPageError):
            _log.warning("%s: %s", type(error).__name__, error)
            return problem(status, detail, title=type(error).__name__)
    for kind, status in _CLIENT_ERRORS:
        if isinstance(error, kind):
            return problem(status, str(error), title=type(error).__name__, hint=error.hint)
    return unexpected(error)


def unexpected(error: Exception) -> Response:
    """Log an unexpected error under a reference, and answer with the reference only."""
    if (damage := diagnose(error)) is not None:
        return of_error(damage)
    reference = secrets.token_hex(6)
    _log.error("error %s", reference, exc_info=error)
    return problem(500, "the server failed; its log tells more", reference=reference)


def install(app: FastAPI) -> None:
    """Register handlers that answer every error of the application with a problem."""

    async def told(_: Request, error: Exception) -> Response:
        assert isinstance(error, ImseekError)
        return of_error(error)

    async def refused(_: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        response = problem(error.status_code, str(error.detail))
        response.headers.update(error.headers or {})
        return response

    async def invalid(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        # The input is not sent back.
        errors = [{"loc": list(one["loc"]), "msg": one["msg"]} for one in error.errors()]
        return problem(422, "the request does not have the form that is asked for", errors=errors)

    async def failed(_: Request, error: Exception) -> Response:
        return unexpected(error)

    app.add_exception_handler(ImseekError, told)
    app.add_exception_handler(HTTPException, refused)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(Exception, failed)


#: The problems that a route can answer with, for the OpenAPI document.
def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {
        status: {"model": Problem, "content": {MEDIA_TYPE: {}}, "description": HTTPStatus(status).phrase}
        for status in (*statuses, 422)
    }
