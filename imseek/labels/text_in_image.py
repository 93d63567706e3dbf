"""Detect labels that may come from written text in an image rather than its content.

CLIP takes an apple with a note "iPod" for an iPod (Goh et al. 2021, "Multimodal Neurons in Artificial Neural
Networks"). An image more similar to "a sign that says iPod" than to an iPod deserves a second look.
"""

from __future__ import annotations

from typing import Final

from imseek.types.collection_info import SpaceInfo

#: Templates that describe written text naming a class.
WRITING_TEMPLATES: Final = (
    'the word "{}" written on paper',
    'a sign that says "{}"',
    'a label with the text "{}"',
    'the word "{}"',
)


def caution_caveat(space: SpaceInfo) -> str | None:
    """Return a caveat about flags of this space's encoder; None where it can read."""
    if space.quality == "full":
        return None
    return (
        f"{space.encoder} cannot read: its labels do not come from words in pictures, and what is flagged is any "
        "picture that looks like a sign or paper (docs/limits.md)"
    )
