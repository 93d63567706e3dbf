"""The encoder of a space, loaded for a collection."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from imseek.data import models
from imseek.data.reader import Reader
from imseek.data.trust import check_trusted, is_trusted
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

    Raises as :func:`imseek.encoders.registry.load`, CorruptCollectionError where the adapter is gone or damaged,
    UntrustedCollectionError where a collection that is not trusted names weights that are not on this machine or lie
    in a file; that weights are the same is for who encodes to check.
    """
    named = adapter_of(space.encoder)
    _check_weights(root, space.encoder if named is None else named[1])
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


def _check_weights(root: Path, reference: str) -> None:
    """A stranger's collection is not to choose what is fetched from the hub, or which file is read as weights."""
    if reference.partition(":")[0] in ("builtin", "fake") or is_trusted(root):
        return
    from imseek.encoders.catalogue import find_encoder

    known = find_encoder(registry.canonical(reference))
    if known is None or not known.is_cached:
        check_trusted(root, f"taking the weights of {reference} from where it says")


def shared_space(one: Reader, other: Reader) -> tuple[SpaceInfo, SpaceInfo] | None:
    """The first space of pictures of ``one`` whose encoder the ``other`` has too, as each of them knows it."""
    theirs = {space.fingerprint: space for space in reversed(other.current.image_spaces)}
    for space in one.current.image_spaces:
        if space.fingerprint in theirs:
            return space, theirs[space.fingerprint]
    return None
