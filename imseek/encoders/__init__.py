"""Encode pictures and texts as vectors. The only package that imports torch, open_clip or onnxruntime."""

from typing import TYPE_CHECKING

from imseek.encoders.base import Encoder, EncoderInfo
from imseek.encoders.presets import PRESETS, Preset
from imseek.encoders.registry import Resolution, load, resolve
from imseek.encoders.runtime import Runtime

if TYPE_CHECKING:
    from imseek.encoders.catalogue import Entry, find_encoder, list_encoders
    from imseek.encoders.download import DownloadResult, Offer, download_encoder
    from imseek.encoders.encoder_check import EncoderCheck, check_encoder
    from imseek.encoders.hub import Transfer

__all__ = [
    "PRESETS", "DownloadResult", "Encoder", "EncoderCheck", "EncoderInfo", "Entry", "Offer", "Preset", "Resolution",
    "Runtime", "Transfer", "check_encoder", "download_encoder", "find_encoder", "list_encoders", "load", "resolve",
]  # fmt: skip


def __getattr__(name: str) -> object:
    """Import the remaining names on first use, so that a search does not pay for them."""
    if name in __all__:
        from imseek.encoders import catalogue, download, encoder_check, hub

        for module in (catalogue, download, hub, encoder_check):
            if hasattr(module, name):
                return getattr(module, name)
    raise AttributeError(f"module 'imseek.encoders' has no attribute {name!r}")
