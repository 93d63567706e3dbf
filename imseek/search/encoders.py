"""The encoder of a space, loaded for a collection."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from imseek.data import models
from imseek.data.reader import Reader
from imseek.encoders import registry
from imseek.encoders.base import Encoder
from imseek.encoders.runtime import Runtime
from imseek.errors import CorruptCollectionError
from imseek.types import SpaceInfo
from imseek.types.adapters import ADAPTER, adapter_of


def load_encoder(
    root: Path,
    space: SpaceInfo,
    modalities: Sequence[str],
    runtime: Runtime | None = None,
    notify: Callable[[str], None] | None = None,
) -> Encoder:
    """What encodes as the vectors of ``space`` were, in the collection at ``root``: behind an adapter, where the space
    has one.

    Raises as :func:`imseek.encoders.registry.load`, CorruptCollectionError where the adapter is gone or damaged; that
    weights are the same is for who encodes to check.
    """
    named = adapter_of(space.encoder)
    if named is None:
        return registry.load(
            space.encoder,
            modalities=modalities,
            runtime=runtime,
            fingerprint=space.fingerprint,
            notify=notify,
        )
    from imseek.encoders.adapters import AdaptedEncoder, Adapter

    name, reference = named
    model = models.find(root, name)
    try:
        if model is None or model.kind != ADAPTER:
            raise ValueError("it is not there")
        adapter, below = Adapter.of(model.arrays), str(model.facts["fingerprint"])
    except (KeyError, ValueError) as error:
        raise CorruptCollectionError(
            f"the adapter {name} of {root} cannot be used: {error}",
            hint="`imseek tune --back` searches without it again",
        ) from error
    base = registry.load(reference, modalities=modalities, runtime=runtime, fingerprint=below, notify=notify)
    return AdaptedEncoder(base, adapter, space.encoder)


def shared_space(one: Reader, other: Reader) -> tuple[SpaceInfo, SpaceInfo] | None:
    """The first space of pictures of ``one`` whose encoder the ``other`` has too, as each of them knows it."""
    theirs = {space.fingerprint: space for space in reversed(other.current.image_spaces)}
    for space in one.current.image_spaces:
        if space.fingerprint in theirs:
            return space, theirs[space.fingerprint]
    return None
