"""How a reference to an encoder tells of an adapter: ``adapter:NAME+REFERENCE``.

The adapter is the model NAME of the collection (:mod:`imseek.data.models`), over the vectors of the encoder REFERENCE.
An imseek that knows no adapters refuses such a reference, whatever the encoder is.
"""

from __future__ import annotations

from typing import Final

#: The kind of the models that adapters are.
ADAPTER: Final = "adapter"
_MARK: Final = f"{ADAPTER}:"


def adapted(name: str, reference: str) -> str:
    """The reference of an encoder whose image vectors go through the adapter ``name``."""
    return f"{_MARK}{name}+{reference}"


def adapter_of(reference: str) -> tuple[str, str] | None:
    """The name of the adapter and the reference of the encoder below it; None for an encoder without one."""
    name, plus, base = reference.removeprefix(_MARK).partition("+")
    return (name, base) if reference.startswith(_MARK) and name and plus and base else None
