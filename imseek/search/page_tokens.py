"""Page tokens: opaque strings that continue an answer on its next page.

A token holds the generation, a digest of the query, the offset, and the depth of the first search
(:mod:`imseek.search.retrieve`). It is safe in URLs. A checksum distinguishes a damaged token from one of another
query. Nothing in a token is secret, and nothing in it is trusted except the position it points to.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np

from imseek.errors import QueryError

_VERSION: Final = 1
_DIGEST: Final = 12
_HEAD: Final = struct.Struct(f">BBQI{_DIGEST}s")
_GENERATION: Final = struct.Struct(">Q")
_SUM: Final = struct.Struct(">I")

#: Fields of a query that may differ between pages of one answer.
_IGNORED_FIELDS: Final = frozenset({"page", "limit"})


@dataclass(frozen=True, slots=True)
class Page:
    """A position in an answer: after ``offset`` hits (groups, if hits are grouped).

    ``generations`` are those of the collections searched, in their order; ``depth`` is how many ranks the first
    search covered; ``digest`` is :func:`digest` of the query.
    """

    generations: tuple[int, ...]
    offset: int
    depth: int
    digest: bytes

    def token(self) -> str:
        """Encode the position as a token of letters, digits, ``-`` and ``_``.

        It has at most 60 characters for one collection.
        """
        head = _HEAD.pack(_VERSION, len(self.generations), self.offset, self.depth, self.digest)
        body = head + b"".join(map(_GENERATION.pack, self.generations))
        return base64.urlsafe_b64encode(body + _SUM.pack(zlib.crc32(body))).decode("ascii").rstrip("=")

    @classmethod
    def read(cls, token: str, expected: bytes, collections: int = 1) -> Page:
        """Decode a token.

        Raises QueryError if it is not a token, is damaged, or belongs to a query whose digest is not ``expected`` or
        to another number of collections.
        """
        page = _unpack(token)
        if page.digest != expected or len(page.generations) != collections:
            raise QueryError(
                "the page token belongs to another query",
                hint="repeat the terms and options that gave the token; only the limit may differ",
            )
        return page


def _unpack(token: str) -> Page:
    damaged = QueryError("the page token is damaged", hint="copy the whole token, or start again from the first page")
    try:
        data = base64.b64decode(token.encode("ascii") + b"=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (AttributeError, UnicodeEncodeError, binascii.Error):
        raise damaged from None
    body, check = data[: -_SUM.size], data[-_SUM.size :]
    if len(body) < _HEAD.size + _GENERATION.size or check != _SUM.pack(zlib.crc32(body)):
        raise damaged
    version, count, offset, depth, digest = _HEAD.unpack_from(body)
    if version != _VERSION:
        raise QueryError("the page token comes from another version of imseek", hint="start again from the first page")
    if len(body) != _HEAD.size + count * _GENERATION.size or not count or not depth:
        raise damaged
    generations = tuple(one for (one,) in _GENERATION.iter_unpack(body[_HEAD.size :]))
    page = Page(generations, offset, depth, digest)
    if page.token() != token:  # base64 has several encodings of some bytes
        raise damaged
    return page


def digest(query: Any, collections: Sequence[str]) -> bytes:
    """Return a 12-byte digest of a query (a dataclass) to the collections with these UUIDs.

    The fields ``page`` and ``limit`` are ignored. A picture file is represented by its path, size and modification
    time.
    """
    seen = hashlib.sha256()
    for uuid in collections:
        _update(seen, uuid)
    kind: Any = type(query)
    for name, default in _fields_of(kind):
        value = getattr(query, name)
        # Most fields have their default, and skipping those is faster than hashing them.
        if type(value) is not type(default) or value != default:
            _update(seen, name)
            _update(seen, value)
    return seen.digest()[:_DIGEST]


@lru_cache
def _fields_of(query: type) -> tuple[tuple[str, Any], ...]:
    """Return the names of the fields that tell queries apart, and their defaults."""
    return tuple((field.name, field.default) for field in fields(query) if field.name not in _IGNORED_FIELDS)


def _update(seen: Any, value: Any) -> None:
    """Feed a value with its type and length, so that different values never hash the same input."""
    if isinstance(value, tuple | list):
        seen.update(f"<{len(value)}>".encode())
        for member in value:
            _update(seen, member)
    elif is_dataclass(value):
        _update(seen, [getattr(value, field.name) for field in fields(value)])
    elif isinstance(value, np.ndarray):
        _update(seen, (str(value.dtype), value.shape, value.tobytes()))
    elif isinstance(value, Path):
        _update(seen, (str(value.absolute()), *_file_version(value)))
    else:
        if isinstance(value, np.generic):
            value = value.item()
        data = value if isinstance(value, bytes) else repr(value).encode("utf-8", "backslashreplace")
        seen.update(f"{type(value).__name__} {len(data)} ".encode() + data)


def _file_version(path: Path) -> tuple[int, ...]:
    try:
        facts = path.stat()
    except (OSError, ValueError):
        return ()
    return facts.st_size, facts.st_mtime_ns
