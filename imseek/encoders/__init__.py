"""Encode pictures and texts as vectors. The only package that imports torch, open_clip or onnxruntime."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imseek._lazy import lazy_names
from imseek.encoders.base import Encoder, EncoderInfo
from imseek.encoders.presets import PRESETS, Preset
from imseek.encoders.registry import AUTO, BASIC_NOTE, Resolution, canonical, load, resolve
from imseek.encoders.runtime import Runtime

if TYPE_CHECKING:
    from imseek.encoders.catalogue import EncoderList, Entry, families, find_encoder, list_encoders
    from imseek.encoders.download import DownloadResult, Offer, download_encoder
    from imseek.encoders.encoder_check import EncoderCheck, EncoderSpeed, TowerStatistics, check_encoder, measure_speed
    from imseek.encoders.hub import Transfer, report_downloads
    from imseek.encoders.input_checks import check_modality, check_pictures, check_texts, unit_rows

__all__ = [
    "AUTO", "BASIC_NOTE", "PRESETS", "DownloadResult", "Encoder", "EncoderCheck", "EncoderInfo", "EncoderList",
    "EncoderSpeed", "Entry", "Offer", "Preset", "Resolution", "Runtime", "TowerStatistics", "Transfer", "canonical",
    "check_encoder", "check_modality", "check_pictures", "check_texts", "download_encoder", "families",
    "find_encoder", "list_encoders", "load", "measure_speed", "report_downloads", "resolve", "unit_rows",
]  # fmt: skip

if not TYPE_CHECKING:
    __getattr__ = lazy_names(
        __name__,
        {
            "imseek.encoders.catalogue": "EncoderList Entry families find_encoder list_encoders",
            "imseek.encoders.input_checks": "check_modality check_pictures check_texts unit_rows",
            "imseek.encoders.download": "DownloadResult Offer download_encoder",
            "imseek.encoders.encoder_check": "EncoderCheck EncoderSpeed TowerStatistics check_encoder measure_speed",
            "imseek.encoders.hub": "Transfer report_downloads",
        },
    )
