"""imseek, measured as its peers are, in a process of its own. Started by bench/search.py.

    python bench/searching/own.py JSON

``imseek`` is the whole call, `Collection.search(query, metadata=False)`, without the encoder: it checks the generation,
searches the snapshot, scans the tail, drops dead rows, scores candidates exactly and looks up places; a batch is
`search_many`. ``imseek-index`` is the engine's vector index alone.
"""

from __future__ import annotations

import inspect
import json
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from searching import measure
from searching.processes import run_command

import imseek
from imseek.data.vectors import IdSet
from imseek.search.query import Query, Term
from imseek.search.query_vectors import QueryEncoder
from imseek.types.collection_info import SpaceInfo


def collection_of(work: Path) -> Path:
    return work / "collection"


def build(spec: dict[str, Any]) -> dict[str, Any]:
    """Make the collection, build its index (only this is timed), then append the rows of the tail."""
    import big  # Here, since its imports would count as memory of the searches.

    root, count = collection_of(Path(spec["work"])), int(spec["count"])
    shutil.rmtree(root, ignore_errors=True)
    tail = min(int(spec["tail"]), count // 10)
    big.make(root, count - tail, spec["dim"], spec["seed"], spec["encoder"], spec["dead"], spec["profile"])
    report = build_index(root, spec)
    big.append(root, tail, spec["seed"], spec["profile"])
    np.save(root.with_name("ids.npy"), big.live_ids(root))
    return report


def build_index(root: Path, spec: dict[str, Any]) -> dict[str, Any]:
    """Build the snapshot in a process of its own, as `imseek maintain --index` does; return time, memory and size."""
    before = _size(root)
    policy = {"kind": spec["index"], "recall": spec["target"]}
    if spec["index_memory"]:
        policy["memory"] = round(spec["index_memory"] * 1e9)
    program = (
        "import json, sys; from imseek import maintenance; from imseek.types import IndexPolicy; "
        "print(*maintenance.build_index(sys.argv[1], IndexPolicy(**json.loads(sys.argv[2]))), sep='\\n')"
    )
    run = run_command([sys.executable, "-c", program, str(root), json.dumps(policy)], show=True)
    if run.code:
        raise SystemExit(f"building the index ended with {run.code}")
    size = (_size(root) - before) / 1e6
    return {"wall": run.wall, "cpu": run.cpu, "file_mb": size, "peak_mb": run.resident}


class VectorLookup(QueryEncoder):
    """Return the n-th of the given vectors for picture or word number n, so that no encoder is timed.

    The rest of a search runs as usual. A query by a raw vector would too, but imseek treats any raw vector as words.
    """

    queries: Any = None

    def texts_of(self, queries: Sequence[Query], space: SpaceInfo) -> Mapping[str, Any]:
        return {}

    def _term(self, term: Term, *_: Any) -> tuple[list[Any], tuple[str, ...]]:
        number = term.image_id if term.text is None else int(term.text)
        return [self.queries[number]], ()


class WholeCall:
    """The whole call. It tunes itself, so it has no setting of ours; the terms of a query tell it the ``kind``."""

    values: Sequence[int | None] = (None,)
    kind = "text"
    probe_setting: tuple[str, int | None] = ("text", None)

    def __init__(self, root: Path) -> None:
        self.root = root

    def load(self) -> None:
        self.collection = imseek.open(self.root)
        engine = self.collection.engine
        self.encoder = engine._encoder = VectorLookup(engine._encoder._encoder, engine._originals)
        self.ids = np.load(self.root.with_name("ids.npy"), mmap_mode="r")
        self.search(_any_vector(self.collection), 1, None)

    def search(self, queries: Any, k: int, value: int | None) -> Any:
        """One query by `search`, several by `search_many`."""
        if (self.kind, value) != self.probe_setting:
            self.set_probe(value)
        self.encoder.queries = queries
        requests = [self._query(n, k) for n in range(len(queries))]
        if len(requests) == 1:
            answers = [self.collection.search(requests[0], metadata=False)]
        else:
            answers = self.collection.search_many(requests, metadata=False)
        return [[hit.image_id for hit in result.hits] for result in answers]

    def search_where(self, query: Any, k: int, share: float) -> Any:
        """Search with ``where``, which each call parses and only the first one evaluates."""
        self.encoder.queries = query
        request = self._query(0, k, where=f"draw < {share}")
        return [hit.image_id for hit in self.collection.search(request, metadata=False).hits]

    def _query(self, number: int, k: int, **more: Any) -> Query:
        term = Term(text=str(number)) if self.kind == "text" else Term(image_id=number)
        return Query((term,), limit=k, **more)

    def rows_of(self, answers: Any) -> Any:
        return [self.rows(ids) for ids in answers]

    def set_probe(self, value: int | None) -> None:
        """Make the index probe ``value`` lists instead of its tuned number."""
        self.probe_setting = self.kind, value
        if value is not None:
            index = self.open_index()
            metadata, name = index.snapshot.facts, "text" if self.kind == "text" else "image"
            tuned = getattr(metadata, name)
            changed = replace(tuned, effort=replace(tuned.effort, probe=value))
            index._snapshot = index.snapshot.with_metadata(replace(metadata, **{name: changed}))

    def open_index(self) -> Any:
        generations = self.collection.engine._generations  # No public call returns the index: its interface may change.
        generation = generations.newest()
        return generations.index(generation, generation.reader.current.image_spaces[0])

    def rows(self, ids: Any) -> Any:
        """Return row numbers, as the ground truth has them: positions among the live ids. Not part of a search."""
        return np.searchsorted(self.ids, np.asarray(ids, np.int64))


class Index(WholeCall):
    """The vector index alone; it searches a batch at once."""

    def load(self) -> None:
        super().load()
        self.index = self.open_index()
        self._takes_text = "text" in inspect.signature(self.index.search).parameters

    def search(self, queries: Any, k: int, value: int | None) -> Any:
        if not hasattr(self, "index"):
            return super().search(queries, k, value)
        return [matches.ids for matches in self._search(queries, k)]

    def search_allowed(self, query: Any, k: int, allowed: IdSet) -> Any:
        (matches,) = self._search(query, k, allowed=allowed)
        return matches.ids

    def _search(self, queries: Any, k: int, **options: Any) -> Any:
        if self._takes_text:
            options["text"] = self.kind == "text"
        return self.index.search(queries, k, **options)


def measure_own(system: WholeCall, spec: dict[str, Any]) -> dict[str, Any]:
    """Measure as :func:`measure.measure` does, but tell the system the kind of the queries."""
    task = measure.Task(Path(spec["work"]))
    start = time.perf_counter()
    system.load()
    report: dict[str, Any] = {"load_s": time.perf_counter() - start, "loaded": measure.memory()}
    for kind in measure.KINDS:
        system.kind = kind
        queries = task.queries[kind]
        answers = [system.rows(ids) for ids in system.search(queries, spec["k"], None)]
        recall = task.recall(kind, answers, spec["k"])
        times = measure.time_queries(system, queries, spec["k"], None, spec["rounds"])
        report[kind] = {"value": None, "recall": recall, **times}
    snapshot = getattr(getattr(system, "index", None), "snapshot", None)
    if snapshot is None:
        return {**report, "asked": measure.memory()}
    metadata = snapshot.facts
    for kind in measure.KINDS:
        report[kind]["value"] = getattr(metadata, kind).effort.probe  # The tuned value.
    return {**report, "asked": measure.memory(), "kind": metadata.factory}


def measure_filtered(spec: dict[str, Any]) -> dict[str, Any]:
    """At each share of images that pass: the index with ids prepared once, and the whole call with ``where``."""
    task, k = measure.Task(Path(spec["work"])), spec["k"]
    index, whole = Index(collection_of(task.work)), WholeCall(collection_of(task.work))
    index.load()
    whole.load()
    report: dict[str, Any] = {}
    for share in spec["shares"]:
        allowed = IdSet(index.ids[task.mask(share)])
        for kind in measure.KINDS:
            index.kind = whole.kind = kind
            queries = task.queries[kind]

            def index_alone(n: int, queries: Any = queries, allowed: IdSet = allowed) -> Any:
                return index.search_allowed(queries[n : n + 1], k, allowed)

            def whole_call(n: int, queries: Any = queries, share: float = share) -> Any:
                return whole.search_where(queries[n : n + 1], k, share)

            ways: dict[str, Callable[[int], Any]] = {"imseek-index": index_alone}
            if not isinstance(share, str):  # No column expresses that filter.
                ways["imseek"] = whole_call
            for name, search in ways.items():
                start = time.perf_counter()
                search(0)
                first = (time.perf_counter() - start) * 1000
                cell = measure.filtered_cell(search, len(queries))
                answers = [index.rows(search(n)) for n in range(len(queries))]
                recall = task.recall(kind, answers, k, share)
                report[f"{name} {kind} {share}"] = {**cell, "recall": recall, "first": first}
    return report


def _any_vector(collection: Any) -> Any:
    """(1, dim) float32."""
    query = np.zeros((1, collection.info().encoder.dim), np.float32)
    query[0, 0] = 1
    return query


def _size(root: Path) -> int:
    return sum(file.stat().st_size for file in (root / "spaces").rglob("*") if file.is_file())


def main() -> None:
    spec = json.loads(sys.argv[1])
    root = collection_of(Path(spec["work"]))
    if spec["task"] == "build":
        measure.write_report(build(spec))
    elif spec["task"] == "filtered":
        measure.write_report(measure_filtered(spec))
    elif spec["task"] == "curve":
        measure.write_report(
            measure.curve(WholeCall(root), measure.Task(Path(spec["work"])), spec["k"], measure.PROBES)
        )
    else:
        measure.write_report(measure_own(Index(root) if spec["system"] == "imseek-index" else WholeCall(root), spec))


if __name__ == "__main__":
    main()
