"""Where the catalog of a collection lies: ``catalog.json``, and the URL that a user gives."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from uuid import UUID

from imseek.data import durable, layout
from imseek.data.current import read_sealed
from imseek.errors import CorruptCollectionError, UsageError

#: What libpq takes for a URL.
SCHEMES = ("postgresql://", "postgres://")
#: Parameters of a URL that are nobody else's business.
_SECRETS = ("password", "sslpassword")


@dataclass(frozen=True, slots=True)
class Address:
    """A database, and by its ``uuid`` the collection whose catalog is meant. ``url`` has no password in it."""

    uuid: str
    url: str

    @property
    def schema(self) -> str:
        """The catalog's own: a database holds any number of them."""
        return f"imseek_{UUID(self.uuid).hex}"

    @property
    def key(self) -> int:
        """Of the advisory lock that the writer holds, 64 bits with a sign."""
        return int.from_bytes(UUID(self.uuid).bytes[:8], "big", signed=True)

    def __str__(self) -> str:
        return f"{self.url} (schema {self.schema})"


@lru_cache(maxsize=16)
def checked(url: str) -> str:
    """A URL as it may be recorded. Raises UsageError, which never repeats a password, and MissingExtraError."""
    from imseek.data.postgres.connection import driver

    if not url.startswith(SCHEMES):
        raise UsageError(
            "a catalog lies in the folder (SQLite) or on PostgreSQL",
            hint="postgresql://USER@HOST/DATABASE",
        )
    try:
        parameters = driver().conninfo.conninfo_to_dict(url)
    except driver().ProgrammingError as error:
        # What libpq says of a URL repeats parts of it, perhaps a password.
        raise UsageError(
            "that is no URL of a PostgreSQL database", hint="postgresql://USER@HOST/DATABASE"
        ) from error
    if any(name in parameters for name in _SECRETS):
        raise UsageError(
            "the URL of a catalog is kept in the collection: no password may be in it",
            hint="PGPASSWORD, ~/.pgpass or a service file (PGSERVICEFILE) have it; every host needs its own",
        )
    return url


def read_address(root: Path) -> Address:
    """Raises CollectionNotFoundError, FormatVersionError, CorruptCollectionError."""
    document = read_sealed(root, layout.ADDRESS)
    try:
        return Address(str(UUID(document["uuid"])), checked(document["url"]))
    except (KeyError, TypeError, ValueError, AttributeError, UsageError) as error:
        # Not what it says, which may be a password.
        why = f": {error}" if isinstance(error, UsageError) else ""
        raise CorruptCollectionError(
            f"{root / layout.ADDRESS} does not say where the catalog is{why}",
            hint="imseek maintain --catalog URL",
        ) from error


def write_address(root: Path, address: Address, staging: Path) -> None:
    document = {"format": layout.FORMAT_ELSEWHERE, "uuid": address.uuid, "url": address.url}
    durable.write_file(root / layout.ADDRESS, durable.seal(document), staging=staging)
