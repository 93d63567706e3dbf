"""Download over http and https, refusing addresses that an untrusted URL must not reach.

ssrfguard resolves a name once, checks all its addresses, and connects to a checked address rather than to the name, so
that a second look-up cannot lead elsewhere. It does so for each connection, hence after redirects too. The rest is
here: the overall deadline, the size limit, retries, and redirects (httpx would read their bodies whole).

All downloads run on one event loop in the fetcher's own thread, because only there everything can be cancelled at any
moment: a server that sends a byte of its headers now and then defeats every timeout of a blocking client.
"""

from __future__ import annotations

import asyncio
import email.utils
import random
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Callable, Coroutine, Iterable, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, Final, TypeAlias

from imseek.errors import MediaError, MissingExtraError, UsageError
from imseek.media.fetcher import DEFAULT_FETCH_LIMITS, USER_AGENT, FetchLimits, FetchResult
from imseek.types.pictures import SkipReason

try:
    import httpx
    from ssrfguard import (
        BlockedURLError,
        Policy,
        ProxyUnsupportedError,
        SSRFGuardError,
    )
    from ssrfguard.httpx import AsyncClient
except ImportError as error:
    raise MissingExtraError("ssrfguard", "url") from error

#: A replacement for ``socket.getaddrinfo``.
Resolver: TypeAlias = Callable[..., Iterable[tuple[int, int, int, str, tuple[Any, ...]]]]

ALL_NETWORKS: Final = ("0.0.0.0/0", "::/0")
# Ports below 1024 other than these serve mail, shells and the like, never pictures.
_PORTS: Final = frozenset({80, 443, *range(1024, 65536)})
_MAX_PAUSE: Final = 30.0  # seconds, unless the server asks for more
_MAX_HOSTS: Final = 1000
_MAX_REASON: Final = 120  # characters
#: Errors of ``getaddrinfo`` for a name that does not exist; other failures may pass.
_NO_SUCH_NAME: Final = frozenset({socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)})


class _RetryableError(Exception):
    """An attempt failed in a way that may pass; ``after`` is the Retry-After in seconds, 0 without one."""

    def __init__(self, reason: SkipReason, message: str, after: float = 0.0) -> None:
        super().__init__(message)
        self.reason = reason
        self.after = after


@dataclass(slots=True)
class _Host:
    """State of one host: slots for running downloads, and until when (``loop.time()``) it asked for a pause."""

    places: asyncio.Semaphore
    users: int = 0
    quiet_until: float = field(default=float("-inf"))


class HttpFetcher:
    """A :class:`imseek.media.fetcher.Fetcher` for http and https.

    Refuses private, loopback, link-local, multicast and reserved addresses, in every spelling, unless they lie in one
    of ``allow_networks`` (such as ``192.168.1.20/32``, a photo server at home) or ``allow_private`` is set. Always
    refuses user names and passwords in URLs. ``resolver`` replaces ``socket.getaddrinfo``; its results are checked all
    the same.

    Raises MissingExtraError, and UsageError where the environment names a proxy: a proxy would look up names itself, so
    it is used with ``allow_private`` only.
    """

    def __init__(
        self,
        limits: FetchLimits = DEFAULT_FETCH_LIMITS,
        *,
        allow_private: bool = False,
        allow_networks: Sequence[str] = (),
        user_agent: str = USER_AGENT,
        resolver: Resolver | None = None,
    ) -> None:
        self._limits = limits
        try:
            self._policy = Policy(
                allowed_ports=_PORTS,
                allowed_networks=ALL_NETWORKS if allow_private else tuple(allow_networks),  # type: ignore[arg-type]
                allow_proxy=allow_private,
            )
            self._client = AsyncClient(
                policy=self._policy,
                resolver=resolver,
                headers={
                    "User-Agent": user_agent,
                    "Accept": "image/*, */*;q=0.5",
                    "Accept-Encoding": "identity",  # pictures are compressed already
                },
                cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),  # keeps none
                timeout=httpx.Timeout(limits.stall, connect=limits.connect, pool=None),
                limits=httpx.Limits(max_connections=None, max_keepalive_connections=32, keepalive_expiry=10.0),
            )
        except ProxyUnsupportedError as error:
            hint = "unset HTTP_PROXY and HTTPS_PROXY, or allow private addresses as well"
            raise UsageError(f"addresses cannot be checked through the proxy {error.proxy}", hint=hint) from error
        except ValueError as error:
            raise UsageError(f"allow_networks: {error}") from error
        self._hosts: dict[str, _Host] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="imseek-fetch", daemon=True)
        self._lock = threading.Lock()
        self._closed = False

    def fetch(self, url: str) -> FetchResult:
        """Download ``url``: see :meth:`imseek.media.fetcher.Fetcher.fetch`. Spaces in it count as ``%20``."""
        future = self._submit(self._fetch(url.strip().replace(" ", "%20")))
        try:
            return future.result()
        except CancelledError:
            raise RuntimeError("the fetcher is closed") from None
        except BaseException:
            future.cancel()  # the caller was interrupted
            raise

    def close(self) -> None:
        with self._lock:
            if self._closed:
                return
            self._closed = True
        if self._thread.is_alive():
            asyncio.run_coroutine_threadsafe(self._shut_down(), self._loop)
            self._thread.join(timeout=5.0)
        if not self._thread.is_alive():
            self._loop.close()

    def __enter__(self) -> HttpFetcher:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _submit(self, work: Coroutine[Any, Any, FetchResult]) -> Future[FetchResult]:
        with self._lock:
            if self._closed:
                work.close()
                raise RuntimeError("the fetcher is closed")
            if not self._thread.is_alive():
                self._thread.start()
            return asyncio.run_coroutine_threadsafe(work, self._loop)

    async def _shut_down(self) -> None:
        current = asyncio.current_task()
        others = {task for task in asyncio.all_tasks() if task is not current}
        for task in others:
            task.cancel()
        if others:
            await asyncio.wait(others, timeout=2.0)  # a look-up that hangs cannot be stopped
        await self._client.aclose()
        self._loop.stop()

    # -- one URL, on the loop ----------------------------------------------------------------------------

    async def _fetch(self, url: str) -> FetchResult:
        try:
            target = self._policy.check_url(url)
        except BlockedURLError as error:
            raise MediaError(SkipReason.FORBIDDEN_ADDRESS, _shorten(error.reason)) from error
        except ValueError as error:  # undecodable bytes in a host
            raise MediaError(SkipReason.FORBIDDEN_ADDRESS, _error_text(error)) from error
        host = self._host(f"{target.host}:{target.port}")
        host.users += 1
        try:
            async with host.places:
                return await self._within_deadline(url, host)
        finally:
            host.users -= 1

    async def _within_deadline(self, url: str, host: _Host) -> FetchResult:
        """Run all attempts within the overall deadline.

        Not with ``asyncio.timeout``: a task inside a look-up (a thread) ends only when that does, and is left behind.
        """
        deadline = self._loop.time() + self._limits.total
        task = asyncio.create_task(self._attempts(url, host, deadline))
        self._tasks.add(task)  # the loop itself holds tasks weakly
        task.add_done_callback(self._forget)
        try:
            await asyncio.wait({task}, timeout=self._limits.total)
            if task.done():
                return task.result()
            raise MediaError(SkipReason.TIMEOUT, f"not fetched within {self._limits.total:g} s")
        finally:
            task.cancel()

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # retrieved, so that asyncio does not log it

    async def _attempts(self, url: str, host: _Host, deadline: float) -> FetchResult:
        """Try up to ``attempts`` times, pausing in between."""
        for attempt in range(1, self._limits.attempts + 1):
            await self._pause(host.quiet_until - self._loop.time(), deadline, "the host requested a pause")
            try:
                return await self._follow_redirects(url)
            except _RetryableError as failed:
                if failed.after:
                    host.quiet_until = max(host.quiet_until, self._loop.time() + failed.after)
                if attempt == self._limits.attempts:
                    times = f" ({attempt} attempts)" if attempt > 1 else ""
                    raise MediaError(failed.reason, f"{failed}{times}") from failed
                pause = min(_MAX_PAUSE, self._limits.back_off * 2 ** (attempt - 1))
                pause *= random.uniform(0.5, 1.0)  # noqa: S311 - so that many clients do not come back at once
                await self._pause(max(pause, failed.after), deadline, str(failed), failed.reason)
        raise AssertionError("the number of attempts must be at least 1")

    async def _pause(
        self, seconds: float, deadline: float, why: str, reason: SkipReason = SkipReason.FETCH_FAILED
    ) -> None:
        """Sleep, or raise at once where the deadline would come first."""
        if seconds <= 0:
            return
        if self._loop.time() + seconds >= deadline:
            raise MediaError(reason, f"{why}; the next attempt would be in {seconds:.0f} s, after the time limit")
        await asyncio.sleep(seconds)

    async def _follow_redirects(self, url: str) -> FetchResult:
        """Make one attempt, following all redirects. The client checks each request."""
        try:
            request: httpx.Request | None = self._client.build_request("GET", url)
            for _ in range(self._limits.redirects + 1):
                assert request is not None
                response = await self._client.send(request, stream=True, follow_redirects=False)
                try:
                    request = response.next_request
                    if request is None:
                        return await self._take(response)
                finally:
                    await response.aclose()
        except SSRFGuardError as error:
            message = _shorten(getattr(error, "reason", str(error)))
            raise MediaError(SkipReason.FORBIDDEN_ADDRESS, message) from error
        except httpx.TimeoutException as error:
            raise _RetryableError(SkipReason.TIMEOUT, _error_text(error) or "the server does not answer") from error
        except httpx.TransportError as error:
            if _is_final(error):
                raise MediaError(SkipReason.FETCH_FAILED, _error_text(error)) from error
            raise _RetryableError(SkipReason.FETCH_FAILED, _error_text(error)) from error
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, OSError) as error:
            raise MediaError(SkipReason.FETCH_FAILED, _error_text(error)) from error
        raise MediaError(SkipReason.FETCH_FAILED, f"more than {self._limits.redirects} redirects")

    async def _take(self, response: httpx.Response) -> FetchResult:
        """Read a final response. Raises where its status is not a success."""
        status = f"{response.status_code} {response.reason_phrase}".strip()
        if response.status_code == 429 or response.status_code >= 500:
            raise _RetryableError(SkipReason.FETCH_FAILED, status, _retry_after(response.headers.get("Retry-After")))
        if not response.is_success:
            raise MediaError(SkipReason.FETCH_FAILED, status)
        data = await _body(response, self._limits.max_bytes)
        headers = response.headers
        return FetchResult(data, str(response.url), headers.get("ETag"), headers.get("Last-Modified"))

    def _host(self, name: str) -> _Host:
        if len(self._hosts) >= _MAX_HOSTS:
            now = self._loop.time()
            remaining = {n: h for n, h in self._hosts.items() if h.users or h.quiet_until > now}
            self._hosts = remaining
        if name not in self._hosts:
            self._hosts[name] = _Host(asyncio.Semaphore(self._limits.per_host))
        return self._hosts[name]


async def _body(response: httpx.Response, max_bytes: int) -> bytes:
    """Read the decompressed body, bounded by ``max_bytes`` whatever the stated length or the compressed size."""
    length = response.headers.get("Content-Length", "")
    if length.isascii() and length.isdigit() and (len(length) > 15 or int(length) > max_bytes):
        raise _too_large(max_bytes)
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("", "identity", "gzip", "x-gzip", "deflate"):
        raise MediaError(SkipReason.FETCH_FAILED, f"sent as {encoding}, which was not requested")
    # Bounded at each step, unlike httpx's own decoders: 64 kB may become 64 MB.
    decoder = None if encoding in ("", "identity") else zlib.decompressobj(32 + zlib.MAX_WBITS)
    chunks, size = [], 0
    try:
        async for raw in response.aiter_raw():
            chunk = raw if decoder is None else decoder.decompress(raw, max_bytes - size + 1)
            size += len(chunk)
            if size > max_bytes:
                raise _too_large(max_bytes)
            chunks.append(chunk)
    except zlib.error as error:
        raise MediaError(SkipReason.FETCH_FAILED, f"broken {encoding} data: {error}") from error
    if decoder is not None and not decoder.eof:
        raise MediaError(SkipReason.FETCH_FAILED, f"{encoding} data end too early")
    return b"".join(chunks)


def _too_large(max_bytes: int) -> MediaError:
    return MediaError(SkipReason.TOO_MANY_BYTES, f"more than {max_bytes:,} bytes")


def _retry_after(value: str | None) -> float:
    """Return the seconds to wait; 0 where the header is missing, in the past or malformed."""
    if not value:
        return 0.0
    try:
        if value.strip().isdecimal():
            return min(float(value), 1e9)
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, OverflowError):
        return 0.0


def _is_final(error: BaseException) -> bool:
    """Tell whether retrying is pointless: the name does not exist, or the certificate is wrong."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError | httpx.UnsupportedProtocol):
            return True
        if isinstance(cause, socket.gaierror) and cause.errno in _NO_SUCH_NAME:
            return True
        cause = cause.__cause__ or cause.__context__
    return False


def _shorten(reason: str) -> str:
    """Shorten a reason: a refused port comes with the list of all allowed ones."""
    return reason if len(reason) <= _MAX_REASON else f"{reason[:_MAX_REASON]}…"


def _error_text(error: BaseException) -> str:
    return str(error) or type(error).__name__
