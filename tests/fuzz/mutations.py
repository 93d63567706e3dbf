"""Turn arbitrary bytes into changes of a sound document, so that what is behind the first check is reached too."""

from __future__ import annotations

import copy
import json
from typing import Any, Final

#: Values that a reader of JSON may meet in place of another.
VALUES: Final[tuple[Any, ...]] = (
    None, True, False, 0, 1, -1, 7, 2**31, 2**63 - 1, 2**63, -(2**63) - 1, 10**40, 0.5, -0.0, 1e308, float("nan"),
    float("inf"), "", "0", "9", "..", ".", "/", "../../x", "/etc/passwd", "a/../b", "a//b", "\0", "\ud800",
    "x" * 70_000, "dead/000000.1.npy", "dead/000001.9223372036854775808.npy", "metadata/000000.ids.npy",
    "spaces/0/index/1", "models/a.1.json", "2026-01-01T00:00:00+00:00", "00000000-0000-4000-8000-000000000000",
    [], {}, [[]], {"a": {}}, [None], [0, 0], {"": ""},
)  # fmt: skip


class ByteSource:
    """Reads choices from bytes; when they end, every choice is the first one."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def number(self, below: int) -> int:
        """A number from 0 on; up to 65,536 make a difference."""
        size = 1 if below <= 256 else 2
        taken = self._data[self._at : self._at + size]
        self._at += size
        return int.from_bytes(taken, "little") % max(1, below)

    def text(self) -> str:
        """Some characters, any of Unicode, of which the bytes tell how many."""
        size = self.number(64)
        taken = self._data[self._at : self._at + size]
        self._at += size
        return taken.decode("utf-8", "surrogateescape")

    def rest(self) -> bytes:
        taken, self._at = self._data[self._at :], len(self._data)
        return taken


def mutate(document: Any, source: ByteSource) -> Any:
    """A copy of a JSON value with up to eight changes."""
    made = copy.deepcopy(document)
    for _ in range(8):
        if not source:
            break
        made = _change(made, source)
    return made


def json_bytes(document: Any) -> bytes:
    """As JSON; values that it cannot hold are as Python writes them."""
    return json.dumps(document).encode("utf-8", "surrogatepass")


def _change(document: Any, source: ByteSource) -> Any:
    """One change, somewhere in a value."""
    if isinstance(document, dict | list) and document and source.number(4):
        keys = list(document) if isinstance(document, dict) else list(range(len(document)))
        key = keys[source.number(len(keys))]
        document[key] = _change(document[key], source)
        return document
    kind = source.number(6)
    if kind == 0 and isinstance(document, dict) and document:
        del document[list(document)[source.number(len(document))]]
        return document
    if kind == 1 and isinstance(document, dict):
        document[source.text()] = _value(source)
        return document
    if kind == 2 and isinstance(document, list) and document:
        return [*document, copy.deepcopy(document[source.number(len(document))])]
    if kind == 3 and isinstance(document, int) and not isinstance(document, bool):
        return document + (-1, 1, 2**32, -(2**63))[source.number(4)]
    if kind == 4 and isinstance(document, str):
        at = source.number(len(document) + 1)
        return document[:at] + source.text() + document[at + source.number(3) :]
    return _value(source)


def _value(source: ByteSource) -> Any:
    chosen = source.number(len(VALUES) + 2)
    if chosen < len(VALUES):
        return copy.deepcopy(VALUES[chosen])
    return source.text() if chosen == len(VALUES) else source.number(1 << 16)
