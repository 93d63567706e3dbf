"""Models of sentence-transformers that read pictures, against ``SentenceTransformer.encode``."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from parity.sentence_models import library_vectors, save
from sentence_transformers import SentenceTransformer

from imseek.encoders import Runtime, load
from imseek.encoders.sentence_models import SIDE, TRUSTED_VARIABLE
from imseek.errors import EncoderError, EncoderUnavailableError, MissingExtraError, UntrustedWeightsError
from imseek.testing.encoders import EncoderCase, EncoderContract, encoder_case

pytestmark = pytest.mark.slow

PICTURES = [skimage.data.astronaut(), skimage.data.chelsea(), skimage.data.rocket()[:, 200:300]]
TEXTS = ["a red apple", "two dogs and a cat in the snow", "naïve café"]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMSEEK_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sentence") / "model"
    save(folder)
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A copy that the test may change."""
    return Path(shutil.copytree(made, tmp_path / "model"))


class TestSentenceEncoder(EncoderContract):
    @pytest.fixture
    def case(self, made: Path) -> EncoderCase:
        return encoder_case(f"local-dir:{made}")


def test_vectors_equal_those_of_the_library(made: Path, capfd: pytest.CaptureFixture[str]) -> None:
    encoder = load(f"local-dir:{made}")
    rows = encoder.encode_images(np.stack([encoder.prepare(picture) for picture in PICTURES]))
    texts = encoder.encode_texts(TEXTS)
    assert capfd.readouterr() == ("", ""), "nothing is printed while weights are loaded"
    expected, of_texts = library_vectors(made, PICTURES, TEXTS)
    np.testing.assert_allclose(rows, expected, atol=1e-5)
    np.testing.assert_allclose(texts, of_texts, atol=1e-5)
    assert (expected @ expected.T - np.eye(3)).max() < 0.9999, "else any vectors would do"
    assert (encoder.info.dim, encoder.info.context_length) == (32, 77)


@pytest.mark.parametrize("shape", [(1, 10_000), (10_000, 1), (3000, 2000), (1, 1)])
def test_a_prepared_picture_has_a_bounded_size_and_its_own_proportions(shape: tuple[int, int], made: Path) -> None:
    encoder = load(f"local-dir:{made}")
    prepared = encoder.prepare(np.full((*shape, 3), 9, dtype=np.uint8))
    assert prepared.shape == (2 + SIDE * SIDE, 3)
    height, width = (int(row @ [65536, 256, 1]) for row in prepared[:2].astype(int))
    assert height * width <= SIDE * SIDE
    assert width / height == pytest.approx(min(max(shape[1] / shape[0], 1 / 32), 32), rel=0.01)


def test_settings_are_part_of_the_fingerprint(made: Path, folder: Path) -> None:
    before = load(f"local-dir:{made}").fingerprint()
    assert load(f"local-dir:{folder}").fingerprint() == before
    described = json.loads((folder / "config_sentence_transformers.json").read_text())
    described["prompts"] = {"query": "find: "}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(described))
    assert load(f"local-dir:{folder}").fingerprint() != before


def test_prompts_go_before_texts_and_not_before_pictures(made: Path, folder: Path) -> None:
    described = json.loads((folder / "config_sentence_transformers.json").read_text())
    described["prompts"] = {"query": "two dogs and ", "document": ""}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(described))
    encoder, plain = load(f"local-dir:{folder}"), load(f"local-dir:{made}")
    np.testing.assert_allclose(
        encoder.encode_texts(["a cat in the snow"]), plain.encode_texts(["two dogs and a cat in the snow"]), atol=1e-5
    )
    batch = plain.prepare(PICTURES[0])[None]
    np.testing.assert_allclose(encoder.encode_images(batch), plain.encode_images(batch), atol=1e-5)


def test_code_of_its_own_runs_only_where_the_folder_is_trusted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    modules = json.loads((folder / "modules.json").read_text())
    modules[1]["type"] = "own_module.Own"
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "own_module.py").write_text(
        f"open({str(folder / 'run')!r}, 'w').close()\n"
        "from sentence_transformers.base.modules import Normalize\nclass Own(Normalize): pass\n"
    )
    for trusted in ("", str(folder.parent), "model"):
        monkeypatch.setenv(TRUSTED_VARIABLE, trusted)
        with pytest.raises(UntrustedWeightsError, match=r"code of its own \(own_module.Own\), which is not run"):
            load(f"local-dir:{folder}")
    assert not (folder / "run").exists()
    monkeypatch.setenv(TRUSTED_VARIABLE, str(folder))
    assert load(f"local-dir:{folder}").encode_texts(["a cat"]).shape == (1, 32)
    assert (folder / "run").exists()


def test_weights_with_code_are_refused(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save({"weight": Path("/")}, folder / "pytorch_model.bin")
    with pytest.raises(UntrustedWeightsError, match="more than tensors"):
        load(f"local-dir:{folder}")


def test_what_trainers_and_other_runtimes_leave_is_not_read(folder: Path, made: Path) -> None:
    (folder / "openvino").mkdir()
    for name in ("training_args.bin", "optimizer.pt", "openvino/openvino_model.bin"):
        torch.save({"weight": Path("/")}, folder / name)
    assert load(f"local-dir:{folder}").fingerprint() == load(f"local-dir:{made}").fingerprint()
    (folder / "pytorch_model.bin.index.json").write_text('{"weight_map": {"weight": "training_args.bin"}}')
    with pytest.raises(UntrustedWeightsError, match=r"training_args\.bin holds more than tensors"):
        load(f"local-dir:{folder}")


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("modules.json", "{", "is not a list of modules"),
        ("modules.json", "[1]", "is not a list of modules"),
        ("config.json", '{"model_type": "unheard"}', "cannot load the model"),
        ("model.safetensors", "no tensors", "cannot be read"),
    ],
)
def test_damaged_folders_are_refused(folder: Path, file: str, content: str, message: str) -> None:
    (folder / file).write_text(content)
    with pytest.raises(EncoderError, match=message):
        load(f"local-dir:{folder}")


def test_a_model_of_texts_only_is_refused(tmp_path: Path) -> None:
    from parity import standins
    from sentence_transformers.base.modules import Transformer
    from sentence_transformers.sentence_transformer.modules import Pooling
    from transformers import BertConfig, BertModel

    tokenizer = standins.tokenizer("bert-base-uncased")
    tokenizer.save_pretrained(tmp_path / "bert")
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 48}
    BertModel(BertConfig(vocab_size=len(tokenizer), **sizes)).save_pretrained(tmp_path / "bert")
    modules = [Transformer(str(tmp_path / "bert")), Pooling(32)]
    SentenceTransformer(modules=modules).save(str(tmp_path / "texts"))
    with pytest.raises(EncoderError, match="reads text, but no pictures"):
        load(f"local-dir:{tmp_path / 'texts'}")


def test_half_precision_is_refused(made: Path) -> None:
    with pytest.raises(EncoderUnavailableError, match="fp32 only"):
        load(f"local-dir:{made}", runtime=Runtime(precision="int8"))


def test_without_the_package_the_extra_is_named(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(MissingExtraError) as caught:
        load(f"local-dir:{made}")
    assert "[sentence]" in (caught.value.hint or "")
