"""Flags that choose where a run does its work."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final

from imseek.errors import UsageError
from imseek.ui.cli.common_options import rare
from imseek.ui.cli.flag_groups import flag_group, given_flags

if TYPE_CHECKING:
    from imseek import Ray


@dataclass(frozen=True, slots=True)
class ExecutorFlags:
    """The flags; all but the first set the field of :class:`imseek.Ray` of their name."""

    executor: Annotated[
        str,
        rare(
            "--executor",
            metavar="WHERE",
            help="Where to decode and encode: local, in this process; ray, on a Ray cluster (docs/scale.md).",
        ),
    ] = "local"
    address: Annotated[
        str | None,
        rare(
            "--address",
            metavar="ADDRESS",
            help="Ray cluster to connect to: auto or HOST:PORT (default: start one).",
        ),
    ] = None
    workers: Annotated[
        int | None,
        rare("--workers", metavar="N", help="Number of Ray workers (default: as many as fit)."),
    ] = None
    cpus: Annotated[
        float | None, rare("--worker-cpus", metavar="SHARE", help="CPUs for each Ray worker (default: 1).")
    ] = None
    gpus: Annotated[
        float | None,
        rare(
            "--worker-gpus",
            metavar="SHARE",
            help="GPUs for each Ray worker (default: 1 if the cluster has any).",
        ),
    ] = None
    staging: Annotated[
        str | None,
        rare(
            "--staging",
            metavar="PLACE",
            help="Where Ray workers put vectors: a shared folder, or a URL (default: in the collection).",
        ),
    ] = None
    shard: Annotated[
        int | None,
        rare("--shard", metavar="N", help="Number of pictures that a Ray worker takes at once (default: 64)."),
    ] = None

    def executor_options(self) -> Ray | None:
        """Return the options of Ray, or None for threads of this process. Raises UsageError."""
        values = given_flags(self)
        values.pop("executor", None)
        if self.executor == "ray":
            from imseek import Ray

            return Ray(**values)
        if self.executor != "local":
            raise UsageError(f"no executor is called {self.executor!r}", hint="local, ray")
        if values:
            flags = ", ".join(f"--worker-{n}" if n in ("cpus", "gpus") else f"--{n}" for n in values)
            raise UsageError(f"{flags}: only for Ray workers", hint="--executor ray")
        return None


#: Flags that yield an :class:`imseek.Ray`, or None for threads of this process.
EXECUTOR_FLAGS: Final = flag_group(ExecutorFlags, ExecutorFlags.executor_options)
