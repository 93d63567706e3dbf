"""Every family gives the vectors of its own library: reduced configurations of the same code paths.

Pictures and words go through our preparation, tokens and towers on one side, and through the library's own
transform, tokenizer and model on the other. Weights are random; tokenizers that live on the hub are stand-ins of
the same class. bench/parity.py does the same with true architectures. ALIGN is in test_encoder_align.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import open_clip
import pytest
import skimage.data
from huggingface_hub import constants
from parity import dinov2, standins
from parity.families import FAMILIES, Family, library_vectors, write

from imseek.encoders import Runtime, load
from imseek.encoders.hub import TOKENIZER_FILES, Part, RemoteFile, Repository, fetch
from imseek.encoders.openclip.source import locate

FP32 = Runtime(precision="fp32")
PICTURES = [skimage.data.astronaut(), skimage.data.chelsea()[:, :300], skimage.data.rocket()]
TEXTS = [*standins.CORPUS[:5], "A Photo of a zebra's 2nd crossing!"]


@pytest.fixture(scope="module", autouse=True)
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("hub")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IMSEEK_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(constants, "HF_HUB_CACHE", str(folder))
        patch.setattr(constants, "HF_HUB_OFFLINE", True)
        yield folder


@pytest.mark.sample(family=6)
@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_vectors_equal_those_of_the_library(family: Family, hub: Path) -> None:
    reference = write(family, hub)
    encoder = load(reference, runtime=FP32)
    prepared = [encoder.prepare(picture) for picture in PICTURES]
    ours = encoder.encode_images(np.stack(prepared)), encoder.encode_texts(TEXTS)
    for rows, expected in zip(ours, library_vectors(reference, PICTURES, TEXTS), strict=True):
        np.testing.assert_allclose(rows, expected, atol=1e-5)
        cosines = expected @ expected.T
        assert cosines[~np.eye(len(cosines), dtype=bool)].max() < 0.9999, "else any vectors would do"
    assert encoder.info.preprocessing["interpolation"] == family.preprocessing["interpolation"]
    assert encoder.info.preprocessing["resize"] == family.preprocessing["resize_mode"]


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_a_bare_file_is_prepared_for_as_the_published_weights_are(family: Family, tmp_path: Path) -> None:
    """open_clip itself takes OpenAI's preprocessing for every file."""
    (tmp_path / "weights.safetensors").touch()
    prepared = locate(f"openclip:{family.model}@{tmp_path / 'weights.safetensors'}").preprocessing
    expected = family.preprocessing
    assert (prepared.mean, prepared.std) == (tuple(expected["mean"]), tuple(expected["std"]))
    assert (prepared.interpolation, prepared.resize) == (expected["interpolation"], expected["resize_mode"])


def test_dinov2_equals_timm(hub: Path) -> None:
    encoder = load(dinov2.write(hub), runtime=FP32)
    assert (encoder.info.dim, encoder.info.image_size, encoder.info.licence) == (384, 518, "Apache-2.0")
    rows = encoder.encode_images(np.stack([encoder.prepare(picture) for picture in PICTURES[:2]]))
    expected = dinov2.library_vectors(PICTURES[:2])
    np.testing.assert_allclose(rows, expected, atol=1e-5)
    assert float(expected[0] @ expected[1]) < 0.9999


@pytest.mark.parametrize("name", dinov2.V3_MODELS)
def test_dinov3_equals_timm(name: str, hub: Path) -> None:
    encoder = load(dinov2.write(hub, name), runtime=FP32)
    assert (encoder.info.modalities, encoder.info.licence) == (("image",), "restricted")
    rows = encoder.encode_images(np.stack([encoder.prepare(picture) for picture in PICTURES[:2]]))
    expected = dinov2.library_vectors(PICTURES[:2], name)
    np.testing.assert_allclose(rows, expected, atol=1e-5)
    assert float(expected[0] @ expected[1]) < 0.9999


def test_a_tokenizer_without_a_configuration_needs_no_network_once_fetched(hub: Path) -> None:
    """As SigLIP's: transformers takes the missing file for one out of reach, unless the cache says it is missing."""
    repository = "org/words-only"
    files = standins.snapshot(hub, repository)
    made = standins.tokenizer("timm/ViT-B-16-SigLIP")
    made.save_pretrained(files)
    described = Repository(
        repository, standins.COMMIT, None, tuple(RemoteFile(path.name, 0, None) for path in files.iterdir())
    )
    with pytest.raises(OSError, match="couldn't find them"):
        open_clip.tokenizer.HFTokenizer(repository)
    fetch("hf-hub:org/any", [Part(repository, TOKENIZER_FILES, every=True)], [described])
    tokens = open_clip.tokenizer.HFTokenizer(repository, context_length=20)(["a red apple"])
    assert tokens.tolist() == made(["a red apple"], padding="max_length", max_length=20)["input_ids"]
