"""Readers at work while a writer indexes, moves, removes, merges and purges. Each process is started by :func:`run`.

The writer (:mod:`durability.churn`) knows what its pictures are. Readers ask without pause and write down what they
are told; :mod:`durability.reference` compares it afterwards. Waiting for a lock is measured where it happens: SQLite
waits by sleeping, and a reader does not sleep for anything else, so strace (which traces sleeps and flock only, and
costs nothing else) sees each wait. Beside that, SQLite's patience is cut to ``LONGEST_WAIT`` in the readers, so that
a longer wait is an error.
"""

from __future__ import annotations

import json
import os
import pickle
import random
import re
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from durability.churn import write
from durability.reference import Answer, Comparison, Looked, Summary, compare, digest, read_all

#: Seconds.
LONGEST_WAIT = 0.1
#: Bytes. SQLite folds its log at four million; a purge may write the whole catalog into it once.
LARGEST_LOG = 16 << 20
#: Bytes that a reader may grow by over its life.
MOST_GROWTH = 16 << 20
#: Errors, after which a reader gives up.
MANY = 20
WORDS = ("red", "a blue boat", "green and yellow", "white noise", "one two three")
DIM = 64
TESTS = Path(__file__).parent.parent


@dataclass
class Figures:
    """What a run showed. Times are in seconds; ``waits`` are those of readers for a lock."""

    comparison: Comparison
    answers: Counter[str] = field(default_factory=Counter)
    times: list[float] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    memory: list[Memory] = field(default_factory=list)
    wal_bytes: int = 0
    generations: int = 0
    done: Counter[str] = field(default_factory=Counter)

    def faults(self) -> list[str]:
        """What was not as it must be, a line each."""
        found = [*self.errors, *self.comparison.wrong]
        if (longest := max(self.waits, default=0)) > LONGEST_WAIT:
            found.append(f"a reader waited {longest * 1000:.0f} ms for a lock")
        if self.wal_bytes > LARGEST_LOG:
            found.append(f"the log grew to {self.wal_bytes:,} bytes")
        for memory in self.memory:
            # Ids, vectors and dead rows of the shards of the generations that are kept, and a few of every process.
            if memory.mapped > 3 * memory.shards or memory.descriptors > 3 * memory.shards + 12:
                found.append(f"files that are not used stay open: {memory}")
        third = max(1, len(self.memory) // 3)
        by_age = sorted(self.memory, key=lambda memory: memory.generation)
        early, late = (max((m.resident for m in part), default=0) for part in (by_age[:third], by_age[-third:]))
        if late > early + MOST_GROWTH:
            found.append(f"readers grew from {early:,} to {late:,} bytes")
        return found


@dataclass(frozen=True)
class Memory:
    """Of a reader that keeps one collection open: at a generation of some shards."""

    generation: int
    shards: int
    resident: int
    descriptors: int
    mapped: int


def run(
    home: Path, seconds: float, readers: int, pictures: int, seed: int = 1, *, answers: int | None = None
) -> Figures:
    """A writer and some readers for so long; then all answers are compared.

    With ``answers`` they end earlier: once each reader has given as many, of every kind, of several generations.
    """
    home.mkdir(parents=True, exist_ok=True)
    writer = _start(["write", home, str(seconds), str(pictures), str(seed)])
    _wait_for(home / "ready", writer)
    traces = [home / f"trace.{n}" for n in range(readers)]
    started = [
        _start(["read", home, str(n), str(seed), str(answers or sys.maxsize)], under=_strace(trace))
        for n, trace in enumerate(traces)
    ]
    wal, wal_bytes = home / "collection/catalog.sqlite-wal", 0
    while writer.poll() is None:
        wal_bytes = max(wal_bytes, wal.stat().st_size if wal.exists() else 0)
        if all((home / f"enough.{n}").exists() for n in range(readers)):
            (home / "enough").touch()
        time.sleep(0.02)
    (home / "stop").touch()
    errors = [
        f"process {n} (0 is the writer): {said}"
        for n, process in enumerate((writer, *started))
        if (said := _said(process))
    ]
    figures = Figures(Comparison(), errors=errors, wal_bytes=wal_bytes)
    given: list[Any] = []
    for n in range(readers):
        figures.waits += waits(traces[n])
        for told in read_all(home / f"told.{n}"):
            match told:
                case str():
                    figures.errors.append(told)
                case Counter():
                    figures.answers += told
                case Memory():
                    figures.memory.append(told)
                case (took, answer):
                    figures.times.append(took)
                    given.append(answer)
    figures.comparison = compare(home / "reference", given, queries(seed))
    done = json.loads((home / "done").read_text())
    figures.generations = done.pop("generations")
    figures.done = Counter(done)
    return figures


#: Not ``-m``: what is pickled must be found again under the name of its module.
_MAIN = "from durability.readers import main; main()"


def _start(arguments: Sequence[object], under: Sequence[str] = ()) -> subprocess.Popen[str]:
    # One thread each: there are more processes than cores.
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    command = [*under, sys.executable, "-W", "error", "-c", _MAIN, *map(str, arguments)]
    env = {**os.environ, **threads, "PYTHONPATH": str(TESTS)}
    return subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True)


def _wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    while not path.exists():
        assert process.poll() is None, _said(process)
        time.sleep(0.05)


def _said(process: subprocess.Popen[str]) -> str:
    """What a process complained of when it ended."""
    _, said = process.communicate()
    return f"exit code {process.returncode}, {said}" if process.returncode else ""


def _strace(log: Path) -> list[str]:
    calls = "nanosleep,clock_nanosleep,flock"
    return ["strace", "-f", "-qq", "--seccomp-bpf", f"-etrace={calls}", "-ttt", "-T", f"-o{log}"]


_SLEPT = re.compile(r"(?P<thread>\d+) +(?P<at>[\d.]+) (?P<call>\w+)\((?P<arguments>.*)<(?P<took>[\d.]+)>")


def waits(trace: Path) -> list[float]:
    """Seconds that a process waited for locks, one wait after the other.

    How long a sleep was asked for, not how long it took: on a busy machine a process wakes up late, whatever it waited
    for. Sleeps with less than 10 ms between them are one wait.
    """
    found: list[float] = []
    end = 0.0
    for line in trace.read_text().splitlines():
        call = _SLEPT.match(line)
        if call is None:
            continue
        if call["call"] == "flock":
            assert "LOCK_NB" in call["arguments"] or "LOCK_UN" in call["arguments"], line
            continue
        asked = re.search(r"tv_sec=(\d+), tv_nsec=(\d+)", call["arguments"])
        assert asked is not None, line
        seconds = int(asked[1]) + int(asked[2]) / 1e9
        if found and float(call["at"]) - end < 0.01:
            found[-1] += seconds
        else:
            found.append(seconds)
        end = float(call["at"]) + float(call["took"])
    return found


def queries(seed: int) -> dict[str | int, Any]:
    """The vectors that readers ask for, by number, and those of their words."""
    from imseek.encoders.fake import FakeEncoder

    chance = np.random.default_rng(seed)
    vectors: dict[str | int, Any] = {n: chance.normal(size=DIM) for n in range(20)}
    return vectors | dict(zip(WORDS, FakeEncoder(DIM).encode_texts(WORDS).astype(np.float64), strict=True))


# -- a reader ------------------------------------------------------------------------------------------------


class ReaderProcess:
    """Asks without pause, of a collection that it keeps open and of ones that it opens anew."""

    def __init__(self, home: Path, number: int, seed: int, answers: int) -> None:
        import imseek

        self.home, self.root = home, home / "collection"
        self.chance = random.Random(f"{seed} {number}")
        self.vectors = queries(seed)
        self.kept = imseek.open(self.root)
        self.told = (home / f"told.{number}").open("wb")
        self.counts: Counter[str] = Counter()
        self.generations: set[int] = set()
        self.answers, self.enough = answers, home / f"enough.{number}"
        self.errors = 0
        self.seen: list[int] = [0]

    def run(self) -> None:
        import imseek
        from imseek.errors import ImageNotFoundError

        while not (self.home / "stop").exists() and self.errors < MANY:
            lot = self.chance.random()
            ask = self.search if lot < 0.85 else self.info if lot < 0.93 else self.get
            at_least = self._generation()
            start = time.perf_counter()
            try:
                if self.chance.random() < 0.25:
                    with imseek.open(self.root) as fresh:
                        answer = ask(fresh, at_least)
                    self.counts["opened anew"] += 1
                else:
                    answer = ask(self.kept, at_least)
            except ImageNotFoundError as error:
                image_id = int(re.findall(r"\d+", str(error))[0])
                answer = Looked(at_least, self._generation(), image_id)
                self.counts["not there"] += 1
            except Exception:
                import traceback

                self._tell(traceback.format_exc())
                self.errors += 1
                continue
            self._tell((time.perf_counter() - start, answer))
            self.counts[ask.__name__] += 1
            self.generations.add(answer.at_least)
            if self._has_enough():
                self.enough.touch()
            if self.counts.total() % 100 == 0:
                self._tell(self._memory())
        self._tell(self.counts)
        self.told.close()

    def _has_enough(self) -> bool:
        given = [self.counts[kind] for kind in ("search", "info", "get", "opened anew")]
        return sum(given[:3]) >= self.answers and min(given) >= 2 and len(self.generations) > 5

    def _tell(self, what: Any) -> None:
        pickle.dump(what, self.told)

    def search(self, collection: Any, at_least: int) -> Answer:
        kind = self.chance.choice(("words", "vector", "image"))
        limit = 10**6 if self.chance.random() < 0.005 else self.chance.choice((1, 10, 10, 50))
        key: Any = self.chance.choice(WORDS if kind == "words" else range(20) if kind == "vector" else self.seen)
        question = self.vectors[key] if kind == "vector" else key
        metadata = limit < 100
        result = collection.search(question, limit=limit, metadata=metadata)
        hits = result.hits
        self.seen = [hit.image_id for hit in hits[:50]] or self.seen
        return Answer(
            at_least,
            result.generation,
            (key,) if kind == "image" else key,
            limit,
            result.searched,
            ids=np.array([hit.image_id for hit in hits], np.int64),
            scores=np.array([hit.score for hit in hits], np.float32),
            places=np.array([digest(hit.path) if hit.path else 0 for hit in hits], np.int64),
            contents=np.array([digest(hit.metadata["content_hash"]) for hit in hits], np.int64) if metadata else None,
        )

    def info(self, collection: Any, at_least: int) -> Summary:
        info = collection.info()
        sources = {source.source_id: source.images for source in info.sources}
        return Summary(at_least, info.generation, info.images, sources)

    def get(self, collection: Any, at_least: int) -> Looked:
        image = collection.get(self.chance.choice(self.seen))
        place = digest(os.fsdecode(image.place.path)) if image.place else 0
        return Looked(at_least, self._generation(), image.image_id, place, digest(image.content_hash))

    def _generation(self) -> int:
        return int(json.loads((self.root / "current.json").read_bytes())["generation"])

    def _memory(self) -> Memory | None:
        """Just after the kept collection has answered; nothing where a writer has been faster."""
        searched = self.kept.search(self.vectors[0], limit=1).generation
        status = Path("/proc/self/status").read_text()
        resident = int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) * 1024
        maps = Path("/proc/self/maps").read_text()
        mapped = len([line for line in maps.splitlines() if f"{self.root}/" in line and ".npy" in line])
        descriptors = len(os.listdir("/proc/self/fd"))
        info = self.kept.info()
        # The generation before is kept too, while somebody may ask for more pages of it.
        earlier = self.kept.engine._generations._earlier
        shards = info.shards + (0 if earlier is None else len(earlier[1].reader.current.shards))
        return Memory(searched, shards, resident, descriptors, mapped) if info.generation == searched else None


def read(home: Path, number: int, seed: int, answers: int) -> None:
    from imseek.data import reader
    from imseek.data.catalog.sqlite import catalog_file

    open_catalog, stale = catalog_file.open_catalog, reader.Reader._stale

    def impatient(path: Path) -> sqlite3.Connection:
        connection = open_catalog(path)
        connection.execute(f"PRAGMA busy_timeout = {LONGEST_WAIT * 1000:.0f}")
        return connection

    def counted(self: reader.Reader, name: str) -> Any:
        process.counts["found its generation gone"] += 1
        return stale(self, name)

    catalog_file.open_catalog = impatient
    reader.Reader._stale = counted  # type: ignore[method-assign]
    process = ReaderProcess(home, number, seed, answers)
    process.run()


def main() -> None:
    """``write`` or ``read``, and its arguments."""
    what, where, *rest = sys.argv[1:]
    if what == "write":
        write(Path(where), float(rest[0]), int(rest[1]), int(rest[2]))
    else:
        read(Path(where), int(rest[0]), int(rest[1]), int(rest[2]))
