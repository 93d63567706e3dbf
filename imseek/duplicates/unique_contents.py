"""Unique contents of one generation: one image stands for all images with the same bytes.

The search for duplicates compares contents, not images, so that a picture stored a thousand times costs no more than
one stored once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from imseek.data.layout import metadata
from imseek.data.reader import Reader
from imseek.data.shards.metadata_columns import columns_of
from imseek.data.vectors import IdSet
from imseek.freed_memory import release_freed_memory

if TYPE_CHECKING:
    import pyarrow as pa

Ids: TypeAlias = npt.NDArray[np.int64]
Hashes: TypeAlias = npt.NDArray[np.uint64]
Digests: TypeAlias = npt.NDArray[np.uint8]

#: Bytes of a sha256.
DIGEST_BYTES = 32


class Copies(Mapping[int, Ids]):
    """Maps the lowest image id of each content with several images to all its image ids, ascending. Lookups bisect."""

    def __init__(self, firsts: Ids, starts: Ids, ids: Ids) -> None:
        """``firsts`` (m,) is ascending; the images of the n-th content are ``ids[starts[n] : starts[n + 1]]``."""
        self._firsts, self._starts, self._ids = firsts, starts, ids

    def __getitem__(self, image_id: int) -> Ids:
        at = int(np.searchsorted(self._firsts, image_id))
        if at == len(self._firsts) or self._firsts[at] != image_id:
            raise KeyError(image_id)
        return self._ids[self._starts[at] : self._starts[at + 1]]

    def __iter__(self) -> Iterator[int]:
        return iter(self._firsts.tolist())

    def __len__(self) -> int:
        return len(self._firsts)

    @property
    def images(self) -> int:
        """Number of images in all groups of copies, including the first of each."""
        return len(self._ids)


@dataclass(frozen=True, slots=True, eq=False)
class UniqueContents:
    """The unique contents of a generation.

    ``ids`` (n,) int64, ascending, holds the lowest image id of each content; ``hashes`` (n, 32) uint8 its sha256;
    ``phashes`` (n,) uint64 its perceptual hash, 0 if unknown; ``copies`` the images of contents that have several.
    """

    ids: Ids
    hashes: Digests
    phashes: Hashes
    copies: Copies

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def images(self) -> int:
        """Number of images, including copies."""
        return len(self.ids) + self.copies.images - len(self.copies)

    def positions(self, ids: Ids) -> Ids:
        """Return the position (m,) of each of ``ids``; -1 for those that stand for no content."""
        at = np.minimum(np.searchsorted(self.ids, ids), max(0, len(self.ids) - 1))
        if not len(self.ids):
            return np.full(len(ids), -1, np.int64)
        return np.where(self.ids[at] == ids, at, -1)


def load_contents(reader: Reader, allowed: IdSet | None = None) -> UniqueContents:
    """Load the contents of the live images of a generation, optionally only of those in ``allowed``.

    Columns are read one shard at a time. Memory: about 200 bytes per image while loading (the hashes twice, and the
    sort orders), 50 per content afterwards. Raises StaleGenerationError and CorruptCollectionError.
    """
    ids, hashes, phashes = (
        [np.empty(0, np.int64)],
        [np.empty((0, DIGEST_BYTES), np.uint8)],
        [np.empty(0, np.uint64)],
    )
    for shard in reader.current.shards:
        live = np.ones(shard.rows, np.bool_)
        live[reader.dead_rows(shard)] = False
        shard_ids = reader.shard_ids(shard)
        if allowed is not None:
            live &= allowed.marks(shard_ids)
        table = columns_of(reader, metadata(shard.shard_id), ["content_hash", "phash"])
        ids.append(np.asarray(shard_ids[live]))
        hashes.append(_digests_of(table.column("content_hash"))[live])
        phashes.append(table.column("phash").to_numpy()[live])
        del table
    contents = group_by_content(np.concatenate(ids), np.concatenate(hashes), np.concatenate(phashes))
    del ids, hashes, phashes
    release_freed_memory()
    return contents


def group_by_content(ids: Ids, hashes: Digests, phashes: Hashes) -> UniqueContents:
    """Group images (n,), distinct and in any order, by content."""
    order = np.argsort(ids, kind="stable")
    ids, hashes, phashes = ids[order], np.ascontiguousarray(hashes[order]), phashes[order]
    words = hashes.view(np.uint64)  # (n, 4): sorting words is much faster than sorting bytes
    order = np.lexsort(words.T)  # stable, so ids ascend within a content
    is_first = np.ones(len(ids), np.bool_)
    is_first[1:] = (words[order[1:]] != words[order[:-1]]).any(axis=1)
    starts = np.flatnonzero(is_first)
    sizes = np.diff(starts, append=len(ids))
    firsts = np.sort(order[starts])
    return UniqueContents(ids[firsts], hashes[firsts], phashes[firsts], _build_copies(ids, order, starts, sizes))


def _build_copies(ids: Ids, order: Ids, starts: Ids, sizes: Ids) -> Copies:
    several = sizes > 1
    starts, sizes = starts[several], sizes[several]
    by_first = np.argsort(ids[order[starts]])
    starts, sizes = starts[by_first], sizes[by_first]
    ends = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    members = np.arange(ends[-1]) + np.repeat(starts - ends[:-1], sizes)
    return Copies(ids[order[starts]], ends, ids[order[members]])


def _digests_of(column: pa.ChunkedArray) -> Digests:
    """Convert a column of sha256 to (n, 32) uint8."""
    parts = [np.empty((0, DIGEST_BYTES), np.uint8)]
    for chunk in column.chunks:
        data = np.frombuffer(chunk.buffers()[1], np.uint8).reshape(-1, DIGEST_BYTES)
        parts.append(data[chunk.offset : chunk.offset + len(chunk)])
    return np.concatenate(parts)
