"""HEIC: what has to be looked at before libheif sees a file."""

from __future__ import annotations

from imseek.errors import MediaError
from imseek.media.isobmff import boxes
from imseek.types import SkipReason


def refuse_unreadable_items(data: bytes) -> None:
    """MediaError where the type of an item is no text: pi-heif up to 1.4, its last version, crashes on those.

    (It hands them to Python as UTF-8 and does not look whether that worked; pillow-heif 1.8 does.)
    """
    for meta in boxes(data):
        if meta.kind != b"meta":
            continue
        for info in boxes(data, meta.start + 4, meta.end):  # behind the version and the flags
            if info.kind != b"iinf":
                continue
            count = 2 if data[info.start] == 0 else 4  # bytes of the number of items
            for entry in boxes(data, info.start + 4 + count, info.end):
                _refuse(data[entry.start : entry.end])


def _refuse(entry: bytes) -> None:
    version = entry[0] if entry else 0
    kind = (10 if version == 3 else 8) if version >= 2 else 4
    try:
        # The type and all text behind it: a name, and of a "mime" item what it contains.
        entry[kind:].decode("utf-8")
    except UnicodeError as error:
        raise MediaError(SkipReason.CORRUPT, "broken HEIC data: the type of an item is no text") from error
