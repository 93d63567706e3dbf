"""Who reads, decodes and encodes for a run: threads of its own process, or workers of a Ray cluster.

``base`` says what an executor promises. The run itself stays where it is: it alone looks into the catalog, decides what
is new, moved or copied, gives ids and commits.
"""

from __future__ import annotations

from imseek.data.current_file import read_identity
from imseek.data.writer import Writer
from imseek.encoders.runtime import Runtime
from imseek.indexer.executors.base import Executor, Plan
from imseek.indexer.executors.thread_executor import Threads
from imseek.types import Ray


def executor_of(options: Ray | None, runtime: Runtime | None, writer: Writer, plan: Plan) -> Executor:
    """The executor that these options ask for; None: threads.

    What workers stage lies in a folder that is named after the collection and the run: in the collection, where it goes
    with all else that a dead run has left, or where the options say. Raises MissingExtraError, UsageError.
    """
    if options is None:
        return Threads(plan)
    from imseek.indexer.executors.ray_executor import RayCrew
    from imseek.indexer.executors.staging import Staging

    place = (options.staging or str(writer.staging)).rstrip("/")
    staging = Staging(place, f"imseek-{read_identity(writer.root).uuid}", str(writer.run_id))
    return RayCrew(plan, options, runtime or Runtime(), staging)
