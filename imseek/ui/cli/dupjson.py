"""JSON output of duplicates and of actions on them (imseek/ui/schemas)."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imseek.ui.cli import jsonout

if TYPE_CHECKING:
    from imseek.curate.actions.plans import Plan
    from imseek.library import ResolvedCollection
    from imseek.types import (
        AppliedFile,
        ApplyReport,
        Duplicate,
        DuplicateGroup,
        DuplicatePair,
        DuplicateReport,
        Judgement,
        UndoInfo,
        UndoneFile,
        UndoReport,
    )


def duplicates(
    report: DuplicateReport,
    chosen: ResolvedCollection,
    other: ResolvedCollection | None,
    written: Mapping[str, Path],
    plan: Plan | None,
) -> dict[str, Any]:
    """Return a duplicates report as JSON.

    ``other`` is the collection compared with; ``written`` maps kinds to output files, including the ``plan``.
    """
    return {
        "collection": {"uuid": report.collection, **jsonout.collection(chosen)},
        "against": None if other is None else {"uuid": report.against, **jsonout.collection(other)},
        "generation": report.generation,
        "searched": report.searched,
        "interrupted": report.interrupted,
        "pairs": dict(report.pairs),
        "judged": report.judged,
        "surplus": report.surplus,
        "bytes": report.bytes,
        "notes": list(report.notes),
        "written": {what: jsonout.path(os.fsencode(path.absolute())) for what, path in written.items()},
        "plan": None if plan is None else planned(plan),
        "groups": [_group(group) for group in report.groups],
    }


def _group(group: DuplicateGroup) -> dict[str, Any]:
    return {
        "kind": group.kind,
        "reason": group.reason,
        "members": [_member(member, keep=group.keeps(member)) for member in group.members],
    }


def _member(member: Duplicate, *, keep: bool) -> dict[str, Any]:
    from imseek.curate.csv_rows import image_columns

    return {
        "keep": keep,
        "collection": member.collection,
        "image_id": member.image_id,
        **jsonout.placed(member.place),
        **image_columns(member),
        "pair": None if member.pair is None else _pair(member.pair),
    }


def _pair(pair: DuplicatePair) -> dict[str, Any]:
    return {
        name: round(value, 6) if isinstance(value, float) else value for name, value in asdict(pair).items()
    }


def judged(
    found: Sequence[Judgement],
    holders: Mapping[str, Sequence[int]],
    chosen: ResolvedCollection,
    *,
    forgotten: bool,
) -> dict[str, Any]:
    """Return judgements as JSON. ``holders`` maps contents to the ids of their live images."""
    return {
        "collection": jsonout.collection(chosen),
        "forgotten": forgotten,
        "judgements": [
            {
                **asdict(one),
                "images_a": list(holders.get(one.a, ())),
                "images_b": list(holders.get(one.b, ())),
            }
            for one in found
        ],
    }


def planned(plan: Plan) -> dict[str, Any]:
    return {
        "action": plan.action,
        "files": len(plan.files),
        "bytes": plan.bytes,
        "refused": [
            {"image_id": one.image_id, **jsonout.path(one.path), "reason": one.reason} for one in plan.refused
        ],
    }


def applied(report: ApplyReport, chosen: ResolvedCollection) -> dict[str, Any]:
    return {
        **_outcome(report, chosen),
        "freed": report.freed,
        "notes": list(report.notes),
        "files": [
            {
                **_acted(file),
                "bytes": file.bytes,
                "to": None if file.to is None else jsonout.path(file.to),
            }
            for file in report.files
        ],
    }


def undone(report: UndoReport, chosen: ResolvedCollection) -> dict[str, Any]:
    return {
        **_outcome(report, chosen),
        "notes": list(report.notes),
        "damaged_lines": report.damaged_lines,
        "files": [_acted(file) for file in report.files],
    }


def _outcome(report: ApplyReport | UndoReport, chosen: ResolvedCollection) -> dict[str, Any]:
    return {
        "collection": jsonout.collection(chosen),
        "dry_run": report.dry_run,
        "undo_id": report.undo_id,
        "generation": report.generation,
        "interrupted": report.interrupted,
        "counts": dict(report.counts),
    }


def _acted(file: AppliedFile | UndoneFile) -> dict[str, Any]:
    return {
        "image_id": file.image_id,
        **jsonout.path(file.path),
        "action": file.action,
        "outcome": file.outcome,
        "reason": file.reason,
    }


def undoable(known: Sequence[UndoInfo], chosen: ResolvedCollection) -> dict[str, Any]:
    listed = [{**asdict(info), "notes": list(info.notes)} for info in known]
    return {"collection": jsonout.collection(chosen), "undoable": listed}
