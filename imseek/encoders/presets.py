"""Named encoder presets, as data. All have weights that allow any use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True, slots=True)
class Preset:
    """A recommended encoder; the catalogue describes it. ``why`` is a short reason for listings."""

    name: str
    reference: str
    why: str


DEFAULT: Final = Preset("default", "openclip:ViT-B-32-256/datacomp_s34b_b86k", "what auto takes")

PRESETS: Final[Mapping[str, Preset]] = MappingProxyType(
    {
        preset.name: preset
        for preset in (
            DEFAULT,
            Preset(
                "fast",
                "hf-hub:timm/vit_medium_patch32_clip_224.tinyclip_laion400m",
                "a third of the work of default, less exact",
            ),
            Preset("multilingual", "openclip:ViT-B-16-SigLIP2-256/webli", "four times the work of default"),
            Preset("best", "openclip:ViT-SO400M-16-SigLIP2-384/webli", "sixty times the work of default"),
        )
    }
)
