"""Flags that choose where a run does its work."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Final

import typer

from imseek.errors import UsageError
from imseek.ui.cli.flag_groups import flag_group

if TYPE_CHECKING:
    from imseek import Ray


@dataclass(frozen=True, slots=True)
class ExecutorFlags:
    """The flags; all but the first set the field of :class:`imseek.Ray` of their name."""

    executor: Annotated[
        str,
        typer.Option(
            "--executor",
            metavar="WHERE",
            help="local: threads of this process; ray: workers of a Ray cluster (docs/scale.md).",
        ),
    ] = "local"
    address: Annotated[
        str | None,
        typer.Option(
            "--address",
            metavar="ADDRESS",
            help="Of a Ray cluster: auto, HOST:PORT (default: a new one).",
        ),
    ] = None
    workers: Annotated[
        int | None,
        typer.Option("--workers", metavar="N", help="Workers on Ray (default: as there is room)."),
    ] = None
    cpus: Annotated[
        float | None, typer.Option("--worker-cpus", metavar="SHARE", help="CPUs of each worker (1).")
    ] = None
    gpus: Annotated[
        float | None,
        typer.Option(
            "--worker-gpus",
            metavar="SHARE",
            help="GPUs of each worker (default: 1 where there are any).",
        ),
    ] = None
    staging: Annotated[
        str | None,
        typer.Option(
            "--staging",
            metavar="PLACE",
            help="Where workers on Ray put vectors: a shared folder, or a URL (default: the collection).",
        ),
    ] = None
    shard: Annotated[
        int | None,
        typer.Option("--shard", metavar="N", help="Pictures that a worker on Ray takes at once (64)."),
    ] = None

    def executor_options(self) -> Ray | None:
        """Return the options of Ray, or None for threads of this process. Raises UsageError."""
        given = {
            name: value for name, value in asdict(self).items() if name != "executor" and value is not None
        }
        if self.executor == "ray":
            from imseek import Ray

            return Ray(**given)
        if self.executor != "local":
            raise UsageError(f"no executor is called {self.executor!r}", hint="local, ray")
        if given:
            flags = ", ".join(f"--worker-{n}" if n in ("cpus", "gpus") else f"--{n}" for n in given)
            raise UsageError(f"{flags}: of workers on Ray", hint="--executor ray")
        return None


#: Flags that yield an :class:`imseek.Ray`, or None for threads of this process.
EXECUTOR_FLAGS: Final = flag_group(ExecutorFlags, ExecutorFlags.executor_options)
