"""Runtime flags shared by the commands that compute vectors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import imseek
from imseek.ui.cli.common_options import rare
from imseek.ui.cli.flag_groups import FlagGroup, flag_group, with_groups


# A test compares the defaults with those of Runtime, because importing that would load NumPy for every ``--help``.
@dataclass(frozen=True, slots=True)
class RuntimeFlags:
    """The flags, by the field of :class:`imseek.Runtime` that each sets."""

    device: Annotated[
        str,
        rare("--device", metavar="DEVICE", help="auto, cpu, mps, cuda, cuda:N, cuda:N,M or all."),
    ] = "auto"
    precision: Annotated[
        str,
        rare(
            "--precision",
            metavar="PRECISION",
            help="Precision of image vectors: auto, fp32, bf16, fp16 or int8 (docs/encoders.md).",
        ),
    ] = "auto"
    batch_size: Annotated[
        int | None,
        rare(
            "--batch-size",
            metavar="N",
            help="Number of pictures to encode at once (default: chosen automatically).",
        ),
    ] = None
    threads: Annotated[
        int | None,
        rare(
            "--threads",
            metavar="N",
            help="Number of CPU threads for encoding (default: one for each processor).",
        ),
    ] = None
    exact_decode: Annotated[
        bool,
        rare("--exact-decode", help="Decode JPEGs at full size: slower, and vectors hardly differ."),
    ] = False
    compile: Annotated[bool, rare("--compile", help="Compile the image encoder first (torch.compile).")] = False

    def runtime(self) -> imseek.Runtime:
        """Return the runtime that they describe. Raises UsageError."""
        return imseek.Runtime(**asdict(self))


def runtime_flags(*names: str) -> FlagGroup:
    """Return the flags ``names`` (default: all), which yield an :class:`imseek.Runtime`."""
    return flag_group(RuntimeFlags, RuntimeFlags.runtime, names)


def with_runtime(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorate a command that has a parameter ``runtime``, replacing it by these flags."""
    return with_groups(runtime=runtime_flags(*names))
