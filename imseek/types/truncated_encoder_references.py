"""References to encoders with truncated (Matryoshka) vectors: ``dim:N+REFERENCE`` keeps the first N components."""

from __future__ import annotations

from typing import Final

from imseek.errors import UnknownEncoderError

#: The scheme of such references.
DIM: Final = "dim"


def truncated_reference(dim: int, reference: str) -> str:
    """Build the reference of an encoder whose vectors are cut to ``dim`` numbers."""
    return f"{DIM}:{dim}+{reference}"


def truncation_of(reference: str) -> tuple[int, str] | None:
    """Split a reference into the length and the encoder's reference; None where nothing is cut.

    Raises UnknownEncoderError for an invalid length.
    """
    scheme, _, rest = reference.partition(":")
    if scheme != DIM:
        return None
    number, _, base = rest.partition("+")
    is_length = number.isascii() and number.isdigit() and len(number) < 10 and int(number) > 0
    if not is_length or not base or base.startswith(f"{DIM}:"):
        raise UnknownEncoderError(f"no encoder is called {reference!r}", hint="vectors are cut by dim:N+REFERENCE")
    return int(number), base
