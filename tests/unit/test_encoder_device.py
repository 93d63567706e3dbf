"""Where an image tower runs: choices on machines that are not here, by their description."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from imseek.encoders import Runtime, load
from imseek.encoders.device import Gpu, Machine, Plan, check_cpu_fp32, cpu_features, plan, this_machine
from imseek.errors import EncoderUnavailableError, UsageError

pytestmark = pytest.mark.slow

LAPTOP = Machine()
SERVER = Machine(cpu_bf16=True)
APPLE = Machine(mps=True)
WORKSTATION = Machine(gpus=(Gpu("NVIDIA H100", bf16=True), Gpu("Tesla T4", bf16=False)), cpu_bf16=True)


@pytest.mark.parametrize(
    ("machine", "runtime", "expected"),
    [
        (LAPTOP, Runtime(), ("cpu", "fp32")),
        (SERVER, Runtime(), ("cpu", "bf16")),
        (SERVER, Runtime(precision="fp32"), ("cpu", "fp32")),
        (APPLE, Runtime(), ("mps", "fp16")),
        (APPLE, Runtime(precision="fp32"), ("mps", "fp32")),
        (APPLE, Runtime(device="cpu"), ("cpu", "fp32")),
        (WORKSTATION, Runtime(), ("cuda:0", "bf16")),
        (WORKSTATION, Runtime(device="cuda"), ("cuda:0", "bf16")),
        (WORKSTATION, Runtime(device="cuda:1"), ("cuda:1", "fp16")),
        (WORKSTATION, Runtime(precision="fp16"), ("cuda:0", "fp16")),
        (WORKSTATION, Runtime(device="cpu"), ("cpu", "bf16")),
        # int8 runs on the CPU, so it takes the CPU along.
        (WORKSTATION, Runtime(precision="int8"), ("cpu", "int8")),
        (LAPTOP, Runtime(precision="int8"), ("cpu", "int8")),
    ],
)
def test_a_choice_comes_to_a_device_and_a_precision(
    machine: Machine, runtime: Runtime, expected: tuple[str, str]
) -> None:
    found = plan(runtime, 224, machine)
    assert (found.device, found.precision) == expected


@pytest.mark.parametrize(
    ("machine", "runtime", "message", "hint"),
    [
        (LAPTOP, Runtime(precision="bf16"), "no instructions for bf16", "fp32, int8"),
        (SERVER, Runtime(precision="fp16"), "fp16 is not to be had on cpu", "fp32, bf16, int8"),
        (APPLE, Runtime(precision="bf16"), "bf16 is not to be had on mps", "fp32, fp16"),
        (WORKSTATION, Runtime(device="cuda:1", precision="bf16"), "bf16 is not to be had on cuda:1", "fp16"),
        (WORKSTATION, Runtime(device="cuda", precision="int8"), "int8 is not to be had on cuda:0", "bf16"),
        (WORKSTATION, Runtime(device="mps"), "no device mps here, only cuda:0", None),
        (
            WORKSTATION,
            Runtime(device="cuda:3"),
            r"no device cuda:3 here, only cuda:0 \(NVIDIA H100\), cuda:1 \(Tesla T4\), cpu",
            None,
        ),
        (APPLE, Runtime(device="cuda"), "no device cuda here, only mps, cpu", "auto"),
    ],
)
def test_what_is_not_there_is_refused_by_name(
    machine: Machine, runtime: Runtime, message: str, hint: str | None
) -> None:
    with pytest.raises(EncoderUnavailableError, match=message) as caught:
        plan(runtime, 224, machine)
    if hint is None:
        assert caught.value.hint is None
    else:
        assert hint in (caught.value.hint or "")


def test_a_gpu_that_torch_cannot_see_is_told_from_a_torch_without_gpus(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hints = []
    for cuda in (None, "12.8"):
        monkeypatch.setattr(torch.version, "cuda", cuda)
        monkeypatch.setattr(torch.version, "hip", None)
        with pytest.raises(EncoderUnavailableError) as caught:
            plan(Runtime(device="cuda:0"), 224, LAPTOP)
        hints.append(caught.value.hint)
    assert "built for CPUs" in hints[0]
    assert "nvidia-smi" in hints[1]


def test_int8_leaves_nothing_to_compile() -> None:
    with pytest.raises(UsageError, match="nothing to compile"):
        plan(Runtime(precision="int8", compile=True), 224, LAPTOP)


def test_batches_follow_the_device_and_the_size_of_pictures() -> None:
    def batch(machine: Machine, size: int, runtime: Runtime | None = None) -> int:
        return plan(runtime or Runtime(), size, machine).batch_size

    assert [batch(LAPTOP, size) for size in (32, 224, 256, 384, 1024)] == [16, 16, 16, 7, 4]
    assert [batch(WORKSTATION, size) for size in (224, 256, 512, 4096)] == [256, 256, 64, 4]
    assert batch(WORKSTATION, 224, Runtime(batch_size=3)) == 3


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "processor\t: 0\nflags\t\t: fpu avx512_bf16 amx_tile\nprocessor\t: 1\nflags\t\t: fpu\n",
            {"fpu", "avx512_bf16", "amx_tile"},
        ),
        ("processor\t: 0\nFeatures\t: fp asimd bf16\n", {"fp", "asimd", "bf16"}),
        ("no such line\n", set()),
    ],
)
def test_features_are_those_of_the_first_processor(tmp_path: Path, text: str, expected: set[str]) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text(text)
    assert cpu_features(file) == expected
    assert cpu_features(tmp_path / "absent") == set()


def test_this_machine_says_what_its_processor_says() -> None:
    flags = Path("/proc/cpuinfo").read_text().split() if Path("/proc/cpuinfo").exists() else []
    expected = any(name in flags for name in ("avx512_bf16", "amx_bf16", "bf16"))
    assert this_machine().cpu_bf16 == expected
    assert len(this_machine().gpus) == (torch.cuda.device_count() if torch.cuda.is_available() else 0)


@pytest.mark.parametrize("runtime", [Runtime(device="cuda"), Runtime(precision="bf16"), Runtime(compile=True)])
def test_the_builtin_encoder_has_no_choices_and_says_so(runtime: Runtime) -> None:
    with pytest.raises(EncoderUnavailableError, match="builtin"):
        load("builtin", runtime=runtime)
    with pytest.raises(EncoderUnavailableError, match="elsewhere"):
        check_cpu_fp32(runtime, "elsewhere")
    assert load("builtin", modalities=("text",), runtime=runtime).precision == "fp32"  # no picture to encode


def test_what_the_builtin_encoder_does_anyway_is_accepted() -> None:
    encoder = load("builtin", runtime=Runtime(device="cpu", precision="fp32", batch_size=3, threads=1))
    assert encoder.precision == "fp32"


@pytest.mark.gpu
def test_a_real_gpu_is_taken_by_itself() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    found = plan(Runtime(), 224)
    assert found == Plan("cuda:0", "bf16" if torch.cuda.get_device_capability(0) >= (8, 0) else "fp16", 256)


@pytest.mark.parametrize(
    "wrong",
    [
        {"device": 3},
        {"device": None},
        {"precision": None},
        {"batch_size": 2.5},
        {"batch_size": "3"},
        {"threads": True},
    ],
)
def test_values_of_a_wrong_type_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        Runtime(**wrong)  # type: ignore[arg-type]
