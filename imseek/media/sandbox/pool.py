"""A pool of workers for decoding threads, with one worker per concurrent decode."""

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
from imseek.types.arrays import Pixels
from imseek.types.pictures import ImageFacts, SkipReason

__all__ = ["KINDS", "Survey", "WorkerError", "close", "is_confined", "read", "survey"]

#: Idle seconds after which a worker is ended, when another one is put back.
IDLE_SECONDS: Final = 60.0


class Pool:
    """Idle and busy workers. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[Worker] = []
        self._busy: set[Worker] = set()
        self._is_shut = False

    def take(self, kind: Kind) -> Worker:
        """Borrow a worker of ``kind``: the most recently used one, or a new one. Raises WorkerError."""
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
        """Return a worker to the pool, and end workers that have been idle for long."""
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
        """End all workers. A thread that waits for a picture decodes it again in a new worker."""
        with self._lock:
            idle, self._idle = self._idle, []
            for worker in self._busy:
                worker.kill()
        for worker in idle:
            worker.close()

    def shut_down(self) -> None:
        """End all workers and start no more."""
        self._is_shut = True
        self.close()

    def forget(self) -> None:
        """Reset the pool after a fork, leaving the parent's workers alone."""
        self._lock = threading.Lock()  # the old lock may be held by a thread that the fork does not have
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
atexit.register(_pool.shut_down)
os.register_at_fork(after_in_child=_pool.forget)


def read(
    data: bytes,
    name: str,
    *,
    min_side: int | None,
    max_pixels: int,
    measured: bool = True,
    preview: bool = False,
) -> tuple[Pixels, ImageFacts]:
    """Return pixels and facts of ``data``, a picture of format ``name``, decoded in a confined process.

    As :func:`imseek.media.pillow.read`; raises MediaError, whatever the picture does to its decoder.
    """
    request = Request(name, min_side, max_pixels, measured, preview)
    trouble: Exception | None = None
    for _ in range(2):  # another thread, or the system, may have ended the worker
        try:
            return _read_once(request, data)
        except WorkerError as error:
            trouble = error
    message = f"{name} images are decoded in a separate process, which does not run: {trouble}"
    raise MediaError(SkipReason.UNREADABLE, message) from trouble


@dataclass(frozen=True, slots=True)
class Survey:
    """The mechanisms that confine workers of a kind here, and the formats that they cannot read, with reasons."""

    layers: tuple[str, ...]
    refusals: Mapping[str, str]


def is_confined(layers: Collection[str]) -> bool:
    """Tell whether these mechanisms suffice to keep a codec from files and networks."""
    return SECCOMP in layers or {LANDLOCK, NAMESPACES} <= set(layers)


def survey(kind: Kind) -> Survey:
    """Inspect a worker of ``kind``. Raises WorkerError where none starts."""
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
    except BaseException:  # an interrupt leaves half an answer unread
        worker.kill()
        raise
    finally:
        _pool.put_back(worker)
