"""Sign journal records, to tell those that imseek wrote for this user from all others.

Each record carries an HMAC-SHA256 (RFC 2104) of the collection's uuid, the journal's id and its members, with a 256-bit
key that exists only in the user's home (mode 0600). So nobody can have files moved by a journal that came with a
collection or a backup, or by records of another journal. docs/decisions/0033-undo-journals.md weighs alternatives.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from typing import Any, Final

from imseek.data.files import private_files

#: Name of the key file in imseek's home.
KEY_FILE: Final = "journal.key"
#: Record member that holds the signature.
SIGNATURE_MEMBER: Final = "mac"
_KEY_BYTES: Final = 32


def load_key() -> bytes | None:
    """Return the key of this user, or None if there is none. Raises StorageError."""
    key = private_files.read_private(KEY_FILE)
    return key if key is not None and len(key) == _KEY_BYTES else None


def make_key() -> bytes:
    """Return the key of this user, creating it if necessary. Raises StorageError."""
    with private_files.hold_lock(KEY_FILE):
        if (key := load_key()) is None:  # Otherwise another process has created it meanwhile.
            key = secrets.token_bytes(_KEY_BYTES)
            private_files.write_private(KEY_FILE, key)
    return key


class Signer:
    """Signs and verifies the records of one journal.

    Without a key nothing verifies, and signing creates one.
    """

    def __init__(self, key: bytes | None, collection: str, undo_id: str) -> None:
        self._key = key
        self._of = [collection, undo_id]

    def sign(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Return the record's object with its signature. Raises StorageError."""
        if self._key is None:
            self._key = make_key()
        return {**document, SIGNATURE_MEMBER: self._mac(self._key, document)}

    def is_signed(self, document: Mapping[str, Any]) -> bool:
        signature = document.get(SIGNATURE_MEMBER)
        if self._key is None or not isinstance(signature, str) or not signature.isascii():
            return False
        return hmac.compare_digest(signature, self._mac(self._key, document))

    def _mac(self, key: bytes, document: Mapping[str, Any]) -> str:
        members = {name: value for name, value in document.items() if name != SIGNATURE_MEMBER}
        data = json.dumps([*self._of, members], sort_keys=True).encode()
        return hmac.new(key, data, hashlib.sha256).hexdigest()
