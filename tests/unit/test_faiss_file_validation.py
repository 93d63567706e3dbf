"""FAISS files are walked through before FAISS reads them."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest

from imseek.data.vectors.faiss_file_validation import check_structure
from imseek.data.vectors.faiss_snapshot import load_index, map_index
from imseek.data.vectors.index_kinds import make_index
from imseek.data.vectors.index_metadata import IndexFolder
from imseek.errors import CorruptCollectionError

DIM = 16
#: A kind of index for each way of packing rows, of finding them, and of transforming them first.
KINDS = (
    "Flat", "SQ8", "SQ4", "SQfp16", "PQ4x4", "PQ4x4fs", "HNSW8", "HNSW8,SQ8", "IVF4,Flat", "IVF4,SQ8", "IVF4,SQ6",
    "IVF4,PQ4x4", "IVF4,PQ4x4fs", "IVF4_HNSW4,SQ8", "IVF4,RaBitQ", "IVF4,RaBitQfs", "RaBitQ", "RaBitQfs",
    "OPQ4_8,IVF4,PQ4x4fs", "PCA8,IVF4,SQ8", "PCAR8,Flat", "RR8,Flat", "ITQ8,Flat", "Pad32,Flat", "L2norm,Flat",
    "HR16,Flat", "RQ2x4", "IVF4,RQ2x4", "IVF4,LSQ2x4", "SQ8,RFlat", "IVF4,PQ4x4fs,RFlat",
)  # fmt: skip


def rows() -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.random.default_rng(0).standard_normal((300, DIM)).astype(np.float32)


def written(index: Any) -> bytes:
    return faiss.serialize_index(index).tobytes()


def filled(factory: str) -> Any:
    index = make_index(factory, DIM)
    index.train(rows())
    index.add_with_ids(rows(), np.arange(300))
    return index


def check(data: bytes) -> None:
    check_structure(io.BytesIO(data))


@pytest.mark.parametrize("factory", KINDS)
def test_a_sound_index_is_walked_through_to_its_end(factory: str) -> None:
    data = written(filled(factory))
    file = io.BytesIO(data)
    check_structure(file)
    assert file.tell() == len(data)


@pytest.mark.parametrize("factory", ["HNSW8,SQ8", "IVF4,PQ4x4fs", "OPQ4_8,IVF4,PQ4x4fs", "IVF4_HNSW4,SQ8"])
def test_a_part_of_an_index_is_none(factory: str) -> None:
    data = written(filled(factory))
    for end in (*range(200), *range(200, len(data), 97)):
        with pytest.raises(ValueError, match=r"early|bytes"):
            check(data[:end])


@pytest.mark.parametrize("factory", ["HNSW8,SQ8", "IVF4,SQ8", "IVF4,PQ4x4fs", "OPQ4_8,IVF4,PQ4x4fs"])
def test_no_length_can_be_larger_than_the_file(factory: str) -> None:
    """Wherever a huge number is put: either nobody takes it for a length, or it is refused."""
    data = written(filled(factory))
    huge = struct.pack("<Q", 2**36)
    refused = 0
    for at in range(0, min(len(data) - 8, 4000)):
        lie = data[:at] + huge + data[at + 8 :]
        try:
            check(lie)
        except ValueError:
            refused += 1
    assert refused > 50


def test_lists_in_a_file_of_their_own_are_never_opened(tmp_path: Path) -> None:
    """FAISS would map that file, for writing too, also where the lists are those of the centres."""
    canary = tmp_path / "canary"
    index = faiss.index_factory(DIM, "IVF4,Flat", faiss.METRIC_INNER_PRODUCT)
    index.train(rows())
    index.add(rows()[:4])
    lists = faiss.OnDiskInvertedLists(index.nlist, index.code_size, str(canary))
    lists.merge_from(index.invlists, 0)
    index.replace_invlists(lists)
    outer = faiss.IndexIVFFlat(index, DIM, 4, faiss.METRIC_INNER_PRODUCT)
    outer.is_trained = True
    for one in (index, outer):
        (tmp_path / "faiss.index").write_bytes(written(one))
        for read in (map_index, load_index):
            with pytest.raises(CorruptCollectionError, match="lists of the kind 'ilod'"):
                read(IndexFolder(tmp_path.parent, tmp_path.name))


@pytest.mark.parametrize(("before", "after", "numbers"), [(DIM, 5, 5 * DIM), (8, 8, 64), (DIM, 8, 9 * DIM)])
def test_a_rotation_of_other_dimensions_is_refused(before: int, after: int, numbers: int) -> None:
    """FAISS, and imseek's own product, would read beyond the end of vectors or of the matrix."""
    index = filled("OPQ4_8,IVF4,PQ4x4fs")
    rotation = faiss.downcast_VectorTransform(index.chain.at(0))
    rotation.d_in, rotation.d_out = before, after
    faiss.copy_array_to_vector(np.zeros(numbers, np.float32), rotation.A)
    with pytest.raises(ValueError, match=r"numbers (of a vector|in a matrix).*are stated"):
        check(written(index))


def test_fewer_rows_than_are_stated_are_refused() -> None:
    """FAISS reads beyond the end of scalar codes."""
    data = written(filled("HNSW8,SQ8"))
    codes = struct.pack("<Q", 300 * DIM)
    at = data.rindex(codes)
    with pytest.raises(ValueError, match="4,784 bytes of rows, where 4,800 are stated"):
        check(data[:at] + struct.pack("<Q", 299 * DIM) + data[at + 8 : at + 8 + 299 * DIM] + data[at + 8 + 300 * DIM :])


def test_indexes_within_each_other_have_an_end() -> None:
    data = written(faiss.IndexFlatIP(DIM))
    for _ in range(20):
        header = struct.pack("<4siq16xBi", b"IxPT", DIM, 0, 1, faiss.METRIC_INNER_PRODUCT)
        data = header + struct.pack("<i", 0) + data
    with pytest.raises(ValueError, match="within each other"):
        check(data)


@pytest.mark.parametrize(
    "letters", [b"zzzz", b"null", b"IwFd", b"IxLa", b"INSf", b"IVLf", b"ISVD", b"IBxF", b"\xff\xff\xff\xff"]
)
def test_other_kinds_are_refused_by_name(letters: bytes) -> None:
    with pytest.raises(ValueError, match="which imseek does not open"):
        check(letters + written(filled("Flat"))[4:])


def test_another_metric_is_refused() -> None:
    """FAISS makes a table of up to two gigabytes for distances."""
    with pytest.raises(ValueError, match="metric 1"):
        check(written(faiss.index_factory(DIM, "IVF4,PQ4x4", faiss.METRIC_L2)))


def test_a_graph_that_a_gpu_has_built_is_walked_through() -> None:
    """Without rows here: only a GPU builds one."""
    index = faiss.IndexIDMap2(faiss.IndexHNSWCagra(DIM, 8, faiss.METRIC_INNER_PRODUCT))
    data = written(index)
    file = io.BytesIO(data)
    check_structure(file)
    assert file.tell() == len(data)


@pytest.mark.parametrize("factory", ["PQ4x4fs", "RaBitQfs"])
def test_fewer_blocks_than_rows_are_refused(factory: str) -> None:
    """FAISS reads as many blocks as the number of rows needs."""
    index = filled(factory)  # It owns the index within it.
    data = written(faiss.downcast_index(index.index))
    check(data)
    header = struct.pack("<iq", DIM, 300)
    assert data[4:16] == header
    with pytest.raises(ValueError, match=r"blocks of 320 rows, where 900 are stated"):
        check(data[:4] + struct.pack("<iq", DIM, 900) + data[16:])


def test_codebooks_that_no_memory_holds_are_refused() -> None:
    data = written(filled("RQ2x4"))
    sizes = struct.pack("<QQQ", 2, 4, 4)
    at = data.index(sizes)
    with pytest.raises(ValueError, match=r"codebooks of 4,294,967,312 entries"):
        check(data[:at] + struct.pack("<QQQ", 2, 32, 4) + data[at + 24 :])


@pytest.mark.parametrize("norms", ["cqint8", "lsq2x4"])
def test_centres_and_tables_of_norms_are_walked_through(norms: str) -> None:
    """Of enough rows: with 300, FAISS 1.15 itself crashes when it trains the former."""
    many = np.random.default_rng(0).standard_normal((4000, DIM)).astype(np.float32)
    index = make_index(f"RQ2x4_N{norms}", DIM)
    index.train(many)
    index.add_with_ids(many[:50], np.arange(50))
    data = written(index)
    file = io.BytesIO(data)
    check_structure(file)
    assert file.tell() == len(data)
    with pytest.raises(ValueError, match=r"early|bytes"):
        check(data[:-8])
