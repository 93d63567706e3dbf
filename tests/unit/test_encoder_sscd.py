"""SSCD's descriptor through timm, against torchvision's ResNet-50 put together as in the authors' README."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
import torchvision
from parity.sscd import library_vectors, write

from imseek.encoders import Runtime, load
from imseek.errors import EncoderError, UntrustedWeightsError

pytestmark = pytest.mark.slow

FP32 = Runtime(precision="fp32")
PICTURES = [skimage.data.astronaut(), skimage.data.chelsea(), skimage.data.rocket()]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMSEEK_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write(tmp_path_factory.mktemp("sscd"))


def test_vectors_equal_those_of_the_authors_network(reference: str) -> None:
    encoder = load(reference, runtime=FP32)
    assert (encoder.info.dim, encoder.info.image_size, encoder.info.modalities) == (512, 320, ("image",))
    rows = encoder.encode_images(np.stack([encoder.prepare(picture) for picture in PICTURES]))
    np.testing.assert_allclose(rows, library_vectors(PICTURES), atol=1e-5)
    assert (rows @ rows.T - np.eye(3)).max() < 0.99, "else any vectors would do"


def test_it_knows_no_words(reference: str) -> None:
    with pytest.raises(EncoderError, match="knows pictures only, no words"):
        load(reference).encode_texts(["a copy"])


def test_a_torchscript_program_is_refused_and_what_to_take_is_said(tmp_path: Path) -> None:
    file = tmp_path / "sscd_disc_mixup.torchscript.pt"
    with zipfile.ZipFile(file, "w") as archive:  # as torch.jit.save lays it out
        for name in ("data.pkl", "constants.pkl", "code/__torch__.py"):
            archive.writestr(f"sscd/{name}", b"")
    with pytest.raises(UntrustedWeightsError, match="is a TorchScript program") as caught:
        load(f"timm:sscd_resnet50@{file}")
    assert "tensors" in (caught.value.hint or "")


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "other.pt"
    torch.save(torchvision.models.resnet18(num_classes=512).state_dict(), file)
    with pytest.raises(EncoderError, match="does not hold the weights of sscd_resnet50"):
        load(f"timm:sscd_resnet50@{file}").fingerprint()
