"""Page tokens: where an answer goes on.

A token says of which generation the answer is, of which query, how many hits lie behind, and how deep its first search
went (:mod:`imseek.search.stable_order`). It is opaque text that is safe in URLs. A check sum tells a damaged one from
one that belongs to another query; neither is a secret, and nothing in a token is trusted beyond the place it points
at.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from imseek.errors import QueryError

_VERSION: Final = 1
_DIGEST: Final = 12
_HEAD: Final = struct.Struct(f">BBQI{_DIGEST}s")
_GENERATION: Final = struct.Struct(">Q")
_SUM: Final = struct.Struct(">I")

#: Fields of a query that another page of its answer may have otherwise.
_FREE: Final = frozenset({"page", "limit"})


@dataclass(frozen=True, slots=True)
class Page:
    """Where an answer goes on: after ``offset`` hits (groups, where hits are grouped).

    ``generations`` are those of the collections that were asked, in their order; ``depth`` is how many places of the
    ranking the first search covered; ``digest`` is :func:`digest` of the query.
    """

    generations: tuple[int, ...]
    offset: int
    depth: int
    digest: bytes

    def token(self) -> str:
        """At most 60 characters for one collection: letters, digits, ``-`` and ``_``."""
        head = _HEAD.pack(_VERSION, len(self.generations), self.offset, self.depth, self.digest)
        body = head + b"".join(map(_GENERATION.pack, self.generations))
        return base64.urlsafe_b64encode(body + _SUM.pack(zlib.crc32(body))).decode("ascii").rstrip("=")

    @classmethod
    def read(cls, token: str, expected: bytes, collections: int = 1) -> Page:
        """The page that a token stands for.

        Raises QueryError for what is no token, is damaged, or belongs to a query other than that of the digest
        ``expected`` or to another number of collections.
        """
        page = _unpacked(token)
        if page.digest != expected or len(page.generations) != collections:
            raise QueryError(
                "the page token belongs to another query",
                hint="ask with the terms and options that gave the token; only the limit may be another one",
            )
        return page


def _unpacked(token: str) -> Page:
    damaged = QueryError(
        "the page token is damaged", hint="copy the whole token, or ask for the first page again"
    )
    try:
        data = base64.b64decode(
            token.encode("ascii") + b"=" * (-len(token) % 4), altchars=b"-_", validate=True
        )
    except (AttributeError, UnicodeEncodeError, binascii.Error):
        raise damaged from None
    body, check = data[: -_SUM.size], data[-_SUM.size :]
    if len(body) < _HEAD.size + _GENERATION.size or check != _SUM.pack(zlib.crc32(body)):
        raise damaged
    version, count, offset, depth, digest = _HEAD.unpack_from(body)
    if version != _VERSION:
        raise QueryError(
            "the page token is of another version of imseek", hint="ask for the first page again"
        )
    if len(body) != _HEAD.size + count * _GENERATION.size or not count or not depth:
        raise damaged
    generations = tuple(one for (one,) in _GENERATION.iter_unpack(body[_HEAD.size :]))
    page = Page(generations, offset, depth, digest)
    if page.token() != token:  # base64 has several spellings of some bytes
        raise damaged
    return page


def digest(query: Any, collections: Sequence[str]) -> bytes:
    """12 bytes that stand for what a query (a dataclass) asks of the collections with these UUIDs.

    Its fields ``page`` and ``limit`` do not count. A picture's file counts by its path, size and time of change.
    """
    seen = hashlib.sha256()
    for uuid in collections:
        _update(seen, uuid)
    for field in fields(query):
        value = getattr(query, field.name)
        # Most are what they are by default, and telling so takes less time than hashing them.
        unsaid = type(value) is type(field.default) and value == field.default
        if field.name not in _FREE and not unsaid:
            _update(seen, field.name)
            _update(seen, value)
    return seen.digest()[:_DIGEST]


def _update(seen: Any, value: Any) -> None:
    """Feed a value with its type and length, so that no two different ones look alike."""
    if isinstance(value, tuple | list):
        seen.update(f"<{len(value)}>".encode())
        for member in value:
            _update(seen, member)
    elif is_dataclass(value):
        _update(seen, [getattr(value, field.name) for field in fields(value)])
    elif isinstance(value, np.ndarray):
        _update(seen, (str(value.dtype), value.shape, value.tobytes()))
    elif isinstance(value, Path):
        _update(seen, (str(value.absolute()), *_changed(value)))
    else:
        if isinstance(value, np.generic):
            value = value.item()
        data = value if isinstance(value, bytes) else repr(value).encode("utf-8", "backslashreplace")
        seen.update(f"{type(value).__name__} {len(data)} ".encode() + data)


def _changed(path: Path) -> tuple[int, ...]:
    try:
        facts = path.stat()
    except (OSError, ValueError):
        return ()
    return facts.st_size, facts.st_mtime_ns
