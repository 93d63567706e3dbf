"""Long tasks in threads of this process, which pages poll on every run and never wait for.

A task continues when its page is closed or reloaded, and other tabs see it too. Work that must outlive this process is
a job (:mod:`imseek.jobs`).
"""

from __future__ import annotations

import logging
import threading
import time
import weakref
from collections.abc import Callable, Hashable
from typing import Any, Final, Generic, TypeVar

from imseek.errors import ImseekError
from imseek.progress import Progress

T = TypeVar("T")
_log = logging.getLogger("imseek.ui")
#: Message of an unexpected failure.
UNEXPECTED: Final = "something went wrong. The terminal of `imseek ui` says more."


class Cancelled(BaseException):
    """Ends a task of the pages that was asked to stop.

    It is no :class:`imseek.progress.Cancelled` but a BaseException: pages raise it between calls of imseek, where no
    ``except Exception`` may take it for a failure.
    """


class BackgroundTask(Generic[T]):
    """A task that starts at once in a thread of its own.

    ``work`` receives the task, to report progress (:meth:`tell`, :meth:`say`) and to see whether it should stop
    (:attr:`stop_event`). Afterwards the task is ``stopped``, failed (``error`` is set), or done (:meth:`result`).
    ``name`` says what it does, for people.
    """

    def __init__(self, name: str, work: Callable[[BackgroundTask[T]], T]) -> None:
        self.name = name
        self.began = time.monotonic()
        self.stop_event = threading.Event()
        #: The latest progress.
        self.progress: Progress | None = None
        #: The current step and its progress from 0 to 1, None if unknown.
        self.message = ""
        self.share: float | None = None
        self.stopped = False
        self.error: ImseekError | None = None
        self._work = work
        self._ended = threading.Event()
        self._results: list[T] = []
        with _lock:
            _all.add(self)
        threading.Thread(target=self._run, name=f"imseek {name}", daemon=True).start()

    @property
    def running(self) -> bool:
        return not self._ended.is_set()

    @property
    def stopping(self) -> bool:
        return self.stop_event.is_set()

    def stop(self) -> None:
        """Ask the task to stop early."""
        self.stop_event.set()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for at most ``seconds``, and return whether the task has ended, so that short tasks show results at
        once."""
        return self._ended.wait(seconds)

    def result(self) -> T:
        """Return the result. Raises its :attr:`error`, or Cancelled."""
        if self.error is not None:
            raise self.error
        if self.stopped:
            raise Cancelled
        return self._results[0]

    def tell(self, progress: Progress) -> None:
        """Record progress; passed to functions of imseek as their progress callback."""
        self.progress = progress

    def say(self, step: str, share: float | None = None) -> None:
        """Record the current step, for work that cannot be stopped within it. Raises Cancelled if the task was asked to
        stop."""
        self.message, self.share = step, share
        if self.stopping:
            raise Cancelled

    def _run(self) -> None:
        try:
            self._results.append(self._work(self))
        except (Cancelled, InterruptedError):
            self.stopped = True
        except ImseekError as error:  # The page shows it.
            self.error = error
        except Exception as error:
            _log.error("%s failed", self.name, exc_info=error)
            self.error = ImseekError(UNEXPECTED)
        finally:
            self._ended.set()


# Kept by process, not by session: a reloaded page finds its tasks.
_tasks: dict[tuple[str, Hashable], BackgroundTask[Any]] = {}
#: Also those that pages hold themselves.
_all: weakref.WeakSet[BackgroundTask[Any]] = weakref.WeakSet()
_lock = threading.RLock()


def start(kind: str, about: Hashable, work: Callable[[BackgroundTask[T]], T], name: str = "") -> BackgroundTask[T]:
    """Start a task, or return the running one of the same kind and subject. An ended one is replaced."""
    with _lock:
        before = _tasks.get((kind, about))
        if before is not None and before.running:
            return before
        task = _tasks[kind, about] = BackgroundTask(name or kind, work)
        return task


def find(kind: str, about: Hashable) -> BackgroundTask[Any] | None:
    """Return the running or ended task of that kind and subject."""
    return _tasks.get((kind, about))


def tasks() -> tuple[BackgroundTask[Any], ...]:
    """Return the tasks of this process that run, or whose outcome is still of use to a page, oldest first."""
    with _lock:
        return tuple(sorted(_all, key=lambda one: one.began))


def of_kind(kind: str) -> dict[Any, BackgroundTask[Any]]:
    """Return tasks by subject, oldest first."""
    return {about: task for (a_kind, about), task in list(_tasks.items()) if a_kind == kind}


def forget(task: BackgroundTask[Any]) -> None:
    """Remove a task once it has ended."""
    with _lock:
        for key, one in list(_tasks.items()):
            if one is task and not task.running:
                del _tasks[key]
