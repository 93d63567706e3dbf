"""Work that takes long, in a thread of this process: pages look at it as often as they are drawn, and never wait.

It goes on when a page is closed or loaded again, and is seen from other tabs too. What has to outlive this process is a
job (:mod:`imseek.jobs`).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Hashable
from typing import Any, Final, Generic, TypeVar

from imseek.errors import ImseekError
from imseek.types import Progress

T = TypeVar("T")
_log = logging.getLogger("imseek.ui")
#: What pages say of a failure that nobody expected.
UNEXPECTED: Final = "something went wrong. The terminal of `imseek ui` says more."


class Stopped(BaseException):
    """Ends work that was asked to stop; no ``except Exception`` on the way takes it for a failure."""


class Task(Generic[T]):
    """Begun at once: ``work`` is given the task, to tell it how far it is (:meth:`tell`, :meth:`say`) and to hear that
    it should end (:attr:`stop_asked`).

    After its end it is one of ``stopped``, failed (``error`` is there), or done (:meth:`result`).
    """

    def __init__(self, name: str, work: Callable[[Task[T]], T]) -> None:
        self.name = name
        self.began = time.monotonic()
        self.stop_asked = threading.Event()
        #: The latest that it has told.
        self.progress: Progress | None = None
        #: What it does now, and how much of that is done, from 0 to 1; None where that is not known.
        self.said = ""
        self.share: float | None = None
        self.stopped = False
        self.error: ImseekError | None = None
        self._work = work
        self._ended = threading.Event()
        self._found: list[T] = []
        threading.Thread(target=self._run, name=f"imseek {name}", daemon=True).start()

    @property
    def running(self) -> bool:
        return not self._ended.is_set()

    @property
    def stopping(self) -> bool:
        return self.stop_asked.is_set()

    def stop(self) -> None:
        """Ask it to end early."""
        self.stop_asked.set()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait so long at most; whether it has ended. Short work is then shown at once."""
        return self._ended.wait(seconds)

    def result(self) -> T:
        """What it came to. Raises its :attr:`error`, and Stopped."""
        if self.error is not None:
            raise self.error
        if self.stopped:
            raise Stopped
        return self._found[0]

    def tell(self, progress: Progress) -> None:
        """What functions of imseek call with their progress."""
        self.progress = progress

    def say(self, what: str, share: float | None = None) -> None:
        """For steps that cannot be asked to stop by themselves. Raises Stopped where that was asked."""
        self.said, self.share = what, share
        if self.stopping:
            raise Stopped

    def _run(self) -> None:
        try:
            self._found.append(self._work(self))
        except (Stopped, InterruptedError):
            self.stopped = True
        except ImseekError as error:  # Told where somebody looks.
            self.error = error
        except Exception as error:
            _log.error("%s failed", self.name, exc_info=error)
            self.error = ImseekError(UNEXPECTED)
        finally:
            self._ended.set()


# Of this process, not of a session: who loads the page anew sees what is under way.
_tasks: dict[tuple[str, Hashable], Task[Any]] = {}
_lock = threading.Lock()


def start(kind: str, about: Hashable, work: Callable[[Task[T]], T], name: str = "") -> Task[T]:
    """Begin it, or return what is under way of that kind and about the same. What had ended is forgotten."""
    with _lock:
        before = _tasks.get((kind, about))
        if before is not None and before.running:
            return before
        task = _tasks[kind, about] = Task(name or kind, work)
        return task


def find(kind: str, about: Hashable) -> Task[Any] | None:
    """What is under way or has ended under that name."""
    return _tasks.get((kind, about))


def of_kind(kind: str) -> dict[Any, Task[Any]]:
    """By what they are about, the oldest first."""
    return {about: task for (a_kind, about), task in list(_tasks.items()) if a_kind == kind}


def forget(task: Task[Any]) -> None:
    """What has ended is not found any more."""
    with _lock:
        for key, one in list(_tasks.items()):
            if one is task and not task.running:
                del _tasks[key]
