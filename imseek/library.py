"""Find, rename and delete collections, and decide which one a command means.

A collection is a folder that holds a ``collection.json`` and a catalog. Named collections are in
``<home>/collections/<name>``, where home is ``IMSEEK_HOME`` or the platform's folder for user data. A collection kept
with its pictures is in ``<folder>/.imseek``.

Only the standard library is imported at module level, because every command imports this module.
"""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from imseek import config
from imseek.data import layout
from imseek.data.layout import is_collection as is_collection
from imseek.errors import (
    AmbiguousCollectionError,
    CollectionExistsError,
    CollectionNotFoundError,
    ImseekError,
    UsageError,
)
from imseek.home import COLLECTION_NAME, named_collections
from imseek.home import LOCAL_FOLDER as LOCAL_FOLDER
from imseek.tilde_expansion import expand_user

COLLECTION_VARIABLE = "IMSEEK_COLLECTION"
#: ``json``: a command without a terminal writes its progress to stderr, one JSON object a line (for imseek.jobs).
PROGRESS_VARIABLE = "IMSEEK_PROGRESS"
DEFAULT_NAME = "default"
DEMO_NAME = "demo"
#: How a collection in the current folder or one above it was found.
NEAREST = f"nearest {LOCAL_FOLDER}"
#: How a collection was found that is the only named one.
ONLY_ONE = "the only one"
#: The message where nothing was ever indexed.
NONE_YET = "there is no collection yet"
#: The option that names a command's collection.
COLLECTION_OPTION = "--collection"

_DELETING_PREFIX = ".imseek-deleting-"


@dataclass(frozen=True, slots=True)
class NamedCollection:
    """A collection of the library."""

    name: str
    path: Path


@dataclass(frozen=True, slots=True)
class ResolvedCollection:
    """The collection that a command means, and ``how`` it was found.

    ``name`` is its name in the library, or its path if it is elsewhere. ``exists`` is False only if the caller accepts
    a collection yet to be created.
    """

    path: Path
    name: str
    how: str
    exists: bool = True


def path_for(name: str, environ: Mapping[str, str]) -> Path:
    """Return the path of a named collection, existing or not. Raises UsageError for an invalid name."""
    if not COLLECTION_NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot name a collection",
            hint="use letters, digits, '.', '-' and '_', 64 at most, a letter, digit or '_' first",
        )
    return named_collections(environ) / name


def list_collections(environ: Mapping[str, str]) -> tuple[NamedCollection, ...]:
    """List the named collections, sorted by name."""
    try:
        entries = sorted(named_collections(environ).iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return ()
    return tuple(NamedCollection(p.name, p) for p in entries if COLLECTION_NAME.fullmatch(p.name) and is_collection(p))


def uuid_of(path: Path) -> str:
    """Return the uuid of the collection in ``path``, which stays the same when it is moved or renamed.

    Raises CollectionNotFoundError, FormatVersionError, CorruptCollectionError.
    """
    from imseek.data.collection_records import read_identity

    return read_identity(path).uuid


def identity_stamp(path: Path) -> tuple[int, int] | None:
    """Return a value that changes where another collection takes the place of the one in ``path``; None without one.

    It is the inode and the time of change, in nanoseconds, of a file that is written once, when a collection is made.
    """
    try:
        status = (path / layout.COLLECTION).stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns


def locate(name: str, *, cwd: Path, environ: Mapping[str, str]) -> NamedCollection:
    """Locate a collection by name or path, existing or not.

    Text with a separator (or ``.``, ``..``, ``~``) is a path: of the collection, or of a folder with one in
    ``.imseek``. Raises UsageError for an invalid name.
    """
    if os.sep in name or name in (".", "..", "~"):
        path = (cwd / expand_user(name)).absolute()
        if not is_collection(path) and is_collection(path / LOCAL_FOLDER):
            path = path / LOCAL_FOLDER
        return NamedCollection(str(path), path)
    try:
        return NamedCollection(name, path_for(name, environ))
    except UsageError as error:
        if hint := path_hint(name, cwd):
            raise UsageError(str(error), hint=hint) from None
        raise


def path_hint(name: str, cwd: Path) -> str | None:
    """Suggest the path of a collection that was given without a separator; None if there is none at that path."""
    if not name or os.sep in name or not any(map(is_collection, (cwd / name, cwd / name / LOCAL_FOLDER))):
        return None
    return f"a path has a slash in it: {shlex.quote(f'./{name}')}"


def resolve(
    name: str | None, *, cwd: Path, environ: Mapping[str, str], option: str = COLLECTION_OPTION
) -> ResolvedCollection:
    """Return the collection that a command means; ``name`` is the value of ``option``.

    Tried in order: the given name or path, ``IMSEEK_COLLECTION``, the nearest ``.imseek`` from ``cwd`` upwards, that of
    ``config.toml``, the only named collection, the one named ``default``.

    Raises CollectionNotFoundError, with a hint how to create one, and AmbiguousCollectionError, with the names.
    """
    choice = _choose(name, cwd, environ, list_collections(environ), option)
    if choice is None:
        raise CollectionNotFoundError(NONE_YET, hint="`imseek index FOLDER` creates one")
    if not choice.exists:
        names = ", ".join(c.name for c in list_collections(environ))
        advice = f"there are: {names}" if names else f"`imseek index FOLDER -c {choice.name}` makes it"
        raise CollectionNotFoundError(
            f"no collection {choice.name!r} ({choice.how})", hint=path_hint(choice.name, cwd) or advice
        )
    return choice


def resolve_for_index(name: str | None, *, cwd: Path, environ: Mapping[str, str]) -> ResolvedCollection:
    """Return the collection to index into; ``exists`` is False if it is yet to be created.

    Like :func:`resolve`, except that ``default`` is used if there is none, and the demo collection must be named
    explicitly, so that no user's pictures end up in it.
    """
    candidates = tuple(c for c in list_collections(environ) if c.name != DEMO_NAME)
    choice = _choose(name, cwd, environ, candidates)
    if choice is None:
        return ResolvedCollection(path_for(DEFAULT_NAME, environ), DEFAULT_NAME, "new", exists=False)
    return choice


def rename(name: str, new: str, environ: Mapping[str, str]) -> Path:
    """Rename a named collection; returns its new path.

    Raises CollectionNotFoundError, CollectionExistsError, LockedError while a writer is active.
    """
    from imseek.data import trust

    source, target = path_for(name, environ), path_for(new, environ)
    _move(source, name, target)
    trust.move_record(source, target)
    return target


def delete(path: Path, name: str) -> None:
    """Delete a collection; the pictures it was made from stay.

    The folder is moved aside first, so that an interrupted deletion leaves no partial collection; remains of earlier
    deletions beside it are removed too. A catalog on a server is dropped. A symbolic link is removed together with its
    target. Raises UsageError if the folder holds other files, or if files put away would become hard to restore;
    CollectionNotFoundError, LockedError while a writer is active, StorageError if a server does not answer, OSError.
    """
    from imseek.data.trust import distrust
    from imseek.duplicates.actions import journal

    link, path = path, path.resolve()
    if not is_collection(path):
        raise _no_collection(name)
    if strangers := sorted(entry for entry in os.listdir(path) if not layout.is_ours(entry)):
        raise UsageError(
            f"{path} holds files that are not imseek's: {', '.join(strangers[:3])}",
            hint="move them away, then delete the collection",
        )
    if records := [one for one in journal.list_undo_infos(path) if one.bytes]:
        raise UsageError(
            f"{path} holds the only record of how to undo a clean-up of duplicates ({records[0].undo_id})",
            hint="undo it with `imseek duplicates undo`, or remove the folder `undo` in the collection "
            "if you no longer need it",
        )
    aside = path.with_name(f"{_DELETING_PREFIX}{path.name}-{os.getpid()}")
    _move(path, name, aside)
    try:
        _drop_catalog(aside)
    except ImseekError:  # Its role may lack the permission.
        aside.rename(path)
        raise
    if link.is_symlink():
        link.unlink()
    distrust(path)
    shutil.rmtree(aside)
    for leftover in path.parent.glob(f"{_DELETING_PREFIX}*"):
        with suppress(ImseekError, OSError):
            _drop_catalog(leftover)
            shutil.rmtree(leftover)


def _drop_catalog(folder: Path) -> None:
    """Drop the collection's catalog if it is on a server."""
    if layout.has_server_catalog(folder):
        from imseek.data.catalog.postgres.address import read_address
        from imseek.data.catalog.postgres.catalog_writer import drop_schema

        drop_schema(read_address(folder))


def _choose(
    name: str | None,
    cwd: Path,
    environ: Mapping[str, str],
    collections: tuple[NamedCollection, ...],
    option: str = COLLECTION_OPTION,
) -> ResolvedCollection | None:
    from_environment = environ.get(COLLECTION_VARIABLE)
    for text, how in ((name, option), (from_environment, COLLECTION_VARIABLE)):
        if text:
            location = locate(text, cwd=cwd, environ=environ)
            return ResolvedCollection(location.path, location.name, how, exists=is_collection(location.path))
    for folder in (cwd, *cwd.parents):
        local = folder / LOCAL_FOLDER
        if is_collection(local):
            return ResolvedCollection(local, str(local), NEAREST)
    if (configured := config.read(environ).values.get("collection")) is not None:
        location = locate(configured, cwd=cwd, environ=environ)
        return ResolvedCollection(location.path, location.name, "config.toml", exists=is_collection(location.path))
    if len(collections) == 1:
        return ResolvedCollection(collections[0].path, collections[0].name, ONLY_ONE)
    for collection in collections:
        if collection.name == DEFAULT_NAME:
            return ResolvedCollection(collection.path, DEFAULT_NAME, "the default one")
    if collections:
        raise AmbiguousCollectionError(
            "there are several collections; choose one: " + ", ".join(c.name for c in collections),
            hint=f"add --collection NAME, or set {COLLECTION_VARIABLE}",
        )
    return None


def _no_collection(name: str) -> CollectionNotFoundError:
    return CollectionNotFoundError(f"no collection {name!r}", hint="`imseek collection list` shows the existing ones")


def _move(source: Path, name: str, target: Path) -> None:
    """Rename a collection's folder while holding its writer lock."""
    if not is_collection(source):
        raise _no_collection(name)
    if target.exists():
        raise CollectionExistsError(f"there is already a {target.name!r}", hint="choose another name")
    from imseek.data.catalog.backend import backend_of
    from imseek.data.files import durable_files

    lock = backend_of(source).lock()
    lock.acquire()
    try:
        durable_files.publish([(source, target)])
    finally:
        lock.release()
