"""Write the documents of images into the catalog, in the transaction of the change that they belong to.

The words of a document never change: what replaces it is a new one, and the old one ends with the generation before.
Documents
are numbered in the order of their generations. Those of images that were stored before there were documents are added
by the next writer, in one transaction (:func:`fill`).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
from sqlalchemy import Connection, LargeBinary, bindparam, cast, delete, exists, func, insert, select, update

from imseek.data import layout
from imseek.data.catalog import schema as t
from imseek.data.catalog.catalog import find_meta, live, set_meta
from imseek.data.catalog.places import base_folder
from imseek.data.catalog.schema import FOREVER
from imseek.data.catalog.sqlite import word_index
from imseek.data.shards import shard_files
from imseek.data.words.analysis import add_last_characters, document_tokens, full_name, limit_tokens, name_tokens
from imseek.data.words.values import FIELDS, FOLDER, INDEXED, LATEST_RULES, RULES, Document
from imseek.errors import CorruptCollectionError

#: Kind of the problems that ``verify`` finds with documents.
KIND: Final = "words"

#: Images per statement, below SQLite's limit on variables in every build.
_CHUNK: Final = 500
#: Documents written at a time.
_BATCH: Final = 5_000
#: Characters of a written text that are stored at most.
MAX_WRITTEN: Final = 1 << 16
#: Intrinsic columns of images by the column of their document.
_COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {"captions": ("caption", "title"), "keywords": ("keywords", "people")}

#: An image, the source and path of its place, and its intrinsic columns.
_Placed = tuple[int, int, bytes, Mapping[str, Any]]


def add(connection: Connection, generation: int, images: Iterable[_Placed]) -> None:
    """Add the documents of images with their places and metadata, ending those that they had."""
    placed = list(images)
    roots = _roots(connection)
    end(connection, generation, [image_id for image_id, *_ in placed])
    _insert(
        connection,
        generation,
        {i: make_document(roots.get(source_id, b""), path, row) for i, source_id, path, row in placed},
    )


def rename(connection: Connection, generation: int, places: Iterable[tuple[int, int, bytes]]) -> None:
    """Give the documents of images the names of their new places (image, source, path)."""
    roots = _roots(connection)
    names = {i: _names(roots.get(source_id, b""), path) for i, source_id, path in places}
    _replace(connection, generation, names, "names")


def has_folder_name(connection: Connection, root: Path) -> bool:
    """Whether documents have the name of the folder that the collection at ``root`` lies in."""
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
    return _replace(connection, generation, {i: _joined(limit_tokens(found)) for i, found in tokens.items()}, column)


def replace_texts(connection: Connection, generation: int, texts: Mapping[int, str | None]) -> None:
    """Replace the texts in the pictures of live images, in the change that stores them (None: there is no text)."""
    replace_column(connection, generation, "text", {i: document_tokens(text or "") for i, text in texts.items()})
    _set_written(connection, texts)


def _set_written(connection: Connection, texts: Mapping[int, str | None]) -> None:
    """Set the written texts of the live documents of images."""
    d = t.documents.c
    rows = [{"image": i, "text_of_image": _as_written(text or "")} for i, text in sorted(texts.items())]
    mine = update(t.documents).where(d.image_id == bindparam("image"), live(t.documents))
    if rows:
        connection.execute(mine.values(written=bindparam("text_of_image")), rows)


def _as_written(text: str) -> str:
    # PostgreSQL stores no NUL.
    return text[:MAX_WRITTEN].replace("\0", " ")


def refresh(connection: Connection, generation: int, root: Path, image_ids: Sequence[int]) -> None:
    """Replace captions and keywords in the documents of stored images by what the tables of their shards say now.

    Call it in the change that has published these tables.
    """
    i = t.images.c
    shards: dict[int, set[int]] = {}
    for chunk in _chunks(image_ids):
        query = select(i.shard_id, i.image_id).where(i.image_id.in_(chunk), live(t.images), i.shard_id.is_not(None))
        for shard_id, image_id in connection.execute(query):
            shards.setdefault(shard_id, set()).add(image_id)
    for shard_id, ids in shards.items():
        rows = _shard_rows(connection, root, shard_id, ids)
        for name, columns in _COLUMNS.items():
            tokens = {image_id: document_tokens(_text_of(row, columns)) for image_id, row in rows.items()}
            replace_column(connection, generation, name, tokens)


def end(connection: Connection, generation: int, image_ids: Sequence[int]) -> None:
    """End the documents of images."""
    for chunk in _chunks(image_ids):
        mine = t.documents.c.image_id.in_(chunk)
        connection.execute(update(t.documents).where(mine, live(t.documents)).values(died=generation))


def make_document(root: bytes, path: bytes, metadata: Mapping[str, Any], text: str = "") -> Document:
    """Return the document of an image in a source at ``root``, with these intrinsic columns and text in its picture."""
    columns = {name: _joined(document_tokens(_text_of(metadata, columns))) for name, columns in _COLUMNS.items()}
    tokens = _joined(document_tokens(text))
    return Document(names=_names(root, path), text=tokens, written=_as_written(text), **columns)


def _names(root: bytes, path: bytes) -> str:
    """Return the tokens of a place: those of its source's name that its path lacks, then those of its path."""
    own = name_tokens(path)
    whole = name_tokens(full_name(root, path))
    source = whole[: len(whole) - len(own)] if own and whole[-len(own) :] == own else []
    return _joined(limit_tokens([*(token for token in source if token not in own), *own])) if source else _joined(whole)


def _text_of(metadata: Mapping[str, Any], columns: Iterable[str]) -> str:
    values = (metadata.get(column) for column in columns)
    return "\n".join(
        "\n".join(map(str, value)) if isinstance(value, list | tuple) else str(value) for value in values if value
    )


def _replace(connection: Connection, generation: int, values: Mapping[int, str], column: str) -> int:
    d, i = t.documents.c, t.images.c
    changed: dict[int, Document] = {}
    for chunk in _chunks(sorted(values)):
        query = (
            select(i.image_id, *(d[name] for name in Document._fields))
            .select_from(t.images.outerjoin(t.documents, (d.image_id == i.image_id) & (d.died == FOREVER)))
            .where(i.image_id.in_(chunk), live(t.images))
        )
        for image_id, *fields in connection.execute(query):
            old = Document(*(field or "" for field in fields))
            if fields[0] is None or getattr(old, column) != values[image_id]:
                changed[image_id] = old._replace(**{column: values[image_id]})
    end(connection, generation, list(changed))
    _insert(connection, generation, changed)
    return len(changed)


def _insert(connection: Connection, generation: int, documents: Mapping[int, Document]) -> None:
    """Insert documents by image, and add them to the index."""
    if not documents:
        return
    last = _last(connection)
    connection.execute(
        insert(t.documents),
        [
            {"document_id": last + n, "image_id": i, **documents[i]._asdict(), "born": generation, "died": FOREVER}
            for n, i in enumerate(sorted(documents), start=1)
        ],
    )
    update_index(connection)


def _last(connection: Connection) -> int:
    return int(connection.execute(select(func.coalesce(func.max(t.documents.c.document_id), 0))).scalar_one())


# -- the index -------------------------------------------------------------------------------------------------------


def update_index(connection: Connection) -> None:
    """Add documents that it lacks to the index, and record up to which one it holds them."""
    indexed = find_meta(connection, INDEXED)
    last = _last(connection)
    if indexed is None or int(indexed) == last:  # Without it there may be images without a document: see ``fill``.
        return
    done = connection.dialect.name != "sqlite" or word_index.add_documents(connection, int(indexed))
    set_meta(connection, INDEXED, last if done else 0)


def rebuild_index(connection: Connection) -> None:
    """Make the index anew from the documents, unless there are images without one."""
    if is_filled(connection):
        done = connection.dialect.name != "sqlite" or word_index.add_documents(connection, 0)
        set_meta(connection, INDEXED, _last(connection) if done else 0)


def forget_index(connection: Connection) -> None:
    """Let the next writer look for images without a document, and make the index anew."""
    connection.execute(delete(t.meta).where(t.meta.c.name == INDEXED))


def delete_dead(connection: Connection) -> int:
    """Delete documents that have ended, from the index too; return how many. Their bytes stay in free pages."""
    deleted = connection.execute(delete(t.documents).where(t.documents.c.died != FOREVER)).rowcount
    if deleted:
        rebuild_index(connection)
    return int(deleted)


# -- documents of images that have none ------------------------------------------------------------------------------


def is_filled(connection: Connection) -> bool:
    """Whether all live images have documents, as far as this catalog's writers know."""
    return find_meta(connection, INDEXED) is not None


def is_current(connection: Connection) -> bool:
    """Whether the latest rules made all documents."""
    rules = find_meta(connection, RULES)
    return int(rules or 1) >= LATEST_RULES


def renew(connection: Connection, generation: int, root: Path) -> None:
    """Replace live documents that were made by earlier rules, from their own tokens, and add written texts."""
    d = t.documents.c
    # As bytes: a damaged row must not keep a repair from its work.
    columns = [cast(d[name], LargeBinary) if connection.dialect.name == "sqlite" else d[name] for name in FIELDS]
    query = select(d.document_id, d.image_id, *columns).order_by(d.document_id).limit(_BATCH)
    number, last = 0, _last(connection)
    while rows := connection.execute(
        query.where(d.document_id > number, d.document_id <= last, live(t.documents))
    ).all():
        number = rows[-1][0]
        changed = {}
        for _, image_id, *fields in rows:
            texts = [text.decode(errors="replace") if isinstance(text, bytes) else text for text in fields]
            if not all(map(str.isascii, texts)):
                now = Document(*(_joined(limit_tokens(add_last_characters(text.split(" ")))) for text in texts))
                if now != Document(*texts):
                    changed[image_id] = now
        end(connection, generation, list(changed))
        _insert(connection, generation, changed)
    _add_written(connection, root)
    set_meta(connection, RULES, LATEST_RULES)


def _add_written(connection: Connection, root: Path) -> None:
    """Add the written texts of live documents that have the words of one, from the tables of their shards."""
    d, i = t.documents.c, t.images.c
    query = (
        select(i.shard_id, i.image_id)
        .join(t.documents, (d.image_id == i.image_id) & (d.died == FOREVER))
        .where(live(t.images), d.text != "", d.written == "", i.shard_id.is_not(None))
    )
    shards: dict[int, set[int]] = {}
    for shard_id, image_id in connection.execute(query):
        shards.setdefault(shard_id, set()).add(image_id)
    for shard_id, ids in shards.items():
        rows = _shard_rows(connection, root, shard_id, ids)
        _set_written(connection, {image_id: row.get("text") for image_id, row in rows.items()})


def fill(connection: Connection, generation: int, root: Path) -> None:
    """Add the documents of all live images without one, end those that are out of place, and make the index anew.

    Names are those of their places; captions, keywords and text come from the tables of their shards. Where a table is
    damaged, its images get names only, until a repair gives up the shard and they are indexed again.
    """
    d, i = t.documents.c, t.images.c
    newest = select(func.max(d.document_id)).where(live(t.documents)).group_by(d.image_id)
    sound = d.image_id.in_(select(i.image_id).where(live(t.images))) & d.document_id.in_(newest)
    connection.execute(update(t.documents).where(live(t.documents), ~sound).values(died=generation))
    forget_index(connection)  # It is made once, at the end.
    roots = _roots(connection)
    bare = live(t.images) & ~exists(select(d.image_id).where(d.image_id == i.image_id, live(t.documents)))
    shards = connection.execute(select(i.shard_id).where(bare).distinct()).scalars().all()
    for shard_id in sorted(shards, key=lambda one: -1 if one is None else one):
        mine = i.shard_id.is_(None) if shard_id is None else i.shard_id == shard_id
        ids = connection.execute(select(i.image_id).where(bare, mine).order_by(i.image_id)).scalars().all()
        rows = {} if shard_id is None else _shard_rows(connection, root, shard_id, set(ids))
        for start in range(0, len(ids), _BATCH):
            batch = ids[start : start + _BATCH]
            places = _places(connection, batch)
            made = {}
            for image_id in batch:
                source_id, path = places.get(image_id, (-1, b""))
                row = rows.get(image_id, {})
                made[image_id] = make_document(roots.get(source_id, b""), path, row, row.get("text") or "")
            _insert(connection, generation, made)
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
    d, i = t.documents.c, t.images.c
    bare = select(func.count()).where(live(t.images), i.image_id.not_in(select(d.image_id).where(live(t.documents))))
    stray = select(func.count()).where(live(t.documents), d.image_id.not_in(select(i.image_id).where(live(t.images))))
    several = select(d.image_id).where(live(t.documents)).group_by(d.image_id).having(func.count() > 1)
    for query, fault in (
        (bare, "images have no document of their words"),
        (stray, "documents belong to no image"),
        (select(func.count()).select_from(several.subquery()), "images have more than one document of their words"),
    ):
        if count := int(connection.execute(query).scalar_one()):
            return f"{count} {fault}"
    if connection.dialect.name == "sqlite" and is_trusted and int(indexed):
        if int(indexed) != _last(connection):
            return "the index of words holds other documents than the catalog"
        return word_index.find_index_fault(connection)
    return None


def _shard_rows(connection: Connection, root: Path, shard_id: int, ids: set[int]) -> dict[int, dict[str, Any]]:
    """Return the columns that documents are made of, by image; without those of damaged or missing tables."""
    f = t.files.c
    derived = select(f.path).where(live(t.files), f.shard_id == shard_id, f.kind == "column").order_by(f.path)
    wanted = {"text", *(column for columns in _COLUMNS.values() for column in columns)}
    rows: dict[int, dict[str, Any]] = {}
    for path in (layout.metadata(shard_id), *connection.execute(derived).scalars()):
        with suppress(OSError, CorruptCollectionError):
            table = shard_files.load_table(root, path)
            names = ["image_id", *sorted(wanted & set(table.column_names))]
            if path == layout.metadata(shard_id):
                names = [name for name in names if name != "text"]
            if len(names) > 1:
                mine = np.isin(table.column("image_id").to_numpy(), [*ids])
                for row in table.select(names).filter(pa.array(mine)).to_pylist():
                    stated = {name: value for name, value in row.items() if value is not None}
                    rows.setdefault(row["image_id"], {}).update(stated)
    return rows


def _places(connection: Connection, image_ids: Sequence[int]) -> dict[int, tuple[int, bytes]]:
    p = t.places.c
    found: dict[int, tuple[int, bytes]] = {}
    for chunk in _chunks(image_ids):
        rows = connection.execute(select(p.image_id, p.source_id, p.path).where(p.image_id.in_(chunk), live(t.places)))
        found.update({image_id: (source_id, path) for image_id, source_id, path in rows})
    return found


def _roots(connection: Connection) -> dict[int, bytes]:
    """Return the roots of all sources as recorded: their last part is the name of the folder or file.

    That of the folder which a collection lies in is its name when it was last indexed.
    """
    s = t.sources.c
    folder = find_meta(connection, FOLDER) or ""
    query = select(s.source_id, s.root, s.relative)
    return {
        source_id: folder.encode() if relative and not root else bytes(root)
        for source_id, root, relative in connection.execute(query)
    }


def _joined(tokens: Iterable[str]) -> str:
    return " ".join(tokens)


def _chunks(values: Sequence[int]) -> Iterable[Sequence[int]]:
    return (values[start : start + _CHUNK] for start in range(0, len(values), _CHUNK))
