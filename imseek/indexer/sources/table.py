"""Tables as a source: each row a picture, embedded or named by a path or URL."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import IO, Any, Final, TypeAlias

from imseek.data.catalog.place_paths import is_url, join, locate, member_path, split
from imseek.data.user_files.file_stat import UNKNOWN_STAT, FileStat
from imseek.errors import MediaError, UnsafePathError, UsageError
from imseek.indexer.sources import remote_files
from imseek.indexer.sources.archive_limits import check_rows
from imseek.indexer.sources.base import (
    MISSING,
    Container,
    Content,
    FoundImage,
    SidecarContent,
    UnreachableEntry,
)
from imseek.indexer.sources.column_roles import ColumnRoles, infer_roles
from imseek.indexer.sources.detect import is_table
from imseek.indexer.sources.filters import Filter
from imseek.indexer.sources.folder import Folder
from imseek.indexer.sources.local_files import (
    FileOpener,
    SidecarFinder,
    check_file_allowed,
    container_place,
    file_stat,
    find_file,
    load_sidecars,
    read_file,
    trouble_at,
    with_sidecars,
)
from imseek.indexer.sources.tables import open_sheet
from imseek.indexer.sources.tables.base import Kind, MalformedRow, Row, Sheet
from imseek.indexer.sources.web import FETCH_THREADS, WEB_STAT, WebReader
from imseek.media.decode import DEFAULT_LIMITS
from imseek.types.indexing_runs import SourceOptions
from imseek.types.pictures import SkipReason, display_path

#: Most characters of a caption, as for texts beside a picture.
_MAX_CAPTION: Final = 2000

#: Most bytes of a path or URL; a longer text is something else (a picture in base64, say).
_MAX_LOCATION: Final = 8192
#: Most digits of a row number.
_MAX_DIGITS: Final = 18
#: Up to this many rows are skipped rather than seeking anew.
_MAX_SKIP: Final = 64


@dataclass(frozen=True, slots=True)
class _Bytes:
    """A picture embedded in its row."""

    data: bytes


@dataclass(frozen=True, slots=True)
class _File:
    """A picture in a file that the row names."""

    full: bytes


@dataclass(frozen=True, slots=True)
class _Address:
    """A picture at a URL that the row names."""

    url: bytes


_Where: TypeAlias = _Bytes | _File | _Address


class Table:
    """A single table, or those in a folder tree, local or remote.

    A row's picture is identified by the row number and, if it lies elsewhere, its location. A table whose rows name
    files is opened in every run, since those may change while it does not.
    """

    def __init__(
        self,
        root: bytes,
        options: SourceOptions,
        *,
        choose: Filter | None = None,
        follow_symlinks: bool = False,
        below: bytes = b"",
        opener: FileOpener | None = None,
    ) -> None:
        self._root = root
        self._options = options
        self._opener = FileOpener(root) if opener is None else opener
        self._is_folder = os.path.isdir(root)
        # A file named as a table is one whatever its ending.
        looks = is_table if self._is_folder else lambda _: True
        self._files = Folder(
            root, choose=choose, follow_symlinks=follow_symlinks, below=below, looks=looks, what="a table"
        )
        self._web = WebReader(allow_private=options.allow_private)
        self._elsewhere: list[tuple[bytes, FileStat]] = []
        self._stats: dict[bytes, FileStat] = {}
        self._beside = SidecarFinder()
        self._open: tuple[tuple[bytes, int, int, int], _Cursor] | None = None
        self.notes: list[str] = []
        self.threads = 0

    def trouble(self) -> str | None:
        if not is_url(self._root):
            return trouble_at(self._root)
        self._elsewhere, _, trouble = remote_files.try_list_files(self._root)
        return trouble

    def check(self) -> None:
        """Raise UsageError if no table has a recognisable image column, unless all are damaged."""
        unclear: UsageError | None = None
        for entry in () if self.trouble() else self._tables():
            if not isinstance(entry, FoundImage):
                continue
            try:
                self._look(entry.path)
                return
            except UsageError as error:
                location = display_path(join(self._root, entry.path))
                unclear = unclear or UsageError(f"{location}: {error}", hint=error.hint)
            except (MediaError, OSError):
                continue
        if unclear is not None:
            raise unclear

    def scan(self) -> Iterator[FoundImage | Container | UnreachableEntry]:
        """Scan the tables, reading only the columns of each."""
        skips: dict[str, list[bytes]] = {}
        for entry in self._tables():
            if not isinstance(entry, FoundImage):
                yield entry
                continue
            self._stats[entry.path] = entry.stat
            try:
                roles, is_fetched = self._look(entry.path)
            except UsageError as error:
                yield UnreachableEntry(entry.path, SkipReason.NO_PICTURES, str(error), entry.stat)
                continue
            except (MediaError, OSError):
                # Opening it reports the error, unless it is on record.
                yield Container(entry.path, entry.stat)
                continue
            if is_fetched:
                self.threads = FETCH_THREADS
            for note in roles.notes:
                skips.setdefault(note, []).append(entry.path)
            yield Container(entry.path, UNKNOWN_STAT if roles.names_files else entry.stat)
        self.notes += self._files.notes
        for note, tables in skips.items():
            others = f" and {len(tables) - 1:,} more" if len(tables) > 1 else ""
            self.notes.append(f"{display_path(join(self._root, tables[0]))}{others}: {note}")

    def expand(self, container: Container) -> Iterator[FoundImage | UnreachableEntry]:
        """Yield the rows; embedded pictures have the table's stat, others that of the file they name."""
        holder = join(self._root, container.path)
        rows = _EntryBuilder(container.path, os.path.dirname(holder), self._stats[container.path], self._beside)
        with self._sheet(container.path) as sheet:
            roles = self._roles(sheet)
            for number, row in sheet.rows(roles.names):
                check_rows(number + 1, rows.stat.size)
                yield rows.entry(sheet, roles, number, row)
        if rows.missing_files and rows.missing_files == rows.file_rows:
            raise MediaError(
                SkipReason.UNREADABLE,
                f"none of the {rows.file_rows:,} files that it names is there, perhaps not mounted",
            )

    def load(self, image: FoundImage) -> Content:
        where: _Where = image.where
        if isinstance(where, _Address):
            return self._web.load(image, where.url)
        if isinstance(where, _File):
            content = read_file(self._opener.open_named(where.full))
            return with_sidecars(content, image, where.full)
        if len(where.data) > DEFAULT_LIMITS.max_bytes:
            raise MediaError(SkipReason.TOO_MANY_BYTES, f"larger than {DEFAULT_LIMITS.max_bytes >> 20} MiB")
        return Content(where.data, image.stat, image.caption, image.extra or {})

    def load_sidecars(self, image: FoundImage) -> SidecarContent:
        assert isinstance(image.where, _File)
        return load_sidecars(image, image.where.full)

    def portable(self, image: FoundImage) -> FoundImage | Content:
        """Return ``image``, which includes the bytes of an embedded picture."""
        return image

    def find(self, path: bytes) -> FoundImage:
        """Locate a picture without the table's metadata; opens the table only for an embedded picture."""
        container, number, location = split(path)
        if location:
            full = locate(self._root, path)
            return FoundImage(path, UNKNOWN_STAT, _Address(full) if is_url(full) else _File(full))
        picture = self._cursor(container).cell(parse_row_number(number))
        data = picture.get("bytes") if isinstance(picture, dict) else picture
        if not isinstance(data, bytes) or not data:
            raise MediaError(SkipReason.VANISHED, "the row holds no picture any more")
        return FoundImage(path, UNKNOWN_STAT, _Bytes(data))

    def is_gone(self, path: bytes) -> bool:
        """Tell whether a picture has disappeared; a file only if its folder exists, since a disk may not be mounted."""
        container, _, location = split(path)
        if not location:
            try:
                holder = container_place(self._root, container)
            except UnsafePathError:
                return False
            return remote_files.is_gone(holder) if is_url(holder) else self._files.is_gone(container)
        full = join(os.path.dirname(join(self._root, container)), location)
        if is_url(full):
            return False
        return trouble_at(full) == MISSING and trouble_at(os.path.dirname(full)) is None

    def close(self) -> None:
        self._close_sheet()
        self._web.close()

    def _tables(self) -> Iterator[FoundImage | Container | UnreachableEntry]:
        """Yield the tables as files."""
        if not is_url(self._root):
            yield from self._files.scan()
            return
        for url, stat in self._elsewhere:
            if url == self._root or is_table(url):
                yield FoundImage(b"" if url == self._root else url, stat)

    def _cursor(self, container: bytes) -> _Cursor:
        """Return the cursor of a table, reusing the last one unless the file has changed since."""
        place = container_place(self._root, container)
        file = None if is_url(place) else self._file(container)
        stat = remote_files.stat(place) if file is None else file_stat(os.fstat(file.fileno()))
        key = (container, stat.inode, stat.size, stat.mtime_ns)
        if self._open is not None and self._open[0] == key:
            if file is not None:
                file.close()
            return self._open[1]
        self._close_sheet()
        sheet = open_sheet(place, self._file(container) if file is None else file)
        self._open = key, _Cursor(sheet, self._roles(sheet).image.name)
        return self._open[1]

    def _close_sheet(self) -> None:
        if self._open is not None:
            self._open[1].sheet.close()
            self._open = None

    def _look(self, path: bytes) -> tuple[ColumnRoles, bool]:
        """Return the roles of a table's columns, and whether its pictures are downloaded."""
        with self._sheet(path) as sheet:
            roles = self._roles(sheet)
            if roles.image.kind is Kind.PICTURE and not sheet.has_bytes(roles.image.name):
                roles = replace(roles, names_files=True)
        return roles, roles.image.kind is Kind.TEXT and not roles.names_files

    def _sheet(self, container: bytes) -> Sheet:
        return open_sheet(join(self._root, container), self._file(container))

    def _file(self, container: bytes) -> IO[bytes]:
        path = container_place(self._root, container)
        return remote_files.open_binary(path) if is_url(path) else os.fdopen(self._opener.open(container), "rb")

    def _roles(self, sheet: Sheet) -> ColumnRoles:
        return infer_roles(sheet.columns, self._options)


class _Cursor:
    """Reads cells of one column by row number; consecutive ones in a single pass."""

    def __init__(self, sheet: Sheet, name: str) -> None:
        self.sheet = sheet
        self._name = name
        self._rows: Iterator[tuple[int, Row | MalformedRow]] = iter(())
        self._next = -_MAX_SKIP - 1

    def cell(self, number: int) -> Any:
        """Return the cell of a row. Raises MediaError: ``VANISHED`` where there is no such row."""
        if not self._next <= number <= self._next + _MAX_SKIP:
            self._rows = self.sheet.rows([self._name], number)
        for at, row in self._rows:
            if at == number:
                self._next = number + 1
                return None if isinstance(row, MalformedRow) else row[self._name]
        self._next = -_MAX_SKIP - 1
        raise MediaError(SkipReason.VANISHED, "the table has no such row any more")


@dataclass(slots=True)
class _EntryBuilder:
    """Converts a table's rows to entries.

    ``file_rows`` counts rows that name files, ``missing_files`` those whose file does not exist.
    """

    container: bytes
    folder: bytes
    stat: FileStat
    beside: SidecarFinder
    file_rows: int = 0
    missing_files: int = 0

    def entry(
        self, sheet: Sheet, roles: ColumnRoles, number: int, row: Row | MalformedRow
    ) -> FoundImage | UnreachableEntry:
        at = str(number).encode()
        if isinstance(row, MalformedRow):
            return self._unreachable(at, SkipReason.CORRUPT, row.message)
        picture = row[roles.image.name]
        if isinstance(picture, dict):
            picture = picture.get("bytes") or picture.get("path")
        if not picture:
            return self._unreachable(at, SkipReason.EMPTY_FILE, "the cell is empty")
        if isinstance(picture, bytes):
            image = FoundImage(member_path(self.container, at), self.stat, _Bytes(picture))
        elif isinstance(picture, str):
            target = self._locate(at, picture)
            if isinstance(target, UnreachableEntry):
                return target
            image = target
        else:
            return self._unreachable(at, SkipReason.CORRUPT, f"neither text nor bytes: {picture!r:.80}")
        cells = {name: sheet.scalar(row[name]) for name in roles.extra}
        extra = {name: value for name, value in cells.items() if value is not None}
        caption = None if roles.caption is None else format_caption(row[roles.caption])
        return replace(image, caption=caption, extra=extra)

    def _locate(self, at: bytes, text: str) -> FoundImage | UnreachableEntry:
        try:
            location = os.fsencode(text.strip())
        except UnicodeEncodeError:
            location = b""
        if not location or b"\0" in location or len(location) > _MAX_LOCATION:
            return self._unreachable(at, SkipReason.CORRUPT, f"no path: {text[:40]!r}")
        path = member_path(self.container, at, location)
        is_file = not is_url(join(self.folder, location))
        if is_file and is_url(self.folder):
            return self._unreachable(
                at, SkipReason.FORBIDDEN_ADDRESS, "a table elsewhere names no files of this machine"
            )
        self.file_rows += is_file
        try:
            image = _resolve_reference(path, self.folder, location)
            return self.beside.add(image, image.where.full) if is_file else image
        except MediaError as error:
            self.missing_files += error.reason == SkipReason.VANISHED
            return UnreachableEntry(path, SkipReason(error.reason), str(error))
        except OSError as error:
            return UnreachableEntry(path, SkipReason.UNREADABLE, str(error.strerror))

    def _unreachable(self, at: bytes, reason: SkipReason, message: str) -> UnreachableEntry:
        return UnreachableEntry(member_path(self.container, at), reason, message, self.stat)


def parse_row_number(text: bytes) -> int:
    """Parse the row number in a place. Raises MediaError (``VANISHED``) for any other text."""
    if not text.isdigit() or len(text) > _MAX_DIGITS:
        raise MediaError(SkipReason.VANISHED, "the table has no such row")
    return int(text)


def _resolve_reference(path: bytes, folder: bytes, location: bytes) -> FoundImage:
    """Locate what a row names. Raises MediaError (``VANISHED``, ``NOT_A_FILE``, ``NOT_AN_IMAGE``), OSError."""
    full = join(folder, location)
    if is_url(full):
        return FoundImage(path, WEB_STAT, _Address(full))
    image = find_file(path, full)
    check_file_allowed(full, folder)
    return replace(image, where=_File(full))


def format_caption(cell: Any) -> str | None:
    """Format a cell as a one-line caption, joining a list of captions."""
    text = " / ".join(filter(None, cell)) if isinstance(cell, list) else cell
    return " ".join(str(text).split())[:_MAX_CAPTION] or None if text is not None else None
