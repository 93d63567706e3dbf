"""What runs from exported towers runs where torch is not installed: the install of deploy/light.txt.

Processes get a sitecustomize.py that makes these packages missing: importing one fails, and looking for one finds none.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from documentation import ROOT

pytestmark = pytest.mark.slow

#: Packages that deploy/light.txt leaves out, by what they are called in pyproject.toml and when imported. open_clip is
#: there in part: imseek reads the names of ImageNet's classes from it, and does not import it.
LEFT_OUT = {
    "onnxscript": "onnxscript",
    "open_clip_torch": "open_clip",
    "timm": "timm",
    "torch": "torch",
    "torchvision": "torchvision",
    "transformers": "transformers",
}
BLOCK = f"""
import sys
for name in {sorted(set(LEFT_OUT.values()) - {"open_clip"} | {"sentence_transformers"})}:
    sys.modules[name] = None
"""

#: Does commands one after the other, and writes the code and the output of each as a line of JSON.
RUN = """
import contextlib, io, json, sys
from imseek.ui.cli import main
for arguments in json.loads(sys.argv[1]):
    with contextlib.redirect_stdout(io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)) as out:
        code = main(arguments)
    print(json.dumps([code, out.buffer.getvalue().decode()]))
"""

Imseek = Callable[..., list[str]]


@pytest.fixture
def imseek(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, photos: Path) -> Imseek:
    """Runs commands in a process without these packages, in a home of its own; returns what each prints.

    With ``code``, all end with it, and what they say on stderr is returned as one text.
    """
    (tmp_path / "blocked").mkdir()
    (tmp_path / "blocked" / "sitecustomize.py").write_text(BLOCK)
    monkeypatch.chdir(tmp_path)
    for name in ("home", "cache", "hub"):
        monkeypatch.setenv(f"IMSEEK_{name.upper()}" if name != "hub" else "HF_HUB_CACHE", str(tmp_path / name))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    def run(*commands: tuple[str, ...], torch: bool = False, code: int = 0) -> list[str]:
        paths = [
            *([] if torch else [str(tmp_path / "blocked")]),
            *filter(None, [os.environ.get("PYTHONPATH"), str(ROOT)]),
        ]
        done = subprocess.run(
            [sys.executable, "-c", RUN, json.dumps(commands)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
        ends = [json.loads(line) for line in done.stdout.splitlines()]
        assert [found for found, _ in ends] == [code] * len(commands), done.stderr
        return [output for _, output in ends] if code == 0 else [done.stderr]

    return run


def first(output: str) -> str:
    return Path(json.loads(output)["hits"][0]["path"]).name


@pytest.mark.always
def test_the_builtin_encoder_works_from_nothing(imseek: Imseek, photos: Path) -> None:
    cat = next(photos.rglob("chelsea.png"))
    shutil.copy(cat, photos / "copy.png")
    imseek(("index", str(photos), "--encoder", "auto"))
    words, like, similar, duplicates, *_, info, _, _, _, _ = imseek(
        ("search", "a cat", "--json"),
        ("search", "--like", str(cat), "--json"),
        ("similar", str(cat), "--json"),
        ("duplicates", "--json"),
        ("label", "--classes", "cat,dog", "--save", "pet"),
        ("clusters", "-k", "2"),
        ("info",),
        ("doctor",),
        ("encoders",),
        ("ui", "--help"),
        ("serve", "--help"),
    )
    for found in (words, like, similar):
        assert first(found) in ("chelsea.png", "copy.png")
    assert json.loads(duplicates)["groups"]
    assert "builtin" in info


def test_every_module_is_imported_without(imseek: Imseek, tmp_path: Path) -> None:
    """But those that export to ONNX, what makes the catalogue of encoders, and a network of timm."""
    code = """
import importlib, pkgutil, imseek
left_out = {"__main__", "encoders.catalogue.make", "encoders.openclip.export", "encoders.sscd"}
for found in pkgutil.walk_packages(imseek.__path__, "imseek."):
    if found.name.removeprefix("imseek.") not in left_out:
        importlib.import_module(found.name)
"""
    paths = [str(tmp_path / "blocked"), *filter(None, [os.environ.get("PYTHONPATH"), str(ROOT)])]
    subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)}, check=True, timeout=120
    )


def test_what_needs_torch_says_so(imseek: Imseek, photos: Path) -> None:
    (said,) = imseek(("index", str(photos), "--encoder", "openclip:ViT-B-32/laion2b_s34b_b79k"), code=1)
    assert "needs PyTorch, which is not installed" in said
    assert "pip install" in said


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A small CLIP with random weights, as a folder that open_clip reads."""
    import open_clip
    import safetensors.torch
    import torch

    shape = {
        "embed_dim": 32,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16},
        "text_cfg": {"context_length": 20, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
    }
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": shape, "preprocess_cfg": {}}))
    torch.manual_seed(0)
    made = open_clip.CLIP(shape["embed_dim"], shape["vision_cfg"], shape["text_cfg"])
    safetensors.torch.save_file(made.state_dict(), folder / "open_clip_model.safetensors")
    return folder


def test_exported_towers_of_clip_work_alone(imseek: Imseek, photos: Path, model: Path) -> None:
    """One picture and one query with torch export the towers; all others go without."""
    everything = sorted(path for path in photos.rglob("*") if path.is_file())
    _, _, expected = imseek(
        ("index", str(everything[0]), "--encoder", f"local-dir:{model}", "--precision", "fp32"),
        ("similar", str(everything[1]), "--precision", "fp32"),
        ("search", "a cat", "--json"),
        torch=True,
    )
    cat, _, similar, other = imseek(
        ("search", "a cat", "--json"),
        ("index", str(photos), "--precision", "fp32"),
        ("similar", str(everything[3]), "--json"),
        ("search", "another text", "--json"),
    )
    assert json.loads(cat)["hits"] == json.loads(expected)["hits"]
    assert first(similar) == everything[3].name
    assert len(json.loads(other)["hits"]) == len(everything)


# The list of packages


def names(lines: list[str]) -> set[str]:
    return {re.split(r"[<>=!~;\[ ]", line)[0] for line in lines}


def test_the_list_is_the_base_install_without_these() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    listed = [line for line in (ROOT / "deploy" / "light.txt").read_text().splitlines() if line and line[0] != "#"]
    wanted = project["dependencies"]
    assert LEFT_OUT.keys() <= names(wanted)
    assert sorted(listed) == sorted(one for one in wanted if names([one]) - LEFT_OUT.keys())
