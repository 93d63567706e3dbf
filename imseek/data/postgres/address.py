"""Where the catalog of a collection lies: ``catalog.json``, and the URL that a user gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from uuid import UUID

from imseek.data import durable_files, layout
from imseek.data.current_file import read_sealed
from imseek.errors import CorruptCollectionError, UsageError

#: What libpq takes for a URL.
SCHEMES = ("postgresql://", "postgres://")
#: Parameters that would let a URL read the user's secrets, or say what the user's own settings do not.
_SECRETS = ("password", "sslpassword", "passfile")
#: What a URL may say: which server, which database, as whom, how safely, and how patiently. All else (files to read and
#: to write, other addresses, options of the server, other ways to log in) is for the user's own settings.
_PARAMETERS = frozenset(
    {
        *("host", "port", "dbname", "user", "service"),
        *("sslmode", "sslrootcert", "sslnegotiation", "channel_binding"),
        *(
            "connect_timeout",
            "tcp_user_timeout",
            "target_session_attrs",
            "load_balance_hosts",
            "application_name",
        ),
        *("keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count"),
    }
)
#: The certificates that the system trusts: the only ones that a URL may name.
_SYSTEM = "system"


@dataclass(frozen=True, slots=True)
class Address:
    """A database, and by its ``uuid`` the collection whose catalog is meant. ``url`` has no password in it.

    ``root`` is the folder of the collection, where it is known.
    """

    uuid: str
    url: str
    root: Path | None = field(default=None, compare=False)

    @property
    def parameters(self) -> dict[str, str]:
        """The parameters of the URL, by libpq's names for them. Raises MissingExtraError."""
        return dict(_parse(self.url))

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
    parameters = _parse(url)
    if any(name in parameters for name in _SECRETS):
        raise UsageError(
            "the URL of a catalog is kept in the collection: no password may be in it",
            hint="PGPASSWORD, ~/.pgpass or a service file (PGSERVICEFILE) have it; every host needs its own",
        )
    strange = sorted(set(parameters) - _PARAMETERS)
    if parameters.get("sslrootcert", _SYSTEM) != _SYSTEM:
        strange.append("sslrootcert")
    if strange:
        raise UsageError(
            f"the URL of a catalog is kept in the collection, which others may write: it must not say {strange[0]}",
            hint="say it on each host, in a service file (~/.pg_service.conf) or the environment (PGSSLROOTCERT, …)",
        )
    return url


@lru_cache(maxsize=16)
def _parse(url: str) -> Mapping[str, str]:
    from imseek.data.postgres.connection import driver

    if not url.startswith(SCHEMES):
        raise UsageError(
            "a catalog lies in the folder (SQLite) or on PostgreSQL",
            hint="postgresql://USER@HOST/DATABASE",
        )
    try:
        found = driver().conninfo.conninfo_to_dict(url) if url.isprintable() else None
    except driver().ProgrammingError:  # What libpq says of a URL repeats parts of it, perhaps a password.
        found = None
    if found is None:
        raise UsageError("that is no URL of a PostgreSQL database", hint="postgresql://USER@HOST/DATABASE")
    return {name: str(value) for name, value in found.items()}


def read_address(root: Path) -> Address:
    """Raises CollectionNotFoundError, FormatVersionError, CorruptCollectionError."""
    document = read_sealed(root, layout.ADDRESS)
    try:
        return Address(str(UUID(document["uuid"])), checked(document["url"]), root)
    except (KeyError, TypeError, ValueError, AttributeError, UsageError) as error:
        # Not what it says, which may be a password.
        why = f": {error}" if isinstance(error, UsageError) else ""
        raise CorruptCollectionError(
            f"{root / layout.ADDRESS} does not say where the catalog is{why}",
            hint="imseek maintain --catalog URL",
        ) from error


def write_address(root: Path, address: Address, staging: Path) -> None:
    document = {"format": layout.FORMAT_ELSEWHERE, "uuid": address.uuid, "url": address.url}
    durable_files.write_file(root / layout.ADDRESS, durable_files.seal(document), staging=staging)
