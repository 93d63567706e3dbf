"""Check which spaces a collection may have after re-encoding, and which may be dropped."""

from __future__ import annotations

from collections.abc import Sequence

from imseek.data.catalog.spaces import StoredSpace
from imseek.encoders.base import Encoder
from imseek.encoders.space_compatibility import SpaceEncoder, check_compatible
from imseek.errors import UsageError


def in_use(stored: Sequence[StoredSpace]) -> list[StoredSpace]:
    """Return the image spaces that are searched, the first one first."""
    return [space for space in stored if space.is_current and space.info.modality == "image"]


def space_to_replace(stored: Sequence[StoredSpace], space_id: int | None) -> StoredSpace:
    """Return the image space with this id, by default the first. Raises UsageError if there is none."""
    if space_id is None:
        return in_use(stored)[0]
    for space in stored:
        if space.info.space_id == space_id and space.info.modality == "image":
            return space
    raise UsageError(f"no image space {space_id} in this collection (there are: {_list_names(in_use(stored))})")


def find_existing(stored: Sequence[StoredSpace], encoder: Encoder, replaced: StoredSpace | None) -> StoredSpace | None:
    """Return the space in use that an earlier call with these arguments has built, or None."""
    fingerprint = encoder.fingerprint()
    existing = next((space for space in in_use(stored) if space.info.fingerprint == fingerprint), None)
    is_complete = replaced is None or replaced == existing or not replaced.is_current
    return existing if is_complete else None


def check_new(stored: Sequence[StoredSpace], encoder: Encoder, replaced: StoredSpace | None) -> None:
    """Raise UsageError if the spaces could not be searched together, or the one to replace is not in use."""
    new = SpaceEncoder.of(encoder)
    if replaced is None:
        check_compatible([*map(_describe_encoder, in_use(stored)), new])
        return
    if not replaced.is_current:
        raise UsageError(
            f"space {replaced.info.space_id} ({replaced.info.encoder}) is not in use: nothing takes its place"
        )
    check_compatible([new if space == replaced else _describe_encoder(space) for space in in_use(stored)])


def check_drop(stored: Sequence[StoredSpace], space_id: int) -> None:
    """Raise UsageError if the remaining spaces would not be searchable as before."""
    spaces = in_use(stored)
    left = [space for space in spaces if space.info.space_id != space_id]
    if len(left) == len(spaces):
        return
    if not left:
        raise UsageError(
            f"space {space_id} is the only one that is searched",
            hint="`imseek maintain --reencode REFERENCE` puts another in its place",
        )
    knows = [space.modalities is None or "text" in space.modalities for space in (spaces[0], left[0])]
    if knows == [True, False]:
        raise UsageError(
            f"words are searched in space {space_id}, and {left[0].info.encoder}, the next one, knows no words"
        )
    check_compatible([_describe_encoder(space) for space in left])


def _describe_encoder(space: StoredSpace) -> SpaceEncoder:
    return SpaceEncoder(space.info.encoder, space.info.fingerprint, space.modalities)


def _list_names(spaces: Sequence[StoredSpace]) -> str:
    return ", ".join(f"{space.info.space_id} ({space.info.encoder})" for space in spaces)
