"""Pixels and bytes: decoding, metadata, perceptual hashes, thumbnails, contact sheets.

The only package that imports Pillow, and only when the first picture is decoded or drawn: a text query loads none of
it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from imseek._lazy import lazy_names

# Not lazy: this module is light, and the function ``decode`` shares its name with its module.
from imseek.media.decode import DEFAULT_LIMITS, DecodedImage, Limits, decode

if TYPE_CHECKING:
    from imseek.media.codec_check import codec_refusals, codecs, formats_hint, sandbox_layers
    from imseek.media.fetcher import DEFAULT_FETCH_LIMITS, FakeFetcher, Fetcher, FetchLimits, FetchResult
    from imseek.media.http_fetcher import HttpFetcher
    from imseek.media.phash import hamming_distance, perceptual_hash
    from imseek.media.sandbox.pool import WorkerError, is_confined
    from imseek.media.sheet import Cell, Row, contact_sheet
    from imseek.media.sixel import sixels
    from imseek.media.thumbnails import fit, jpeg, png, thumbnail

__all__ = [
    "DEFAULT_FETCH_LIMITS", "DEFAULT_LIMITS", "Cell", "DecodedImage", "FakeFetcher", "FetchLimits", "FetchResult",
    "Fetcher", "HttpFetcher", "Limits", "Row", "WorkerError", "codec_refusals", "codecs", "contact_sheet", "decode",
    "fit", "formats_hint", "hamming_distance", "is_confined", "jpeg", "perceptual_hash", "png", "sandbox_layers",
    "sixels", "thumbnail",
]  # fmt: skip

if not TYPE_CHECKING:
    __getattr__ = lazy_names(
        __name__,
        {
            "imseek.media.codec_check": "codec_refusals codecs formats_hint sandbox_layers",
            "imseek.media.fetcher": "DEFAULT_FETCH_LIMITS FakeFetcher FetchLimits FetchResult Fetcher",
            "imseek.media.http_fetcher": "HttpFetcher",
            "imseek.media.phash": "hamming_distance perceptual_hash",
            "imseek.media.sandbox.pool": "WorkerError is_confined",
            "imseek.media.sheet": "Cell Row contact_sheet",
            "imseek.media.sixel": "sixels",
            "imseek.media.thumbnails": "fit jpeg png thumbnail",
        },
    )
