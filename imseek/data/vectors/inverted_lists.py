"""Store inverted lists in a file of our own, so that those of fast-scan codes can be memory-mapped too.

FAISS maps its own files, but not the blocks of 32 codes that fast scan uses (André et al. 2015): it would read all of
them whenever an index is opened. Its on-disk lists have room for them, though: a list is its codes, then its ids, and
with room for whole blocks, the codes lie as fast scan needs them. ``faiss.lists`` has all lists, one after another;
``lists.npy`` (lists, 3) uint64 has each list's number of rows, its capacity, and its offset.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO, Final, TypeAlias

import faiss
import numpy as np
import numpy.typing as npt

from imseek.data.vectors.base import Ids
from imseek.data.vectors.index_kinds import inverted_file
from imseek.types.arrays import Float32

Table: TypeAlias = npt.NDArray[np.uint64]
#: Codes of rows (n, bytes): two subspaces a byte.
Codes: TypeAlias = npt.NDArray[np.uint8]

#: Bytes of codes, ids and numbers of lists that wait, and of codes that are packed at a time.
_MOST_WAITING: Final = 32 << 20
_MOST_PACKED: Final = 4 << 20
#: The row that each of 16 bytes of a block holds.
_LANES: Final = np.array([0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15])


def find_block_lists(index: Any) -> Any | None:
    """Return the inverted file inside ``index`` if its lists are blocks of codes, else None.

    RaBitQ's blocks contain more than codes, for which on-disk lists have no room: FAISS reads these itself.
    """
    lists = inverted_file(index)
    if isinstance(lists, faiss.IndexIVFRaBitQFastScan):
        return None
    return lists if isinstance(lists, faiss.IndexIVFFastScan) else None


def has_flat_centres(lists: Any) -> bool:
    """Whether an index is an inverted file whose centres are compared one by one, by their inner products."""
    if not isinstance(lists, faiss.IndexIVF):
        return False
    flat = faiss.downcast_index(lists.quantizer)
    return isinstance(flat, faiss.IndexFlat) and bool(flat.metric_type == faiss.METRIC_INNER_PRODUCT)


def centres_of_lists(lists: Any) -> Float32 | None:
    """Return the centres (lists, dim) of an inverted file, copied; None where they are not compared one by one."""
    if not has_flat_centres(lists):
        return None
    flat = faiss.downcast_index(lists.quantizer)
    # In a mapped file they are not aligned, and BLAS would copy them for each product.
    return np.array(faiss.rev_swig_ptr(flat.get_xb(), flat.ntotal * flat.d).reshape(flat.ntotal, flat.d))


def ids_of_list(lists: Any, number: int) -> Ids:
    """Return the ids of the rows in a list of an inverted file, copied."""
    inverted = faiss.downcast_InvertedLists(lists.invlists)
    size = inverted.list_size(number)
    return np.array(faiss.rev_swig_ptr(inverted.get_ids(number), size)) if size else np.empty(0, np.int64)


class ListAppender:
    """Appends rows to the lists of an index in memory, without a direct map, that the caller chooses.

    FAISS's own call would choose the lists. Codes for fast scan wait, so that many are packed into blocks at a time:
    :meth:`flush` appends the last ones.
    """

    def __init__(self, lists: Any) -> None:
        self._lists = lists
        self._has_blocks = find_block_lists(lists) is not None
        self._waiting: list[tuple[Codes, Ids, Ids]] = []
        self._waiting_bytes = 0

    def append(self, rows: Float32, ids: Ids, numbers: Ids) -> None:
        """Append ``rows`` (n, dim) with ``ids`` to the lists ``numbers``, both (n,)."""
        rows, ids, numbers = np.ascontiguousarray(rows), np.ascontiguousarray(ids), np.ascontiguousarray(numbers)
        pointers = [faiss.swig_ptr(array) for array in (rows, ids, numbers)]
        if not self._has_blocks:
            self._lists.add_core(len(rows), *pointers)
            return
        codes = np.empty((len(rows), self._lists.code_size), np.uint8)
        self._lists.encode_vectors(len(rows), pointers[0], pointers[2], faiss.swig_ptr(codes))
        self._waiting.append((codes, ids, numbers))
        self._waiting_bytes += codes.nbytes + ids.nbytes + numbers.nbytes
        if self._waiting_bytes >= _MOST_WAITING:
            self.flush()

    def flush(self) -> None:
        """Append the rows that wait."""
        if not self._waiting_bytes:
            return
        codes, ids, numbers = (np.concatenate(parts) for parts in zip(*self._waiting, strict=True))
        self._waiting, self._waiting_bytes = [], 0
        blocks = faiss.downcast_InvertedLists(self._lists.invlists)
        order = np.argsort(numbers, kind="stable")
        most = max(1, _MOST_PACKED // codes.shape[1])
        for members in _together(np.split(order, np.flatnonzero(np.diff(numbers[order])) + 1), most):
            _append_blocks(blocks, codes, ids, numbers, members)
        self._lists.ntotal += len(codes)


def _together(members_of_lists: Sequence[Ids], most: int) -> Iterator[list[Ids]]:
    """Yield the members of several lists at a time, at most ``most`` together. Those of a longer list come in pieces,
    never two at a time."""
    group: list[Ids] = []
    room = most
    for members in members_of_lists:
        for piece in (members[start : start + most] for start in range(0, len(members), most)):
            if len(piece) > room:
                yield group
                group, room = [], most
            group.append(piece)
            room -= len(piece)
    yield group


def _append_blocks(blocks: Any, codes: Codes, ids: Ids, numbers: Ids, members: Sequence[Ids]) -> None:
    """Append rows, given by their ``codes``, ``ids`` and ``numbers`` of lists, to one list for each of ``members``."""
    per_block = int(blocks.n_per_block)
    numbers_of_lists = [int(numbers[rows[0]]) for rows in members]
    sizes = np.array([blocks.list_size(number) for number in numbers_of_lists])
    counts = np.array([len(rows) for rows in members])
    # The last block of a list may have room: there, new codes join those that it has.
    begins = sizes % per_block
    block_ends = np.cumsum(-(-(begins + counts) // per_block)).tolist()
    block_starts = [0, *block_ends[:-1]]
    places = np.zeros((block_ends[-1] * per_block, codes.shape[1]), np.uint8)
    for rows, block, begin in zip(members, block_starts, begins.tolist(), strict=True):
        first = block * per_block + begin
        np.take(codes, rows, axis=0, out=places[first : first + len(rows)])
    new_blocks = pack_blocks(places, per_block)
    for rows, number, size, start, end in zip(
        members, numbers_of_lists, sizes.tolist(), block_starts, block_ends, strict=True
    ):
        blocks.resize(number, size + len(rows))
        faiss.rev_swig_ptr(blocks.get_ids(number), size + len(rows))[size:] = ids[rows]
        old = size // per_block
        in_list = faiss.rev_swig_ptr(blocks.get_codes(number), (old + end - start) * int(blocks.block_size))
        in_list = in_list.reshape(old + end - start, -1)[old:]
        in_list[0] |= new_blocks[start]
        in_list[1:] = new_blocks[start + 1 : end]


def pack_blocks(codes: Codes, per_block: int) -> Codes:
    """Pack codes (n, bytes), n a multiple of ``per_block``, into blocks (n / per_block, bytes of a block) as fast scan
    reads them (André et al. 2015): of 32 rows, the low halves of each byte in turn, then the high ones, as 16 bytes for
    the first 16 rows and, shifted by four bits, the others."""
    count, width = len(codes) // 32, codes.shape[1]
    rows = codes.reshape(count, 2, 16, width)[:, :, _LANES]
    lanes = np.empty((count, width, 2, 16), np.uint8)
    for half, nibbles in enumerate((rows & 15, rows >> 4)):
        lanes[:, :, half] = (nibbles[:, 0] | nibbles[:, 1] << 4).swapaxes(1, 2)
    blocks = lanes.reshape(-1, per_block // 32, width, 32).swapaxes(1, 2)
    return blocks.reshape(len(blocks), -1)


def table_of(lists: Any) -> Table:
    """Compute where each list of an index in memory will lie."""
    blocks = faiss.downcast_InvertedLists(lists.invlists)
    sizes = np.array([blocks.list_size(n) for n in range(blocks.nlist)], np.uint64)
    per_block = np.uint64(blocks.n_per_block)
    capacity = (sizes + per_block - np.uint64(1)) // per_block * per_block
    byte_counts = capacity * np.uint64(_code_bytes(blocks) + 8)
    return np.stack([sizes, capacity, np.concatenate([[0], np.cumsum(byte_counts)[:-1]]).astype(np.uint64)], axis=1)


def is_valid_table(lists: Any, table: Table, size: int) -> bool:
    """Whether ``table`` is possible for an index whose lists take ``size`` bytes. FAISS would not check it."""
    if table.dtype != np.uint64 or table.shape != (lists.nlist, 3) or (table > size).any():
        return False
    sizes, capacity, starts = table.T
    ends = starts + capacity * np.uint64(lists.M2 // 2 + 8)  # Cannot overflow: no value exceeds the file's size.
    return bool((sizes <= capacity).all() and (capacity % np.uint64(lists.bbs) == 0).all() and (ends <= size).all())


def lists_content(lists: Any, table: Table) -> Iterator[npt.NDArray[np.uint8]]:
    """Yield the bytes of ``faiss.lists``, a piece at a time."""
    blocks = faiss.downcast_InvertedLists(lists.invlists)
    for n, (size, capacity, _) in enumerate(table.tolist()):
        if size:
            yield faiss.rev_swig_ptr(blocks.get_codes(n), capacity * _code_bytes(blocks))
            ids = np.full(capacity, -1, np.int64)
            ids[:size] = faiss.rev_swig_ptr(blocks.get_ids(n), size)
            yield ids.view(np.uint8)


def detach_lists(lists: Any) -> None:
    """Remove the lists from an index, so that FAISS writes only the rest of it."""
    rows = lists.ntotal
    _replace_lists(lists, faiss.ArrayInvertedLists(lists.nlist, lists.code_size))
    lists.ntotal = rows


def attach_mapped_lists(lists: Any, file: BinaryIO, path: str, table: Table) -> None:
    """Map the lists of an index that was :func:`detach_lists` from the open ``file``, which ``path`` leads to.

    Rows must never be added to it.
    """
    mapped = faiss.OnDiskInvertedLists(lists.nlist, lists.M2 // 2, path)
    table = np.ascontiguousarray(table)
    faiss.memcpy(mapped.lists.data(), faiss.swig_ptr(table), table.nbytes)
    mapped.totsize = os.fstat(file.fileno()).st_size
    mapped.read_only = True
    mapped.prefetch_nthread = 0  # Otherwise every search starts threads that read ahead.
    mapped.do_mmap()
    _replace_lists(lists, mapped)


def load_lists(lists: Any, file: BinaryIO, table: Table) -> None:
    """Load the lists into memory instead, so that rows can be added."""
    blocks = attach_empty_lists(lists)
    per_block, block = int(blocks.n_per_block), int(blocks.block_size)
    for n, (size, capacity, start) in enumerate(table.tolist()):
        if not size:
            continue
        blocks.resize(n, size)
        codes = np.frombuffer(os.pread(file.fileno(), capacity // per_block * block, start), np.uint8)
        ids = np.frombuffer(os.pread(file.fileno(), 8 * size, start + len(codes)), np.int64)
        faiss.memcpy(blocks.get_codes(n), faiss.swig_ptr(codes), codes.nbytes)
        faiss.memcpy(blocks.get_ids(n), faiss.swig_ptr(ids), ids.nbytes)


def attach_empty_lists(lists: Any) -> Any:
    """Give an index empty lists in memory, and return them."""
    per_block = int(lists.bbs)
    blocks = faiss.BlockInvertedLists(lists.nlist, per_block, per_block * lists.M2 // 2)
    _replace_lists(lists, blocks)
    return blocks


def _replace_lists(lists: Any, inverted: Any) -> None:
    """Replace the lists of an index, which takes ownership and frees the old ones."""
    inverted.this.disown()
    lists.replace_invlists(inverted, True)


def _code_bytes(blocks: Any) -> int:
    return int(blocks.block_size // blocks.n_per_block)
