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
    before = policy_of(writer.root)
    if policy is not None:
        _check(policy, [space.dim for space in writer.current().spaces])
        _set_policy(writer, policy)
    try:
        yield
    except UsageError:
        _set_policy(writer, before)
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
    """Bring the snapshot of every space in use in line with the policy: what is due, or with ``force`` all of them.

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
    found = []
    for space in reader.current.spaces:
        rows = len(LiveRows(reader.segments(space.space_id)))
        plan = _plan_renewal(reader, space, read_index_snapshot(reader, space.space_id), rows, policy, force=False)
        if plan.outcome in ("built", "extended", "dropped"):
            found.append((space.space_id, plan.factory))
    return found


def drop(writer: Writer, space_id: int) -> int:
    """Drop the snapshot of a space, whose vectors are scanned again. Its files are retired as usual."""
    return writer.apply(lambda connection, generation: retire(connection, generation, space_id))


def drop_file(writer: Writer, space_id: int, file: str) -> str:
    """Drop a damaged file of a snapshot: only the part that it belongs to, if other parts can be read.

    Returns what was dropped, "" where the file belonged to no snapshot in use.
    """
    reader = Reader(writer.root)
    folder = IndexFolder(writer.root, file.rpartition("/")[0])
    space = next((one for one in reader.current.spaces if one.space_id == space_id), None)
    found = read_index_snapshot(reader, space_id, but=folder.last) if space is not None else None
    if space is not None and found is not None and found.folder == folder and file.endswith(f"/{TRUTH_FILE}"):
        keep_parts(writer, space, found, found.parts)
        return "the answers by which the approximate index was measured"
    if space is None or found is None or not found.parts or found.folder == folder:
        drop(writer, space_id)
        return "the approximate index"
    if folder.last not in found.facts.parts:
        return ""
    keep_parts(writer, space, found, found.parts)
    return "a part of the approximate index"


def drop_stale(writer: Writer) -> None:
    """Drop parts of snapshots that contain a deleted image, damaged snapshots, and those of unused spaces, for a purge.

    Stored queries are vectors of images: they are dropped in any case.
    """
    reader = Reader(writer.root)
    in_use = {space.space_id: space for space in reader.current.spaces}
    for space_id in map(int, reader.current.snapshots):
        found = read_index_snapshot(reader, space_id) if space_id in in_use else None
        if found is None or all(part.dead for part in found.parts):
            drop(writer, space_id)
        elif any(part.dead for part in found.parts) or TRUTH_FILE in found.facts.sizes:
            keep_parts(writer, in_use[space_id], found, [part for part in found.parts if not part.dead])


@dataclass(frozen=True, slots=True)
class _RenewalPlan:
    """What is due for a space: ``outcome`` as in :class:`BuildReport`, and the kind of index to build."""

    outcome: BuildOutcome
    factory: str = ""


def _plan_renewal(
    reader: Reader, space: SpaceInfo, found: IndexSnapshot | None, rows: int, policy: IndexPolicy, force: bool
) -> _RenewalPlan:
    has = reader.snapshot_folder(space.space_id) is not None
    factory: str | None = policy.kind
    if policy.kind == "auto":
        factory = choose_factory(rows, space.dim, _memory(policy))
    if policy.kind == "none" or not rows:
        factory = None
    if factory is None:
        return _RenewalPlan("dropped" if has else "scan")
    if found is None or force:
        return _RenewalPlan("built", factory)
    kind = found.facts.factory
    same = code_of(kind) == code_of(factory) if policy.kind == "auto" else kind == factory
    if not same or is_outgrown(found):
        return _RenewalPlan("built", factory)
    parted = needs_several_parts(found)
    if not parted and (len(found.parts) > 1 or is_stale(found.parts[0])):
        return _RenewalPlan("built", factory)
    most = max(MAX_TAIL_ROWS, MAX_TAIL_SHARE * rows)
    if parted:
        most = min(most, index_policy.EXACT_BYTES // (2 * space.dim))
    due = found.tail > most or (parted and any(is_stale(part) for part in found.parts))
    return _RenewalPlan("extended" if due or found.facts.target != policy.recall else "current", factory)


def _renew(writer: Writer, space: SpaceInfo, policy: IndexPolicy, force: bool, tell: ReportShare) -> BuildReport:
    started = time.monotonic()
    reader = Reader(writer.root)
    rows = LiveRows(reader.segments(space.space_id))
    found = read_index_snapshot(reader, space.space_id)
    plan = _plan_renewal(reader, space, found, len(rows), policy, force)
    outcome = plan.outcome
    if outcome == "dropped":
        drop(writer, space.space_id)
    elif outcome in ("built", "extended"):
        try:
            with translate_os_errors(writer.root):
                outcome = _IndexBuild(writer, reader, space, rows, plan, policy, found, tell).run()
        except Cancelled:
            outcome = "interrupted"
    if outcome in ("dropped", "built", "extended"):
        reader = reader.reopen()
    generation = reader.generation
    return BuildReport(space.space_id, outcome, time.monotonic() - started, generation, info_of(reader, space.space_id))


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
        found: IndexSnapshot | None,
        tell: ReportShare,
    ) -> None:
        self.writer, self.reader, self.space, self.rows = writer, reader, space, rows
        self.plan, self.policy, self.found, self.tell = plan, policy, found, tell
        self.memory = _memory(policy)
        self.began = time.monotonic()
        self.large = len(rows) > snapshot_growth.PART_ROWS

    def run(self) -> BuildOutcome:
        """Run the build; return "built" or "extended"."""
        if self.plan.outcome == "extended" and self.found is not None:
            try:
                if needs_several_parts(self.found):
                    stay, made, fresh = self._grow(self.found)
                else:
                    fresh = rows_missing_from(self.rows.segments, self.found.parts)
                    folder, (first, *_) = self.found.folder, self.found.parts
                    one = extend_part(folder.beside(first.name), first, fresh, self._report_build)
                    stay, made = (), [] if one is None else [self._stage(one, fresh, 0)]
            except CorruptCollectionError:
                stay, made, fresh = (), [], self.rows
            if stay or made:
                self._publish(stay, made, fresh)
                return "extended"
        pieces = build_parts(
            self.rows, self.space.dim, self.plan.factory, self.memory, self._query_rows, self._report_build
        )
        made = [self._stage(one, mine, n) for n, (one, mine) in enumerate(pieces)]
        self._publish((), made, None)
        return "built"

    @property
    def _query_rows(self) -> Ids:
        return query_rows(len(self.rows))

    def _report_build(self, share: float) -> None:
        self.tell(0.7 * share)

    def _grow(self, found: IndexSnapshot) -> tuple[tuple[IndexPart, ...], list[StagedPart], LiveRows]:
        """Return the parts that stay, the new one if any rows go into it, and the rows that are new to all parts."""
        plan = plan_growth(found)
        if not plan.stay and plan.onto is None:
            return (), [], self.rows
        new = rows_missing_from(self.rows.segments, found.parts)
        for _ in range(2):
            rows = rows_missing_from(self.rows.segments, [*plan.stay, *([] if plan.onto is None else [plan.onto])])
            if not len(rows):
                break
            auto = self.policy.kind == "auto"
            made = build_grown_part(found, plan, rows, self.space, self.memory, auto, self._report_build)
            if made is not None:
                return plan.stay, [self._stage(made, rows, 0)], new
            assert plan.onto is not None
            plan = GrowthPlan((*plan.stay, plan.onto), None)
        return plan.stay, [], new

    def _stage(self, made: BuiltIndex, rows: LiveRows, number: int) -> StagedPart:
        """Stage ``made``, which contains ``rows`` and those of the part that it extends."""
        folder = IndexFolder(self.writer.root, f"{layout.STAGING}/index-{self.space.space_id}.{number}")
        return stage_part(folder, made, rows, self.space, self.policy, self.memory)

    def _publish(self, stay: Sequence[IndexPart], made: Sequence[StagedPart], fresh: LiveRows | None) -> None:
        """Tune and measure all parts together, and publish them.

        ``fresh`` are the rows that the previous index lacked; None if no previous index counts.
        """
        space, folder = self.space, layout.index_folder(self.space.space_id)
        lying = [IndexFolder(self.writer.root, f"{folder}/{part.name}") for part in stay]
        parts = [Snapshot.open(one) for one in lying] + [open_staged(one) for one in made]
        of_parts = [part.facts for part in parts]
        facts = replace(
            max(of_parts, key=lambda one: one.rows),
            rows=sum(one.rows for one in of_parts),
            trained=max(one.trained for one in of_parts),
            imbalance=max(one.imbalance for one in of_parts),
            lo=min(one.lo for one in of_parts),
            hi=max(one.hi for one in of_parts),
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
        opened: Snapshot = ShardedSnapshot(parts, facts) if len(parts) > 1 else parts[0].with_metadata(facts)
        questions = self._questions(fresh)
        self.tell(0.85)
        with translate_faiss_errors(facts.factory, len(self.rows), space.dim):
            facts = tune_snapshot(
                opened, self.rows, questions.image, questions.text, lambda share: self.tell(0.85 + 0.15 * share)
            )
        facts = replace(facts, texts=questions.texts, seconds=round(time.monotonic() - self.began, 1))
        truth = questions if self.large else None
        publish(self.writer, space, facts, stay, made, truth)

    def _questions(self, fresh: LiveRows | None) -> RecallQueries:
        """Return the stored queries while they were chosen from at least half of the images, else choose new ones."""
        if fresh is not None and self.found is not None and needs_several_parts(self.found):
            try:
                kept = RecallQueries.read(self.found.folder)
            except (FileNotFoundError, CorruptCollectionError):
                pass
            else:
                if len(self.rows) <= MAX_GROWTH * kept.rows:
                    return kept.grown(fresh, IdSet(self.found.live))
        captions = _caption_vectors(self.reader, self.space)
        return RecallQueries.of(self.rows, self._query_rows, captions, self.space.modality)


def _caption_vectors(reader: Reader, space: SpaceInfo) -> Float32 | None:
    """Return vectors of captions by the encoder of an image space, if there are enough of them."""
    captions = reader.current.caption_space
    if space.modality != "image" or captions is None or captions.fingerprint != space.fingerprint:
        return None
    stored = LiveRows(reader.segments(captions.space_id))
    wanted = query_rows(len(stored))
    return stored.take(wanted)[1] if len(wanted) == QUERIES else None


def _memory(policy: IndexPolicy) -> int:
    return memory_bytes() // 4 if policy.memory is None else policy.memory
