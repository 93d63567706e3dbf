"""The database servers that this user has allowed: the only ones that are ever connected to.

A collection says itself where its catalog is, and it may come from anybody. So an address counts once its user has
named it, by making a collection there or by moving one's catalog, or has agreed to it. The list is in imseek's home
(``servers.json``, mode 0600): for each collection, by its uuid, every parameter of the URL. One that changes, be it the
host or how the connection is secured, makes it another server.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from imseek.data import user_home
from imseek.data.postgres.address import Address
from imseek.errors import StorageError, UntrustedServerError

#: The file of the list, in imseek's home.
LIST_FILE: Final = "servers.json"
_FORMAT: Final = 1


def check_server(address: Address) -> None:
    """Raise UntrustedServerError, which says what allows it, for a server that is not on the list; StorageError."""
    if _entry(address) in _read():
        return
    named = "this collection" if address.root is None else str(address.root)
    where = "PATH" if address.root is None else shlex.quote(str(address.root))
    raise UntrustedServerError(
        f"the catalog of {named} is on a server that you have not allowed: {address.url}",
        uuid=address.uuid,
        url=address.url,
        hint=f"if you know it: imseek collection trust {where}",
    )


def allow_server(address: Address) -> bool:
    """Put a server on the list, for this collection; returns whether that is new. Raises StorageError."""
    with user_home.hold_lock(LIST_FILE):
        listed = _read()
        if (entry := _entry(address)) in listed:
            return False
        _write([*listed, entry])
        return True


def withdraw_server(address: Address) -> None:
    """Take a server off the list again, for this collection; one that is not on it is fine. Raises StorageError."""
    with user_home.hold_lock(LIST_FILE):
        listed = _read()
        if (entry := _entry(address)) in listed:
            _write([one for one in listed if one != entry])


@contextmanager
def allow_while_made(address: Address) -> Iterator[None]:
    """Allow a server that the user has just named; where the body fails, the list is as before. Raises StorageError."""
    is_new = allow_server(address)
    try:
        yield
    except BaseException:
        if is_new:
            withdraw_server(address)
        raise


def _entry(address: Address) -> dict[str, Any]:
    return {"uuid": address.uuid, "parameters": address.parameters}


def _read() -> list[dict[str, Any]]:
    data = user_home.read_private(LIST_FILE)
    if data is None:
        return []
    try:
        document = json.loads(data)
        listed = document["servers"] if document["format"] == _FORMAT else None
    except (ValueError, KeyError, TypeError, RecursionError):
        listed = None
    if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
        raise StorageError(
            f"{user_home.private_file(LIST_FILE)} is damaged, or of a later imseek: no server is allowed",
            hint="update imseek; or remove the file, and allow your servers again",
        )
    return listed


def _write(listed: list[dict[str, Any]]) -> None:
    document = {"format": _FORMAT, "servers": listed}
    user_home.write_private(LIST_FILE, json.dumps(document, indent=1, sort_keys=True).encode() + b"\n")
