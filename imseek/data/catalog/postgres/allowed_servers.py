"""The list of database servers that this user has allowed. No other server is ever contacted.

A collection names its own server, and may come from anyone. So an address counts only once the user has named it, by
creating a collection there or moving a catalog to it, or has confirmed it. The list is in imseek's home
(``servers.json``, mode 0600): for each collection uuid, every parameter of the URL. If one changes, be it the host or
how the connection is secured, it is another server.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from imseek.data.catalog.postgres.address import Address
from imseek.data.files import private_files
from imseek.errors import StorageError, UntrustedServerError

#: File name of the list, in imseek's home.
LIST_FILE: Final = "servers.json"
_FORMAT: Final = 1


def check_server(address: Address) -> None:
    """Raise UntrustedServerError, with a hint how to allow it, for a server that is not on the list; StorageError."""
    if _entry(address) in _read():
        return
    subject = "this collection" if address.root is None else str(address.root)
    argument = "PATH" if address.root is None else shlex.quote(str(address.root))
    raise UntrustedServerError(
        f"the catalog of {subject} is on a server that you have not allowed: {address.url}",
        uuid=address.uuid,
        url=address.url,
        hint=f"if you know it: imseek collection trust {argument}",
    )


def allow_server(address: Address) -> bool:
    """Allow a server for this collection; returns whether it was new on the list. Raises StorageError."""
    with private_files.hold_lock(LIST_FILE):
        entries = _read()
        if (entry := _entry(address)) in entries:
            return False
        _write([*entries, entry])
        return True


def disallow_server(address: Address) -> None:
    """Remove a server from this collection's list, if it is there. Raises StorageError."""
    with private_files.hold_lock(LIST_FILE):
        entries = _read()
        if (entry := _entry(address)) in entries:
            _write([e for e in entries if e != entry])


@contextmanager
def allow_or_revoke(address: Address) -> Iterator[None]:
    """Allow a server that the user just named; undo that where the body fails. Raises StorageError."""
    is_new = allow_server(address)
    try:
        yield
    except BaseException:
        if is_new:
            disallow_server(address)
        raise


def _entry(address: Address) -> dict[str, Any]:
    return {"uuid": address.uuid, "parameters": address.parameters}


def _read() -> list[dict[str, Any]]:
    data = private_files.read_private(LIST_FILE)
    if data is None:
        return []
    try:
        document = json.loads(data)
        entries = document["servers"] if document["format"] == _FORMAT else None
    except (ValueError, KeyError, TypeError, RecursionError):
        entries = None
    if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
        raise StorageError(
            f"{private_files.private_file(LIST_FILE)} is damaged, or of a later version of imseek: "
            "no server is allowed",
            hint="update imseek; or remove the file, and allow your servers again",
        )
    return entries


def _write(entries: list[dict[str, Any]]) -> None:
    document = {"format": _FORMAT, "servers": entries}
    private_files.write_private(LIST_FILE, json.dumps(document, indent=1, sort_keys=True).encode() + b"\n")
