"""Whether an encoder may make one more space of a collection, and what is recorded of the space it makes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from imseek.encoders import registry
from imseek.encoders.base import Encoder
from imseek.encoders.registry import Resolution
from imseek.encoders.runtime import Runtime
from imseek.errors import UsageError

ANOTHER: Final = "a second space is worth its cost where another encoder makes it"


@dataclass(frozen=True, slots=True)
class Joined:
    """The encoder of a space. ``modalities`` is None where that is not recorded: then it may know words."""

    reference: str
    fingerprint: str
    modalities: tuple[str, ...] | None

    @classmethod
    def of(cls, encoder: Encoder) -> Joined:
        return cls(encoder.info.reference, encoder.fingerprint(), tuple(encoder.info.modalities))


def check_joins(spaces: Sequence[Joined]) -> None:
    """Raise UsageError where one of these image spaces, the first one first, would be of no use beside the others."""
    for n, made in enumerate(spaces):
        for other in spaces[:n]:
            if other.fingerprint == made.fingerprint:
                raise UsageError(
                    f"{made.reference} is the encoder {other.reference} under another name", hint=ANOTHER
                )
        if n and "text" in (made.modalities or ()) and not _may_know_words(spaces[0]):
            raise UsageError(
                f"words are searched in the first space, and {spaces[0].reference} knows no words",
                hint=f"put {made.reference} first",
            )


def _may_know_words(space: Joined) -> bool:
    return space.modalities is None or "text" in space.modalities


def load_resolved(
    resolution: Resolution,
    modalities: tuple[str, ...],
    runtime: Runtime | None,
    notify: Callable[[str], None] | None,
) -> Encoder:
    """The encoder that was chosen; ``notify`` is told of what will be downloaded. Raises as :func:`registry.load`."""
    if resolution.download is not None and notify is not None:
        weights = resolution.download
        megabytes = weights.download_bytes / 1e6
        notify(f"downloading {resolution.reference}: {megabytes:.0f} MB, licence {weights.licence}")
    return registry.load(resolution.reference, modalities=modalities, runtime=runtime, notify=notify)


def space_of(encoder: Encoder, note: str | None) -> dict[str, Any]:
    """A space as :func:`imseek.data.create.create` takes it."""
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
