"""Whether a label may come from writing in the picture instead of from what it shows.

A CLIP model takes an apple with a note "iPod" on it for an iPod (Goh et al. 2021, "Multimodal Neurons in Artificial
Neural Networks"). Where a picture is liker to "a sign that says iPod" than to an iPod, its label deserves a look.
"""

from __future__ import annotations

from typing import Final

from imseek.types import SpaceInfo

#: What writing that says the class is described by.
WRITTEN: Final = (
    'the word "{}" written on paper',
    'a sign that says "{}"',
    'a label with the text "{}"',
    'the word "{}"',
)


def doubt(space: SpaceInfo) -> str | None:
    """What users should know before they trust flags of this space's encoder."""
    if space.quality == "full":
        return None
    return (
        f"{space.encoder} cannot read: its labels do not come from words in pictures, and what is flagged is any "
        "picture that looks like a sign or paper (docs/limits.md)"
    )
