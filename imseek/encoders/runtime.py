"""How vectors are computed, as far as that is the user's choice."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from imseek.errors import UsageError

PRECISIONS: Final = ("auto", "fp32", "bf16", "fp16", "int8")
_DEVICE: Final = re.compile(r"auto|cpu|mps|all|cuda(:\d+(,\d+)*)?")


@dataclass(frozen=True, slots=True)
class Runtime:
    """Decides on speed, and on nothing that changes what a vector means: no part of it is in the fingerprint.

    ``device`` is ``auto`` (the best there is), ``cpu``, ``mps``, ``cuda`` or ``cuda:N``; of several cards
    (``cuda:N,M`` or ``all``) the first encodes and each searches vectors. An encoder that knows no cards refuses
    them unless they are ``all``. ``precision`` is that of image vectors; ``auto`` is the fastest that keeps vectors
    true on the device (docs/encoders.md). ``batch_size`` is the number of pictures per run (None: found out),
    ``threads`` the processors that one call uses (None: all that the process may use; torch's are the whole
    process's). ``exact_decode`` has every pixel of a picture decoded, where a JPEG decoder could shrink while
    decoding. ``compile`` runs torch.compile first. ``keep_verdict`` is whether what the first pictures say about a
    faster precision holds for later processes: False, for pictures unlike those to come, has it found out anew and
    forgotten.
    Raises UsageError for values that are none of these.
    """

    device: str = "auto"
    precision: str = "auto"
    batch_size: int | None = None
    threads: int | None = None
    exact_decode: bool = False
    compile: bool = False
    keep_verdict: bool = True

    def __post_init__(self) -> None:
        if not (isinstance(self.device, str) and _DEVICE.fullmatch(self.device)):
            raise UsageError(
                f"no device is called {self.device!r}", hint="auto, cpu, cuda, cuda:N, cuda:N,M, all, mps"
            )
        if self.precision not in PRECISIONS:
            raise UsageError(f"no precision is called {self.precision!r}", hint=", ".join(PRECISIONS))
        for name, number in (("batch size", self.batch_size), ("number of threads", self.threads)):
            if number is not None and (type(number) is not int or number < 1):
                raise UsageError(f"the {name} must be a whole number of at least 1, not {number!r}")

    def draft_size(self, image_size: int) -> int | None:
        """``EncoderInfo.draft_size`` of an encoder with this input size."""
        return None if self.exact_decode else 2 * image_size
