"""Write the documents of images into the catalog, in the transaction of the change that they belong to.

The words of a document never change: what replaces it is a new one, and the old one ends with the generation before.
Documents are numbered in the order of their generations. Those of images that were stored before there were documents
are added by the next writer, in one transaction (:func:`fill`).
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from imseek.data import layout
from imseek.data.catalog import shard_catalog
from imseek.data.catalog.catalog_writer import find_meta, set_meta
from imseek.data.catalog.place_paths import base_folder
from imseek.data.catalog.sql import Connection, column, execute_in, insert, scalar, select_in
from imseek.data.catalog.sqlite import word_index
from imseek.data.collection_records import FOREVER
from imseek.data.shards import shard_files
from imseek.data.words.analysis import add_last_characters, document_tokens, full_name, limit_tokens, name_tokens
from imseek.data.words.values import FIELDS, FOLDER, INDEXED, LATEST_RULES, RULES, Document
from imseek.errors import CorruptCollectionError

#: Kind of the problems that ``verify`` finds with documents.
KIND: Final = "words"

#: Documents written at a time.
_BATCH: Final = 5_000
#: Maximum characters of a written text that are stored.
MAX_WRITTEN: Final = 1 << 16
#: Intrinsic columns of images by the column of their document.
_COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {"captions": ("caption", "title"), "keywords": ("keywords", "people")}

#: An image, the source and path of its place, and its intrinsic columns.
_Placed = tuple[int, int, bytes, Mapping[str, Any]]


def add(connection: Connection, generation: int, images: Iterable[_Placed]) -> None:
    """Add the documents of images with their places and metadata, ending those that they had."""
    entries = list(images)
    roots = _roots(connection)
    end(connection, generation, [image_id for image_id, *_ in entries])
    _insert(
        connection,
        generation,
        {i: make_document(roots.get(source_id, b""), path, row) for i, source_id, path, row in entries},
    )


def rename(connection: Connection, generation: int, places: Iterable[tuple[int, int, bytes]]) -> None:
    """Give the documents of images the names of their new places (image, source, path)."""
    roots = _roots(connection)
    names = {i: _names(roots.get(source_id, b""), path) for i, source_id, path in places}
    _replace(connection, generation, names, "names")


def has_folder_name(connection: Connection, root: Path) -> bool:
    """Whether documents hold the current name of the folder around the collection at ``root``."""
    return find_meta(connection, FOLDER) == _folder_name(root)


def note_folder(connection: Connection, root: Path) -> None:
    """Record the name of the folder that the collection at ``root`` lies in, for documents that are made later."""
    set_meta(connection, FOLDER, _folder_name(root))


def _folder_name(root: Path) -> str:
    return os.path.basename(base_folder(root)).decode(errors="replace")


def replace_column(connection: Connection, generation: int, column: str, tokens: Mapping[int, Sequence[str]]) -> int:
    """Replace one column of the documents of live images by these tokens; return how many documents changed.

    ``column`` is one of :data:`FIELDS`. Call it in the change that stores what the tokens were taken from. Images
    that are not live are skipped.
    """
    if column not in FIELDS:
        raise ValueError(f"a document has no column {column!r}")
    return _replace(connection, generation, {i: _join(limit_tokens(words)) for i, words in tokens.items()}, column)


def replace_texts(connection: Connection, generation: int, texts: Mapping[int, str | None]) -> None:
    """Replace the texts in the pictures of live images, in the change that stores them (None: there is no text)."""
    replace_column(connection, generation, "text", {i: document_tokens(text or "") for i, text in texts.items()})
    _set_written(connection, texts)


def _set_written(connection: Connection, texts: Mapping[int, str | None]) -> None:
    """Set the written texts of the live documents of images."""
    connection.executemany(
        "UPDATE documents SET written = ? WHERE image_id = ? AND died = ?",
        [(_as_written(text or ""), image_id, FOREVER) for image_id, text in sorted(texts.items())],
    )


def _as_written(text: str) -> str:
    # PostgreSQL stores no NUL.
    return text[:MAX_WRITTEN].replace("\0", " ")


def refresh(connection: Connection, generation: int, root: Path, image_ids: Sequence[int]) -> None:
    """Replace captions and keywords in the documents of stored images with those that their shards' tables now have.

    Call it in the change that has published these tables.
    """
    for shard_id, ids in shard_catalog.ids_by_shard(connection, image_ids).items():
        rows = _shard_rows(connection, root, shard_id, ids)
        for name, columns in _COLUMNS.items():
            tokens = {image_id: document_tokens(_text_of(row, columns)) for image_id, row in rows.items()}
            replace_column(connection, generation, name, tokens)


def end(connection: Connection, generation: int, image_ids: Sequence[int]) -> None:
    """End the documents of images."""
    statement = "UPDATE documents SET died = ? WHERE image_id IN (??) AND died = ?"
    execute_in(connection, statement, generation, list(image_ids), FOREVER)


def make_document(root: bytes, path: bytes, metadata: Mapping[str, Any], text: str = "") -> Document:
    """Return the document of an image in a source at ``root``, with these intrinsic columns and text in its picture."""
    columns = {name: _join(document_tokens(_text_of(metadata, columns))) for name, columns in _COLUMNS.items()}
    tokens = _join(document_tokens(text))
    return Document(names=_names(root, path), text=tokens, written=_as_written(text), **columns)


def _names(root: bytes, path: bytes) -> str:
    """Return the tokens of a place: those of its source's name that its path lacks, then those of its path."""
    tail = name_tokens(path)
    tokens = name_tokens(full_name(root, path))
    source = tokens[: len(tokens) - len(tail)] if tail and tokens[-len(tail) :] == tail else []
    return _join(limit_tokens([*(token for token in source if token not in tail), *tail])) if source else _join(tokens)


def _text_of(metadata: Mapping[str, Any], columns: Iterable[str]) -> str:
    values = (metadata.get(column) for column in columns)
    return "\n".join(
        "\n".join(map(str, value)) if isinstance(value, list | tuple) else str(value) for value in values if value
    )


def _replace(connection: Connection, generation: int, values: Mapping[int, str], column: str) -> int:
    query = (
        f"SELECT i.image_id, {', '.join(Document._fields)} FROM images i "  # noqa: S608
        "LEFT JOIN documents d ON d.image_id = i.image_id AND d.died = ? "
        "WHERE i.image_id IN (??) AND i.died = ?"
    )
    changed: dict[int, Document] = {}
    for image_id, *fields in select_in(connection, query, FOREVER, sorted(values), FOREVER):
        document = Document(*(field or "" for field in fields))
        if fields[0] is None or getattr(document, column) != values[image_id]:
            changed[image_id] = document._replace(**{column: values[image_id]})
    end(connection, generation, list(changed))
    _insert(connection, generation, changed)
    return len(changed)


def _insert(connection: Connection, generation: int, documents: Mapping[int, Document]) -> None:
    if not documents:
        return
    last = _last(connection)
    insert(
        connection,
        "documents",
        [
            {"document_id": last + n, "image_id": i, **documents[i]._asdict(), "born": generation, "died": FOREVER}
            for n, i in enumerate(sorted(documents), start=1)
        ],
    )
    update_index(connection)


def _last(connection: Connection) -> int:
    return int(scalar(connection, "SELECT COALESCE(MAX(document_id), 0) FROM documents"))


# -- the index -------------------------------------------------------------------------------------------------------


def update_index(connection: Connection) -> None:
    """Add the documents that the index lacks, and record the last one that it holds."""
    indexed = find_meta(connection, INDEXED)
    last = _last(connection)
    if indexed is None or int(indexed) == last:  # Without it there may be images without a document: see ``fill``.
        return
    is_indexed = connection.dialect != "sqlite" or word_index.add_documents(connection, int(indexed))
    set_meta(connection, INDEXED, last if is_indexed else 0)


def rebuild_index(connection: Connection) -> None:
    """Rebuild the index from the documents, unless there are images without one."""
    if is_filled(connection):
        is_indexed = connection.dialect != "sqlite" or word_index.add_documents(connection, 0)
        set_meta(connection, INDEXED, _last(connection) if is_indexed else 0)


def forget_index(connection: Connection) -> None:
    """Have the next writer look for images without a document, and rebuild the index."""
    connection.execute("DELETE FROM meta WHERE name = ?", (INDEXED,))


def delete_dead(connection: Connection) -> int:
    """Delete documents that have ended, from the index too; return how many. Their bytes stay in free pages."""
    deleted = connection.execute("DELETE FROM documents WHERE died <> ?", (FOREVER,)).rowcount
    if deleted:
        rebuild_index(connection)
    return int(deleted)


# -- documents of images that have none ------------------------------------------------------------------------------


def is_filled(connection: Connection) -> bool:
    """Whether all live images have documents, according to the catalog."""
    return find_meta(connection, INDEXED) is not None


def is_current(connection: Connection) -> bool:
    """Whether the latest rules made all documents."""
    rules = find_meta(connection, RULES)
    return int(rules or 1) >= LATEST_RULES


def renew(connection: Connection, generation: int, root: Path) -> None:
    """Replace live documents that were made by earlier rules, from their own tokens, and add written texts."""
    # As bytes: a damaged row must not keep a repair from its work.
    columns = ", ".join(f"CAST({name} AS BLOB)" if connection.dialect == "sqlite" else name for name in FIELDS)
    query = (
        f"SELECT document_id, image_id, {columns} FROM documents "  # noqa: S608
        "WHERE document_id > ? AND document_id <= ? AND died = ? ORDER BY document_id LIMIT ?"
    )
    number, last = 0, _last(connection)
    while rows := connection.execute(query, (number, last, FOREVER, _BATCH)).fetchall():
        number = rows[-1][0]
        changed = {}
        for _, image_id, *fields in rows:
            texts = [text.decode(errors="replace") if isinstance(text, bytes) else text for text in fields]
            if not all(map(str.isascii, texts)):
                document = Document(*(_join(limit_tokens(add_last_characters(text.split(" ")))) for text in texts))
                if document != Document(*texts):
                    changed[image_id] = document
        end(connection, generation, list(changed))
        _insert(connection, generation, changed)
    _add_written(connection, root)
    set_meta(connection, RULES, LATEST_RULES)


def _add_written(connection: Connection, root: Path) -> None:
    """Add the written texts of live documents that have the words of one, from the tables of their shards."""
    query = "SELECT image_id FROM documents WHERE died = ? AND text <> '' AND written = '' ORDER BY image_id"
    for shard_id, ids in shard_catalog.ids_by_shard(connection, column(connection, query, (FOREVER,))).items():
        rows = _shard_rows(connection, root, shard_id, ids)
        _set_written(connection, {image_id: row.get("text") for image_id, row in rows.items()})


def fill(connection: Connection, generation: int, root: Path) -> None:
    """Add the documents of all live images without one, end those that are out of place, and make the index anew.

    Names are those of their places; captions, keywords and text come from the tables of their shards. Where a table is
    damaged, its images get names only, until a repair gives up the shard and they are indexed again.
    """
    connection.execute(
        "UPDATE documents SET died = ? WHERE died = ? AND NOT ("
        "image_id IN (SELECT image_id FROM images WHERE died = ?) "
        "AND document_id IN (SELECT MAX(document_id) FROM documents WHERE died = ? GROUP BY image_id))",
        (generation, FOREVER, FOREVER, FOREVER),
    )
    forget_index(connection)  # It is made once, at the end.
    roots = _roots(connection)
    bare = (
        "SELECT shard_id, image_id FROM images i WHERE died = ? "
        "AND NOT EXISTS (SELECT 1 FROM documents d WHERE d.image_id = i.image_id AND d.died = ?) ORDER BY image_id"
    )
    by_shard: dict[int | None, list[int]] = {}
    for shard_id, image_id in connection.execute(bare, (FOREVER, FOREVER)):
        by_shard.setdefault(shard_id, []).append(image_id)
    for shard_id in sorted(by_shard, key=lambda number: -1 if number is None else number):
        ids = by_shard[shard_id]
        rows = {} if shard_id is None else _shard_rows(connection, root, shard_id, ids)
        for start in range(0, len(ids), _BATCH):
            batch = ids[start : start + _BATCH]
            places = _places(connection, batch)
            documents = {}
            for image_id in batch:
                source_id, path = places.get(image_id, (-1, b""))
                row = rows.get(image_id, {})
                documents[image_id] = make_document(roots.get(source_id, b""), path, row, row.get("text") or "")
            _insert(connection, generation, documents)
    if not is_current(connection):
        renew(connection, generation, root)
    set_meta(connection, INDEXED, 0)
    rebuild_index(connection)


def find_problem(connection: Connection, is_trusted: bool) -> str | None:
    """Describe how the documents differ from the images, or the index from the documents; None where they agree.

    The connection may be to a copy. SQLite checks the index of trusted collections only.
    """
    indexed = find_meta(connection, INDEXED)
    if indexed is None:  # The next writer makes them.
        return None
    bare = (
        "SELECT COUNT(*) FROM images WHERE died = ? AND image_id NOT IN (SELECT image_id FROM documents WHERE died = ?)"
    )
    stray = (
        "SELECT COUNT(*) FROM documents WHERE died = ? AND image_id NOT IN (SELECT image_id FROM images WHERE died = ?)"
    )
    several = (
        "SELECT COUNT(*) FROM (SELECT image_id FROM documents WHERE died = ? GROUP BY image_id HAVING COUNT(*) > 1) s"
    )
    for query, values, fault in (
        (bare, (FOREVER, FOREVER), "images have no document of their words"),
        (stray, (FOREVER, FOREVER), "documents belong to no image"),
        (several, (FOREVER,), "images have more than one document of their words"),
    ):
        if count := int(scalar(connection, query, values)):
            return f"{count} {fault}"
    if connection.dialect == "sqlite" and is_trusted and int(indexed):
        if int(indexed) != _last(connection):
            return "the index of words holds other documents than the catalog"
        return word_index.find_index_fault(connection)
    return None


def _shard_rows(connection: Connection, root: Path, shard_id: int, ids: Collection[int]) -> dict[int, dict[str, Any]]:
    """Return the columns that documents are made of, by image; without those of damaged or missing tables."""
    query = "SELECT path FROM files WHERE died = ? AND shard_id = ? AND kind = 'column' ORDER BY path"
    derived = column(connection, query, (FOREVER, shard_id))
    columns = {"text", *chain.from_iterable(_COLUMNS.values())}
    rows: dict[int, dict[str, Any]] = {}
    for path in (layout.metadata(shard_id), *derived):
        with suppress(OSError, CorruptCollectionError):
            table = shard_files.load_table(root, path)
            names = ["image_id", *sorted(columns & set(table.column_names))]
            if path == layout.metadata(shard_id):
                names = [name for name in names if name != "text"]
            if len(names) > 1:
                is_requested = np.isin(table.column("image_id").to_numpy(), [*ids])
                for row in table.select(names).filter(pa.array(is_requested)).to_pylist():
                    values = {name: value for name, value in row.items() if value is not None}
                    rows.setdefault(row["image_id"], {}).update(values)
    return rows


def _places(connection: Connection, image_ids: Sequence[int]) -> dict[int, tuple[int, bytes]]:
    query = "SELECT image_id, source_id, path FROM places WHERE image_id IN (??) AND died = ?"
    rows = select_in(connection, query, list(image_ids), FOREVER)
    return {image_id: (source_id, path) for image_id, source_id, path in rows}


def _roots(connection: Connection) -> dict[int, bytes]:
    """Return the roots of all sources as recorded: their last part is the name of the folder or file.

    That of the folder which a collection lies in is its name when it was last indexed.
    """
    folder = find_meta(connection, FOLDER) or ""
    query = "SELECT source_id, root, relative FROM sources"
    return {
        source_id: folder.encode() if relative and not root else bytes(root)
        for source_id, root, relative in connection.execute(query)
    }


def _join(tokens: Iterable[str]) -> str:
    return " ".join(tokens)
