"""Signatures of journals: who can tell that a record is one which imseek itself has written for this user.

Each record of a journal bears an HMAC-SHA256 (RFC 2104) of the collection's uuid, the journal's id and its members, by
a key of 256 bits that lies in the user's home (mode 0600) and nowhere else. So nobody can have files moved by a
journal that came with a collection or a backup, nor by records of another journal.
docs/decisions/0034-undo-journals.md weighs it against other ways.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from typing import Any, Final

from imseek.data import user_home

#: The file of the key, in imseek's home.
KEY_FILE: Final = "journal.key"
#: The member of a record that holds its signature.
MEMBER: Final = "mac"
_KEY_BYTES: Final = 32


def load_key() -> bytes | None:
    """The key of this user, or None where there is none. Raises StorageError."""
    key = user_home.read_private(KEY_FILE)
    return key if key is not None and len(key) == _KEY_BYTES else None


def make_key() -> bytes:
    """The key of this user, made where there is none yet. Raises StorageError."""
    with user_home.hold_lock(KEY_FILE):
        if (key := load_key()) is None:  # Else another process has made it meanwhile.
            key = secrets.token_bytes(_KEY_BYTES)
            user_home.write_private(KEY_FILE, key)
    return key


class Signer:
    """Signs the records of one journal, and tells whether one is signed.

    Without a key none is, and signing makes one.
    """

    def __init__(self, key: bytes | None, collection: str, undo_id: str) -> None:
        self._key = key
        self._of = [collection, undo_id]

    def sign(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """The object of a record with its signature. Raises StorageError."""
        if self._key is None:
            self._key = make_key()
        return {**document, MEMBER: self._mac(self._key, document)}

    def is_signed(self, document: Mapping[str, Any]) -> bool:
        stated = document.get(MEMBER)
        if self._key is None or not isinstance(stated, str) or not stated.isascii():
            return False
        return hmac.compare_digest(stated, self._mac(self._key, document))

    def _mac(self, key: bytes, document: Mapping[str, Any]) -> str:
        members = {name: value for name, value in document.items() if name != MEMBER}
        data = json.dumps([*self._of, members], sort_keys=True).encode()
        return hmac.new(key, data, hashlib.sha256).hexdigest()
