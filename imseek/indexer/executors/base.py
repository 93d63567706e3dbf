"""What an executor promises, and what it is told."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from imseek.encoders.base import Encoder
from imseek.indexer.containers import Ended
from imseek.indexer.decode_stage import Failed, Loaded, Loader
from imseek.indexer.scan import Candidate, Skipped

Item: TypeAlias = Candidate | Skipped | Ended
Result: TypeAlias = Loaded | Failed | Skipped | Ended


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run tells its executor: the encoders of pictures by space, how many pictures one call of theirs should be
    given, how many threads are worth reading with where that is more than decode (0: it is not), and the seconds that
    one file may take."""

    loader: Loader
    encoders: Mapping[int, Encoder]
    batch: int
    waiting: int
    deadline: float


class Executor(Protocol):
    """Reads and hashes candidates and, where the loader's ``look_up`` needs it, decodes them; it may encode them too
    (:class:`imseek.indexer.decode_stage.Made`), else the run does.

    Results come in the order of the items, whatever happens to those who work: each item has exactly one. What is no
    candidate passes through. Items are taken from the thread that takes the results, a bounded number ahead.
    """

    def __call__(self, items: Iterable[Item]) -> Generator[Result]:
        """A generator. Closed early, it lets go of all that it has started."""
        ...

    def notes(self) -> tuple[str, ...]:
        """Lines for the user, once all results are there."""
        ...
