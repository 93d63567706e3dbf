"""A FAISS snapshot: an approximate index over the images of one generation, in files that are mapped into memory.

``faiss.index`` holds codes and image ids, ``covered.npy`` which ids those are (a bit for each id from 0 on), and
``index.json`` what kind it is, how it is searched, and what recall was measured when it was built.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from imseek.data.durable import seal, unseal
from imseek.data.vectors.base import Bools, Ids
from imseek.data.vectors.kinds import Effort, inverted_file, parameters, takes_filters
from imseek.errors import CorruptCollectionError
from imseek.types import Float32

INDEX = "faiss.index"
COVERED = "covered.npy"
FACTS = "index.json"

Bits = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Tuned:
    """For one kind of query: how it is searched, and the mean recall@10 that was measured so on other queries.

    ``filtered`` has, by the share of images that a filter lets through, the ``probe`` that keeps that recall.
    """

    effort: Effort
    recall: float
    queries: int
    filtered: tuple[tuple[float, int], ...] = ()

    def effort_for(self, share: float) -> Effort:
        """The effort where a filter lets ``share`` of the images through."""
        probe = self.effort.probe
        for level, wanted in self.filtered:
            if share <= level:
                probe = max(probe, wanted)
        return Effort(probe, self.effort.rescore)


@dataclass(frozen=True, slots=True)
class Facts:
    """What ``index.json`` says. ``trained`` is how many rows there were when the lists were laid out; ``imbalance`` how
    unevenly they were filled then. Norms of all rows lie between ``lo`` and ``hi``. ``texts`` says what the text-like
    queries were: vectors of captions, or made from pictures."""

    factory: str
    dim: int
    rows: int
    trained: int
    imbalance: float
    lo: float
    hi: float
    target: float
    memory: int
    built: str
    seconds: float
    image: Tuned
    text: Tuned
    texts: str
    sizes: Mapping[str, int] = field(default_factory=dict)

    def sealed(self) -> bytes:
        return seal(asdict(self))

    @classmethod
    def read(cls, data: bytes) -> Facts:
        """Raises ValueError for anything else than the very bytes that :meth:`sealed` made."""
        document = unseal(data)
        try:
            for kind in ("image", "text"):
                tuned = document[kind]
                tuned["effort"] = Effort(**tuned["effort"])
                tuned["filtered"] = tuple((level, probe) for level, probe in tuned["filtered"])
                document[kind] = Tuned(**tuned)
            return cls(**document)
        except (KeyError, TypeError) as error:
            raise ValueError(f"no facts of an index: {error}") from error


class Snapshot:
    """An opened snapshot. It never changes, and any number of threads may search it."""

    def __init__(self, index: Any, covered: Bits, facts: Facts) -> None:
        self.index = index
        self.facts = facts
        self.filters = takes_filters(index)
        self._covered = covered

    @classmethod
    def open(cls, folder: Path) -> Snapshot:
        """Map the files of a snapshot. Cheap: lists are read when they are probed.

        Raises FileNotFoundError where one is gone, CorruptCollectionError where one is damaged.
        """
        try:
            facts = Facts.read((folder / FACTS).read_bytes())
            for name, size in facts.sizes.items():
                if (found := (folder / name).stat().st_size) != size:
                    raise ValueError(f"{name} has {found} bytes instead of {size}")
            covered = np.load(folder / COVERED, allow_pickle=False)
            index = faiss.read_index(str(folder / INDEX), faiss.IO_FLAG_MMAP_IFC)
        except FileNotFoundError:
            raise
        except (ValueError, EOFError, RuntimeError, OSError, json.JSONDecodeError) as error:
            raise CorruptCollectionError(f"the vector index in {folder} is damaged: {error}") from error
        if index.d != facts.dim or index.ntotal != facts.rows or covered.dtype != np.uint8:
            raise CorruptCollectionError(f"the vector index in {folder} is not what {FACTS} says")
        return cls(index, covered, facts)

    def covers(self, ids: Ids) -> Bools:
        """(n,): which of ``ids`` the snapshot has."""
        inside = (ids >= 0) & (ids < 8 * len(self._covered))
        found = np.zeros(len(ids), np.bool_)
        known = ids[inside]
        found[inside] = (self._covered[known >> 3] >> (known & 7).astype(np.uint8)) & 1
        return found

    def marked(self, ids: Ids) -> Bits:
        """As a bit for each id: those of ``ids`` that the snapshot has."""
        return bits(ids[self.covers(ids)], 8 * len(self._covered))

    def candidates(self, queries: Float32, count: int, probe: int, allowed: Bits | None) -> Ids:
        """Ids (q, count) of the rows that rank first by their codes; -1 where fewer were met.

        ``allowed`` has a bit for each id that may be found; it must be None where the kind takes no filters.
        """
        if allowed is None:
            return np.asarray(self.index.search(queries, count, params=self._parameters(probe, None))[1])
        # FAISS keeps pointers only: bits, selector and parameters must outlive the search.
        selector = faiss.IDSelectorBitmap(len(allowed), faiss.swig_ptr(allowed))
        chosen = self._parameters(probe, selector)
        return np.asarray(self.index.search(queries, count, params=chosen)[1])

    def _parameters(self, probe: int, selector: Any | None) -> Any:
        return parameters(self.index, probe, selector)

    @property
    def imbalance(self) -> float:
        lists = inverted_file(self.index)
        return 1.0 if lists is None else float(lists.invlists.imbalance_factor())


def bits(ids: Ids, size: int) -> Bits:
    """``ids`` as a bit each, the first in the lowest bit of the first byte; of ids from 0 to below ``size``."""
    marks = np.zeros(size, np.bool_)
    marks[ids] = True
    return np.packbits(marks, bitorder="little")
