"""A cluster inside the test's own process: calls go through pickle, are done in any order, workers die when told."""

from __future__ import annotations

import os
import pickle
import random
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from imseek.indexer.executors.ray_cluster import answer_of
from imseek.indexer.executors.worker import Setup, Worker
from imseek.types.executors import Ray


class WorkerDiedError(Exception):
    """As Ray raises for a worker that is gone."""


@dataclass(eq=False)
class Actor:
    cluster: InProcess
    number: int
    worker: Worker | None = None
    dead: bool = False

    def __getattr__(self, method: str) -> Any:
        return SimpleNamespace(remote=lambda *arguments: Call(self, method, pickle.dumps(arguments)))


@dataclass(eq=False)
class Call:
    actor: Actor
    method: str
    arguments: bytes


@dataclass
class InProcess:
    """Stands in for :mod:`imseek.indexer.executors.ray_cluster`. ``fate`` may raise WorkerDiedError before a worker
    does something, or change what it answers; it is given the worker's number, the method, its arguments and what does
    it.
    """

    seed: int = 0
    fate: Callable[[int, str, Sequence[Any], Callable[[], Any]], Any] = lambda _n, _m, _a, call: call()
    done: list[tuple[int, str]] = field(default_factory=list)
    hired: int = 0

    answer_of = staticmethod(answer_of)

    @contextmanager
    def connect_ray(self, options: Ray) -> Iterator[Any]:
        chance = random.Random(self.seed)

        def wait(calls: list[Call], num_returns: int, timeout: float) -> tuple[list[Call], list[Call]]:
            time.sleep(0)
            return [chance.choice(calls)], []

        yield SimpleNamespace(wait=wait, get=self._get, exceptions=SimpleNamespace(RayError=WorkerDiedError))

    def plan_workers(self, ray: Any, options: Ray) -> tuple[int, float]:
        return options.workers or 2, 0.0

    def start_worker(self, ray: Any, options: Ray, gpus: float) -> Actor:
        self.hired += 1
        return Actor(self, self.hired)

    def send_setup(self, actor: Actor, setup: Setup) -> Call:
        return Call(actor, "hello", pickle.dumps((setup,)))

    def stop_worker(self, ray: Any, actor: Actor) -> None:
        actor.dead = True

    def _get(self, call: Call) -> Any:
        actor, arguments = call.actor, pickle.loads(call.arguments)

        def work() -> Any:
            if call.method == "hello":
                actor.worker = Worker(*arguments)
                return actor.worker.hello()
            return getattr(actor.worker, call.method)(*arguments)

        if actor.dead:
            raise WorkerDiedError(f"worker {actor.number} is dead")
        try:
            answer = self.fate(actor.number, call.method, arguments, work)
        except WorkerDiedError:
            actor.dead = True
            raise
        except Exception as error:
            answer = ("refused", f"{type(error).__name__}: {error}", getattr(error, "hint", None))
        self.done.append((actor.number, call.method))
        return pickle.loads(pickle.dumps(answer))


def worker_processes(driver: int | None = None) -> list[int]:
    """Processes of workers on the cluster that a process (this one) has started: its grandchildren, by their title."""
    titles = _processes()
    below = children_of(os.getpid() if driver is None else driver)
    return [pid for pid in below if titles.get(pid, (0, ""))[1].startswith("ray::ImseekWorker")]


def children_of(pid: int) -> list[int]:
    """The processes below one, at any depth."""
    parents = {child: parent for child, (parent, _) in _processes().items()}
    below: list[int] = []
    found = [pid]
    while found:
        found = sorted(child for child, parent in parents.items() if parent in found)
        below += found
    return below


def _processes() -> dict[int, tuple[int, str]]:
    """Parent and command of each process."""
    found: dict[int, tuple[int, str]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            with suppress(OSError):
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                found[int(folder.name)] = (parent, (folder / "cmdline").read_text().strip("\0 "))
    return found


def listening(processes: Collection[int]) -> set[str]:
    """The addresses at which some of the processes take connections, as the kernel writes them, in hex."""
    sockets = set()
    for pid in processes:
        with suppress(OSError):
            sockets |= {str(file.readlink()) for file in Path(f"/proc/{pid}/fd").iterdir()}
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path("/proc/net", table).read_text().splitlines()[1:]:
            _, local, _, state, *rest = line.split()
            if state == "0A" and f"socket:[{rest[5]}]" in sockets:
                found.add(local.partition(":")[0])
    return found
