"""Record which collections a user trusts, in the user's home.

A collection may come from somebody else: in an archive, on a shared disk, in a folder above the current one. Searching
it is safe; whatever it asks for beyond that is refused or ignored. Before imseek writes to it, loads its FAISS index
(C++ code that believes what a file says), takes weights from a location it names or its catalog from a server, the user
must once declare it trusted. Collections made on this machine are trusted from the start. A record binds the path to
the collection's uuid: another collection put in its place is not trusted.

Each record is a file ``<home>/trusted/<digest of the path>.json``, so that no two processes write the same file.
``IMSEEK_TRUSTED_FOLDERS`` names folders below which every collection is trusted, by absolute paths, separated as in
``PATH``.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Final

from imseek.data.collection_records import read_identity
from imseek.data.files.checked_json import JsonObject
from imseek.data.files.private_files import private_file, read_private, write_private
from imseek.data.files.system_errors import translate_os_errors
from imseek.errors import CorruptCollectionError, ImseekError, StorageError, UntrustedCollectionError
from imseek.home import home, make_home
from imseek.types.trust import TrustRecord

FOLDERS_VARIABLE: Final = "IMSEEK_TRUSTED_FOLDERS"
_RECORDS: Final = "trusted"
#: Collections that this process trusts for now, by their paths without links.
_temporary_roots: Final[set[str]] = set()


def is_trusted(root: Path) -> bool:
    """Whether the user trusts the collection at ``root``.

    If its identity is damaged, a record of its path is enough, so that it can be repaired. Raises
    CollectionNotFoundError, FormatVersionError.
    """
    real_path = os.path.realpath(root)
    if real_path in _temporary_roots or _is_below_trusted(real_path):
        return True
    _create_records_in_home()
    record = _read(_record_file(real_path))
    try:
        uuid = read_identity(root).uuid
    except CorruptCollectionError:
        return record is not None
    return record == TrustRecord(real_path, uuid)


def trust(root: Path, *, damaged: bool = False) -> TrustRecord:
    """Record that the collection at ``root`` is trusted.

    ``damaged`` allows this even if its identity cannot be read, so that it can be repaired: the record has no uuid
    until the repair adds it (``complete_record``). Raises StorageError, and as ``read_identity``.
    """
    try:
        record = _record_of(root)
    except CorruptCollectionError:
        if not damaged:
            raise
        record = TrustRecord(os.path.realpath(root), "")
    if record.path not in _temporary_roots:
        create_records()
        _write(record)
    return record


def complete_record(root: Path) -> None:
    """Add the uuid of the repaired collection at ``root`` to a record without one.

    Raises as :func:`trust`.
    """
    record = _read(_record_file(os.path.realpath(root)))
    if record is not None and not record.uuid:
        trust(root)


@contextmanager
def trust_temporarily(root: Path) -> Iterator[None]:
    """Trust any collection at ``root`` within this block, without recording it."""
    real_path = os.path.realpath(root)
    _temporary_roots.add(real_path)
    try:
        yield
    finally:
        _temporary_roots.discard(real_path)


def _record_of(root: Path) -> TrustRecord:
    return TrustRecord(os.path.realpath(root), read_identity(root).uuid)


def _write(record: TrustRecord, folder: str | Path = _RECORDS) -> None:
    write_private(_record_file(record.path, folder), json.dumps(asdict(record)).encode())


def move_record(root: Path, new: Path) -> None:
    """Trust a collection that moved from ``root`` to ``new``, if it was trusted before. Raises StorageError."""
    _create_records_in_home()
    record = _read(_record_file(os.path.realpath(root)))
    distrust(root)
    distrust(new)  # Removes a record of an earlier collection there.
    if record is not None:
        create_records()
        _write(TrustRecord(os.path.realpath(new), record.uuid))


def distrust(root: Path) -> None:
    """Remove the record of the collection at ``root``, which need not exist any more. Raises StorageError."""
    _create_records_in_home()
    with translate_os_errors(root), suppress(FileNotFoundError):
        os.unlink(private_file(_record_file(os.path.realpath(root))))


def check_trusted(root: Path, action: str) -> None:
    """Raise UntrustedCollectionError where the user does not trust a collection.

    ``action`` names the refused action, as in "writing to it". Raises as ``read_identity``.
    """
    if not is_trusted(root):
        raise UntrustedCollectionError(
            f"{root} was not created on this machine, and you have not marked it as trusted: {action} is refused",
            root=str(root),
            hint=f"if you trust its creator, run {trust_command(root)}",
        )


def trust_command(collection: str | os.PathLike[str]) -> str:
    """Return the shell command that trusts a collection, given its name or path."""
    return f"imseek collection trust {shlex.quote(os.fspath(collection))}"


def trusted_collections() -> tuple[TrustRecord, ...]:
    """Return all records, sorted by path."""
    with suppress(OSError):
        names = [path.name for path in private_file(_RECORDS).iterdir() if path.suffix == ".json"]
        records = [_read(f"{_RECORDS}/{name}") for name in names]
        return tuple(sorted((record for record in records if record is not None), key=lambda record: record.path))
    return ()


def create_records() -> None:
    """If there are no records yet, trust all named collections, which earlier versions created without records.

    Call this before adding somebody else's collection to them, so that it is not mistaken for one of those. The folder
    of records is renamed into place when complete: another process may read it meanwhile, and this one may be killed.
    """
    with suppress(OSError, StorageError):
        if (home(os.environ) / _RECORDS).exists():
            return
        from tempfile import TemporaryDirectory  # Imported here because it is needed only once.

        home_folder = make_home(os.environ)
        with TemporaryDirectory(prefix=f".{_RECORDS}-", dir=home_folder) as staging:
            folder = Path(staging) / _RECORDS
            folder.mkdir(0o700)
            collections = home_folder / "collections"
            for path in collections.iterdir() if collections.is_dir() else ():
                with suppress(ImseekError):
                    if path.stat(follow_symlinks=False).st_uid == os.geteuid():
                        _write(_record_of(path), folder.relative_to(home_folder))
            folder.rename(home_folder / _RECORDS)


def _create_records_in_home() -> None:
    if home(os.environ).is_dir():
        create_records()


def _is_below_trusted(real_path: str) -> bool:
    folders = map(os.path.expanduser, os.environ.get(FOLDERS_VARIABLE, "").split(os.pathsep))
    # Relative paths are ignored: they would change with the current folder.
    return any(Path(real_path).is_relative_to(os.path.realpath(folder)) for folder in folders if os.path.isabs(folder))


def _record_file(real_path: str, folder: str | Path = _RECORDS) -> str:
    return f"{folder}/{hashlib.sha256(os.fsencode(real_path)).hexdigest()[:32]}.json"


def _read(name: str) -> TrustRecord | None:
    try:
        document = JsonObject(json.loads(read_private(name) or b""), ("path", "uuid"))
        return TrustRecord(document.text("path"), document.text("uuid"))
    except (StorageError, ValueError):
        return None
