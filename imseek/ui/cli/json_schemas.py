"""Answers of commands with ``--json``, and their schemas: ``python -P -m imseek.ui.cli.json_schemas docs/schemas``."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from imseek.encoders.catalogue import EncoderList
from imseek.encoders.download import DownloadResult
from imseek.encoders.encoder_check import EncoderCheck
from imseek.types.exports import ExportReport
from imseek.types.publish import PublishReport
from imseek.types.tags import TagReport
from imseek.ui.cli import backup, tag
from imseek.ui.render.json_schema import schema_of
from imseek.ui.render.result_json import Answer

#: The type of an answer by the name of its schema, docs/schemas/NAME.json.
ANSWERS: Final[Mapping[str, Any]] = {
    "backup": backup.BackupAnswer,
    "encoders": EncoderList,
    "encoders-check": EncoderCheck,
    "encoders-get": DownloadResult,
    "export": Answer[ExportReport],
    "publish": Answer[PublishReport],
    "restore": Answer[backup.RestoreAnswer],
    "tag": Answer[TagReport],
    "tags": Answer[tag.TagList],
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
