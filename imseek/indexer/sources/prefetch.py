"""Read items ahead in a thread, so that consumers wait for neither network nor decompression."""

from __future__ import annotations

import queue
import threading
import time
import weakref
from collections.abc import Iterator
from typing import Any, Final, Generic, TypeVar

from imseek.progress import Cancelled

T = TypeVar("T")

#: Seconds between checks of ``stop``.
_TICK: Final = 0.1
#: Longest wait for memory in seconds. The holder may itself be waiting for the next item.
_PATIENCE: Final = 60.0


class ReadAhead(Generic[T]):
    """An iterator that a thread reads ahead, by up to ``most`` items.

    Once ``stop`` is set, raises Cancelled without waiting for the thread, which ends by itself.
    """

    def __init__(self, items: Iterator[T], most: int, stop: threading.Event | None = None) -> None:
        self._items = items
        self._capacity = most
        self._stop = threading.Event() if stop is None else stop

    def __iter__(self) -> Iterator[T]:
        buffer: queue.Queue[tuple[bool, Any]] = queue.Queue(self._capacity)
        stop = threading.Event()
        thread = threading.Thread(target=self._run, args=(buffer, stop), daemon=True)
        thread.start()
        try:
            while True:
                more, value = self._take(buffer)
                if more:
                    yield value
                elif value is None:
                    return
                else:
                    raise value
        finally:
            stop.set()
            with buffer.mutex:  # frees a thread that waits for room, so that it ends
                buffer.queue.clear()
                buffer.not_full.notify_all()

    def _take(self, buffer: queue.Queue[tuple[bool, Any]]) -> tuple[bool, Any]:
        while not self._stop.is_set():
            try:
                return buffer.get(timeout=_TICK)
            except queue.Empty:
                continue
        raise Cancelled

    def _run(self, buffer: queue.Queue[tuple[bool, Any]], stop: threading.Event) -> None:
        end: tuple[bool, Any] = (False, None)
        try:
            for item in self._items:
                if stop.is_set():
                    return
                buffer.put((True, item))
        except BaseException as error:  # raised in the consumer
            end = (False, error)
        buffer.put(end)


class MemoryBudget:
    """Limits the bytes of items still referenced: a further item waits while earlier ones exceed ``limit``."""

    def __init__(self, limit: int, stop: threading.Event | None = None) -> None:
        self._limit = limit
        self._stop = threading.Event() if stop is None else stop
        self._used = 0
        # Items may be collected in any thread, in the middle of anything: only this queue is safe then.
        self._free: queue.SimpleQueue[int] = queue.SimpleQueue()

    def charge(self, item: object, size: int) -> None:
        """Wait for room, then charge ``size`` bytes until ``item`` is garbage collected.

        Raises Cancelled once ``stop`` is set. For one thread at a time.
        """
        if not size:
            return
        weakref.finalize(item, self._free.put, size).atexit = False
        patience = time.monotonic() + _PATIENCE
        while self._used > self._limit and time.monotonic() < patience:
            if self._stop.is_set():
                raise Cancelled
            try:
                self._used -= self._free.get(timeout=_TICK)
            except queue.Empty:
                continue
        self._used += size
        while not self._free.empty():
            self._used -= self._free.get()
