"""The indexing pipeline: scan → read and hash → decode → encode → commit, with bounded memory.

scan, expand ──candidates──▶ executor ──Loaded/Failed──▶ Run._take ──▶ Batch ──4,096 images or 10 s──▶ commit
                    decode threads, or Ray                 encodes in batches, unless the executor has
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from types import MappingProxyType

from imseek.data.catalog.catalog import KnownPlace
from imseek.data.catalog.changeset import Changeset, NewImage, Placement, ScannedContainer
from imseek.data.catalog.content_lookup import HashLookup
from imseek.data.catalog.places import MEMBER_SEPARATOR, locate, split
from imseek.data.shards.compaction import merge_due
from imseek.data.user_files.file_stat import UNKNOWN_STAT
from imseek.data.writing.commit import commit
from imseek.data.writing.writer import Writer
from imseek.encoders.base import Encoder
from imseek.encoders.runtime import Runtime
from imseek.indexer import imported_vectors
from imseek.indexer import scan as scanning
from imseek.indexer.containers import ContainerResult, expand
from imseek.indexer.decode_stage import TRANSIENT, FailedPicture, LoadedPicture, Loader
from imseek.indexer.encode_stage import EncodeStage
from imseek.indexer.executors import executor_of
from imseek.indexer.executors.base import Plan
from imseek.indexer.metadata_rows import ColumnSelection
from imseek.indexer.moves import MissingImage, MissingImages
from imseek.indexer.scan import RETRIED_REASONS, Candidate, ScanResult, ScanSettings, SkippedEntry
from imseek.indexer.skip_known import KnownContent, KnownContents
from imseek.indexer.source_selection import Target, record_sources
from imseek.media.decode import DEFAULT_LIMITS, Limits
from imseek.progress import Cancelled, Task
from imseek.types.executors import Ray
from imseek.types.indexing_runs import Failure, IndexReport, KnownPicture

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
    wanted: Sequence[Target],
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
    passing = KnownContents(writer.root, options.skip_known)
    wanted, notes = imported_vectors.check(writer.catalog, wanted, encoders, options.scan, options.limits)
    run = Run(
        writer,
        encoders,
        captions,
        passing,
        task,
        options.limits,
    )
    report = run.execute(record_sources(writer, wanted), options)
    return replace(report, notes=(*notes, *report.notes))


class Run:
    """One indexing run. Counts in ``report`` change only after the corresponding commit."""

    def __init__(
        self,
        writer: Writer,
        encoders: Mapping[int, Encoder],
        captions: Mapping[int, Encoder],
        passing: KnownContents,
        task: Task,
        limits: Limits,
    ) -> None:
        self._writer = writer
        self._task = task
        self._encoders = encoders
        self._lookup = HashLookup(writer.root)
        self._storing = EncodeStage(writer, encoders, captions, self._held, self._stored, self._fail)
        self._passing = passing
        self._loader = Loader(tuple(encoders.values()), self._is_stored, passing, limits)
        self._homeless = MissingImages()
        self._unsettled: set[int] = set()
        self._deferred: list[LoadedPicture] = []
        self._batch = Changeset()
        self._failures: list[Failure] = []
        self._reported: list[Failure] = []
        self._known: list[KnownPicture] = []
        self._known_reported: list[KnownPicture] = []
        self._counts: Counter[str] = Counter()
        self._read: list[ScannedContainer] = []
        self._losing: list[ScannedContainer] = []
        self._emptied: list[tuple[int, bytes]] = []
        self._unfinished: set[tuple[int, bytes]] = set()
        self._stopped_early = False
        self._total: int | None = 0
        self._done = 0
        self._committed_at = time.monotonic()
        spaces = self._storing.spaces
        self.report = IndexReport(
            seen=0, unchanged=0, added=0, changed=0, moved=0, copied=0, removed=0, skipped=0, live=0,
            bytes_read=0, files_opened=0, seconds=0.0, generation=writer.generation,
            encoder=spaces[0].encoder, precision=spaces[0].precision, spaces=spaces,
        )  # fmt: skip

    def execute(self, targets: Sequence[Target], options: IndexOptions) -> IndexReport:
        """Scan the targets, index what is new or changed, and return the report."""
        self._tell("scan", None)
        scan = scanning.scan(self._writer.catalog, targets, options.scan, self._task.stop)
        self._storing.columns = {t.source.source_id: ColumnSelection(t.options.columns) for t in targets}
        self._begin(scan, {t.source.source_id for t in targets if t.whole})
        self._tell("index", self._total)
        waiting = max((source.threads for source in scan.sources), default=0)
        plan = Plan(
            self._loader, self._encoders, self._storing.batch, waiting,
            deadline=WEB_SECONDS if waiting else FILE_SECONDS,
        )  # fmt: skip
        executor = executor_of(options.executor, options.runtime, self._writer, plan)
        try:
            with closing(executor(self._wanted(scan, options))) as results:
                for loaded in results:
                    self._take(loaded)
                    if self._commit_is_due():
                        self._flush()
            for deferred in self._deferred:
                self._settle(deferred)
                if self._commit_is_due():
                    self._flush()
            if not self._stopped_early:
                self._remove_missing()
                self._batch.containers += self._losing
                self._batch.emptied += self._emptied
            self._batch.containers += self._read
            self._flush()
        finally:
            self._lookup.close()
            self._passing.close()
            for source in scan.sources:
                source.close()
        # Containers add notes while they are read.
        late = (note for source in scan.sources for note in source.notes)
        return replace(
            self.report,
            live=self._writer.current().images,
            seconds=self._task.seconds,
            interrupted=self._task.is_cancelled,
            failures=tuple(self._reported),
            known_pictures=tuple(self._known_reported),
            notes=tuple(
                dict.fromkeys((*self.report.notes, *late, *self._storing.notes(), *executor.notes()))
            ),
        )

    # -- start, commit and end -------------------------------------------------------------------------

    def _begin(self, scan: ScanResult, whole_sources: Set[int]) -> None:
        self._total = None if scan.openings else len(scan.candidates)
        self._unsettled = {c.known.image_id for c in scan.candidates if c.known is not None}
        for opening in scan.openings:
            source_id, path = opening.target.source.source_id, opening.container.path
            self._unsettled.update(self._writer.catalog.ids_within(source_id, path))
            if opening.before != UNKNOWN_STAT:
                self._batch.containers.append(ScannedContainer(source_id, path, UNKNOWN_STAT))
        self._homeless.update(scan.lost)
        for image_id, content_hash, stored, last_source in self._writer.catalog.missing_images():
            expires = last_source in whole_sources
            self._homeless.add(content_hash, MissingImage(image_id, stored, expires))
        self._batch.cleared += scan.cleared
        self._emptied = scan.emptied
        for skipped in scan.skipped:
            self._fail(skipped)
        self.report = replace(
            self.report,
            seen=scan.seen,
            unchanged=scan.unchanged,
            skipped=scan.known_failures,
            notes=tuple(scan.notes),
        )

    def _wanted(
        self, scan: ScanResult, options: IndexOptions
    ) -> Iterator[Candidate | SkippedEntry | ContainerResult]:
        """Yield what to read, until the run is stopped or has read enough."""
        left = options.limit
        try:
            for item in chain(scan.candidates, self._expanded(scan, options)):
                if self._task.is_cancelled or (left == 0 and isinstance(item, Candidate)):
                    self._stopped_early = True
                    return
                if left is not None and isinstance(item, Candidate):
                    left -= 1
                yield item
        except Cancelled:
            self._stopped_early = True

    def _expanded(
        self, scan: ScanResult, options: IndexOptions
    ) -> Iterator[Candidate | SkippedEntry | ContainerResult]:
        for opening in scan.openings:
            ended = ContainerResult.of(opening)
            try:
                yield from expand(self._writer.catalog, opening, options.scan, ended)
            finally:  # also if it was not read to its end
                self.report = replace(
                    self.report,
                    seen=self.report.seen + ended.seen,
                    unchanged=self.report.unchanged + len(ended.settled),
                    skipped=self.report.skipped + ended.known_failures,
                )

    def _remove_missing(self) -> None:
        """Remove the images whose content did not turn up anywhere."""
        gone = self._homeless.gone()
        self._batch.gone += [image.image_id for image in gone]
        self._counts["removed"] += sum(not image.replaced for image in gone)

    def _commit_is_due(self) -> bool:
        images = len(self._batch.new) + len(self._storing) + len(self._batch.moved)
        return images >= COMMIT_IMAGES or time.monotonic() - self._committed_at >= COMMIT_SECONDS

    def _flush(self) -> None:
        """Commit what has been taken so far; the report counts it only then."""
        self._storing.encode()
        # A container with a picture that may be readable next time must be opened again.
        self._batch.containers = [
            replace(one, stat=UNKNOWN_STAT) if (one.source_id, one.path) in self._unfinished else one
            for one in self._batch.containers
        ]
        generation = commit(self._writer, self._batch)
        self._loader.commits += 1
        counted = {name: getattr(self.report, name) + n for name, n in self._counts.items()}
        self._reported += self._failures
        self._known_reported += self._known
        spaces = self._storing.spaces
        self.report = replace(
            self.report, generation=generation, precision=spaces[0].precision, spaces=spaces, **counted
        )
        self._done += sum(
            self._counts[n] for n in ("unchanged", "added", "changed", "moved", "copied", "skipped", "known")
        )
        self._batch, self._counts, self._failures, self._known = Changeset(), Counter(), [], []
        self._storing.committed()
        merge_due(self._writer)
        self._committed_at = time.monotonic()
        self._tell("index", self._total)

    # -- one file --------------------------------------------------------------------------------------

    def _take(self, loaded: LoadedPicture | FailedPicture | SkippedEntry | ContainerResult) -> None:
        if isinstance(loaded, ContainerResult):
            self._end(loaded)
            return
        if isinstance(loaded, SkippedEntry):
            self._fail(loaded)
            return
        candidate, old = loaded.candidate, loaded.candidate.known
        if old is not None:
            self._unsettled.discard(old.image_id)
        if isinstance(loaded, FailedPicture):
            if old is not None and loaded.reason not in TRANSIENT and not old.quarantined:
                # Not searched until the file is readable again; if its content turns up elsewhere, it has moved.
                self._batch.suspended.append(old.image_id)
                self._homeless.add(old.content_hash, MissingImage(old.image_id, old.stored, expires=False))
            before = candidate.failure
            again = before is not None and before.reason == loaded.reason in RETRIED_REASONS
            skipped = candidate.failed(loaded.stat, loaded.reason, loaded.message)
            self._fail(skipped, recorded=again)
            return
        self._counts["files_opened"] += 1
        self._counts["bytes_read"] += loaded.size
        if candidate.failure is not None:
            self._batch.cleared.append((candidate.source_id, candidate.path))
        if old is not None and old.content_hash == loaded.content_hash:
            if old.stored:
                self._batch.checked.append(self._placing(loaded, old.image_id))
                self._counts["unchanged"] += 1
            else:
                self._storing.add(loaded, old.image_id)
            return
        if old is not None:
            self._displace(old)
        if (
            self._unsettled
            and loaded.content_hash not in self._homeless
            and not self._unsettled.isdisjoint(self._alike(loaded))
        ):
            # The image with this content lies in a file that may also have changed (two files that swapped names):
            # whether this is a move or a copy is known only after reading that file.
            self._deferred.append(loaded)
        else:
            self._settle(loaded)

    def _end(self, ended: ContainerResult) -> None:
        """Finish a container: images that it no longer holds may turn up elsewhere."""
        self._homeless.update(ended.lost)
        for lost in ended.lost.values():
            self._unsettled.difference_update(image.image_id for image in lost)
        self._unsettled.difference_update(ended.settled)
        self._batch.cleared += ended.cleared
        if ended.stat != UNKNOWN_STAT:  # otherwise that was recorded at the start of the run
            read = ScannedContainer(ended.source_id, ended.path, ended.stat)
            # Until its lost images are found elsewhere or removed, an interrupted run must open it again.
            (self._losing if ended.lost else self._read).append(read)
        if not self._deferred:  # no picture of a container recorded as read may still be waiting
            self._batch.containers += self._read
            self._read = []

    def _settle(self, loaded: LoadedPicture) -> None:
        """Decide what a content new to its place is: a move, known content to skip, a copy, or a new image."""
        found = self._homeless.claim(loaded.content_hash)
        if found is None and (known := self._find_known(loaded)) is not None:
            self._pass_over(loaded, known)
        elif found is None or not found.stored:
            self._storing.add(loaded, None if found is None else found.image_id)
        else:
            self._batch.moved.append(self._placing(loaded, found.image_id))
            self._counts["moved"] += 1

    def _find_known(self, loaded: LoadedPicture) -> KnownContent | None:
        """Return where the content of a picture to skip is stored, or None; this run may have stored it meanwhile."""
        if loaded.known is not None or not self._passing.here:
            return loaded.known
        if self._storing.holds(loaded.content_hash):
            return self._passing.stored_here(None)
        return None if (held := self._held(loaded)) is None else self._passing.stored_here(held)

    def _pass_over(self, loaded: LoadedPicture, known: KnownContent) -> None:
        """Skip a known picture. Nothing is recorded, so that a run without ``skip_known`` indexes it."""
        candidate, old = loaded.candidate, loaded.candidate.known
        if MEMBER_SEPARATOR in candidate.path:  # the next run opens its container again
            self._unfinished.add((candidate.source_id, split(candidate.path)[0]))
        if old is not None:
            self._homeless.mark_vanished(old.content_hash, old.image_id)
        full = locate(candidate.target.root, candidate.path)
        self._known.append(KnownPicture(candidate.source_id, full, loaded.content_hash.hex(), *known))
        self._counts["known"] += 1

    def _is_stored(self, content_hash: bytes) -> bool:
        return self._lookup.find(content_hash) is not None

    def _alike(self, loaded: LoadedPicture) -> list[int]:
        """Return all stored images with this content; see :meth:`_held`."""
        return [] if self._held(loaded) is None else self._lookup.find_all(loaded.content_hash)

    def _held(self, loaded: LoadedPicture) -> int | None:
        """Return the stored image with this content, or None.

        The lookup is skipped if a worker found none and nothing has been committed since.
        """
        if loaded.picture is not None and loaded.as_of == self._loader.commits:
            return None
        return self._lookup.find(loaded.content_hash)

    def _displace(self, old: KnownPlace) -> None:
        """Mark the image that was here as missing.

        If its content does not turn up elsewhere, it is removed at the end of the run. A quarantined image is exempt:
        it waits to be restored, and no other file is taken for it.
        """
        if not old.quarantined:
            self._homeless.add(old.content_hash, MissingImage(old.image_id, old.stored, replaced=True))

    def _placing(self, loaded: LoadedPicture, image_id: int) -> Placement:
        candidate, old = loaded.candidate, loaded.candidate.known
        replaces = None if old is None else old.image_id
        return Placement(image_id, candidate.source_id, candidate.path, loaded.stat, replaces)

    def _stored(self, new: NewImage, loaded: LoadedPicture, copied: bool) -> None:
        old = loaded.candidate.known
        self._batch.new.append(new)
        changed = old is not None and not old.quarantined and old.content_hash != loaded.content_hash
        self._counts["changed" if changed else "copied" if copied else "added"] += 1

    def _fail(self, skipped: SkippedEntry, *, recorded: bool = False) -> None:
        """Report a failure, and record it unless it already is: recording it again would cause a needless commit."""
        failed = skipped.failed
        if failed.reason in RETRIED_REASONS and MEMBER_SEPARATOR in failed.path:
            self._unfinished.add((failed.source_id, split(failed.path)[0]))
        if not recorded:
            self._batch.failed.append(failed)
        self._failures.append(Failure(failed.source_id, skipped.full, failed.reason, failed.message))
        self._counts["skipped"] += 1

    def _tell(self, phase: str, total: int | None) -> None:
        report = self.report
        self._task.report(phase, self._done, total, skipped=report.skipped, bytes_read=report.bytes_read)
