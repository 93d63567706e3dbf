"""Answers of commands with ``--json``, and their schemas: ``python -P -m imseek.ui.cli.json_schemas docs/schemas``."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from imseek.types.tags import TagReport
from imseek.types.upkeep import RepairReport, VerifyReport
from imseek.ui.cli import collection, doctor, index, info, job_answers, maintain, source, tag
from imseek.ui.render.json_schema import schema_of
from imseek.ui.render.result_json import Answer

#: The type of an answer by the name of its schema, docs/schemas/NAME.json.
ANSWERS: Final[Mapping[str, Any]] = {
    "collections": collection.CollectionList,
    "doctor": doctor.DoctorReport,
    "index": Answer[index.IndexRun],
    "info": Answer[info.Overview],
    "job": Answer[job_answers.JobAnswer],
    "jobs": Answer[job_answers.JobList],
    "maintain": Answer[maintain.Maintenance],
    "repair": Answer[RepairReport],
    "sources": Answer[source.SourceList],
    "tag": Answer[TagReport],
    "tags": Answer[tag.TagList],
    "trust": Answer[collection.TrustReport],
    "trusted": collection.TrustList,
    "verify": Answer[VerifyReport],
}


@cache
def schemas() -> Mapping[str, dict[str, Any]]:
    """Return the schemas of all answers by name."""
    return {
        name: schema_of(answer, f"Answer of `imseek {name}` with `--json`")
        for name, answer in ANSWERS.items()
    }


def write_schemas(folder: Path) -> None:
    """Write the schemas of all answers, a file each, and remove those of no answer."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, schema in schemas().items():
        (folder / f"{name}.json").write_text(json.dumps(schema, indent=1) + "\n")
    for file in folder.glob("*.json"):
        if file.stem not in ANSWERS:
            file.unlink()


if __name__ == "__main__":
    write_schemas(Path(sys.argv[1]))
