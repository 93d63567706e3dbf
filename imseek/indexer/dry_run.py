"""Report what a run would do, without reading a picture or changing anything."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from imseek.data.writing.writer import Writer
from imseek.indexer.containers import ContainerResult, expand
from imseek.indexer.scan import Candidate, EditedSidecars, ScanSettings, scan
from imseek.indexer.source_selection import Target
from imseek.progress import Cancelled
from imseek.types.indexing_runs import Failure, IndexReport

#: Note on what a dry run cannot know.
DRY_RUN_NOTE = "which of the new pictures are known already is seen when they are read, not in a dry run"


def plan(
    writer: Writer,
    targets: Sequence[Target],
    settings: ScanSettings,
    encoder: str,
    stop: threading.Event | None = None,
) -> IndexReport:
    """Return the report of a run without executing it; archives that may have changed are opened to list their entries.

    If ``stop`` is set, it returns at once with an incomplete report (``interrupted``).
    """
    started = time.monotonic()
    scan_result = scan(writer.catalog, targets, settings, stop)
    seen, unchanged, known_failures = scan_result.seen, scan_result.unchanged, scan_result.known_failures
    new = changed = 0
    removed = sum(map(len, scan_result.lost.values()))
    interrupted = False
    skipped = list(scan_result.skipped)
    edited = len(scan_result.edited)
    try:
        entries = (
            item
            for opening in scan_result.openings
            for item in expand(writer.catalog, opening, settings, ContainerResult.of(opening))
        )
        for item in (*scan_result.candidates, *entries):
            if isinstance(item, Candidate):
                new += item.known_place is None
                changed += item.known_place is not None
            elif isinstance(item, EditedSidecars):
                edited += 1
            elif isinstance(item, ContainerResult):
                seen += item.seen
                unchanged += len(item.settled)
                known_failures += item.known_failures
                removed += sum(map(len, item.lost.values()))
            else:
                skipped.append(item)
    except Cancelled:
        interrupted = True
    finally:
        for source in scan_result.sources:
            source.close()
    return IndexReport(
        seen=seen,
        unchanged=unchanged,
        added=new,
        changed=changed,
        moved=0,
        copied=0,
        removed=removed,
        skipped=known_failures + len(skipped),
        live=writer.current().images,
        bytes_read=0,
        files_opened=0,
        seconds=time.monotonic() - started,
        generation=writer.generation,
        encoder=encoder,
        interrupted=interrupted,
        failures=tuple(Failure(one.source_id, one.full, one.reason, one.message) for one in skipped),
        notes=tuple(scan_result.notes),
        sidecars=edited,
    )
