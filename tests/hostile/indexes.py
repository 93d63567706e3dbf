"""Lies in FAISS files and in the tables beside them."""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from hostile.arrays import npy
from hostile.forge import Forge
from hostile.lies import Lie, Tell, gather


def index_lies(folder: str) -> list[Lie]:
    """Lies about the files of the part of a snapshot that lies in ``folder``.

    ``verify`` need not see them: an index is derived, and who finds it damaged goes on without it.
    """
    index, lists, table = (f"{folder}/{name}" for name in ("faiss.index", "faiss.lists", "lists.npy"))
    return [
        *gather("index/faiss.index", _indexes(index), verify=False, trust=True),
        *gather("index/lists.npy", _tables(table), verify=False, trust=True),
        *gather("index/faiss.lists", _codes(lists), verify=False, trust=True),
        *gather("index/covered.npy", _covered(f"{folder}/covered.npy"), verify=False, trust=True),
    ]


def _serialise(index: Any) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "index"
        faiss.write_index(index, str(path))
        return path.read_bytes()


def _rows(dim: int) -> Any:
    return np.random.default_rng(0).standard_normal((200, dim)).astype(np.float32)


def _indexes(name: str) -> Iterator[tuple[str, str, Tell]]:
    def put(make: Callable[[bytes], bytes]) -> Tell:
        return lambda forge: forge.replace(name, make(forge.mirror(name).read_bytes()))

    def other(factory: str, dim: int = 16, metric: int = faiss.METRIC_INNER_PRODUCT) -> Tell:
        def make(_: bytes) -> bytes:
            index = faiss.index_factory(dim, factory, metric)
            index.train(_rows(dim))
            index.add(_rows(dim)) if "IDMap" not in factory else index.add_with_ids(_rows(dim), np.arange(200))
            return _serialise(index)

        return put(make)

    for factory in (
        "Flat",
        "IDMap,Flat",
        "IVF4,Flat",
        "IVF4,SQ8",
        "HNSW8",
        "PQ4x4fs",
        "PCA4,Flat",
        "IVF2,PQ4x4fs",
    ):
        yield "another kind of index", factory, other(factory)
    yield "another kind of index", "binary", put(lambda _: _binary())
    yield "other dimensions", "wider", other("IVF2,PQ4x4fs", 32)
    yield "other dimensions", "other metric", other("IVF2,PQ4x4fs", metric=faiss.METRIC_L2)
    # Words of the header: after the four letters come the dimension and the number of rows.
    for label, offset, code, value in (
        ("dimension", 4, "<i", 2**31 - 1),
        ("negative dimension", 4, "<i", -1),
        ("no dimension", 4, "<i", 0),
        ("rows", 8, "<q", 10**12),
        ("negative rows", 8, "<q", -1),
        ("metric", 29, "<i", 99),
        ("lists", 33, "<q", 2**40),
        ("probe", 41, "<q", 2**62),
    ):
        yield "header", label, put(_patch(offset, struct.pack(code, value)))
    for letters in (b"zzzz", b"IxPT", b"IwSq", b"Ibwf", b"IHNf", b"ilar"):
        yield "header", letters.decode(), put(_patch(0, letters))
    for at in (0.1, 0.3, 0.5, 0.9):
        yield "huge counts inside", f"{at}", put(_counts(at))
    yield "lists in another file", "a canary", _point_elsewhere(name, lambda forge: forge.thesis)
    yield (
        "lists in another file",
        "outside",
        _point_elsewhere(name, lambda _: Path("../../../../../../home/thesis.txt")),
    )
    yield "lists in another file", "a device", _point_elsewhere(name, lambda _: Path("/dev/zero"))
    yield (
        "lists in another file",
        "a new file",
        _point_elsewhere(name, lambda forge: forge.arena.home / "new"),
    )
    yield "codes out of range", "graph", put(lambda _: _graph())


def _patch(offset: int, data: bytes) -> Callable[[bytes], bytes]:
    return lambda sound: sound[:offset] + data + sound[offset + len(data) :]


def _counts(share: float) -> Callable[[bytes], bytes]:
    def make(sound: bytes) -> bytes:
        at = int(len(sound) * share) & ~7
        return _patch(at, struct.pack("<q", 2**40))(sound)

    return make


def _binary() -> bytes:
    index = faiss.IndexBinaryFlat(16)
    index.add(np.zeros((3, 2), np.uint8))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "index"
        faiss.write_index_binary(index, str(path))
        return path.read_bytes()


def _graph() -> bytes:
    """A graph whose edges lead to nodes that are not there."""
    index = faiss.IndexHNSWFlat(16, 8, faiss.METRIC_INNER_PRODUCT)
    index.add(_rows(16))
    edges = faiss.vector_to_array(index.hnsw.neighbors)
    return _serialise(index).replace(edges.tobytes(), np.full_like(edges, 2**30).tobytes())


def _point_elsewhere(name: str, target: Callable[[Forge], Path]) -> Tell:
    """Inverted lists that say in which file they lie: FAISS maps that file, for writing too."""

    def tell(forge: Forge) -> None:
        with tempfile.TemporaryDirectory() as folder:
            there = Path(folder) / "lists"
            index = faiss.index_factory(16, "IVF2,SQ8", faiss.METRIC_INNER_PRODUCT)
            index.train(_rows(16))
            index.add(_rows(16))
            lists = faiss.OnDiskInvertedLists(index.nlist, index.code_size, str(there))
            lists.merge_from(index.invlists, 0)
            index.replace_invlists(lists)
            data = _serialise(index)
            before, after = str(there).encode(), str(target(forge)).encode()
            at = data.index(before)
            size = struct.pack("<Q", len(after))
            forge.replace(name, data[: at - 8] + size + after + data[at + len(before) :])

    return tell


def _tables(name: str) -> Iterator[tuple[str, str, Tell]]:
    """Of each list: how many rows it has, for how many there is room, and at which byte it begins."""

    def put(column: int, value: int) -> Tell:
        def tell(forge: Forge) -> None:
            table = np.load(forge.mirror(name))
            table[:, column] = value
            forge.replace(name, npy(table))

        return tell

    for label, column in (("rows", 0), ("room", 1), ("begin", 2)):
        for value in (0, 1, 33, 2**31, 2**40, 2**63, 2**64 - 1):
            yield "lists that lie", f"{label}={value}", put(column, value)


def _codes(name: str) -> Iterator[tuple[str, str, Tell]]:
    """Codes and ids of the lists."""

    def put(make: Callable[[bytes], bytes]) -> Tell:
        return lambda forge: forge.replace(name, make(forge.mirror(name).read_bytes()))

    yield "ids that are not there", "all ones", put(lambda sound: b"\xff" * len(sound))
    yield "ids that are not there", "zeros", put(lambda sound: bytes(len(sound)))
    yield (
        "ids that are not there",
        "huge",
        put(lambda sound: b"\xff\xff\xff\xff\xff\xff\xff\x7f" * (len(sound) // 8)),
    )
    yield "ids that are not there", "one", put(lambda sound: sound[:-8] + struct.pack("<q", 2**40))
    yield "ids that are not there", "longer", put(lambda sound: sound * 2)


def _covered(name: str) -> Iterator[tuple[str, str, Tell]]:
    def put(make: Callable[[Any], Any]) -> Tell:
        return lambda forge: forge.replace(name, npy(make(np.load(forge.mirror(name)))))

    yield "marks that lie", "other ids", put(lambda marks: marks[::-1].copy())
    yield (
        "marks that lie",
        "long",
        put(lambda marks: np.concatenate([marks, np.zeros(100_000_000, np.uint8)])),
    )
    yield "marks that lie", "far", put(lambda marks: np.concatenate([np.zeros(100_000_000, np.uint8), marks]))
