"""JSON output of evaluations."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imseek.showing.words import printable
from imseek.ui.cli import jsonout

if TYPE_CHECKING:
    from imseek.captions import Agreement, CaptionScores, Kept
    from imseek.explore.aesthetic import AestheticScores
    from imseek.library import ResolvedCollection
    from imseek.types import Place
    from imseek.types.evaluate import (
        ComparedSide,
        CompareReport,
        Estimate,
        NeighbourReport,
        RetrievalComparison,
        RetrievalMetrics,
        RetrievalReport,
        UnusedCaptions,
    )


def retrieval(report: RetrievalReport, chosen: ResolvedCollection) -> dict[str, Any]:
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


def ann(report: NeighbourReport, chosen: ResolvedCollection) -> dict[str, Any]:
    return {
        "collection": jsonout.collection(chosen),
        "encoder": report.encoder,
        "space_id": report.space_id,
        "generation": report.generation,
        "images": report.images,
        "index": report.index,
        "filtered": report.filtered,
        "kinds": [
            {
                "kind": one.kind,
                "came": one.came,
                "queries": one.queries,
                "recall": [{"k": k, **estimate(found)} for k, found in one.recall.items()],
                "stated": one.stated,
                "median_ms": round(one.median_ms, 3),
                "p99_ms": round(one.p99_ms, 3),
                "cpu_ms": round(one.cpu_ms, 3),
                "exact_ms": round(one.exact_ms, 3),
            }
            for one in report.kinds
        ],
        "interrupted": report.interrupted,
        "notes": list(report.notes),
    }


def compare(
    report: CompareReport, chosen: ResolvedCollection, other: ResolvedCollection | None
) -> dict[str, Any]:
    return {
        "collection": jsonout.collection(chosen),
        "against": None if other is None else jsonout.collection(other),
        "a": _side(report.a),
        "b": _side(report.b),
        "images": report.images,
        "captions": report.captions,
        "text_to_image": _compared(report.text_to_image),
        "image_to_text": _compared(report.image_to_text),
        "verdict": report.verdict,
        "left_out": left_out(report.left_out),
        "unreadable": report.unreadable,
        "reasons": [printable(reason) for reason in report.reasons],
        "interrupted": report.interrupted,
    }


def _side(side: ComparedSide) -> dict[str, Any]:
    return {"encoder": side.encoder, "stored": side.stored}


def _compared(found: RetrievalComparison | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "a": retrieved(found.a),
        "b": retrieved(found.b),
        "recall": [{"k": k, **estimate(one)} for k, one in found.recall.items()],
        "mean_average_precision": estimate(found.mean_average_precision),
    }


def retrieved(found: RetrievalMetrics | None) -> dict[str, Any] | None:
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


def left_out(found: UnusedCaptions) -> dict[str, Any]:
    return {
        "unknown": found.unknown,
        "empty": found.empty,
        "unreferenced": found.unreferenced,
        "names": [printable(n) for n in found.names],
    }


def caption_scores(
    found: CaptionScores,
    worst: Sequence[Agreement],
    kept: Kept | None,
    chosen: ResolvedCollection,
    exported: Path | None,
    saved: str | None,
) -> dict[str, Any]:
    """Return caption scores as JSON, in the form that ``imseek captions`` gives cosines, plus the requested options."""
    return {
        "collection": jsonout.collection(chosen),
        "measure": found.measure,
        "prefix": found.prefix,
        "encoder": found.encoder,
        "generation": found.generation,
        "images": found.images,
        "captions": len(found.ids),
        "median": None if found.median is None else round(found.median, 6),
        "left_out": left_out(found.left_out),
        "kept": None if kept is None else _kept(kept),
        "exported": None if exported is None else jsonout.path(os.fsencode(exported)),
        "saved": saved,
        "worst": [jsonout.agreeing(row) for row in worst],
    }


def _kept(kept: Kept) -> dict[str, Any]:
    return {
        "images": len(kept.ids),
        "share": kept.share,
        "in_share": kept.share_kept,
        "threshold": round(kept.threshold, 6),
        "basic": kept.basic,
    }


def aesthetic(
    found: AestheticScores,
    best: Sequence[tuple[int, float]],
    places: Mapping[int, Place],
    chosen: ResolvedCollection,
    saved: str | None,
) -> dict[str, Any]:
    return {
        "collection": jsonout.collection(chosen),
        "encoder": found.encoder,
        "version": found.version,
        "generation": found.generation,
        "images": len(found.ids),
        "saved": saved,
        "best": [
            {"image_id": image_id, "score": round(score, 6), **jsonout.placed(places.get(image_id))}
            for image_id, score in best
        ],
    }
