"""Parse quantities as typed: sizes and shares."""

from __future__ import annotations

import re
from typing import Final

from imseek.errors import UsageError

_POWERS: Final = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}
_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(?:([KMGT])(i?))?B?", re.IGNORECASE)


def parse_size(text: str) -> int:
    """Parse ``4GB``, ``512 MiB`` or ``1000000`` as bytes. Raises UsageError."""
    match = _SIZE.fullmatch(text.strip())
    if match is None or float(match[1]) <= 0:
        raise UsageError(f"{text!r} is not a size", hint="write it as 4GB or 512MiB")
    return int(float(match[1]) * (1024 if match[3] else 1000) ** _POWERS[(match[2] or "").upper()])


def parse_share(text: str) -> float:
    """Parse ``30%`` or ``0.3``. Raises UsageError."""
    percent = text.endswith("%")
    try:
        number = float(text.removesuffix("%"))
    except ValueError:
        number = 0.0
    share = number / 100 if percent else number
    if not 0 < share <= 1:
        suggestion = f"{number:g}% or {number / 100:g}" if not percent and 1 < number <= 100 else "30% or 0.3"
        raise UsageError(f"{text!r} is not a share", hint=f"write {suggestion}: above 0, at most 100%")
    return share
