"""Queries that wait for each other: in order, together, and gone with whoever asked."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence

import pytest

from imseek.ui.server import batching
from imseek.ui.server.batching import Batcher, OverloadedError


class Work:
    """Doubles numbers once ``go`` is set, and fails for negative ones; ``asked`` is what came together."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.began = threading.Event()
        self.asked: list[list[int]] = []

    def together(self, numbers: Sequence[int]) -> list[int]:
        self.asked.append(list(numbers))
        self.began.set()
        assert self.go.wait(20)
        if min(numbers) < 0:
            raise ValueError(f"{min(numbers)} is negative")
        return [2 * number for number in numbers]

    def alone(self, number: int) -> int:
        return self.together([number])[0]


def _run(test: Callable[[Batcher[int, int], Work], Awaitable[None]]) -> None:
    async def run() -> None:
        work = Work()
        batcher: Batcher[int, int] = Batcher(work.together, work.alone)
        try:
            async with asyncio.timeout(20):
                await test(batcher, work)
        finally:
            work.go.set()
            await batcher.close()

    asyncio.run(run())


async def _waiting(batcher: Batcher[int, int], work: Work, numbers: Sequence[int]) -> list[asyncio.Task[int]]:
    """Those, in the queue, while a first one (0) is under way."""
    first = asyncio.create_task(batcher.ask(0))
    await asyncio.to_thread(work.began.wait, 20)
    tasks = [asyncio.create_task(batcher.ask(number)) for number in numbers]
    await asyncio.sleep(0)
    return [first, *tasks]


def test_what_waits_is_asked_together_and_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "BATCH_SIZE", 3)

    async def test(batcher: Batcher[int, int], work: Work) -> None:
        tasks = await _waiting(batcher, work, [1, 2, 3, 4])
        work.go.set()
        assert await asyncio.gather(*tasks) == [0, 2, 4, 6, 8]
        assert work.asked == [[0], [1, 2, 3], [4]]
        assert await batcher.ask(5) == 10  # It waits again, and wakes again.

    _run(test)


def test_who_has_gone_is_not_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(batcher: Batcher[int, int], work: Work) -> None:
        tasks = await _waiting(batcher, work, [1, 2, 3])
        tasks[2].cancel()
        await asyncio.sleep(0)
        work.go.set()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(found[2], asyncio.CancelledError)
        assert [found[0], found[1], found[3]] == [0, 2, 6]
        assert work.asked == [[0], [1, 3]]

    _run(test)


def test_a_full_queue_has_room_once_somebody_has_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "QUEUE_SIZE", 2)

    async def test(batcher: Batcher[int, int], work: Work) -> None:
        tasks = await _waiting(batcher, work, [1, 2])
        with pytest.raises(OverloadedError):
            await batcher.ask(3)
        tasks[1].cancel()
        await asyncio.sleep(0)
        tasks.append(asyncio.create_task(batcher.ask(4)))
        await asyncio.sleep(0)
        work.go.set()
        assert (await tasks[2], await tasks[3]) == (4, 8)

    _run(test)


def test_a_bad_one_fails_alone_and_who_has_gone_is_not_asked_alone() -> None:
    async def test(batcher: Batcher[int, int], work: Work) -> None:
        tasks = await _waiting(batcher, work, [-1, 2, 3])
        work.began.clear()
        work.go.set()
        await tasks[0]
        work.go.clear()  # The three are under way, or will be.
        await asyncio.to_thread(work.began.wait, 20)
        tasks[2].cancel()
        await asyncio.sleep(0)
        work.go.set()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(found[1], ValueError)
        assert found[3] == 6
        assert [2] not in work.asked

    _run(test)
