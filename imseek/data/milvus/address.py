"""Addresses of published collections: ``milvus:///folder/photos.db#name``, ``milvus://host:19530/database/name``."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote, urlsplit

from imseek.errors import UsageError
from imseek.tilde_expansion import expand_user

#: Environment variable with a cluster's token: ``user:password``, or an API key. Never part of an address.
TOKEN_VARIABLE: Final = "IMSEEK_MILVUS_TOKEN"  # noqa: S105 - the name of a variable
#: Name of a publication where the address has none.
DEFAULT_NAME: Final = "imseek"
DEFAULT_PORT: Final = 19530

SCHEMES: Final = ("milvus://", "milvus+https://")
#: Endings of a Milvus Lite path.
_LITE: Final = (".db", ".milvus")
#: Names that Milvus accepts, up to 255 characters, some of which we append.
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,199}")
_EXAMPLES: Final = "milvus:///folder/photos.db#name, or milvus://host:19530/database/name"


@dataclass(frozen=True, slots=True)
class Address:
    """Address of a publication, called ``name``, in Milvus Lite (``path``) or in a cluster.

    For a cluster ``path`` is None, and ``host``, ``port``, ``database`` and ``secure`` (TLS) apply.
    """

    name: str
    path: Path | None = None
    host: str = ""
    port: int = DEFAULT_PORT
    database: str = "default"
    secure: bool = False

    def __str__(self) -> str:
        if self.path is not None:
            return f"milvus://{quote(os.fspath(self.path))}#{self.name}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{SCHEMES[self.secure]}{host}:{self.port}/{self.database}/{self.name}"

    @property
    def uri(self) -> str:
        """URI of a cluster in pymilvus' form."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.secure else 'http'}://{host}:{self.port}"


def is_address(text: object) -> bool:
    return isinstance(text, str) and text.lower().startswith(SCHEMES)


def parse(text: str) -> Address:
    """Parse an address; also accepts ``photos.db``, ``http://host:19530`` and ``https://…``. Raises UsageError."""
    lowered = text.lower()
    if not lowered.startswith((*SCHEMES, "http://", "https://")):
        path, _, name = text.partition("#")
        if "://" in text or not path.endswith(_LITE):
            raise _address_error(text)
        return _lite(path, name, text)
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise _address_error(text) from None
    if "@" in parts.netloc or parts.query:
        raise UsageError(
            f"{_without_secrets(text)!r}: an address must not contain a user or a token",
            hint=f"the token is read from {TOKEN_VARIABLE}",
        )
    if not parts.netloc:
        if parts.scheme != "milvus" or not parts.path.startswith("/"):
            raise _address_error(text)
        return _lite(unquote(parts.path), unquote(parts.fragment), text)
    pieces = [unquote(piece) for piece in parts.path.split("/") if piece]
    if parts.fragment or len(pieces) > 2 or not parts.hostname:
        raise _address_error(text)
    database, name = ["default", DEFAULT_NAME] if not pieces else ["default", *pieces][-2:]
    for piece in (database, name):
        _check(piece, text)
    secure = parts.scheme in ("https", "milvus+https")
    return Address(name, None, parts.hostname, port or (443 if secure else DEFAULT_PORT), database, secure)


def _lite(path: str, name: str, text: str) -> Address:
    if "\0" in path or not path.strip("/"):
        raise _address_error(text)
    _check(name or DEFAULT_NAME, text)
    return Address(name or DEFAULT_NAME, Path(os.path.abspath(expand_user(path))))


def _check(name: str, text: str) -> None:
    if not _NAME.fullmatch(name):
        raise UsageError(f"{_without_secrets(text)!r}: {name!r} is not a Milvus name", hint="letters, digits and _")


def _address_error(text: str) -> UsageError:
    return UsageError(f"{_without_secrets(text)!r} is not a Milvus address", hint=_EXAMPLES)


def _without_secrets(text: str) -> str:
    """Remove user, password and parameters from an address for display."""
    scheme, mark, rest = text.partition("://")
    if not mark:
        return text
    return scheme + mark + rest.partition("?")[0].rpartition("@")[2]
