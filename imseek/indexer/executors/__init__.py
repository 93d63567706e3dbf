"""Executors read, decode and encode for a run: in threads of its own process, or in workers of a Ray cluster.

``base`` defines the interface. The run stays in its own process: only it reads the catalog, decides what is new,
moved or copied, assigns ids and commits.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable

from imseek.data.collection_records import read_identity
from imseek.data.writing.writer import Writer
from imseek.encoders.input_checks import available_cpus
from imseek.encoders.runtime import Runtime
from imseek.indexer.decode_stage import Item, Result
from imseek.indexer.executors.base import Executor, Plan
from imseek.indexer.ordered_map import OrderedMap
from imseek.types.executors import Ray


def executor_of(options: Ray | None, runtime: Runtime | None, writer: Writer, plan: Plan) -> Executor:
    """Return the executor for these options; None means threads.

    Workers stage files in a folder named after the collection and the run: inside the collection, where it is cleaned
    up with other remains of a dead run, or where the options say. Raises MissingExtraError, UsageError.
    """
    if options is None:
        return ThreadExecutor(plan)
    from imseek.indexer.executors.ray_executor import RayExecutor
    from imseek.indexer.executors.staging import Staging

    place = (options.staging or str(writer.staging)).rstrip("/")
    staging = Staging(place, f"imseek-{read_identity(writer.root).uuid}", str(writer.run_id))
    return RayExecutor(plan, options, runtime or Runtime(), staging)


class ThreadExecutor:
    """Reads, hashes, decodes and prepares in threads. The run encodes, since its encoder uses all processors."""

    def __init__(self, plan: Plan) -> None:
        workers = max(available_cpus(), plan.read_threads)
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
