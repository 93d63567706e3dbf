"""The interface of an executor, and the plan that it receives."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass
from typing import Protocol

from imseek.indexer.decode_stage import Item, Loader, Result


@dataclass(frozen=True, slots=True)
class Plan:
    """Instructions of a run to its executor.

    ``batch`` is the number of pictures per encoder call; ``read_threads`` is the number of threads worth reading with
    if that exceeds the number for decoding (0 otherwise); ``deadline`` is the time limit for one file in seconds.
    """

    loader: Loader
    batch: int
    read_threads: int
    deadline: float


class Executor(Protocol):
    """Reads and hashes candidates and, if the loader's ``look_up`` requires it, decodes them.

    It may also encode them (:class:`imseek.indexer.decode_stage.Picture`); otherwise the run does. Each item
    has exactly one result, in the order of the items, whatever happens to workers. Non-candidates pass through
    unchanged. Items are taken in the thread that consumes the results, a bounded number ahead.
    """

    def __call__(self, items: Iterable[Item]) -> Generator[Result]:
        """Yield the results. Closing the generator early releases everything that it has started."""
        ...

    def notes(self) -> tuple[str, ...]:
        """Return messages for the user, once all results have been taken."""
        ...
