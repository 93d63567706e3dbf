"""JSON output of ``imseek probe``."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from imseek.ui.cli import jsonout

if TYPE_CHECKING:
    from imseek.library import ResolvedCollection
    from imseek.types.evaluate import Estimate
    from imseek.types.probes import ProbeApplyReport, ProbeEvaluation, ProbeInfo, ProbeLabel, Proposals


def probe(found: ProbeInfo, chosen: ResolvedCollection) -> dict[str, Any]:
    return {"collection": jsonout.collection(chosen), "probe": _probe(found)}


def probes(found: tuple[ProbeInfo, ...], chosen: ResolvedCollection) -> dict[str, Any]:
    return {"collection": jsonout.collection(chosen), "probes": [_probe(one) for one in found]}


def applied(found: ProbeApplyReport, chosen: ResolvedCollection) -> dict[str, Any]:
    return {
        "collection": jsonout.collection(chosen),
        "probe": found.probe,
        "images": found.images,
        "counts": dict(found.counts),
        "none": found.none,
        "surest": [_label(one) for one in found.surest],
        "unsurest": [_label(one) for one in found.unsurest],
        "saved": found.saved,
        "tagged": found.tagged,
        "untagged": found.untagged,
        "kept": found.kept,
        "interrupted": found.interrupted,
    }


def proposed(found: Proposals, chosen: ResolvedCollection) -> dict[str, Any]:
    return {
        "collection": jsonout.collection(chosen),
        "labelled": found.labelled,
        "looked": found.looked,
        "copies": found.copies,
        "classes": list(found.classes),
        "proposals": [
            {
                "image_id": one.image_id,
                "reason": one.reason,
                "label": one.label,
                "probability": None if one.probability is None else round(one.probability, 6),
                **jsonout.placed(one.place),
            }
            for one in found.proposals
        ],
        "notes": list(found.notes),
    }


def evaluated(found: ProbeEvaluation, chosen: ResolvedCollection) -> dict[str, Any]:
    return {
        "collection": jsonout.collection(chosen),
        "probe": found.probe,
        "method": found.method,
        "truth": found.truth,
        "learned": found.learned,
        "tested": found.tested,
        "left_out": found.left_out,
        "unknown": list(found.unknown),
        "accuracy": _estimate(found.accuracy),
        "per_class": _estimate(found.per_class),
        "ece": _number(found.ece),
        "classes": [
            {
                "name": one.name,
                "tested": one.tested,
                "accuracy": _number(one.accuracy),
                "precision": _number(one.precision),
            }
            for one in found.classes
        ],
        "confusions": [
            {"truth": one.truth, "predicted": one.predicted, "count": one.count} for one in found.confusions
        ],
        "curve": [
            {
                "shots": one.shots,
                "learned": one.learned,
                "accuracy": _estimate(one.accuracy),
                "per_class": _estimate(one.per_class),
            }
            for one in found.curve
        ],
        "notes": list(found.notes),
    }


def _probe(found: ProbeInfo) -> dict[str, Any]:
    return {
        "name": found.name,
        "method": found.method,
        "classes": [{"name": name, "images": n} for name, n in zip(found.classes, found.counts, strict=True)],
        "several": found.several,
        "labels": found.labels,
        "where": found.where,
        "encoder": found.encoder,
        "fingerprint": found.fingerprint,
        "created": found.created,
        "temperature": _number(found.temperature),
        "scores": [
            {
                "method": one.method,
                "settings": {name: _number(value) for name, value in one.settings.items()},
                "accuracy": None if one.accuracy is None else _estimate(one.accuracy),
                "log_loss": _number(one.log_loss),
                "ece": _number(one.ece),
                "tested": one.tested,
            }
            for one in found.scores
        ],
        "notes": list(found.notes),
    }


def _label(found: ProbeLabel) -> dict[str, Any]:
    return {
        "image_id": found.image_id,
        "label": found.label,
        "probability": round(found.probability, 6),
        **jsonout.placed(found.place),
    }


def _estimate(found: Estimate) -> dict[str, float | None]:
    return {"value": _number(found.value), "low": _number(found.low), "high": _number(found.high)}


def _number(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else round(value, 6)
