"""Batch concurrent queries: one thread sends all that are waiting through encoder and index in one call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Final, Generic, TypeVar

Q = TypeVar("Q")
A = TypeVar("A")

#: Maximum number of queries in one call, and of queries waiting.
BATCH_SIZE: Final = 64
QUEUE_SIZE: Final = 1024


class OverloadedError(Exception):
    """Too many queries are waiting already."""


@dataclass(slots=True, eq=False)
class _PendingQuery(Generic[Q, A]):
    query: Q
    answer: asyncio.Future[A]


class Batcher(Generic[Q, A]):
    """Answers queries in batches by ``work``, in a thread of its own that other work cannot block.

    If ``work`` raises, each query of the batch is answered by ``alone``, so that only the bad ones fail.
    """

    def __init__(self, work: Callable[[Sequence[Q]], Sequence[A]], alone: Callable[[Q], A]) -> None:
        self._work, self._alone = work, alone
        self._queue: dict[_PendingQuery[Q, A], None] = {}  # In order of arrival.
        self._arrival = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, "queries")

    async def ask(self, query: Q) -> A:
        """Queue a query and return its answer. Raises OverloadedError, and whatever the work raises for this query."""
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        if len(self._queue) >= QUEUE_SIZE:
            raise OverloadedError
        one: _PendingQuery[Q, A] = _PendingQuery(query, asyncio.get_running_loop().create_future())
        self._queue[one] = None
        self._arrival.set()
        try:
            return await one.answer
        finally:
            self._queue.pop(one, None)  # The caller has gone.

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _run(self) -> None:
        while True:
            await self._arrival.wait()
            batch = list(islice(self._queue, BATCH_SIZE))
            for request in batch:
                del self._queue[request]
            if not self._queue:
                self._arrival.clear()
            if batch:
                await self._answer(batch)

    async def _answer(self, batch: Sequence[_PendingQuery[Q, A]]) -> None:
        loop = asyncio.get_running_loop()
        try:
            answers = await loop.run_in_executor(self._thread, self._work, [one.query for one in batch])
        except Exception as error:
            if len(batch) == 1:
                _resolve(batch[0].answer, error=error)
                return
            for one in batch:
                if one.answer.done():  # The caller has gone.
                    continue
                try:
                    _resolve(one.answer, await loop.run_in_executor(self._thread, self._alone, one.query))
                except Exception as own:
                    _resolve(one.answer, error=own)
            return
        for one, answer in zip(batch, answers, strict=True):
            _resolve(one.answer, answer)


def _resolve(future: asyncio.Future[A], answer: A | None = None, *, error: Exception | None = None) -> None:
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(answer)  # type: ignore[arg-type]
