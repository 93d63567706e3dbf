"""timm's models through our interface: its own transform and embedding, and none of its silences."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import skimage.data
import timm
import torch
from huggingface_hub import constants
from PIL import Image

from imseek.encoders import Encoder, Runtime, load
from imseek.encoders.builtin.weights import LITE0
from imseek.encoders.preprocess import Preprocessing
from imseek.errors import EncoderError, EncoderUnavailableError, UnknownEncoderError, UntrustedWeightsError

pytestmark = pytest.mark.slow

FP32 = Runtime(precision="fp32")
MODEL = "test_vit.r160_in1k"
PHOTOS = ("astronaut", "chelsea", "rocket")
PICTURES = [getattr(skimage.data, name)() for name in PHOTOS]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("IMSEEK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of ``MODEL``, its classifier of 1,000 classes with them, as timm publishes weights."""
    return written(MODEL, tmp_path_factory.mktemp("weights") / "model.safetensors")


def written(name: str, path: Path, **options: object) -> Path:
    torch.manual_seed(3)
    model = timm.create_model(name, **options)
    with torch.no_grad():
        for parameter in model.parameters():  # else layers that start as zeros hide what is behind them
            parameter += 0.02 * torch.randn_like(parameter)
        for buffer_name, buffer in model.named_buffers():
            if buffer_name.endswith("running_mean"):
                buffer += 0.05 * torch.randn_like(buffer)
    safetensors.torch.save_file(model.state_dict(), path)
    return path


def timms_vectors(name: str, file: Path) -> np.ndarray:
    """What timm's own transform and model give, brought to length 1."""
    model = timm.create_model(name, pretrained=True, num_classes=0, pretrained_cfg_overlay={"file": str(file)}).eval()
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model), is_training=False)
    with torch.inference_mode():
        rows = model(torch.stack([transform(Image.fromarray(picture)) for picture in PICTURES]))
    return torch.nn.functional.normalize(rows, dim=-1).numpy()


def our_vectors(encoder: Encoder) -> np.ndarray:
    return encoder.encode_images(np.stack([encoder.prepare(picture) for picture in PICTURES]))


@pytest.mark.parametrize(
    "name",
    [
        MODEL,
        "test_resnet.r160_in1k",
        "test_efficientnet.r160_in1k",
        "test_convnext.r160_in1k",
        "mobilenetv3_small_050.lamb_in1k",  # num_features is not the length of its embedding
        "vit_tiny_patch16_224.augreg_in21k",
        "levit_128s.fb_dist_in1k",
    ],
)
def test_vectors_equal_those_of_timm(name: str, tmp_path: Path) -> None:
    file = written(name, tmp_path / "model.safetensors")
    encoder = load(f"timm:{name}@{file}", runtime=FP32)
    rows, expected = our_vectors(encoder), timms_vectors(name, file)
    assert encoder.info.dim == expected.shape[1]
    np.testing.assert_allclose(rows, expected, atol=1e-5)
    assert (expected @ expected.T).min() < 0.9999  # else any vectors would do


def test_a_file_without_a_classifier_gives_the_same_vectors(weights: Path, tmp_path: Path) -> None:
    state = safetensors.torch.load_file(weights)
    bare = {name: tensor for name, tensor in state.items() if not name.startswith("head.")}
    assert len(bare) == len(state) - 2
    torch.save(bare, tmp_path / "bare.pth")
    encoder = load(f"timm:{MODEL}@{tmp_path / 'bare.pth'}", runtime=FP32)
    whole = load(f"timm:{MODEL}@{weights}", runtime=FP32)
    np.testing.assert_allclose(our_vectors(encoder), our_vectors(whole), atol=1e-6)
    assert encoder.fingerprint() == whole.fingerprint(), "the classifier is no part of the encoder"


def test_facts_are_those_of_timm(weights: Path) -> None:
    info = load(f"timm:{MODEL}@{weights}").info
    config = timm.get_pretrained_cfg(MODEL)
    assert (info.dim, info.image_size, info.modalities) == (64, 160, ("image",))
    assert info.reference == f"timm:{MODEL}@{weights}"
    assert (info.licence, info.tokenizer, info.context_length, info.logit_scale) == (
        "unknown",
        None,
        None,
        None,
    )
    assert info.preprocessing == {
        "size": 160,
        "resize": "shortest",
        "interpolation": "bicubic",
        "mean": config.mean,
        "std": config.std,
        "fill": 0,
        "resized": 168,  # crop_pct 0.95
    }
    assert info.draft_size == 2 * 168
    assert load(f"timm:{MODEL}@{weights}", runtime=Runtime(exact_decode=True)).info.draft_size is None


@pytest.mark.parametrize("crop_mode", ["center", "squash"])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("crop_pct", [0.875, 0.9, 0.95, 1.0])
def test_the_record_does_what_timms_transform_does(crop_mode: str, interpolation: str, crop_pct: float) -> None:
    from imseek.encoders.timm_images import _preprocessing

    config = {
        "input_size": (3, 96, 96),
        "crop_mode": crop_mode,
        "interpolation": interpolation,
        "crop_pct": crop_pct,
        "mean": (0.5, 0.4, 0.3),
        "std": (0.2, 0.3, 0.4),
    }
    transform = timm.data.create_transform(**config, is_training=False)
    record = _preprocessing("timm:test", config)
    for shape in ((480, 640), (641, 480), (96, 96), (50, 97), (301, 33)):
        pixels = np.random.default_rng(5).integers(0, 256, (*shape, 3), dtype=np.uint8)
        ours = ((record.prepare(pixels) / 255 - record.mean) / record.std).transpose(2, 0, 1)
        np.testing.assert_allclose(ours, transform(Image.fromarray(pixels)).numpy(), atol=1e-6)


@pytest.mark.parametrize(
    "changed",
    [
        {"input_size": (1, 96, 96)},
        {"input_size": (3, 96, 64)},
        {"crop_mode": "border"},
        {"interpolation": "lanczos"},
    ],
)
def test_a_preprocessing_that_the_record_cannot_say_is_refused(changed: dict[str, object]) -> None:
    from imseek.encoders.timm_images import _preprocessing

    with pytest.raises(EncoderError, match="preprocessing of timm:test is not supported"):
        _preprocessing("timm:test", {"input_size": (3, 96, 96)} | changed)


def test_a_record_says_a_larger_square_only_where_there_is_one() -> None:
    plain = Preprocessing(32, "shortest", "bicubic", (0, 0, 0), (1, 1, 1))
    assert "resized" not in plain.record()


def test_words_are_refused_at_every_door(weights: Path) -> None:
    reference = f"timm:{MODEL}@{weights}"
    for ask in (
        lambda: load(reference).encode_texts(["a cat"]),
        lambda: load(reference, modalities=("text",)),
    ):
        with pytest.raises(EncoderError, match="pictures only, no words") as refused:
            ask()
        assert "CLIP" in (refused.value.hint or "")
    assert load(reference).notes(["a cat"]) == ()


def test_weights_in_the_hubs_cache_need_no_network(weights: Path, tmp_path: Path) -> None:
    snapshot = tmp_path / "hub" / f"models--timm--{MODEL}" / "snapshots" / ("d" * 40)
    snapshot.mkdir(parents=True)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text("d" * 40)
    (snapshot / "model.safetensors").write_bytes(weights.read_bytes())
    encoder = load(f"timm:{MODEL}", runtime=FP32)
    assert (encoder.info.revision, encoder.info.licence) == ("d" * 40, "Apache-2.0")
    assert encoder.info.reference == f"timm:{MODEL}"
    np.testing.assert_allclose(our_vectors(encoder), timms_vectors(MODEL, weights), atol=1e-5)


def test_weights_out_of_reach_are_an_error() -> None:
    with pytest.raises(EncoderUnavailableError, match="neither in the hub's cache") as caught:
        load("timm:vit_small_patch14_dinov2.lvd142m")
    assert "HF_HUB_OFFLINE" in (caught.value.hint or "")
    with pytest.raises(EncoderUnavailableError, match="no file"):
        load(f"timm:{MODEL}@absent.safetensors")


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("vit_small_patch14_dinov2.lvd142", "vit_small_patch14_dinov2.lvd142m"),
        ("vit_smal_patch14_dinov2", "vit_small_patch14_dinov2"),
    ],
)
def test_unknown_models_and_weights_list_near_matches(name: str, near: str) -> None:
    with pytest.raises(UnknownEncoderError) as caught:
        load(f"timm:{name}")
    assert near in (caught.value.hint or "")


def test_weights_of_another_architecture_are_refused(tmp_path: Path, weights: Path) -> None:
    """timm itself loads what fits and leaves the rest random."""
    state = safetensors.torch.load_file(weights)
    del state["blocks.1.attn.qkv.weight"]
    safetensors.torch.save_file(state, tmp_path / "part.safetensors")
    other = written("test_resnet.r160_in1k", tmp_path / "other.safetensors")
    for file in (tmp_path / "part.safetensors", other):
        with pytest.raises(EncoderError, match="does not hold the weights of test_vit"):
            our_vectors(load(f"timm:{MODEL}@{file}"))


class Exploit:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (print, ("executed",))


def test_a_pickle_with_code_and_a_damaged_file_are_refused(
    tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save({"state_dict": Exploit()}, tmp_path / "evil.pth")
    with pytest.raises(UntrustedWeightsError, match="could run code"):
        load(f"timm:{MODEL}@{tmp_path / 'evil.pth'}")
    assert "executed" not in capsys.readouterr().out
    (tmp_path / "short.safetensors").write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(EncoderError, match="cannot be read"):
        load(f"timm:{MODEL}@{tmp_path / 'short.safetensors'}")


def test_the_fingerprint_is_kept_until_the_file_changes(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(weights.read_bytes())
    fingerprint = load(f"timm:{MODEL}@{file}").fingerprint()
    assert len(bytes.fromhex(fingerprint)) == 32
    with monkeypatch.context() as patch:
        patch.setattr("imseek.encoders.timm_images._build", None)  # reading the weights would fail now
        assert load(f"timm:{MODEL}@{file}").fingerprint() == fingerprint
    state = safetensors.torch.load_file(file)
    state["norm.bias"][3] += 1e-3
    safetensors.torch.save_file(state, file)
    assert load(f"timm:{MODEL}@{file}").fingerprint() != fingerprint


def test_trained_weights_tell_things_apart(tmp_path: Path) -> None:
    """EfficientNet-Lite0 as trained, under timm's names: a cat is nearer to another view of it than to a rocket."""
    trained = torch.load(LITE0.locate(), weights_only=True)
    names = timm.create_model("tf_efficientnet_lite0").state_dict()  # the same layers in the same order
    file = tmp_path / "lite0.safetensors"
    state = {name: tensor.contiguous() for name, tensor in zip(names, trained.values(), strict=True)}
    safetensors.torch.save_file(state, file)
    encoder = load(f"timm:tf_efficientnet_lite0.in1k@{file}", runtime=FP32)
    cat, rocket = skimage.data.chelsea(), skimage.data.rocket()
    views = [cat, cat[20:280, 60:400], rocket, rocket[30:400, 100:560]]
    rows = encoder.encode_images(np.stack([encoder.prepare(view) for view in views]))
    cosines = rows @ rows.T
    assert min(cosines[0, 1], cosines[2, 3]) > 0.6 > 0.3 > cosines[:2, 2:].max()


def test_weights_for_another_input_size_are_refused(tmp_path: Path) -> None:
    """timm would stretch their position embeddings without a word."""
    path = written(MODEL, tmp_path / "larger.safetensors", img_size=192)
    with pytest.raises(EncoderError, match="does not hold the weights of test_vit") as caught:
        load(f"timm:{MODEL}@{path}").fingerprint()
    assert "pos_embed" in (caught.value.hint or "")
