"""Errors as ``application/problem+json`` (RFC 9457), without any path of this machine."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import Response

from imseek.errors import ImseekError
from imseek.ui.server.failures import describe

MEDIA_TYPE: Final = "application/problem+json"


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


def of_error(error: Exception) -> Response:
    """Answer an error with what clients may learn about it (:mod:`imseek.ui.server.failures`)."""
    failure = describe(error)
    return problem(failure.status, failure.detail, title=failure.title, hint=failure.hint, reference=failure.reference)


def install(app: FastAPI) -> None:
    """Register handlers that answer every error of the application with a problem."""

    async def answer_imseek_error(_: Request, error: Exception) -> Response:
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
        return of_error(error)

    app.add_exception_handler(ImseekError, answer_imseek_error)
    app.add_exception_handler(HTTPException, refused)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(Exception, failed)


#: The problems that a route can answer with, for the OpenAPI document.
def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {
        status: {"model": Problem, "content": {MEDIA_TYPE: {}}, "description": HTTPStatus(status).phrase}
        for status in (*statuses, 422)
    }
