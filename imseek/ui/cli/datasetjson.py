"""JSON output of `imseek dataset` and `imseek coverage`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from imseek.ui.cli.jsonout import collection, placed

if TYPE_CHECKING:
    from imseek.library import ResolvedCollection
    from imseek.types import Balance, CoverageReport, CoverageSide, LeakReport, QualityReport, RatedImage


def quality(report: QualityReport, chosen: ResolvedCollection, stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return a quality report as JSON. ``stored`` has ``tagged`` or ``saved`` if anything was stored."""
    return {
        "collection": collection(chosen),
        "generation": report.generation,
        "images": report.images,
        "unknown": report.unknown,
        "lists": [
            {
                "kind": one.kind,
                "rule": one.rule,
                "count": one.count,
                "worst": [_rated(image) for image in one.worst],
            }
            for one in report.lists
        ],
        **stored,
    }


def balance(found: Balance, chosen: ResolvedCollection, limit: int | None = None) -> dict[str, Any]:
    return {
        "collection": collection(chosen),
        "generation": found.generation,
        "by": found.by,
        "images": found.images,
        "without": found.without,
        "classes": len(found.classes),
        "effective": found.effective,
        "ratio": found.ratio,
        "counts": [asdict(one) for one in found.classes[:limit]],
        "notes": list(found.notes),
    }


def leakage(report: LeakReport, chosen: ResolvedCollection) -> dict[str, Any]:
    return {
        "collection": collection(chosen),
        "generation": report.generation,
        "splits": dict(report.splits),
        "without": report.without,
        "counts": [asdict(one) for one in report.counts],
        "groups": [
            {
                "kind": group.kind,
                "images": [
                    {"split": one.split, "image_id": one.image_id, **placed(one.place)}
                    for one in group.images
                ],
            }
            for group in report.groups
        ],
        "interrupted": report.interrupted,
        "notes": list(report.notes),
    }


def coverage(report: CoverageReport, a: ResolvedCollection, b: ResolvedCollection) -> dict[str, Any]:
    return {
        "encoder": report.encoder,
        "expected": report.expected,
        "mmd": report.mmd,
        "a": _side(report.a, a),
        "b": _side(report.b, b),
        "interrupted": report.interrupted,
        "notes": list(report.notes),
    }


def _side(side: CoverageSide, chosen: ResolvedCollection) -> dict[str, Any]:
    return {
        "collection": collection(chosen),
        "generation": side.generation,
        "images": side.images,
        "asked": side.asked,
        "lacking": side.lacking,
        "share": round(side.share, 6),
        "threshold": None if side.threshold is None else round(side.threshold, 6),
        "nearest": None if side.nearest is None else round(side.nearest, 6),
        "groups": [
            {"count": group.count, "images": [_rated(image) for image in group.images]}
            for group in side.groups
        ],
    }


def _rated(image: RatedImage) -> dict[str, Any]:
    return {"image_id": image.image_id, **placed(image.place), "values": dict(image.values)}
