"""Downloading pictures from the web: the fetcher protocol and a fake. ``http_fetcher`` has the real one.

Imports no HTTP client.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from imseek._version import __version__
from imseek.errors import MediaError
from imseek.types.pictures import SkipReason

USER_AGENT: Final = f"imseek/{__version__} (+https://github.com/imseek/imseek)"


@dataclass(frozen=True, slots=True)
class FetchLimits:
    """Limits of one download. Times are in seconds.

    ``max_bytes`` bounds the body, both as transferred and after decompression. A picture on the web rarely exceeds 64
    MiB (a JPEG of 200 megapixels does); files on disk have a limit of their own (:class:`imseek.media.Limits`).

    ``total`` bounds a whole call: look-up, redirects, all attempts and the pauses between them, but not the wait for
    one of the ``per_host`` concurrent downloads per host. ``connect`` bounds one connection, ``stall`` the silence of a
    server. ``attempts`` counts the first try; retries follow a lost connection, a 429 or a 5xx, after a randomised
    pause that doubles from ``back_off``, or the server's Retry-After, whichever is longer.
    """

    max_bytes: int = 64 * 2**20
    total: float = 60.0
    connect: float = 10.0
    stall: float = 20.0
    redirects: int = 5
    attempts: int = 3
    back_off: float = 0.5
    per_host: int = 8

    def __post_init__(self) -> None:
        whole = (self.max_bytes, self.attempts, self.per_host)
        times = (self.total, self.connect, self.stall)
        if min(whole) < 1 or min(times) <= 0 or self.redirects < 0 or self.back_off < 0:
            raise ValueError(f"limits of a fetch must be positive: {self}")


DEFAULT_FETCH_LIMITS: Final = FetchLimits()


@dataclass(frozen=True, slots=True)
class FetchResult:
    """The decompressed body of a reply. Content-Type is ignored: only decoding tells what it holds.

    ``url`` is the target of the last redirect. ``etag`` and ``last_modified`` are as the server sent them.
    """

    data: bytes
    url: str
    etag: str | None = None
    last_modified: str | None = None


class Fetcher(Protocol):
    """Downloads the bytes behind a URL. Thread-safe; must be closed."""

    def fetch(self, url: str) -> FetchResult:
        """Download ``url``.

        Raises MediaError with the reason ``forbidden_address`` (a URL or address that must not be accessed),
        ``fetch_failed``, ``timeout`` or ``too_many_bytes``, and RuntimeError after :meth:`close`.
        """
        ...

    def close(self) -> None:
        """Cancel running downloads and release connections and threads. May be called twice."""
        ...


class FakeFetcher:
    """Answers from a mapping of URLs without a network, raising the exceptions in it.

    ``asked`` lists the requested URLs.
    """

    def __init__(self, answers: Mapping[str, bytes | FetchResult | Exception]) -> None:
        self._answers = answers
        self._closed = False
        self.asked: list[str] = []

    def fetch(self, url: str) -> FetchResult:
        if self._closed:
            raise RuntimeError("the fetcher is closed")
        self.asked.append(url)
        answer = self._answers.get(url)
        if answer is None:
            raise MediaError(SkipReason.FETCH_FAILED, "404 Not Found")
        if isinstance(answer, Exception):
            raise answer
        return FetchResult(answer, url) if isinstance(answer, bytes) else answer

    def close(self) -> None:
        self._closed = True
