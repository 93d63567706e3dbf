"""Choose the image space whose vectors propose duplicates."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from imseek.types.collection_info import SpaceInfo

#: Prefixes of the references of encoders that were trained to recognise altered copies.
_COPY_DETECTORS: Final = ("timm:sscd_",)


def comparison_space(spaces: Sequence[SpaceInfo], kinds: Collection[str]) -> SpaceInfo:
    """Return the first space of an encoder that was trained on copies, or else the first of ``spaces``.

    If ``kinds`` has scenes, it is the first in any case: to a copy detector, another shot is another picture.
    """
    copies = (space for space in spaces if space.encoder.startswith(_COPY_DETECTORS))
    return spaces[0] if "scene" in kinds else next(copies, spaces[0])


def space_notes(space: SpaceInfo, spaces: Sequence[SpaceInfo]) -> tuple[str, ...]:
    """Say which of several ``spaces`` was chosen, and why."""
    if len(spaces) < 2:
        return ()
    why = "which was trained on copies" if space.encoder.startswith(_COPY_DETECTORS) else "the first space"
    return (f"pictures were compared by the vectors of {space.encoder} only, {why}",)
