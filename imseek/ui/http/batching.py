"""Concurrent queries go through the encoder and the index together: one call for all that wait, in one thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

Q = TypeVar("Q")
A = TypeVar("A")

#: Queries in one call at most, and those that may wait.
TOGETHER: Final = 64
WAITING: Final = 1024


class OverloadedError(Exception):
    """Too many queries wait already."""


@dataclass(slots=True)
class _Waiting(Generic[Q, A]):
    query: Q
    answer: asyncio.Future[A]


class Batcher(Generic[Q, A]):
    """``work`` answers several queries at once; where it raises, each is asked alone, so that only bad ones fail.

    The thread is its own: what else waits for threads does not keep queries waiting.
    """

    def __init__(self, work: Callable[[Sequence[Q]], Sequence[A]], alone: Callable[[Q], A]) -> None:
        self._work, self._alone = work, alone
        self._waiting: asyncio.Queue[_Waiting[Q, A]] = asyncio.Queue(WAITING)
        self._task: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, "queries")

    async def ask(self, query: Q) -> A:
        """Raises OverloadedError, and what the work raises for this query."""
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        one: _Waiting[Q, A] = _Waiting(query, asyncio.get_running_loop().create_future())
        try:
            self._waiting.put_nowait(one)
        except asyncio.QueueFull as error:
            raise OverloadedError from error
        return await one.answer

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _run(self) -> None:
        while True:
            batch = [await self._waiting.get()]
            while len(batch) < TOGETHER and not self._waiting.empty():
                batch.append(self._waiting.get_nowait())
            batch = [one for one in batch if not one.answer.done()]  # Who asked has gone.
            if batch:
                await self._answer(batch)

    async def _answer(self, batch: Sequence[_Waiting[Q, A]]) -> None:
        loop = asyncio.get_running_loop()
        try:
            answers = await loop.run_in_executor(self._thread, self._work, [one.query for one in batch])
        except Exception as error:
            if len(batch) == 1:
                _set(batch[0].answer, error=error)
                return
            for one in batch:
                try:
                    _set(one.answer, await loop.run_in_executor(self._thread, self._alone, one.query))
                except Exception as own:
                    _set(one.answer, error=own)
            return
        for one, answer in zip(batch, answers, strict=True):
            _set(one.answer, answer)


def _set(future: asyncio.Future[A], answer: A | None = None, *, error: Exception | None = None) -> None:
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(answer)  # type: ignore[arg-type]
