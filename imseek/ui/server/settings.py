"""Settings of a server."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from imseek.errors import UsageError

MEBI = 1 << 20
#: A site as browsers name it in the header ``Origin``.
_ORIGIN: Final = re.compile(r"https?://([a-z0-9.-]*[a-z0-9]|\[[0-9a-f:.]+\])(:\d{1,5})?")


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of a server; ``collections`` are served by name, and the first one is the default.

    ``hosts`` are the names, beside those of loopback, under which it may be asked (the ``Host`` header). ``origins``
    are the sites, beside itself, whose pages may send requests and read the responses (CORS). Requests that change
    state, and all requests to an address other than loopback, must carry ``token``; without a token neither is served.
    ``rate`` is requests per second and client (0: unlimited), ``body`` bytes, ``seconds`` the time limit of a
    request, ``results`` the maximum number of hits, ``pixels`` the largest picture that is decoded for a client.
    With ``later``, collections may be added while it runs, and it may start without any.
    """

    collections: tuple[tuple[str, Path], ...]
    host: str = "127.0.0.1"
    port: int = 1234
    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    token: str | None = None
    rate: int = 100
    body: int = 32 * MEBI
    seconds: float = 60.0
    results: int = 10_000
    pixels: int = 100_000_000
    later: bool = False

    def __post_init__(self) -> None:
        """Check the settings. Raises UsageError."""
        if not self.collections and not self.later:
            raise UsageError("no collection to serve")
        names = [name for name, _ in self.collections]
        if len(set(names)) < len(names):
            raise UsageError("two collections would be served under one name", hint="rename one of them")
        for origin in self.origins:
            if not _ORIGIN.fullmatch(origin):
                raise UsageError(
                    f"{origin!r} is not the address of a web site", hint="--origin https://gallery.example.org"
                )
        if self.token is not None:
            check_token(self.token)
        if not is_loopback(self.host) and not self.token:
            raise UsageError(f"{self.host} can be reached from other machines: that takes a token")

    @property
    def shows_places(self) -> bool:
        """Whether clients may read where images are: those on this machine."""
        return is_loopback(self.host)


def check_token(token: str) -> None:
    """Raise UsageError unless a token is long enough, and can stand in a header and in a URL."""
    if len(token) < 16:
        raise UsageError("a token has 16 characters or more", hint="leave it out: one is made, and printed")
    if not re.fullmatch(r"[\x21-\x7e]+", token):
        raise UsageError("a token must consist of printable ASCII characters, without spaces")


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
