"""Encoders with a name of their own, as data. Only weights that allow commercial use are listed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True, slots=True)
class Preset:
    """An encoder worth recommending.

    ``repository`` is where its weights lie on the model hub and ``files`` the names that open_clip looks for
    there, best first. ``licence`` is an SPDX id; ``download_bytes`` is what the weights take, to the nearest
    5 MB.
    """

    name: str
    reference: str
    repository: str
    files: tuple[str, ...]
    licence: str
    download_bytes: int


DEFAULT: Final = Preset(
    name="default",
    reference="openclip:ViT-B-32-256/datacomp_s34b_b86k",
    repository="laion/CLIP-ViT-B-32-256x256-DataComp-s34B-b86K",
    files=("open_clip_model.safetensors", "open_clip_pytorch_model.bin"),
    licence="MIT",
    download_bytes=605_000_000,
)

PRESETS: Final[Mapping[str, Preset]] = MappingProxyType({preset.name: preset for preset in (DEFAULT,)})
