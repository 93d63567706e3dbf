"""Parquet files whose key-value metadata name the encoder of their vectors, as ``imseek export`` writes them.

docs/exports.md documents the keys; other tools may write them too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any, Final, TypeVar

from imseek.data.shards.shard_files import INTRINSIC_SCHEMA
from imseek.errors import MediaError
from imseek.indexer.sources.local_files import open_binary
from imseek.types.pictures import ImageFacts, Luma

T = TypeVar("T")

#: Columns that become facts of the image or its place, or exist only in the file: none is kept as a column.
RESERVED_COLUMNS: Final = frozenset({*INTRINSIC_SCHEMA.names, "path", "path_b64", "uri", "score"})
#: Fields of measured luminance; ``blur`` may be missing.
_LUMA: Final = ("mean", "sd", "dark", "bright", "edges")


@dataclass(frozen=True, slots=True)
class Claim:
    """A file's statement about its vectors: their ``column``, their encoder, and its fingerprint if known."""

    column: str
    encoder: str
    fingerprint: str | None


def claim_of(path: bytes) -> Claim | None:
    """Read the claim of a Parquet file; None where it makes none or is unreadable, which its next reader reports.

    Reads only the end of the file.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with open_binary(path) as raw:  # Arrow only opens names that are valid text.
            keys = pq.read_metadata(raw).metadata or {}
        claim = {name: keys[f"imseek.{name}".encode()].decode() for name in ("vector", "encoder")}
        fingerprint = keys.get(b"imseek.fingerprint", b"").decode()
    except (pa.ArrowException, OSError, MediaError, KeyError, UnicodeDecodeError):
        return None
    return Claim(claim["vector"], claim["encoder"], fingerprint or None)


def facts_of(metadata: Mapping[str, Any]) -> tuple[ImageFacts, int]:
    """Return an image's facts as exported with its row, and the size of its file in bytes.

    Values of a wrong type count as unknown.
    """
    facts = ImageFacts(
        width=_bounded_integer(metadata, "width", 0, 2**31),
        height=_bounded_integer(metadata, "height", 0, 2**31),
        format=_typed(metadata, "format", str) or "unknown",
        mode=_typed(metadata, "mode", str) or "unknown",
        frames=_bounded_integer(metadata, "frames", 1, 2**31),
        phash=_bounded_integer(metadata, "phash", 0, 2**64),
        luma=_luma(metadata),
        orientation=_bounded_integer(metadata, "orientation", 1, 9),
        taken_at=_taken_at(metadata),
        camera=_typed(metadata, "camera", str),
        lens=_typed(metadata, "lens", str),
        latitude=_typed(metadata, "latitude", float),
        longitude=_typed(metadata, "longitude", float),
    )
    return facts, _bounded_integer(metadata, "bytes", 0, 2**63)


def _typed(metadata: Mapping[str, Any], name: str, kind: type[T]) -> T | None:
    """Return the value ``name`` if it has the type ``kind``, else None."""
    value = metadata.get(name)
    return value if isinstance(value, kind) else None


def _bounded_integer(metadata: Mapping[str, Any], name: str, low: int, above: int) -> int:
    """Return the integer ``name`` if low <= value < above, else ``low``."""
    value = metadata.get(name)
    return value if isinstance(value, int) and low <= value < above else low


def _luma(metadata: Mapping[str, Any]) -> Luma | None:
    values = {name: value for name in _LUMA if (value := _typed(metadata, f"luma_{name}", float)) is not None}
    return Luma(**values, blur=_typed(metadata, "luma_blur", float)) if len(values) == len(_LUMA) else None


def _taken_at(metadata: Mapping[str, Any]) -> str | None:
    """Return ISO 8601, with the zone from the column beside it."""
    try:
        moment = datetime.fromisoformat(metadata["taken_at"])
        zone = metadata.get("taken_at_zone")
        if isinstance(zone, int):
            moment = moment.replace(tzinfo=timezone(timedelta(minutes=zone)))
        return moment.isoformat()
    except (KeyError, TypeError, ValueError):
        return None
