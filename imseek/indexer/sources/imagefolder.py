"""A folder of pictures with metadata: labels in folder names, rows of ``metadata`` tables.

The layout is that of the library ``datasets``. Places, stats and changes are those of a plain folder.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from imseek.errors import MediaError
from imseek.indexer.sources.base import (
    Container,
    Content,
    FoundImage,
    Scalar,
    SidecarContent,
    UnreachableEntry,
)
from imseek.indexer.sources.column_roles import find_caption_column, select_extra_columns
from imseek.indexer.sources.detect import METADATA_FILES, SPLITS
from imseek.indexer.sources.filters import Filter
from imseek.indexer.sources.folder import Folder, place_in
from imseek.indexer.sources.local_files import FileOpener, open_binary
from imseek.indexer.sources.table import format_caption
from imseek.indexer.sources.tables import open_sheet
from imseek.indexer.sources.tables.base import Kind, MalformedRow, Sheet
from imseek.types.pictures import display_path


@dataclass(frozen=True, slots=True)
class _MetadataRow:
    """A picture's metadata from a table row."""

    caption: str | None = None
    extra: Mapping[str, Scalar] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Annotations:
    """Metadata known before a picture is read."""

    labels: Mapping[str, Scalar]
    row: _MetadataRow


class ImageFolder:
    """A folder source with metadata files.

    They take precedence over texts beside a picture, and those over the picture itself. ``caption_column`` names the
    caption column of the metadata files.
    """

    threads = 0

    def __init__(
        self,
        root: bytes,
        *,
        choose: Filter | None = None,
        follow_symlinks: bool = False,
        below: bytes = b"",
        inside: frozenset[bytes] = frozenset(),
        caption_column: str | None = None,
        read_ns: int = 0,
        opener: FileOpener | None = None,
    ) -> None:
        self._root = root
        self._folder = Folder(
            root,
            choose=choose,
            follow_symlinks=follow_symlinks,
            below=below,
            inside=inside,
            opener=opener,
        )
        self._caption_column = caption_column
        self._read_ns = read_ns
        self._row_of: dict[bytes, _MetadataRow] = {}
        self._covered: set[bytes] = set()
        self.notes: list[str] = []

    def trouble(self) -> str | None:
        return self._folder.trouble()

    def scan(self) -> Iterator[FoundImage | Container | UnreachableEntry]:
        """Scan the folder, then read metadata files: only then can rows that name missing pictures be counted."""
        pictures: set[bytes] = set()
        for entry in self._folder.scan():
            if isinstance(entry, FoundImage):
                pictures.add(entry.path)
            yield entry
        self.notes += self._folder.notes
        above = {b""}
        for path in pictures:
            while (path := os.path.dirname(path)) not in above:
                above.add(path)
        for folder in sorted(above):
            for name in METADATA_FILES:
                path = os.path.join(folder, os.fsencode(name))
                if os.path.isfile(place_in(self._root, path)):
                    self._covered.add(folder)
                    self._read(path, pictures)
                    self._note_change(place_in(self._root, path))

    def expand(self, container: Container) -> Iterator[FoundImage | UnreachableEntry]:
        return iter(())

    def load(self, image: FoundImage) -> Content:
        plain, labels = self._plain(image)
        content = self._folder.load(plain)
        return replace(content, extra={**labels, **content.extra})

    def load_sidecars(self, image: FoundImage) -> SidecarContent:
        return self._folder.load_sidecars(self._plain(image)[0])

    def portable(self, image: FoundImage) -> FoundImage | Content:
        """Add what the metadata files say of the picture, which only a scan has read."""
        return replace(image, where=self._annotations_of(image))

    def find(self, path: bytes) -> FoundImage:
        image = self._folder.find(path)
        return replace(image, where=_Annotations({}, _MetadataRow()))

    def is_gone(self, path: bytes) -> bool:
        return self._folder.is_gone(path)

    def close(self) -> None:
        self._folder.close()

    def _plain(self, image: FoundImage) -> tuple[FoundImage, Mapping[str, Scalar]]:
        """Return a picture as the plain folder has it, with what metadata files state, and what folder names say."""
        metadata = image.where if isinstance(image.where, _Annotations) else self._annotations_of(image)
        row = metadata.row
        return replace(image, where=None, caption=row.caption, extra=row.extra), metadata.labels

    def _annotations_of(self, image: FoundImage) -> _Annotations:
        return _Annotations(self._folder_labels(image.path), self._row_of.get(image.path, _MetadataRow()))

    def _folder_labels(self, path: bytes) -> dict[str, Scalar]:
        """Return what folder names say: the split, and the label unless a metadata file covers the folder."""
        parts = path.split(b"/")[:-1]
        labels: dict[str, Scalar] = {}
        if parts and os.fsdecode(parts[0]) in SPLITS:
            labels["split"] = os.fsdecode(parts[0])
            parts = parts[1:]
        if parts and not self._is_covered(path):
            labels["label"] = os.fsdecode(parts[-1])
        return labels

    def _is_covered(self, path: bytes) -> bool:
        folders = path.split(b"/")[:-1]
        return any(b"/".join(folders[:n]) in self._covered for n in range(len(folders), -1, -1))

    def _read(self, path: bytes, pictures: set[bytes]) -> None:
        """Read one metadata file; files further down are read later and take precedence."""
        full = place_in(self._root, path)
        missing = malformed = 0
        try:
            with open_sheet(full, open_binary(full)) as sheet:
                for names, row in self._rows(sheet, full):
                    if row is None:
                        malformed += 1
                        continue
                    for name in names:
                        picture = os.path.normpath(os.path.join(os.path.dirname(path), name))
                        if picture in pictures:
                            self._row_of[picture] = row
                        else:
                            missing += not os.path.isfile(place_in(self._root, picture))
        except (MediaError, OSError) as error:
            self.notes.append(f"{display_path(full)}: {getattr(error, 'strerror', None) or error}")
        for count, problem in ((missing, "name files that are not there"), (malformed, "cannot be read")):
            if count:
                self.notes.append(f"{display_path(full)}: rows that {problem}: {count:,}")

    def _note_change(self, full: bytes) -> None:
        """Warn of a changed metadata file: its rows were stored with their pictures, so the change has no effect."""
        with contextlib.suppress(OSError):
            if 0 < self._read_ns < os.stat(full).st_mtime_ns:
                self.notes.append(
                    f"{display_path(full)} has changed: what it says of pictures that are known already is not taken "
                    "over, with --rehash neither (remove the source and index it again)"
                )

    def _rows(self, sheet: Sheet, full: bytes) -> Iterator[tuple[list[bytes], _MetadataRow | None]]:
        """Yield the pictures that each row names, and their metadata; None for an unreadable row."""
        text = [column.name for column in sheet.columns if column.kind is Kind.TEXT]
        names = [name for name in text if name == "file_name" or name.endswith("_file_name")]
        location = display_path(full)
        if not names:
            self.notes.append(f"{location}: it has no column file_name, so nothing is taken from it")
            return
        caption = self._caption_column or find_caption_column(sheet.columns)
        if caption not in {column.name for column in sheet.columns}:
            caption = None
        extra, notes = select_extra_columns([c for c in sheet.columns if c.name not in (*names, caption)])
        self.notes += [f"{location}: {note}" for note in notes]
        for _, row in sheet.rows([*names, *([] if caption is None else [caption]), *extra]):
            if isinstance(row, MalformedRow):
                yield [], None
                continue
            values = {name: value for name in extra if (value := sheet.scalar(row[name])) is not None}
            caption_text = None if caption is None else format_caption(row[caption])
            yield [_path(row[name]) for name in names if row[name]], _MetadataRow(caption_text, values)


def _path(cell: Any) -> bytes:
    """Encode a cell as a path; one that cannot be a file name becomes a name that no file has."""
    try:
        return os.fsencode(str(cell))
    except UnicodeEncodeError:
        return str(cell).encode("utf-8", "backslashreplace")
