"""References to tokens of pictures: ``tokens:NAME+REFERENCE``, made by the model NAME from patches of the encoder
REFERENCE.

Their space is never searched; a token's numbers are compared by the model alone.
"""

from __future__ import annotations

from typing import Final

#: Name and kind of the model that makes and compares tokens.
NAME: Final = "tokens"
KIND: Final = "reranker"
_MARK: Final = f"tokens:{NAME}+"


def tokens_reference(reference: str) -> str:
    """Return the reference of tokens made from patches of an encoder."""
    return _MARK + reference


def are_tokens(reference: str) -> bool:
    """Whether a reference names tokens."""
    return reference.startswith(_MARK)
