"""Translate PostgreSQL's errors into ours. libpq repeats no password in them."""

from __future__ import annotations

from imseek.errors import FREE_SPACE, CorruptCollectionError, LockedError, ReadOnlyError, StorageError

#: SQLSTATE codes or their classes (first two characters): PostgreSQL's documentation, appendix A.
_BUSY = ("55P03", "40001", "40P01")  # lock_not_available, serialization_failure, deadlock_detected
_READ_ONLY = ("25006", "42501")  # read_only_sql_transaction, insufficient_privilege
_MISSING = ("3F000", "42P01", "42703")  # no such schema, table, column
_FULL = ("53100",)  # disk_full
_DAMAGED = ("XX001", "XX002")  # data_corrupted, index_corrupted
_DISCONNECTED = ("57P", "08")  # the server stops or starts, a connection breaks
_PROGRAMMING = ("22", "23", "42")  # invalid data, constraints, invalid SQL


#: libpq's message for an authentication method that ``require_auth`` forbids.
_AUTH_REFUSED = "authentication method requirement"


def is_programming_error(error: BaseException) -> bool:
    """Whether an error is a bug of ours, and not a fault of the server or the user."""
    state = getattr(error, "sqlstate", None) or ""
    return state.startswith(_PROGRAMMING) and state not in (*_READ_ONLY, *_MISSING)


def storage_error(error: BaseException, where: str, *, writing: bool = False) -> StorageError:
    """Translate a psycopg error for the user; ``where`` names the catalog."""
    message = f"the catalog at {where}: {_first_line(error)}"
    state = getattr(error, "sqlstate", None) or ""
    if state in _BUSY:
        return LockedError(message, hint="another program has locked the catalog; try again later")
    if state in _READ_ONLY and writing:
        return ReadOnlyError(message, hint="searching works; indexing needs a role with write access")
    if state in _READ_ONLY:
        return ReadOnlyError(message, hint="GRANT USAGE ON SCHEMA, and SELECT ON ALL TABLES IN SCHEMA, to this role")
    if state in _MISSING:
        hint = "check the database name, or restore it with pg_restore: the collection has no copy of it"
        return CorruptCollectionError(message, hint=hint)
    if state in _FULL:
        return StorageError(message, hint=f"on the server: {FREE_SPACE}")
    if state in _DAMAGED:
        return CorruptCollectionError(message, hint="the server's data are damaged: pg_amcheck, pg_restore")
    if not state and _AUTH_REFUSED in message:  # Refused by us, see ``connection``.
        hint = (
            "passwords are sent by SCRAM only: set password_encryption and pg_hba.conf of the server to scram-sha-256; "
            "PGREQUIREAUTH allows other ways"
        )
        return StorageError(message, hint=hint)
    if not state:  # From libpq: the connection failed or was lost.
        hint = "check that the server is running. Passwords come from PGPASSWORD, ~/.pgpass or a service file"
        return StorageError(message, hint=hint)
    if state.startswith(_DISCONNECTED):
        return StorageError(message, hint="the connection was lost; committed data is safe: try again")
    return StorageError(message)


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    # If several addresses were tried, the last lines have the result of each.
    return lines[0] if lines else type(error).__name__
