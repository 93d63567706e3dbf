"""Logit scales: the factor that turns cosines into logits, and its origin.

Contrastive training learns this factor (CLIP: at most 100, Radford et al. 2021, section 2.5). Encoders trained
otherwise have none; for ``builtin`` it was measured.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from imseek.data.catalog import models
from imseek.data.catalog.logit_scales import read_logit_scale
from imseek.data.current_generation import read_current
from imseek.errors import UsageError
from imseek.types.adapters import adapter_of
from imseek.types.arrays import Float32
from imseek.types.spaces import SpaceInfo, name_beside

KIND: Final = "temperature"
#: Default: the value that CLIP's factor is clipped to.
CLIP_FACTOR: Final = 100.0


@dataclass(frozen=True, slots=True)
class Scale:
    """Logits are ``factor`` · (cosine + class offset), plus ``bias`` for a sigmoid, if there is one.

    ``flat`` is the share of a class's cosine with an image of nothing in particular that is subtracted. ``source``
    describes the origin of the numbers.
    """

    factor: float
    bias: float | None
    source: str
    flat: float = 0.0


#: Scale of the built-in encoder, chosen on half A of the Tux Paint stamps by bench/labels.py (docs/log.md).
BUILTIN: Final = Scale(16.0, None, "measured for builtin (docs/labels.md)", flat=0.4)


def scale_of_space(root: Path, space: SpaceInfo) -> Scale:
    """Return the scale from the encoder's training, else the measured or default one."""
    below = adapter_of(space.encoder)
    if (space.encoder if below is None else below[1]) == "builtin":
        # With an adapter cosines shift somewhat: the measured scale is an approximation, but closer than the default.
        return BUILTIN if below is None else replace(BUILTIN, source=f"{BUILTIN.source}, without its adapter")
    factor, bias = read_logit_scale(root, space.space_id)
    if factor is not None:
        return Scale(factor, bias, f"learned in the training of {space.encoder}")
    return Scale(CLIP_FACTOR, None, f"assumed: {space.encoder} records none")


def resolve_scale(root: Path, space: SpaceInfo, temperature: str | float | None) -> Scale:
    """Resolve a temperature: a number (cosines are divided by it), or the name of a learned one.

    Raises UsageError where it is not positive, unknown, or was learned with another encoder.
    """
    encoder_scale = scale_of_space(root, space)
    if temperature is None:
        return encoder_scale
    number = _parse_number(temperature)
    if number is not None:
        if not (math.isfinite(number) and number > 0):
            raise UsageError(
                f"a temperature is a positive number, not {temperature}",
                hint="0.01 is what CLIP was trained with; a lower one makes probabilities surer",
            )
        return replace(encoder_scale, factor=1 / number, bias=None, source=f"temperature {number:g}")
    model = models.find(root, str(temperature))
    if model is None or model.kind != KIND:
        names = [one.name for one in models.of_kind(root, KIND)]
        raise UsageError(
            f"no temperature is called {temperature!r}",
            hint=f"there are: {', '.join(names)}"
            if names
            else "a number, or learn one: imseek evaluate zeroshot --save-temperature NAME",
        )
    facts = model.facts
    if facts["fingerprint"] != space.fingerprint:
        raise UsageError(
            f"the temperature {temperature!r} was learned with {facts['encoder']}, not "
            f"{name_beside(space.encoder, facts['encoder'])}",
            hint="learn it again: imseek evaluate zeroshot --save-temperature NAME",
        )
    return Scale(facts["factor"], facts["bias"], f"temperature {temperature!r}", facts["flat"])


@dataclass(frozen=True, slots=True)
class KnownScales:
    """Scales available for a collection's first space.

    ``own`` is the encoder's; ``names`` are learned temperatures. ``several``: a sigmoid is available from either.
    """

    own: Scale
    names: tuple[str, ...]
    several: bool


def known_scales(root: Path) -> KnownScales:
    """List the scales available for the first space. Raises CorruptCollectionError."""
    space = read_current(root).space
    own = scale_of_space(root, space)
    temperatures = [one for one in models.of_kind(root, KIND) if one.facts["fingerprint"] == space.fingerprint]
    several = own.bias is not None or any(one.facts["bias"] is not None for one in temperatures)
    return KnownScales(own, tuple(one.name for one in temperatures), several)


def check_name(root: Path, name: str) -> None:
    """Raise UsageError where a learned temperature cannot have this name."""
    models.check_name(name)
    model = models.find(root, name)
    if model is not None and model.kind != KIND:
        raise UsageError(f"{name!r} is the name of a model ({model.kind}) already", hint="choose another name")
    try:
        float(name)
    except ValueError:
        return
    raise UsageError(f"{name!r} would be taken for a number", hint="choose another name")


def scale_facts(scale: Scale, space: SpaceInfo) -> dict[str, Any]:
    """Return the scale as facts of a model."""
    return {
        "factor": scale.factor,
        "bias": scale.bias,
        "flat": scale.flat,
        "encoder": space.encoder,
        "fingerprint": space.fingerprint,
    }


def offsets(vectors: Float32, scale: Scale, mean: Float32 | None) -> Float32:
    """Offsets added to the cosines with each class (classes,); ``vectors`` are (classes, dim).

    With ``mean`` (dim,), the mean image vector, each class's mean cosine is subtracted, so that no class has an
    advantage. Otherwise, with ``flat``, a share of its cosine with an image of everything equally.
    """
    if mean is not None:
        return -(vectors @ mean)
    if not scale.flat:
        return np.zeros(len(vectors), np.float32)
    from imseek.encoders.builtin.space import CLASS_COUNT

    mixture = np.zeros(vectors.shape[1], np.float32)
    mixture[:CLASS_COUNT] = 1 / math.sqrt(CLASS_COUNT)
    shift: Float32 = np.float32(-scale.flat) * (vectors @ mixture)
    return shift


def _parse_number(temperature: str | float) -> float | None:
    try:
        return float(temperature)
    except ValueError:
        return None
