"""Write an image folder: pictures and a ``metadata.jsonl``, as read by the library ``datasets``.

Pictures are in ``images/``, or in one folder per value of a column (``classes``), as torchvision and Keras read them.
"""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Any, BinaryIO, Final

import pyarrow as pa

from imseek.errors import UsageError, did_you_mean
from imseek.exports import card
from imseek.exports.base import ExportJob, WriteResult
from imseek.exports.file_copies import FileCopies
from imseek.exports.picture_reader import PictureReader, Row
from imseek.exports.selection import Selection

_TABLE: Final = "metadata.jsonl"
_PICTURES: Final = "images"
#: The column for the class, unless the collection has a column of this name.
_LABEL: Final = "label"
#: Leading bytes of the table from which ``datasets`` infers the columns.
SCHEMA_BYTES: Final = 10 << 20
#: Number of renamed folders listed in the notes.
_MAX_LISTED: Final = 10
#: Folder of images without a value.
UNCLASSIFIED: Final = "none"
TAGS: Final = "tags"
#: ``datasets`` takes these words in a folder name for the name of a split.
_SPLIT_WORDS: Final = "train training validation valid dev val test testing eval evaluation"
#: Reserved file names on Windows.
_WINDOWS_DEVICES: Final = "con prn aux nul " + " ".join(f"com{n} lpt{n}" for n in range(10))
#: Longest folder name in bytes.
_MAX_NAME_BYTES: Final = 100


def write(job: ExportJob) -> WriteResult:
    """Write the folder. Raises UsageError if ``classes`` is not a column of strings or integers."""
    by = job.options.classes
    if by is not None:
        check_class_column(job.selection, by)
    pictures, copies, folders = PictureReader(job), FileCopies(job), ClassFolders()
    multi_tagged = images = 0
    with (job.path / _TABLE).open("xb") as file:
        table = MetadataTable(file)
        for row, picture in pictures:
            folder, label = _PICTURES, {}
            if by is not None:
                values = class_values(row, by)
                multi_tagged += len(values) > 1
                folder = folders.of(values[0] if values else None)
                label = {_LABEL: values[0]} if values else {}
            (job.path / folder).mkdir(exist_ok=True)
            table.add({"file_name": copies.add(folder, row, picture), **label, **row})
            images += 1
    (job.path / card.NAME).write_text(card.render_card(job, "**"), "utf-8")
    notes = list(copies.notes())
    if multi_tagged:
        notes.append(f"{multi_tagged:,} images have several tags: each lies in the folder of the first by name")
    renames = folders.renames()
    notes += [f"the folder of {value!r} is called {name!r}" for value, name in renames[:_MAX_LISTED]]
    if len(renames) > _MAX_LISTED:
        notes.append(f"{len(renames) - _MAX_LISTED:,} more folders are called otherwise than their values")
    if table.late:
        notes.append(
            f"`datasets` looks for columns in the first {SCHEMA_BYTES >> 20} MB of {_TABLE}, and does not see "
            f"{', '.join(sorted(table.late))}: name them in features="
        )
    return WriteResult(images, copies.linked, tuple(pictures.skipped), tuple(notes))


class MetadataTable:
    """Writes JSON Lines. ``late`` are columns missing from the first lines, from which readers infer the columns."""

    def __init__(self, file: BinaryIO, schema_bytes: int = SCHEMA_BYTES) -> None:
        self._file = file
        self._schema_bytes = schema_bytes
        self._columns: set[str] = set()
        self.late: set[str] = set()

    def add(self, row: Row) -> None:
        if self._file.tell() < self._schema_bytes:
            self._columns |= row.keys()
        else:
            self.late |= row.keys() - self._columns
        self._file.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")


def check_class_column(selection: Selection, by: str) -> None:
    """Raise UsageError if a column cannot serve as class."""
    if by == TAGS:
        return
    candidates = [field.name for field in selection.schema if _can_be_class(field.type)]
    if by not in candidates:
        is_column = by in selection.schema.names
        raise UsageError(
            f"the column {by!r} holds neither words nor whole numbers" if is_column else f"there is no column {by!r}",
            hint=did_you_mean(by, [TAGS, *candidates]),
        )


def class_values(row: Row, by: str) -> list[str]:
    """Return the values of a column as strings: several for tags."""
    value: Any = row.get(by)
    if value is None:
        return []
    return [str(entry) for entry in value] if isinstance(value, list) else [str(value)]


class ClassFolders:
    """Assigns a folder to each class: a name that is safe on every file system and unique regardless of case."""

    def __init__(self) -> None:
        self._names: dict[str | None, str] = {None: UNCLASSIFIED}
        self._used_names = {UNCLASSIFIED}

    def of(self, value: str | None) -> str:
        if value not in self._names:
            assert value is not None
            plain = safe_folder_name(value)
            name, n = plain, 2
            while name.casefold() in self._used_names:
                name, n = f"{plain}~{n}", n + 1
            self._names[value] = name
            self._used_names.add(name.casefold())
        return self._names[value]

    def renames(self) -> list[tuple[str, str]]:
        """Return the values whose folders have other names."""
        return [(value, name) for value, name in self._names.items() if value is not None and value != name]


def safe_folder_name(value: str) -> str:
    """Return a safe folder name of letters, digits, spaces, ``-``, ``_`` and ``~``; never empty, hidden or a parent.

    A ``~`` is appended to the words in :data:`_SPLIT_WORDS` and to Windows device names.
    """
    plain = unicodedata.normalize("NFC", value)
    plain = "".join(c if c.isalnum() or c in " -_" or unicodedata.combining(c) else "_" for c in plain).strip()
    plain = plain.encode()[:_MAX_NAME_BYTES].decode(errors="ignore").strip() or "_"
    if plain.casefold() in _WINDOWS_DEVICES.split():
        return f"{plain}~"
    # An extra letter makes it another word.
    return re.sub(r"[^-_ 0-9]+", lambda word: word[0] + "~" * (word[0] in _SPLIT_WORDS.split()), plain)


def _can_be_class(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind))
