"""Indexing runs as text for people."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from imseek.ui.render.text import table
from imseek.ui.render.words import format_count, format_size, printable

if TYPE_CHECKING:
    from imseek.types.collection_info import CollectionInfo
    from imseek.types.indexing_runs import Failure, IndexReport


_SHOWN_FAILURES = 20


def plan_summary(report: IndexReport) -> list[str]:
    """Format the report of a dry run for the user."""
    counts = [
        (report.added, "new"),
        (report.changed, "perhaps changed"),
        (report.removed, "gone from where they were"),
        (report.unchanged, "unchanged"),
        (report.sidecars, "with changed sidecars"),
    ]
    changes = _counts(counts) or "no picture found"
    lines = [
        f"would index: {changes}; nothing was read or changed",
        *_skipped_lines(report),
        *_note_lines(report),
    ]
    if report.interrupted:
        lines.append("interrupted: not every archive was opened, so there may be more to index")
    return lines


def summary(report: IndexReport) -> list[str]:
    """Format the report of a run for the user: results, skipped files with reasons, notes."""
    changes = _counts([*_changes(report), (report.unchanged, "unchanged"), (report.sidecars, "with changed sidecars")])
    lines = [_with_total(report, changes or "no picture found")]
    lines += [*_rate_lines(report), *known_lines(report), *_skipped_lines(report), *_note_lines(report)]
    if report.interrupted:
        lines.append("interrupted: what is counted above is kept; the same command goes on from here")
    return lines


def watch_line(report: IndexReport) -> str:
    """Format the report of a run that followed changes."""
    changes = _counts([*_changes(report), (report.known, "known already"), (len(report.failures), "skipped")])
    return _with_total(report, changes or "nothing new")


def _changes(report: IndexReport) -> list[tuple[int, str]]:
    return [
        (report.added, "added"),
        (report.changed, "changed"),
        (report.moved, "moved"),
        (report.copied, _copies_phrase(report)),
        (report.removed, "removed"),
    ]


def _with_total(report: IndexReport, changes: str) -> str:
    return f"{changes}; {format_count(report.live, 'image')} in the collection ({report.seconds:.1f} s)"


def _copies_phrase(report: IndexReport) -> str:
    """Return the words after the number of images whose content was indexed already."""
    return "is a copy of an indexed picture" if report.copied == 1 else "are copies of indexed pictures"


def _counts(counts: Sequence[tuple[int, str]]) -> str:
    return ", ".join(f"{n:,} {label}" for n, label in counts if n)


def _rate_lines(report: IndexReport) -> list[str]:
    if not report.files_opened or report.seconds < 1:
        return []
    per_second = report.files_opened / report.seconds
    return [
        f"{format_count(report.files_opened, 'file')} read ({format_size(report.bytes_read)}), "
        f"{per_second:.1f} a second"
    ]


def known_lines(report: IndexReport) -> list[str]:
    """Report how many pictures were skipped as known, and which collections have them."""
    if not report.known:
        return []
    counts = Counter((one.reason, one.collection) for one in report.known_pictures)
    holders = [
        f"{n:,} in this collection" if reason == "known_here" else f"{n:,} in {printable(os.fsdecode(collection))}"
        for (reason, collection), n in sorted(counts.items(), key=lambda item: -item[1])
    ]
    return [f"{format_count(report.known, 'picture')} passed over, stored already: {', '.join(holders)}"]


def _skipped_lines(report: IndexReport) -> list[str]:
    if not report.skipped:
        return []
    lines = [f"{format_count(report.skipped, 'file')} skipped" + (":" if report.failures else "")]
    if before := report.skipped - len(report.failures):
        lines[-1] = (
            f"{format_count(report.skipped, 'file')} skipped, {before:,} of them unchanged since they failed before "
            "(`imseek info --failures`; `--retry-failed` tries them again)"
        ) + (":" if report.failures else "")
    if report.failures:
        lines.append(failures_table(report.failures[:_SHOWN_FAILURES]))
    if len(report.failures) > _SHOWN_FAILURES:
        more = len(report.failures) - _SHOWN_FAILURES
        lines.append(f"and {more:,} more: `imseek info --failures`")
    return lines


def _note_lines(report: IndexReport) -> list[str]:
    return [printable(note) for note in report.notes]


def failures_table(failures: tuple[Failure, ...]) -> str:
    from imseek.types.pictures import display_path

    rows = [(str(f.reason), f"{display_path(f.path)}: {printable(f.message)}") for f in failures]
    return table(("reason", "file"), rows)


def encoder_lines(info: CollectionInfo) -> list[str]:
    """List the encoders of a collection, with notes."""
    lines: list[str] = []
    for summary in info.spaces:
        space = summary.space
        if space.modality == "text":
            lines.append(f"captions: embedded with {printable(space.encoder)}")
            continue
        lines.append(f"{'also' if lines else 'encoder'}: {printable(space.encoder)}")
        lines += [printable(space.note)] if space.note else []
    return lines
