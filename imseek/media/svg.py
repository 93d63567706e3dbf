"""Draw SVG with resvg, without access to files, networks or entities.

An SVG is a program for its renderer: a few lines can demand hours of work or all memory, and no renderer can be
interrupted from Python. So a worker of :mod:`imseek.media.sandbox` draws it, within the limits below, and cannot take
the indexer down.
"""

from __future__ import annotations

import re
from typing import Any, Final

from imseek.errors import MediaError
from imseek.types.pictures import SkipReason

SIDE: Final = 1024  # pixels of the longer side
MEMORY: Final = 1024 * 2**20  # bytes of address space for drawing
SECONDS: Final = 10  # of processor time for drawing

_MAX_BYTES: Final = 32 * 2**20
_PICTURE: Final = re.compile(r"data:image/(png|jpe?g|gif|webp)[;,]", re.IGNORECASE)
_ENDS_EARLY: Final = ("no element found", "unclosed token")


def render(data: bytes, side: int = SIDE) -> bytes:
    """Draw ``data`` as a PNG with a longer side of 1024 pixels, or ``side``: vector graphics have no size of their own.

    External references are not followed, and only raster pictures may be embedded. Text is drawn in the fonts of the
    machine. Raises MediaError for an invalid SVG.
    """
    from defusedxml.common import EntitiesForbidden
    from defusedxml.ElementTree import fromstring
    from resvg_py import svg_to_bytes

    if len(data) > _MAX_BYTES:
        message = f"an SVG of {len(data):,} bytes; the limit is {_MAX_BYTES:,}"
        raise MediaError(SkipReason.TOO_MANY_BYTES, message)
    try:
        # Without declared entities none is expanded; a public DOCTYPE is neither needed nor fetched.
        root = fromstring(data, forbid_entities=True, forbid_external=True)
        return bytes(svg_to_bytes(svg_string=_without_references(root), width=side, height=side))
    except EntitiesForbidden as error:
        message = "this SVG declares entities, which are not expanded"
        raise MediaError(SkipReason.MISSING_CODEC, message) from error
    except MemoryError as error:
        message = f"drawing it needs more than {MEMORY >> 20:,} MiB of memory"
        raise MediaError(SkipReason.TOO_MANY_PIXELS, message) from error
    except Exception as error:
        explanation = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        if any(words in explanation for words in _ENDS_EARLY):
            raise MediaError(SkipReason.TRUNCATED, f"SVG data end too early: {explanation}") from error
        raise MediaError(SkipReason.CORRUPT, f"broken SVG data: {explanation}") from error


def _without_references(root: Any) -> str:
    """Serialise the document without any ``href`` that leads out of it: to files, servers or other SVGs."""
    from xml.etree.ElementTree import tostring

    for element in root.iter():
        for name in [name for name in element.attrib if name.rpartition("}")[2] == "href"]:
            target = element.attrib[name].strip()
            if not (target.startswith("#") or _PICTURE.match(target)):
                del element.attrib[name]
    return tostring(root, encoding="unicode")
