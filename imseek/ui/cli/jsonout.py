"""JSON output of all commands. Tests check it against the schemas in imseek/ui/schemas."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Protocol

from imseek.showing.words import printable

if TYPE_CHECKING:
    from imseek.captions import Agreement, AgreementSummary
    from imseek.errors import ImseekError
    from imseek.jobs import Job
    from imseek.library import ResolvedCollection
    from imseek.types import (
        CollectionInfo,
        Failure,
        Hit,
        IndexReport,
        Place,
        Problem,
        ReencodeReport,
        RepairReport,
        SearchResult,
        SourceInfo,
        SpaceInfo,
        VerifyReport,
    )

SCHEMA = 1


def print_json(body: Mapping[str, Any], *, line: bool = False) -> None:
    """Print one JSON object on stdout, in ASCII for any terminal and locale; ``line`` keeps it on one line."""
    text = json.dumps({"schema": SCHEMA, **body}, indent=None if line else 1, allow_nan=False)
    print(text, file=sys.stdout, flush=line)


class Chosen(Protocol):
    """A collection that a command means: its name and place."""

    @property
    def name(self) -> str: ...

    @property
    def path(self) -> str | os.PathLike[str]: ...


def collection(chosen: Chosen) -> dict[str, Any]:
    return {"name": printable(chosen.name), **path(os.fsencode(chosen.path))}


def search(result: SearchResult, *chosen: Chosen, line: int | None = None) -> dict[str, Any]:
    """Return a search result as JSON.

    ``chosen`` lists the collections searched; ``line`` is the query's line number in a file.
    """
    body = {
        "collection": collection(chosen[0]),
        "encoder": result.encoder,
        "generation": result.generation,
        "searched": result.searched,
        "spaces": [{**asdict(share), "weight": round(share.weight, 6)} for share in result.spaces],
        "notes": list(result.notes),
        "approximate": result.approximate,
        "cut": result.cut,
        "next_page": result.next_page,
        "collections": [
            {
                "uuid": one.collection,
                **collection(where),
                "generation": one.generation,
                "searched": one.images,
            }
            for one, where in zip(result.collections, chosen, strict=False)
        ],
        "groups": [
            {"name": group.name, "size": group.size, "hits": len(group.hits)} for group in result.groups
        ],
        "hits": [_hit(hit) for hit in result.hits],
    }
    return body if line is None else {"line": line, **body}


def failed(error: ImseekError, line: int) -> dict[str, Any]:
    """Return the error of the query on a line of a file, in place of its result."""
    kind = type(error).__name__
    return {"line": line, "error": {"type": kind, "message": str(error), "hint": error.hint}}


def agreement(found: AgreementSummary, chosen: ResolvedCollection) -> dict[str, Any]:
    return {
        "collection": collection(chosen),
        "measure": "cosine",
        "encoder": found.encoder,
        "generation": found.generation,
        "images": found.images,
        "captions": found.captions,
        "median": None if found.median is None else round(found.median, 6),
        "worst": [agreeing(row) for row in found.worst],
    }


def agreeing(row: Agreement) -> dict[str, Any]:
    return {
        "image_id": row.image_id,
        "score": round(row.score, 6),
        "caption": row.caption,
        **placed(row.place),
    }


def index(report: IndexReport, chosen: ResolvedCollection, *, dry_run: bool = False) -> dict[str, Any]:
    return {
        "collection": collection(chosen),
        "created": not chosen.exists and not dry_run,
        "dry_run": dry_run,
        "encoder": report.encoder,
        "precision": report.precision,
        "spaces": [asdict(space) for space in report.spaces],
        "generation": report.generation,
        "interrupted": report.interrupted,
        "seen": report.seen,
        "unchanged": report.unchanged,
        "added": report.added,
        "changed": report.changed,
        "moved": report.moved,
        "copied": report.copied,
        "removed": report.removed,
        "skipped": report.skipped,
        "live": report.live,
        "bytes_read": report.bytes_read,
        "files_opened": report.files_opened,
        "seconds": round(report.seconds, 3),
        "notes": list(report.notes),
        "failures": [_failure(failure) for failure in report.failures],
        "known": report.known,
        "known_pictures": [
            {
                "source_id": one.source_id,
                **path(one.path),
                "content_hash": one.content_hash,
                "reason": one.reason,
                "collection": path(one.collection),
                "image_id": one.image_id,
            }
            for one in report.known_pictures
        ],
    }


def job(found: Job) -> dict[str, Any]:
    return {
        "job_id": found.run_id,
        "kind": found.kind,
        "state": found.state,
        "pid": found.pid,
        "host": found.host,
        "started": found.started,
        "ended": found.ended,
        "exit_code": found.exit_code,
        "progress": plain(found.progress),
        "log": None if found.log is None else path(os.fsencode(found.log)),
    }


def info(found: CollectionInfo, chosen: ResolvedCollection, *, failures: bool) -> dict[str, Any]:
    body = {
        "collection": collection(chosen),
        "uuid": found.uuid,
        "format": found.format,
        "created": found.created,
        "generation": found.generation,
        "images": found.images,
        "dead_rows": found.dead_rows,
        "shards": found.shards,
        "bytes_on_disk": found.bytes_on_disk,
        "index": found.index,
        "writer": found.writer,
        "encoder": _encoder(found.encoder),
        "spaces": [
            {
                "space_id": summary.space.space_id,
                **_encoder(summary.space),
                "modalities": None if summary.modalities is None else list(summary.modalities),
                "precisions": list(summary.precisions),
            }
            for summary in found.spaces
        ],
        "other_spaces": [
            {
                "space_id": other.space.space_id,
                **_encoder(other.space),
                "state": other.state,
                "images": other.images,
                "bytes": other.bytes,
                "since": other.since,
            }
            for other in found.other_spaces
        ],
        "indexes": [asdict(built) for built in found.indexes],
        "index_policy": asdict(found.policy),
        "sources": [source(s) for s in found.sources],
    }
    if found.catalog is not None:
        body["catalog"] = found.catalog
    if failures:
        body["failures"] = [_failure(failure) for failure in found.failures]
    return body


def _encoder(space: SpaceInfo) -> dict[str, Any]:
    return {
        "reference": space.encoder,
        "fingerprint": space.fingerprint,
        "dim": space.dim,
        "modality": space.modality,
        "quality": space.quality,
        "note": space.note,
    }


def source(found: SourceInfo) -> dict[str, Any]:
    return {
        "source_id": found.source_id,
        "kind": found.kind,
        **path(found.path),
        "images": found.images,
        "failures": found.failures,
        "present": found.present,
    }


def verified(report: VerifyReport) -> dict[str, Any]:
    return {
        "ok": report.ok,
        "files_checked": report.files_checked,
        "bytes_checked": report.bytes_checked,
        "problems": problems(report.problems),
    }


def problems(found: Sequence[Problem]) -> list[dict[str, Any]]:
    return [{"kind": p.kind, "file": p.file, "message": p.message, "repairable": p.repairable} for p in found]


def repaired(report: RepairReport) -> dict[str, Any]:
    return {
        "restored": list(report.restored),
        "lost": list(report.lost),
        "after": verified(report.after),
    }


def maintained(done: Mapping[str, Any]) -> dict[str, Any]:
    """Return the reports of ``maintain`` by name; null for tasks not requested."""
    body = {name: asdict(report) for name, report in done.items() if name not in ("reencode", "index")}
    if (report := done.get("reencode")) is not None:
        body["reencode"] = reencoded(report)
    for part in body.values():
        if "seconds" in part:
            part["seconds"] = round(part["seconds"], 3)
    found: dict[str, Any] = {
        name: body.get(name) for name in ("merge", "purge", "captions", "measured", "reencode", "dropped")
    }
    if "catalog" in body:
        found["catalog"] = body["catalog"]
    reports = done.get("index")
    found["index"] = None if reports is None else [asdict(report) for report in reports]
    return found


def reencoded(report: ReencodeReport) -> dict[str, Any]:
    missing = [
        {
            "image_id": picture.image_id,
            **placed(picture.place),
            "reason": str(picture.reason),
            "message": picture.message,
        }
        for picture in report.missing
    ]
    names = (
        "outcome",
        "space_id",
        "encoder",
        "precision",
        "replaced",
        "images",
        "before",
        "encoded",
        "copied",
    )
    facts = {name: getattr(report, name) for name in (*names, "seconds", "generation")}
    return {**facts, "missing": missing, "notes": list(report.notes)}


def _hit(hit: Hit) -> dict[str, Any]:
    body = {
        "collection": hit.collection,
        "image_id": hit.image_id,
        "score": round(hit.score, 6),
        **placed(hit.place),
        "duplicates": list(hit.duplicates),
        "metadata": plain(hit.metadata),
    }
    if hit.vector is not None:
        body["vector"] = [round(number, 8) for number in hit.vector.tolist()]
    return body


def placed(place: Place | None) -> dict[str, Any]:
    if place is None:
        return {"source_id": None, "path": None, "uri": None}
    return {"source_id": place.source_id, **path(place.path), "uri": place.uri}


def _failure(failure: Failure) -> dict[str, Any]:
    return {
        "source_id": failure.source_id,
        **path(failure.path),
        "reason": str(failure.reason),
        "message": failure.message,
    }


def path(raw: bytes) -> dict[str, str]:
    from imseek.types import path_json

    return path_json(raw)


def plain(value: Any) -> Any:
    """Convert metadata to JSON values: NumPy scalars become numbers, NaN becomes null."""
    if isinstance(value, Mapping):
        return {str(name): plain(member) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [plain(member) for member in value]
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, str | int | float | bool | None) else str(value)
