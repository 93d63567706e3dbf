"""The ``--json`` form of duplicates and of what was done with them (imseek/ui/schemas)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imseek.ui.cli import jsonout

if TYPE_CHECKING:
    from imseek.library import Resolved
    from imseek.types import Duplicate, DuplicateGroup, DuplicatePair, DuplicateReport


def duplicates(
    report: DuplicateReport, chosen: Resolved, other: Resolved | None, written: Mapping[str, Path]
) -> dict[str, Any]:
    """``other`` is the collection that was compared with, ``written`` are files by kind."""
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
        "plan": None,
        "groups": [_group(group) for group in report.groups],
    }


def _group(group: DuplicateGroup) -> dict[str, Any]:
    return {
        "kind": group.kind,
        "reason": group.reason,
        "members": [_member(member, keep=member is group.keeper) for member in group.members],
    }


def _member(member: Duplicate, *, keep: bool) -> dict[str, Any]:
    return {
        "keep": keep,
        "collection": member.collection,
        "image_id": member.image_id,
        **jsonout.placed(member.place),
        "content_hash": member.content_hash,
        "width": member.width,
        "height": member.height,
        "bytes": member.bytes,
        "format": member.format,
        "taken_at": member.taken_at,
        "pair": None if member.pair is None else _pair(member.pair),
    }


def _pair(pair: DuplicatePair) -> dict[str, Any]:
    return {
        name: round(value, 6) if isinstance(value, float) else value for name, value in asdict(pair).items()
    }
