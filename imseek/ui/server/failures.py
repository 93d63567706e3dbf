"""Describe errors to clients of a server, without paths of this machine or internal details."""

from __future__ import annotations

import logging
import secrets
from dataclasses import dataclass
from typing import Final

from imseek.errors import (
    AlbumNotFoundError,
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
    PluginError,
    QueryError,
    StorageError,
    UnknownEncoderError,
    UntrustedCollectionError,
    UsageError,
)
from imseek.maintenance import diagnose
from imseek.ui.server.service import NotServedError

_log = logging.getLogger("imseek.http")

#: Errors of the request, whose messages may be sent. The first matching class decides, after `_SERVER_ERRORS`.
_CLIENT_ERRORS: Final[tuple[tuple[type[ImseekError], int], ...]] = (
    (ExpiredPageError, 410),
    (AlbumNotFoundError, 404),
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
    (PluginError, 503, "a plugin of this server fails; the log of the server says why"),
    (MissingExtraError, 501, "this server lacks an optional part that the request needs"),
)


@dataclass(frozen=True, slots=True)
class Failure:
    """An error as a client may read it.

    ``status`` is that of HTTP, ``title`` the class of the error, None where the error is the server's own; then
    ``reference`` finds it in the log.
    """

    status: int
    detail: str
    title: str | None = None
    hint: str | None = None
    reference: str | None = None


def describe(error: Exception) -> Failure:
    """Describe an error to a client; what the client may not read is logged."""
    title = type(error).__name__
    if isinstance(error, NotServedError):
        return Failure(404, str(error), CollectionNotFoundError.__name__, error.hint)
    for server_kind, status, detail in _SERVER_ERRORS:
        if isinstance(error, server_kind) and not isinstance(error, ExpiredPageError):
            _log.warning("%s: %s", title, error)
            return Failure(status, detail, title)
    for kind, status in _CLIENT_ERRORS:
        if isinstance(error, kind):
            return Failure(status, str(error), title, error.hint)
    if (damage := diagnose(error)) is not None:
        return describe(damage)
    reference = secrets.token_hex(6)
    _log.error("error %s", reference, exc_info=error)
    return Failure(500, "the server failed; its log tells more", reference=reference)
