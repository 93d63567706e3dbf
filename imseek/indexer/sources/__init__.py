"""Where images come from, one small module each. ``base`` says what all of them offer."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Sequence
from dataclasses import fields
from typing import Any, Final

from imseek.data.places import is_url
from imseek.errors import UsageError
from imseek.indexer.sources.base import Source
from imseek.indexer.sources.filters import Filter
from imseek.types import SourceOptions, display_path

#: What a user may name; a single ``file`` is told from its path.
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
    stop: threading.Event | None = None,
) -> Source:
    """The source of a kind at ``root``, an absolute path or a URL.

    ``below`` limits a scan to a part of it, ``names`` are those of a list, ``inside`` are other sources within it;
    ``read_ns`` is when a picture of it was last read, by the wall clock. Once ``stop`` is set, opening a container
    raises InterruptedError.
    """
    choose = filter_of(options)
    if kind in ("folder", "file"):
        from imseek.indexer.sources.folder import Folder

        return Folder(root, choose=choose, follow_symlinks=follow_symlinks, below=below, inside=inside)
    if kind == "list":
        from imseek.indexer.sources.listed import Listed

        return Listed(names, allow_private=options.allow_private)
    if kind == "imagefolder":
        from imseek.indexer.sources.imagefolder import ImageFolder

        return ImageFolder(
            root, choose=choose, follow_symlinks=follow_symlinks, below=below, inside=inside,
            caption_column=options.caption_column, read_ns=read_ns,
        )  # fmt: skip
    if kind == "table":
        from imseek.indexer.sources.table import Table

        return Table(root, options, choose=choose, follow_symlinks=follow_symlinks, below=below)
    if kind == "archive":
        from imseek.indexer.sources.archive import Archives

        return Archives(root, choose=choose, below=below, stop=stop)
    if kind == "vectors":
        from imseek.indexer.sources.vectors import open_vectors

        return open_vectors(root, options, choose)
    raise ValueError(f"{kind!r} is no kind of source")


def check_source(kind: str, root: bytes, options: SourceOptions) -> None:
    """Before anything of a source is recorded. Raises UsageError where it cannot be read as it is meant, and
    MissingExtraError: what is recorded is read in every later run too."""
    if kind == "imagefolder" and (is_url(root) or os.path.isfile(root)):
        raise UsageError(f"{display_path(root)} is no folder on this machine")
    if kind == "archive" and is_url(root):
        from imseek.indexer.sources import remote

        remote.check(root)
    if kind == "table":
        from imseek.indexer.sources.table import Table

        Table(root, options, choose=filter_of(options)).check()
    if kind == "vectors":
        from imseek.indexer.sources.vectors import open_vectors

        open_vectors(root, options).check()


def options_of(document: str) -> SourceOptions:
    """Options as the catalog keeps them (JSON); what a later version has added is passed over."""
    known = {field.name for field in fields(SourceOptions)}
    stored: dict[str, Any] = {name: value for name, value in json.loads(document).items() if name in known}
    given: dict[str, Any] = {n: tuple(v) if isinstance(v, list) else v for n, v in stored.items()}
    return SourceOptions(**given)


def filter_of(options: SourceOptions) -> Filter:
    return Filter(options.include, options.exclude, hidden=options.hidden)
