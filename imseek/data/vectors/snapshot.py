"""A FAISS snapshot: an approximate index over the images of one generation, in files that are mapped into memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import faiss
import numpy as np

from imseek.data.vectors.base import Ids
from imseek.data.vectors.facts import INDEX, Bits, Covered, Facts, read_facts
from imseek.data.vectors.kinds import inverted_file, parameters, takes_filters
from imseek.errors import CorruptCollectionError
from imseek.types import Float32


class Snapshot:
    """An opened snapshot. It never changes, and any number of threads may search it.

    ``covered`` are the ids in it, ``filters`` whether its kind can be told which ids may be found.
    """

    def __init__(self, index: Any, covered: Covered, facts: Facts) -> None:
        self.index = index
        self.covered = covered
        self.facts = facts
        self.filters = takes_filters(index)

    @classmethod
    def open(cls, folder: Path) -> Snapshot:
        """Map the files of a snapshot. Cheap: lists are read when they are probed.

        Raises FileNotFoundError where one is gone, CorruptCollectionError where one is damaged.
        """
        facts = read_facts(folder)
        index = mapped(folder / INDEX)
        if (index.d, index.ntotal) != (facts.dim, facts.rows):
            raise CorruptCollectionError(
                f"the vector index in {folder} is damaged: {index.ntotal:,} vectors of {index.d} dimensions"
            )
        return cls(index, Covered.read(folder, facts.rows), facts)

    def candidates(self, queries: Float32, count: int, probe: int, allowed: Bits | None) -> Ids:
        """Ids (q, count) of the rows that rank first by their codes; -1 where fewer were met.

        ``allowed`` has a bit for each id that may be found; it must be None where the kind takes no filters.
        """
        if count < 1:
            return np.empty((len(queries), 0), np.int64)
        if allowed is None:
            return np.asarray(self.index.search(queries, count, params=parameters(self.index, probe))[1])
        # FAISS keeps pointers only: bits, selector and parameters must outlive the search.
        selector = faiss.IDSelectorBitmap(len(allowed), faiss.swig_ptr(allowed))
        chosen = parameters(self.index, probe, selector)
        return np.asarray(self.index.search(queries, count, params=chosen)[1])


def mapped(path: Path) -> Any:
    """The FAISS index in a file, of which only what is used is read. It must never be added to.

    Raises FileNotFoundError, and CorruptCollectionError where FAISS cannot read it.
    """
    if not path.exists():
        raise FileNotFoundError(path)
    try:
        return faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
    except (RuntimeError, MemoryError) as error:  # Of a damaged length it tries to get the memory.
        raise CorruptCollectionError(f"the vector index {path} is damaged: {error}") from error


def imbalance(index: Any) -> float:
    """How unevenly lists are filled: 1 if all are equally long; the time of a search grows by it."""
    lists = inverted_file(index)
    return 1.0 if lists is None else float(lists.invlists.imbalance_factor())
