"""The two kinds of workers, and what each may read and use."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from imseek.media import svg


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of worker.

    It imports Pillow and the packages of ``formats``. A decoder may read files below ``readable``, and use ``memory``
    bytes plus ``pixel_memory`` per pixel that a picture may have, and ``seconds`` of processor time.
    """

    name: str
    formats: tuple[str, ...]
    readable: tuple[Path, ...]
    memory: int
    pixel_memory: int
    seconds: int

    def memory_for(self, max_pixels: int) -> int:
        """Return the bytes that decoding a picture of at most ``max_pixels`` may take."""
        return self.memory + self.pixel_memory * max_pixels


#: SVG in, a PNG of bounded size out; text is drawn in the fonts installed for all users.
DRAWINGS: Final = Kind(
    "drawings",
    formats=("SVG",),
    readable=(Path("/usr/share/fonts"), Path("/usr/local/share/fonts")),
    memory=svg.MEMORY,
    pixel_memory=0,
    seconds=svg.SECONDS,
)
PICTURES: Final = Kind(
    "pictures",
    formats=("HEIC", "JPEG XL"),
    readable=(),
    memory=2**30,
    pixel_memory=20,  # the most that any codec holds at once
    seconds=60,
)
KINDS: Final = {kind.name: kind for kind in (DRAWINGS, PICTURES)}


def kind_of(name: str) -> Kind:
    """Return the kind of worker that decodes the format ``name``."""
    return DRAWINGS if name in DRAWINGS.formats else PICTURES
