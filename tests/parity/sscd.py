"""SSCD's network with random weights, put together on torchvision's as in its authors' README, and its own vectors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import safetensors.torch
import skimage.data
import torch
import torchvision
from PIL import Image
from torch.nn import functional
from torchvision import transforms

from imseek.types.arrays import Float32, Pixels

_SKEW_320 = transforms.Compose(
    [
        transforms.Resize([320, 320]),
        transforms.ToTensor(),
        transforms.Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225]),
    ]
)


class GlobalGeM(torch.nn.Module):
    """With spatial positions in one dimension, as the authors write it."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(2).clamp(min=1e-6).pow(3.0).mean(dim=2).pow(1 / 3.0)


def network() -> torch.nn.Module:
    torch.manual_seed(10)
    model = torchvision.models.resnet50(num_classes=512)
    model.avgpool = GlobalGeM()
    with torch.no_grad():  # statistics of some pictures: as they start, all get nearly the same vector
        pictures = [skimage.data.astronaut(), skimage.data.chelsea(), skimage.data.coffee(), skimage.data.rocket()]
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = 1.0
        model.train()(torch.stack([_SKEW_320(Image.fromarray(one)) for one in pictures]))
    return model.eval()


def write(folder: Path) -> str:
    """Save a state dict with the names of ``sscd_*.torchvision.pt``; returns the reference."""
    file = folder / "sscd_disc_mixup.torchvision.safetensors"
    safetensors.torch.save_file({f"backbone.{name}": value for name, value in network().state_dict().items()}, file)
    return f"timm:sscd_resnet50@{file}"


def library_vectors(pictures: list[Pixels]) -> Float32:
    """(n, 512) unit rows."""
    with torch.inference_mode():
        rows = network()(torch.stack([_SKEW_320(Image.fromarray(one)) for one in pictures]))
    return np.asarray(functional.normalize(rows))
