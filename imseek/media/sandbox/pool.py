"""A pool of workers for the threads that decode: as many workers as threads decode at once."""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from imseek.errors import MediaError
from imseek.media.sandbox.confinement import LANDLOCK, NAMESPACES, SECCOMP
from imseek.media.sandbox.kinds import KINDS, Kind, kind_of
from imseek.media.sandbox.messages import Request
from imseek.media.sandbox.worker import Worker, WorkerError
from imseek.types import ImageFacts, Pixels, SkipReason

__all__ = ["KINDS", "Survey", "WorkerError", "close", "is_confined", "read", "survey"]

#: Seconds after which an idle worker is ended, when another one comes back.
IDLE_SECONDS: Final = 60.0


class Pool:
    """Idle workers and busy ones. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[Worker] = []
        self._busy: set[Worker] = set()
        self._is_shut = False

    def take(self, kind: Kind) -> Worker:
        """A worker of ``kind``: the one used last, or a new one. Raises WorkerError."""
        while (worker := self._idle_one(kind)) is not None:
            if worker.is_running():
                return worker
            self.put_back(worker)
        if self._is_shut:
            raise WorkerError("this process is about to end")
        worker = Worker(kind)
        with self._lock:
            self._busy.add(worker)
        return worker

    def put_back(self, worker: Worker) -> None:
        """Take back a worker, to lend it again if it can be, and end those that nobody has needed for long."""
        worker.rest()
        long_ago = time.monotonic() - IDLE_SECONDS
        with self._lock:
            self._busy.discard(worker)
            self._idle.append(worker)
            spare = [one for one in self._idle if not one.is_running() or one.last_used < long_ago]
            self._idle = [one for one in self._idle if one not in spare]
        for one in spare:
            one.close()

    def close(self) -> None:
        """End all workers. A picture that is being decoded is started anew by the thread that waits for it."""
        with self._lock:
            idle, self._idle = self._idle, []
            for worker in self._busy:
                worker.kill()
        for worker in idle:
            worker.close()

    def shut(self) -> None:
        """End all workers, for ever."""
        self._is_shut = True
        self.close()

    def forget(self) -> None:
        """Start anew in a fork of the process whose workers these are, and leave them alone."""
        self._lock = threading.Lock()  # the old one may be held by a thread that a fork does not have
        for worker in (*self._idle, *self._busy):
            worker.forget()
        self._idle, self._busy = [], set()

    def _idle_one(self, kind: Kind) -> Worker | None:
        with self._lock:
            for worker in reversed(self._idle):
                if worker.kind == kind:
                    self._idle.remove(worker)
                    self._busy.add(worker)
                    return worker
        return None


_pool: Final = Pool()
atexit.register(_pool.shut)
os.register_at_fork(after_in_child=_pool.forget)


def read(
    data: bytes, name: str, *, min_side: int | None, max_pixels: int, measured: bool = True
) -> tuple[Pixels, ImageFacts]:
    """Pixels and facts of ``data``, a picture of format ``name``, decoded in a confined process.

    As :func:`imseek.media.pillow.read`; raises MediaError, whatever the picture does to its decoder.
    """
    request = Request(name, min_side, max_pixels, measured)
    trouble: Exception | None = None
    for _ in range(2):  # a worker may have been ended from outside, or by another thread that closes all
        try:
            return _read_once(request, data)
        except WorkerError as error:
            trouble = error
    message = f"{name} images are decoded by a process of their own, which does not run: {trouble}"
    raise MediaError(SkipReason.UNREADABLE, message) from trouble


@dataclass(frozen=True, slots=True)
class Survey:
    """The mechanisms that confine workers of a kind here, and the formats that they cannot read, with the reasons."""

    layers: tuple[str, ...]
    refusals: Mapping[str, str]


def is_confined(layers: Collection[str]) -> bool:
    """Whether one of these mechanisms keeps a codec from files and networks."""
    return SECCOMP in layers or {LANDLOCK, NAMESPACES} <= set(layers)


def survey(kind: Kind) -> Survey:
    """Look at a worker of ``kind``. Raises WorkerError where none starts."""
    worker = _pool.take(kind)
    _pool.put_back(worker)
    return Survey(worker.layers, worker.refusals)


def close() -> None:
    """End all workers of this process; the next picture starts new ones."""
    _pool.close()


def _read_once(request: Request, data: bytes) -> tuple[Pixels, ImageFacts]:
    worker = _pool.take(kind_of(request.name))
    try:
        return worker.read(request, data)
    except (MediaError, WorkerError):
        raise
    except BaseException:  # an interrupt leaves half an answer behind
        worker.kill()
        raise
    finally:
        _pool.put_back(worker)
