"""Select the sources of a run: those that contain the given paths, and new ones."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from imseek.data.catalog import place_paths
from imseek.data.catalog import sources as catalog_sources
from imseek.data.catalog.catalog_writer import Source as CatalogSource
from imseek.data.writing.writer import Writer
from imseek.errors import UsageError
from imseek.indexer.sources import KINDS, check_source, detect, filter_of, known_kinds, options_of
from imseek.indexer.sources.folder import path_below, reaches
from imseek.indexer.sources.local_files import GONE_ERRNOS
from imseek.input_file import missing_path_hint
from imseek.types.indexing_runs import FOLDER_KINDS, SourceOptions
from imseek.types.pictures import display_path

#: Kinds whose sources are folders or single files, found by walking.
_WALKED_KINDS = (*FOLDER_KINDS, "file")
#: The kind of the single source for files and URLs indexed by name.
LIST_KIND = "list"


@dataclass(frozen=True, slots=True)
class Target:
    """A source to scan: all of it, the part ``below`` a path, or, for a list, only ``names``.

    ``source.source_id`` is negative until the source is recorded.
    """

    source: CatalogSource
    root: bytes
    options: SourceOptions = field(default_factory=SourceOptions)
    below: bytes = b""
    names: tuple[bytes, ...] | None = None

    @property
    def shown(self) -> str:
        return display_path(self.root) if self.root else "the listed files"

    @property
    def whole(self) -> bool:
        return not self.below and self.names is None


def select_targets(
    writer: Writer,
    paths: Sequence[bytes],
    names: Sequence[bytes] = (),
    options: SourceOptions | None = None,
    *,
    follow_symlinks: bool = False,
) -> list[Target]:
    """Return what to scan for absolute paths and URLs ``paths``, and for single files and URLs ``names``.

    Without either, every source is scanned. Nothing is recorded yet. A source inside another remains separate, and
    the outer one skips it, so that its protection (against an unmounted disk) still applies. ``options`` apply to new
    sources and replace those of the named sources. Raises UsageError for a path that does not exist and never did,
    for an unknown kind, and for a table without a recognisable column of pictures.
    """
    selection = _TargetSelection(writer, options, follow_symlinks)
    if not paths and not names:
        return selection.recorded_targets()
    kinds = [selection.kind_of(path) for path in paths]
    several = bool(names) or sum(kind in ("file", LIST_KIND) for kind in kinds) > 1
    single_files = []
    for path, kind in zip(paths, kinds, strict=True):
        if kind == LIST_KIND or (kind == "file" and several and not selection.holds(path)):
            single_files.append(path)
        else:
            selection.add(path, kind)
    if single_files or names:
        selection.add_names([*single_files, *names])
    targets = selection.targets()
    for target in targets:
        check_source(target.source.kind, target.root, target.options)
    return targets


def record_sources(writer: Writer, targets: Iterable[Target]) -> list[Target]:
    """Record the sources and options of the targets, and return the targets with their source ids.

    If the folder that the collection lies in has another name by now, words find its images by that.
    """
    recorded = []
    for target in targets:
        if target.source.source_id < 0:
            options = _document(target.options)
            source = catalog_sources.add(writer, target.source.kind, target.root, options)
            target = replace(target, source=source)
        elif json.loads(target.source.options) != _document(target.options):
            catalog_sources.set_options(writer, target.source.source_id, _document(target.options))
        recorded.append(target)
    catalog_sources.renew_folder_name(writer)
    return recorded


class _TargetSelection:
    """Collects the targets of a run."""

    def __init__(self, writer: Writer, options: SourceOptions | None, follow_symlinks: bool) -> None:
        self._writer = writer
        self._options = options
        self._follow = follow_symlinks
        self._sources = [
            (source, catalog_sources.absolute_root(writer.root, source)) for source in writer.catalog.sources()
        ]
        self._targets: dict[tuple[int, bytes], Target] = {}
        kind = None if options is None else options.kind
        if kind is not None and kind not in KINDS and kind not in (kinds := known_kinds()):
            raise UsageError(f"{kind!r} is not a kind of source", hint=f"kinds are {', '.join(kinds)}")

    def recorded_targets(self) -> list[Target]:
        return [Target(source, root, options_of(source.options)) for source, root in self._sources]

    def targets(self) -> list[Target]:
        """Return the targets, without those contained in another one."""
        wholes = {source_id for source_id, below in self._targets if not below}
        return [t for (i, below), t in self._targets.items() if not below or i not in wholes]

    def kind_of(self, path: bytes) -> str:
        if self._options is not None and self._options.kind is not None:
            return self._options.kind
        if self._options is not None and self._options.vector_column is not None:
            return "vectors"
        for source, root in self._sources:  # even if it does not exist at present
            if root == path and source.kind != LIST_KIND:
                return source.kind
        self._check(path)
        return detect.source_kind(path)

    def holds(self, path: bytes) -> bool:
        return self._holder(path, _WALKED_KINDS) is not None

    def add(self, path: bytes, kind: str) -> None:
        """Add the source whose scan would reach ``path`` (or else a new one), and all walked sources inside it."""
        self._check(path)
        alike = _WALKED_KINDS if kind in _WALKED_KINDS else (kind,)
        holder = self._holder(path, alike)
        if holder is not None:
            self._take(*holder)
        else:
            source = CatalogSource(-1 - len(self._sources), kind, path, relative=False)
            self._sources.append((source, path))
            self._take(source, path, b"")
        if kind in _WALKED_KINDS:
            for source, root in self._sources:
                if source.kind in _WALKED_KINDS and root != path and catalog_sources.contains(path, root):
                    self._take(source, root, b"", named=False)

    def add_names(self, names: Sequence[bytes]) -> None:
        """Assign single files to the sources that contain them, the rest and URLs to the collection's list."""
        unassigned = []
        for name in names:
            if not place_paths.is_url(name) and (holder := self._holder(name, _WALKED_KINDS)) is not None:
                self._take(*holder, named=False)
            else:
                unassigned.append(name)
        if not unassigned:
            return
        lists = [source for source, _ in self._sources if source.kind == LIST_KIND]
        source = lists[0] if lists else CatalogSource(-1 - len(self._sources), LIST_KIND, b"", relative=False)
        target = Target(
            source, b"", self._options or options_of(source.options), names=tuple(dict.fromkeys(unassigned))
        )
        self._targets[source.source_id, b""] = target

    def _holder(self, path: bytes, kinds: Sequence[str]) -> tuple[CatalogSource, bytes, bytes] | None:
        """Return the innermost source that contains ``path``, its root, and the path within it; or None."""
        holders = []
        for source, root in self._sources:
            if source.kind not in kinds or not catalog_sources.contains(root, path):
                continue
            below = path_below(root, path)
            if source.kind in _WALKED_KINDS and below:
                path_filter = filter_of(options_of(source.options))
                is_reached = path_filter.reaches(below, folder=not os.path.isfile(path))
                if not reaches(root, path, self._follow) or not is_reached:
                    continue
            holders.append((source, root, below))
        return max(holders, key=lambda one: len(one[1]), default=None)

    def _take(self, source: CatalogSource, root: bytes, below: bytes, *, named: bool = True) -> None:
        options = self._options if named and self._options is not None and not below else options_of(source.options)
        self._targets[source.source_id, below] = Target(source, root, options, below)

    def _check(self, path: bytes) -> None:
        """Raise UsageError if a path does not exist, unless a source has indexed it before."""
        if place_paths.is_url(path):
            return
        try:
            os.stat(path)
        except OSError as error:
            for source, root in self._sources:
                if source.kind != LIST_KIND and catalog_sources.contains(root, path):
                    below = path_below(root, path)
                    if not below or self._writer.catalog.known_places(source.source_id, below=below):
                        return
            if error.errno in GONE_ERRNOS:
                hint = missing_path_hint(os.fsdecode(path))
                raise UsageError(f"no such file or folder: {display_path(path)}", hint=hint) from error
            raise UsageError(f"{display_path(path)} is not accessible: {error.strerror}") from error


def _document(options: SourceOptions) -> dict[str, Any]:
    """Return options for storage as JSON: only non-default values, and without the kind, which the source stores."""
    values = {n: list(v) if isinstance(v, tuple) else v for n, v in asdict(options).items()}
    plain = {n: list(v) if isinstance(v, tuple) else v for n, v in asdict(SourceOptions()).items()}
    return {n: v for n, v in values.items() if v != plain[n] and n != "kind"}
