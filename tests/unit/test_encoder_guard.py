"""The first pictures in a faster precision are compared with fp32, and what fails is not used."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from imseek.encoders import device, image_tower
from imseek.encoders.device import Machine
from imseek.encoders.image_tower import ImageTower
from imseek.encoders.precision_check import PICTURES_TO_COMPARE, PrecisionCheck, Verdict
from imseek.encoders.preprocess import Preprocessing
from imseek.encoders.runtime import Runtime
from imseek.errors import EncoderError, EncoderUnavailableError

pytestmark = pytest.mark.slow

RECORD = Preprocessing(8, "squash", "bicubic", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
DIM = 16
PICTURES = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), dtype=np.uint8)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder, and a machine whose CPU multiplies bf16 (this one computes it, however slowly)."""
    monkeypatch.setenv("IMSEEK_CACHE", str(tmp_path))
    monkeypatch.setattr(device, "this_machine", lambda: Machine(cpu_bf16=True))
    return tmp_path


class Network(nn.Module):
    """Linear; rows in half precision are turned by about ``turn`` radians, as by rounding."""

    def __init__(self, turn: float = 0.0) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.linear = nn.Linear(192, DIM)
        self.turn = turn

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows = self.linear(x.flatten(1))
        if rows.dtype != torch.float32:
            rows = rows + self.turn * rows.norm(dim=1, keepdim=True) * torch.eye(DIM, dtype=rows.dtype)[0]
        return rows


class Loads:
    """Counts how often the network is asked for."""

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self.count = 0

    def __call__(self) -> nn.Module:
        self.count += 1
        return self.network


def tower(module: object, precision: str = "auto", said: list[str] | None = None) -> ImageTower:
    notify = None if said is None else said.append
    runtime = Runtime(device="cpu", precision=precision)
    return ImageTower(module, lambda: "f" * 64, RECORD, DIM, runtime, notify)  # type: ignore[arg-type]


def exact(pictures: np.ndarray) -> np.ndarray:
    return tower(Network, "fp32")(pictures)


def verdicts(cache: Path) -> list[dict[str, object]]:
    return [json.loads(file.read_bytes()) for file in cache.glob("precision/*.json")]


def test_a_precision_that_keeps_vectors_is_used_after_the_first_pictures(cache: Path) -> None:
    said: list[str] = []
    images = tower(Network, said=said)
    assert images.precision == "bf16"
    np.testing.assert_array_equal(images(PICTURES[:10]), exact(PICTURES[:10]))
    assert verdicts(cache) == []  # ten are too few to say
    assert images.precision == "fp32"  # as those ten are
    rows = images(PICTURES[10:])
    np.testing.assert_array_equal(rows[: PICTURES_TO_COMPARE - 10], exact(PICTURES[10:PICTURES_TO_COMPARE]))
    rest = exact(PICTURES[PICTURES_TO_COMPARE:])
    assert np.abs(rows[PICTURES_TO_COMPARE - 10 :] - rest).max() > 1e-5  # bf16 by now
    assert (rows[PICTURES_TO_COMPARE - 10 :] * rest).sum(axis=1).min() > 0.9999
    (found,) = verdicts(cache)
    assert (found["precision"], found["pictures"]) == ("bf16", PICTURES_TO_COMPARE)
    assert 0.9999 < float(found["least_cosine"]) <= float(found["mean_cosine"]) < 1  # type: ignore[arg-type]
    assert (images.precision, said) == ("bf16", [])


def test_a_later_process_compares_no_more_and_loads_one_network(cache: Path) -> None:
    tower(Network)(PICTURES)
    loads = Loads(Network())
    rows = tower(loads)(PICTURES[:3])
    assert np.abs(rows - exact(PICTURES[:3])).max() > 1e-5  # bf16 from the first picture on
    assert loads.count == 1
    assert loads.network.linear.weight.dtype == torch.bfloat16  # type: ignore[union-attr]


@pytest.mark.parametrize("calls", [(40,), (10, 30), (16, 24), (1,) * 40])
def test_auto_falls_back_to_fp32_and_says_so(cache: Path, calls: tuple[int, ...]) -> None:
    said: list[str] = []
    images = tower(Loads(Network(turn=0.1)), said=said)
    batches = np.split(PICTURES, np.cumsum(calls)[:-1])
    rows = np.concatenate([images(batch) for batch in batches])
    np.testing.assert_allclose(rows, exact(PICTURES), atol=1e-6)
    assert images.precision == "fp32"
    (line,) = said
    assert line.startswith("bf16 changes the vectors of this encoder too much: over 16 pictures")
    assert line.endswith("0.999 is needed: fp32 is used")
    later: list[str] = []
    again = tower(Network(turn=0.1).float, said=later)  # from the stored verdict, before any picture is compared
    np.testing.assert_allclose(again(PICTURES[:1]), exact(PICTURES[:1]), atol=1e-6)
    assert (later, again.precision) == (said, "fp32")


def test_a_precision_that_was_asked_for_is_refused_every_time(cache: Path) -> None:
    images = tower(Loads(Network(turn=0.1)), "bf16")
    np.testing.assert_array_equal(images(PICTURES[:5]), exact(PICTURES[:5]))
    for batch in (PICTURES[5:], PICTURES[:2]):
        with pytest.raises(EncoderError, match=r"bf16 changes .* too much: .* 0\.99\d+ \(least") as caught:
            images(batch)
        assert caught.value.hint == "choose the precision auto or fp32"
    with pytest.raises(EncoderError, match="too much"):
        tower(Loads(Network(turn=0.1)), "bf16")(PICTURES[:1])


def test_vectors_that_are_not_numbers_fail(cache: Path) -> None:
    network = Network()
    with torch.no_grad():
        network.linear.weight *= 1e38  # finite in float32 and bf16, but not its sums in either … nor their norm
        network.turn = float("nan")
    said: list[str] = []
    rows = tower(Loads(network), said=said)(PICTURES)
    assert rows.shape == (40, DIM)
    assert "nan" in said[0]


def test_the_network_is_asked_for_once_and_late(cache: Path) -> None:
    loads = Loads(Network())
    images = tower(loads)
    assert images(PICTURES[:0]).shape == (0, DIM)
    assert loads.count == 0
    images(PICTURES)
    assert loads.count == 1
    with pytest.raises(EncoderUnavailableError, match="cuda:7"):
        ImageTower(loads, lambda: "f" * 64, RECORD, DIM, Runtime(device="cuda:7"))


def test_int8_takes_the_same_way(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The network itself is tested in test_encoder_precision.py; here it is one that rounds too much."""

    def rounded(module: object, fingerprint: str, record: object, runtime: Runtime, notify: object) -> object:
        assert (fingerprint, runtime.precision) == ("f" * 64, "int8")
        return lambda batch: np.sign(exact(batch)) / np.sqrt(DIM)

    monkeypatch.setattr(image_tower, "int8", SimpleNamespace(Int8Images=rounded))
    images = tower(Network, "int8")
    assert images.precision == "int8"
    with pytest.raises(EncoderError, match=r"int8 .* too much: .* 0\.99 is needed"):
        images(PICTURES)


@pytest.mark.parametrize("damage", ["", "{}", "[]", '{"precision": "bf16"}', '{"pictures": 3}'])
def test_a_damaged_verdict_is_found_anew(cache: Path, damage: str) -> None:
    tower(Network)(PICTURES)
    (file,) = cache.glob("precision/*.json")
    before = file.read_bytes()
    file.write_text(damage)
    tower(Network)(PICTURES)
    assert file.read_bytes() == before


def test_verdicts_of_other_weights_precisions_and_devices_are_others(cache: Path) -> None:
    tower(Network)(PICTURES)
    (file,) = cache.glob("precision/*.json")
    assert file.stem == f"bf16-cpu-{'f' * 32}"
    assert PrecisionCheck(file.stem, "bf16").verdict is not None
    assert PrecisionCheck("bf16-cuda-" + "f" * 32, "bf16").verdict is None


def test_a_cache_that_cannot_be_written_costs_only_time(cache: Path) -> None:
    (cache / "precision").write_text("in the way")
    assert tower(Network)(PICTURES).shape == (40, DIM)


def test_the_mean_decides_and_at_the_threshold_it_passes() -> None:
    assert Verdict("bf16", 16, 0.999, 0.5).passed
    assert not Verdict("fp16", 16, 0.9989, 0.9989).passed
    assert Verdict("int8", 16, 0.99, 0.9).passed
    assert not Verdict("int8", 16, float("nan"), float("nan")).passed


def test_a_trial_that_is_not_to_be_kept_neither_writes_a_verdict_nor_reads_one(cache: Path) -> None:
    unkept = Runtime(device="cpu", keep_verdict=False)
    good = ImageTower(Network, lambda: "f" * 64, RECORD, DIM, unkept)
    good(PICTURES)
    assert good.precision == "bf16"
    assert verdicts(cache) == []
    tower(Network)(PICTURES)  # a verdict of real pictures, which passed
    said: list[str] = []
    bad = ImageTower(Loads(Network(turn=0.1)), lambda: "f" * 64, RECORD, DIM, unkept, said.append)  # type: ignore[arg-type]
    bad(PICTURES)
    assert (bad.precision, len(said)) == ("fp32", 1)
    (found,) = verdicts(cache)
    assert float(found["mean_cosine"]) > 0.9999  # type: ignore[arg-type]


def test_a_start_that_fails_leaves_no_untried_precision_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    images = tower(Network(turn=0.1).float, said=(said := []))
    real, failures = image_tower.TorchImages, iter([MemoryError()])

    def short_of_memory(module, preprocessing, runtime, plan):
        if plan.precision == "fp32":
            for failure in failures:
                raise failure
        return real(module, preprocessing, runtime, plan)

    monkeypatch.setattr(image_tower, "TorchImages", short_of_memory)
    with pytest.raises(MemoryError):
        images(PICTURES)
    np.testing.assert_allclose(images(PICTURES), exact(PICTURES), atol=1e-6)
    assert (images.precision, len(said)) == ("fp32", 1)
