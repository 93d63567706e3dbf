"""Check on the user's own pictures whether a faster precision preserves an encoder's vectors.

No test can cover the weights that a user may name. So the first pictures are encoded in float32 as well, and the two
results must agree. The verdict is stored in the cache folder for later processes.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict, dataclass
from typing import Final

import numpy as np

from imseek.encoders.cache import cache_dir
from imseek.home import write_atomically
from imseek.types.arrays import Float32

#: Pictures to compare before the verdict.
PICTURES_TO_COMPARE: Final = 16
#: The lowest accepted mean cosine to float32 vectors of the same pictures, by precision.
MIN_MEAN_COSINE: Final = {"bf16": 0.999, "fp16": 0.999, "int8": 0.99}


@dataclass(frozen=True, slots=True)
class Verdict:
    """Cosines between vectors in ``precision`` and in float32, over ``pictures`` pictures."""

    precision: str
    pictures: int
    mean_cosine: float
    least_cosine: float

    @property
    def passed(self) -> bool:
        return self.mean_cosine >= MIN_MEAN_COSINE[self.precision]

    def __str__(self) -> str:
        return (
            f"{self.precision} changes the vectors of this encoder "
            f"{'little enough' if self.passed else 'too much'}: over {self.pictures} pictures the mean "
            f"cosine to fp32 is {self.mean_cosine:.4f} (least {self.least_cosine:.4f}); "
            f"{MIN_MEAN_COSINE[self.precision]} is needed"
        )


class PrecisionCheck:
    """Collects cosines until it reaches a verdict."""

    def __init__(self, key: str, precision: str, *, keep: bool = True) -> None:
        """Load the stored verdict, if any.

        ``key`` names weights, precision and kind of device. With ``keep``, uses an earlier process's verdict and stores
        a new one.
        """
        self._file = cache_dir() / "precision" / f"{key}.json"
        self._keep = keep
        self._precision = precision
        self._cosines = np.empty(0, dtype=np.float32)
        self.verdict = self._load_verdict() if keep else None

    @property
    def missing(self) -> int:
        """The number of pictures still to compare."""
        return 0 if self.verdict is not None else PICTURES_TO_COMPARE - len(self._cosines)

    def compare(self, exact: Float32, rows: Float32) -> Verdict | None:
        """Compare float32 unit rows with those of the faster precision, both (n, dim); return any verdict."""
        if self.verdict is None:
            self._cosines = np.append(self._cosines, (exact * rows).sum(axis=1))
            if not self.missing:
                mean, least = float(self._cosines.mean()), float(self._cosines.min())
                self.verdict = Verdict(self._precision, len(self._cosines), mean, least)
                if self._keep:
                    with contextlib.suppress(OSError):  # losing the verdict costs time, not correctness
                        write_atomically(self._file, json.dumps(asdict(self.verdict)).encode())
        return self.verdict

    def _load_verdict(self) -> Verdict | None:
        try:
            verdict = Verdict(**json.loads(self._file.read_bytes()))
            is_valid = verdict.pictures >= PICTURES_TO_COMPARE and verdict.passed in (True, False)
            return verdict if is_valid else None
        except (OSError, ValueError, TypeError, KeyError):
            return None
