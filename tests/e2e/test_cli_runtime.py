"""``--device``, ``--precision`` and the other flags for how vectors are computed."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import get_args

import pytest
from PIL import Image

import imseek
from imseek.encoders import device
from imseek.encoders.device import Machine
from imseek.encoders.precision_check import PICTURES_TO_COMPARE
from imseek.encoders.runtime import PRECISIONS
from imseek.ui.cli.executor_flags import ExecutorFlags
from imseek.ui.cli.flag_groups import flags_of
from imseek.ui.cli.runtime_flags import RuntimeFlags
from imseek.ui.cli.source_flags import SourceFlags

TINY = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "patch_size": 8},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import open_clip
    import safetensors.torch
    import torch

    folder = tmp_path_factory.mktemp("tiny")
    (folder / "imseek-runtime-tiny.json").write_text(json.dumps(TINY))
    open_clip.add_model_config(folder / "imseek-runtime-tiny.json")
    torch.manual_seed(5)
    state = open_clip.create_model("imseek-runtime-tiny").state_dict()
    safetensors.torch.save_file(state, folder / "tiny.safetensors")
    return folder / "tiny.safetensors"


@pytest.fixture
def encoder(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A reference; the machine has a CPU that multiplies bf16, and no GPU."""
    monkeypatch.setenv("IMSEEK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(device, "this_machine", lambda: Machine(cpu_bf16=True))
    return f"openclip:imseek-runtime-tiny@{weights}"


@pytest.mark.parametrize(
    ("flags", "options", "without"),
    [(ExecutorFlags, imseek.Ray, "executor"), (SourceFlags, imseek.SourceOptions, "encoder")],
)
def test_flags_are_the_fields_of_the_options_that_they_set(flags: type, options: type, without: str) -> None:
    assert flags_of(flags).keys() ^ {field.name for field in fields(options)} == {without}


def test_the_flags_are_the_fields_of_a_runtime_with_its_defaults() -> None:
    assert asdict(RuntimeFlags()) | {"keep_verdict": True} == asdict(imseek.Runtime())  # that one is for programs
    (option,) = get_args(flags_of(RuntimeFlags)["precision"].annotation)[1:]
    assert all(name in option.help for name in PRECISIONS)


@pytest.mark.parametrize(
    ("flags", "more", "precision"),
    [
        ((), PICTURES_TO_COMPARE, "bf16"),
        ((), 0, "fp32"),  # too few to tell what bf16 does to them
        (("--precision", "fp32", "--device", "cpu"), PICTURES_TO_COMPARE, "fp32"),
        (("--batch-size", "2", "--threads", "1", "--exact-decode"), PICTURES_TO_COMPARE, "bf16"),
    ],
)
def test_a_run_reports_its_precision(cli, pictures, encoder, flags: tuple[str, ...], more: int, precision: str) -> None:
    for n in range(more):
        Image.new("RGB", (40, 30), (10 * n, 0, 90)).save(pictures / f"{n}.png")
    outcome = cli("index", pictures, "--encoder", encoder, "--json", *flags)
    assert outcome.code == 0, outcome.err
    assert outcome.json("index")["precision"] == precision
    found = cli("similar", pictures / "red.png", "-n", "1", "--json", "--precision", "fp32").json("search")
    assert found["hits"][0]["path"] == str(pictures / "red.png")
    assert found["hits"][0]["score"] == pytest.approx(1, abs=2e-3)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--device", "gpu"), "no device is called 'gpu'"),
        (("--precision", "int9"), "no precision is called 'int9'"),
        (("--batch-size", "0"), "the batch size must be a whole number of at least 1, not 0"),
        (("--threads", "-1"), "the number of threads must be a whole number of at least 1, not -1"),
        (("--threads", "many"), "'many' is not a whole number"),
        (("--precision", "int8", "--compile"), "nothing to compile"),
    ],
)
def test_values_that_make_no_sense_are_usage_errors(
    cli, pictures, encoder, home, flags: tuple[str, ...], message: str
) -> None:
    outcome = cli("index", pictures, "--encoder", encoder, *flags)
    assert outcome.code == 2
    assert message in outcome.err
    assert not home.exists() or not list(home.rglob("collection.json"))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--device", "cuda:3"), "torch finds no device cuda:3 here, only cpu"),
        (("--device", "mps"), "torch finds no device mps here, only cpu"),
        (("--precision", "fp16"), "fp16 is not to be had on cpu"),
    ],
)
def test_what_the_machine_lacks_is_an_error_before_anything_is_made(
    cli, pictures, encoder, home, flags: tuple[str, ...], message: str
) -> None:
    outcome = cli("index", pictures, "--encoder", encoder, *flags)
    assert outcome.code == 1
    assert message in outcome.err
    assert "hint: " in outcome.err or "mps" in message
    assert not list(home.rglob("collection.json"))


def test_similar_needs_the_device_and_words_do_not(cli, pictures, encoder) -> None:
    assert cli("index", pictures, "--encoder", encoder).code == 0
    outcome = cli("similar", pictures / "red.png", "--device", "cuda")
    assert outcome.code == 1
    assert "no device cuda here" in outcome.err
    assert cli("search", "red").code == 0


def test_the_builtin_encoder_refuses_what_it_has_not(cli, pictures) -> None:
    outcome = cli("index", pictures, "--encoder", "builtin", "--precision", "bf16")
    assert outcome.code == 1
    assert "builtin computes in fp32 only, not in bf16" in outcome.err
