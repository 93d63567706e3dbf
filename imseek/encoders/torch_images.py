"""Image towers on torch: batches of prepared pictures to unit rows, whatever the architecture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from imseek.encoders.checks import unit_rows
from imseek.encoders.preprocess import Preprocessing
from imseek.encoders.runtime import Runtime
from imseek.types import Float32, Pixels

if TYPE_CHECKING:
    import torch

_BATCH = 32


class TorchImages:
    """Owns ``module``, which takes (n, 3, size, size) normalised pictures and gives (n, dim) rows of any length."""

    def __init__(
        self, module: torch.nn.Module, preprocessing: Preprocessing, dim: int, runtime: Runtime
    ) -> None:
        import torch

        if runtime.threads is not None:
            torch.set_num_threads(runtime.threads)
        self._module = module.eval()
        self._preprocessing = preprocessing
        self._dim = dim
        self._batch = runtime.batch_size or _BATCH

    def __call__(self, batch: Pixels) -> Float32:
        """(n, size, size, 3) uint8 → (n, dim) float32 unit rows."""
        import torch

        rows = np.empty((len(batch), self._dim), dtype=np.float32)
        with torch.inference_mode():
            for start in range(0, len(batch), self._batch):
                values = self._preprocessing.normalise(batch[start : start + self._batch])
                rows[start : start + self._batch] = self._module(torch.from_numpy(values)).float().numpy()
        return unit_rows(rows)
