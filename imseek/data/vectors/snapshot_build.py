"""Build the FAISS index of a snapshot, from all live rows or from the previous index, and write it for mapping."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from imseek.data.files import durable_files
from imseek.data.vectors import inverted_lists
from imseek.data.vectors.base import Ids
from imseek.data.vectors.build import LiveRows, ReportShare, add_rows, build_index
from imseek.data.vectors.centre_codes import encode_centres
from imseek.data.vectors.code_rotation import RotatedIndex
from imseek.data.vectors.faiss_file_validation import check_structure
from imseek.data.vectors.faiss_snapshot import imbalance, load_index
from imseek.data.vectors.index_info import IndexPart
from imseek.data.vectors.index_kinds import inverted_file
from imseek.data.vectors.index_metadata import CENTRES_FILE, INDEX_FILE, LISTS_FILE, TABLE_FILE, IndexFolder
from imseek.errors import UsageError

#: The lists are trained again when rows or imbalance have grown by more than these factors.
MAX_GROWTH = 2.0
MAX_IMBALANCE = 1.7


@dataclass(frozen=True, slots=True, eq=False)
class BuiltIndex:
    """A FAISS index in memory, the number of rows that its lists were trained for, and how unevenly these filled them.

    ``layout`` is the folder of the part whose lists and codes it shares ("" if they are its own), ``base`` the part
    that it extends.
    """

    index: Any
    factory: str
    trained: int
    imbalance: float
    layout: str = ""
    base: IndexPart | None = None


def build_part(rows: LiveRows, dim: int, factory: str, memory: int, excluded: Ids, report: ReportShare) -> BuiltIndex:
    """Build an index of ``rows``, with lists of its own. Arguments and errors are those of :func:`build_index`."""
    with translate_faiss_errors(factory, len(rows), dim):
        index = build_index(rows, dim, factory, memory, excluded, report)
    return BuiltIndex(index, factory, len(rows), imbalance(index))


@contextmanager
def translate_faiss_errors(factory: str, rows: int, dim: int) -> Iterator[None]:
    """Translate FAISS's errors about a kind of index into UsageError.

    Examples: too few rows to train on, or codes of a size that it cannot search.
    """
    try:
        yield
    except RuntimeError as error:
        reason = str(error).rpartition("\n")[2].rpartition(": ")[2] or str(error)
        raise UsageError(
            f"no {factory} index can be made of {rows:,} vectors of {dim} dimensions: {reason}",
            hint="`imseek maintain --index auto` picks one that fits",
        ) from error


def extend_part(folder: IndexFolder, part: IndexPart, fresh: LiveRows, report: ReportShare) -> BuiltIndex | None:
    """Add ``fresh`` rows to the part in ``folder``; return None where its lists must be trained again.

    Dead rows stay until then. Raises CorruptCollectionError.
    """
    index = load_index(folder)
    if inverted_file(index) is None:
        return None
    if len(fresh):
        add_rows(index, fresh, report)
    facts = part.facts
    if imbalance(index) > MAX_IMBALANCE * facts.imbalance:
        return None
    return BuiltIndex(index, facts.factory, facts.trained, facts.imbalance, facts.layout or part.name, part)


def stage(index: Any, folder: Path) -> dict[str, durable_files.FileDigest]:
    """Write an index in the form in which it is mapped later. The index may lose its lists."""
    digests = {}
    if (codes := encode_centres(RotatedIndex.of(index))) is not None:
        digests[CENTRES_FILE] = durable_files.stage(folder / CENTRES_FILE, partial(write_array, codes))
    if (blocks := inverted_lists.find_block_lists(index)) is not None:
        table = inverted_lists.table_of(blocks)
        digests[LISTS_FILE] = durable_files.stage(
            folder / LISTS_FILE, partial(_write_all, inverted_lists.lists_content(blocks, table))
        )
        digests[TABLE_FILE] = durable_files.stage(folder / TABLE_FILE, partial(write_array, table))
        inverted_lists.detach_lists(blocks)
    digests[INDEX_FILE] = durable_files.stage(folder / INDEX_FILE, partial(_write, index))
    _check_kind(folder / INDEX_FILE)
    return digests


def _check_kind(path: Path) -> None:
    """Raise UsageError for a kind of index that would be refused on reading."""
    try:
        with path.open("rb") as file:
            check_structure(file)
    except ValueError as error:
        raise UsageError(f"FAISS made {error}", hint="`imseek maintain --index auto` picks a kind that fits") from error


def _write_all(pieces: Iterable[Any], out: Any) -> None:
    for piece in pieces:
        out.write(piece)


def write_array(array: Any, out: Any) -> None:
    np.lib.format.write_array(out, array, version=(1, 0), allow_pickle=False)


def _write(index: Any, out: Any) -> None:
    """Write an index through Python's file, which hashes the data. Errors of the system are raised unchanged."""
    errors: list[OSError] = []

    def write(data: Any) -> int:
        try:
            out.write(data)
        except OSError as error:
            errors.append(error)
            raise
        return len(data)

    try:
        faiss.write_index(index, faiss.PyCallbackIOWriter(write))
    except Exception as error:
        if errors:
            raise errors[0] from error
        raise
