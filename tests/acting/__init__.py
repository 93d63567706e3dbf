"""Collections with duplicates, and reports of them made by hand: what acts are tried on."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import imseek
from imseek.data import layout
from imseek.data.reader import Reader
from imseek.duplicates.action_results import ApplyReport
from imseek.duplicates.actions import plans
from imseek.duplicates.actions.apply import apply
from imseek.duplicates.actions.plans import Plan
from imseek.duplicates.results import Duplicate, DuplicateGroup, DuplicateReport


def report_of(root: Path, groups: Sequence[Sequence[Path]], kind: str = "exact") -> DuplicateReport:
    """A report in which the first of each group is the keeper."""
    reader = Reader(root)
    try:
        ids = [int(i) for shard in reader.current.shards for i in reader.shard_ids(shard)]
        places = reader.places(ids)
        by_path = {place.path: image_id for image_id, place in places.items()}
        found = []
        for group in groups:
            members = []
            for path in group:
                image_id = by_path[os.fsencode(path)]
                image = reader.image(image_id)
                facts = image.metadata
                members.append(
                    Duplicate(
                        reader.identity.uuid,
                        image_id,
                        places[image_id],
                        image.content_hash,
                        facts["width"],
                        facts["height"],
                        facts["bytes"],
                        facts["format"],
                    )
                )
            found.append(DuplicateGroup(kind, tuple(members), "the first"))  # type: ignore[arg-type]
        return DuplicateReport(reader.identity.uuid, reader.generation, len(ids), tuple(found))
    finally:
        reader.close()


def copies(photos: Path, source: Path, names: Sequence[str]) -> list[Path]:
    """Copies of a picture, each with a time and a mode of its own."""
    made = []
    for n, name in enumerate(names):
        target = photos / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        target.chmod(0o640 if n % 2 else 0o604)
        os.utime(target, ns=(1_500_000_000_000_000_000, 1_500_000_000_123_456_789 + n))
        made.append(target)
    return made


def state(folder: Path, *, aside: bool = False) -> dict[str, tuple[str, int, int]]:
    """sha256, mode and mtime of every file below a folder, but for those of a collection, and those in a quarantine
    (``aside``: but for what marks it)."""
    ours = {".imseek", layout.QUARANTINE_MARKER if aside else ".imseek-quarantine"}
    found = {}
    for path in sorted(folder.rglob("*")):
        inner = path.relative_to(folder)
        if path.is_symlink() or not path.is_file() or ours & set(inner.parts):
            continue
        info = path.stat()
        found[str(inner)] = (hashlib.sha256(path.read_bytes()).hexdigest(), info.st_mode, info.st_mtime_ns)
    return found


def ids_by_path(root: Path) -> dict[str, int]:
    """Live and searched images by path."""
    with imseek.open(root) as collection:
        found = collection.search("a picture", limit=10_000, metadata=False)
        return {hit.place.display: hit.image_id for hit in found.hits if hit.place is not None}


def planned(collection: imseek.Collection, twins: list[Path], action: str = "quarantine", **options: object) -> Plan:
    report = report_of(collection.path, [twins])
    return plans.make_plan(report, action, root=collection.path, **options)  # type: ignore[arg-type]


def reasons(report: ApplyReport) -> dict[str, str]:
    """By name, why files were left alone."""
    return {Path(os.fsdecode(f.path)).name: f.reason for f in report.files if f.outcome == "left"}


def done(collection: imseek.Collection, plan: Plan) -> ApplyReport:
    return apply(collection.path, plan, dry_run=False)


def unchanged(collection: imseek.Collection, photos: Path) -> None:
    report = collection.index([photos])
    assert (report.added, report.removed, report.changed, report.moved) == (0, 0, 0, 0), report


Document: TypeAlias = dict[str, Any]


def edited(plan: Plan, tmp_path: Path, change: Callable[[Document], object]) -> Plan:
    file = tmp_path / "plan.json"
    plan.save(file)
    document = json.loads(file.read_text())
    change(document)
    file.write_text(json.dumps(document))
    return Plan.load(file)


def first(document: Document, **members: object) -> None:
    document["groups"][0]["files"][0].update(members)
