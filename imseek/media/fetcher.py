"""Pictures from the web: what a fetcher promises, and a fake of one. The real one is in ``http_fetcher``.

Light: no HTTP client is imported here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from imseek._version import __version__
from imseek.errors import MediaError
from imseek.types import SkipReason

USER_AGENT: Final = f"imseek/{__version__} (+https://github.com/imseek/imseek)"


@dataclass(frozen=True, slots=True)
class FetchLimits:
    """How much a URL may cost. Times are seconds.

    ``max_bytes`` bounds the body, as it travels and after decompression. A picture from the web is rarely above
    64 MiB (a JPEG of 200 megapixels is); files on disk have a limit of their own (:class:`imseek.media.Limits`).

    ``total`` bounds a whole call: look-up, redirects, all attempts and the pauses between them, but not the wait
    for a place among the ``per_host`` fetches that one host is asked for at a time. ``connect`` bounds one
    connection, ``stall`` the silence of a server. Of ``attempts``, all but the first follow a lost connection, a
    429 or a 5xx, after a pause that doubles from ``back_off`` with a random part, or that the server asked for
    (Retry-After), whichever is longer.
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
class Fetched:
    """The body of a reply, decompressed. What it holds only decoding tells: Content-Type is not looked at.

    ``url`` is where the last redirect led. ``etag`` and ``last_modified`` are as the server wrote them.
    """

    data: bytes
    url: str
    etag: str | None = None
    last_modified: str | None = None


class Fetcher(Protocol):
    """Gets the bytes behind a URL. Thread-safe; to be closed."""

    def fetch(self, url: str) -> Fetched:
        """Raises MediaError, whose reason is ``forbidden_address`` (a URL or an address that must not be asked),
        ``fetch_failed``, ``timeout`` or ``too_many_bytes``, and RuntimeError after :meth:`close`."""
        ...

    def close(self) -> None:
        """Give up what is under way, and let go of connections and threads. May be called twice."""
        ...


class FakeFetcher:
    """Answers from a mapping of URLs, without a network; an exception in it is raised. ``asked`` lists the calls."""

    def __init__(self, answers: Mapping[str, bytes | Fetched | Exception]) -> None:
        self._answers = answers
        self._closed = False
        self.asked: list[str] = []

    def fetch(self, url: str) -> Fetched:
        if self._closed:
            raise RuntimeError("the fetcher is closed")
        self.asked.append(url)
        answer = self._answers.get(url)
        if answer is None:
            raise MediaError(SkipReason.FETCH_FAILED, "404 Not Found")
        if isinstance(answer, Exception):
            raise answer
        return Fetched(answer, url) if isinstance(answer, bytes) else answer

    def close(self) -> None:
        self._closed = True
