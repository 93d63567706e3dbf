"""Power cuts: try every state that one may leave, and check that the replay would notice a missing fsync.

    python bench/power_cuts.py                 every scenario, before every operation
    python bench/power_cuts.py --mutations     each fsync left out, each rename put before or after its fsync

Each writing command is recorded once (strace: SQLite's system calls as well as ours). Then the disk is rebuilt as a
power cut may leave it, and the collection is opened, verified, compared with what had been acknowledged, and goes on.
A mutation is caught where at least one of the states that it makes possible fails.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryDirectory
from threading import Lock

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import recorder
from durability.disk import Acknowledge, Operation, Rename, Return, Sync
from durability.forks import Server
from durability.power import Outage, Recording, outages, recorded, try_outage
from durability.stage import SCENARIOS


@dataclass(frozen=True)
class Mutant:
    """A recording with one operation left out or moved; the operations before ``first`` are the original's."""

    what: str
    path: str
    operations: Sequence[Operation]
    first: int


def mutants(recording: Recording) -> Iterator[Mutant]:
    """Yield one mutant for each fsync that made something durable, and two for each rename."""
    operations = recording.operations
    disk = recording.disk()
    for n, operation in enumerate(operations):
        if isinstance(operation, Sync) and not disk.changes_nothing(operation):
            who = "fsync" if operation.ours else "SQLite's fsync"
            yield Mutant(f"{who} left out", operation.path, [*operations[:n], *operations[n + 1 :]], n)
        if isinstance(operation, Rename):
            yield from _move(operations, n, disk.exists(operation.target))
        disk.do(operation)


def _move(operations: Sequence[Operation], n: int, replaces: bool) -> Iterator[Mutant]:
    rename = operations[n]
    assert isinstance(rename, Rename)
    if replaces:  # A new name means nothing until the catalog mentions it.
        before = max(i for i in range(n) if _syncs(operations[i], rename.path))
        # What happens to the file under its old name between the two now happens under the new one.
        between = [_rename(operation, rename) for operation in operations[before:n]]
        reordered = [*operations[:before], rename, *between, *operations[n + 1 :]]
        yield Mutant("replaced before the file's fsync", rename.target, reordered, before)
    folder = rename.target.rpartition("/")[0] or "."
    after = next(i for i in range(n, len(operations)) if _syncs(operations[i], folder))
    reordered = [*operations[:n], *operations[n + 1 : after + 1], rename, *operations[after + 1 :]]
    yield Mutant("renamed after the folder's fsync", rename.target, reordered, n)


def _syncs(operation: Operation, path: str) -> bool:
    return isinstance(operation, Sync) and operation.path == path


def _rename(operation: Operation, rename: Rename) -> Operation:
    if isinstance(operation, Sync) and operation.path == rename.path:
        return Sync(rename.target, operation.ours)
    return operation


class Bench:
    """Two servers, each in use by one thread at a time."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.servers: SimpleQueue[Server] = SimpleQueue()
        self._all_servers = [Server() for _ in range(2)]
        for server in self._all_servers:
            self.servers.put(server)
        self.pool = ThreadPoolExecutor(2)

    def record(self, name: str) -> Recording:
        server = self.servers.get()
        try:
            return recorded(name, self.home / "template", server)
        finally:
            self.servers.put(server)

    def fails(self, recording: Recording, outage: Outage) -> str | None:
        server = self.servers.get()
        try:
            with TemporaryDirectory(dir=self.home) as home:
                try_outage(recording, outage, server, Path(home) / "trial")
        except AssertionError as error:
            return str(error)
        finally:
            self.servers.put(server)
        return None

    def close(self) -> None:
        self.pool.shutdown()
        for server in self._all_servers:
            server.close()


def replay(bench: Bench, recording: Recording, seeds: int, most: int | None) -> int:
    """Try every state; return how many failed."""
    start = time.perf_counter()
    states = enumerate(islice(outages(recording, seeds), most), start=1)
    failures: list[str] = []
    state_count = 0
    lock = Lock()

    def work(_: int) -> None:
        nonlocal state_count
        while True:
            with lock:  # States are made on demand: together they would fill the memory.
                n, state = next(states, (0, None))
                state_count = max(state_count, n)
            if state is None:
                return
            if (failure := bench.fails(recording, state)) is not None:
                failures.append(failure)

    list(bench.pool.map(work, range(2)))
    recorder.add_row(
        "scenarios",
        name=recording.name,
        operations=len(recording.operations),
        states=state_count,
        failed=len(failures),
        seconds=time.perf_counter() - start,
    )
    print(
        f"{recording.name:20} {len(recording.operations):5} operations {state_count:6} states "
        f"{len(failures):4} failed {time.perf_counter() - start:7.1f} s",
        flush=True,
    )
    for text in failures[:3]:
        print(text)
    return len(failures)


def mutate(bench: Bench, recording: Recording, most: int | None) -> list[Mutant]:
    """Try every mutant until one of its states fails; return the mutants that nothing noticed."""
    known_keys = {outage.key() for outage in outages(recording, 0)}
    tally: dict[str, Counter[str]] = defaultdict(Counter)
    survivors = []

    def is_caught(mutant: Mutant) -> bool:
        def states() -> Iterator[Outage]:
            candidates = outages(recording, 0, operations=mutant.operations, first=mutant.first)
            return (state for state in candidates if state.key() not in known_keys)

        # Most mutants fail in states where all was acknowledged and only fsynced data is left: try those first.
        acknowledged = {
            0,
            *(n + 1 for n, o in enumerate(mutant.operations) if isinstance(o, Acknowledge | Return)),
        }
        worst = (state for state in states() if state.cut == "nothing" and state.before in acknowledged)
        return any(bench.fails(recording, state) for state in chain(worst, states()))

    sample = list(mutants(recording))
    sample = sample[:: -(-len(sample) // most) if most else 1]
    for mutant, caught in zip(sample, bench.pool.map(is_caught, sample), strict=True):
        tally[mutant.what]["caught" if caught else "not caught"] += 1
        if not caught:
            survivors.append(mutant)
    for what, counts in sorted(tally.items()):
        print(f"{recording.name:20} {what:34} {counts['caught']:4} of {counts.total():4} caught", flush=True)
        recorder.add_row("mutations", name=recording.name, mutation=what, caught=counts["caught"], of=counts.total())
    for mutant in survivors:
        print(f"{'':20} not caught: {mutant.what}: {mutant.path} (operation {mutant.first})", flush=True)
    return survivors


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=SCENARIOS, help="a scenario; may be repeated")
    parser.add_argument("--seeds", type=int, default=2, help="random states of each kind for each operation")
    parser.add_argument("--mutations", action="store_true")
    parser.add_argument("--most", type=int, help="states or mutations of a scenario (default: all)")
    arguments = parser.parse_args()
    failed = 0
    start = time.perf_counter()
    for name in arguments.only or SCENARIOS:
        with TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
            bench = Bench(Path(folder))
            try:
                recording = bench.record(name)
                if arguments.mutations:
                    failed += sum(
                        mutant.what != "SQLite's fsync left out" for mutant in mutate(bench, recording, arguments.most)
                    )
                else:
                    failed += replay(bench, recording, arguments.seeds, arguments.most)
            finally:
                bench.close()
    print(f"{time.perf_counter() - start:.0f} s")
    recorder.put(failed=failed)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(recorder.run(main))
