"""An executor that runs on workers of a Ray cluster. The run's own process looks up, decides and commits.

pieces ──read──▶ hashes ──look up──▶ make ──▶ rows, staged ──checked──▶ results in the order of the items
       (worker)            (here)      (worker)                (here)

Ray runs the processes and reports which of them has died; recovery is decided here. Why Ray Data is not used:
docs/decisions/0029-ray.md.
"""

from __future__ import annotations

import itertools
import math
import queue
import threading
import time
from collections import deque
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from imseek.encoders.recipes import Recipe
from imseek.encoders.runtime import Runtime
from imseek.errors import ExecutorError
from imseek.indexer.decode_stage import FailedPicture, Item, Picture, Result, Trouble
from imseek.indexer.executors import ray_cluster
from imseek.indexer.executors.base import Plan
from imseek.indexer.executors.staging import StagedError, Staging
from imseek.indexer.executors.work_units import (
    EncodedPicture,
    EncodedUnit,
    Outcome,
    ReadPicture,
    WorkUnit,
    split_into_units,
)
from imseek.indexer.executors.worker import Hello, Setup
from imseek.types.executors import Ray
from imseek.types.pictures import SkipReason

#: Pieces assigned to a worker at once: it reads the next one while it encodes.
PIECES_PER_WORKER: Final = 2
#: Workers that may die with one picture before it is reported as failed.
MAX_DEATHS: Final = 3
#: How often the staged rows of one piece may be unreadable before the run fails.
MAX_TORN_READS: Final = 3
#: Seconds without any worker after which the run fails.
NO_WORKER_SECONDS: Final = 300.0
#: Seconds that the dispatcher waits before it checks for new pieces.
POLL_SECONDS: Final = 0.02


class RayExecutor:
    """An :class:`imseek.indexer.executors.base.Executor` on Ray. It connects to the cluster on the first picture."""

    def __init__(self, plan: Plan, options: Ray, runtime: Runtime, staging: Staging) -> None:
        self._plan = plan
        self._options = options
        self._runtime = runtime
        self._staging = staging
        self._lost = 0

    def __call__(self, items: Iterable[Item]) -> Generator[Result]:
        numbers = itertools.count().__next__
        outcomes: deque[Outcome] = deque()
        dispatch: Dispatcher | None = None
        with ExitStack() as stack:
            for outcome, piece in split_into_units(items, self._plan.loader, self._options.shard, numbers):
                outcomes.append(outcome)
                if len(piece):
                    if dispatch is None:
                        dispatch = stack.enter_context(self._dispatch(numbers))
                    dispatch.give(piece)
                if dispatch is None or len(outcomes) > dispatch.ahead:
                    yield from outcomes.popleft().take()
            for outcome in outcomes:
                yield from outcome.take()
            if dispatch is not None:
                self._lost = dispatch.lost

    def notes(self) -> tuple[str, ...]:
        if not self._lost:
            return ()
        were = "1 worker was lost" if self._lost == 1 else f"{self._lost:,} workers were lost"
        return (f"{were} during the run; what was in hand there was done again",)

    def _dispatch(self, numbers: Any) -> Dispatcher:
        threads = max(1, math.ceil(self._options.cpus))
        plan = self._plan
        setup = Setup(
            {space_id: Recipe.of(encoder) for space_id, encoder in plan.loader.encoders.items()},
            replace(self._runtime, threads=self._runtime.threads or threads),
            self._staging,
            max(threads, plan.read_threads),
            plan.batch,
            plan.deadline,
            plan.loader.limits,
        )
        return Dispatcher(plan, self._options, setup, numbers)


@dataclass(eq=False, slots=True)
class _Worker:
    """A worker; ``host`` is empty until it has said hello."""

    actor: Any
    host: str = ""
    pieces: list[WorkUnit] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Call:
    """A pending call to a worker; ``piece`` is None for hello."""

    worker: _Worker
    piece: WorkUnit | None
    name: str = ""


class Dispatcher:
    """A thread that assigns pieces to workers and collects results, so that workers need not wait for commits.

    A context manager: entering connects and starts workers, leaving stops them all.
    """

    def __init__(self, plan: Plan, options: Ray, setup: Setup, numbers: Any) -> None:
        self._loader = plan.loader
        self._dims = {space_id: encoder.info.dim for space_id, encoder in plan.loader.encoders.items()}
        self._options = options
        self._setup = setup
        self._numbers = numbers
        self._staging = setup.staging
        self._incoming: queue.SimpleQueue[WorkUnit] = queue.SimpleQueue()
        self._pieces: deque[WorkUnit] = deque()
        self._open: set[WorkUnit] = set()
        self._workers: list[_Worker] = []
        self._calls: dict[Any, _Call] = {}
        self._closing = threading.Event()
        self._error: BaseException | None = None
        self._stillborn = 0
        self._thread = threading.Thread(target=self._run, name="imseek-ray", daemon=True)
        #: Number of workers lost.
        self.lost = 0

    def __enter__(self) -> Dispatcher:
        with ExitStack() as undo:
            self._ray = undo.enter_context(ray_cluster.connect_ray(self._options))
            self._staging.clear()
            undo.callback(self._staging.clear)
            self._size, self._gpus = ray_cluster.plan_workers(self._ray, self._options)
            #: Maximum shards in progress, beyond the one being waited for.
            self.ahead = (PIECES_PER_WORKER + 1) * self._size
            self._thread.start()
            undo.callback(self._leave)
            self._undo = undo.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._undo.close()

    def give(self, piece: WorkUnit) -> None:
        self._incoming.put(piece)

    def _leave(self) -> None:
        self._closing.set()
        self._thread.join()
        for worker in self._workers:
            ray_cluster.stop_worker(self._ray, worker.actor)

    # -- the thread --------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            for _ in range(self._size):
                if self._closing.is_set():
                    return
                self._start_worker()
            began = time.monotonic()
            while not self._closing.is_set():
                while not self._incoming.empty():
                    self._pieces.append(self._incoming.get())
                self._assign_pieces()
                if any(worker.host for worker in self._workers):
                    began = time.monotonic()
                elif time.monotonic() - began > NO_WORKER_SECONDS:
                    raise ExecutorError(
                        f"no worker of the cluster has begun within {NO_WORKER_SECONDS:g} seconds",
                        hint="`ray status` says what the cluster has room for",
                    )
                self._wait()
        except BaseException as error:
            self._error = error
            self._fail_all()

    def _fail_all(self) -> None:
        """Fail all pieces with the error, which is raised where results are awaited."""
        assert self._error is not None
        while not self._closing.is_set():
            for piece in (*self._open, *self._pieces):
                piece.outcome.fail(self._error)
            self._open.clear()
            self._pieces.clear()
            try:
                self._pieces.append(self._incoming.get(timeout=POLL_SECONDS))
            except queue.Empty:
                continue

    def _assign_pieces(self) -> None:
        for worker in sorted(self._workers, key=lambda one: len(one.pieces)):
            while worker.host and self._pieces and self._has_room(worker, self._pieces[0]):
                piece = self._pieces.popleft()
                piece.tries += 1
                piece.clock_ns = time.time_ns()
                worker.pieces.append(piece)
                self._open.add(piece)
                self._call(worker.actor.read.remote(piece.number, piece.parcels), _Call(worker, piece))

    @staticmethod
    def _has_room(worker: _Worker, piece: WorkUnit) -> bool:
        if piece.suspect or any(one.suspect for one in worker.pieces):
            return not worker.pieces
        return len(worker.pieces) < PIECES_PER_WORKER

    def _wait(self) -> None:
        if not self._calls:
            time.sleep(POLL_SECONDS)
            return
        ready, _ = self._ray.wait(list(self._calls), num_returns=1, timeout=POLL_SECONDS)
        for reference in ready:
            call = self._calls.pop(reference)
            try:
                answer = self._ray.get(reference)
            except self._ray.exceptions.RayError as error:
                self._replace_worker(call.worker, error)
                continue
            self._answer(call, ray_cluster.answer_of(answer))

    def _call(self, reference: Any, call: _Call) -> None:
        self._calls[reference] = call

    def _answer(self, call: _Call, answer: Any) -> None:
        if call.piece is None:
            self._register(call.worker, answer)
        elif isinstance(answer, EncodedUnit):
            self._finish(call, call.piece, answer)
        else:
            self._ask(call.worker, call.piece, answer)

    # -- workers -----------------------------------------------------------------------------------------

    def _start_worker(self) -> None:
        worker = _Worker(ray_cluster.start_worker(self._ray, self._options, self._gpus))
        self._workers.append(worker)
        self._call(ray_cluster.send_setup(worker.actor, self._setup), _Call(worker, None))

    def _register(self, worker: _Worker, hello: Hello) -> None:
        try:
            self._staging.read(hello.staged)
        except StagedError as error:
            raise ExecutorError(
                f"what a worker on {hello.host} stages in {self._staging.place} cannot be read here: {error}",
                hint="--staging names a folder that all machines share, or object storage; docs/scale.md",
            ) from error
        self._staging.remove(hello.staged)
        self._stillborn = 0
        worker.host = hello.host

    def _replace_worker(self, worker: _Worker, error: Exception) -> None:
        """Replace a dead worker and requeue its pieces."""
        if worker not in self._workers:
            return
        self._workers.remove(worker)
        self._calls = {ref: call for ref, call in self._calls.items() if call.worker is not worker}
        ray_cluster.stop_worker(self._ray, worker.actor)
        self.lost += 1
        self._stillborn += not worker.host
        if self._stillborn >= MAX_DEATHS:
            raise ExecutorError(f"workers end before they begin: {error}") from error
        for piece in reversed(worker.pieces):
            piece.deaths += 1
            self._again(piece)
        self._start_worker()

    def _again(self, piece: WorkUnit) -> None:
        self._open.discard(piece)
        piece.loaded = []
        if piece.deaths < MAX_DEATHS - (len(piece) > 1):
            piece.suspect = len(piece) == 1
            self._pieces.appendleft(piece)
        elif len(piece) > 1:  # one of its pictures may be the cause
            self._pieces.extendleft(reversed(piece.alone(self._numbers)))
        else:
            message = f"{MAX_DEATHS} workers ended while they had it in hand"
            piece.put(0, FailedPicture.of(piece.candidates[0], Trouble(SkipReason.ENCODER_FAILED, message)))

    # -- pieces ------------------------------------------------------------------------------------------

    def _ask(self, worker: _Worker, piece: WorkUnit, read: Sequence[ReadPicture | Trouble]) -> None:
        """Look up the pictures that were read, and request rows for those that need them."""
        for n, (candidate, one) in enumerate(zip(piece.candidates, read, strict=True)):
            if isinstance(one, Trouble):
                piece.loaded.append(one)
            else:
                content = replace(one.content, stat=piece.timed(n, one.content.stat))
                loaded = self._loader.look_up(candidate, content, one.content_hash, one.size)
                piece.loaded.append(loaded)
        needs_row = [one.absent_at is not None for one in piece.loaded if not isinstance(one, Trouble)]
        name = f"{piece.number}.{piece.tries}.npy"
        self._call(worker.actor.make.remote(piece.number, name, needs_row), _Call(worker, piece, name))

    def _finish(self, call: _Call, piece: WorkUnit, encoded: EncodedUnit) -> None:
        call.worker.pieces.remove(piece)
        rows: npt.NDArray[np.float16] | None = None
        if encoded.staged is not None:
            try:
                rows = self._staging.read(encoded.staged)
            except StagedError as error:
                if piece.tries >= MAX_TORN_READS:
                    raise ExecutorError(
                        f"what a worker on {call.worker.host} staged cannot be read: {error}"
                    ) from error
                self._again(piece)
                return
            self._staging.remove(encoded.staged)
        self._open.discard(piece)
        pictures = iter(encoded.pictures)
        for n, (candidate, loaded) in enumerate(zip(piece.candidates, piece.loaded, strict=True)):
            if isinstance(loaded, Trouble):
                piece.put(n, FailedPicture.of(candidate, loaded))
                continue
            picture = next(pictures)
            if isinstance(picture, Trouble):
                piece.put(n, FailedPicture.of(candidate, replace(picture, stat=loaded.stat)))
            elif picture is None:
                piece.put(n, loaded)
            else:
                complete = self._picture(picture, rows, encoded.precisions)
                piece.put(n, replace(loaded, picture=complete))

    def _picture(
        self, picture: EncodedPicture, rows: npt.NDArray[np.float16] | None, precisions: Mapping[int, str]
    ) -> Picture:
        if isinstance(picture.row, str):
            return Picture(picture.facts, vectors=picture.row, precisions=precisions)
        assert rows is not None
        ends = list(itertools.accumulate(self._dims.values()))[:-1]
        vectors = dict(zip(self._dims, np.split(rows[picture.row], ends), strict=True))
        return Picture(picture.facts, vectors=vectors, precisions=precisions)
