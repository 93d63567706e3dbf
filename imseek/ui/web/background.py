"""Work in threads of this process that pages start and look at: it goes on when a page is closed or loaded again.

For what is no run of a writer, which :mod:`imseek.jobs` has processes for: making a collection, checking one.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from imseek.errors import ImseekError

_log = logging.getLogger("imseek.ui")


class Stopped(BaseException):
    """Raised in work that was asked to stop; no ``except Exception`` on the way takes it for a failure."""


class Work:
    """One piece of work. ``kind`` and ``about`` name it: no two of the same name are under way.

    ``said`` is what it does now, ``share`` how much of that is done (0 … 1, None: unknown). Once it has ended, one of
    ``result``, ``error`` and ``stopped`` says how.
    """

    def __init__(self, kind: str, about: str) -> None:
        self.kind, self.about = kind, about
        self.started = time.monotonic()
        self.said = ""
        self.share: float | None = None
        self.result: object = None
        self.error: Exception | None = None
        self.stopped = False
        self._asked = threading.Event()
        self._ended = threading.Event()

    @property
    def running(self) -> bool:
        return not self._ended.is_set()

    def tell(self, said: str, share: float | None = None) -> None:
        """Called by the work itself. Raises Stopped once :meth:`stop` was called."""
        self.said, self.share = said, share
        if self._asked.is_set():
            raise Stopped

    def stop(self) -> None:
        """It ends the next time that it tells something."""
        self._asked.set()

    def wait(self, timeout: float | None = None) -> bool:
        """Whether it has ended."""
        return self._ended.wait(timeout)

    def _run(self, what: Callable[[Work], object]) -> None:
        try:
            self.result = what(self)
        except Stopped:
            self.stopped = True
        except ImseekError as error:
            self.error = error
        except Exception as error:
            _log.error("%s %s failed", self.kind, self.about, exc_info=error)
            self.error = error
        finally:
            self._ended.set()


_all: dict[tuple[str, str], Work] = {}
_lock = threading.Lock()


def start(kind: str, about: str, what: Callable[[Work], object]) -> Work:
    """Begin it, or return what of that name is under way already. What had ended under that name is forgotten."""
    with _lock:
        before = _all.get((kind, about))
        if before is not None and before.running:
            return before
        work = _all[kind, about] = Work(kind, about)
    threading.Thread(target=work._run, args=(what,), name=f"imseek {kind}", daemon=True).start()
    return work


def find(kind: str, about: str) -> Work | None:
    """What is under way or has ended under that name."""
    return _all.get((kind, about))


def of_kind(kind: str) -> tuple[Work, ...]:
    """The oldest first."""
    return tuple(work for (a_kind, _), work in list(_all.items()) if a_kind == kind)


def forget(work: Work) -> None:
    """What has ended is not found any more."""
    with _lock:
        if _all.get((work.kind, work.about)) is work and not work.running:
            del _all[work.kind, work.about]
