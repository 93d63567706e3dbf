"""ALIGN through our interface against transformers' own processor, tokenizer and model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import skimage.data
import torch
from huggingface_hub import constants
from parity.align import PROCESSOR, TEMPERATURE, library_vectors, write
from PIL import Image
from transformers.models.efficientnet.image_processing_pil_efficientnet import EfficientNetImageProcessorPil

from imseek.encoders import Encoder, Runtime, load
from imseek.errors import EncoderError, EncoderUnavailableError, QueryError, UntrustedWeightsError

pytestmark = pytest.mark.slow

FP32 = Runtime(precision="fp32")
PICTURES = [skimage.data.astronaut(), skimage.data.chelsea(), skimage.data.rocket()]
TEXTS = ["a red apple", "Two  dogs AND a cat!", "naïve café", "unbelievable zebra"]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("IMSEEK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reduced ALIGN with random weights, as ``save_pretrained`` leaves it."""
    folder = tmp_path_factory.mktemp("align")
    write(folder)
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A copy of ``made`` that the test may change."""
    copy = tmp_path / "folder"
    copy.mkdir()
    for path in made.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    return copy


def our_vectors(encoder: Encoder) -> tuple[np.ndarray, np.ndarray]:
    return (
        encoder.encode_images(np.stack([encoder.prepare(picture) for picture in PICTURES])),
        encoder.encode_texts(TEXTS),
    )


def test_vectors_equal_those_of_transformers(made: Path, capfd: pytest.CaptureFixture[str]) -> None:
    ours = our_vectors(load(f"align:{made}", runtime=FP32))
    assert capfd.readouterr() == ("", ""), "nothing is printed while weights are loaded"
    for rows, expected in zip(ours, library_vectors(made, PICTURES, TEXTS), strict=True):
        np.testing.assert_allclose(rows, expected, atol=1e-5)
        assert (expected @ expected.T).min() < 0.999  # else any vectors would do


def test_facts_come_from_the_files(made: Path) -> None:
    info = load(f"align:{made}").info
    assert (info.dim, info.image_size, info.context_length) == (64, 289, 64)
    assert info.modalities == ("image", "text")
    assert info.logit_scale == pytest.approx(1 / TEMPERATURE)
    assert info.reference == f"align:{made}"
    assert info.preprocessing == {
        "size": 289,
        "resize": "squash",
        "interpolation": "bilinear",
        "mean": (0.5, 0.5, 0.5),
        "std": (0.5, 0.5, 0.5),
        "fill": 0,
        "resized": 346,
    }
    assert info.draft_size == 2 * 346


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"do_normalize": True, "image_mean": [0.4, 0.5, 0.6], "image_std": [0.2, 0.3, 0.4]},
        {"rescale_offset": False, "rescale_factor": 1 / 255, "include_top": True},
        {"do_normalize": True, "include_top": True, "resample": 3},
        {"do_center_crop": False, "size": {"height": 64, "width": 64}},
        {"crop_size": {"height": 343, "width": 343}},  # transformers rounds down
    ],
)
def test_the_record_does_what_the_processor_does(settings: dict[str, object], tmp_path: Path) -> None:
    from imseek.encoders.transformers_models import FAMILIES, _preprocessing

    processor = EfficientNetImageProcessorPil(**PROCESSOR | settings)
    processor.save_pretrained(tmp_path)
    record = _preprocessing(tmp_path / "preprocessor_config.json", FAMILIES["align"])
    for picture in PICTURES:
        expected = processor(Image.fromarray(picture), return_tensors="np")["pixel_values"][0]
        ours = (record.prepare(picture) / 255 - record.mean) / record.std
        np.testing.assert_allclose(ours.transpose(2, 0, 1), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"do_resize": False}, "does not resize"),
        ({"size": {"height": 346, "width": 300}}, "only square"),
        ({"crop_size": {"height": 349, "width": 349}}, "crop of 349 pixels from 346"),
        ({"resample": 0}, "not an image processor of this kind"),
        ({"image_processor_type": "CLIPImageProcessor"}, "not that of this kind"),
    ],
)
def test_a_processor_that_the_record_cannot_say_is_refused(
    folder: Path, settings: dict[str, object], message: str
) -> None:
    path = folder / "preprocessor_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))
    with pytest.raises(EncoderError, match=message):
        load(f"align:{folder}")


def test_a_processor_as_transformers_5_saves_it(folder: Path, made: Path) -> None:
    described = json.loads((folder / "preprocessor_config.json").read_text())
    (folder / "preprocessor_config.json").unlink()
    (folder / "processor_config.json").write_text(json.dumps({"image_processor": described}))
    assert load(f"align:{folder}").info.preprocessing == load(f"align:{made}").info.preprocessing


def test_weights_in_a_file_of_torch(folder: Path, made: Path) -> None:
    state = safetensors.torch.load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    # Older versions of transformers stored this as well.
    state["text_model.embeddings.position_ids"] = torch.arange(512)[None]
    torch.save(state, folder / "pytorch_model.bin")
    encoder, expected = load(f"align:{folder}", runtime=FP32), load(f"align:{made}", runtime=FP32)
    assert encoder.info.logit_scale == expected.info.logit_scale
    assert encoder.fingerprint() == expected.fingerprint()
    for rows, others in zip(our_vectors(encoder), our_vectors(expected), strict=True):
        np.testing.assert_array_equal(rows, others)


def test_a_repository_in_the_hubs_cache_needs_no_network(folder: Path, made: Path, tmp_path: Path) -> None:
    repository = tmp_path / "hub" / "models--org--align-tiny"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("e" * 40)
    (repository / "snapshots").mkdir()
    folder.rename(repository / "snapshots" / ("e" * 40))
    encoder = load("align:org/align-tiny", runtime=FP32)
    assert (encoder.info.revision, encoder.info.reference) == ("e" * 40, "align:org/align-tiny")
    for rows, expected in zip(our_vectors(encoder), library_vectors(made, PICTURES, TEXTS), strict=True):
        np.testing.assert_allclose(rows, expected, atol=1e-5)


def test_weights_out_of_reach_are_an_error() -> None:
    with pytest.raises(EncoderUnavailableError, match="neither in the hub's cache") as caught:
        load("align:kakaobrain/align-base")
    assert "HF_HUB_OFFLINE" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("gone", "named"),
    [
        ("config.json", "config.json"),
        ("model.safetensors", "model.safetensors or pytorch_model.bin"),
        ("preprocessor_config.json", "preprocessor_config.json"),
        ("tokenizer.json", "tokenizer.json"),
    ],
)
def test_a_folder_without_one_of_its_files_names_it(folder: Path, gone: str, named: str) -> None:
    (folder / gone).unlink()
    with pytest.raises(EncoderUnavailableError, match=f"holds no {named}"):
        load(f"align:{folder}")


def test_another_kind_of_model_and_damaged_files_are_refused(folder: Path) -> None:
    config = folder / "config.json"
    good = config.read_text()
    for content, message in (
        ('{"model_type": "clip"}', "of the kind 'clip', which is none of align"),
        ("{", "cannot be read"),
        ("[]", "not a configuration"),
        ('{"model_type": "align", "text_config": 3}', "not a configuration of align"),
    ):
        config.write_text(content)
        with pytest.raises(EncoderError, match=message):
            load(f"align:{folder}")
    config.write_text(good)
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(EncoderError, match="no tokenizer"):
        load(f"align:{folder}").encode_texts(["a cat"])


def test_weights_that_are_not_those_of_the_configuration_are_refused(folder: Path) -> None:
    path = folder / "model.safetensors"
    state = safetensors.torch.load_file(path)
    for name, tensor in (("text_projection.weight", None), ("text_projection.weight", torch.zeros(3, 3))):
        changed = {key: value for key, value in state.items() if key != name}
        if tensor is not None:
            changed[name] = tensor
        safetensors.torch.save_file(changed, path)
        with pytest.raises(EncoderError, match="does not hold the weights"):
            load(f"align:{folder}").encode_texts(["a cat"])
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(EncoderError, match="cannot be read"):
        load(f"align:{folder}")


class Exploit:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (print, ("executed",))


def test_a_pickle_with_code_is_refused_unexecuted(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "model.safetensors").unlink()
    torch.save({"temperature": Exploit()}, folder / "pytorch_model.bin")
    with pytest.raises(UntrustedWeightsError, match="could run code"):
        load(f"align:{folder}")
    assert "executed" not in capsys.readouterr().out


def test_a_long_text_is_cut_into_pieces_and_reported(made: Path) -> None:
    encoder = load(f"align:{made}", runtime=FP32)
    fits, beyond = "cat " * 62, "cat " * 62 + "red"  # a token a word, and two at the ends
    assert encoder.notes([fits]) == ()
    (note,) = encoder.notes([beyond])
    assert note.startswith("the text has more than 64 tokens: it was cut into 2 pieces")
    row, *parts = encoder.encode_texts([beyond, "cat " * 62, "red"])
    mean = parts[0] + parts[1]
    np.testing.assert_allclose(row, mean / np.linalg.norm(mean), atol=1e-5)


def test_modalities_that_were_not_loaded_and_empty_texts_are_refused(made: Path) -> None:
    texts_only = load(f"align:{made}", modalities=("text",), runtime=FP32)
    np.testing.assert_allclose(
        texts_only.encode_texts(TEXTS), load(f"align:{made}", runtime=FP32).encode_texts(TEXTS), atol=1e-6
    )
    with pytest.raises(EncoderError, match="text only"):
        texts_only.encode_images(np.zeros((1, 289, 289, 3), np.uint8))
    with pytest.raises(EncoderError, match="image only"):
        load(f"align:{made}", modalities=("image",)).encode_texts(["a cat"])
    with pytest.raises(QueryError, match="empty"):
        texts_only.encode_texts([" "])


@pytest.mark.parametrize("name", ["/no/such/folder", "nofolder", "a/b/c", "./a"])
def test_what_is_neither_a_folder_nor_a_repository(name: str) -> None:
    with pytest.raises(EncoderUnavailableError, match="there is no folder"):
        load(f"align:{name}")
