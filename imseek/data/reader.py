"""Read one generation of a collection: ``current.json``, vectors, places, tags and metadata.

A reader takes the generation's list of files in one short read, opens them, and keeps no transaction open. Retired
files stay for a grace time, so an open reader keeps answering from its generation while writers go on.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from imseek.data import layout
from imseek.data.catalog.place_paths import base_folder, is_url, join_root, place_of
from imseek.data.catalog.read_connection import CachedConnection, connect_read_only, read_meta
from imseek.data.catalog.sql import ReadConnection, select_in
from imseek.data.collection_records import FOREVER, Current, Identity, Shard, read_identity
from imseek.data.current_generation import read_current
from imseek.data.files.collection_files import open_file, read_array, stat_file, stat_regular
from imseek.data.files.system_errors import system_error
from imseek.data.repair.error_diagnosis import note_opened
from imseek.data.trust import check_trusted, is_trusted
from imseek.data.user_files.image_places import IndexedPlace, read_place_rows, unknown_place_error
from imseek.data.vectors.base import Segment
from imseek.data.vectors.scores import zero_rows
from imseek.errors import CorruptCollectionError, ImageNotFoundError, StaleGenerationError, repair_command
from imseek.types.pictures import Image, Place
from imseek.unique_numbers import unique_numbers

if TYPE_CHECKING:
    from imseek.data.catalog.backend import CatalogBackend
    from imseek.data.shards.row_group_cache import RowGroupCache
    from imseek.data.vectors.faiss_snapshot import Snapshot
    from imseek.data.vectors.index_metadata import IndexFolder
    from imseek.data.words.values import Document, WordMatches, WordQuery

#: Key in ``meta`` of the generation at the last purge: the catalog has no history before it.
PURGED = "purged"

Int64 = npt.NDArray[np.int64]

T = TypeVar("T")


class SourceRow(NamedTuple):
    """A source in the catalog: its kind, its current location, and its options (JSON)."""

    kind: str
    root: bytes
    options: str


class _ShardLookup(NamedTuple):
    """Data for looking up images in a shard: its ids and dead row numbers, ascending, and the names of its tables."""

    shard: Shard
    ids: Int64
    dead: Int64
    tables: tuple[str, ...]


#: Column sets whose values replace those in the pictures; the later one wins.
_OVERLAYS = (layout.SIDECARS, layout.EDITS)


class Reader:
    """One generation of a collection. Safe to use from several threads."""

    def __init__(self, root: Path) -> None:
        self.root = root
        note_opened(root)
        self.identity: Identity = read_identity(root)
        self.current: Current = read_current(root)
        if self.current.uuid != self.identity.uuid:
            raise CorruptCollectionError(
                f"{root / layout.CURRENT} belongs to another collection",
                hint=repair_command(root),
            )
        self._modalities = {space.space_id: space.modality for space in self.current.spaces}
        self._dims = {space.space_id: space.dim for space in self.current.spaces}
        self._arrays: dict[str, npt.NDArray[Any]] = {}
        self._inodes: dict[str, int] = {}
        self._checked_tables: set[str] = set()
        self._captionless: dict[str, Int64] = {}
        self._dead: dict[str, Int64] = {}
        self._lookups: dict[int, _ShardLookup] = {}
        self._snapshots: dict[str, Snapshot] = {}
        self._roots: dict[int, SourceRow] = {}
        self._live: Int64 | None = None
        #: The frequencies of words that lexical search has counted in this generation.
        self.word_frequencies: dict[tuple[Any, ...], Any] = {}
        self._row_groups: RowGroupCache | None = None
        self._trusted = False
        self._catalog = CachedConnection(root)

    def reopen(self) -> Reader:
        """Return a reader of the newest generation that reuses the mapped files that both have: files never change.

        Only a repair replaces a damaged file by a sound one of the same name. While the old one is mapped, no other
        file has its inode.
        """
        newer = Reader(self.root)
        shared = {name for name in newer._names() if name in self._arrays and self._is_same(name)}
        newer._inodes = {name: self._inodes[name] for name in shared}
        newer._arrays = {name: array for name, array in self._arrays.items() if name in shared}
        newer._captionless = {name: rows for name, rows in self._captionless.items() if name in shared}
        newer._dead = {name: rows for name, rows in self._dead.items() if name in shared}
        newer._catalog = self._catalog
        newer._row_groups = self._row_groups
        folders = set(newer.current.snapshots.values())
        newer._snapshots = {name: snapshot for name, snapshot in self._snapshots.items() if name in folders}
        return newer

    def close(self) -> None:
        """Release the mapped files, which take a descriptor each. Using the reader again maps them anew."""
        self._arrays.clear()
        self._lookups.clear()
        self._live = None
        self.word_frequencies.clear()
        self._row_groups = None
        self._snapshots.clear()
        self._catalog.close()

    @property
    def generation(self) -> int:
        return self.current.generation

    def is_trusted(self) -> bool:
        """Whether the user trusts the collection.

        A yes is kept as long as this reader, as for its index: checking takes as long as finding a word.
        """
        if not self._trusted:
            self._trusted = is_trusted(self.root)
        return self._trusted

    def shard_ids(self, shard: Shard) -> Int64:
        """Return the image ids of a shard: (rows,) int64, ascending, memory-mapped."""
        return self._load(layout.ids(shard.shard_id), np.int64, (shard.rows,))

    def segments(self, space_id: int) -> list[Segment]:
        """Return the vectors of a space with the rows that are dead in this generation.

        In a space of captions, rows of images without a caption count as dead. Raises StaleGenerationError where a file
        of this generation is gone.
        """
        segments = []
        for shard in self.current.shards:
            if space_id in shard.spaces:
                rows = self._rows_of(space_id, shard)
                dead, captionless = self.dead_rows(shard), self._rows_without_caption(space_id, shard)
                if captionless.size:
                    dead = unique_numbers(dead, captionless)
                segments.append(Segment(ids=self.shard_ids(shard), rows=rows, dead=dead))
        return segments

    def snapshot_folder(self, space_id: int) -> IndexFolder | None:
        """Return the folder of a space's FAISS snapshot, or None."""
        folder = self.current.snapshots.get(str(space_id))
        if folder is None:
            return None
        from imseek.data.vectors.index_metadata import IndexFolder

        return IndexFolder(self.root, folder)

    def snapshot(self, space_id: int) -> Snapshot | None:
        """Return the snapshot of a space, memory-mapped, or None.

        Raises CorruptCollectionError where it is damaged (the vectors are not), StaleGenerationError where it is gone,
        UntrustedCollectionError where the collection is not trusted: FAISS believes what its files say.
        """
        folder = self.snapshot_folder(space_id)
        if folder is None:
            return None
        check_trusted(self.root, "loading its vector index")
        name = folder.name
        if name not in self._snapshots:
            from imseek.data.vectors.sharded_index import open_snapshot

            try:
                self._snapshots[name] = open_snapshot(folder)
            except FileNotFoundError as error:
                raise self._stale(name) from error
            except OSError as error:
                raise system_error(error, folder.path) from error
        return self._snapshots[name]

    def count_without_caption(self, space_id: int) -> int:
        """Return how many live images no query is compared with, because they have no caption."""
        shards = [shard for shard in self.current.shards if space_id in shard.spaces]
        rows = ((self._rows_without_caption(space_id, s), self.dead_rows(s)) for s in shards)
        return sum(len(np.setdiff1d(captionless, dead, assume_unique=True)) for captionless, dead in rows)

    def dead_rows(self, shard: Shard) -> Int64:
        """Return the row numbers of a shard that are not live, ascending."""
        if shard.dead is None:
            return np.empty(0, np.int64)
        if shard.dead not in self._dead:
            rows = np.asarray(self._load(shard.dead, np.uint32, (shard.dead_rows,)), np.int64)
            if rows.size and (int(rows[-1]) >= shard.rows or (np.diff(rows) <= 0).any()):
                raise self._damaged(shard.dead, "its rows are not those of a shard, in order")
            self._dead[shard.dead] = rows
        return self._dead[shard.dead]

    def vector(self, image_id: int, space_id: int) -> npt.NDArray[np.float16]:
        """Return the stored row of an image: (dim,) float16. Raises ImageNotFoundError."""
        for lookup, _, (row,) in self._locate([image_id]):
            if space_id in lookup.shard.spaces:
                return np.array(self._rows_of(space_id, lookup.shard)[row], np.float16)
        raise ImageNotFoundError(f"no image {image_id} in this collection")

    def vectors(self, image_ids: Sequence[int], space_id: int) -> npt.NDArray[np.float16]:
        """Return the stored rows of live images, in the order of the ids: (m, dim) float16.

        Raises ImageNotFoundError.
        """
        rows = self.rows_of(image_ids, space_id)
        if missing := [i for i in image_ids if i not in rows]:
            raise ImageNotFoundError(f"no image {missing[0]} in this collection")
        dim = next(space.dim for space in self.current.spaces if space.space_id == space_id)
        return np.array([rows[i] for i in image_ids], np.float16).reshape(-1, dim)

    def rows_of(self, image_ids: Sequence[int], space_id: int) -> dict[int, npt.NDArray[np.float16]]:
        """Return the stored rows of those live images that have one in a space, in use or not, by id."""
        row_of: dict[int, npt.NDArray[np.float16]] = {}
        for lookup, ids, rows in self._locate(image_ids):
            if space_id in lookup.shard.spaces:
                vectors = np.asarray(self._rows_of(space_id, lookup.shard))
                row_of.update((image_id, vectors[row]) for image_id, row in zip(ids, rows, strict=True))
        return row_of

    def unused_space(self, fingerprint: str) -> tuple[int, int] | None:
        """Return id and dimension of the space that is not searched and has this fingerprint; None if there is none."""
        query = (
            "SELECT space_id, dim FROM spaces WHERE fingerprint = ? AND is_current = 0 AND born <= ? AND died > ? "
            "ORDER BY space_id"
        )
        with self._catalog.reading() as connection:
            row = connection.execute(query, (fingerprint, self.generation, self.generation)).fetchone()
        return None if row is None else (int(row[0]), int(row[1]))

    def intrinsic(self, image_id: int) -> dict[str, Any]:
        """Return the metadata row of an image as stored. Raises ImageNotFoundError."""
        for lookup, _, rows in self._locate([image_id]):
            return self._rows(lookup.tables[0], rows)[0]
        raise ImageNotFoundError(f"no image {image_id} in this collection")

    def places(self, image_ids: Sequence[int]) -> dict[int, Place]:
        """Return the absolute paths of images in this generation, by id; ids without a place are left out."""
        with self._catalog.reading() as connection:
            places = self._catalog_places(connection, image_ids)
            sources = self._look_up_sources(connection, [(i, source_id) for i, (source_id, _) in places.items()])
        return {
            image_id: place_of(source_id, sources[source_id].kind, sources[source_id].root, path)
            for image_id, (source_id, path) in places.items()
        }

    def catalog_places(self, image_ids: Sequence[int]) -> dict[int, tuple[int, bytes]]:
        """Return source and path within it, by id, of images that have a place in this generation."""
        with self._catalog.reading() as connection:
            return self._catalog_places(connection, image_ids)

    def indexed_place(self, image_id: int) -> IndexedPlace:
        """Return the place of an image and what was indexed there.

        Raises ImageNotFoundError for an image that is not live or has no known place.
        """
        if next(self._locate([image_id]), None) is None:
            raise ImageNotFoundError(f"no image {image_id} in this collection")
        if (place := self.indexed_places([image_id]).get(image_id)) is None:
            raise unknown_place_error(image_id)
        return place

    def indexed_places(self, image_ids: Sequence[int]) -> dict[int, IndexedPlace]:
        """Return places and what was indexed there, by id; ids without a place are left out."""
        with self._catalog.reading() as connection:
            rows = list(read_place_rows(connection, self.generation, image_ids))
            self.check_history(connection)
            sources = self._look_up_sources(connection, [(row.image_id, row.source_id) for row in rows])
        places = {
            row.image_id: IndexedPlace(sources[row.source_id], row.path, row.stat, row.content_hash) for row in rows
        }
        if any(is_url(place.file) for place in places.values()):
            trusted = self.is_trusted()
            return {image_id: replace(place, is_trusted=trusted) for image_id, place in places.items()}
        return places

    def sources(self) -> dict[int, SourceRow]:
        """Return every source that ever existed, by id."""
        with self._catalog.reading() as connection:
            return self._sources(connection)

    def _catalog_places(self, connection: ReadConnection, image_ids: Sequence[int]) -> dict[int, tuple[int, bytes]]:
        query = "SELECT image_id, source_id, path FROM places WHERE born <= ? AND died > ? AND image_id IN (??)"
        rows = select_in(connection, query, self.generation, self.generation, [int(i) for i in image_ids])
        places = {image_id: (source_id, path) for image_id, source_id, path in rows}
        self.check_history(connection)
        return places

    def _look_up_sources(self, connection: ReadConnection, pairs: Sequence[tuple[int, int]]) -> Mapping[int, SourceRow]:
        """Return sources by id, at least those of ``pairs`` (an image and its source).

        They are read once, since their locations change only with the generation. Raises CorruptCollectionError where
        the catalog lacks one.
        """
        if not self._roots.keys() >= {source_id for _, source_id in pairs}:
            self._roots = self._sources(connection)
        for image_id, source_id in pairs:
            if source_id not in self._roots:
                raise CorruptCollectionError(
                    f"image {image_id} belongs to a source that is not in the catalog",
                    hint=repair_command(self.root),
                )
        return self._roots

    def _sources(self, connection: ReadConnection) -> dict[int, SourceRow]:
        base = base_folder(self.root)
        rows = connection.execute("SELECT source_id, kind, root, relative, options FROM sources").fetchall()
        return {i: SourceRow(kind, join_root(base, root, rel), options) for i, kind, root, rel, options in rows}

    def check_history(self, connection: ReadConnection) -> None:
        """Raise StaleGenerationError where a purge has removed history of this generation.

        Call it after reading rows by ``born`` and ``died``.
        """
        purged = read_meta(connection, PURGED)
        if purged is not None and int(purged) > self.generation:
            raise self._stale("the history")

    def metadata(self, image_ids: Sequence[int]) -> dict[int, dict[str, Any]]:
        """Return intrinsic, extra and derived columns of images, by id; nulls are left out."""
        from imseek.data.shards.shard_files import to_json_row

        metadata: dict[int, dict[str, Any]] = {}
        for lookup, ids, rows in self._locate(image_ids):
            merged, *overlays = [self._whole_rows(table, rows) for table in lookup.tables]
            for part in overlays:
                for row, values in zip(merged, part, strict=True):
                    row.update(values)
            metadata.update(zip(ids, map(to_json_row, merged), strict=True))
        return metadata

    def forget_rows(self) -> None:
        """Free the memory of rows that :meth:`metadata` has read; they are read again if needed."""
        self._row_groups = None

    def load(self, name: str, read: Callable[[BinaryIO], T]) -> T:
        """Open a file of this generation and return the result of ``read``. Raises as :meth:`segments`."""
        with self._reading(name), open_file(self.root, name) as file:
            self._check_table(file, name)
            return read(file)

    def _check_table(self, file: BinaryIO, name: str) -> None:
        """Raise ValueError where a table does not match its file name; checked once per file."""
        if name in self._checked_tables or not name.endswith(".parquet"):
            return
        from imseek.data.shards.shard_files import check_table

        shard_id = layout.shard_of(name)
        rows = next((shard.rows for shard in self.current.shards if shard.shard_id == shard_id), None)
        check_table(file, name, rows)
        self._checked_tables.add(name)

    def texts(self, shard: Shard, column: str) -> Iterator[list[str | None]]:
        """Yield a text column of all rows of a shard, a few thousand rows at a time.

        Texts beside a picture go before those in it, and what users state before both.
        """
        texts = self._texts(layout.metadata(shard.shard_id), column)
        for name in _OVERLAYS:
            beside = shard.columns.get(name)
            if beside is not None and self._has_column(beside, column):
                texts = _overlay(texts, self._texts(beside, column))
        yield from texts

    def _has_column(self, name: str, column: str) -> bool:
        from imseek.data.shards.shard_files import read_schema

        return column in self.load(name, read_schema).names

    def _texts(self, name: str, column: str) -> Iterator[list[str | None]]:
        from imseek.data.shards.shard_files import read_texts

        with self._reading(name), open_file(self.root, name) as file:
            self._check_table(file, name)
            yield from read_texts(file, column)

    def captions(self, image_ids: Sequence[int]) -> dict[int, str]:
        """Return the captions of stored images that have one, by id, including images that are not searched now."""
        return {i: facts["caption"] for i, facts in self.intrinsics(image_ids, ["caption"]).items()}

    def intrinsics(self, image_ids: Sequence[int], columns: Sequence[str] | None = None) -> dict[int, dict[str, Any]]:
        """Return some or all columns of stored images that are not derived, by id; nulls and empty rows are left out.

        What lies beside a picture goes before what is in it, and what users state before both.
        """
        row_of: dict[int, dict[str, Any]] = {}
        for shard in self.current.shards:
            ids = self.shard_ids(shard)
            rows = _rows_of_ids(ids, unique_numbers(np.asarray(image_ids, np.int64)))
            if rows.size:
                stored_rows = self._rows(layout.metadata(shard.shard_id), rows.tolist(), columns)
                for name in _OVERLAYS:
                    beside = self._rows_beside(shard, name, rows.tolist(), columns)
                    for stored, values in zip(stored_rows, beside, strict=False):
                        stored.update(values)
                # An image may have rows left in older shards, which come first: the newest wins.
                row_of.update({int(ids[r]): row for r, row in zip(rows, stored_rows, strict=True)})
        return {image_id: row for image_id, row in row_of.items() if row}

    def image(self, image_id: int) -> Image:
        """Return an image. Raises ImageNotFoundError for an id that is not live in this generation."""
        if not (images := self.images([image_id])):
            raise ImageNotFoundError(f"no image {image_id} in this collection")
        return images[image_id]

    def images(self, image_ids: Sequence[int]) -> dict[int, Image]:
        """Return the images that are live in this generation, by id, in the order given."""
        metadata = self.metadata(image_ids)
        live = [image_id for image_id in dict.fromkeys(image_ids) if image_id in metadata]
        tags = self.tags(live)
        places = self.places(live)
        return {
            image_id: Image(
                image_id=image_id,
                place=places.get(image_id),
                content_hash=metadata[image_id].pop("content_hash"),
                metadata=metadata[image_id],
                tags=tuple(tags.get(image_id, ())),
            )
            for image_id in live
        }

    def tags(self, image_ids: Sequence[int]) -> dict[int, list[str]]:
        """Return the sorted tags of each image that has any."""
        tags_of: dict[int, list[str]] = {}
        query = "SELECT DISTINCT image_id, tag FROM tags WHERE born <= ? AND died > ? AND image_id IN (??) ORDER BY tag"
        with connect_read_only(self.root) as connection:
            rows = select_in(connection, query, self.generation, self.generation, [int(i) for i in image_ids])
            for image_id, tag in rows:
                tags_of.setdefault(image_id, []).append(tag)
            self.check_history(connection)
        return tags_of

    @property
    def has_words(self) -> bool:
        """Whether this generation can be searched by words; if not, the ``note`` of matches says why."""
        from imseek.data.words.matching import last_searchable

        with self._catalog.reading() as connection:
            return not isinstance(last_searchable(self, connection), str)

    def match_words(
        self,
        query: WordQuery,
        limit: int,
        fields: Sequence[str] | None = None,
        among: Sequence[int] | None = None,
        min_tokens: int = 1,
    ) -> WordMatches:
        """Return the images of this generation that match words, best first, at most ``limit`` of them.

        An image matches if these ``fields`` of its document (default: all) hold all phrases of the query, or any of its
        words where it has no phrase. Where the words cannot be searched, there are no matches, but a note.
        With ``among``, only these images are considered, all of them however common the words, and ``total`` counts
        these. An image holds at least ``min_tokens`` of the query's tokens; those of a phrase count one by one.
        """
        from imseek.data.words.matching import match_words

        return match_words(self, query, limit, fields, among, min_tokens)

    def documents(self, image_ids: Sequence[int]) -> dict[int, Document]:
        """Return the documents of images that are live in this generation, by id."""
        from imseek.data.words.matching import read_documents

        return read_documents(self, image_ids)

    def written_texts(self, image_ids: Sequence[int]) -> dict[int, str]:
        """Return the texts in the pictures of live images that have one, as they are written there, by id.

        They come from the catalog, or from tables if no writer has opened the collection since the catalog stores them.
        """
        from imseek.data.words.matching import read_written_texts

        texts = read_written_texts(self, image_ids)
        if texts is None:
            rows = self.metadata(image_ids).items()
            texts = {image_id: row["text"] for image_id, row in rows if isinstance(row.get("text"), str)}
        return texts

    def live_ids(self, image_ids: Iterable[int]) -> set[int]:
        """Return those of these ids that are live in this generation."""
        if self._live is None:
            parts = [np.delete(self.shard_ids(shard), self.dead_rows(shard)) for shard in self.current.shards]
            self._live = unique_numbers(np.empty(0, np.int64), *parts)
        ids = np.fromiter(image_ids, np.int64)
        return set(self._live[_rows_of_ids(self._live, ids)].tolist())

    @property
    def catalog_backend(self) -> CatalogBackend:
        """The backend of the connection that is lent now, or was lent last."""
        return self._catalog.backend

    def catalog_connection(self) -> AbstractContextManager[ReadConnection]:
        """Lend the connection to the catalog for queries in the body of the ``with``; call nothing there that needs it.

        Raises as :func:`connect_read_only`.
        """
        return self._catalog.reading()

    def _locate(self, image_ids: Iterable[int]) -> Iterator[tuple[_ShardLookup, list[int], list[int]]]:
        """Yield each shard that has some of the live ids, those ids, ascending, and their rows; others are skipped."""
        # np.unique imports masked arrays, which takes 2 % of a cold query.
        query_ids = np.array(sorted({i for i in image_ids if 0 <= i <= FOREVER}), np.int64)
        for shard in self.current.shards:
            if (lookup := self._lookups.get(shard.shard_id)) is None:
                lookup = self._lookups[shard.shard_id] = _ShardLookup(
                    shard,
                    # Not a memory map, each slice of which is a map of its own.
                    np.asarray(self.shard_ids(shard)),
                    self.dead_rows(shard),
                    (layout.metadata(shard.shard_id), *shard.columns.values()),
                )
            _, ids, dead, _ = lookup
            rows = _rows_of_ids(ids, query_ids)
            if dead.size:
                rows = rows[dead[np.minimum(np.searchsorted(dead, rows), len(dead) - 1)] != rows]
            if rows.size:
                yield lookup, ids[rows].tolist(), rows.tolist()

    def _is_same(self, name: str) -> bool:
        with suppress(OSError, CorruptCollectionError):
            stat = stat_file(self.root, name)
            return stat is not None and stat.st_ino == self._inodes[name]
        return False

    def _names(self) -> Iterator[str]:
        for shard in self.current.shards:
            yield layout.ids(shard.shard_id)
            yield from (self._vectors(space_id, shard) for space_id in shard.spaces)
            if shard.dead is not None:
                yield shard.dead

    def _vectors(self, space_id: int, shard: Shard) -> str:
        # A space still being built has no modality here, and nobody reads its vectors.
        return layout.vectors(space_id, shard.shard_id, self._modalities.get(space_id, "image"))

    def _rows_without_caption(self, space_id: int, shard: Shard) -> Int64:
        """Return row numbers without a vector, ascending: in a space of captions, a row of zeros means no caption."""
        if self._modalities.get(space_id) != "text":
            return np.empty(0, np.int64)
        name = self._vectors(space_id, shard)
        if name not in self._captionless:
            self._captionless[name] = zero_rows(self._rows_of(space_id, shard))
        return self._captionless[name]

    def _rows_of(self, space_id: int, shard: Shard) -> npt.NDArray[np.float16]:
        """Return the vectors of a shard in a space: (rows, dim) float16, memory-mapped."""
        return self._load(self._vectors(space_id, shard), np.float16, (shard.rows, self._dims.get(space_id)))

    def _load(self, name: str, kind: type[np.generic], shape: tuple[int | None, ...]) -> npt.NDArray[Any]:
        """Map an array and check its dtype and shape; None accepts any length of an axis.

        Two threads may both map a file: the bytes are the same, and the last mapping is kept.
        """
        if name not in self._arrays:
            with self._reading(name), open_file(self.root, name) as file:
                array = read_array(file, mapped=True)
                sides = zip(array.shape, shape, strict=True) if array.ndim == len(shape) else [(0, -1)]
                if array.dtype != kind or any(expected not in (None, size) for size, expected in sides):
                    raise ValueError(f"an array of {array.dtype} and shape {array.shape}")
                self._inodes[name] = os.fstat(file.fileno()).st_ino
                self._arrays[name] = array
        return self._arrays[name]

    def _rows(self, name: str, rows: Sequence[int], columns: Sequence[str] | None = None) -> list[dict[str, Any]]:
        from imseek.data.shards.shard_files import read_rows

        return self.load(name, partial(read_rows, rows=rows, columns=columns))

    def _rows_beside(
        self, shard: Shard, name: str, rows: Sequence[int], columns: Sequence[str] | None
    ) -> Sequence[dict[str, Any]]:
        """Return what a column set states of some rows; nothing if it holds none of the columns."""
        from imseek.data.shards.shard_files import SIDECAR_SCHEMA

        beside = shard.columns.get(name)
        if beside is None or columns is None:
            return () if beside is None else self._rows(beside, rows)
        known_columns = [name for name in columns if name in SIDECAR_SCHEMA.names and self._has_column(beside, name)]
        return self._rows(beside, rows, known_columns) if known_columns else ()

    def _whole_rows(self, name: str, rows: Sequence[int]) -> list[dict[str, Any]]:
        """Return rows with all columns, from memory where the file is still the one that was read before."""
        cache = self._row_groups
        if cache is None:
            from imseek.data.shards.row_group_cache import RowGroupCache

            cache = self._row_groups = RowGroupCache()
        with self._reading(name):
            info = stat_regular(self.root, name)
            cached = None if info is None else cache.rows(info, rows)
        return self.load(name, partial(cache.read, rows=rows)) if cached is None else cached

    @contextmanager
    def _reading(self, name: str) -> Iterator[None]:
        try:
            yield
        except (CorruptCollectionError, StaleGenerationError):
            raise
        except FileNotFoundError as error:
            raise self._stale(name) from error
        except OSError as error:
            if error.errno is not None:  # From the operating system; Arrow's errors about damage have no errno.
                raise system_error(error, self.root / name) from error
            raise self._damaged(name, error) from error
        except Exception as error:
            # NumPy and Arrow do not document what they raise for damaged bytes; they check before they read.
            raise self._damaged(name, error) from error

    def _damaged(self, name: str, error: Exception | str) -> CorruptCollectionError:
        return CorruptCollectionError(f"{self.root / name} is damaged: {error}", hint=repair_command(self.root))

    def _stale(self, name: str) -> StaleGenerationError:
        return StaleGenerationError(
            f"{name} of generation {self.generation} is missing from {self.root}",
            hint=f"open the collection again; if that does not help, run {repair_command(self.root)}",
        )


def _overlay(texts: Iterator[list[str | None]], overlay: Iterator[list[str | None]]) -> Iterator[list[str | None]]:
    for texts_below, texts_above in zip(texts, overlay, strict=True):
        yield [a if b is None else b for a, b in zip(texts_below, texts_above, strict=True)]


def _rows_of_ids(ids: Int64, query_ids: Int64) -> Int64:
    """Return the rows of ids (ascending, distinct) in a shard, dead rows included; ids not in it are skipped."""
    rows = np.searchsorted(ids, query_ids)
    matches: Int64 = rows[(rows < len(ids)) & (ids[np.minimum(rows, len(ids) - 1)] == query_ids)]
    return matches
