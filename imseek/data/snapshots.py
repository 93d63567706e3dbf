"""Building the approximate index of a space, and keeping it: a snapshot per space, replaced in one commit.

A collection remembers how it wants to be indexed (:class:`IndexPolicy`). Small ones are scanned; larger ones get a
snapshot at the end of the run that made them large, and another one when too many rows have come since. A snapshot is
derived: losing it costs time and nothing else, and searches go on without one.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from operator import methodcaller

import numpy as np
from sqlalchemy import Connection, func, insert, select, update

from imseek.data import durable, files, layout
from imseek.data import schema as t
from imseek.data.catalog import live, set_meta
from imseek.data.indexes import POLICY, info_of, policy_of, policy_text
from imseek.data.machine import memory_bytes
from imseek.data.reader import Reader
from imseek.data.schema import FOREVER
from imseek.data.snapshot_making import extended, made_anew, stage, usable, write_array
from imseek.data.system_errors import explained
from imseek.data.vectors.base import Ids
from imseek.data.vectors.build import LiveRows, Tell
from imseek.data.vectors.facts import COVERED, FACTS, Covered, Facts, bits
from imseek.data.vectors.kinds import choose, code_of, make
from imseek.data.vectors.snapshot import Snapshot, mapped
from imseek.data.vectors.tuning import QUERIES, UNTUNED, query_rows, tuned
from imseek.data.writer import Writer
from imseek.errors import StorageError, UsageError
from imseek.types import (
    BuildReport,
    Float32,
    IndexPolicy,
    Progress,
    ProgressCallback,
    SpaceInfo,
)

#: The kind of file in the catalog.
KIND = "snapshot"
#: Rows since the last build that are scanned at every search: at most so many, or this share of all.
TAIL_ROWS = 20_000
TAIL_SHARE = 0.05
#: Dead rows in a snapshot, as a share, at which it is built anew.
DEAD_SHARE = 0.2


class Stopped(Exception):  # noqa: N818 - nothing went wrong
    """Whoever asked for the build wants no more of it."""


def told(writer: Writer, progress: ProgressCallback, stop: threading.Event | None) -> Tell:
    """A :data:`Tell` that speaks of images to who follows a run, and ends the work when ``stop`` is set."""
    started, images = time.monotonic(), writer.current().images

    def tell(share: float) -> None:
        if stop is not None and stop.is_set():
            raise Stopped
        done = round(share * images)
        progress(Progress("building the index", done, images, 0, time.monotonic() - started))

    return tell


@contextmanager
def trying(writer: Writer, policy: IndexPolicy | None) -> Iterator[None]:
    """``policy`` holds from now on (None: the one that holds already), unless the body finds that it cannot be used."""
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
        raise UsageError(f"a recall lies between 0 and 1, and {policy.recall} does not")
    if policy.memory is not None and policy.memory < 1:
        raise UsageError("an index takes some memory")
    if policy.kind not in ("auto", "none"):
        for dim in dims:
            make(policy.kind, dim)


def _set_policy(writer: Writer, policy: IndexPolicy) -> None:
    if policy_of(writer.root) != policy:
        writer.apply(lambda connection, generation: set_meta(connection, POLICY, policy_text(policy)))


def renew_due(writer: Writer, progress: ProgressCallback, stop: threading.Event | None) -> tuple[str, ...]:
    """At the end of a run: what is due, where the policy lets runs do it. Returns what a user should be told.

    What keeps an index from being built does not undo the run, so it is told and not raised.
    """
    if not policy_of(writer.root).renew:
        return ()
    try:
        reports = renew(writer, told(writer, progress, stop))
    except (UsageError, StorageError) as error:
        return (f"the vector index could not be renewed, searches scan what it lacks: {error}",)
    return tuple(line for report in reports if (line := told_of(report)))


def told_of(report: BuildReport) -> str | None:
    """A line on what was done; None where nothing was."""
    index = report.index
    if report.outcome not in ("built", "extended") or index is None:
        return None
    return (
        f"vector index {report.outcome} in {report.seconds:.0f} s: {index.kind} of {index.rows:,} images, recall@10 "
        f"{index.image_recall:.3f} of pictures, {index.text_recall:.3f} of text-like queries"
    )


def renew(writer: Writer, tell: Tell, *, force: bool = False) -> list[BuildReport]:
    """Bring the snapshot of every space in use in line with the policy: what is due, or with ``force`` all anew.

    Raises UsageError where the policy cannot be followed (a factory string that FAISS refuses, too little memory),
    and what reading and writing a collection raises.
    """
    policy = policy_of(writer.root)
    spaces = writer.current().spaces
    reports = []
    for n, space in enumerate(spaces):

        def tell_part(share: float, n: int = n) -> None:
            tell((n + share) / len(spaces))

        reports.append(_renew(writer, space, policy, force, tell_part))
    return reports


def pending(reader: Reader, policy: IndexPolicy) -> list[tuple[int, str]]:
    """What :func:`renew` would do now: by space the kind of index that would be built, ``""`` where one would go."""
    found = []
    for space in reader.current.spaces:
        plan = _plan(reader, space, len(LiveRows(reader.segments(space.space_id))), policy, force=False)
        if plan.outcome in ("built", "extended", "dropped"):
            found.append((space.space_id, plan.factory))
    return found


def drop(writer: Writer, space_id: int) -> int:
    """Searches scan the vectors of the space again. The files go as others do that nobody uses any more."""
    return writer.apply(lambda connection, generation: _retire(connection, generation, space_id))


def drop_stale(writer: Writer) -> None:
    """Drop snapshots that hold an image which has gone, for who wants its bytes gone too; damaged ones as well, and
    those of spaces that are not in use."""
    reader = Reader(writer.root)
    in_use = {space.space_id for space in reader.current.spaces}
    for space_id in map(int, reader.current.snapshots):
        info = info_of(reader, space_id) if space_id in in_use else None
        if info is None or info.dead:
            drop(writer, space_id)


@dataclass(frozen=True, slots=True)
class _Plan:
    """What a space is due: ``outcome`` as in :class:`BuildReport`, and the kind of index it gets."""

    outcome: str
    factory: str = ""


def _plan(reader: Reader, space: SpaceInfo, rows: int, policy: IndexPolicy, force: bool) -> _Plan:
    info = info_of(reader, space.space_id)
    has = reader.snapshot_folder(space.space_id) is not None
    factory: str | None = policy.kind
    if policy.kind == "auto":
        factory = choose(rows, space.dim, _memory(policy))
    if policy.kind == "none" or not rows:
        factory = None
    if factory is None:
        return _Plan("dropped" if has else "scan")
    if info is None or force:
        return _Plan("built", factory)
    same = code_of(info.kind) == code_of(factory) if policy.kind == "auto" else info.kind == factory
    if not same or info.dead > DEAD_SHARE * info.rows:
        return _Plan("built", factory)
    if info.tail <= max(TAIL_ROWS, TAIL_SHARE * rows) and info.target == policy.recall:
        return _Plan("current")
    return _Plan("extended", factory)


def _renew(writer: Writer, space: SpaceInfo, policy: IndexPolicy, force: bool, tell: Tell) -> BuildReport:
    started = time.monotonic()
    reader = Reader(writer.root)
    rows = LiveRows(reader.segments(space.space_id))
    plan = _plan(reader, space, len(rows), policy, force)
    outcome = plan.outcome
    if outcome == "dropped":
        drop(writer, space.space_id)
    elif outcome in ("built", "extended"):
        try:
            outcome = _build(writer, reader, space, rows, plan, policy, tell)
        except Stopped:
            outcome = "interrupted"
    if outcome in ("dropped", "built", "extended"):
        reader = reader.renewed()
    generation = reader.generation
    return BuildReport(
        space.space_id, outcome, time.monotonic() - started, generation, info_of(reader, space.space_id)
    )


def _build(
    writer: Writer,
    reader: Reader,
    space: SpaceInfo,
    rows: LiveRows,
    plan: _Plan,
    policy: IndexPolicy,
    tell: Tell,
) -> str:
    """Build, tune, measure, publish. Returns whether it was built or extended."""
    began = time.monotonic()
    with explained(writer.root):
        lo, hi = rows.norm_range()
    spared = query_rows(len(rows))
    made = None
    if plan.outcome == "extended":
        made = extended(reader, space, len(rows), lambda share: tell(0.7 * share))
    outcome = "built" if made is None else "extended"
    if made is None:
        made = made_anew(
            rows, space.dim, plan.factory, _memory(policy), spared, lambda share: tell(0.7 * share)
        )
    folder = writer.staging / f"index-{space.space_id}"
    durable.fresh_folder(folder)
    written = stage(made.index, folder)
    ids = _covered_ids(rows, made.before)
    marks = bits(ids, int(ids.max()) // 8 * 8 + 8)
    written[COVERED] = durable.stage(folder / COVERED, partial(write_array, marks))
    facts = Facts(
        factory=made.factory,
        dim=space.dim,
        rows=int(made.index.ntotal),
        trained=made.trained,
        imbalance=made.imbalance,
        lo=lo,
        hi=hi,
        target=policy.recall,
        memory=_memory(policy),
        built=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=0.0,
        image=UNTUNED,
        text=UNTUNED,
        texts="",
        sizes={name: found.size for name, found in written.items()},
    )
    if made.before is not None:  # An image in it that is suspended now may come back.
        lo, hi = min(lo, made.before.facts.lo), max(hi, made.before.facts.hi)
        facts = replace(facts, lo=lo, hi=hi)
    factory = made.factory
    del made  # From here on the index is mapped, as it will be searched.
    opened = Snapshot(mapped(folder), Covered(marks), facts)
    words = _words(reader, space)
    with usable(factory, len(rows), space.dim):
        facts = tuned(opened, rows, spared, words, space.modality, lambda share: tell(0.7 + 0.3 * share))
    facts = replace(facts, seconds=round(time.monotonic() - began, 1))
    written[FACTS] = durable.stage(folder / FACTS, methodcaller("write", facts.sealed()))

    def change(connection: Connection, generation: int) -> None:
        _retire(connection, generation, space.space_id)
        final = layout.snapshot(space.space_id, generation)
        moved = [
            files.StagedFile(
                folder / name, f"{final}/{name}", KIND, facts.rows, found, space_id=space.space_id
            )
            for name, found in written.items()
        ]
        files.publish(writer, connection, generation, None, moved)
        last = connection.execute(select(func.coalesce(func.max(t.snapshots.c.snapshot_id), 0))).scalar_one()
        row = {"snapshot_id": last + 1, "space_id": space.space_id, "folder": final, "factory": factory}
        connection.execute(insert(t.snapshots).values(**row, facts="{}", born=generation, died=FOREVER))

    writer.apply(change)
    return outcome


def _covered_ids(space_rows: LiveRows, before: Snapshot | None) -> Ids:
    """Ids in an index of all live rows, and of those that were in the one that it was added to."""
    live_ids = np.concatenate([np.empty(0, np.int64), *(ids for ids, _ in space_rows.blocks())])
    return live_ids if before is None else np.union1d(live_ids, before.covered.ids())


def _words(reader: Reader, space: SpaceInfo) -> Float32 | None:
    """Vectors of captions by the encoder of a space of pictures, where there are enough of them."""
    captions = reader.current.caption_space
    if space.modality != "image" or captions is None or captions.fingerprint != space.fingerprint:
        return None
    stored = LiveRows(reader.segments(captions.space_id))
    wanted = query_rows(len(stored))
    return stored.take(wanted)[1] if len(wanted) == QUERIES else None


def _retire(connection: Connection, generation: int, space_id: int) -> None:
    files.retire(connection, generation, (t.files.c.kind == KIND) & (t.files.c.space_id == space_id))
    connection.execute(
        update(t.snapshots)
        .where(t.snapshots.c.space_id == space_id, live(t.snapshots))
        .values(died=generation)
    )


def _memory(policy: IndexPolicy) -> int:
    return memory_bytes() // 4 if policy.memory is None else policy.memory
