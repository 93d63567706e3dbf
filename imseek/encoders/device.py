"""Choose device, precision and batch size of an image tower from the user's :class:`Runtime` and the machine."""

from __future__ import annotations

import functools
import importlib.util
import platform
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from imseek.encoders.input_checks import available_cpus
from imseek.encoders.runtime import Runtime
from imseek.errors import EncoderUnavailableError, UsageError

_CPU_INFO: Final = Path("/proc/cpuinfo")
# Linux's names: x86's two bfloat16 matrix extensions, and Arm's.
_BF16_FEATURES: Final = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
_INT8_FEATURES: Final = frozenset({"avx512_vnni", "avx_vnni"})
_AMPERE: Final = (8, 0)  # the first compute capability with bfloat16

# Drivers of NVIDIA's and AMD's cards, and of those that Windows lends to its Linux.
_GPU_FILES: Final = tuple(map(Path, ("/dev/nvidiactl", "/dev/nvidia0", "/dev/kfd", "/dev/dxg")))

#: The most pictures per call, since a batch waits in memory, decoded.
MAX_BATCH: Final = 256
# First batch size to try at 256 × 256 pixels; larger pictures get fewer, by area. On CPUs speed is flat from 8 to 32,
# then falls (docs/log.md); a GPU needs a large batch to fill its processors.
_CPU_BATCH: Final = 16
_GPU_BATCH: Final = 256
_LEAST_BATCH: Final = 4


@dataclass(frozen=True, slots=True)
class Gpu:
    """A CUDA device by name. ``bf16``: whether it multiplies bfloat16."""

    name: str
    bf16: bool


@dataclass(frozen=True, slots=True)
class Machine:
    """The available devices. ``int8_saturates``: products of bytes may overflow (x86 without VNNI)."""

    gpus: tuple[Gpu, ...] = ()
    mps: bool = False
    cpu_bf16: bool = False
    int8_saturates: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """A resolved runtime: torch's ``device`` name, a ``precision`` other than ``auto``, and the first batch size to
    try.
    """

    device: str
    precision: str
    batch_size: int


def plan(runtime: Runtime, image_size: int, machine: Machine | None = None) -> Plan:
    """Resolve ``runtime`` on ``machine`` (None: this one) for pictures of ``image_size`` pixels a side.

    The device ``auto`` is the first GPU, else Apple's, else the CPU. The precision ``auto`` is bf16 where the device
    multiplies it, else fp16 on a GPU and fp32 on a CPU. int8 runs on the CPU and is never chosen automatically: only
    real pictures show whether it preserves the vectors (:mod:`imseek.encoders.int8`). Raises EncoderUnavailableError
    for a missing device or an unsupported precision, and UsageError for choices that exclude each other.
    """
    machine = machine or this_machine()
    device = _device(runtime, machine)
    precision = _precision(runtime.precision, device, machine)
    if precision == "int8" and runtime.compile:
        raise UsageError("int8 does not run on torch, so there is nothing to compile")
    return Plan(device, precision, runtime.batch_size or _first_batch(device, image_size))


def is_cpu_only() -> bool:
    """Tell, without importing torch, whether this machine certainly has no device but the CPU. False means perhaps."""
    return sys.platform == "linux" and not any(path.exists() for path in _GPU_FILES)


def has_torch() -> bool:
    """Tell, without importing it, whether torch is installed: small installs go without (docs/install.md)."""
    return importlib.util.find_spec("torch") is not None


def require_torch(what: str) -> None:
    """Raise EncoderUnavailableError where torch is missing. ``what`` needs it, such as an encoder's reference."""
    if not has_torch():
        raise EncoderUnavailableError(
            f"{what} needs PyTorch, which is not installed", hint="in imseek's folder: pip install ."
        )


def cpu_batch(runtime: Runtime, image_size: int) -> int:
    """Return the number of pictures that keeps a CPU busy: one run of the network for each processor."""
    workers = runtime.threads or available_cpus()
    return min(MAX_BATCH, workers * (runtime.batch_size or _first_batch("cpu", image_size)))


def check_cpu_fp32(runtime: Runtime, reference: str) -> None:
    """Raise EncoderUnavailableError for a runtime that an fp32 encoder on the CPU, without torch, cannot provide.

    The device ``all`` passes: it applies only to encoders that can use cards.
    """
    if runtime.device not in ("auto", "cpu", "all"):
        raise EncoderUnavailableError(
            f"{reference} runs on the CPU only, not on {runtime.device}", hint="leave the device to auto"
        )
    if runtime.precision not in ("auto", "fp32"):
        raise EncoderUnavailableError(
            f"{reference} computes in fp32 only, not in {runtime.precision}",
            hint="leave the precision to auto",
        )
    if runtime.compile:
        raise EncoderUnavailableError(f"{reference} does not run on torch: there is nothing to compile")


@functools.cache
def this_machine() -> Machine:
    """Describe this machine. Imports torch to find GPUs."""
    import torch

    gpus = tuple(
        Gpu(torch.cuda.get_device_name(i), torch.cuda.get_device_capability(i) >= _AMPERE)
        for i in range(torch.cuda.device_count() if torch.cuda.is_available() else 0)
    )
    features = cpu_features()
    return Machine(
        gpus=gpus,
        mps=torch.backends.mps.is_available(),
        cpu_bf16=bool(features & _BF16_FEATURES),
        int8_saturates=platform.machine() in ("x86_64", "AMD64") and not features & _INT8_FEATURES,
    )


def cpu_features(path: Path = _CPU_INFO) -> frozenset[str]:
    """Return Linux's names for the features of the first processor; empty on other systems."""
    try:
        lines = path.read_text("ascii", "replace").splitlines()
    except OSError:
        return frozenset()
    for line in lines:
        name, _, values = line.partition(":")
        if name.strip() in ("flags", "Features"):  # x86, Arm
            return frozenset(values.split())
    return frozenset()


def _device(runtime: Runtime, machine: Machine) -> str:
    if runtime.device == "auto":
        if runtime.precision == "int8":
            return "cpu"
        return "cuda:0" if machine.gpus else "mps" if machine.mps else "cpu"
    available = [f"cuda:{i} ({gpu.name})" for i, gpu in enumerate(machine.gpus)]
    available += (["mps"] if machine.mps else []) + ["cpu"]
    device = "cuda:0" if runtime.device in ("cuda", "all") else runtime.device.partition(",")[0]
    if not any(name.split(" ")[0] == device for name in available):
        raise EncoderUnavailableError(
            f"torch finds no device {runtime.device} here, only {', '.join(available)}",
            hint=_no_gpu_hint() if device.startswith("cuda") and not machine.gpus else None,
        )
    return device


def _no_gpu_hint() -> str:
    import torch

    if torch.version.cuda is None and torch.version.hip is None:
        return "this torch was built for CPUs: install a CUDA build of it, or leave the device to auto"
    return "`nvidia-smi` tells whether the driver sees a GPU; or leave the device to auto"


def _precision(precision: str, device: str, machine: Machine) -> str:
    if device == "cpu":
        is_supported = {"fp32": True, "bf16": machine.cpu_bf16, "fp16": False, "int8": True}
    elif device == "mps":
        is_supported = {"fp32": True, "bf16": False, "fp16": True, "int8": False}
    else:
        is_supported = {
            "fp32": True,
            "bf16": machine.gpus[int(device.partition(":")[2])].bf16,
            "fp16": True,
            "int8": False,
        }
    if precision == "auto":
        return next(name for name in ("bf16", "fp16", "fp32") if is_supported[name])
    if is_supported[precision]:
        return precision
    usable = ", ".join(name for name, supported in is_supported.items() if supported)
    if device == "cpu" and precision == "bf16":
        raise EncoderUnavailableError(
            "this processor has no instructions for bf16 (AVX512-BF16, AMX-BF16, Arm's BF16): fp32 is faster",
            hint=f"precisions here: {usable}",
        )
    raise EncoderUnavailableError(f"{precision} is not to be had on {device}", hint=f"precisions there: {usable}")


def _first_batch(device: str, image_size: int) -> int:
    most = _CPU_BATCH if device == "cpu" else _GPU_BATCH
    return min(most, max(_LEAST_BATCH, most * 256 * 256 // image_size**2))
