"""Members of a JSON object that anybody may have written, each read with its type and range checked."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any, Final

#: The largest number that the catalog holds.
INT64: Final = 2**63 - 1


class MemberError(ValueError):
    """A member is missing, or is not what it must be. It does not leave this package."""


class Members:
    """A JSON object, read member by member. Raises MemberError, or what a subclass makes of it in :meth:`wrong`."""

    def __init__(self, found: object) -> None:
        if not isinstance(found, dict):
            raise self.wrong("an object is needed")
        self.found: Mapping[str, Any] = found

    def wrong(self, what: str) -> Exception:
        """The error to raise for a member, where ``what`` says what is the matter with it."""
        return MemberError(what)

    def raw(self, name: str) -> object:
        if name not in self.found:
            raise self.wrong(f"{name} is missing")
        return self.found[name]

    def text(self, name: str, *, empty: bool = False) -> str:
        value = self.raw(name)
        if not isinstance(value, str) or not (empty or value.strip()):
            raise self.wrong(f"{name} must be text")
        return value

    def number(self, name: str, low: int = 0, high: int = INT64) -> int:
        """A whole number within a range, both ends included."""
        value = self.raw(name)
        if type(value) is not int or not low <= value <= high:
            beyond = f"from {low} on" if high == INT64 else f"from {low} to {high}"
            raise self.wrong(f"{name} must be a whole number {beyond}")
        return value

    def truth(self, name: str) -> bool:
        value = self.raw(name)
        if type(value) is not bool:
            raise self.wrong(f"{name} must be true or false")
        return value

    def list(self, name: str) -> list[Any]:
        value = self.raw(name)
        if not isinstance(value, list):
            raise self.wrong(f"{name} must be a list")
        return value

    def mapping(self, name: str) -> dict[str, Any]:
        value = self.raw(name)
        if not isinstance(value, dict):
            raise self.wrong(f"{name} must be an object")
        return value

    def choice(self, name: str, allowed: tuple[str, ...]) -> Any:
        value = self.text(name)
        if value not in allowed:
            raise self.wrong(f"{name} is {value!r}; known are {', '.join(allowed)}")
        return value

    def base64(self, name: str) -> bytes:
        return self.decode(name, self.text(name, empty=True))

    def decode(self, name: str, coded: object) -> bytes:
        """The bytes of base64 text, where ``name`` says whose it is."""
        try:
            return base64.b64decode(coded, validate=True)  # type: ignore[arg-type]  # anything else raises TypeError
        except (TypeError, ValueError, binascii.Error) as error:
            raise self.wrong(f"{name} is not base64") from error
