"""Sources of images, one module each. ``base`` defines their common protocol."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final

from imseek.data.catalog.places import is_url
from imseek.errors import CorruptCollectionError, UsageError
from imseek.indexer.sources.base import Source
from imseek.indexer.sources.filters import Filter
from imseek.types.pictures import display_path
from imseek.types.runs import SourceOptions

if TYPE_CHECKING:
    from imseek.indexer.sources.files import FileOpener

#: Kinds that a user may name; a single ``file`` is recognised by its path.
KINDS: Final = frozenset({"folder", "imagefolder", "archive", "table", "vectors", "list"})


def open_source(
    kind: str,
    root: bytes,
    options: SourceOptions,
    *,
    below: bytes = b"",
    names: Sequence[bytes] = (),
    inside: frozenset[bytes] = frozenset(),
    follow_symlinks: bool = False,
    read_ns: int = 0,
    opener: FileOpener | None = None,
    stop: threading.Event | None = None,
) -> Source:
    """Open the source of a kind at ``root``, an absolute path or a URL.

    ``below`` limits scans to a part of it, ``names`` are the entries of a list, and ``inside`` are other sources within
    it, which scans skip. ``read_ns`` is when one of its pictures was last read, by the wall clock. ``opener`` opens its
    files; by default it follows links. Once ``stop`` is set, opening a container raises Cancelled. Raises
    CorruptCollectionError for an unknown kind.
    """
    choose = filter_of(options)
    if kind in ("folder", "file"):
        from imseek.indexer.sources.folder import Folder

        return Folder(
            root, choose=choose, follow_symlinks=follow_symlinks, below=below, inside=inside, opener=opener
        )
    if kind == "list":
        from imseek.indexer.sources.file_list import FileList

        return FileList(names, allow_private=options.allow_private, opener=opener)
    if kind == "imagefolder":
        from imseek.indexer.sources.imagefolder import ImageFolder

        return ImageFolder(
            root, choose=choose, follow_symlinks=follow_symlinks, below=below, inside=inside,
            caption_column=options.caption_column, read_ns=read_ns, opener=opener,
        )  # fmt: skip
    if kind == "table":
        from imseek.indexer.sources.table import Table

        return Table(
            root, options, choose=choose, follow_symlinks=follow_symlinks, below=below, opener=opener
        )
    if kind == "archive":
        from imseek.indexer.sources.archive import Archives

        return Archives(root, choose=choose, below=below, opener=opener, stop=stop)
    if kind == "vectors":
        from imseek.indexer.sources.vectors import open_vectors

        return open_vectors(root, options, choose, opener=opener)
    raise CorruptCollectionError(f"{kind!r} is no kind of source")


def check_source(kind: str, root: bytes, options: SourceOptions) -> None:
    """Check a source before it is recorded, since every later run reads what is recorded.

    Raises UsageError where it cannot be read as intended, and MissingExtraError.
    """
    if kind == "imagefolder" and (is_url(root) or os.path.isfile(root)):
        raise UsageError(f"{display_path(root)} is no folder on this machine")
    if kind == "archive" and is_url(root):
        from imseek.indexer.sources import remote

        remote.check_url(root)
    if kind == "table":
        from imseek.indexer.sources.table import Table

        Table(root, options, choose=filter_of(options)).check()
    if kind == "vectors":
        from imseek.indexer.sources.vectors import open_vectors

        open_vectors(root, options).check()


def options_of(document: str) -> SourceOptions:
    """Parse options from the catalog's JSON, ignoring those of later versions.

    Raises CorruptCollectionError for anything that no version has written.
    """
    try:
        stored = json.loads(document)
    except (ValueError, TypeError, RecursionError) as error:
        raise CorruptCollectionError(f"options of a source are damaged: {error}") from error
    if not isinstance(stored, dict):
        raise CorruptCollectionError(f"options of a source are damaged: {stored!r:.80}")
    given: dict[str, Any] = {}
    for field in fields(SourceOptions):
        if field.name in stored:
            value = stored[field.name]
            given[field.name] = tuple(value) if isinstance(value, list) else value
            if not _is_option(given[field.name], field.default):
                raise CorruptCollectionError(f"the option {field.name} of a source is damaged: {value!r:.80}")
    return SourceOptions(**given)


def _is_option(value: Any, default: Any) -> bool:
    """Tell whether ``value`` has the type of an option, judging by its default."""
    if isinstance(default, tuple):
        return isinstance(value, tuple) and all(isinstance(one, str) for one in value)
    return isinstance(value, bool) if isinstance(default, bool) else value is None or isinstance(value, str)


def filter_of(options: SourceOptions) -> Filter:
    """Build the filter of a source's options."""
    return Filter(options.include, options.exclude, hidden=options.hidden)
