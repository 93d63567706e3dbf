"""open_clip's models through our interface: the same vectors, and none of its silences."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import open_clip
import pytest
import safetensors.torch
import skimage.data
import torch
from huggingface_hub import constants
from PIL import Image

from imseek.encoders import Runtime, load
from imseek.encoders.openclip.encoder import OpenClipEncoder
from imseek.errors import EncoderError, EncoderUnavailableError, UnknownEncoderError, UntrustedWeightsError

pytestmark = pytest.mark.slow

TINY = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "patch_size": 8},
    "text_cfg": {"context_length": 20, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}
PREPROCESSING = {
    "mean": [0.5, 0.4, 0.3],
    "std": [0.2, 0.3, 0.4],
    "resize_mode": "squash",
    "interpolation": "bilinear",
}
EXACT = Runtime(precision="fp32")
TEXTS = ["a red apple", "Two  dogs &amp; a CAT", "naïve café"]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("IMSEEK_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A registered tiny model, ``imseek-tiny``, and its random weights in two kinds of file."""
    folder = tmp_path_factory.mktemp("tiny")
    (folder / "imseek-tiny.json").write_text(json.dumps(TINY))
    (folder / "imseek-tiny-quickgelu.json").write_text(json.dumps(TINY | {"quick_gelu": True}))
    for name in ("imseek-tiny", "imseek-tiny-quickgelu"):
        open_clip.add_model_config(folder / f"{name}.json")
    torch.manual_seed(1)
    state = open_clip.create_model("imseek-tiny").state_dict()
    safetensors.torch.save_file(state, folder / "weights.safetensors")
    torch.save({"state_dict": state}, folder / "weights.pt")
    return folder


@pytest.fixture
def safetensors_reference(folder: Path) -> str:
    return f"openclip:imseek-tiny@{folder / 'weights.safetensors'}"


def expected_vectors(model: object, preprocess: object, name: str) -> tuple[np.ndarray, np.ndarray]:
    """What open_clip's own transform, tokenizer and towers give."""
    photos = [skimage.data.astronaut(), skimage.data.chelsea(), skimage.data.rocket()]
    with torch.inference_mode():
        images = torch.stack([preprocess(Image.fromarray(photo)) for photo in photos])  # type: ignore[operator]
        return (
            model.encode_image(images, normalize=True).numpy(),  # type: ignore[attr-defined]
            model.encode_text(open_clip.get_tokenizer(name)(TEXTS), normalize=True).numpy(),  # type: ignore[attr-defined]
        )


def our_vectors(encoder: OpenClipEncoder) -> tuple[np.ndarray, np.ndarray]:
    photos = [skimage.data.astronaut(), skimage.data.chelsea(), skimage.data.rocket()]
    batch = np.stack([encoder.prepare(photo) for photo in photos])
    return encoder.encode_images(batch), encoder.encode_texts(TEXTS)


def check_parity(encoder: OpenClipEncoder, model: object, preprocess: object, name: str) -> None:
    pairs = zip(our_vectors(encoder), expected_vectors(model, preprocess, name), strict=True)
    for ours, expected in pairs:
        np.testing.assert_allclose(ours, expected, atol=1e-5)
        assert (expected @ expected.T).min() < 0.9999  # else any vectors would do


@pytest.mark.parametrize("file", ["weights.safetensors", "weights.pt"])
def test_vectors_equal_those_of_open_clip(folder: Path, file: str) -> None:
    path = str(folder / file)
    model, _, preprocess = open_clip.create_model_and_transforms("imseek-tiny", pretrained=path)
    check_parity(
        OpenClipEncoder(f"openclip:imseek-tiny@{path}", runtime=EXACT),
        model.eval(),
        preprocess,
        "imseek-tiny",
    )


def test_facts_come_from_the_configuration(safetensors_reference: str) -> None:
    info = load(safetensors_reference).info
    assert (info.dim, info.image_size, info.context_length) == (24, 32, 20)
    assert (info.quality, info.licence, info.revision) == ("full", "unknown", None)
    assert info.logit_scale == pytest.approx(1 / 0.07, rel=1e-5)  # where training starts
    assert info.preprocessing["resize"] == "shortest"
    assert info.reference == safetensors_reference


def test_the_logit_scale_of_parallel_training_is_found(folder: Path, tmp_path: Path) -> None:
    state = torch.load(folder / "weights.pt", weights_only=True)["state_dict"]
    torch.save({f"module.{name}": tensor for name, tensor in state.items()}, tmp_path / "parallel.pt")
    encoder = load(f"openclip:imseek-tiny@{tmp_path / 'parallel.pt'}")
    assert encoder.info.logit_scale == pytest.approx(1 / 0.07, rel=1e-5)
    assert encoder.fingerprint() == load(f"openclip:imseek-tiny@{folder / 'weights.pt'}").fingerprint()


def test_a_relative_path_is_stored_as_an_absolute_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    encoder = load("openclip:imseek-tiny@weights.pt")
    assert encoder.info.reference == f"openclip:imseek-tiny@{folder / 'weights.pt'}"


@pytest.fixture
def described(folder: Path, tmp_path: Path) -> Path:
    """A folder as the hub has it: configuration and weights."""
    repository = tmp_path / "repository"
    repository.mkdir()
    config = {"model_cfg": TINY, "preprocess_cfg": PREPROCESSING}
    (repository / "open_clip_config.json").write_text(json.dumps(config))
    weights = (folder / "weights.safetensors").read_bytes()
    (repository / "open_clip_model.safetensors").write_bytes(weights)
    return repository


def test_a_local_folder_with_its_own_preprocessing(described: Path) -> None:
    name = f"local-dir:{described}"
    model, _, preprocess = open_clip.create_model_and_transforms(name)
    encoder = OpenClipEncoder(name, runtime=EXACT)
    assert encoder.info.preprocessing["mean"] == (0.5, 0.4, 0.3)
    check_parity(encoder, model.eval(), preprocess, name)


def test_a_repository_in_the_hubs_cache_needs_no_network(
    described: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = "c" * 40
    repository = tmp_path / "hub" / "models--org--tiny"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(commit)
    (repository / "snapshots").mkdir()
    described.rename(repository / "snapshots" / commit)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    encoder = OpenClipEncoder("hf-hub:org/tiny", runtime=EXACT)
    assert encoder.info.revision == commit
    model, _, preprocess = open_clip.create_model_and_transforms("hf-hub:org/tiny")
    check_parity(encoder, model.eval(), preprocess, "hf-hub:org/tiny")


@pytest.mark.parametrize(
    "reference", ["hf-hub:org/absent", "openclip:ViT-B-32-256/datacomp_s34b_b86k", "openclip:RN50/openai"]
)
def test_weights_out_of_reach_are_never_replaced(
    reference: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "empty"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    if reference.endswith("/openai"):
        with pytest.raises(UnknownEncoderError, match="activation") as wrong:
            load(reference)
        assert wrong.value.hint == "use openclip:RN50-quickgelu/openai"
        return
    with pytest.raises(EncoderUnavailableError, match="neither in the hub's cache") as caught:
        load(reference)
    assert "HF_HUB_OFFLINE" in (caught.value.hint or "")


class Exploit:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (print, ("executed",))


@pytest.mark.parametrize("suffix", ["pt", "bin", "pth", "pickle"])
@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_with_code_is_refused_unexecuted(
    folder: Path, tmp_path: Path, suffix: str, zipped: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / f"evil.{suffix}"
    torch.save({"state_dict": Exploit()}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(UntrustedWeightsError, match="could run code"):
        load(f"openclip:imseek-tiny@{path}")
    assert "executed" not in capsys.readouterr().out


def test_a_plain_pickle_and_a_folder_with_one_are_refused(described: Path) -> None:
    (described / "open_clip_model.safetensors").unlink()
    (described / "open_clip_pytorch_model.bin").write_bytes(pickle.dumps(Exploit()))
    with pytest.raises(UntrustedWeightsError):
        load(f"local-dir:{described}")


def test_torchscript_is_refused(tmp_path: Path) -> None:
    # An archive that torch takes for TorchScript by its contents; writing a real one is deprecated.
    import zipfile

    path = tmp_path / "program.pt"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("constants.pkl", "data.pkl", "version", "code/x.py"):
            archive.writestr(f"program/{name}", b"3\n")
    with pytest.raises(UntrustedWeightsError, match="TorchScript"):
        load(f"openclip:imseek-tiny@{path}")


def test_a_damaged_file_and_the_wrong_weights_are_errors(folder: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.pt"
    damaged.write_bytes((folder / "weights.pt").read_bytes()[:-5000])
    with pytest.raises(EncoderError):
        load(f"openclip:imseek-tiny@{damaged}")
    other = tmp_path / "other.safetensors"
    safetensors.torch.save_file({"weight": torch.zeros(3)}, other)
    with pytest.raises(EncoderError, match="does not hold the weights"):
        load(f"openclip:imseek-tiny@{other}").encode_texts(["a"])
    truncated = tmp_path / "truncated.safetensors"
    truncated.write_bytes((folder / "weights.safetensors").read_bytes()[:-100])
    with pytest.raises(EncoderError):
        load(f"openclip:imseek-tiny@{truncated}").encode_texts(["a"])
    for content in (b"", b"no checkpoint at all", b"<html>not found</html>", bytes(range(256)) * 9):
        damaged.write_bytes(content)
        with pytest.raises(EncoderError, match=r"cannot be read: \w") as caught:
            load(f"openclip:imseek-tiny@{damaged}")
        assert not isinstance(caught.value, UntrustedWeightsError)  # it is no program either
    for odd in ({}, [1, 2], 7, {"logit_scale": "x"}, {"state_dict": {}}, {1: 2}):
        torch.save(odd, damaged)
        with pytest.raises(EncoderError, match=r"damaged\.pt"):
            load(f"openclip:imseek-tiny@{damaged}").fingerprint()
    with pytest.raises(EncoderUnavailableError, match="no file"):
        load(f"openclip:imseek-tiny@{tmp_path / 'absent.pt'}")


def test_a_local_folder_must_be_unambiguous(described: Path, tmp_path: Path) -> None:
    with pytest.raises(EncoderUnavailableError, match="holds no model"):
        load(f"local-dir:{tmp_path}")
    (described / "another.safetensors").write_bytes(b"")
    with pytest.raises(EncoderUnavailableError, match="2 files"):
        load(f"local-dir:{described}")
    (described / "open_clip_config.json").write_text('{"model_cfg": 3}')
    (described / "another.safetensors").unlink()
    with pytest.raises(EncoderError, match="not a configuration"):
        load(f"local-dir:{described}")


def test_unknown_models_and_weights_list_near_matches() -> None:
    with pytest.raises(UnknownEncoderError) as caught:
        load("openclip:vit-b32/openai")
    assert "ViT-B-32" in (caught.value.hint or "")
    with pytest.raises(UnknownEncoderError) as caught:
        load("openclip:ViT-B-32-256/datacomp_s34")
    assert "datacomp_s34b_b86k" in (caught.value.hint or "")


def test_the_fingerprint_follows_tensors_activation_and_preprocessing(
    folder: Path, described: Path, safetensors_reference: str, tmp_path: Path
) -> None:
    fingerprint = load(safetensors_reference).fingerprint()
    # The same tensors in another kind of file are the same encoder.
    assert load(f"openclip:imseek-tiny@{folder / 'weights.pt'}").fingerprint() == fingerprint
    state = safetensors.torch.load_file(folder / "weights.safetensors")
    state["ln_final.bias"][3] += 1e-3
    safetensors.torch.save_file(state, tmp_path / "changed.safetensors")
    others = [
        load(f"openclip:imseek-tiny@{tmp_path / 'changed.safetensors'}"),
        load(f"openclip:imseek-tiny-quickgelu@{folder / 'weights.safetensors'}"),
        load(f"local-dir:{described}"),
    ]
    assert len({fingerprint, *(other.fingerprint() for other in others)}) == 4


def test_the_fingerprint_follows_what_leaves_no_trace_in_tensors(described: Path) -> None:
    reference = f"local-dir:{described}"
    fingerprint, row = load(reference).fingerprint(), load(reference).encode_texts(["a red apple"])
    config = {"model_cfg": TINY | {"text_cfg": TINY["text_cfg"] | {"heads": 4}}}  # type: ignore[operator]
    (described / "open_clip_config.json").write_text(json.dumps(config | {"preprocess_cfg": PREPROCESSING}))
    assert np.abs(load(reference).encode_texts(["a red apple"]) - row).max() > 1e-3
    assert load(reference).fingerprint() != fingerprint


def test_the_fingerprint_is_kept_until_the_file_changes(
    folder: Path, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = tmp_path / "weights.safetensors"
    weights.write_bytes((folder / "weights.safetensors").read_bytes())
    reference = f"openclip:imseek-tiny@{weights}"
    fingerprint = load(reference).fingerprint()
    with monkeypatch.context() as patch:
        patch.setattr(open_clip, "create_model", None)  # reading the weights would fail now
        assert load(reference).fingerprint() == fingerprint
    state = safetensors.torch.load_file(weights)
    state["ln_final.bias"][3] += 1e-3
    safetensors.torch.save_file(state, weights)
    changed = load(reference).fingerprint()
    assert changed != fingerprint
    (kept,) = [path for path in (cache / "fingerprints").iterdir() if path.read_text() == changed]
    kept.write_text("damaged")
    assert load(reference).fingerprint() == changed


def test_weights_for_another_input_size_are_refused(folder: Path, tmp_path: Path) -> None:
    """open_clip would stretch their position embeddings without a word, pictures' and words' alike."""
    larger = TINY | {"vision_cfg": TINY["vision_cfg"] | {"image_size": 48}}  # type: ignore[operator]
    longer = TINY | {"text_cfg": TINY["text_cfg"] | {"context_length": 30}}  # type: ignore[operator]
    for name, config in (("imseek-larger", larger), ("imseek-longer", longer)):
        (tmp_path / f"{name}.json").write_text(json.dumps(config))
        open_clip.add_model_config(tmp_path / f"{name}.json")
        for file in ("weights.safetensors", "weights.pt"):
            with pytest.raises(EncoderError, match=f"does not hold the weights of {name}") as caught:
                load(f"openclip:{name}@{folder / file}").fingerprint()
            assert "positional_embedding" in (caught.value.hint or "")
