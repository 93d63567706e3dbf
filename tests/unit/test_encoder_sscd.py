"""SSCD's descriptor through timm, against torchvision's ResNet-50 put together as in the authors' README."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
import torchvision
from PIL import Image
from torch.nn import functional
from torchvision import transforms

from imseek.encoders import Runtime, load
from imseek.errors import EncoderError, UntrustedWeightsError

pytestmark = pytest.mark.slow

FP32 = Runtime(precision="fp32")
PICTURES = [skimage.data.astronaut(), skimage.data.chelsea(), skimage.data.rocket()]


class GlobalGeM(torch.nn.Module):
    """With spatial positions in one dimension, as the authors write it."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(2).clamp(min=1e-6).pow(3.0).mean(dim=2).pow(1 / 3.0)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMSEEK_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def network() -> torch.nn.Module:
    torch.manual_seed(10)
    model = torchvision.models.resnet50(num_classes=512)
    model.avgpool = GlobalGeM()
    return model.eval()


@pytest.fixture(scope="module")
def weights(network: torch.nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state dict with the names of ``sscd_*.torchvision.pt``."""
    file = tmp_path_factory.mktemp("sscd") / "sscd_disc_mixup.torchvision.pt"
    torch.save({f"backbone.{name}": value for name, value in network.state_dict().items()}, file)
    return file


def test_vectors_equal_those_of_the_authors_network(network: torch.nn.Module, weights: Path) -> None:
    encoder = load(f"timm:sscd_resnet50@{weights}", runtime=FP32)
    assert (encoder.info.dim, encoder.info.image_size, encoder.info.modalities) == (512, 320, ("image",))
    rows = encoder.encode_images(np.stack([encoder.prepare(picture) for picture in PICTURES]))
    skew_320 = transforms.Compose(
        [
            transforms.Resize([320, 320]),
            transforms.ToTensor(),
            transforms.Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225]),
        ]
    )
    with torch.inference_mode():
        expected = functional.normalize(network(torch.stack([skew_320(Image.fromarray(one)) for one in PICTURES])))
    np.testing.assert_allclose(rows, expected.numpy(), atol=1e-5)
    assert (rows @ rows.T - np.eye(3)).max() < 0.9999, "else any vectors would do"


def test_it_knows_no_words(weights: Path) -> None:
    with pytest.raises(EncoderError, match="knows pictures only, no words"):
        load(f"timm:sscd_resnet50@{weights}").encode_texts(["a copy"])


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
