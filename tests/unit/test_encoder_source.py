"""open_clip references: where weights are taken from, and what is said about those that are not right."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from fake_hub import FakeHub, FakeRepository, serving
from huggingface_hub import constants
from huggingface_hub.utils import close_session
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from imseek.encoders import download_encoder, load
from imseek.encoders.openclip.source import is_trained_with, locate, tokenizer, weights_of
from imseek.errors import EncoderError, EncoderUnavailableError, LicenceError, UnknownEncoderError

pytestmark = pytest.mark.slow

MODEL = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}
CONFIG = {
    "model_cfg": MODEL,
    "preprocess_cfg": {"mean": [0.5] * 3, "std": [0.5] * 3, "resize_mode": "squash"},
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A repository with a tiny model of open_clip, random weights."""
    from safetensors.torch import save

    torch.manual_seed(0)
    model = open_clip.CLIP(**{key: dict(value) if isinstance(value, dict) else value for key, value in MODEL.items()})
    weights = save({name: tensor.contiguous() for name, tensor in model.state_dict().items()})
    return {"open_clip_model.safetensors": weights, "open_clip_config.json": json.dumps(CONFIG).encode()}


@pytest.fixture(autouse=True)
def server(files: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving({"some/model": FakeRepository(files)}) as found:
        monkeypatch.setattr(constants, "ENDPOINT", found.url)
        template = found.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        yield found
    close_session()


def test_a_model_of_the_hub_is_fetched_and_then_loaded_without_a_question(
    server: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = load("hf-hub:some/model", modalities=("image",))
    assert encoder.info.dim == 16
    assert encoder.info.revision == "c" * 40
    assert encoder.info.licence == "not verified"
    server.requests.clear()
    again = load("hf-hub:some/model", modalities=("image",))
    picture = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    rows = again.encode_images(np.stack([again.prepare(picture)]))
    assert server.requests == []
    assert np.allclose(rows, encoder.encode_images(np.stack([encoder.prepare(picture)])), atol=1e-6)


def test_weights_of_a_tag_come_from_its_repository(
    server: FakeHub, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    server.repositories["timm/vit_base_patch32_clip_224.openai"] = FakeRepository(files)
    source = locate("openclip:ViT-B-32-quickgelu/openai")
    assert source.checkpoint.read_bytes() == files["open_clip_model.safetensors"]
    assert (source.pretrained, source.licence) == (str(source.checkpoint), "Apache-2.0")
    with pytest.raises(EncoderError, match="does not hold the weights of ViT-B-32-quickgelu"):
        load("openclip:ViT-B-32-quickgelu/openai").fingerprint()


def test_every_tag_has_a_repository() -> None:
    for model, tag in open_clip.list_pretrained():
        repository, names = weights_of(open_clip.get_pretrained_cfg(model, tag))
        assert repository.count("/") == 1
        assert names[0].endswith(".safetensors")


def test_the_tokenizer_is_fetched_with_the_weights(server: FakeHub, files: dict[str, bytes]) -> None:
    model = {**MODEL, "text_cfg": {**MODEL["text_cfg"], "hf_tokenizer_name": "some/words"}}
    described = json.dumps({**CONFIG, "model_cfg": model}).encode()
    server.repositories["some/multi"] = FakeRepository({**files, "open_clip_config.json": described})
    server.repositories["some/words"] = FakeRepository({"tokenizer.json": b"{}", "config.json": b"{}", "x.bin": b"x"})
    locate("hf-hub:some/multi")
    cache = Path(constants.HF_HUB_CACHE)
    fetched = {path.name for path in (cache / "models--some--words" / "snapshots" / ("c" * 40)).iterdir()}
    assert fetched == {"tokenizer.json", "config.json"}


def test_a_tokenizer_of_which_a_part_came_is_fetched_on(
    server: FakeHub, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = "hf-hub:some/multi"
    model = {**MODEL, "text_cfg": {**MODEL["text_cfg"], "hf_tokenizer_name": "some/words"}}
    described = json.dumps({**CONFIG, "model_cfg": model}).encode()
    server.repositories["some/multi"] = FakeRepository({**files, "open_clip_config.json": described})
    words = Tokenizer(WordLevel({"[UNK]": 0, "[PAD]": 1, "a": 2}, unk_token="[UNK]")).to_str().encode()
    settings = b'{"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "[PAD]"}'
    whole = {
        "config.json": b'{"model_type": "bert"}',
        "tokenizer.json": words,
        "tokenizer_config.json": settings,
    }
    server.repositories["some/words"] = FakeRepository(whole)
    download_encoder(reference)
    snapshot = Path(constants.HF_HUB_CACHE) / "models--some--words" / "snapshots" / ("c" * 40)
    for gone in (
        "tokenizer.json",
        "tokenizer_config.json",
    ):  # as if it had been interrupted after the first file
        (snapshot / gone).unlink()
    assert download_encoder(reference).offer is not None
    assert {path.name for path in snapshot.iterdir()} == set(whole)
    (snapshot / "tokenizer.json").unlink()
    tokenizer(locate(reference))
    assert {path.name for path in snapshot.iterdir()} == set(whole)
    server.requests.clear()
    assert download_encoder(reference).offer is None
    tokenizer(locate(reference))
    assert server.requests == []
    # Another program's cache does not say what else there is: offline, it is taken as it is.
    shutil.rmtree(snapshot.parents[1] / ".no_exist")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    tokenizer(locate(reference))


@pytest.mark.parametrize(
    ("reference", "message", "hint"),
    [
        ("openclip:ViT-B-32/laion2b", "no weights 'laion2b' of ViT-B-32", "laion2b_e16, laion2b_s34b_b79k"),
        ("openclip:ViT-B-32-256/zzz", "no weights 'zzz'", "there are datacomp_s34b_b86k"),
        ("openclip:ViT-B-32", "names no weights", "openai"),
        ("openclip:ViT-H-16/x", "no weights 'x' of ViT-H-16", "openclip:ViT-H-16@FILE"),
        ("openclip:VitB32/openai", "no model 'VitB32'", "ViT-B-32"),
        ("openclip:vit-b-32/openai", "no model 'vit-b-32'", "near matches: ViT-B-32"),
        ("openclip:hf-hub:foo/bar", "no encoder is called", "did you mean hf-hub:foo/bar?"),
        ("openclip:local-dir:/x", "no encoder is called", "did you mean local-dir:/x?"),
        ("openclip:ViT-B-32/openai", "another activation function", "use openclip:ViT-B-32-quickgelu/openai"),
        ("hf-hub:foo", "names no repository", "hf-hub:ORG/REPO"),
        ("hf-hub:a/b/c", "names no repository", "hf-hub:ORG/REPO"),
    ],
)
def test_what_is_not_right_is_answered_with_what_is(reference: str, message: str, hint: str) -> None:
    with pytest.raises(UnknownEncoderError, match=re.escape(message)) as caught:
        load(reference)
    assert hint in (caught.value.hint or "")


def test_a_tag_that_the_registry_lists_once_is_right_whatever_its_activation() -> None:
    """roberta-ViT-B-32 has quick_gelu in its configuration, and nothing about it beside its weights."""
    assert is_trained_with("roberta-ViT-B-32", "laion2b_s12b_b32k")
    assert not is_trained_with("ViT-L-14", "dfn2b")
    assert is_trained_with("ViT-L-14-quickgelu", "dfn2b")


def test_a_repository_without_a_configuration(server: FakeHub, files: dict[str, bytes]) -> None:
    server.repositories["some/other"] = FakeRepository({"model.safetensors": b"x"})
    with pytest.raises(EncoderUnavailableError, match=r"some/other holds no open_clip_config\.json"):
        load("hf-hub:some/other")


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b"[]",
        b"{}",
        b'{"model_cfg": 3}',
        b'{"model_cfg": {"embed_dim": "16", "vision_cfg": {}, "text_cfg": {}}}',
        b'{"model_cfg": {"embed_dim": 16, "vision_cfg": [], "text_cfg": {}}}',
        b'{"model_cfg": {"embed_dim": 16, "vision_cfg": {}, "text_cfg": {}}, "preprocess_cfg": 1}',
    ],
)
def test_a_damaged_configuration(damaged: bytes, tmp_path: Path, files: dict[str, bytes]) -> None:
    (tmp_path / "open_clip_config.json").write_bytes(damaged)
    (tmp_path / "open_clip_model.safetensors").write_bytes(files["open_clip_model.safetensors"])
    with pytest.raises(EncoderError, match="is not a configuration of open_clip"):
        locate(f"local-dir:{tmp_path}")


def test_a_folder_without_a_model_is_told_what_models_look_like(tmp_path: Path) -> None:
    for folder, message in ((tmp_path, "holds no model"), (tmp_path / "none", "there is no folder")):
        with pytest.raises(EncoderUnavailableError, match=message) as caught:
            load(f"local-dir:{folder}")
        assert "transformers with config.json" in (caught.value.hint or "")


def test_restricted_weights_are_not_fetched_by_loading(server: FakeHub, files: dict[str, bytes]) -> None:
    repository = "apple/MobileCLIP-S1-OpenCLIP"
    server.repositories[repository] = FakeRepository(files, card={"license": "other", "license_name": "apple-amlr"})
    for reference in ("openclip:MobileCLIP-S1/datacompdr", f"hf-hub:{repository}"):
        with pytest.raises(LicenceError, match="Apple AMLR") as caught:
            load(reference)
        assert f"imseek encoders get {reference} --accept-license" in (caught.value.hint or "")
    assert server.requests == [], "the licence is known without asking the hub"


def test_cached_weights_are_taken_whatever_their_licence(server: FakeHub, files: dict[str, bytes]) -> None:
    folder = Path(constants.HF_HUB_CACHE) / "models--apple--MobileCLIP-S1-OpenCLIP"
    snapshot = folder / "snapshots" / ("e" * 40)
    snapshot.mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("e" * 40)
    (snapshot / "open_clip_pytorch_model.bin").write_bytes(b"weights")
    source = locate("openclip:MobileCLIP-S1/datacompdr")
    assert (source.checkpoint, source.revision) == (snapshot / "open_clip_pytorch_model.bin", "e" * 40)
    assert server.requests == []
    shutil.rmtree(folder)
