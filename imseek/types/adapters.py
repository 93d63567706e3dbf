"""References to encoders with an adapter: ``adapter:NAME+REFERENCE``.

The adapter is the model NAME of the collection (:mod:`imseek.data.catalog.models`), over vectors of the encoder
REFERENCE. Versions of imseek without adapters refuse such references.
"""

from __future__ import annotations

from typing import Final

#: Kind of the models that hold adapters.
ADAPTER: Final = "adapter"
_MARK: Final = f"{ADAPTER}:"


def adapter_reference(name: str, reference: str) -> str:
    """Build the reference of an encoder whose image vectors pass through the adapter ``name``."""
    return f"{_MARK}{name}+{reference}"


def adapter_of(reference: str) -> tuple[str, str] | None:
    """Split a reference into the adapter's name and the encoder's reference; None where there is no adapter."""
    name, plus, base = reference.removeprefix(_MARK).partition("+")
    return (name, base) if reference.startswith(_MARK) and name and plus and base else None
