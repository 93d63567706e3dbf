"""Build and maintain the approximate index of each space: one snapshot per space, replaced or grown in one commit.

A collection stores how it wants to be indexed (:class:`IndexPolicy`). Small ones are scanned; larger ones get a
snapshot at the end of the run that made them large, and another when too many rows have been added since. A snapshot is
derived data: losing it costs time only, and searches work without one.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from imseek.data import layout
from imseek.data.catalog import index_policy
from imseek.data.catalog.catalog_writer import set_meta
from imseek.data.catalog.index_policy import policy_of
from imseek.data.catalog.index_policy_text import POLICY, format_policy
from imseek.data.files.system_errors import translate_os_errors
from imseek.data.reader import Reader
from imseek.data.vectors import snapshot_growth
from imseek.data.vectors.base import Ids, IdSet
from imseek.data.vectors.build import LiveRows, ReportShare
from imseek.data.vectors.faiss_snapshot import Snapshot
from imseek.data.vectors.index_info import IndexPart, IndexSnapshot, info_of, read_index_snapshot
from imseek.data.vectors.index_kinds import choose_factory, code_of, make_index
from imseek.data.vectors.index_metadata import TRUTH_FILE, IndexFolder
from imseek.data.vectors.recall_queries import RecallQueries
from imseek.data.vectors.sharded_index import ShardedSnapshot
from imseek.data.vectors.snapshot_build import MAX_GROWTH, BuiltIndex, extend_part, translate_faiss_errors
from imseek.data.vectors.snapshot_growth import (
    GrowthPlan,
    build_grown_part,
    build_parts,
    is_outgrown,
    is_stale,
    needs_several_parts,
    plan_growth,
    rows_missing_from,
)
from imseek.data.vectors.snapshot_publication import (
    StagedPart,
    keep_parts,
    open_staged,
    publish,
    retire,
    stage_part,
)
from imseek.data.vectors.tuning import QUERIES, UNTUNED, query_rows, tune_snapshot
from imseek.data.writing.writer import Writer
from imseek.errors import CorruptCollectionError, StorageError, UsageError
from imseek.memory_limit import memory_bytes
from imseek.progress import Cancelled, Task
from imseek.types.arrays import Float32
from imseek.types.collection_info import IndexPolicy, SpaceInfo
from imseek.types.maintenance_reports import BuildOutcome, BuildReport

#: Limits of the rows added since the last build, which every search scans: a number, or a share of all rows if that is
#: more. For collections of several parts, also at most what would be scanned without an index.
MAX_TAIL_ROWS = 20_000
MAX_TAIL_SHARE = 0.05


@contextmanager
def try_policy(writer: Writer, policy: IndexPolicy | None) -> Iterator[None]:
    """Set ``policy`` (None keeps the present one), and restore the previous one if the body raises UsageError."""
    previous = policy_of(writer.root)
    if policy is not None:
        _check(policy, [space.dim for space in writer.current().spaces])
        _set_policy(writer, policy)
    try:
        yield
    except UsageError:
        _set_policy(writer, previous)
        raise


def _check(policy: IndexPolicy, dims: Sequence[int]) -> None:
    if not 0 < policy.recall <= 1:
        raise UsageError(f"a recall must be between 0 and 1, not {policy.recall}")
    if policy.memory is not None and policy.memory < 1:
        raise UsageError("the memory for an index must be positive")
    if policy.kind not in ("auto", "none"):
        for dim in dims:
            make_index(policy.kind, dim)


def _set_policy(writer: Writer, policy: IndexPolicy) -> None:
    if policy_of(writer.root) != policy:
        writer.apply(lambda connection, generation: set_meta(connection, POLICY, format_policy(policy)))


def renew_due(writer: Writer, task: Task) -> tuple[str, ...]:
    """Build the indexes that are due at the end of a run, if the policy allows it; return messages for the user.

    Failing to build an index does not undo the run, so the failure is reported, not raised.
    """
    if not policy_of(writer.root).renew:
        return ()
    try:
        reports = renew(writer, task)
    except (UsageError, StorageError) as error:
        return (f"the vector index could not be renewed, so searches scan the images that it lacks: {error}",)
    return tuple(line for report in reports if (line := describe_report(report)))


def describe_report(report: BuildReport) -> str | None:
    """Describe what was built in one line; None where nothing was."""
    index = report.index
    if report.outcome not in ("built", "extended") or index is None:
        return None
    return (
        f"vector index {report.outcome} in {report.seconds:.0f} s: {index.kind} of {index.rows:,} images, recall@10 "
        f"{index.image_recall:.3f} of pictures, {index.text_recall:.3f} of text-like queries"
    )


def renew(writer: Writer, task: Task, *, force: bool = False) -> list[BuildReport]:
    """Bring the snapshots of the spaces in use in line with the policy: those that are due, or with ``force`` all.

    A build that is cancelled is ``interrupted`` in its report; the old snapshot stays.
    Raises UsageError where the policy cannot be followed (a factory string that FAISS refuses, too little memory), and
    the errors of reading and writing a collection.
    """
    policy = policy_of(writer.root)
    current = writer.current()
    spaces, images = current.spaces, current.images
    reports = []
    for n, space in enumerate(spaces):

        def step(share: float, n: int = n) -> None:
            task.check()
            task.report("building the index", round((n + share) / len(spaces) * images), images)

        reports.append(_renew(writer, space, policy, force, step))
    return reports


def pending_builds(reader: Reader, policy: IndexPolicy) -> list[tuple[int, str]]:
    """Return what :func:`renew` would do now: space and kind of index to build; ``""`` where the index would be
    dropped."""
    builds = []
    for space in reader.current.spaces:
        rows = len(LiveRows(reader.segments(space.space_id)))
        plan = _plan_renewal(reader, space, read_index_snapshot(reader, space.space_id), rows, policy, force=False)
        if plan.outcome in ("built", "extended", "dropped"):
            builds.append((space.space_id, plan.factory))
    return builds


def drop(writer: Writer, space_id: int) -> int:
    """Drop the snapshot of a space, whose vectors are scanned again. Its files are retired as usual."""
    return writer.apply(lambda connection, generation: retire(connection, generation, space_id))


def drop_file(writer: Writer, space_id: int, file: str) -> str:
    """Drop a damaged file of a snapshot: only the part that it belongs to, if other parts can be read.

    Returns what was dropped, "" where the file belonged to no snapshot in use.
    """
    reader = Reader(writer.root)
    folder = IndexFolder(writer.root, file.rpartition("/")[0])
    space = next((s for s in reader.current.spaces if s.space_id == space_id), None)
    snapshot = read_index_snapshot(reader, space_id, excluded=folder.last) if space is not None else None
    if space is not None and snapshot is not None and snapshot.folder == folder and file.endswith(f"/{TRUTH_FILE}"):
        keep_parts(writer, space, snapshot, snapshot.parts)
        return "the answers by which the approximate index was measured"
    if space is None or snapshot is None or not snapshot.parts or snapshot.folder == folder:
        drop(writer, space_id)
        return "the approximate index"
    if folder.last not in snapshot.facts.parts:
        return ""
    keep_parts(writer, space, snapshot, snapshot.parts)
    return "a part of the approximate index"


def drop_stale(writer: Writer) -> None:
    """Drop parts of snapshots that contain a deleted image, damaged snapshots, and those of unused spaces, for a purge.

    Stored queries are vectors of images: they are dropped in any case.
    """
    reader = Reader(writer.root)
    in_use = {space.space_id: space for space in reader.current.spaces}
    for space_id in map(int, reader.current.snapshots):
        snapshot = read_index_snapshot(reader, space_id) if space_id in in_use else None
        if snapshot is None or all(part.dead for part in snapshot.parts):
            drop(writer, space_id)
        elif any(part.dead for part in snapshot.parts) or TRUTH_FILE in snapshot.facts.sizes:
            keep_parts(writer, in_use[space_id], snapshot, [part for part in snapshot.parts if not part.dead])


@dataclass(frozen=True, slots=True)
class _RenewalPlan:
    """What is due for a space: ``outcome`` as in :class:`BuildReport`, and the kind of index to build."""

    outcome: BuildOutcome
    factory: str = ""


def _plan_renewal(
    reader: Reader, space: SpaceInfo, snapshot: IndexSnapshot | None, rows: int, policy: IndexPolicy, force: bool
) -> _RenewalPlan:
    has_snapshot = reader.snapshot_folder(space.space_id) is not None
    factory: str | None = policy.kind
    if policy.kind == "auto":
        factory = choose_factory(rows, space.dim, _memory(policy))
    if policy.kind == "none" or not rows:
        factory = None
    if factory is None:
        return _RenewalPlan("dropped" if has_snapshot else "scan")
    if snapshot is None or force:
        return _RenewalPlan("built", factory)
    kind = snapshot.facts.factory
    is_same_kind = code_of(kind) == code_of(factory) if policy.kind == "auto" else kind == factory
    if not is_same_kind or is_outgrown(snapshot):
        return _RenewalPlan("built", factory)
    has_parts = needs_several_parts(snapshot)
    if not has_parts and (len(snapshot.parts) > 1 or is_stale(snapshot.parts[0])):
        return _RenewalPlan("built", factory)
    max_tail = max(MAX_TAIL_ROWS, MAX_TAIL_SHARE * rows)
    if has_parts:
        max_tail = min(max_tail, index_policy.EXACT_BYTES // (2 * space.dim))
    is_due = snapshot.tail > max_tail or (has_parts and any(is_stale(part) for part in snapshot.parts))
    return _RenewalPlan("extended" if is_due or snapshot.facts.target != policy.recall else "current", factory)


def _renew(writer: Writer, space: SpaceInfo, policy: IndexPolicy, force: bool, report: ReportShare) -> BuildReport:
    start = time.monotonic()
    reader = Reader(writer.root)
    rows = LiveRows(reader.segments(space.space_id))
    snapshot = read_index_snapshot(reader, space.space_id)
    plan = _plan_renewal(reader, space, snapshot, len(rows), policy, force)
    outcome = plan.outcome
    if outcome == "dropped":
        drop(writer, space.space_id)
    elif outcome in ("built", "extended"):
        try:
            with translate_os_errors(writer.root):
                outcome = _IndexBuild(writer, reader, space, rows, plan, policy, snapshot, report).run()
        except Cancelled:
            outcome = "interrupted"
    if outcome in ("dropped", "built", "extended"):
        reader = reader.reopen()
    generation = reader.generation
    return BuildReport(space.space_id, outcome, time.monotonic() - start, generation, info_of(reader, space.space_id))


class _IndexBuild:
    """Builds, tunes, measures and publishes the index of one space."""

    def __init__(
        self,
        writer: Writer,
        reader: Reader,
        space: SpaceInfo,
        rows: LiveRows,
        plan: _RenewalPlan,
        policy: IndexPolicy,
        snapshot: IndexSnapshot | None,
        report: ReportShare,
    ) -> None:
        self.writer, self.reader, self.space, self.rows = writer, reader, space, rows
        self.plan, self.policy, self.snapshot, self.report = plan, policy, snapshot, report
        self.memory = _memory(policy)
        self.start = time.monotonic()
        self.large = len(rows) > snapshot_growth.PART_ROWS

    def run(self) -> BuildOutcome:
        """Run the build; return "built" or "extended"."""
        if self.plan.outcome == "extended" and self.snapshot is not None:
            try:
                if needs_several_parts(self.snapshot):
                    remaining, staged, fresh = self._grow(self.snapshot)
                else:
                    fresh = rows_missing_from(self.rows.segments, self.snapshot.parts)
                    folder, (first, *_) = self.snapshot.folder, self.snapshot.parts
                    built = extend_part(folder.beside(first.name), first, fresh, self._report_build)
                    remaining, staged = (), [] if built is None else [self._stage(built, fresh, 0)]
            except CorruptCollectionError:
                remaining, staged, fresh = (), [], self.rows
            if remaining or staged:
                self._publish(remaining, staged, fresh)
                return "extended"
        pieces = build_parts(
            self.rows, self.space.dim, self.plan.factory, self.memory, self._query_rows, self._report_build
        )
        staged = [self._stage(built, part_rows, n) for n, (built, part_rows) in enumerate(pieces)]
        self._publish((), staged, None)
        return "built"

    @property
    def _query_rows(self) -> Ids:
        return query_rows(len(self.rows))

    def _report_build(self, share: float) -> None:
        self.report(0.7 * share)

    def _grow(self, snapshot: IndexSnapshot) -> tuple[tuple[IndexPart, ...], list[StagedPart], LiveRows]:
        """Return the parts that stay, the new one if any rows go into it, and the rows that are new to all parts."""
        plan = plan_growth(snapshot)
        if not plan.remaining and plan.base is None:
            return (), [], self.rows
        fresh = rows_missing_from(self.rows.segments, snapshot.parts)
        for _ in range(2):
            parts = [*plan.remaining, *([] if plan.base is None else [plan.base])]
            has_all = len(parts) == len(snapshot.parts)
            rows = fresh if has_all else rows_missing_from(self.rows.segments, parts)
            if not len(rows):
                break
            auto = self.policy.kind == "auto"
            built = build_grown_part(snapshot, plan, rows, self.space, self.memory, auto, self._report_build)
            if built is not None:
                return plan.remaining, [self._stage(built, rows, 0)], fresh
            assert plan.base is not None
            plan = GrowthPlan((*plan.remaining, plan.base), None)
        return plan.remaining, [], fresh

    def _stage(self, built: BuiltIndex, rows: LiveRows, number: int) -> StagedPart:
        """Stage ``built``, which contains ``rows`` and those of the part that it extends."""
        folder = IndexFolder(self.writer.root, f"{layout.STAGING}/index-{self.space.space_id}.{number}")
        return stage_part(folder, built, rows, self.space, self.policy, self.memory)

    def _publish(self, remaining: Sequence[IndexPart], staged: Sequence[StagedPart], fresh: LiveRows | None) -> None:
        """Tune and measure all parts together, and publish them.

        ``fresh`` are the rows that the previous index lacked; None if no previous index counts.
        """
        space, folder = self.space, layout.index_folder(self.space.space_id)
        folders = [IndexFolder(self.writer.root, f"{folder}/{part.name}") for part in remaining]
        parts = [Snapshot.open(place) for place in folders] + [open_staged(part) for part in staged]
        facts_of_parts = [part.facts for part in parts]
        facts = replace(
            max(facts_of_parts, key=lambda part: part.rows),
            rows=sum(part.rows for part in facts_of_parts),
            trained=max(part.trained for part in facts_of_parts),
            imbalance=max(part.imbalance for part in facts_of_parts),
            lo=min(part.lo for part in facts_of_parts),
            hi=max(part.hi for part in facts_of_parts),
            target=self.policy.recall,
            memory=self.memory,
            built=datetime.now(UTC).isoformat(timespec="seconds"),
            image=UNTUNED,
            text=UNTUNED,
            texts="",
            sizes={},
            layout="",
            parts=tuple(map(str, range(len(parts)))),
        )
        snapshot: Snapshot = ShardedSnapshot(parts, facts) if len(parts) > 1 else parts[0].with_metadata(facts)
        questions = self._questions(fresh)
        self.report(0.85)
        previous = None if fresh is None or self.snapshot is None else self.snapshot.facts
        if previous is not None and previous.target != facts.target:
            previous = None
        with translate_faiss_errors(facts.factory, len(self.rows), space.dim):
            facts = tune_snapshot(
                snapshot,
                self.rows,
                questions.image,
                questions.text,
                lambda share: self.report(0.85 + 0.15 * share),
                previous,
            )
        facts = replace(facts, texts=questions.texts, seconds=round(time.monotonic() - self.start, 1))
        truth = questions if self.large else None
        publish(self.writer, space, facts, remaining, staged, truth)

    def _questions(self, fresh: LiveRows | None) -> RecallQueries:
        """Return the stored queries while they were chosen from at least half of the images, else choose new ones."""
        if fresh is not None and self.snapshot is not None and needs_several_parts(self.snapshot):
            try:
                stored = RecallQueries.read(self.snapshot.folder)
            except (FileNotFoundError, CorruptCollectionError):
                pass
            else:
                if len(self.rows) <= MAX_GROWTH * stored.rows:
                    return stored.grown(fresh, IdSet(self.snapshot.live))
        captions = _caption_vectors(self.reader, self.space)
        return RecallQueries.of(self.rows, self._query_rows, captions, self.space.modality)


def _caption_vectors(reader: Reader, space: SpaceInfo) -> Float32 | None:
    """Return vectors of captions by the encoder of an image space, if there are enough of them."""
    captions = reader.current.caption_space
    if space.modality != "image" or captions is None or captions.fingerprint != space.fingerprint:
        return None
    rows = LiveRows(reader.segments(captions.space_id))
    numbers = query_rows(len(rows))
    return rows.take(numbers)[1] if len(numbers) == QUERIES else None


def _memory(policy: IndexPolicy) -> int:
    return memory_bytes() // 4 if policy.memory is None else policy.memory
