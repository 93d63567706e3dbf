"""Lies in JSON: each value of a sealed document replaced by one that it must not be, and documents that are none."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from typing import Any, Final, TypeAlias

from hostile.forge import Document, Forge
from hostile.lies import Lie, Tell, gather
from imseek.data import layout
from imseek.data.files import durable_files

Key: TypeAlias = tuple[str | int, ...]
Value: TypeAlias = Callable[[Forge], Any]

#: Values by the name of the lie; those for texts, for numbers, and for anything.
_TEXTS: Final[dict[str, list[Value]]] = {
    "outside path": [
        lambda _: "../../../home/thesis.txt",
        lambda _: "dead/../../../../home/thesis.txt",
        lambda _: "../" * 4 + "home/thesis.txt",
    ],
    "absolute path": [lambda forge: str(forge.thesis), lambda _: "/dev/zero"],
    "URL": [lambda forge: f"http://127.0.0.1:{forge.port}/x", lambda _: "file:///etc/passwd"],
    "odd text": [lambda _: "", lambda _: ".", lambda _: "a\0b", lambda _: "\ud800", lambda _: "\x1b[2J"],
    "long text": [lambda _: "x" * 300, lambda _: "x" * 3_000_000],
}
_NUMBERS: Final[dict[str, list[Value]]] = {
    "negative": [lambda _: -1, lambda _: -(2**63)],
    "zero": [lambda _: 0],
    "huge": [lambda _: 2**31, lambda _: 2**63, lambda _: 10**30, lambda _: 10**4000],
    "fraction": [lambda _: 1.5],
    "NaN": [lambda _: math.nan, lambda _: math.inf],
    "bool as number": [lambda _: True],
    "number as text": [lambda _: "9", lambda _: "../../x"],
}
_ANY: Final[dict[str, list[Value]]] = {
    "null": [lambda _: None],
    "wrong type": [lambda _: {"a": 1}, lambda _: [1], lambda _: 7, lambda _: "seven", lambda _: False],
    "list in list": [lambda _: [[[]]]],
    "deep": [lambda _: _nested(300), lambda _: _nested(900)],
}


def _nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


def document_lies(
    kind: str,
    documents: Mapping[str, Document],
    *,
    verify: bool = True,
    free: frozenset[str] = frozenset(),
    before: Tell | None = None,
    family: str = "",
) -> list[Lie]:
    """Lies about every value of sealed files of one kind, by name and what they hold now.

    Members in ``free`` say nothing that anything depends on: what their values are is nobody's business. ``before`` is
    done to the collection first.
    """
    triples = [
        (lie, f"{name}: {label}", tell if before is None else _after(before, tell))
        for name, document in documents.items()
        for lie, label, tell in (*value_lies(name, document, free=free, edit=_edit), *_whole(name, document))
    ]
    return gather(kind, triples, verify=verify, family=family)


def _after(before: Tell, tell: Tell) -> Tell:
    def both(forge: Forge) -> None:
        before(forge)
        tell(forge)

    return both


def _edit(forge: Forge, name: str, change: Callable[[Document], object]) -> None:
    forge.edit(name, change)


def value_lies(
    name: str,
    document: Document,
    *,
    free: frozenset[str] = frozenset(),
    edit: Callable[[Forge, str, Callable[[Document], object]], object],
) -> Iterator[tuple[str, str, Tell]]:
    """Name, variant and function of each lie about one value; ``edit`` changes the document ``name``."""
    for key, value in _values(document):
        if key[0] in free:
            continue
        label = ".".join(map(str, key))
        values_by_name = dict(_ANY)
        if isinstance(value, str):
            values_by_name |= _TEXTS
        elif isinstance(value, bool | int | float):
            values_by_name |= _NUMBERS
        for lie, values in values_by_name.items():
            for n, make in enumerate(values):
                yield lie, f"{label}={n}", _setting(name, key, make, edit)
        yield "missing", label, _dropping(name, key, edit)
        if isinstance(value, dict):
            yield "unknown member", label, _setting(name, (*key, "unknown"), lambda _: 1, edit)


def _values(value: Any, key: Key = ()) -> Iterator[tuple[Key, Any]]:
    """Every value in a document by its key; of lists the first two items."""
    items: Any = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value[:2])
    for inner, found in items:
        yield (*key, inner), found
        yield from _values(found, (*key, inner))


def _setting(name: str, key: Key, make: Value, edit: Callable[..., object]) -> Tell:
    def tell(forge: Forge) -> None:
        def change(document: Document) -> None:
            holder: Any = document
            for part in key[:-1]:
                holder = holder[part]
            holder[key[-1]] = make(forge)

        edit(forge, name, change)

    return tell


def _dropping(name: str, key: Key, edit: Callable[..., object]) -> Tell:
    def tell(forge: Forge) -> None:
        def change(document: Document) -> None:
            holder: Any = document
            for part in key[:-1]:
                holder = holder[part]
            del holder[key[-1]]

        edit(forge, name, change)

    return tell


# -- whole documents -------------------------------------------------------------------------------------------


def _whole(name: str, document: Document) -> Iterator[tuple[str, str, Tell]]:
    plain = deepcopy(document)

    def bytes_of(data: bytes) -> Tell:
        return lambda forge: forge.replace(name, data)

    yield "no object", "null", bytes_of(b"null")
    yield "no object", "list", bytes_of(b"[]")
    yield "no object", "number", bytes_of(b"1")
    yield "no object", "text", bytes_of(json.dumps("text").encode())
    yield "no object", "empty object", lambda forge: forge.write(name, {})
    yield "nested", "lists", bytes_of(b"[" * 100_000)
    yield "nested", "objects", bytes_of(b'{"a":' * 100_000)
    yield "nested", "in a member", bytes_of(b'{"a":' + b"[" * 5_000 + b"]" * 5_000 + b"}")
    yield "not UTF-8", "latin-1", bytes_of(b'{"format": 1, "a": "\xff"}')
    yield "not UTF-8", "UTF-16", bytes_of(durable_files.add_checksum(plain).decode().encode("utf-16"))
    yield "not UTF-8", "UTF-32", bytes_of(durable_files.add_checksum(plain).decode().encode("utf-32"))
    yield "digits", "4301", bytes_of(b'{"format": ' + b"1" * 4301 + b"}")
    yield "digits", "a million", bytes_of(b'{"format": ' + b"1" * 1_000_000 + b"}")
    yield "digits", "exponent", bytes_of(b'{"format": 1e999999}')
    yield (
        "members twice",
        "format",
        bytes_of(b'{"format": 1, ' + durable_files.add_checksum(plain).lstrip()[1:]),
    )
    yield "later format", "2", lambda forge: forge.edit(name, lambda d: d.update(format=2))
    yield "later format", "a million", lambda forge: forge.edit(name, lambda d: d.update(format=10**6))
    yield "other seal", "none", bytes_of(json.dumps(plain).encode())
    yield "other seal", "number", bytes_of(json.dumps({**plain, "sha256": 1}).encode())


def large_lies(names: Mapping[str, str]) -> list[Lie]:
    """Documents of 200 MB, one for each kind of file: a list of numbers, one text, and blanks."""
    size = 200 << 20

    def fill(name: str, begin: bytes, block: bytes, end: bytes) -> Tell:
        def tell(forge: Forge) -> None:
            forge.clear(name).write_bytes(begin + block * (size // len(block)) + end)

        return tell

    return [
        Lie(
            kind,
            "200 MB",
            {
                "numbers": fill(name, b'{"format": 1, "a": [', b"0,", b"0]}"),
                "text": fill(name, b'{"format": 1, "a": "', b"x", b'"}'),
                "blanks": fill(name, b'{"format": 1', b" ", b"}"),
                "lists": fill(name, b"[", b"[],", b"0]"),
            },
            slow=True,
            verify=kind != layout.UNDO,
        )
        for kind, name in names.items()
    ]
