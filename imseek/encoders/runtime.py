"""The user's choices of how to compute vectors."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from imseek.errors import UsageError

PRECISIONS: Final = ("auto", "fp32", "bf16", "fp16", "int8")
_DEVICE: Final = re.compile(r"auto|cpu|mps|all|cuda(:\d+(,\d+)*)?")


@dataclass(frozen=True, slots=True)
class Runtime:
    """Affects speed but not the meaning of vectors, so no part of it enters the fingerprint.

    ``device`` is ``auto`` (the best available), ``cpu``, ``mps``, ``cuda`` or ``cuda:N``; of several cards
    (``cuda:N,M`` or ``all``) the first encodes and each searches vectors. An encoder that cannot use cards refuses them
    unless they are ``all``. ``precision`` is that of image vectors; ``auto`` is the fastest that preserves vectors on
    the device (docs/encoders.md). ``batch_size`` is the number of pictures per run (None: chosen automatically),
    ``threads`` the processors per call (None: all available to the process; torch's threads are set for the whole
    process). ``exact_decode`` decodes every pixel of a picture, where a JPEG decoder could reduce it. ``compile``
    applies torch.compile. ``keep_verdict`` uses and stores what the first pictures show about a faster precision; set
    it to False for unrepresentative pictures. Raises UsageError for invalid values.
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
            raise UsageError(f"no device is called {self.device!r}", hint="auto, cpu, cuda, cuda:N, cuda:N,M, all, mps")
        if self.precision not in PRECISIONS:
            raise UsageError(f"no precision is called {self.precision!r}", hint=", ".join(PRECISIONS))
        for name, number in (("batch size", self.batch_size), ("number of threads", self.threads)):
            if number is not None and (type(number) is not int or number < 1):
                raise UsageError(f"the {name} must be a whole number of at least 1, not {number!r}")

    def draft_size(self, image_size: int) -> int | None:
        """Return ``EncoderInfo.draft_size`` for an encoder with this input size."""
        return None if self.exact_decode else 2 * image_size
