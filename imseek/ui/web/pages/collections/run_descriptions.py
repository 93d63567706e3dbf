"""Runs and failures described in words."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, TypeGuard

from imseek import jobs
from imseek.jobs import Job
from imseek.types.indexing_runs import Failure
from imseek.types.pictures import SkipReason, display_path
from imseek.ui.render.words import format_count, format_duration, printable
from imseek.ui.web.pages.collections.log_lines import read_end
from imseek.ui.web.plain_text import capitalise

_EXAMPLES: Final = 5
_DOING: Final = {
    "index": "Indexing",
    "watch": "Watching for changes",
    "maintain --merge": "Merging files",
    "maintain --purge": "Purging",
    "maintain --measure": "Measuring pictures",
    "maintain --index": "Building the vector index",
    "maintain --captions": "Embedding captions",
    "maintain --ocr": "Reading text in pictures",
    "maintain --reencode": "Encoding with another encoder",
    "source remove": "Removing a source",
    "source relocate": "Relocating a source",
    "map": "Building a map",
    "judge": "Storing decisions about duplicates",
    "judge --forget": "Undoing decisions about duplicates",
    "apply": "Cleaning up duplicates",
    "undo": "Restoring files",
    "tag add": "Adding tags",
    "tag remove": "Removing tags",
    "tag rename": "Renaming a tag",
    "tag choose": "Resolving tags",
    "tag restore": "Undoing a change of tags",
    "album create": "Creating an album",
    "album add": "Adding to an album",
    "album remove": "Removing from an album",
    "album arrange": "Arranging an album",
    "album cover": "Choosing a cover",
    "album rename": "Renaming an album",
    "album delete": "Deleting an album",
    "album restore": "Undoing a change of albums",
    "edit": "Editing captions or ratings",
    "labels": "Labelling by words",
    "probe fit": "Training from examples",
    "probe apply": "Labelling with a trained model",
}
#: Kinds of runs that commit their work when they are asked to stop.
_RESUMABLE_KINDS: Final = ("index", "watch")

_AGAIN: Final = "Try again: the cause may be temporary."
_ADVICE: Final = {
    SkipReason.EMPTY_FILE: "These files are empty. Copy them again from the original.",
    SkipReason.NOT_AN_IMAGE: "These are not pictures, despite their names.",
    SkipReason.TRUNCATED: "These files are incomplete. Copy them again from the original.",
    SkipReason.CORRUPT: "These files are damaged. Restore them from a copy; they will be retried.",
    SkipReason.TOO_MANY_PIXELS: "These pictures are too large to be decoded safely.",
    SkipReason.TOO_MANY_BYTES: "These files are too large to be read safely.",
    SkipReason.TIMEOUT: "These took too long to read. Try again when the disk or the network is less busy.",
    SkipReason.UNREADABLE: "These could not be read. Check their permissions and the disk, then try again.",
    SkipReason.BROKEN_LINK: "These links are broken.",
    SkipReason.LINK_LOOP: "These links form a loop.",
    SkipReason.NOT_A_FILE: "These are neither files nor folders.",
    SkipReason.VANISHED: "These disappeared while they were being read. Update the collection.",
    SkipReason.CHANGED: "These were still being written. Try again later.",
    SkipReason.MISSING_CODEC: "A codec is missing. In imseek's folder: pip install '.[formats]'; then try again.",
    SkipReason.ENCODER_FAILED: "The encoder failed on these. Try again; see the log of the run for details.",
    SkipReason.FETCH_FAILED: _AGAIN,
    SkipReason.FORBIDDEN_ADDRESS: "These are on a private network. To allow that: `imseek index … --allow-private`.",
    SkipReason.BAD_VECTOR: "These vectors are invalid. Create them again.",
    SkipReason.NO_PICTURES: "These contain no pictures.",
}


@dataclass(frozen=True, slots=True)
class RunSummary:
    """A run in two lines: ``title`` says what it does, ``detail`` how far it is. ``share`` is 0 … 1 or None."""

    title: str
    detail: str
    share: float | None


def summarise_run(job: Job, now: datetime | None = None) -> RunSummary:
    """Describe a run. ``now`` is for tests."""
    activity = _DOING.get(job.kind, printable(job.kind))
    if job.state == jobs.RUNNING:
        age = seconds_between(job.started, now)
        return RunSummary(activity, _progress_text(job, age), _share(job))
    ends = {
        jobs.DONE: "done",
        jobs.FAILED: "failed",
        jobs.INTERRUPTED: "stopped" if job.exit_code is not None else "interrupted (killed, or power lost)",
    }
    done, skipped = (job.progress.get(name) for name in ("done", "skipped"))
    facts = []
    if _is_count(done) and done:
        facts.append(f"{format_count(done, 'file')} checked" if job.kind == "index" else f"{done:,}")
    facts += [f"{skipped:,} skipped"] if _is_count(skipped) and skipped else []
    if job.state == jobs.INTERRUPTED and job.kind in _RESUMABLE_KINDS:
        facts.append("kept; running it again continues from there")
    return RunSummary(f"{activity}: {ends.get(job.state, job.state)}", ", ".join(facts), None)


def _progress_text(job: Job, age: float) -> str:
    done, total, skipped = (job.progress.get(name) for name in ("done", "total", "skipped"))
    seconds, phase = job.progress.get("seconds"), job.progress.get("phase")
    if not _is_count(done):
        return f"running for {format_duration(age)}; estimating…"
    if not _is_count(total):
        parts = [printable(str(phase or "")), f"{done:,} so far" if done else "", format_duration(age)]
        return ", ".join(part for part in parts if part)
    parts = [f"{done:,} of {total:,}"]
    if done and isinstance(seconds, int | float) and seconds > 0:
        rate = done / seconds
        parts.append(f"{rate:,.1f} a second")
        if done < total:
            # The progress is some seconds old.
            left = (total - done) / rate - max(age - seconds, 0)
            parts.append(f"about {format_duration(left)} left" if left > 1 else "nearly done")
    if _is_count(skipped) and skipped:
        parts.append(f"{skipped:,} skipped")
    return ", ".join(parts) + (f" ({printable(str(phase))})" if phase and phase != job.kind else "")


def _share(job: Job) -> float | None:
    done, total = (job.progress.get(name) for name in ("done", "total"))
    if not _is_count(done) or not _is_count(total) or total <= 0:
        return None
    return float(min(max(done / total, 0.0), 1.0))


def _is_count(number: object) -> TypeGuard[int]:
    """Return whether a value is a count; later versions of imseek may store anything there."""
    return isinstance(number, int) and not isinstance(number, bool) and number >= 0


def seconds_between(started: str, now: datetime | None = None) -> float:
    """Return the seconds since an ISO 8601 time; 0 if it cannot be parsed."""
    try:
        start = datetime.fromisoformat(started)
    except ValueError:
        return 0.0
    if start.tzinfo is None:
        start = start.replace(tzinfo=UTC)
    return max(((now or datetime.now(UTC)) - start).total_seconds(), 0.0)


def log_of(job: Job) -> str | None:
    """Return the end of a job's log; None if it has none."""
    return None if job.log is None else read_end(job.log)


@dataclass(frozen=True, slots=True)
class FailureGroup:
    """Files that could not be indexed for one ``reason``: their number, examples and advice."""

    reason: str
    count: int
    examples: tuple[str, ...]
    advice: str


def group_failures(failures: Iterable[Failure]) -> tuple[FailureGroup, ...]:
    """Group failures by reason, the most frequent first."""
    by_reason: dict[str, list[Failure]] = {}
    for failure in failures:
        by_reason.setdefault(failure.reason, []).append(failure)
    return tuple(
        FailureGroup(
            _reason_text(reason),
            len(some),
            tuple(f"{display_path(one.path)}: {printable(one.message)}" for one in some[:_EXAMPLES]),
            _advice(reason),
        )
        for reason, some in sorted(by_reason.items(), key=lambda item: (-len(item[1]), item[0]))
    )


def _reason_text(reason: str) -> str:
    if reason == SkipReason.NOT_AN_IMAGE:
        return "Not a picture"
    return capitalise(printable(str(reason)).replace("_", " "))


def _advice(reason: str) -> str:
    try:
        return _ADVICE.get(SkipReason(reason), _AGAIN)
    except ValueError:  # A later imseek may know more reasons.
        return _AGAIN
