"""Flags that choose where a run does its work."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from imseek.errors import UsageError
from imseek.ui.cli.flag_groups import FlagGroup

if TYPE_CHECKING:
    from imseek import Ray

#: Default and Typer annotation of each flag, by the field of :class:`imseek.Ray` it sets; the first selects Ray.
FLAGS: Final[Mapping[str, tuple[Any, Any]]] = MappingProxyType(
    {
        "executor": (
            "local",
            Annotated[
                str,
                typer.Option(
                    "--executor",
                    metavar="WHERE",
                    help="local: threads of this process; ray: workers of a Ray cluster (docs/scale.md).",
                ),
            ],
        ),
        "address": (
            None,
            Annotated[
                str | None,
                typer.Option(
                    "--address",
                    metavar="ADDRESS",
                    help="Of a Ray cluster: auto, HOST:PORT (default: a new one).",
                ),
            ],
        ),
        "workers": (
            None,
            Annotated[
                int | None,
                typer.Option("--workers", metavar="N", help="Workers on Ray (default: as there is room)."),
            ],
        ),
        "cpus": (
            None,
            Annotated[
                float | None, typer.Option("--worker-cpus", metavar="SHARE", help="CPUs of each worker (1).")
            ],
        ),
        "gpus": (
            None,
            Annotated[
                float | None,
                typer.Option(
                    "--worker-gpus",
                    metavar="SHARE",
                    help="GPUs of each worker (default: 1 where there are any).",
                ),
            ],
        ),
        "staging": (
            None,
            Annotated[
                str | None,
                typer.Option(
                    "--staging",
                    metavar="PLACE",
                    help="Where workers on Ray put vectors: a shared folder, or a URL (default: the collection).",
                ),
            ],
        ),
        "shard": (
            None,
            Annotated[
                int | None,
                typer.Option(
                    "--shard", metavar="N", help="Pictures that a worker on Ray takes at once (64)."
                ),
            ],
        ),
    }
)


def _executor(values: dict[str, Any]) -> Ray | None:
    named = values["executor"]
    given = {name: value for name, value in values.items() if name != "executor" and value is not None}
    if named == "ray":
        from imseek import Ray

        return Ray(**given)
    if named != "local":
        raise UsageError(f"no executor is called {named!r}", hint="local, ray")
    if given:
        flags = ", ".join(f"--worker-{n}" if n in ("cpus", "gpus") else f"--{n}" for n in given)
        raise UsageError(f"{flags}: of workers on Ray", hint="--executor ray")
    return None


#: Flags that yield an :class:`imseek.Ray`, or None for threads of this process.
EXECUTOR_FLAGS: Final = FlagGroup(FLAGS, _executor)
