"""Host and origin checks, for HTTP and for WebSocket handshakes.

Loopback is no security boundary: any page in the user's browser can send requests there. So the requested host name
must be one of ours (against DNS rebinding), and pages of other sites are refused (against cross-site requests).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from starlette.datastructures import Headers

_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
#: Addresses to bind to, which are not host names of requests.
_WILDCARD_ADDRESSES: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104 - they are told apart, not bound
#: A name or an address and an optional port, without a user or anything after them.
_HOST: Final = re.compile(r"(?:\[([0-9a-f:.]+)\]|([^\s:@\[\]/]+))(?::\d{1,5})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Origins:
    """The host names and sites from which requests are accepted.

    ``host`` is where the server listens. ``hosts`` are further names of it, beside those of loopback. ``origins`` are
    the sites, beside the server itself, whose pages may send requests.
    """

    host: str = "127.0.0.1"
    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()

    def refusal(self, headers: Headers) -> tuple[int, str] | None:
        """Return the status and message of a refusal, or None if the request is allowed."""
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self._is_known(_name_of(hosts[0])):
            return 421, "this server is not known under that name"
        origins = headers.getlist("origin")
        foreign = any(not self._is_ours(origin, hosts[0]) for origin in origins)
        if foreign or (not origins and _is_embedded(headers)):
            return 403, "pages of other sites may not ask this server"
        return None

    def _is_known(self, name: str | None) -> bool:
        hosts = {host.lower() for host in (self.host, *self.hosts)}
        return name in _LOOPBACK or name in hosts - _WILDCARD_ADDRESSES

    def _is_ours(self, origin: str, host: str) -> bool:
        scheme, _, site = origin.partition("://")
        own = scheme.lower() in ("http", "https") and site.lower() == host.lower()
        return own or origin in self.origins


def _name_of(host: str) -> str | None:
    """Return a ``Host`` header without its port, or None if it is malformed."""
    match = _HOST.fullmatch(host.lower())
    return None if match is None else match[1] or match[2]


def _is_embedded(headers: Headers) -> bool:
    """Return whether a page of another site loads this as a subresource, for which browsers send no ``Origin``.

    Following a link does not count.
    """
    site = headers.get("sec-fetch-site", "none")
    followed = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
    return site in ("cross-site", "same-site") and not followed
