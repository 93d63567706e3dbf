"""The image half of an encoder, whichever library its network comes from."""

from __future__ import annotations

import copy
import functools
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from imseek.encoders import int8
from imseek.encoders.device import MAX_BATCH, cpu_batch, plan
from imseek.encoders.naflex_preprocess import PatchPreprocessing, patch_counts
from imseek.encoders.precision_check import PrecisionCheck, Verdict
from imseek.encoders.preprocess import Preprocessing
from imseek.encoders.runtime import Runtime
from imseek.encoders.torch_images import TorchImages
from imseek.errors import EncoderError, EncoderUnavailableError
from imseek.types.arrays import Float32, Pixels

if TYPE_CHECKING:
    import torch


class ImageTower:
    """Encodes prepared pictures as unit rows, on the device and in the precision of a Runtime. Thread-safe.

    Any precision but fp32 is first compared with fp32 (:mod:`imseek.encoders.precision_check`); until that is decided,
    the fp32 rows are returned. If the comparison fails, the precision ``auto`` falls back to fp32 with a line to
    ``notify``, and a precision named by the user raises EncoderError. ``notify`` also receives a line before a network
    is converted to int8.
    """

    def __init__(
        self,
        module: Callable[[], torch.nn.Module],
        fingerprint: Callable[[], str],
        preprocessing: Preprocessing | PatchPreprocessing,
        dim: int,
        runtime: Runtime,
        notify: Callable[[str], None] | None = None,
    ) -> None:
        """Plan device and precision; the network is built with the first picture.

        ``module`` returns the network, on the CPU in float32, as
        :func:`imseek.encoders.torch_images.with_normalisation` takes it. It is called once, and the result may be
        moved to another device and precision. ``fingerprint`` returns the encoder's.

        Raises EncoderUnavailableError where the device or the precision is unavailable.
        """
        if runtime.precision == "int8" and isinstance(preprocessing, PatchPreprocessing):
            raise EncoderUnavailableError(
                "int8 is for encoders of square pictures, and this one keeps their proportions",
                hint="leave the precision to auto",
            )
        self._module = functools.cache(module)
        self._fingerprint = fingerprint
        self._preprocessing = preprocessing
        self._dim = dim
        self._runtime = runtime
        self._notify = notify
        self._plan = plan(runtime, preprocessing.size)
        self._lock = threading.Lock()
        self._run: TorchImages | int8.Int8Images | None = None
        #: Set only while ``_run`` is on trial.
        self._exact: TorchImages | None = None
        self._guard: PrecisionCheck | None = None

    @property
    def precision(self) -> str:
        """``fp32``, ``bf16``, ``fp16`` or ``int8``; the first pictures may change it."""
        return "fp32" if self._guard is not None else self._plan.precision

    @property
    def batch_size(self) -> int:
        """The number of pictures that keeps the device busy: one run of the network, or on a CPU one per processor."""
        if self._plan.device == "cpu":
            return cpu_batch(self._runtime, self._preprocessing.size)
        return min(MAX_BATCH, self._plan.batch_size)

    def module(self) -> torch.nn.Module:
        """Return the network, on the CPU in float32: only before the first pictures, which may move and convert it."""
        return self._module()

    def __call__(self, batch: Pixels) -> Float32:
        """Encode a stack of n prepared pictures as (n, dim) float32 unit rows. Raises UsageError for another array."""
        self._preprocessing.check(batch)
        if not len(batch):
            return np.empty((0, self._dim), dtype=np.float32)
        if isinstance(self._preprocessing, Preprocessing):
            return self._encode(batch)
        # Pictures of like sizes share a run, which computes as many patches as the largest of them has.
        order = np.argsort(patch_counts(batch), kind="stable")
        rows = np.empty((len(batch), self._dim), dtype=np.float32)
        rows[order] = self._encode(batch[order])
        return rows

    def _encode(self, batch: Pixels) -> Float32:
        with self._lock:
            if self._run is None:
                self._start()
            if self._guard is not None:
                return self._encode_on_trial(batch)
            run = self._run
        assert run is not None
        return run(batch)

    def _start(self) -> None:
        precision = self._plan.precision
        if precision == "fp32":
            self._run = self._torch_images(self._module())
            return
        device = self._plan.device.partition(":")[0]
        key = f"{precision}-{device}-{self._fingerprint()[:32]}"
        guard = PrecisionCheck(key, precision, keep=self._runtime.keep_verdict)
        if guard.verdict is not None and not guard.verdict.passed:
            self._fall_back(guard.verdict)
            self._run = self._torch_images(self._module())
            return
        on_trial = guard.verdict is None
        run: TorchImages | int8.Int8Images
        if precision == "int8":
            assert isinstance(self._preprocessing, Preprocessing)
            run = int8.Int8Images(self._module, self._fingerprint(), self._preprocessing, self._runtime, self._notify)
        else:
            module = self._module()
            run = self._torch_images(copy.deepcopy(module) if on_trial else module)
        if on_trial:
            self._guard, self._exact = guard, self._fp32_images()
        self._run = run  # last, so that a failed step above is retried

    def _encode_on_trial(self, batch: Pixels) -> Float32:
        """Encode a batch while ``_run`` is on trial."""
        assert self._guard is not None
        assert self._exact is not None
        assert self._run is not None
        sample = batch[: self._guard.missing]
        rows = self._exact(sample)
        verdict = self._guard.compare(rows, self._run(sample))
        if verdict is None:
            return rows
        exact, self._exact, self._guard = self._exact, None, None
        if not verdict.passed:
            self._run = None  # so that later calls raise as well
            self._fall_back(verdict)
            self._run = exact
        rest = batch[len(sample) :]
        return np.concatenate([rows, self._run(rest)]) if len(rest) else rows

    def _fall_back(self, verdict: Verdict) -> None:
        if self._runtime.precision != "auto":
            raise EncoderError(str(verdict), hint="choose the precision auto or fp32")
        if self._notify is not None:
            self._notify(f"{verdict}: fp32 is used")
        self._plan = replace(self._plan, precision="fp32")

    def _torch_images(self, module: torch.nn.Module) -> TorchImages:
        return TorchImages(module, self._preprocessing, self._runtime, self._plan)

    def _fp32_images(self) -> TorchImages:
        exact = replace(self._plan, precision="fp32")
        return TorchImages(self._module(), self._preprocessing, replace(self._runtime, compile=False), exact)
