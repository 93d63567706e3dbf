"""Run image towers on torch: batches of prepared pictures to unit rows, for any architecture and device."""

from __future__ import annotations

import gc
import math
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np

from imseek.encoders.device import Plan
from imseek.encoders.input_checks import available_cpus
from imseek.encoders.naflex_preprocess import GRID_BYTES, PatchPreprocessing
from imseek.encoders.preprocess import Preprocessing
from imseek.encoders.runtime import Runtime
from imseek.errors import EncoderError
from imseek.types.arrays import Float32, Pixels

if TYPE_CHECKING:
    import torch

# Messages of torch's allocators: CUDA's and Apple's, and those of the CPU on Linux and elsewhere.
_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")


def with_normalisation(module: torch.nn.Module, preprocessing: Preprocessing | PatchPreprocessing) -> torch.nn.Module:
    """Wrap ``module`` with the pixel normalisation of ``preprocessing`` before it and row normalisation after it.

    ``module`` takes (n, 3, size, size) normalised pictures and returns (n, dim) rows of any length, or a tuple that
    starts with them (CoCa's tower returns its tokens as well). The result takes (n, size, size, 3) uint8 and returns
    (n, dim) float32 unit rows. Pixels travel to the device as bytes, a quarter of their size in float32.

    For patches, ``module`` takes (n, m, patch · patch · 3) normalised values, an (n, m) mask that is 1 for the patches
    of each picture and 0 for padding, and (n, 2) grids; the result takes pictures as
    :class:`imseek.encoders.naflex_preprocess.PatchPreprocessing` prepares them.
    """
    import torch
    from torch import nn

    patches = preprocessing.patch**2 if isinstance(preprocessing, PatchPreprocessing) else None

    class PixelTower(nn.Module):  # type: ignore[misc] # mypy is told not to follow torch: its classes are Any
        scale: torch.Tensor
        shift: torch.Tensor

        def __init__(self) -> None:
            super().__init__()
            self.module = module.eval()
            self.dtype = next(t.dtype for t in module.state_dict().values() if t.is_floating_point())
            mean = torch.tensor(preprocessing.mean, dtype=torch.float64)
            std = torch.tensor(preprocessing.std, dtype=torch.float64)
            # (p / 255 - mean) / std as one product and one sum. Always in float32: a byte has 256 values, and bfloat16
            # separates 256 values only near zero.
            for name, values in (("scale", 1 / (255 * std)), ("shift", -mean / std)):
                shaped = values.float()[:, None, None] if patches is None else values.float().repeat(patches)
                self.register_buffer(name, shaped)

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            if patches is None:
                # The permuted view of the bytes is channels-last, and stays so.
                values = pixels.permute(0, 3, 1, 2).float() * self.scale + self.shift
                rows = self.module(values.to(self.dtype))
            else:
                high, low = pixels[:, 0, :GRID_BYTES].long().unflatten(1, (2, 2)).unbind(2)
                grids = high * 256 + low
                counts = grids.prod(dim=1)
                most = int(counts.max())
                values = pixels[:, 1 : most + 1].float() * self.scale + self.shift
                mask = torch.arange(most, device=pixels.device) < counts[:, None]
                rows = self.module(values.to(self.dtype), mask.long(), grids)
            rows = rows[0] if isinstance(rows, tuple) else rows
            return nn.functional.normalize(rows.float(), dim=-1)

    return PixelTower().requires_grad_(False)


class TorchImages:
    """An image tower on torch. Owns ``module`` (see :func:`with_normalisation`) and may move and convert it.
    Thread-safe."""

    def __init__(
        self,
        module: torch.nn.Module,
        preprocessing: Preprocessing | PatchPreprocessing,
        runtime: Runtime,
        plan: Plan,
    ) -> None:
        """Move ``module`` to the device and precision of ``plan``. Raises EncoderError where memory runs out."""
        import torch

        if runtime.threads is not None:
            torch.set_num_threads(runtime.threads)
        self._plan = plan
        self._pool = _pool(runtime) if plan.device == "cpu" else None
        dtypes = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
        try:
            module.to(plan.device, dtypes[plan.precision], memory_format=torch.channels_last)
        except (RuntimeError, MemoryError) as error:
            if not _is_out_of_memory(error):
                raise
            raise EncoderError(
                f"there is not enough memory on {plan.device} for the weights of this encoder",
                hint="close other programs, or choose the device cpu or a smaller encoder",
            ) from error
        # Only the module is in half precision; its normalisations stay in float32.
        self._tower: Any = with_normalisation(module, preprocessing).to(plan.device)
        self._compiled = runtime.compile
        if runtime.compile:
            self._tower = torch.compile(self._tower)
        self._batch_size = plan.batch_size

    @property
    def precision(self) -> str:
        return self._plan.precision

    @property
    def batch_size(self) -> int:
        """Pictures per run: the plan's value, halved each time memory ran out."""
        return self._batch_size

    def __call__(self, batch: Pixels) -> Float32:
        """Encode a stack of n prepared pictures as (n, dim) float32 unit rows. Takes at least one picture.

        Where memory runs out, halves the batch size for this and later calls. Raises EncoderError where it runs out for
        a single picture, and where torch.compile fails.
        """
        if self._pool is None or len(batch) == 1:
            return self._encode(batch)
        pool, workers = self._pool
        size = min(self._batch_size, math.ceil(len(batch) / workers))
        chunks = [batch[start : start + size] for start in range(0, len(batch), size)]
        return np.concatenate(list(pool.map(self._encode, chunks)))

    def _encode(self, batch: Pixels) -> Float32:
        import torch

        blocks: list[torch.Tensor] = []
        start = 0
        with torch.inference_mode():
            while start < len(batch):
                chunk = batch[start : start + self._batch_size]
                rows = self._run(chunk)
                if rows is None:
                    self._halve(len(chunk))
                else:
                    blocks.append(rows)
                    start += len(chunk)
            # A GPU computes while the next chunk is copied to it: wait for its rows only here.
            vectors: Float32 = torch.cat(blocks).cpu().numpy()
        return vectors

    def _run(self, chunk: Pixels) -> torch.Tensor | None:
        """Encode a stack of n pictures as (n, dim) on the device; None where memory ran out.

        The caller reacts after this frame is gone, since the traceback of a caught error keeps its allocations alive.
        """
        import torch

        try:
            pixels = torch.from_numpy(np.require(chunk, requirements=("C", "W")))
            if self._plan.device.startswith("cuda"):
                pixels = pixels.pin_memory()
            rows: torch.Tensor = self._tower(pixels.to(self._plan.device, non_blocking=True))
        except (RuntimeError, MemoryError) as error:
            if _is_out_of_memory(error):
                return None
            if self._compiled:  # the compiler raises any kind of error; no picture is to blame
                raise EncoderError(
                    f"torch.compile failed on this encoder: {error}", hint="leave compile out"
                ) from error
            raise
        return rows

    def _halve(self, failed: int) -> None:
        """Halve the batch size and free memory, after memory ran out for ``failed`` pictures."""
        import torch

        if failed == 1:
            raise EncoderError(
                f"there is not enough memory on {self._plan.device} to encode one picture",
                hint="close other programs, or choose the device cpu or a smaller encoder",
            )
        self._batch_size = min(self._batch_size, max(1, failed // 2))  # other threads may halve it, too
        gc.collect()
        if self._plan.device.startswith("cuda"):
            torch.cuda.empty_cache()
        elif self._plan.device == "mps":
            torch.mps.empty_cache()


def _is_out_of_memory(error: RuntimeError | MemoryError) -> bool:
    return isinstance(error, MemoryError) or any(text in str(error) for text in _OUT_OF_MEMORY)


def _pool(runtime: Runtime) -> tuple[ThreadPoolExecutor, int] | None:
    """Return a pool with a thread per processor, and their number; None for one processor or with torch.compile.

    On CPUs each thread encodes its own pictures. If all threads shared each matrix product, all would wait for the
    slowest at each of a hundred steps, and beside decoding threads one is always slow.
    """
    import torch

    workers = runtime.threads or available_cpus()
    if workers == 1 or runtime.compile:
        return None
    pool = ThreadPoolExecutor(workers, "imseek-encode", initializer=torch.set_num_threads, initargs=(1,))
    return pool, workers
