"""Decide whether an encoder may add a space to a collection, and describe that space for the catalog."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from imseek.encoders import registry
from imseek.encoders.base import Encoder
from imseek.encoders.registry import Resolution
from imseek.encoders.runtime import Runtime
from imseek.errors import UsageError
from imseek.types.spaces import SpaceInfo

UPGRADE_NOTE: Final = "these vectors are of an older builtin, which finds less: imseek maintain --reencode builtin"
ANOTHER_ENCODER_HINT: Final = "a second space is worth its cost where another encoder makes it"


@dataclass(frozen=True, slots=True)
class SpaceEncoder:
    """The encoder of a space. ``modalities`` is None where unrecorded; it may then include text."""

    reference: str
    fingerprint: str
    modalities: tuple[str, ...] | None

    @classmethod
    def of(cls, encoder: Encoder) -> SpaceEncoder:
        """Describe the space that ``encoder`` makes."""
        return cls(encoder.info.reference, encoder.fingerprint(), tuple(encoder.info.modalities))


def check_compatible(spaces: Sequence[SpaceEncoder]) -> None:
    """Raise UsageError where one of these image spaces, in order, duplicates another or must come first."""
    for n, space in enumerate(spaces):
        for earlier in spaces[:n]:
            if earlier.fingerprint == space.fingerprint:
                raise UsageError(
                    f"{space.reference} is the encoder {earlier.reference} under another name",
                    hint=ANOTHER_ENCODER_HINT,
                )
        first = spaces[0].modalities
        if n and "text" in (space.modalities or ()) and first is not None and "text" not in first:
            raise UsageError(
                f"words are searched in the first space, and {spaces[0].reference} knows no words",
                hint=f"put {space.reference} first",
            )


def load_resolved(
    resolution: Resolution,
    modalities: tuple[str, ...],
    runtime: Runtime | None,
    notify: Callable[[str], None] | None,
) -> Encoder:
    """Load the resolved encoder; ``notify`` receives a line about a download. Raises as :func:`registry.load`."""
    if resolution.download is not None and notify is not None:
        weights = resolution.download
        megabytes = weights.download_bytes / 1e6
        notify(f"downloading {resolution.reference}: {megabytes:.0f} MB, licence {weights.licence}")
    return registry.load(resolution.reference, modalities=modalities, runtime=runtime, notify=notify)


def space_of(encoder: Encoder, note: str | None) -> dict[str, Any]:
    """Describe a space for :func:`imseek.data.writing.create.create`."""
    info = encoder.info
    return {
        "encoder": info.reference,
        "revision": info.revision,
        "fingerprint": encoder.fingerprint(),
        "dim": info.dim,
        "quality": info.quality,
        "note": note,
        "logit_scale": info.logit_scale,
        "preprocessing": info.preprocessing,
        "facts": {"modalities": info.modalities, "logit_bias": info.logit_bias},
    }


def with_upgrade_note(space: SpaceInfo) -> SpaceInfo:
    """Add to the note of a space where a newer version of its encoder has come since."""
    if space.encoder != "builtin":
        return space
    from imseek.encoders.builtin.recipe import VERSION, version_of

    if space.modality == "text" or version_of(space.fingerprint) == VERSION:
        return space
    return replace(space, note="; ".join(filter(None, (space.note, UPGRADE_NOTE))))
