"""Move a catalog from its file into a database or back, or record that its database has moved.

Rows are copied under the writer's lock. Creating or removing ``catalog.json`` is the switch. A crash before it leaves
the catalog where it was, with an unused copy; a crash after it leaves unused files, which the next move in the same
direction removes.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path

from imseek.data import layout
from imseek.data.catalog.catalog_writer import Catalog, current_of, get_meta
from imseek.data.catalog.postgres.address import Address, check_url, read_address, write_address
from imseek.data.catalog.postgres.allowed_servers import allow_or_revoke, disallow_server
from imseek.data.catalog.postgres.catalog_copy import copy_rows
from imseek.data.catalog.postgres.catalog_writer import PostgresCatalog, drop_schema, make_schema
from imseek.data.catalog.postgres.connection import connect
from imseek.data.catalog.postgres.lock import PostgresLock
from imseek.data.catalog.sqlite import catalog_checksums
from imseek.data.catalog.sqlite.catalog_checksums import Checksums
from imseek.data.catalog.sqlite.catalog_writer import SqliteCatalog
from imseek.data.catalog.sqlite.lock import WriterLock
from imseek.data.collection_records import Identity, encode_record, read_identity, write_identity
from imseek.data.files import durable_files
from imseek.data.files.collection_files import find_strange_at_top, refuse_strange
from imseek.data.files.write_check import check_writable
from imseek.data.repair.recovery_evidence import catalog_damage, catalog_lag, gather_evidence
from imseek.data.trust import check_trusted
from imseek.errors import CorruptCollectionError, ImseekError, UsageError, repair_command
from imseek.types.maintenance_reports import CatalogReport

#: The target that means the catalog file in the folder, instead of a URL.
FILE = "sqlite"

#: Files that only a collection with a catalog file has.
_FILE_CATALOG_NAMES = (
    layout.CATALOG,
    *layout.CATALOG_COMPANIONS,
    *layout.BACKUPS,
    layout.CHECKSUMS,
    layout.CURRENT,
)


def move(root: Path, to: str) -> CatalogReport:
    """Move the catalog of the collection at ``root`` to a database URL, or with ``sqlite`` into the folder.

    Where it is in a database already, the URL is taken as the new address of the same catalog (its server was renamed,
    or it was dumped and restored), and nothing is copied. Raises UsageError, CollectionNotFoundError,
    UntrustedCollectionError, LockedError, ReadOnlyError, CorruptCollectionError, StorageError, MissingExtraError.
    """
    identity = read_identity(root)
    check_trusted(root, "moving its catalog")
    refuse_strange(root, find_strange_at_top(root))
    if to == FILE:
        return _to_file(root)
    address = Address(identity.uuid, check_url(to), root)
    with allow_or_revoke(address):  # The user has named it.
        return _to_address(root, identity, address)


def _to_address(root: Path, identity: Identity, address: Address) -> CatalogReport:
    if identity.format == layout.FORMAT_SERVER_CATALOG and not (root / layout.CATALOG).exists():
        return _update_address(root, address)
    if layout.has_server_catalog(root):  # An earlier move was interrupted after its switch.
        _remove_file_catalog(root)
        return _update_address(root, address)
    return _to_server(root, address)


def _to_server(root: Path, address: Address) -> CatalogReport:
    lock = WriterLock(root, any_file_system=True)
    lock.acquire()
    try:
        evidence = gather_evidence(root)
        if (fault := catalog_damage(root, evidence) or catalog_lag(root, evidence)) is not None:
            raise CorruptCollectionError(f"{root / layout.CATALOG}: {fault}", hint=repair_command(root))
        _refuse_existing_schema(address)
        staging = root / layout.STAGING
        durable_files.recreate_folder(staging)
        make_schema(address)
        try:
            with (
                contextlib.closing(SqliteCatalog(root)) as source,
                contextlib.closing(PostgresCatalog(root, address, fresh=True)) as target,
            ):
                rows = _copy_all_rows(source, target)
            # A reader of format 1 must not find a stale catalog.
            identity = replace(read_identity(root), format=layout.FORMAT_SERVER_CATALOG)
            write_identity(root, identity, staging)
            write_address(root, address, staging)
        except BaseException:
            if not layout.has_server_catalog(root):
                with contextlib.suppress(ImseekError):
                    drop_schema(address)
            raise
        _remove_file_catalog(root)
        durable_files.remove_tree(staging)
    finally:
        lock.release()
    return CatalogReport(address.url, rows)


def _to_file(root: Path) -> CatalogReport:
    staging = root / layout.STAGING
    if not layout.has_server_catalog(root):
        identity = read_identity(root)
        if identity.format == layout.FORMAT_SERVER_CATALOG and (root / layout.CATALOG).exists():
            durable_files.recreate_folder(staging)  # An earlier move was interrupted after its switch.
            write_identity(root, replace(identity, format=layout.FORMAT), staging)
            return CatalogReport(FILE, 0)
        raise UsageError(f"the catalog of {root} is in SQLite already")
    check_writable(root, any_file_system=False)
    address = read_address(root)
    lock = PostgresLock(root)
    lock.acquire()
    try:
        durable_files.recreate_folder(staging)
        workshop = staging / "catalog"
        workshop.mkdir()
        with (
            contextlib.closing(PostgresCatalog(root)) as source,
            contextlib.closing(SqliteCatalog(workshop)) as target,
        ):
            rows = _copy_all_rows(source, target)
            with target.transaction() as connection:
                current = current_of(connection)
            target.fold()
        durable_files.sync_file(workshop / layout.CATALOG)
        _remove_file_catalog(root)
        durable_files.publish([(workshop / layout.CATALOG, root / layout.CATALOG)])
        durable_files.write_file(root / layout.CURRENT, encode_record(current), staging=staging)
        catalog_checksums.write(root, staging, Checksums(address.uuid, {}))
        durable_files.remove_files([root / layout.ADDRESS])
        write_identity(root, replace(read_identity(root), format=layout.FORMAT), staging)
        durable_files.remove_tree(staging)
    finally:
        lock.release()
    drop_schema(address)
    disallow_server(address)
    return CatalogReport(FILE, rows)


def _update_address(root: Path, address: Address) -> CatalogReport:
    # The recorded address may be unreachable, so its lock is not taken.
    with contextlib.closing(PostgresCatalog(root, address)) as catalog, catalog.transaction() as connection:
        if get_meta(connection, "uuid") != address.uuid:
            raise CorruptCollectionError(f"the catalog at {address} belongs to another collection")
        staging = root / layout.STAGING
        staging.mkdir(exist_ok=True)
        write_address(root, address, staging)
    return CatalogReport(address.url, 0)


def _refuse_existing_schema(address: Address) -> None:
    with contextlib.closing(connect(address)) as connection:
        cursor = connection.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", (address.schema,))
        if cursor.fetchone() is not None:
            raise UsageError(
                f"{address} exists already: it belongs to a copy of this collection, or a move was interrupted",
                hint=f'if nobody uses it: DROP SCHEMA "{address.schema}" CASCADE',
            )


def _copy_all_rows(source: Catalog, target: Catalog) -> int:
    with source.transaction() as source_connection, target.transaction() as target_connection:
        rows = copy_rows(source_connection, target_connection)
        target.record_current(target_connection, current_of(target_connection))
    return rows


def _remove_file_catalog(root: Path) -> None:
    """Remove the files that a collection with a catalog on a server does not have."""
    durable_files.remove_files([root / name for name in _FILE_CATALOG_NAMES])
