"""People's decisions on whether two pictures are the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from imseek.types.json_form import ContentHash

#: A person's decision on two contents.
Verdict: TypeAlias = Literal["same", "different"]


@dataclass(frozen=True, slots=True)
class Judgement:
    """A person's decision on two contents."""

    a: ContentHash
    """Hexadecimal sha256 of the file; the lower of the two."""
    b: ContentHash
    verdict: Verdict
    provenance: str
    decided_at: str
    """ISO 8601 in UTC."""
