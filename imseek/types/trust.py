"""Records of collections that the user trusts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TrustRecord:
    """A trusted collection."""

    path: str
    """Without links."""
    uuid: str
