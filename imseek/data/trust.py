"""Which collections a user trusts, kept in the user's home.

A collection may come from somebody else: in an archive, on a shared disk, in a folder above the current one. It is safe
to search, and refused or ignored is whatever it asks for beyond that. To write to it, to load its FAISS index (code in
C++ that believes what a file says), to take weights from where it says or its catalog from a server, the user has to
say once that it is trusted. What imseek makes on this machine is trusted from the start. A record binds the path to the
collection's uuid: another collection that is put in its place is not trusted.

``<home>/trusted/<digest of the path>.json`` is one record, so that no two processes write the same file. Folders below
which every collection is trusted are named in ``IMSEEK_TRUSTED_FOLDERS``, by absolute paths, separated as in ``PATH``.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from imseek.data.current_file import read_identity
from imseek.data.json_object import JsonObject
from imseek.data.system_errors import explained
from imseek.data.user_home import private_file, read_private, write_private
from imseek.errors import CorruptCollectionError, ImseekError, StorageError, UntrustedCollectionError
from imseek.home import home, make_home

FOLDERS_VARIABLE: Final = "IMSEEK_TRUSTED_FOLDERS"
_RECORDS: Final = "trusted"
#: Collections of this process that are trusted as long as they are there, by their paths without links.
_temporary: Final[set[str]] = set()


@dataclass(frozen=True, slots=True)
class TrustRecord:
    """A collection that is trusted: where it lies, without links, and its uuid."""

    path: str
    uuid: str


def is_trusted(root: Path) -> bool:
    """Whether the user trusts the collection at ``root``.

    Where its identity is damaged, the record of its path decides: a repair must be possible. Raises
    CollectionNotFoundError, FormatVersionError.
    """
    real = os.path.realpath(root)
    if real in _temporary or _is_below_trusted(real):
        return True
    _begin_where_there_is_a_home()
    record = _read(_record_file(real))
    try:
        uuid = read_identity(root).uuid
    except CorruptCollectionError:
        return record is not None
    return record == TrustRecord(real, uuid)


def trust(root: Path, *, damaged: bool = False) -> TrustRecord:
    """Remember that the collection at ``root`` is trusted.

    ``damaged``: also where its identity cannot be read, so that it can be repaired. That is a record without a uuid,
    which the repair adds (``complete_record``). Raises StorageError, and as ``read_identity``.
    """
    try:
        record = _record_of(root)
    except CorruptCollectionError:
        if not damaged:
            raise
        record = TrustRecord(os.path.realpath(root), "")
    if record.path not in _temporary:
        begin_records()
        _write(record)
    return record


def complete_record(root: Path) -> None:
    """Bind a record without a uuid to the collection at ``root``, whose identity has been repaired.

    Raises as :func:`trust`.
    """
    record = _read(_record_file(os.path.realpath(root)))
    if record is not None and not record.uuid:
        trust(root)


@contextmanager
def trusted_meanwhile(root: Path) -> Iterator[None]:
    """Trust whatever is made at ``root`` within this block, without a record of it."""
    real = os.path.realpath(root)
    _temporary.add(real)
    try:
        yield
    finally:
        _temporary.discard(real)


def _record_of(root: Path) -> TrustRecord:
    return TrustRecord(os.path.realpath(root), read_identity(root).uuid)


def _write(record: TrustRecord, folder: str | Path = _RECORDS) -> None:
    write_private(_record_file(record.path, folder), json.dumps(asdict(record)).encode())


def move_record(root: Path, new: Path) -> None:
    """Trust a collection that was moved from ``root`` to ``new`` if it was trusted before. Raises StorageError."""
    _begin_where_there_is_a_home()
    before = _read(_record_file(os.path.realpath(root)))
    distrust(root)
    distrust(new)  # A record of what lay there before.
    if before is not None:
        begin_records()
        _write(TrustRecord(os.path.realpath(new), before.uuid))


def distrust(root: Path) -> None:
    """Forget that the collection at ``root`` was trusted; it need not be there any more. Raises StorageError."""
    _begin_where_there_is_a_home()
    with explained(root), suppress(FileNotFoundError):
        os.unlink(private_file(_record_file(os.path.realpath(root))))


def check_trusted(root: Path, what: str) -> None:
    """Raise UntrustedCollectionError where the user does not trust a collection; ``what`` names what is refused, as in
    "writing to it". Raises as ``read_identity``."""
    if not is_trusted(root):
        raise UntrustedCollectionError(
            f"{root} was not made here, and you have not said that you trust it: {what} is refused",
            root=str(root),
            hint=f"if you know who made it: {trust_command(root)}",
        )


def trust_command(collection: str | os.PathLike[str]) -> str:
    """What to type to trust a collection, by its name or path, quoted for a shell."""
    return f"imseek collection trust {shlex.quote(os.fspath(collection))}"


def trusted_collections() -> tuple[TrustRecord, ...]:
    """All records, by path."""
    with suppress(OSError):
        names = [path.name for path in private_file(_RECORDS).iterdir() if path.suffix == ".json"]
        found = [_read(f"{_RECORDS}/{name}") for name in names]
        return tuple(sorted((one for one in found if one is not None), key=lambda one: one.path))
    return ()


def begin_records() -> None:
    """Where there are no records yet, trust the named collections: earlier versions made them and kept none.

    Whoever puts a collection of somebody else among them calls this first, so that it is not taken for one of those.
    The folder of records takes its name once they are all in it: another process may look for one meanwhile, and this
    one may be killed.
    """
    from tempfile import TemporaryDirectory  # Here, since it is needed once.

    with suppress(OSError, StorageError):
        if (home(os.environ) / _RECORDS).exists():
            return
        mine = make_home(os.environ)
        with TemporaryDirectory(prefix=f".{_RECORDS}-", dir=mine) as staging:
            folder = Path(staging) / _RECORDS
            folder.mkdir(0o700)
            collections = mine / "collections"
            for path in collections.iterdir() if collections.is_dir() else ():
                with suppress(ImseekError):
                    if path.stat(follow_symlinks=False).st_uid == os.geteuid():
                        _write(_record_of(path), folder.relative_to(mine))
            folder.rename(mine / _RECORDS)


def _begin_where_there_is_a_home() -> None:
    if home(os.environ).is_dir():
        begin_records()


def _is_below_trusted(real: str) -> bool:
    named = map(os.path.expanduser, os.environ.get(FOLDERS_VARIABLE, "").split(os.pathsep))
    # A relative one would be another folder in each folder that somebody changes to.
    return any(Path(real).is_relative_to(os.path.realpath(one)) for one in named if os.path.isabs(one))


def _record_file(real: str, folder: str | Path = _RECORDS) -> str:
    return f"{folder}/{hashlib.sha256(os.fsencode(real)).hexdigest()[:32]}.json"


def _read(name: str) -> TrustRecord | None:
    try:
        found = JsonObject(json.loads(read_private(name) or b""), ("path", "uuid"))
        return TrustRecord(found.text("path"), found.text("uuid"))
    except (StorageError, ValueError):
        return None
