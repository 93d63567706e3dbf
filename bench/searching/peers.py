"""One peer, in its own process and its own environment: builds its index, or measures it. Started by bench/search.py.

    python bench/searching/peers.py JSON

Needs NumPy and the peer's own library. The JSON object names the task (build, ask, filtered, cold), the system, the
folder with rows and queries, and the numbers of both; the last line of the output is the report, as JSON.
"""

from __future__ import annotations

import json
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

import vectors
from searching import measure
from searching.measure import PROBES

#: Settings of searches, from fast to thorough.
EFS = (32, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096, 6144)
#: Graphs: neighbours of a node, and candidates while it is built.
LINKS = 32
BUILD = 200
#: From this many rows on, codes lose more of the answers to queries by words, so more candidates are scored again.
MANY: Final = 300_000
#: IVF: points per list for k-means, and its rounds.
POINTS = 40
ROUNDS = 10


class Peer(ABC):
    """``spec`` is the JSON object that the process was started with."""

    values: Sequence[int | None] = (None,)
    kind = ""
    file: str | None = None
    #: Set for a search in a cold process, where the peer can map its file instead of reading it.
    mapped = False

    def __init__(self, spec: dict[str, Any]) -> None:
        self.threads = int(spec["threads"])
        self.work = Path(spec["work"])
        self.spec = spec

    @property
    def path(self) -> Path:
        return self.work / str(self.file)

    @property
    def rows(self) -> Any:
        """(count, dim) float16, mapped."""
        return np.load(self.work / "rows.npy", mmap_mode="r")

    def blocks(self) -> Iterator[tuple[int, Any]]:
        """Row numbers and float32 rows."""
        rows = self.rows
        for start in range(0, len(rows), vectors.ROWS):
            yield start, rows[start : start + vectors.ROWS].astype(np.float32)

    def build(self) -> None:  # noqa: B027 - the exact ones have nothing to build
        """Write the index to :attr:`path`."""

    def rows_of(self, answers: Any) -> Any:
        return answers

    @abstractmethod
    def load(self) -> None: ...

    @abstractmethod
    def search(self, queries: Any, k: int, value: int | None) -> Any: ...


class NumPyFlat(Peer):
    """All products by BLAS, in float32."""

    def load(self) -> None:
        self.matrix = np.concatenate([block for _, block in self.blocks()])

    def search(self, queries: Any, k: int, value: int | None) -> Any:
        answers = []
        for start in range(0, len(queries), 16):
            scores = queries[start : start + 16] @ self.matrix.T
            nearest = np.argpartition(scores, -k, axis=1)[:, -k:]
            order = np.argsort(-np.take_along_axis(scores, nearest, axis=1), axis=1)
            answers.append(np.take_along_axis(nearest, order, axis=1))
        return np.concatenate(answers)


class Faiss(Peer):
    def load(self) -> None:
        import faiss

        faiss.omp_set_num_threads(self.threads)
        self.index = faiss.read_index(str(self.path), faiss.IO_FLAG_MMAP if self.mapped else 0)

    def search(self, queries: Any, k: int, value: int | None) -> Any:
        return self.index.search(queries, k)[1]


class FaissFlat(Faiss):
    codec = "Flat"

    def load(self) -> None:
        import faiss

        faiss.omp_set_num_threads(self.threads)
        self.index = faiss.index_factory(self.rows.shape[1], self.codec, faiss.METRIC_INNER_PRODUCT)
        for _, block in self.blocks():
            if not self.index.is_trained:
                self.index.train(block)
            self.index.add(block)


class FaissFlat16(FaissFlat):
    codec = "SQfp16"


class FaissIvf(Faiss):
    """4√n lists of float16 rows: the raw call that imseek's is compared with."""

    file = "ivf.faiss"
    values = PROBES

    def build(self) -> None:
        import faiss

        faiss.omp_set_num_threads(self.threads)
        rows, dim = self.rows, self.rows.shape[1]
        lists = int(4 * len(rows) ** 0.5)
        index = faiss.index_factory(dim, f"IVF{lists},SQfp16", faiss.METRIC_INNER_PRODUCT)
        ivf = faiss.extract_index_ivf(index)
        ivf.cp.niter, ivf.cp.max_points_per_centroid = ROUNDS, POINTS
        sample = np.sort(np.random.default_rng(0).permutation(len(rows))[: POINTS * lists])
        index.train(rows[sample].astype(np.float32))
        for _, block in self.blocks():
            index.add(block)
        faiss.write_index(index, str(self.path))

    def search(self, queries: Any, k: int, value: int | None) -> Any:
        import faiss

        return self.index.search(queries, k, params=faiss.SearchParametersIVF(nprobe=value))[1]

    def search_filtered(self, query: Any, k: int, value: int, passes: Any) -> Any:
        """Return (k,) row numbers; the search skips rows that do not pass."""
        import faiss

        bitmap = np.packbits(passes, bitorder="little")
        selector = faiss.IDSelectorBitmap(len(bitmap), faiss.swig_ptr(bitmap))
        params = faiss.SearchParametersIVF(nprobe=value, sel=selector)
        return self.index.search(query, k, params=params)[1][0]


class FaissFastScan(FaissIvf):
    """The raw call of the kind that imseek builds: codes of 4 bits, and the stored rows beside them to score again.

    It scores enough candidates again for the target recall.
    """

    file = "ivf-fast-scan.faiss"

    @property
    def rescore_count(self) -> int:
        """Candidates scored again."""
        return 600 if int(self.spec["count"]) < MANY else 2560

    def build(self) -> None:
        import faiss

        faiss.omp_set_num_threads(self.threads)
        rows, dim = self.rows, self.rows.shape[1]
        lists = int(4 * len(rows) ** 0.5)
        index = faiss.index_factory(dim, f"IVF{lists},PQ{dim // 2}x4fs", faiss.METRIC_INNER_PRODUCT)
        index.cp.niter, index.cp.max_points_per_centroid = ROUNDS, POINTS
        sample = np.sort(np.random.default_rng(0).permutation(len(rows))[: POINTS * lists])
        index.train(rows[sample].astype(np.float32))
        exact = faiss.IndexScalarQuantizer(dim, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
        exact.is_trained = True
        for _, block in self.blocks():
            index.add(block)
            exact.add(block)
        faiss.write_index(faiss.IndexRefine(index, exact), str(self.path))

    def search(self, queries: Any, k: int, value: int | None) -> Any:
        import faiss

        probes = faiss.SearchParametersIVF(nprobe=value)
        params = faiss.IndexRefineSearchParameters(k_factor=self.rescore_count / k, base_index_params=probes)
        return self.index.search(queries, k, params=params)[1]


class Hnswlib(Peer):
    file = "hnswlib.bin"
    values = EFS

    def build(self) -> None:
        import hnswlib

        index = hnswlib.Index(space="ip", dim=self.rows.shape[1])
        index.init_index(max_elements=len(self.rows), ef_construction=BUILD, M=LINKS, random_seed=0)
        for start, block in self.blocks():
            index.add_items(block, np.arange(start, start + len(block)), num_threads=self.threads)
        index.save_index(str(self.path))

    def load(self) -> None:
        import hnswlib

        self.index = hnswlib.Index(space="ip", dim=int(self.spec["dim"]))
        self.index.load_index(str(self.path))

    def search(self, queries: Any, k: int, value: int | None) -> Any:
        self.index.set_ef(value)
        return self.index.knn_query(queries, k, num_threads=self.threads)[0].astype(np.int64)

    def search_filtered(self, query: Any, k: int, value: int, passes: Any) -> Any:
        """Return (k,) row numbers, reached through nodes that do not pass too; none if fewer than ``k`` are found."""
        self.index.set_ef(max(value, k))
        try:
            return self.index.knn_query(query, k, num_threads=1, filter=passes.__getitem__)[0][0].astype(np.int64)
        except RuntimeError:  # It raises this for fewer than k.
            return np.empty(0, np.int64)


class USearch(Peer):
    """In half precision: a third of hnswlib's memory."""

    file = "usearch.bin"
    values = EFS

    def _new(self) -> Any:
        from usearch.index import Index

        return Index(ndim=int(self.spec["dim"]), metric="ip", dtype="f16", connectivity=LINKS, expansion_add=BUILD)

    def build(self) -> None:
        index = self._new()
        for start, block in self.blocks():
            index.add(np.arange(start, start + len(block)), block.astype(np.float16), threads=self.threads)
        index.save(str(self.path))

    def load(self) -> None:
        self.index = self._new()
        if self.mapped:
            self.index.view(str(self.path))
        else:
            self.index.load(str(self.path))

    def search(self, queries: Any, k: int, value: int | None) -> Any:
        self.index.expansion_search = value
        threads = min(self.threads, len(queries))
        keys = self.index.search(queries.astype(np.float16), k, threads=threads).keys
        return np.asarray(keys, np.int64).reshape(len(queries), -1)


class ScaNN(Peer):
    """A tree with rows in two leaves each (SOAR) and anisotropic codes, set up as in its authors' benchmarks."""

    file = "scann"
    values = PROBES

    @property
    def rescore_count(self) -> int:
        """Candidates scored again, by their float32 rows."""
        return 300 if int(self.spec["count"]) < MANY else 1500

    def build(self) -> None:
        from scann.scann_ops import py

        rows = np.concatenate([block for _, block in self.blocks()])
        leaves = int(4 * len(rows) ** 0.5)
        builder = py.scann_ops_pybind.builder(rows, 10, "dot_product")
        builder.set_n_training_threads(self.threads)
        tree = builder.tree(
            leaves,
            leaves // 20,
            training_sample_size=POINTS * leaves,
            training_iterations=ROUNDS,
            soar_lambda=1.3,
            overretrieve_factor=1.8,
        )
        searcher = tree.score_ah(2, anisotropic_quantization_threshold=0.2).reorder(self.rescore_count).build()
        self.path.mkdir(exist_ok=True)
        searcher.serialize(str(self.path))

    def load(self) -> None:
        from scann.scann_ops.py import scann_ops_pybind

        self.index = scann_ops_pybind.load_searcher(str(self.path))

    def search(self, queries: Any, k: int, value: int | None) -> Any:
        if len(queries) == 1:
            ids = self.index.search(queries[0], k, self.rescore_count, value)[0][np.newaxis]
        else:
            ids = self.index.search_batched(queries, k, self.rescore_count, value)[0]
        return ids.astype(np.int64)


class Glass(Peer):
    """A graph, walked by 8-bit codes, whose best are scored again in half precision."""

    file = "glass.graph"
    values = EFS

    def build(self) -> None:
        import glass

        glass.set_num_threads(self.threads)
        rows = np.concatenate([block for _, block in self.blocks()])
        glass.Index("HNSW", "IP", "SQ8U", LINKS, BUILD).build(rows).save(str(self.path))

    def load(self) -> None:
        import glass

        glass.set_num_threads(self.threads)
        graph = glass.Graph()
        graph.load(str(self.path))
        # The searcher copies the rows into codes and float16.
        self.index = glass.Searcher(graph, np.concatenate([block for _, block in self.blocks()]), "IP", "SQ8U", "FP16")

    def search(self, queries: Any, k: int, value: int | None) -> Any:
        self.index.set_ef(value)
        if len(queries) == 1:
            ids = np.asarray(self.index.search(queries[0], k)[0])[np.newaxis]
        else:
            ids = np.asarray(self.index.batch_search(queries, k, self.threads)[0]).reshape(len(queries), -1)
        return ids.astype(np.int64)


class AutoFaiss(Faiss):
    """What autofaiss chooses for the memory that the specification gives it."""

    file = "autofaiss.faiss"

    def build(self) -> None:
        from autofaiss import build_index

        folder = self.work / "autofaiss-rows"
        folder.mkdir(exist_ok=True)
        link = folder / "rows.npy"
        if not link.exists():
            os.link(self.work / "rows.npy", link)
        build_index(
            embeddings=str(folder),
            index_path=str(self.path),
            index_infos_path=str(self.path) + ".json",
            max_index_memory_usage=self.spec["memory"],
            current_memory_available=self.spec["build_memory"],
            metric_type="ip",
            nb_cores=self.threads,
            verbose=30,
        )

    def load(self) -> None:
        import faiss

        super().load()
        self.space = faiss.ParameterSpace()
        self.kind = json.loads(Path(str(self.path) + ".json").read_text())["index_key"]
        self.values = EFS if self.kind.startswith("HNSW") else PROBES if "IVF" in self.kind else (None,)
        self._set: int | None = None

    def search(self, queries: Any, k: int, value: int | None) -> Any:
        if value is not None and value != self._set:
            self.space.set_index_parameters(self.index, self._parameters(value))
            self._set = value
        return super().search(queries, k, value)

    def _parameters(self, value: int) -> str:
        if self.kind.startswith("HNSW"):
            return f"efSearch={value}"
        # A graph finds the lists; it needs at least as many candidates as lists to find.
        coarse = f",quantizer_efSearch={2 * value}" if "_HNSW" in self.kind else ""
        return f"nprobe={value}{coarse}"


SYSTEMS: dict[str, type[Peer]] = {
    "numpy-flat": NumPyFlat,
    "faiss-flat": FaissFlat,
    "faiss-flat16": FaissFlat16,
    "faiss-ivf": FaissIvf,
    "faiss-fast-scan": FaissFastScan,
    "hnswlib": Hnswlib,
    "usearch": USearch,
    "scann": ScaNN,
    "glass": Glass,
    "autofaiss": AutoFaiss,
}


def main() -> None:
    spec = json.loads(sys.argv[1])
    peer = SYSTEMS[spec["system"]](spec)
    if spec["task"] == "build":
        start = measure.clocks()
        peer.build()
        files = peer.path.iterdir() if peer.path.is_dir() else [peer.path]
        size = sum(file.stat().st_size for file in files) / 1e6 if peer.file else 0.0
        measure.write_report({**measure.elapsed(start), "file_mb": size})
    elif spec["task"] == "ask":
        task = measure.Task(peer.work)
        report = measure.measure(peer, task, spec["k"], spec["target"], spec["rounds"])
        measure.write_report({**report, "kind": peer.kind})
    elif spec["task"] == "curve":
        measure.write_report(measure.curve(peer, measure.Task(peer.work), spec["k"], peer.values))
    elif spec["task"] == "filtered":
        assert isinstance(peer, FaissIvf | Hnswlib)
        measure.write_report(measure_filtered(peer, spec))
    else:  # cold: one query, the process is measured from outside
        peer.mapped = True
        peer.load()
        query = np.load(spec["query"])[np.newaxis]
        print(peer.search(query, spec["k"], spec["value"]).tolist())


def measure_filtered(peer: FaissIvf | Hnswlib, spec: dict[str, Any]) -> dict[str, Any]:
    """For each share of rows that pass, filter after a search for more, and within it, at the unfiltered setting."""
    peer.load()
    task = measure.Task(peer.work)
    k, count = spec["k"], spec["count"]
    report: dict[str, Any] = {}
    for share in spec["shares"]:
        passes = task.mask(share)
        # Half as many again as needed on average, and no more than FAISS's heaps handle well.
        fetch = int(min(count, max(2 * k, 1.5 * k / passes.mean()), 10_000))
        for kind in measure.KINDS:
            queries, value = task.queries[kind], spec["values"][kind]

            def post_filter(
                n: int, queries: Any = queries, value: int = value, passes: Any = passes, fetch: int = fetch
            ) -> Any:
                ids = peer.search(queries[n : n + 1], fetch, value)[0]
                ids = ids[ids >= 0]
                return ids[passes[ids]][:k]

            def within(n: int, queries: Any = queries, value: int = value, passes: Any = passes) -> Any:
                return peer.search_filtered(queries[n : n + 1], k, value, passes)

            ways = {f"{spec['system']} within": within}
            if isinstance(peer, FaissIvf):
                ways["post-filter"] = post_filter
            for name, search in ways.items():
                cell = measure.filtered_cell(search, len(queries))
                numbers = range(min(measure.GLANCE, len(queries)) if cell["p50"] > 20 else len(queries))
                recall = task.recall(kind, [search(n) for n in numbers], k, share)
                report[f"{name} {kind} {share}"] = {**cell, "recall": recall}
    return report


if __name__ == "__main__":
    main()
