"""Read the metadata of a FAISS snapshot without opening it: its images, its search parameters, its measured recall.

``faiss.index`` has codes and image ids, ``covered.npy`` which ids those are (a bit for each id from 0 on), and
``index.json`` the kind of index, its search parameters, and the recall measured when it was built. The lists of
fast-scan codes lie in ``faiss.lists`` and ``lists.npy`` (:mod:`imseek.data.vectors.inverted_lists`), codes of their
centres in ``centres.npy`` (:mod:`imseek.data.vectors.centre_codes`).

A snapshot of several parts is an ``index.json`` that names them, and perhaps ``truth.npz``; each part lies in a folder
beside it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from io import FileIO
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from imseek.data import layout
from imseek.data.files.checked_json import JsonObject, check_integer, check_number
from imseek.data.files.collection_files import load_array, open_file, read_file, stat_file
from imseek.data.files.durable_files import add_checksum, strip_checksum
from imseek.data.vectors.base import Bools, Ids
from imseek.errors import CorruptCollectionError

INDEX_FILE = layout.SNAPSHOT_INDEX
COVERED_FILE = layout.SNAPSHOT_COVERED
METADATA_FILE = layout.SNAPSHOT_METADATA
LISTS_FILE = layout.SNAPSHOT_LISTS
TABLE_FILE = layout.SNAPSHOT_TABLE
CENTRES_FILE = layout.SNAPSHOT_CENTRES
TRUTH_FILE = layout.SNAPSHOT_TRUTH

#: Number of results for which recall is measured and efforts are tuned.
RECALL_K = 10

#: The name of a snapshot's folder inside the folder of its space.
_FOLDER = re.compile(r"[0-9]{1,19}(\.[0-9]{1,19})?")
#: Bytes of a bitmap that are counted at a time.
_PIECE = 1 << 20
_FILES = (INDEX_FILE, COVERED_FILE, METADATA_FILE, LISTS_FILE, TABLE_FILE, CENTRES_FILE, TRUTH_FILE)

Bits: TypeAlias = npt.NDArray[np.uint8]

#: Factory strings of the kinds that FAISS supports on GPUs: flat codes, and lists of them with flat centres.
_FOR_GPUS = re.compile(r"((OPQ|PCA|RR|ITQ)\w*,)*(IDMap2?,)?(Flat|SQfp16|IVF\d+,(Flat|SQ\w+|PQ\d+(x8)?(np)?)|CAGRA\d*)")


def runs_on_gpu(factory: str) -> bool:
    """Whether GPUs can search the kind of index that this factory string names."""
    return _FOR_GPUS.fullmatch(factory) is not None


class IndexFolder(NamedTuple):
    """The folder of a snapshot, or of one of its parts: ``name`` is its path below the ``root`` of a collection."""

    root: Path
    name: str

    @property
    def path(self) -> Path:
        return self.root / self.name

    @property
    def last(self) -> str:
        """The name of the folder inside the folder of its space."""
        return self.name.rpartition("/")[2]

    def beside(self, last: str) -> IndexFolder:
        """Return the sibling folder of this name."""
        return IndexFolder(self.root, f"{self.name.rpartition('/')[0]}/{last}")

    def open(self, file: str) -> FileIO:
        """Open one of its files. Raises FileNotFoundError, OSError, CorruptCollectionError."""
        return open_file(self.root, f"{self.name}/{file}")

    def array(self, file: str) -> npt.NDArray[Any]:
        """Read the array in one of its files into memory. Raises as :meth:`open`."""
        try:
            return load_array(self.root, f"{self.name}/{file}", mapped=False)
        except ValueError as error:
            raise damaged_index_error(self, error) from error

    def size(self, file: str) -> int:
        """Return the bytes of one of its files. Raises FileNotFoundError, CorruptCollectionError."""
        if (info := stat_file(self.root, f"{self.name}/{file}")) is None:
            raise FileNotFoundError(self.path / file)
        return info.st_size


@dataclass(frozen=True, slots=True)
class SearchEffort:
    """How thoroughly one search looks for ten results.

    ``probe`` is the number of lists probed (``efSearch`` of a graph, 0 where a kind has no such parameter). With a
    ``reach``, it depends on the query: of the lists nearest to it, up to half as many more than ``probe``, those are
    probed whose centre's cosine is at most ``reach`` below the nearest one's. At most ``rescore`` candidates are scored
    again: those whose score by codes is at most ``slack`` below the tenth (None: all).
    """

    probe: int
    rescore: int
    slack: float | None = None
    reach: float | None = None

    def scale_to(self, k: int) -> SearchEffort:
        """Return the effort for ``k`` results: further results are spread over more lists, and errors of codes matter
        more. It has no reach: where clusters are small, further results lie in other ones, far from the nearest.

        Only the effort for ten is measured; these are rules of thumb (docs/decisions/0018-approximate-index.md).
        """
        if k <= 16:
            return self
        probe = math.ceil(self.probe * (1 + math.log2(k / 10) / 4))
        rescore = k + math.ceil(self.rescore * math.sqrt(k / 10))
        return SearchEffort(probe, rescore, self.slack)


@dataclass(frozen=True, slots=True)
class TuningResult:
    """How to search for one kind of query, and the mean recall@10 measured on other queries that way.

    ``filtered`` maps the share of images that a filter lets through to the ``probe`` that keeps that recall; the
    largest share first.
    """

    effort: SearchEffort
    recall: float
    queries: int
    filtered: tuple[tuple[float, int], ...] = ()

    def effort_for(self, share: float) -> SearchEffort:
        """Return the effort where a filter lets ``share`` of the images through, interpolating between two shares.

        It has no reach, which is tuned without filters.
        """
        above, probe = 1.0, self.effort.probe
        for level, level_probe in self.filtered:
            level_probe = max(probe, level_probe)
            if share >= level:
                if probe and above > level:
                    part = math.log(above / min(share, above)) / math.log(above / level)
                    probe = math.ceil(probe * (level_probe / probe) ** part)
                break
            above, probe = level, level_probe
        return replace(self.effort, probe=probe, reach=None)


@dataclass(frozen=True, slots=True)
class IndexMetadata:
    """The content of ``index.json``.

    ``trained`` is the number of rows when the lists were trained; ``imbalance`` how unevenly they were filled then.
    Norms of all rows lie between ``lo`` and ``hi``. ``texts`` says what the text-like queries were: vectors of
    captions, or made from pictures.

    ``parts`` names the folders of a snapshot of several parts. In the metadata of one part, ``layout`` names the folder
    of the part whose lists and codes it shares ("" if they are its own); a part is neither measured nor searched alone.
    """

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
    image: TuningResult
    text: TuningResult
    texts: str
    sizes: Mapping[str, int] = field(default_factory=dict)
    parts: tuple[str, ...] = ()
    layout: str = ""

    def seal(self) -> bytes:
        # Earlier versions know none of these members: they can read a snapshot that does without.
        document = {k: v for k, v in asdict(self).items() if v or k not in ("parts", "layout")}
        for kind in ("image", "text"):
            if document[kind]["effort"]["reach"] is None:
                del document[kind]["effort"]["reach"]
        return add_checksum(document)

    @classmethod
    def read(cls, data: bytes) -> IndexMetadata:
        """Parse metadata. Raises ValueError for anything but exactly the bytes that :meth:`seal` makes."""
        document = JsonObject(strip_checksum(data), tuple(cls.__dataclass_fields__))
        parts = tuple(map(str, document.items("parts"))) if "parts" in document else ()
        lists_of = document.text("layout") if "layout" in document else ""
        if not all(_FOLDER.fullmatch(name) for name in (*parts, lists_of or "0")):
            raise ValueError("a part that is not a sibling folder")
        rows = document.whole("rows")
        sizes = document.object("sizes", _FILES) if "sizes" in document else JsonObject({})
        return cls(
            factory=document.text("factory"),
            dim=document.whole("dim", least=1, most=1 << 16),
            rows=rows,
            trained=document.whole("trained"),
            imbalance=document.number("imbalance", least=0),
            lo=document.number("lo", least=0),
            hi=document.number("hi", least=0),
            target=document.number("target", least=0, most=1),
            memory=document.whole("memory"),
            built=document.time("built"),
            seconds=document.number("seconds", least=0),
            image=_parse_tuning(document.object("image", tuple(TuningResult.__dataclass_fields__))),
            text=_parse_tuning(document.object("text", tuple(TuningResult.__dataclass_fields__))),
            texts=document.text("texts"),
            sizes={name: sizes.whole(name) for name in sizes},
            parts=parts,
            layout=lists_of,
        )


def _parse_tuning(document: JsonObject) -> TuningResult:
    effort = document.object("effort", tuple(SearchEffort.__dataclass_fields__))
    filtered = []
    for pair in document.items("filtered"):
        if not isinstance(pair, list) or len(pair) != 2:
            raise ValueError("filtered is not a list of pairs")
        share, probe = pair
        filtered.append(
            (check_number(share, "filtered", least=0, most=1), check_integer(probe, "filtered", most=1 << 31))
        )
    return TuningResult(
        effort=SearchEffort(
            probe=effort.whole("probe", most=1 << 31),
            rescore=effort.whole("rescore", most=1 << 31),
            slack=effort.number("slack", least=0) if "slack" in effort else None,
            reach=effort.number("reach", least=0) if "reach" in effort else None,
        ),
        recall=document.number("recall", least=0, most=1),
        queries=document.whole("queries"),
        filtered=tuple(filtered),
    )


def damaged_index_error(folder: IndexFolder, cause: object) -> CorruptCollectionError:
    return CorruptCollectionError(f"the vector index in {folder.path} is damaged: {cause}")


def read_index_metadata(folder: IndexFolder) -> IndexMetadata:
    """Read the metadata of a snapshot, and check the sizes of its files.

    Raises FileNotFoundError where a file of the snapshot is gone, CorruptCollectionError where one is damaged.
    """
    try:
        facts = IndexMetadata.read(read_file(folder.root, f"{folder.name}/{METADATA_FILE}"))
        for name, size in facts.sizes.items():
            if name == TRUTH_FILE:
                continue  # No search needs it, and growing the snapshot recreates it if it is damaged.
            if (actual := folder.size(name)) != size:
                raise ValueError(f"{name} has {actual} bytes instead of {size}")
    except ValueError as error:
        raise damaged_index_error(folder, error) from error
    return facts


def part_folders(folder: IndexFolder, facts: IndexMetadata) -> tuple[IndexFolder, ...]:
    """Return the folders of a snapshot's indexes: those of its parts, or its own."""
    return tuple(folder.beside(name) for name in facts.parts) if facts.parts else (folder,)


class CoveredIds:
    """The ids in a snapshot, as a bitmap: ``marks`` has a bit for each id from 0 on."""

    def __init__(self, marks: Bits) -> None:
        self.marks = marks

    @classmethod
    def of_all(cls, parts: Sequence[CoveredIds]) -> CoveredIds:
        """Return the union of the ids of ``parts``."""
        marks = np.zeros(max((len(part.marks) for part in parts), default=0), np.uint8)
        for part in parts:
            marks[: len(part.marks)] |= part.marks
        return cls(marks)

    @classmethod
    def read(cls, folder: IndexFolder, rows: int) -> CoveredIds:
        """Read the ids of a snapshot of ``rows`` images. Raises FileNotFoundError or CorruptCollectionError.

        They are counted: an image marked here but missing from the index would never be found.
        """
        marks = folder.array(COVERED_FILE)
        if marks.dtype != np.uint8 or marks.ndim != 1 or count_bits(marks) != rows:
            raise damaged_index_error(folder, f"{COVERED_FILE} does not have one bit for each of {rows:,} images")
        return cls(marks)

    def __len__(self) -> int:
        return count_bits(self.marks)

    def both(self, marks: Bits) -> int:
        """Return how many ids are in the bitmap ``marks`` too."""
        size = min(len(marks), len(self.marks))
        return count_bits(marks[:size] & self.marks[:size])

    def has(self, ids: Ids) -> Bools:
        """Return (n,): which of ``ids`` the snapshot has."""
        return test_bits(self.marks, ids)

    def ids(self) -> Ids:
        """Return all ids, ascending."""
        places = np.flatnonzero(self.marks)
        byte, bit = np.nonzero(np.unpackbits(self.marks[places, None], axis=1, bitorder="little"))
        return places[byte] * 8 + bit

    def bitmap_of(self, ids: Ids) -> Bits:
        """Return a bitmap of those of ``ids`` that the snapshot has."""
        return pack_bits(ids[self.has(ids)], 8 * len(self.marks))


def pack_bits(ids: Ids, size: int) -> Bits:
    """Return a bitmap of ``ids`` from 0 to below ``size``, the first in the lowest bit of the first byte."""
    marks = np.zeros(int(ids.max(initial=-1)) + 1, np.bool_)
    marks[ids] = True
    packed = np.zeros((size + 7) // 8, np.uint8)
    packed[: (len(marks) + 7) // 8] = np.packbits(marks, bitorder="little")
    return packed


def count_bits(marks: Bits) -> int:
    """Count the bits that are set, in pieces, since each bit needs a byte to be counted."""
    pieces = (marks[start : start + _PIECE] for start in range(0, len(marks), _PIECE))
    return sum(int(np.count_nonzero(np.unpackbits(piece))) for piece in pieces)


def test_bits(marks: Bits, ids: Ids) -> Bools:
    """Return (n,): whether the bit of each of ``ids`` is set; False for ids beyond the bitmap."""
    is_inside = (ids >= 0) & (ids < 8 * len(marks))
    if len(ids) > len(marks):  # A byte for each bit takes less time than arithmetic on each id.
        bits = np.unpackbits(marks, bitorder="little").view(np.bool_)
        return is_inside & bits.take(ids, mode="clip") if len(bits) else is_inside
    is_set = np.zeros(len(ids), np.bool_)
    valid = ids[is_inside]
    is_set[is_inside] = (marks[valid >> 3] >> (valid & 7).astype(np.uint8)) & 1
    return is_set
