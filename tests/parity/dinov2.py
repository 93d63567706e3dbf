"""The smallest DINOv2 and DINOv3 with random weights, as timm's repositories hold them, and timm's own vectors."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import safetensors.torch
import timm
import torch
from PIL import Image

from imseek.types.arrays import Float32, Pixels
from parity import standins

MODEL: Final = "vit_small_patch14_dinov2.lvd142m"
V3_MODELS: Final = ("vit_small_patch16_dinov3.lvd1689m", "convnext_tiny.dinov3_lvd1689m")


def write(cache: Path, name: str = MODEL) -> str:
    """Lay out its repository in the hub's cache; returns its reference."""
    torch.manual_seed(6)
    model = timm.create_model(name)
    with torch.no_grad():
        for parameter in model.parameters():  # what a block counts starts close to zero
            parameter += 0.02 * torch.randn_like(parameter)
    file = standins.snapshot(cache, f"timm/{name}") / "model.safetensors"
    safetensors.torch.save_file(model.state_dict(), file)
    return f"timm:{name}"


def library_vectors(pictures: list[Pixels], name: str = MODEL) -> Float32:
    """(n, dim) unit rows of timm's own transform and model."""
    model = timm.create_model(name, pretrained=True, num_classes=0).eval()
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model), is_training=False)
    with torch.inference_mode():
        rows = model(torch.stack([transform(Image.fromarray(picture)) for picture in pictures]))
    unit: Float32 = torch.nn.functional.normalize(rows, dim=-1).numpy()
    return unit
