"""Parquet files that say in their key-value metadata which encoder made their vectors, as ``imseek export`` does.

docs/exports.md has the keys; any other tool may write them too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any, Final, TypeVar

from imseek.data.shard_files import INTRINSIC
from imseek.errors import MediaError
from imseek.indexer.sources.files import open_binary
from imseek.types import ImageFacts, Luma

T = TypeVar("T")

#: Columns that are facts of the image or of its place, or that were made for the file: none is a column of its own.
USED: Final = frozenset({*INTRINSIC.names, "path", "path_b64", "uri", "score"})
#: What a picture whose luminance was measured has; ``blur`` may be missing.
_LUMA: Final = ("mean", "sd", "dark", "bright", "edges")


@dataclass(frozen=True, slots=True)
class Claim:
    """What a file says of itself: the ``column`` of vectors, and the encoder that made them, with its fingerprint where
    that is known."""

    column: str
    encoder: str
    fingerprint: str | None


def claim_of(path: bytes) -> Claim | None:
    """None where it says nothing, or cannot be read: whoever opens it next will tell. Only its end is read."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with open_binary(path) as raw:  # Arrow takes only names that are text.
            keys = pq.read_metadata(raw).metadata or {}
        told = {name: keys[f"imseek.{name}".encode()].decode() for name in ("vector", "encoder")}
        fingerprint = keys.get(b"imseek.fingerprint", b"").decode()
    except (pa.ArrowException, OSError, MediaError, KeyError, UnicodeDecodeError):
        return None
    return Claim(told["vector"], told["encoder"], fingerprint or None)


def facts_of(told: Mapping[str, Any]) -> tuple[ImageFacts, int]:
    """The facts of an image, as they were known where the row comes from, and how many bytes its file had. What is not
    of its type is not known."""
    facts = ImageFacts(
        width=_whole(told, "width", 0, 2**31),
        height=_whole(told, "height", 0, 2**31),
        format=_of(told, "format", str) or "unknown",
        mode=_of(told, "mode", str) or "unknown",
        frames=_whole(told, "frames", 1, 2**31),
        phash=_whole(told, "phash", 0, 2**64),
        luma=_luma(told),
        orientation=_whole(told, "orientation", 1, 9),
        taken_at=_taken_at(told),
        camera=_of(told, "camera", str),
        lens=_of(told, "lens", str),
        latitude=_of(told, "latitude", float),
        longitude=_of(told, "longitude", float),
    )
    return facts, _whole(told, "bytes", 0, 2**63)


def _of(told: Mapping[str, Any], name: str, kind: type[T]) -> T | None:
    value = told.get(name)
    return value if isinstance(value, kind) else None


def _whole(told: Mapping[str, Any], name: str, low: int, above: int) -> int:
    value = told.get(name)
    return value if isinstance(value, int) and low <= value < above else low


def _luma(told: Mapping[str, Any]) -> Luma | None:
    known = {name: value for name in _LUMA if (value := _of(told, f"luma_{name}", float)) is not None}
    return Luma(**known, blur=_of(told, "luma_blur", float)) if len(known) == len(_LUMA) else None


def _taken_at(told: Mapping[str, Any]) -> str | None:
    """ISO 8601, with the zone that is kept beside it."""
    try:
        moment = datetime.fromisoformat(told["taken_at"])
        zone = told.get("taken_at_zone")
        if isinstance(zone, int):
            moment = moment.replace(tzinfo=timezone(timedelta(minutes=zone)))
        return moment.isoformat()
    except (KeyError, TypeError, ValueError):
        return None
