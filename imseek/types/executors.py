"""Executors that users can choose for an indexing run."""

from __future__ import annotations

import math
from dataclasses import dataclass

from imseek.errors import UsageError


@dataclass(frozen=True, slots=True)
class Ray:
    """Read, decode and encode images on a Ray cluster; docs/scale.md.

    ``address`` is that of a running cluster (``auto``: the one this machine belongs to; ``host:port``). None starts a
    local cluster for the run, or uses an existing connection of this process. ``workers`` is an upper limit, by default
    as many as fit. Each worker takes ``cpus`` and ``gpus`` (fractions allowed: 0.5 puts two on one GPU; None: one GPU
    if the cluster has any). ``staging`` is where workers put vectors until they are committed: a folder shared by all
    machines, or an fsspec URL; None: inside the collection. ``shard`` is the number of images sent together, and redone
    if a worker is lost.

    Raises UsageError for invalid values.
    """

    address: str | None = None
    workers: int | None = None
    cpus: float = 1
    gpus: float | None = None
    staging: str | None = None
    shard: int = 64

    def __post_init__(self) -> None:
        if self.address is not None and self.address.startswith("ray://"):
            raise UsageError(
                f"{self.address} is a Ray client, and the run has to be on a machine of the cluster itself",
                hint="run it there, with --address auto; docs/scale.md",
            )
        if self.address == "":
            raise UsageError("the address of a Ray cluster is auto or HOST:PORT")
        if self.staging == "":
            raise UsageError("staging is a folder or a URL")
        for name, number in (("number of workers", self.workers), ("size of a shard", self.shard)):
            if number is not None and (type(number) is not int or number < 1):
                raise UsageError(f"the {name} must be a whole number of at least 1, not {number!r}")
        if not (isinstance(self.cpus, int | float) and 0 < self.cpus < math.inf):
            raise UsageError(f"a worker takes more than 0 CPUs, not {self.cpus!r}")
        gpus = self.gpus
        if gpus is not None and not (isinstance(gpus, int | float) and 0 <= gpus < math.inf):
            raise UsageError(f"a worker takes 0 or more GPUs, not {gpus!r}")
