"""Sources of images, one module each. ``base`` defines their common protocol."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final

from imseek.data.catalog.place_paths import is_url
from imseek.errors import CorruptCollectionError, PluginError, UsageError
from imseek.indexer.sources.base import Source
from imseek.indexer.sources.filters import Filter
from imseek.plugins import find_plugins
from imseek.types.indexing_runs import SourceOptions
from imseek.types.pictures import display_path

if TYPE_CHECKING:
    from imseek.indexer.sources.local_files import FileOpener


@dataclass(frozen=True, slots=True)
class SourceRequest:
    """The arguments of :func:`open_source`, with the filter of its options."""

    root: bytes
    options: SourceOptions
    choose: Filter
    below: bytes
    names: Sequence[bytes]
    inside: frozenset[bytes]
    follow_symlinks: bool
    read_ns: int
    opener: FileOpener | None
    stop: threading.Event | None


def _open_folder(request: SourceRequest) -> Source:
    from imseek.indexer.sources.folder import Folder

    return Folder(
        request.root, choose=request.choose, follow_symlinks=request.follow_symlinks, below=request.below,
        inside=request.inside, opener=request.opener,
    )  # fmt: skip


def _open_list(request: SourceRequest) -> Source:
    from imseek.indexer.sources.named_files import FileList

    return FileList(request.names, allow_private=request.options.allow_private, opener=request.opener)


def _open_imagefolder(request: SourceRequest) -> Source:
    from imseek.indexer.sources.imagefolder import ImageFolder

    return ImageFolder(
        request.root, choose=request.choose, follow_symlinks=request.follow_symlinks, below=request.below,
        inside=request.inside, caption_column=request.options.caption_column, read_ns=request.read_ns,
        opener=request.opener,
    )  # fmt: skip


def _open_table(request: SourceRequest) -> Source:
    from imseek.indexer.sources.table import Table

    return Table(
        request.root, request.options, choose=request.choose, follow_symlinks=request.follow_symlinks,
        below=request.below, opener=request.opener,
    )  # fmt: skip


def _open_archive(request: SourceRequest) -> Source:
    from imseek.indexer.sources.archive import Archives

    return Archives(request.root, choose=request.choose, below=request.below, opener=request.opener, stop=request.stop)


def _open_vectors(request: SourceRequest) -> Source:
    from imseek.indexer.sources.vectors import open_vectors

    return open_vectors(request.root, request.options, request.choose, opener=request.opener)


#: How a source of each kind is opened. A new kind takes its place here, and in detect.py.
_OPENERS: Final[Mapping[str, Callable[[SourceRequest], Source]]] = {
    "folder": _open_folder,
    "file": _open_folder,
    "list": _open_list,
    "imagefolder": _open_imagefolder,
    "table": _open_table,
    "archive": _open_archive,
    "vectors": _open_vectors,
}
#: Kinds that a user may name; a single ``file`` is recognised by its path.
KINDS: Final = frozenset(_OPENERS) - {"file"}


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
    files; by default it follows links. Once ``stop`` is set, opening a container raises Cancelled. Raises PluginError
    for a kind that neither imseek nor a plugin knows.
    """
    choose = filter_of(options)
    return _opener(kind)(
        SourceRequest(root, options, choose, below, names, inside, follow_symlinks, read_ns, opener, stop)
    )


def known_kinds() -> list[str]:
    """Return the kinds of sources that a user may name: imseek's own, then those of plugins."""
    return [*sorted(KINDS), *find_plugins("imseek.sources")]


def _opener(kind: str) -> Callable[[SourceRequest], Source]:
    """Return the function that opens sources of a kind. Raises PluginError if neither imseek nor a plugin knows it."""
    if kind in _OPENERS:
        return _OPENERS[kind]
    plugin = find_plugins("imseek.sources").get(kind)
    if plugin is None:
        raise PluginError(f"no plugin here reads sources of the kind {kind!r}", hint="install the package that does")
    opener: Callable[[SourceRequest], Source] = plugin.load()
    if not callable(opener):
        raise plugin.error(f"must be a function that opens a source, and is a {type(opener).__name__}")
    return opener


def check_source(kind: str, root: bytes, options: SourceOptions) -> None:
    """Check a source before it is recorded, since every later run reads what is recorded.

    Raises UsageError where it cannot be read as intended, MissingExtraError and PluginError.
    """
    _opener(kind)
    if kind == "imagefolder" and (is_url(root) or os.path.isfile(root)):
        raise UsageError(f"{display_path(root)} is not a folder on this machine")
    if kind == "archive" and is_url(root):
        from imseek.indexer.sources import remote_files

        remote_files.check_url(root)
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
    values: dict[str, Any] = {}
    for field in fields(SourceOptions):
        if field.name in stored:
            value = stored[field.name]
            values[field.name] = tuple(value) if isinstance(value, list) else value
            if not _is_option(values[field.name], field.default):
                raise CorruptCollectionError(f"the option {field.name} of a source is damaged: {value!r:.80}")
    return SourceOptions(**values)


def _is_option(value: Any, default: Any) -> bool:
    """Tell whether ``value`` has the type of an option, judging by its default."""
    if isinstance(default, tuple):
        return isinstance(value, tuple) and all(isinstance(one, str) for one in value)
    return isinstance(value, bool) if isinstance(default, bool) else value is None or isinstance(value, str)


def filter_of(options: SourceOptions) -> Filter:
    """Build the filter of a source's options."""
    return Filter(options.include, options.exclude, hidden=options.hidden)
