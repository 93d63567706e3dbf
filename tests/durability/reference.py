"""What a search must answer in each generation: recorded by the writer, compared with what readers were told.

The writer records every generation before readers can see it (before ``current.json`` names it): which images live,
where, and the stored bytes of their vectors. It reads the catalog and the arrays as docs/format.md describes them,
not with the classes that readers use. A generation never changes, nor does the vector of an image.
"""

from __future__ import annotations

import hashlib
import pickle
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

Ints: TypeAlias = np.ndarray[Any, np.dtype[np.int64]]

FOREVER = 2**63 - 1
#: Implementations agree on scores to within this, and on the order of what is not closer.
TOLERANCE = 1e-5


def digest(data: bytes | str) -> int:
    """Stands for a path or a content in what is recorded."""
    data = data.encode("utf-8", "surrogateescape") if isinstance(data, str) else data
    return int.from_bytes(hashlib.sha256(data).digest()[:8], "big", signed=True)


@dataclass(frozen=True)
class Truth:
    """One generation: (n,) ids ascending, with digests of the places (0: none) and contents, and images by source."""

    generation: int
    ids: Ints
    places: Ints
    contents: Ints
    sources: Mapping[int, int]
    new_ids: Ints
    new_rows: np.ndarray[Any, np.dtype[np.float16]]


class Recorder:
    """In the writer's process: hooks into the moment at which a generation is committed but not yet to be seen."""

    def __init__(self, root: Path, file: Path) -> None:
        self._root = root
        self._file = file.open("wb", buffering=0)
        self._known: set[int] = set()
        self._last = -1
        self.generations = 0

    def install(self) -> None:
        from imseek.data.catalog.sqlite import catalog_writer

        write_current = catalog_writer.write_current

        def recorded(root: Path, current: Any, staging: Path) -> None:
            if current.generation > self._last:
                self._last = current.generation
                self.record()
            write_current(root, current, staging)

        catalog_writer.write_current = recorded

    def record(self) -> None:
        truth = self.read()
        self._known.update(truth.new_ids.tolist())
        self._file.write(pickle.dumps(truth))
        self.generations += 1

    def read(self) -> Truth:
        """The generation that the catalog is at."""
        live = f"died = {FOREVER}"
        with closing(sqlite3.connect(f"file:{self._root}/catalog.sqlite?mode=ro", uri=True)) as connection:
            connection.execute("BEGIN")
            generation = int(connection.execute("SELECT value FROM meta WHERE name = 'generation'").fetchone()[0])
            rows = connection.execute(
                "SELECT i.image_id, i.content_hash, i.shard_id, p.source_id, p.path FROM images i "
                f"LEFT JOIN (SELECT * FROM places WHERE {live}) p USING (image_id) "
                f"WHERE i.{live} AND i.state = 'live' AND i.shard_id IS NOT NULL ORDER BY i.image_id"
            ).fetchall()
            roots = dict(connection.execute(f"SELECT source_id, root FROM sources WHERE {live}").fetchall())
        shards = defaultdict(list)
        for image_id, _, shard_id, *_ in rows:
            if image_id not in self._known:
                shards[shard_id].append(image_id)
        new = {image_id: row for shard_id, ids in shards.items() for image_id, row in self._rows(shard_id, ids)}
        counts = Counter(source_id for *_, source_id, _ in rows if source_id is not None)
        return Truth(
            generation,
            ids=np.array([row[0] for row in rows], np.int64),
            places=np.array([digest(roots[s] + b"/" + path) if path else 0 for *_, s, path in rows], np.int64),
            contents=np.array([digest(row[1].hex()) for row in rows], np.int64),
            sources={source_id: counts[source_id] for source_id in roots},
            new_ids=np.array(sorted(new), np.int64),
            new_rows=np.array([new[image_id] for image_id in sorted(new)], np.float16),
        )

    def _rows(self, shard_id: int, image_ids: list[int]) -> Iterator[tuple[int, Any]]:
        ids = np.load(self._root / f"metadata/{shard_id:06d}.ids.npy")
        vectors = np.load(self._root / f"spaces/0/img_emb/{shard_id:06d}.npy", mmap_mode="r")
        for image_id in image_ids:
            (row,) = np.flatnonzero(ids == image_id)
            yield image_id, vectors[row]


@dataclass(frozen=True)
class Answer:
    """What a reader was told by a search. ``key`` is the words, the number of a vector, or an image's id."""

    at_least: int
    generation: int
    key: str | int | tuple[int]
    limit: int
    searched: int
    ids: Ints
    scores: np.ndarray[Any, np.dtype[np.float32]]
    places: Ints
    contents: Ints | None


@dataclass(frozen=True)
class Summary:
    """What a reader was told by ``info()``."""

    at_least: int
    generation: int
    images: int
    sources: Mapping[int, int]


@dataclass(frozen=True)
class Looked:
    """What a reader was told of an image between two generations, by ``get()``: nothing where content is 0."""

    at_least: int
    at_most: int
    image_id: int
    place: int = 0
    content: int = 0


@dataclass
class Comparison:
    compared: int = 0
    generations: set[int] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)


def compare(reference: Path, answers: list[Answer | Summary | Looked], vectors: Mapping[str | int, Any]) -> Comparison:
    """Every answer with the truth of its generation. ``vectors`` holds unit queries by key, but for those by id."""
    by_generation: dict[int, list[Answer | Summary]] = defaultdict(list)
    looked: list[Looked] = []
    for answer in answers:
        if isinstance(answer, Looked):
            looked.append(answer)
        else:
            by_generation[answer.generation].append(answer)
    found = Comparison()
    everything = _Vectors()
    for truth in read_all(reference):
        everything.learn(truth)
        for answer in by_generation.pop(truth.generation, ()):
            found.compared += 1
            found.generations.add(truth.generation)
            try:
                if isinstance(answer, Summary):
                    check_summary(truth, answer)
                else:
                    check_answer(truth, everything, answer, vectors)
            except AssertionError as error:
                found.wrong.append(f"{error}: {answer}")
    found.wrong += [f"a generation that nobody made: {answers[0]}" for answers in by_generation.values()]
    found.compared += len(looked)
    found.wrong += [f"never true: {look}" for look in _untrue(reference, looked)]
    return found


def read_all(path: Path) -> Iterator[Any]:
    """What was pickled into a file, one after the other."""
    with path.open("rb") as file:
        while True:
            try:
                yield pickle.load(file)
            except EOFError:
                return


class _Vectors:
    """The stored vectors of all images so far, in float64, by the order of their ids."""

    def __init__(self) -> None:
        self._ids = np.empty(0, np.int64)
        self._rows = np.empty((0, 0))

    def learn(self, truth: Truth) -> None:
        if len(truth.new_ids):
            rows = truth.new_rows.astype(np.float64)
            ids = np.concatenate([self._ids, truth.new_ids])
            rows = np.concatenate([self._rows, rows]) if len(self._ids) else rows
            order = np.argsort(ids)
            self._ids, self._rows = ids[order], rows[order]

    def of(self, ids: Ints) -> Any:
        return self._rows[np.searchsorted(self._ids, ids)]


def check_answer(truth: Truth, everything: _Vectors, answer: Answer, vectors: Mapping[str | int, Any]) -> None:
    assert answer.generation >= answer.at_least, "older than what was current when it was asked"
    assert answer.searched == len(truth.ids), f"{len(truth.ids)} images are live"
    rows = everything.of(truth.ids)
    if isinstance(answer.key, tuple):
        assert answer.key[0] in truth.ids, "a query by an image that is not there"
        query = everything.of(np.array(answer.key))[0]
    else:
        query = vectors[answer.key]
    exact = rows @ (query / np.linalg.norm(query)) / np.linalg.norm(rows, axis=1)
    at = np.searchsorted(truth.ids, answer.ids)
    assert (truth.ids[np.minimum(at, len(truth.ids) - 1)] == answer.ids).all(), "an image that is not there"
    assert len(answer.ids) == min(answer.limit, len(truth.ids)), "too few or too many"
    assert len(set(answer.ids.tolist())) == len(answer.ids), "an image twice"
    assert np.abs(answer.scores - exact[at]).max(initial=0) <= TOLERANCE, "a wrong score"
    best = np.lexsort((truth.ids, -exact))[: answer.limit]
    differ = answer.ids != truth.ids[best]
    assert (np.abs(exact[at] - exact[best])[differ] <= TOLERANCE).all(), "not the best ones"
    falls = np.diff(answer.scores)
    assert ((falls < 0) | ((falls == 0) & (np.diff(answer.ids) > 0))).all(), "not in order"
    assert (truth.places[at] == answer.places).all(), "a wrong place"
    assert answer.contents is None or (truth.contents[at] == answer.contents).all(), "wrong metadata"


def check_summary(truth: Truth, summary: Summary) -> None:
    assert summary.generation >= summary.at_least, "older than what was current when it was asked"
    assert summary.images == len(truth.ids), f"{len(truth.ids)} images are live"
    assert summary.sources == truth.sources, f"the sources have {truth.sources}"


def _untrue(reference: Path, looked: list[Looked]) -> list[Looked]:
    """Those that hold in none of the generations in which they may have been asked."""
    waiting = sorted(looked, key=lambda look: look.at_least)
    untrue: list[Looked] = []
    active: list[Looked] = []
    for truth in read_all(reference):
        while waiting and waiting[0].at_least <= truth.generation:
            active.append(waiting.pop(0))
        untrue += [look for look in active if look.at_most < truth.generation]
        active = [look for look in active if look.at_most >= truth.generation and not _holds(truth, look)]
    return untrue + active + waiting


def _holds(truth: Truth, look: Looked) -> bool:
    at = np.searchsorted(truth.ids, look.image_id)
    if at == len(truth.ids) or truth.ids[at] != look.image_id:
        return look.content == 0
    return bool(truth.places[at] == look.place and truth.contents[at] == look.content)
