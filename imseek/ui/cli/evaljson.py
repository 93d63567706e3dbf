"""The ``--json`` form of evaluations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imseek.ui.cli import jsonout
from imseek.ui.cli.texts import printable

if TYPE_CHECKING:
    from imseek.library import Resolved
    from imseek.types.evaluate import Estimate, LeftOut, RetrievalReport, Retrieved


def retrieval(report: RetrievalReport, chosen: Resolved) -> dict[str, Any]:
    return {
        "collection": jsonout.collection(chosen),
        "encoder": report.encoder,
        "space_id": report.space_id,
        "generation": report.generation,
        "images": report.images,
        "captions": report.captions,
        "captions_from": report.captions_from,
        "among": report.among,
        "text_to_image": retrieved(report.text_to_image),
        "image_to_text": retrieved(report.image_to_text),
        "left_out": left_out(report.left_out),
        "interrupted": report.interrupted,
        "notes": list(report.notes),
    }


def retrieved(found: Retrieved | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "questions": found.questions,
        "items": found.items,
        "recall": [{"k": k, **estimate(one)} for k, one in found.recall.items()],
        "median_rank": estimate(found.median_rank),
        "mean_rank": estimate(found.mean_rank),
        "mean_average_precision": estimate(found.mean_average_precision),
    }


def estimate(found: Estimate) -> dict[str, float]:
    return {"value": round(found.value, 6), "low": round(found.low, 6), "high": round(found.high, 6)}


def left_out(found: LeftOut) -> dict[str, Any]:
    return {"unknown": found.unknown, "empty": found.empty, "names": [printable(n) for n in found.names]}
