"""imseek, measured as its peers are, in a process of its own. Started by bench/search.py.

    python bench/searching/own.py JSON

``imseek`` is the whole call, `Collection.search(vector, metadata=False)`: the generation is checked, the snapshot
asked, the tail scanned, the dead left out, candidates scored exactly, and places looked up. ``imseek-index`` is the
vector index alone, as the engine holds it.
"""

from __future__ import annotations

import inspect
import json
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

import vectors
from searching import measure
from searching.processes import timed

import imseek
from imseek.data.vectors import IdSet
from imseek.search.query import Query, Term


def collection_of(work: Path) -> Path:
    return work / "collection"


def build(spec: dict[str, Any]) -> dict[str, Any]:
    """The collection, then its index, which alone is timed, then the rows that come after it."""
    import big  # Here: what it imports would count as memory of the searches.

    root, count = collection_of(Path(spec["work"])), int(spec["count"])
    shutil.rmtree(root, ignore_errors=True)
    tail = min(int(spec["tail"]), count // 10)
    big.make(root, count - tail, spec["dim"], spec["seed"], spec["encoder"], spec["dead"])
    report = build_index(root, spec)
    big.append(root, tail, spec["seed"])
    np.save(root.with_name("ids.npy"), big.live_ids(root))
    return report


def build_index(root: Path, spec: dict[str, Any]) -> dict[str, Any]:
    """Time, memory and size of the snapshot, built in a process of its own as `imseek maintain --index` does it."""
    before = _size(root)
    policy = {"kind": spec["index"], "recall": spec["target"]}
    if spec["index_memory"]:
        policy["memory"] = round(spec["index_memory"] * 1e9)
    program = (
        "import json, sys; from imseek import upkeep; from imseek.types import IndexPolicy; "
        "print(*upkeep.build_index(sys.argv[1], IndexPolicy(**json.loads(sys.argv[2]))), sep='\\n')"
    )
    run = timed([sys.executable, "-c", program, str(root), json.dumps(policy)], shown=True)
    if run.code:
        raise SystemExit(f"building the index ended with {run.code}")
    size = (_size(root) - before) / 1e6
    return {"wall": run.wall, "cpu": run.cpu, "file_mb": size, "peak_mb": run.resident}


class Whole:
    """The whole call. It tunes itself, so it has no setting of ours."""

    values: Sequence[int | None] = (None,)

    def __init__(self, root: Path) -> None:
        self.root = root

    def load(self) -> None:
        self.collection = imseek.open(self.root)
        self.ids = np.load(self.root.with_name("ids.npy"), mmap_mode="r")
        self.collection.search(_any_vector(self.collection), metadata=False)

    def ask(self, queries: Any, k: int, value: int | None) -> Any:
        return np.stack([self._rows(self._hits(query, k)) for query in queries])

    def filtered(self, query: Any, k: int, share: float) -> Any:
        """With ``where``, so that its parsing and its evaluation count."""
        asked = Query((Term(vector=query),), limit=k, where=f"draw < {share}")
        return self._rows([hit.image_id for hit in self.collection.search(asked, metadata=False).hits])

    def _hits(self, query: Any, k: int) -> list[int]:
        found = self.collection.search(query, limit=k, metadata=False)
        return [hit.image_id for hit in found.hits]

    def _rows(self, ids: Any) -> Any:
        """Row numbers of the vectors: the live ids in their order."""
        return np.searchsorted(self.ids, np.asarray(ids, np.int64))


class Index(Whole):
    """The vector index alone; a batch is asked at once. It is told what kind of queries they are, where it asks."""

    kind = "text"

    def load(self) -> None:
        super().load()
        engine = self.collection._engine  # What the whole call is held against; there is no public way to it.
        reader = engine.reader
        with engine._lock:
            self.index = engine._opened(reader, reader.current.image_spaces[0])
        self._told = "text" in inspect.signature(self.index.search).parameters

    def ask(self, queries: Any, k: int, value: int | None) -> Any:
        return np.stack([self._rows(matches.ids) for matches in self._search(queries, k)])

    def filtered_by(self, query: Any, k: int, allowed: IdSet) -> Any:
        (matches,) = self._search(query[np.newaxis], k, allowed=allowed)
        return self._rows(matches.ids)

    def _search(self, queries: Any, k: int, **options: Any) -> Any:
        if self._told:
            options["text"] = self.kind == "text"
        return self.index.search(queries, k, **options)


def measured(system: Whole, spec: dict[str, Any]) -> dict[str, Any]:
    """As :func:`measure.measure`, kind by kind, since the index alone is told the kind."""
    task = measure.Task(Path(spec["work"]))
    began = time.perf_counter()
    system.load()
    report: dict[str, Any] = {"load_s": time.perf_counter() - began, "loaded": measure.memory()}
    for kind in measure.KINDS:
        if isinstance(system, Index):
            system.kind = kind
        queries = task.queries[kind]
        recall = task.recall(kind, system.ask(queries, spec["k"], None), spec["k"])
        timed = measure.times(system, queries, spec["k"], None, spec["rounds"])
        report[kind] = {"value": None, "recall": recall, **timed}
    snapshot = getattr(getattr(system, "index", None), "snapshot", None)
    if snapshot is None:
        return {**report, "asked": measure.memory()}
    facts = snapshot.facts
    for kind in measure.KINDS:
        report[kind]["value"] = getattr(facts, kind).effort.probe  # What it has tuned itself to.
    return {**report, "asked": measure.memory(), "kind": facts.factory}


def filtered(spec: dict[str, Any]) -> dict[str, Any]:
    """At each share of images that pass: the index with ids prepared once, and the whole call with ``where``."""
    task, k = measure.Task(Path(spec["work"])), spec["k"]
    index, whole = Index(collection_of(task.work)), Whole(collection_of(task.work))
    index.load()
    whole.load()
    drawn = vectors.draws(np.arange(spec["count"]))
    has_where = "where" in {field.name for field in fields(Query)}
    report: dict[str, Any] = {}
    for share in spec["shares"]:
        allowed = IdSet(index.ids[drawn < share])
        for kind in measure.KINDS:
            index.kind, queries = kind, task.queries[kind]

            def alone(n: int, queries: Any = queries, allowed: IdSet = allowed) -> Any:
                return index.filtered_by(queries[n], k, allowed)

            def called(n: int, queries: Any = queries, share: float = share) -> Any:
                return whole.filtered(queries[n], k, share)

            ways: dict[str, Callable[[int], Any]] = {"imseek-index": alone}
            if has_where:
                ways["imseek"] = called
            for name, ask in ways.items():
                ask(0)
                p50, p99 = measure.latency(ask, len(queries))
                recall = task.recall(kind, [ask(n) for n in range(len(queries))], k, share)
                report[f"{name} {kind} {share}"] = {"p50": p50, "p99": p99, "recall": recall}
    return report


def _any_vector(collection: Any) -> Any:
    query = np.zeros(collection.info().encoder.dim, np.float32)
    query[0] = 1
    return query


def _size(root: Path) -> int:
    return sum(file.stat().st_size for file in (root / "spaces").rglob("*") if file.is_file())


def main() -> None:
    spec = json.loads(sys.argv[1])
    root = collection_of(Path(spec["work"]))
    if spec["task"] == "build":
        measure.say(build(spec))
    elif spec["task"] == "filtered":
        measure.say(filtered(spec))
    else:
        measure.say(measured(Index(root) if spec["system"] == "imseek-index" else Whole(root), spec))


if __name__ == "__main__":
    main()
