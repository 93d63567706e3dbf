"""Read members of a JSON object, checking the type and range of each.

Files that someone else may have written are read through this class, once and in full, so that later code can rely on
the types. Every fault is a ValueError that names the member.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator
from typing import Any, Final, TypeVar

from imseek.data.layout import MAX_ID

T = TypeVar("T")

#: Maximum characters of a text without another limit.
_TEXT: Final = 65_536
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)?", re.ASCII)


class JsonObject:
    """A JSON object. Raises ValueError for any other value, and for members not in ``known``."""

    def __init__(self, value: Any, known: Collection[str] | None = None) -> None:
        if not isinstance(value, dict):
            raise ValueError("not a JSON object")
        if known is not None and (unknown := sorted(value.keys() - set(known))):
            raise ValueError(f"unknown member {unknown[0]!r}")
        self._members = value

    def __contains__(self, name: str) -> bool:
        """Whether the member exists and is not null."""
        return self._members.get(name) is not None

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def get(self, name: str) -> Any:
        """Return a member unchecked. Raises ValueError where it is missing."""
        if name not in self._members:
            raise ValueError(f"{name} is missing")
        return self._members[name]

    def text(self, name: str, *, choices: Collection[str] | None = None, pattern: re.Pattern[str] | None = None) -> str:
        """Read a string of at most 65,536 characters, one of ``choices``, or fully matched by ``pattern``."""
        value = check_text(self.get(name), name)
        if (choices is not None and value not in choices) or (pattern and not pattern.fullmatch(value)):
            raise ValueError(f"{name} cannot be {value[:80]!r}")
        return value

    def time(self, name: str) -> str:
        """Read an ISO 8601 time, as text."""
        return self.text(name, pattern=_TIME)

    def whole(self, name: str, *, least: int = 0, most: int = MAX_ID - 1) -> int:
        """Read an integer from ``least`` to ``most``. ``true`` is not one."""
        return check_integer(self.get(name), name, least=least, most=most)

    def optional_whole(self, name: str) -> int | None:
        """Read a non-negative integer; None for null or a missing member."""
        return self.whole(name) if name in self else None

    def number(self, name: str, *, least: float = -math.inf, most: float = math.inf) -> float:
        """Read a finite number from ``least`` to ``most``."""
        return check_number(self.get(name), name, least=least, most=most)

    def truth(self, name: str) -> bool:
        """Read ``true`` or ``false``."""
        value = self.get(name)
        if not isinstance(value, bool):
            raise ValueError(f"{name} is neither true nor false")
        return value

    def items(self, name: str) -> list[Any]:
        """Read a list."""
        value = self.get(name)
        if not isinstance(value, list):
            raise ValueError(f"{name} is not a list")
        return value

    def wholes(self, name: str) -> tuple[int, ...]:
        """Read a list of non-negative integers."""
        return tuple(check_integer(item, name) for item in self.items(name))

    def texts(self, name: str) -> tuple[str, ...]:
        """Read a list of strings."""
        return tuple(check_text(item, name) for item in self.items(name))

    def object(self, name: str, known: Collection[str] | None = None) -> JsonObject:
        """Read a nested object."""
        try:
            return JsonObject(self.get(name), known)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error

    def texts_by_name(self, name: str) -> dict[str, str]:
        """Read an object whose members are all strings."""
        members = self.object(name)
        return {key: members.text(key) for key in members}


def check_text(value: Any, name: str) -> str:
    """Check a string of at most 65,536 characters; raises ValueError, naming it ``name``."""
    if not isinstance(value, str) or len(value) > _TEXT:
        raise ValueError(f"{name} is not text, or is too long")
    return value


def check_integer(value: Any, name: str, *, least: int = 0, most: int = MAX_ID - 1) -> int:
    """Check an integer from ``least`` to ``most``; raises ValueError, naming it ``name``."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{name} is not a whole number")
    if not least <= value <= most:
        raise ValueError(f"{name} is out of range")
    return value


def check_number(value: Any, name: str, *, least: float = -math.inf, most: float = math.inf) -> float:
    """Check a finite number from ``least`` to ``most``; raises ValueError, naming it ``name``."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e300:
        raise ValueError(f"{name} is not a number")
    if not least <= value <= most:
        raise ValueError(f"{name} cannot be {value}")
    return float(value)
