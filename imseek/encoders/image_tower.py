"""The image half of an encoder, whatever library its network comes from."""

from __future__ import annotations

import copy
import functools
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from imseek.encoders import int8
from imseek.encoders.checks import available_cpus, check_pictures
from imseek.encoders.device import plan
from imseek.encoders.precision_check import Guard, Verdict
from imseek.encoders.preprocess import Preprocessing
from imseek.encoders.runtime import Runtime
from imseek.encoders.torch_images import TorchImages
from imseek.errors import EncoderError
from imseek.types import Float32, Pixels

if TYPE_CHECKING:
    import torch

# They wait in memory, decoded.
_MOST: Final = 256


class ImageTower:
    """Prepared pictures to unit rows, on the device and in the precision that a Runtime asks for. Thread-safe.

    Any precision but fp32 is compared with fp32 first (:mod:`imseek.encoders.precision_check`); until that is over,
    rows are the fp32 ones. Where it fails, the precision ``auto`` becomes fp32, which ``notify`` is told, and one that
    the user named is an EncoderError. ``notify`` is also given a line before the int8 form of a network is made.
    """

    def __init__(
        self,
        module: Callable[[], torch.nn.Module],
        fingerprint: Callable[[], str],
        preprocessing: Preprocessing,
        dim: int,
        runtime: Runtime,
        notify: Callable[[str], None] | None = None,
    ) -> None:
        """``module`` gives the network, on the CPU in float32 and as in
        :func:`imseek.encoders.torch_images.with_pixels`. It is called once, when the first picture comes,
        and what it gives may be brought to another device and precision. ``fingerprint`` is the encoder's.

        Raises EncoderUnavailableError where the device or the precision is not to be had.
        """
        self._module = functools.cache(module)
        self._fingerprint = fingerprint
        self._preprocessing = preprocessing
        self._dim = dim
        self._runtime = runtime
        self._notify = notify
        self._plan = plan(runtime, preprocessing.size)
        self._lock = threading.Lock()
        self._run: TorchImages | int8.Int8Images | None = None
        #: While ``_run`` is on trial.
        self._exact: TorchImages | None = None
        self._guard: Guard | None = None

    @property
    def precision(self) -> str:
        """``fp32``, ``bf16``, ``fp16`` or ``int8``, as far as is known; the first pictures may change it."""
        return "fp32" if self._guard is not None else self._plan.precision

    @property
    def batch_size(self) -> int:
        """Pictures that keep the device busy: one run of the network, on CPUs one for each processor."""
        workers = (self._runtime.threads or available_cpus()) if self._plan.device == "cpu" else 1
        return min(_MOST, workers * self._plan.batch_size)

    def __call__(self, batch: Pixels) -> Float32:
        """(n, size, size, 3) uint8 → (n, dim) float32 unit rows. Raises UsageError for any other array."""
        check_pictures(batch, self._preprocessing.size)
        if not len(batch):
            return np.empty((0, self._dim), dtype=np.float32)
        with self._lock:
            if self._run is None:
                self._start()
            if self._guard is not None:
                return self._compared(batch)
            run = self._run
        assert run is not None
        return run(batch)

    def _start(self) -> None:
        precision = self._plan.precision
        if precision == "fp32":
            self._run = self._on_torch(self._module())
            return
        device = self._plan.device.partition(":")[0]
        key = f"{precision}-{device}-{self._fingerprint()[:32]}"
        guard = Guard(key, precision, keep=self._runtime.keep_verdict)
        if guard.verdict is not None and not guard.verdict.passed:
            self._fall_back(guard.verdict)
            self._run = self._on_torch(self._module())
            return
        on_trial = guard.verdict is None
        run: TorchImages | int8.Int8Images
        if precision == "int8":
            run = int8.Int8Images(
                self._module, self._fingerprint(), self._preprocessing, self._runtime, self._notify
            )
        else:
            module = self._module()
            run = self._on_torch(copy.deepcopy(module) if on_trial else module)
        if on_trial:
            self._guard, self._exact = guard, self._in_fp32()
        self._run = run  # last: where a step before failed, all is tried again

    def _compared(self, batch: Pixels) -> Float32:
        """While ``_run`` is on trial."""
        assert self._guard is not None
        assert self._exact is not None
        assert self._run is not None
        few = batch[: self._guard.missing]
        rows = self._exact(few)
        verdict = self._guard.compare(rows, self._run(few))
        if verdict is None:
            return rows
        exact, self._exact, self._guard = self._exact, None, None
        if not verdict.passed:
            self._run = None  # a refusal holds for later calls, too
            self._fall_back(verdict)
            self._run = exact
        rest = batch[len(few) :]
        return np.concatenate([rows, self._run(rest)]) if len(rest) else rows

    def _fall_back(self, verdict: Verdict) -> None:
        if self._runtime.precision != "auto":
            raise EncoderError(str(verdict), hint="choose the precision auto or fp32")
        if self._notify is not None:
            self._notify(f"{verdict}: fp32 is used")
        self._plan = replace(self._plan, precision="fp32")

    def _on_torch(self, module: torch.nn.Module) -> TorchImages:
        return TorchImages(module, self._preprocessing, self._runtime, self._plan)

    def _in_fp32(self) -> TorchImages:
        exact = replace(self._plan, precision="fp32")
        return TorchImages(self._module(), self._preprocessing, replace(self._runtime, compile=False), exact)
