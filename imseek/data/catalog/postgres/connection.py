"""Open connections to the server, and configure their sessions."""

from __future__ import annotations

import ipaddress
import os
import select
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from imseek.data.catalog.postgres.address import Address
from imseek.data.catalog.postgres.allowed_servers import check_server
from imseek.data.catalog.postgres.driver import driver
from imseek.data.catalog.postgres.errors import storage_error
from imseek.errors import StorageError, UsageError

if TYPE_CHECKING:
    import psycopg

#: Defaults where the URL has none. A host that is cut off is noticed within two minutes; until then its lock holds.
_DEFAULTS: dict[str, Any] = {
    "application_name": "imseek",
    "keepalives_idle": 60,
    "keepalives_interval": 10,
    "keepalives_count": 6,
}
_CONNECT_SECONDS = 10
#: First libpq version with ``require_auth``.
_REQUIRE_AUTH_VERSION = 160000
#: The only method that sends nothing which the server or an eavesdropper could log in with elsewhere (RFC 5802).
_SCRAM = "scram-sha-256"

#: A long idle session (while pictures are encoded) or a slow commit must not be terminated, and an acknowledged commit
#: must be durable whatever the server's settings. Settings that an old server lacks are left out.
_WRITER_SETTINGS: dict[str, str] = {
    "idle_session_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "statement_timeout": "0",
    "lock_timeout": "10s",
    "tcp_keepalives_idle": "60",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "6",
}
_SET_CONFIG = (
    "SELECT set_config(name, wanted.setting, false) "
    "FROM unnest(%s::text[], %s::text[]) AS wanted (name, setting) JOIN pg_settings USING (name)"
)
_SET_DURABLE = (
    "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
)


def connect(address: Address, *, writing: bool = False) -> psycopg.Connection[tuple[Any, ...]]:
    """Open a session in the catalog's schema, with autocommit, for one thread at a time.

    Raises UntrustedServerError for a server that the user has not allowed, before contacting it; StorageError where
    connecting fails; MissingExtraError.
    """
    library = driver()
    check_server(address)
    parameters = address.parameters
    defaults = _DEFAULTS if "PGCONNECT_TIMEOUT" in os.environ else {**_DEFAULTS, "connect_timeout": _CONNECT_SECONDS}
    overrides: dict[str, Any] = {"client_encoding": "utf8", **_authentication(parameters)}
    try:
        connection: psycopg.Connection[tuple[Any, ...]] = library.connect(
            **{**defaults, **parameters, **overrides}, autocommit=True
        )
        try:
            _set_up(connection, address, writing)
        except BaseException:
            connection.close()
            raise
    except library.Error as error:
        raise storage_error(error, str(address), writing=writing) from error
    return connection


def _authentication(parameters: Mapping[str, str]) -> dict[str, str]:
    """Restrict how a server may authenticate the user: SCRAM only, unless PGREQUIREAUTH says otherwise.

    A server on this machine may also require nothing (``trust``, ``peer``), since then nothing is revealed. Raises
    StorageError for a libpq that cannot restrict it.
    """
    if driver().pq.version() < _REQUIRE_AUTH_VERSION:
        raise StorageError(
            "libpq is older than 16: it would send a password by any method that the server requests",
            hint="pip install -U 'psycopg[binary]'",
        )
    if "PGREQUIREAUTH" in os.environ:
        return {}
    methods = f"{_SCRAM},none" if _is_local(parameters) else _SCRAM
    return {"require_auth": methods, "gssencmode": "disable"}


def _is_local(parameters: Mapping[str, str]) -> bool:
    """Whether every candidate server is on this machine, judging by names and addresses."""
    elsewhere = {"PGHOSTADDR", "PGSERVICE"} & set(os.environ)
    if elsewhere or "service" in parameters:
        return False
    hosts = parameters.get("host") or os.environ.get("PGHOST", "")
    return all(map(_is_this_machine, hosts.split(",")))


def _is_this_machine(host: str) -> bool:
    # An empty host is the default socket; a path is another one, and "@" begins an abstract one.
    if not host or host.startswith(("/", "@")) or host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _set_up(connection: psycopg.Connection[tuple[Any, ...]], address: Address, writing: bool) -> None:
    from imseek.data.catalog.postgres.values import register_adapters

    register_adapters(connection)
    connection.execute(f'SET search_path TO "{address.schema}"'.encode())
    if connection.info.parameter_status("server_encoding") != "UTF8":
        raise UsageError(
            f"{address.url} is a database whose encoding is not UTF8",
            hint="CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0",
        )
    if writing:
        connection.execute(_SET_CONFIG, (list(_WRITER_SETTINGS), list(_WRITER_SETTINGS.values())))
        connection.execute(_SET_DURABLE)
    else:
        connection.execute("SET default_transaction_read_only = on")


def is_alive(connection: psycopg.Connection[tuple[Any, ...]]) -> bool:
    """Whether an idle connection still works.

    It is queried only where it has something to read: that the server ended the session, or a notice.
    """
    if connection.closed:
        return False
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    if poll.poll(0):
        try:
            connection.execute("SELECT 1")
        except driver().Error:
            return False
    return True
