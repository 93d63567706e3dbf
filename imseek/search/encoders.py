"""The encoder of a space, loaded for a collection."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from imseek.data.reader import Reader
from imseek.encoders import registry
from imseek.encoders.base import Encoder
from imseek.encoders.runtime import Runtime
from imseek.types import SpaceInfo


def load_encoder(
    root: Path,
    space: SpaceInfo,
    modalities: Sequence[str],
    runtime: Runtime | None = None,
    notify: Callable[[str], None] | None = None,
) -> Encoder:
    """What encodes as the vectors of ``space`` were, in the collection at ``root``. Raises as
    :func:`imseek.encoders.registry.load`; that its weights are the same is for who encodes to check."""
    return registry.load(
        space.encoder, modalities=modalities, runtime=runtime, fingerprint=space.fingerprint, notify=notify
    )


def shared_space(one: Reader, other: Reader) -> tuple[SpaceInfo, SpaceInfo] | None:
    """The first space of pictures of ``one`` whose encoder the ``other`` has too, as each of them knows it."""
    theirs = {space.fingerprint: space for space in reversed(other.current.image_spaces)}
    for space in one.current.image_spaces:
        if space.fingerprint in theirs:
            return space, theirs[space.fingerprint]
    return None
