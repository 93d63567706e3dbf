"""Find out which formats this installation can read, by starting the processes that decode them."""

from __future__ import annotations

from collections.abc import Mapping

from imseek.media.formats import (
    EXTRA_PACKAGES,
    FORMATS_HINT,
    PILLOW_FORMATS,
    RECOGNISED,
    is_readable,
    needs_extra,
)
from imseek.media.sandbox import pool


def codecs() -> dict[str, bool]:
    """Tell which known formats this installation can read. Starts a worker of each kind to find out."""
    unread = codec_refusals()
    return {name: is_readable(name) and name not in unread for name in (*PILLOW_FORMATS, *EXTRA_PACKAGES, *RECOGNISED)}


def formats_hint(known: Mapping[str, bool]) -> str | None:
    """Return how to install the codecs that ``known`` (:func:`codecs`) lacks; None if no extra would help."""
    return FORMATS_HINT if any(needs_extra(name) for name, can_read in known.items() if not can_read) else None


def codec_refusals() -> dict[str, str]:
    """Return the formats whose installed codec is refused or does not load, with reasons that say what to do."""
    refusals: dict[str, str] = {}
    for kind in pool.KINDS.values():
        installed = [name for name in kind.formats if is_readable(name)]
        try:
            refusals |= {name: why for name, why in pool.survey(kind).refusals.items() if name in installed}
        except pool.WorkerError as error:
            refusals |= dict.fromkeys(installed, f"its decoder process does not start: {error}")
    return refusals


def sandbox_layers() -> tuple[str, ...]:
    """Return what confines the process that decodes HEIC, JPEG XL and camera raw. Raises WorkerError if none starts."""
    return pool.survey(pool.KINDS["pictures"]).layers
