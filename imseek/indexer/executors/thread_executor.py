"""The default executor: threads of the run's own process."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable

from imseek.indexer.executors.base import Item, Plan, Result
from imseek.indexer.ordered_map import OrderedMap


class ThreadExecutor:
    """Reads, hashes, decodes and prepares in threads. The run encodes, since its encoder uses all processors."""

    def __init__(self, plan: Plan) -> None:
        workers = max(len(os.sched_getaffinity(0)), plan.waiting)
        self._map: OrderedMap[Item, Result] = OrderedMap(
            plan.loader,
            workers=workers,
            lookahead=plan.batch + 2 * workers,
            deadline=plan.deadline,
            late=plan.loader.late,
        )

    def __call__(self, items: Iterable[Item]) -> Generator[Result]:
        return self._map(items)

    def notes(self) -> tuple[str, ...]:
        return ()
