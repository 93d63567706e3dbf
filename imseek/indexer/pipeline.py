"""The indexing pipeline: scan → read and hash → decode → encode → commit, with bounded memory.

scan, expand ──Candidate──▶ executor ──LoadedPicture──▶ Intake ──▶ EncodeStage ──Changeset──▶ commit
                    decode threads, or Ray           decides      encodes in batches,    4,096 images or 10 s
                                                                  unless the executor has
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from types import MappingProxyType

from imseek.data.catalog import spaces
from imseek.data.shards.compaction import merge_due
from imseek.data.writing.commit import commit
from imseek.data.writing.writer import Writer
from imseek.encoders.base import Encoder
from imseek.encoders.runtime import Runtime
from imseek.indexer import scan as scanning
from imseek.indexer.containers import ContainerResult, expand
from imseek.indexer.decode_stage import Item, Loader
from imseek.indexer.encode_stage import ColumnSelection, EncodeStage
from imseek.indexer.executors import executor_of
from imseek.indexer.executors.base import Executor, Plan
from imseek.indexer.intake import Intake
from imseek.indexer.run_tally import RunTally
from imseek.indexer.scan import Candidate, ScanResult, ScanSettings
from imseek.indexer.source_selection import Target, record_sources
from imseek.indexer.stored_contents import StoredContents
from imseek.media.decode import DEFAULT_LIMITS, Limits
from imseek.progress import Cancelled, Task
from imseek.types.executors import Ray
from imseek.types.indexing_runs import IndexReport

COMMIT_IMAGES = 4096
COMMIT_SECONDS = 10.0
#: Time limit for reading and decoding one file.
FILE_SECONDS = 60.0
#: The limit for fetched pictures. Fetching has its own deadlines; most of the time is spent waiting for a busy host.
WEB_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class IndexOptions:
    """Options of a run.

    ``limit`` is the maximum number of pictures to read; the rest is left for the next run. ``skip_known`` are
    collection folders, possibly this one: pictures whose content one of them has are skipped. ``executor`` says who
    does the work (None: threads), ``runtime`` how workers in other processes encode, ``limits`` how pictures are
    decoded.
    """

    scan: ScanSettings = field(default_factory=ScanSettings)
    limit: int | None = None
    skip_known: Sequence[Path] = ()
    executor: Ray | None = None
    runtime: Runtime | None = None
    limits: Limits = DEFAULT_LIMITS


def index(
    writer: Writer,
    encoders: Mapping[int, Encoder],
    selection: Sequence[Target],
    options: IndexOptions,
    *,
    captions: Mapping[int, Encoder] = MappingProxyType({}),
    task: Task,
) -> IndexReport:
    """Bring the collection up to date with these sources; see :meth:`imseek.Collection.index`.

    ``encoders`` maps the id of every image space to its encoder, the first space first; ``captions`` does so for the
    caption space, if there is one.
    """
    # Checked before a source is recorded: a wrong collection, or another encoder's vectors, must leave nothing behind.
    contents = StoredContents(writer.root, options.skip_known)
    notes: tuple[str, ...] = ()
    if any(target.source.kind == "vectors" for target in selection):
        from imseek.indexer import (
            imported_vectors_check,  # here: seldom needed, and it imports readers of tables and of the web
        )

        selection, notes = imported_vectors_check.check(
            writer.catalog, selection, encoders, options.scan, options.limits
        )
    targets = record_sources(writer, selection)
    task.report("scan", 0, None, skipped=0, bytes_read=0)
    scan = scanning.scan(writer.catalog, targets, options.scan, task.stop)
    columns = {t.source.source_id: ColumnSelection(t.options.columns) for t in targets}
    tally = RunTally(writer.generation, next(iter(encoders.values())).info.reference)
    encode_stage = EncodeStage(writer, encoders, captions, columns, contents, tally)
    run = Run(writer, scan, options, contents, encode_stage, tally, task)
    report = run.execute(Loader(encoders, contents, options.limits), {t.source.source_id for t in targets if t.whole})
    return replace(report, notes=(*notes, *report.notes))


class Run:
    """One indexing run. Counts in its report change only after the corresponding commit."""

    def __init__(
        self,
        writer: Writer,
        scan: ScanResult,
        options: IndexOptions,
        contents: StoredContents,
        encode_stage: EncodeStage,
        tally: RunTally,
        task: Task,
    ) -> None:
        self._writer = writer
        self._scan = scan
        self._options = options
        self._contents = contents
        self._storing = encode_stage
        self._tally = tally
        self._task = task
        self._intake = Intake(contents, encode_stage, tally)
        self._committed_at = time.monotonic()
        self._stopped_early = False

    def execute(self, loader: Loader, whole_sources: Set[int]) -> IndexReport:
        """Index what is new or changed, and return the report.

        ``whole_sources`` are scanned completely: what is missing from them is removed.
        """
        scan, tally = self._scan, self._tally
        tally.add(seen=scan.seen, unchanged=scan.unchanged, skipped=scan.known_failures)
        self._intake.begin(self._writer.catalog, scan, whole_sources)
        self._tell()
        executor = self._executor(loader)
        try:
            with closing(executor(self._items())) as results:
                for result in results:
                    self._intake.take(result)
                    self._commit_if_due()
            for _ in self._intake.settle_deferred():
                self._commit_if_due()
            if not self._stopped_early:
                self._intake.remove_missing()
                tally.changes.containers += tally.containers.take_with_losses()
                tally.changes.emptied += scan.emptied
            tally.changes.containers += tally.containers.take_read()
            self._commit()
        finally:
            self._contents.close()
            for source in scan.sources:
                source.close()
        # Containers add notes while they are read.
        late = (note for source in scan.sources for note in source.notes)
        return replace(
            tally.report,
            live=self._writer.current().images,
            seconds=self._task.seconds,
            interrupted=self._task.is_cancelled,
            notes=tuple(
                dict.fromkeys((*scan.notes, *late, *self._storing.notes(), *executor.notes(), *self._stale_captions()))
            ),
        )

    def _stale_captions(self) -> Iterator[str]:
        with self._writer.catalog.transaction() as connection:
            stale = spaces.count_stale_captions(connection)
        if stale:
            changed = "1 caption has" if stale == 1 else f"{stale:,} captions have"
            yield f"{changed} changed since they were embedded: `imseek maintain --captions` embeds them again"

    def _executor(self, loader: Loader) -> Executor:
        read_threads = max((source.threads for source in self._scan.sources), default=0)
        plan = Plan(loader, self._storing.batch, read_threads, deadline=WEB_SECONDS if read_threads else FILE_SECONDS)
        return executor_of(self._options.executor, self._options.runtime, self._writer, plan)

    def _items(self) -> Iterator[Item]:
        """Yield what to read, until the run is stopped or has read enough."""
        left = self._options.limit
        try:
            for item in chain(self._scan.candidates, self._scan.edited, self._expanded()):
                if self._task.is_cancelled or (left == 0 and isinstance(item, Candidate)):
                    self._stopped_early = True
                    return
                if left is not None and isinstance(item, Candidate):
                    left -= 1
                yield item
        except Cancelled:
            self._stopped_early = True

    def _expanded(self) -> Iterator[Item]:
        for opening in self._scan.openings:
            result = ContainerResult.of(opening)
            try:
                yield from expand(self._writer.catalog, opening, self._options.scan, result)
            finally:  # also if it was not read to its end
                self._tally.add(seen=result.seen, unchanged=len(result.settled), skipped=result.known_failures)

    def _commit_if_due(self) -> None:
        changes = self._tally.changes
        images = len(changes.new) + len(self._storing) + len(changes.moved)
        if images >= COMMIT_IMAGES or time.monotonic() - self._committed_at >= COMMIT_SECONDS:
            self._commit()

    def _commit(self) -> None:
        """Commit what has been taken so far; the report counts it only then."""
        self._storing.encode()
        changes = self._tally.changes
        # A container with a picture that may be readable next time must be opened again.
        changes.containers = self._tally.containers.mark_unfinished(changes.containers)
        generation = commit(self._writer, changes)
        self._contents.commits += 1
        self._tally.count_commit(generation, self._storing.spaces)
        self._storing.forget_committed()
        merge_due(self._writer)
        self._committed_at = time.monotonic()
        self._tell()

    def _tell(self) -> None:
        report, scan = self._tally.report, self._scan
        total = None if scan.openings else len(scan.candidates)
        done = self._tally.done
        self._task.report("index", done, total, skipped=report.skipped, bytes_read=report.bytes_read)
