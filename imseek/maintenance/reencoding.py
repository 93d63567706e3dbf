"""Encode every picture again with a loaded encoder, and switch to the new vectors."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from imseek.data.files.system_errors import translate_os_errors
from imseek.progress import ProgressCallback
from imseek.types.maintenance_reports import ReencodeReport

if TYPE_CHECKING:
    from imseek.encoders.base import Encoder
    from imseek.indexer.reencode import ReencodeRequest


def run_reencode(
    root: Path,
    kind: str,
    encoder: Encoder,
    request: ReencodeRequest,
    progress: ProgressCallback | None,
    stop: threading.Event | None,
) -> ReencodeReport:
    """Run a re-encoding, recorded as ``kind``, and renew indexes that are due. Raises as
    :func:`imseek.maintenance.reencode`."""
    from imseek.data.vectors import index_renewal
    from imseek.data.writing.writer import Writer
    from imseek.indexer import reencode

    with translate_os_errors(root), Writer(root, kind) as writer:
        task = writer.begin_task(progress, stop)
        report = reencode.reencode(writer, encoder, request, task)
        if report.outcome != "switched":
            return report
        notes = report.notes + index_renewal.renew_due(writer, task)
        return replace(report, notes=notes, generation=writer.generation)
