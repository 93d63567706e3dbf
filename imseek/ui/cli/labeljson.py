"""JSON output of labels, moderation and their evaluation."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from imseek.ui.cli.jsonout import collection, placed

if TYPE_CHECKING:
    from imseek.library import ResolvedCollection
    from imseek.types import ForgetReport, LabelEvaluation, Labels, Moderation


def label(found: Labels, chosen: ResolvedCollection, name: str | None, limit: int) -> dict[str, Any]:
    from imseek.explore import snapshot_session

    places = snapshot_session.find_places(chosen.path, found.image_ids[:limit].tolist())
    return {
        "collection": collection(chosen),
        "encoder": found.encoder,
        "generation": found.generation,
        "images": len(found.image_ids),
        "classes": len(found.classes),
        "multi": found.multi,
        "factor": found.factor,
        "factor_source": found.factor_source,
        "counts": [
            {"label": one.label, "images": one.images, "probability": round(one.probability, 6)}
            for one in found.counts()
        ],
        "cautions": None if found.cautions is None else int(found.cautions.sum()),
        "stored": None
        if found.stored is None
        else {"name": name, "generation": found.stored, "tags": found.tagged},
        "notes": list(found.notes),
        "labels": [
            {
                "image_id": image_id,
                **placed(places.get(image_id)),
                "labels": list(found.labels(at)),
                "caution": None if found.cautions is None else bool(found.cautions[at]),
                "top": [
                    {
                        "class": None if number < 0 else found.classes[number],
                        "probability": round(probability, 6),
                    }
                    for number, probability in zip(
                        found.top[at].tolist(), found.probabilities[at].tolist(), strict=True
                    )
                ],
            }
            for at, image_id in enumerate(found.image_ids[:limit].tolist())
        ],
    }


def evaluation(found: LabelEvaluation, chosen: ResolvedCollection, limit: int) -> dict[str, Any]:
    learned = found.calibration
    return {
        "collection": collection(chosen),
        "encoder": found.encoder,
        "generation": found.generation,
        "images": found.images,
        "classes": len(found.classes),
        "truth": found.truth,
        "factor": found.factor,
        "factor_source": found.factor_source,
        "top1": asdict(found.top1),
        "top5": asdict(found.top5),
        "mean_per_class": asdict(found.mean_per_class),
        "calibration_error": round(found.ece, 6),
        "negative_log_likelihood": round(found.nll, 6),
        "per_class": [
            {"class": one.name, "images": one.images, "accuracy": one.accuracy} for one in found.per_class
        ],
        "confusions": [
            {"class": one.truth, "label": one.label, "images": one.images} for one in found.confusions[:limit]
        ],
        "temperature": None
        if learned is None
        else {
            "name": learned.name,
            "factor": learned.factor,
            "bias": learned.bias,
            "images": learned.images,
            "held_out": learned.held_out,
            "negative_log_likelihood": [_known(learned.nll_before), _known(learned.nll_after)],
            "calibration_error": [_known(learned.ece_before), _known(learned.ece_after)],
            "generation": learned.generation,
            "notes": list(learned.notes),
        },
        "notes": list(found.notes),
    }


def _known(number: float) -> float | None:
    return None if math.isnan(number) else round(number, 6)


def moderation(found: Moderation, chosen: ResolvedCollection, name: str | None, limit: int) -> dict[str, Any]:
    from imseek.explore import snapshot_session

    order = flagged_first(found)[:limit]
    places = snapshot_session.find_places(chosen.path, found.image_ids[order].tolist())
    images = []
    for at in order:
        image_id = int(found.image_ids[at])
        concepts = [
            {
                "concept": concept.name,
                "probability": round(float(found.probabilities[at, n]), 6),
                "flagged": bool(found.flagged[at, n]),
                "caution": None if found.cautions is None else bool(found.cautions[at, n]),
            }
            for n, concept in enumerate(found.concepts)
        ]
        images.append({"image_id": image_id, **placed(places.get(image_id)), "concepts": concepts})
    return {
        "collection": collection(chosen),
        "encoder": found.encoder,
        "generation": found.generation,
        "policy": found.policy,
        "images": len(found.image_ids),
        "flagged": int(found.flagged.any(axis=1).sum()),
        "concepts": [asdict(one) for one in found.concepts],
        "factor": found.factor,
        "factor_source": found.factor_source,
        "stored": None
        if found.stored is None
        else {"name": name, "generation": found.stored, "tags": found.tagged},
        "notes": list(found.notes),
        "hits": images,
    }


def flagged_first(found: Moderation) -> list[int]:
    """Return the positions of flagged images, the most certain first."""
    import numpy as np

    sure = np.where(found.flagged, found.probabilities, -1).max(axis=1, initial=-1)
    order = np.argsort(-sure, kind="stable")
    return [int(at) for at in order[: int((sure >= 0).sum())]]


def forgotten(gone: ForgetReport, chosen: ResolvedCollection) -> dict[str, Any]:
    return {"collection": collection(chosen), "forgotten": asdict(gone)}
