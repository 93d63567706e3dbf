"""Pixels and bytes: decoding, metadata, perceptual hashes, thumbnails, contact sheets.

The only package that imports Pillow, and only when the first picture is decoded or drawn: a text query loads none of
it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

# Not lazy: this module is light, and the function ``decode`` shares its name with its module.
from imseek.media.decode import DEFAULT_LIMITS, DecodedImage, Limits, decode

if TYPE_CHECKING:
    from imseek.media.codec_check import codecs
    from imseek.media.fetcher import DEFAULT_FETCH_LIMITS, FakeFetcher, Fetcher, FetchLimits, FetchResult
    from imseek.media.http_fetcher import HttpFetcher
    from imseek.media.phash import hamming_distance, perceptual_hash
    from imseek.media.sheet import Cell, Row, contact_sheet
    from imseek.media.thumbnails import thumbnail

__all__ = [
    "DEFAULT_FETCH_LIMITS", "DEFAULT_LIMITS", "Cell", "DecodedImage", "FakeFetcher", "FetchLimits", "FetchResult",
    "Fetcher", "HttpFetcher", "Limits", "Row", "codecs", "contact_sheet", "decode", "hamming_distance",
    "perceptual_hash", "thumbnail",
]  # fmt: skip

_NAMES = {
    "codec_check": "codecs",
    "fetcher": "DEFAULT_FETCH_LIMITS FakeFetcher FetchLimits FetchResult Fetcher",
    "http_fetcher": "HttpFetcher",
    "phash": "hamming_distance perceptual_hash",
    "sheet": "Cell Row contact_sheet",
    "thumbnails": "thumbnail",
}
_LAZY = {name: module for module, names in _NAMES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
