"""SSCD's network as a model of timm (Pizzi et al. 2022, "A Self-Supervised Descriptor for Image Copy Detection").

A ResNet-50 whose features are pooled by a generalised mean and projected to 512 numbers. Trained to recognise altered
copies; pictures only. Importing this module adds it to timm's registry.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import torch
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from timm.models.resnet import Bottleneck, ResNet
from torch import Tensor, nn

__all__ = ["sscd_resnet50"]

_DIM: Final = 512
_POWER: Final = 3.0

#: As the authors' README prepares pictures for batches: a square of 320 pixels, whatever the proportions.
default_cfgs = generate_default_cfgs(
    {
        "sscd_resnet50": {
            "num_classes": _DIM,
            "input_size": (3, 320, 320),
            "crop_pct": 1.0,
            "crop_mode": "squash",
            "interpolation": "bilinear",
            "mean": (0.485, 0.456, 0.406),
            "std": (0.229, 0.224, 0.225),
            "first_conv": "conv1",
            "classifier": "fc",
        }
    }
)


class _GeneralisedMean(nn.Module):  # type: ignore[misc] # mypy is told not to follow torch: its classes are Any
    def forward(self, x: Tensor) -> Tensor:
        """Pool (n, channels, height, width) to (n, channels)."""
        return x.clamp(min=1e-6).pow(_POWER).mean(dim=(2, 3)).pow(1 / _POWER)


class _Sscd(ResNet):  # type: ignore[misc] # see above
    """The projection belongs to the descriptor, so it stays where timm would remove a classifier."""

    def __init__(self, *arguments: Any, num_classes: int = _DIM, **options: Any) -> None:
        super().__init__(*arguments, num_classes=_DIM, **options)
        self.global_pool = _GeneralisedMean()

    def reset_classifier(self, num_classes: int, global_pool: str = "avg") -> None:
        """Do nothing: there is no classifier."""


@register_model  # type: ignore[untyped-decorator] # timm has no types
def sscd_resnet50(pretrained: bool = False, **options: Any) -> Any:
    """Build the network; weights are files of the authors named ``*.torchvision.pt``."""
    return build_model_with_cfg(
        _Sscd,
        "sscd_resnet50",
        pretrained,
        pretrained_filter_fn=_without_prefix,
        block=Bottleneck,
        layers=[3, 4, 6, 3],
        **options,
    )


def _without_prefix(state: Mapping[str, Tensor], model: torch.nn.Module) -> dict[str, Tensor]:
    """Name the authors' tensors as timm does."""
    return {name.removeprefix("backbone."): value for name, value in state.items()}
