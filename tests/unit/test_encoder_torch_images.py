"""Batches of pictures on torch: the same rows whatever the batch, little memory, half precision."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import skimage.data
import torch
from torch import nn

from imseek.encoders.device import Plan
from imseek.encoders.preprocess import Preprocessing
from imseek.encoders.runtime import Runtime
from imseek.encoders.torch_images import TorchImages
from imseek.errors import EncoderError

pytestmark = pytest.mark.slow

RECORD = Preprocessing(16, "squash", "bicubic", (0.48, 0.46, 0.41), (0.27, 0.26, 0.28))
DIM = 12
EXACT = Plan("cpu", "fp32", 16)


@pytest.fixture(scope="module")
def squares() -> np.ndarray:
    photos = [getattr(skimage.data, name)() for name in ("astronaut", "chelsea", "coffee", "rocket")]
    views = [view for photo in photos for view in (photo, photo[::-1], photo[:, ::-1])]
    return np.stack([RECORD.prepare(np.ascontiguousarray(view)) for view in views])


def network(seed: int = 3) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 8, 4, 4), nn.GELU(), nn.Flatten(), nn.Linear(128, DIM))


def tower(module: nn.Module, plan: Plan = EXACT, *, threads: int = 1, **options: object) -> TorchImages:
    return TorchImages(module, RECORD, Runtime(threads=threads, **options), plan)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    """They are the whole process's."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_rows_are_those_of_the_network_behind_the_plain_formula(squares: np.ndarray) -> None:
    values = ((squares / 255 - RECORD.mean) / RECORD.std).transpose(0, 3, 1, 2)
    with torch.inference_mode():
        expected = network().double()(torch.from_numpy(values)).numpy()
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    found = tower(network())(squares)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert (expected @ expected.T).min() < 0.99


def test_a_tower_that_gives_its_tokens_too_is_understood(squares: np.ndarray) -> None:
    class WithTokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = network()

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return self.inner(x), x

    np.testing.assert_array_equal(tower(WithTokens())(squares), tower(network())(squares))


@pytest.mark.parametrize("batch_size", [1, 5, 12, 100])
def test_rows_do_not_depend_on_the_batch_size(squares: np.ndarray, batch_size: int) -> None:
    rows = tower(network(), Plan("cpu", "fp32", batch_size))(squares)
    np.testing.assert_allclose(rows, tower(network())(squares), atol=1e-6)


def test_the_network_works_channels_last_and_its_pictures_travel_as_bytes(squares: np.ndarray) -> None:
    seen: list[torch.Tensor] = []
    module = network()
    module[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    tower(module)(squares)
    assert all(values.is_contiguous(memory_format=torch.channels_last) for values in seen)
    assert module[0].weight.is_contiguous(memory_format=torch.channels_last)
    readonly = squares.copy()
    readonly.flags.writeable = False
    tower(module)(readonly)  # torch warns about arrays that it may not write to


class Greedy(nn.Module):
    """Fails like an allocator does where a batch has more rows than ``most``."""

    def __init__(self, most: int, failure: Callable[[], BaseException]) -> None:
        super().__init__()
        self.inner = network()
        self.most = most
        self.failure = failure
        self.sizes: list[int] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.sizes.append(len(x))
        if len(x) > self.most:
            raise self.failure()
        return self.inner(x)


FAILURES = [
    lambda: torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."),
    lambda: RuntimeError("MPS backend out of memory (MPS allocated: 9 GB, max allowed: 9 GB)"),
    lambda: RuntimeError(
        "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to "
        "allocate 9 bytes. Error code 12 (Cannot allocate memory)"
    ),
    MemoryError,
]


@pytest.mark.parametrize("failure", FAILURES)
def test_out_of_memory_halves_the_batch_and_goes_on(squares: np.ndarray, failure: Callable[[], BaseException]) -> None:
    module = Greedy(3, failure)
    images = tower(module)
    np.testing.assert_allclose(images(squares), tower(network())(squares), atol=1e-6)
    assert module.sizes == [12, 6, 3, 3, 3, 3]
    assert images.batch_size == 3
    images(squares)  # what was found out is remembered
    assert module.sizes[6:] == [3, 3, 3, 3]


@pytest.mark.parametrize("threads", [2, 3, 5])
def test_threads_take_pictures_of_their_own(squares: np.ndarray, threads: int) -> None:
    expected = tower(network())(squares)
    for most in (12, 2):  # enough memory, and too little
        module = Greedy(most, MemoryError)
        images = tower(module, threads=threads)
        np.testing.assert_allclose(images(squares), expected, atol=1e-6)
        assert max(module.sizes) <= -(-len(squares) // threads)
        np.testing.assert_allclose(images(squares[:1]), expected[:1], atol=1e-6)
    with pytest.raises(EncoderError, match="not enough memory"):
        tower(Greedy(0, MemoryError), threads=threads)(squares)


def test_a_batch_that_is_too_large_late_loses_and_doubles_no_row(squares: np.ndarray) -> None:
    class Shrinking(Greedy):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.most = 5 if len(self.sizes) < 1 else 2
            return super().forward(x)

    module = Shrinking(5, MemoryError)
    rows = tower(module, Plan("cpu", "fp32", 5))(squares)
    assert module.sizes == [5, 5, 2, 2, 2, 1]
    np.testing.assert_allclose(rows, tower(network())(squares), atol=1e-6)


def test_no_memory_for_a_single_picture_is_an_error(squares: np.ndarray) -> None:
    with pytest.raises(EncoderError, match="not enough memory on cpu") as caught:
        tower(Greedy(0, MemoryError))(squares)
    assert "smaller encoder" in (caught.value.hint or "")


def test_the_cpus_own_allocator_is_understood() -> None:
    """A real refusal, of more memory than any machine has."""

    class Huge(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = network()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            torch.empty((len(x), 1 << 53), dtype=torch.uint8)
            return self.inner(x)

    with pytest.raises(EncoderError, match="not enough memory"):
        tower(Huge())(np.zeros((3, 16, 16, 3), dtype=np.uint8))


def test_other_errors_are_not_taken_for_a_lack_of_memory(squares: np.ndarray) -> None:
    module = Greedy(3, lambda: RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    with pytest.raises(RuntimeError, match="multiplied"):
        tower(module)(squares)
    assert module.sizes == [12]


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_is_half_precision_and_near(squares: np.ndarray, precision: str) -> None:
    half = Plan("cpu", precision, 16)
    module = network()
    images = tower(module, half)
    rows, exact = images(squares), tower(network())(squares)
    assert images.precision == precision
    assert {parameter.dtype for parameter in module.parameters()} == {
        torch.bfloat16 if precision == "bf16" else torch.float16
    }
    assert rows.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)
    assert (rows * exact).sum(axis=1).min() > 0.999
    assert np.abs(rows - exact).max() > 1e-6  # else it was not computed in half precision


def test_threads_are_torchs(squares: np.ndarray) -> None:
    before = torch.get_num_threads()
    try:
        tower(network(), threads=1)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


def compiled_by(backend: object, monkeypatch: pytest.MonkeyPatch) -> TorchImages:
    """Traced by torch.compile's front end, but not turned into C++: that takes a compiler and half a minute."""
    real = torch.compile
    monkeypatch.setattr(torch, "compile", lambda module: real(module, backend=backend))
    return tower(network(), Plan("cpu", "fp32", 5), compile=True)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, while it compiles
def test_a_compiled_tower_computes_the_same(squares: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    graphs: list[object] = []

    def backend(graph: torch.fx.GraphModule, inputs: object) -> object:
        graphs.append(graph)
        return graph.forward

    rows = compiled_by(backend, monkeypatch)(squares)
    assert graphs
    np.testing.assert_allclose(rows, tower(network())(squares), atol=1e-6)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_compiler_that_fails_is_an_error_of_the_encoder(squares: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    def backend(graph: object, inputs: object) -> object:
        raise OSError("no working C++ compiler was found")

    with pytest.raises(EncoderError, match=r"no working C\+\+ compiler") as caught:
        compiled_by(backend, monkeypatch)(squares)
    assert caught.value.hint == "leave compile out"


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_real_gpu_computes_what_the_cpu_does(squares: np.ndarray, precision: str) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    many = np.concatenate([squares] * 20)
    exact = tower(network())(many)
    rows = tower(network(), Plan("cuda:0", precision, 32))(many)
    assert (rows * exact).sum(axis=1).min() > 0.999
    np.testing.assert_allclose(rows[:12], rows[-12:], atol=1e-3)  # no row was read before it was there


@pytest.mark.gpu
def test_a_real_gpu_that_runs_out_of_memory_goes_on() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")

    class Filling(nn.Module):
        """Takes a hundredth of the GPU's memory for each picture."""

        def __init__(self) -> None:
            super().__init__()
            self.inner = network()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            torch.empty(len(x) * (torch.cuda.mem_get_info()[1] // 100), dtype=torch.uint8, device="cuda")
            return self.inner(x)

    images = tower(Filling(), Plan("cuda:0", "fp32", 256))
    assert images(np.zeros((256, 16, 16, 3), dtype=np.uint8)).shape == (256, DIM)
    assert images.batch_size < 100


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory."), MemoryError()])
def test_no_memory_for_the_weights_is_an_error(error: Exception) -> None:
    class Large(nn.Linear):
        def _apply(self, *_: object, **__: object) -> nn.Module:
            raise error

    with pytest.raises(EncoderError, match="not enough memory on cpu for the weights"):
        tower(Large(3, 3))
