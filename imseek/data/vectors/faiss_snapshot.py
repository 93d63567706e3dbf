"""A FAISS snapshot: an approximate index over the images of one generation, in memory-mapped files."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import faiss
import numpy as np

from imseek.data.files.collection_files import path_of
from imseek.data.vectors import inverted_lists
from imseek.data.vectors.base import Ids
from imseek.data.vectors.centre_codes import CentreScan, fit_index
from imseek.data.vectors.code_rotation import RotatedIndex
from imseek.data.vectors.faiss_file_validation import check_structure
from imseek.data.vectors.index_kinds import inverted_file, largest_probe, search_parameters, supports_filters
from imseek.data.vectors.index_metadata import (
    CENTRES_FILE,
    INDEX_FILE,
    LISTS_FILE,
    TABLE_FILE,
    Bits,
    CoveredIds,
    IndexFolder,
    IndexMetadata,
    damaged_index_error,
    read_index_metadata,
    test_bits,
)
from imseek.types.arrays import Float32

if TYPE_CHECKING:
    from imseek.data.vectors.gpu import Placement


#: From this many queries on, they are multiplied with the centres as one matrix.
_MANY = 8
#: Queries compared with all centres at a time, and lists that are looked at together for the nearest ones.
_QUERY_BLOCK = 2048
_GROUP = 16
#: One in so many lists is probed however far it is: the nearest one alone may have fewer rows than are asked for.
_ALWAYS = 8


class Candidates(NamedTuple):
    """``scores`` float32 by codes and ``ids`` int64, both (q, count), best first; id -1 where there were fewer."""

    scores: Float32
    ids: Ids

    def near(self, k: int, slack: float | None) -> Ids:
        """Return the ids (q, count), with -1 for scores more than ``slack`` below the ``k``-th; None keeps all."""
        if slack is None or k >= self.scores.shape[1]:
            return self.ids
        return np.where(self.scores >= self.scores[:, k - 1 : k] - slack, self.ids, -1)

    @classmethod
    def none(cls, queries: int) -> Candidates:
        return cls(np.empty((queries, 0), np.float32), np.empty((queries, 0), np.int64))


class NearestLists(NamedTuple):
    """The lists to probe: ``numbers`` int64 (-1: none) and ``cosines`` float32 to their centres, or about these, both
    (q, lists); and ``queries`` (q, dim), rotated as the lists' rows are."""

    numbers: Ids
    cosines: Float32
    queries: Float32

    def of(self, selection: slice | Ids) -> NearestLists:
        """Return those of some of the queries."""
        return NearestLists(self.numbers[selection], self.cosines[selection], self.queries[selection])


class _Parameters(NamedTuple):
    """FAISS's parameters of one search, and what they point to."""

    probe: int
    allowed: Bits | None
    selector: Any
    parameters: Any


class Snapshot:
    """An opened snapshot. It never changes, and any number of threads may search it.

    ``rotated`` is its index without a rotation before it, ``covered`` are its ids, ``filters`` whether its kind
    supports filtering by id, ``widest`` the largest useful ``probe`` (0: the kind has none), and ``has_lists`` whether
    it can search given lists. ``centre_codes`` are those of the lists' centres, where there are any.
    """

    def __init__(
        self, index: Any, covered: CoveredIds, facts: IndexMetadata, centre_codes: inverted_lists.Codes | None = None
    ) -> None:
        self.index = index
        self.covered = covered
        self.facts = facts
        self.filters = supports_filters(index)
        self.widest = largest_probe(index)
        self._parameters: _Parameters | None = None
        self.rotated = RotatedIndex.of(index)
        self.has_lists = inverted_lists.has_flat_centres(self.rotated.inner)
        self.centre_codes = centre_codes

    @classmethod
    def open(cls, folder: IndexFolder) -> Snapshot:
        """Map the files of a snapshot of one part. Cheap: lists are read when they are probed.

        Raises FileNotFoundError where one is gone, CorruptCollectionError where one is damaged.
        """
        return cls.of_folder(folder, read_index_metadata(folder))

    @classmethod
    def of_folder(cls, folder: IndexFolder, facts: IndexMetadata) -> Snapshot:
        """Map the files of a snapshot of one part, whose metadata is known. Raises as :meth:`open`."""
        index = map_index(folder)
        if (index.d, index.ntotal) != (facts.dim, facts.rows):
            raise damaged_index_error(folder, f"{index.ntotal:,} vectors of {index.d} dimensions")
        codes = folder.array(CENTRES_FILE) if CENTRES_FILE in facts.sizes else None
        if codes is not None and not fit_index(codes, RotatedIndex.of(index)):
            raise damaged_index_error(folder, f"{CENTRES_FILE} does not have a code for each list")
        return cls(index, CoveredIds.read(folder, facts.rows), facts, codes)

    def with_metadata(self, facts: IndexMetadata) -> Snapshot:
        """Return the same snapshot with other metadata."""
        return Snapshot(self.index, self.covered, facts, self.centre_codes)

    @property
    def parts(self) -> tuple[Snapshot, ...]:
        """The snapshots that this one consists of: itself, unless it has several."""
        return (self,)

    def ids_of_list(self, number: int) -> Ids:
        """Return the ids of the rows in a list of :meth:`nearest_lists`, in any order."""
        return inverted_lists.ids_of_list(self.rotated.inner, number)

    def nearest_lists(self, queries: Float32, probe: int, reach: float | None = None) -> NearestLists | None:
        """Return the ``probe`` lists nearest to each query, in any order, valid for all snapshots of the same layout.
        With a ``reach``, these are up to half as many more, but beyond the first eighth none whose cosine is further
        below the best.

        Returns None where a kind cannot search given lists.
        """
        if not self.has_lists:
            return None
        most = self.rotated.inner.nlist
        if reach is None:
            return self._nearest_lists(queries, max(1, min(probe, most)))
        lists = self._nearest_lists(queries, max(1, min(probe + probe // 2, most)))
        always = max(1, probe // _ALWAYS)
        least = np.minimum(
            lists.cosines.max(axis=1, keepdims=True) - np.float32(reach),
            -np.partition(-lists.cosines, always - 1, axis=1)[:, always - 1 : always],
        )
        return lists._replace(numbers=np.where(lists.cosines >= least, lists.numbers, -1))

    def _nearest_lists(self, queries: Float32, probe: int) -> NearestLists:
        queries = self.rotated.rotate(queries)
        if self._centre_scan is not None:
            cosines, numbers = self._centre_scan.nearest(queries, probe)
            return NearestLists(numbers, cosines, queries)
        centres = self._centres
        # A product of matrices first copies all centres, which takes longer than a product for each of a few queries.
        few = len(queries) < _MANY
        cosines = np.stack([centres @ query for query in queries]) if few else queries @ centres.T
        rest = len(centres) - probe
        numbers = np.argpartition(cosines, rest, axis=1)[:, rest:]
        return NearestLists(numbers, np.take_along_axis(cosines, numbers, 1), queries)

    def query_list_pairs(self, queries: Float32, probe: int) -> tuple[Ids, Ids]:
        """Return pairs of a query and a list near it, as numbers (m,) of both: at least ``probe`` lists for each query,
        the nearest, and some more where there are only hundreds of lists. Unlike :meth:`nearest_lists`, it does not
        sort all lists of each query, which takes longer than the product with their centres."""
        centres = self._centres
        # Of groups of lists, those with the probe-th largest maximum and more have at least so many lists above it.
        groups = len(centres) // _GROUP
        grouped = groups * _GROUP if groups >= probe else 0
        query, number = [], []
        for start in range(0, len(queries), _QUERY_BLOCK):
            cosines = self.rotated.rotate(queries[start : start + _QUERY_BLOCK]) @ centres.T
            maxima = cosines[:, grouped:]
            if grouped:
                best_of_groups = cosines[:, :grouped].reshape(-1, _GROUP, groups).max(axis=1)
                maxima = np.concatenate([best_of_groups, maxima], axis=1)
            rest = maxima.shape[1] - min(probe, maxima.shape[1])
            least = np.partition(maxima, rest, axis=1)[:, rest : rest + 1]
            row, column = np.nonzero(cosines >= least)
            query.append(row + start)
            number.append(column)
        return np.concatenate(query), np.concatenate(number)

    @functools.cached_property
    def _centres(self) -> Float32:
        """The centres (lists, dim) of the lists, in memory. Only kinds with lists have them."""
        centres = inverted_lists.centres_of_lists(self.rotated.inner)
        assert centres is not None
        return centres

    @functools.cached_property
    def _centre_scan(self) -> CentreScan | None:
        return None if self.centre_codes is None else CentreScan(self.rotated, self.centre_codes)

    def candidates(
        self,
        queries: Float32,
        count: int,
        probe: int,
        allowed: Bits | None,
        *,
        placement: Placement | None = None,
        share: float = 1.0,
        reach: float | None = None,
        lists: NearestLists | None = None,
    ) -> Candidates:
        """Return the ``count`` rows that rank first by their codes.

        ``allowed`` has a bit for each id that may be found; it must be None where the kind supports no filters. With a
        ``placement`` they come from a GPU if possible; ``share`` of the rows is allowed. ``lists``, those of
        :meth:`nearest_lists` for the same ``probe`` and ``reach``, saves looking them up. A GPU probes the lists
        without ``reach``.
        """
        if count < 1 or not len(queries):
            return Candidates.none(len(queries))
        if placement is None:
            return self._candidates(queries, count, probe, allowed, lists or self.nearest_lists(queries, probe, reach))
        predicate = None if allowed is None else functools.partial(test_bits, allowed)
        proposals = placement.draw(self.index, queries, count, predicate, share, probe)
        if proposals is None:
            return self._candidates(queries, count, probe, allowed, self.nearest_lists(queries, probe, reach))
        if not proposals.is_complete.all():
            short = ~proposals.is_complete
            lists = self.nearest_lists(queries[short], probe, reach)
            others = self._candidates(queries[short], count, probe, allowed, lists)
            proposals.scores[short], proposals.ids[short] = others
        return Candidates(proposals.scores, proposals.ids)

    def _candidates(
        self,
        queries: Float32,
        count: int,
        probe: int,
        allowed: Bits | None,
        lists: NearestLists | None,
    ) -> Candidates:
        if lists is not None:
            probe = lists.numbers.shape[1]
        # FAISS keeps pointers only: bits, selector and parameters must outlive the search. Making them takes as long as
        # probing twenty lists, and most searches have those of the last one.
        cached = self._parameters
        if cached is None or cached.probe != probe or cached.allowed is not allowed:
            selector = None
            if allowed is not None:
                selector = faiss.IDSelectorBitmap(len(allowed), faiss.swig_ptr(allowed))
            index = self.rotated.inner if self.has_lists else self.index
            cached = _Parameters(probe, allowed, selector, search_parameters(index, probe, selector))
            self._parameters = cached
        parameters = cached.parameters
        if lists is None:
            return Candidates(*self.index.search(queries, count, params=parameters))
        return _search_lists(self.rotated.inner, count, lists, parameters)


def _search_lists(index: Any, count: int, lists: NearestLists, parameters: Any) -> Candidates:
    """Search given lists like ``index.search``. FAISS's own wrapper for this accepts no parameters."""
    queries = np.ascontiguousarray(lists.queries, np.float32)
    numbers = np.ascontiguousarray(lists.numbers, np.int64)
    cosines = np.ascontiguousarray(lists.cosines, np.float32)
    if queries.shape[1] != index.d or numbers.shape != (len(queries), parameters.nprobe):
        raise ValueError(f"lists of shape {numbers.shape} for {len(queries)} queries")  # FAISS would not check this.
    scores, ids = np.empty((len(queries), count), np.float32), np.empty((len(queries), count), np.int64)
    ptr = faiss.swig_ptr
    index.search_preassigned_c(
        len(queries), ptr(queries), count, ptr(numbers), ptr(cosines), ptr(scores), ptr(ids), False, parameters
    )
    return Candidates(scores, ids)


def map_index(folder: IndexFolder) -> Any:
    """Map the FAISS index in a folder; only the pages in use are read. Rows must never be added to it.

    Raises FileNotFoundError, and CorruptCollectionError where it cannot be read.
    """
    index = _read(folder, faiss.IO_FLAG_MMAP_IFC)
    if (blocks := inverted_lists.find_block_lists(index)) is not None:
        with folder.open(LISTS_FILE) as file:
            inverted_lists.attach_mapped_lists(
                blocks, file, path_of(file, *_file(folder, LISTS_FILE)), _table(folder, blocks)
            )
    return index


def load_index(folder: IndexFolder) -> Any:
    """Load the FAISS index in a folder into memory, so that rows can be added. Raises as :func:`map_index`."""
    index = _read(folder, 0)
    if (blocks := inverted_lists.find_block_lists(index)) is not None:
        with folder.open(LISTS_FILE) as file:
            inverted_lists.load_lists(blocks, file, _table(folder, blocks))
    return index


def load_empty_index(folder: IndexFolder) -> Any:
    """Load only the lists' centres and the codecs of an index into memory, so that other rows can be added."""
    index = _read(folder, 0)
    if (blocks := inverted_lists.find_block_lists(index)) is not None:
        inverted_lists.attach_empty_lists(blocks)
    index.reset()
    return index


def _read(folder: IndexFolder, flags: int) -> Any:
    with folder.open(INDEX_FILE) as file:
        try:
            check_structure(file)
            return faiss.read_index(path_of(file, *_file(folder, INDEX_FILE)), flags)
        except (ValueError, RuntimeError, MemoryError) as error:
            raise damaged_index_error(folder, error) from error


def _file(folder: IndexFolder, name: str) -> tuple[Path, str]:
    return folder.root, f"{folder.name}/{name}"


def _table(folder: IndexFolder, blocks: Any) -> inverted_lists.Table:
    table = folder.array(TABLE_FILE)
    # A list that extends beyond the file would crash the process.
    if not inverted_lists.is_valid_table(blocks, table, folder.size(LISTS_FILE)):
        raise damaged_index_error(folder, f"{TABLE_FILE} is not a table of lists")
    return table.astype(np.uint64, copy=False)


def imbalance(index: Any) -> float:
    """Return how unevenly lists are filled: 1 if all are equally long; search time grows in proportion."""
    lists = inverted_file(index)
    return 1.0 if lists is None else float(lists.invlists.imbalance_factor())
