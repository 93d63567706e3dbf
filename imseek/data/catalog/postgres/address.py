"""Address of a catalog on a server: ``catalog.json``, and the URL that a user gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from uuid import UUID

from imseek.data import layout
from imseek.data.catalog.postgres.driver import driver
from imseek.data.files import durable_files
from imseek.data.files.checksummed_json import read_checksummed
from imseek.errors import CorruptCollectionError, UsageError

#: URL schemes that libpq accepts.
SCHEMES = ("postgresql://", "postgres://")
#: Parameters with secrets, or paths to them, which belong in the user's own settings.
_SECRET_PARAMETERS = ("password", "sslpassword", "passfile")
#: Parameters that a URL may have: server, database, user, security and timeouts. All others (files to read or write,
#: other addresses, server options, other ways to log in) belong in the user's own settings.
_ALLOWED_PARAMETERS = frozenset(
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
#: The system's trusted certificates: the only ones that a URL may name.
_SYSTEM = "system"


@dataclass(frozen=True, slots=True)
class Address:
    """A database URL, without a password, and the ``uuid`` of the collection whose catalog is there.

    ``root`` is the folder of the collection, where known.
    """

    uuid: str
    url: str
    root: Path | None = field(default=None, compare=False)

    @property
    def parameters(self) -> dict[str, str]:
        """Parameters of the URL by libpq's names. Raises MissingExtraError."""
        return dict(_parse(self.url))

    @property
    def schema(self) -> str:
        """Schema of this catalog: a database can hold any number of them."""
        return f"imseek_{UUID(self.uuid).hex}"

    @property
    def key(self) -> int:
        """Signed 64-bit key of the writer's advisory lock."""
        return int.from_bytes(UUID(self.uuid).bytes[:8], "big", signed=True)

    def __str__(self) -> str:
        return f"{self.url} (schema {self.schema})"


@lru_cache(maxsize=16)
def check_url(url: str) -> str:
    """Return a URL if it may be recorded. Raises UsageError, which never repeats a password, and MissingExtraError."""
    parameters = _parse(url)
    if any(name in parameters for name in _SECRET_PARAMETERS):
        raise UsageError(
            "the URL of a catalog is stored in the collection, so it must not contain a password",
            hint="put it in PGPASSWORD, ~/.pgpass or a service file (PGSERVICEFILE) on each host",
        )
    refused = sorted(set(parameters) - _ALLOWED_PARAMETERS)
    if parameters.get("sslrootcert", _SYSTEM) != _SYSTEM:
        refused.append("sslrootcert")
    if refused:
        raise UsageError(
            f"the URL of a catalog is stored in the collection, which others may write: it must not set {refused[0]}",
            hint="set it on each host, in a service file (~/.pg_service.conf) or the environment (PGSSLROOTCERT, …)",
        )
    return url


@lru_cache(maxsize=16)
def _parse(url: str) -> Mapping[str, str]:
    if not url.startswith(SCHEMES):
        raise UsageError(
            "the catalog must be a PostgreSQL URL, or sqlite",
            hint="postgresql://USER@HOST/DATABASE",
        )
    try:
        parameters = driver().conninfo.conninfo_to_dict(url) if url.isprintable() else None
    except driver().ProgrammingError:  # libpq's message repeats parts of the URL, perhaps a password.
        parameters = None
    if parameters is None:
        raise UsageError("that is not the URL of a PostgreSQL database", hint="postgresql://USER@HOST/DATABASE")
    return {name: str(value) for name, value in parameters.items()}


def read_address(root: Path) -> Address:
    """Read ``catalog.json``. Raises CollectionNotFoundError, FormatVersionError, CorruptCollectionError."""
    document = read_checksummed(root, layout.ADDRESS)
    try:
        return Address(str(UUID(document["uuid"])), check_url(document["url"]), root)
    except (KeyError, TypeError, ValueError, AttributeError, UsageError) as error:
        # Other messages may contain a password.
        cause = f": {error}" if isinstance(error, UsageError) else ""
        raise CorruptCollectionError(
            f"{root / layout.ADDRESS} does not say where the catalog is{cause}",
            hint="imseek maintain --catalog URL",
        ) from error


def write_address(root: Path, address: Address, staging: Path) -> None:
    document = {"format": layout.FORMAT_SERVER_CATALOG, "uuid": address.uuid, "url": address.url}
    durable_files.write_file(root / layout.ADDRESS, durable_files.add_checksum(document), staging=staging)
