"""Load the encoder of a space, with its adapter if it has one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from imseek.data.reader import Reader
from imseek.data.trust import check_trusted, is_trusted
from imseek.encoders import registry
from imseek.encoders.base import Encoder
from imseek.encoders.runtime import Runtime
from imseek.errors import CorruptCollectionError, EncoderError
from imseek.types.adapters import ADAPTER, adapter_of
from imseek.types.spaces import SpaceInfo

if TYPE_CHECKING:
    from imseek.encoders.prompt_tower import PromptTower


def load_encoder(
    root: Path,
    space: SpaceInfo,
    modalities: Sequence[str],
    runtime: Runtime | None = None,
    notify: Callable[[str], None] | None = None,
) -> Encoder:
    """Load the encoder that made the vectors of ``space``, with the space's adapter if it has one.

    ``root`` is the collection's folder. Raises what :func:`imseek.encoders.registry.load` raises;
    CorruptCollectionError if the adapter is missing or damaged; UntrustedCollectionError if an untrusted collection
    names weights that are not on this machine or are read from a file. The caller must check that the weights are the
    same.
    """
    adapted = adapter_of(space.encoder)
    _check_weights(root, space.encoder if adapted is None else adapted[1])
    if adapted is None:
        return registry.load(
            space.encoder,
            modalities=modalities,
            runtime=runtime,
            fingerprint=space.fingerprint,
            notify=notify,
        )
    from imseek.data.catalog import models
    from imseek.encoders.vector_adapter import AdaptedEncoder, Adapter

    name, reference = adapted
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


def load_prompt_tower(root: Path, reference: str, fingerprint: str) -> PromptTower:
    """Load the text tower on torch of the encoder of a space of the collection at ``root``.

    Raises as :func:`imseek.encoders.registry.load_prompt_tower`; EncoderError for a space with an adapter, and
    UntrustedCollectionError as :func:`load_encoder`.
    """
    if (adapted := adapter_of(reference)) is not None:
        raise EncoderError(
            f"prompts are not learned through an adapter ({adapted[0]})",
            hint="`imseek tune --back` searches without it again",
        )
    _check_weights(root, reference)
    return registry.load_prompt_tower(reference, fingerprint)


def _check_weights(root: Path, reference: str) -> None:
    """Refuse weights named by an untrusted collection, unless they are builtin or cached.

    A collection must not decide what is downloaded from the hub or which file is loaded.
    """
    if reference.partition(":")[0] in ("builtin", "fake") or is_trusted(root):
        return
    from imseek.encoders.catalogue import find_encoder

    entry = find_encoder(registry.canonical(reference))
    if entry is None or not entry.is_cached:
        check_trusted(root, f"taking the weights of {reference} from where it says")


def shared_spaces(one: Reader, other: Reader) -> list[tuple[SpaceInfo, SpaceInfo]]:
    """Return the image spaces of ``one``, in order, whose encoder ``other`` also has, each with that of ``other``."""
    theirs = {space.fingerprint: space for space in reversed(other.current.image_spaces)}
    return [(space, theirs[space.fingerprint]) for space in one.current.image_spaces if space.fingerprint in theirs]
