"""A bounded, ordered, cancellable map over threads."""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


@dataclass(slots=True)
class _Task(Generic[T, R]):
    """A call in progress. ``item`` is None once it has finished, since an item may use much memory."""

    item: T | None
    done: threading.Event = field(default_factory=threading.Event)
    started: float | None = None
    result: R | None = None
    error: BaseException | None = None


class OrderedMap(Generic[T, R]):
    """Applies ``function`` to items in ``workers`` threads and yields the results in the order of the items.

    At most ``lookahead`` items are in progress or waiting, which bounds memory. A call that takes longer than
    ``deadline`` seconds is abandoned: ``late(item)`` supplies its result and a new thread replaces the stuck one.
    Python cannot stop a thread; these are daemon threads, so that they never delay exit, which rules out
    ``concurrent.futures``.
    """

    def __init__(
        self,
        function: Callable[[T], R],
        *,
        workers: int,
        lookahead: int,
        deadline: float,
        late: Callable[[T], R],
    ) -> None:
        self._function = function
        self._workers = workers
        self._lookahead = lookahead
        self._deadline = deadline
        self._late = late
        self._queue: queue.SimpleQueue[_Task[T, R] | None] = queue.SimpleQueue()

    def __call__(self, items: Iterable[T]) -> Generator[R]:
        """Yield the results. Errors of ``function`` are raised at the item that caused them."""
        for _ in range(self._workers):
            self._start()
        tasks: deque[_Task[T, R]] = deque()
        try:
            for item in items:
                task: _Task[T, R] = _Task(item)
                tasks.append(task)
                self._queue.put(task)
                if len(tasks) >= self._lookahead:
                    yield self._take(tasks.popleft())
            while tasks:
                yield self._take(tasks.popleft())
        finally:
            for task in tasks:
                task.done.set()
            for _ in range(self._workers):
                self._queue.put(None)

    def _start(self) -> None:
        threading.Thread(target=self._run, name="imseek-decode", daemon=True).start()

    def _run(self) -> None:
        while (task := self._queue.get()) is not None:
            if task.done.is_set():
                continue
            task.started = time.monotonic()
            assert task.item is not None, "nobody else has taken it"
            try:
                task.result = self._function(task.item)
            except BaseException as error:
                task.error = error
            task.item = None
            if task.done.is_set():
                return  # abandoned: another thread has taken over
            task.done.set()

    def _take(self, task: _Task[T, R]) -> R:
        while not task.done.wait(timeout=0.5 if task.started is None else self._left(task)):
            item = task.item
            if task.started is not None and self._left(task) <= 0 and item is not None:
                task.done.set()
                self._start()
                return self._late(item)
        if task.error is not None:
            raise task.error
        return task.result  # type: ignore[return-value]

    def _left(self, task: _Task[T, R]) -> float:
        return (task.started or 0.0) + self._deadline - time.monotonic()
