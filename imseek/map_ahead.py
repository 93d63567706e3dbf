"""Map in threads, a few items ahead of the caller, so that neither inputs nor results pile up in memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from typing import TypeVar

_S = TypeVar("_S")
_T = TypeVar("_T")


def map_ahead(pool: Executor, work: Callable[[_S], _T], items: Iterable[_S], ahead: int) -> Iterator[_T]:
    """Yield the results of ``work`` in the order of ``items``, up to ``ahead`` items before the caller needs them.

    Unlike ``Executor.map``, which takes all items at once. Raises what ``work`` raises.
    """
    pending: deque[Future[_T]] = deque()
    for item in items:
        pending.append(pool.submit(work, item))
        if len(pending) > ahead:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()
